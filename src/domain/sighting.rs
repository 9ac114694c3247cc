//! What the mirror of a backend has to know of whatever it mirrors, be it accounts or groups.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::identity::Sighted;

/// Something of a backend as it was last seen.
pub trait Sighting: Sighted + Clone + Serialize + DeserializeOwned {
    /// The backend's id.
    fn id(&self) -> &str;

    /// The names of the attributes seen with a value, as far as it matters which of them a backend
    /// returns at all.
    fn attributes(&self) -> impl Iterator<Item = &str>;

    /// Whether a later sighting tells the same story, so that nobody has to look again.
    fn same_state(&self, later: &Self) -> bool;

    /// Takes over from what was `known` before what a listing does not show, as far as the listing
    /// proves that it is still true. Called for every sighting of a listing, before it is compared.
    fn carry(&mut self, known: &Self) {
        let _ = known;
    }
}
