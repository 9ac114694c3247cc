//! The groups' side of one connection: the mirror, and what was learned of how the backend treats
//! members. Everything here is forgotten with the backend.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::controller::index::Key;
use crate::directory::Groups;
use crate::domain::group::{MembersEcho, Removal};

/// Whether the backend's groups are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listed {
    /// Not asked yet: nothing is, before somebody declares a group.
    #[default]
    NotYet,
    /// The mirror has what the listing said.
    Done,
    /// The backend offers no groups.
    Unsupported,
    /// It would not list them; why, as a sentence.
    Failed(String),
}

#[derive(Default)]
struct Learned {
    listed: Listed,
    removal: Removal,
    echo: MembersEcho,
    /// Something of the above is not what it was when last asked.
    news: bool,
    chunk_limit: Option<usize>,
    stamps_lie: bool,
    wanted: HashMap<Key, u64>,
    doubtful_creates: HashMap<String, (u64, String)>,
}

/// The groups' side of one connection.
#[derive(Default)]
pub struct GroupSide {
    mirror: Mutex<Groups>,
    left_behind: Mutex<Groups>,
    learned: Mutex<Learned>,
    trial: tokio::sync::Mutex<()>,
}

/// A poisoned lock only means that another task panicked; the data is still whole between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GroupSide {
    /// The mirror.
    pub fn mirror(&self) -> MutexGuard<'_, Groups> {
        lock(&self.mirror)
    }

    /// The mirror, or, for answers of a backend that was left, one that nobody reads.
    pub fn mirror_of(&self, this_backend: bool) -> MutexGuard<'_, Groups> {
        if this_backend {
            lock(&self.mirror)
        } else {
            lock(&self.left_behind)
        }
    }

    /// Forgets everything about a backend that is left.
    pub fn forget(&self) {
        *lock(&self.mirror) = Groups::default();
        *lock(&self.learned) = Learned::default();
    }

    /// Whether the backend's groups are known.
    pub fn listed(&self) -> Listed {
        lock(&self.learned).listed.clone()
    }

    /// Records what a listing came to.
    pub fn set_listed(&self, listed: Listed) {
        lock(&self.learned).listed = listed;
    }

    /// How members are removed.
    pub fn removal(&self) -> Removal {
        lock(&self.learned).removal
    }

    /// Records how members are removed. What once removed too many is never tried again.
    pub fn set_removal(&self, removal: Removal) {
        let mut learned = lock(&self.learned);
        if learned.removal != Removal::Broken {
            learned.news |= learned.removal != removal;
            learned.removal = removal;
        }
    }

    /// Held while a removal is tried: many groups at once would each make the same mistake.
    pub async fn trial(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.trial.lock().await
    }

    /// Members changed and neither version nor time did: groups are read at every listing from now on.
    pub fn distrust_stamps(&self) {
        lock(&self.learned).stamps_lie = true;
    }

    /// Whether versions and times of groups say that their members changed.
    pub fn stamps_are_trusted(&self) -> bool {
        !lock(&self.learned).stamps_lie
    }

    /// Whether members are returned.
    pub fn echo(&self) -> MembersEcho {
        lock(&self.learned).echo
    }

    /// Records whether members are returned.
    pub fn set_echo(&self, echo: MembersEcho) {
        let mut learned = lock(&self.learned);
        learned.news |= learned.echo != echo;
        learned.echo = echo;
    }

    /// Whether something was learned of members since this was last asked, which is to be written down.
    pub fn take_news(&self) -> bool {
        std::mem::take(&mut lock(&self.learned).news)
    }

    /// The most members that one request may change, as far as a refusal taught.
    pub fn chunk_limit(&self) -> Option<usize> {
        lock(&self.learned).chunk_limit
    }

    /// Records that limit.
    pub fn set_chunk_limit(&self, limit: Option<usize>) {
        lock(&self.learned).chunk_limit = limit;
    }

    /// A fingerprint of the members that a group was last brought in step with.
    pub fn wanted_of(&self, group: &Key) -> Option<u64> {
        lock(&self.learned).wanted.get(group).copied()
    }

    /// Records that fingerprint.
    pub fn set_wanted(&self, group: &Key, fingerprint: u64) {
        lock(&self.learned)
            .wanted
            .insert(group.clone(), fingerprint);
    }

    /// A POST for this object, under this name, may have been applied: look before the next (R04).
    pub fn doubt_create(&self, uid: &str, name: &str) {
        let step = self.mirror().step();
        let doubts = &mut lock(&self.learned).doubtful_creates;
        doubts.insert(uid.to_owned(), (step, name.to_owned()));
    }

    /// The name under which a POST for this object may have been applied, where no complete listing
    /// has begun since.
    pub fn doubtful_create(&self, uid: &str) -> Option<String> {
        let listed = self.mirror().last_complete();
        let (step, name) = lock(&self.learned).doubtful_creates.get(uid).cloned()?;
        listed.is_none_or(|listed| listed <= step).then_some(name)
    }

    /// The outcome of the POST is known.
    pub fn create_is_settled(&self, uid: &str) {
        lock(&self.learned).doubtful_creates.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_of_members_is_news_once() {
        let side = GroupSide::default();
        assert!(!side.take_news());
        side.set_removal(Removal::Filter);
        assert!(side.take_news() && !side.take_news());
        side.set_removal(Removal::Filter);
        side.set_echo(MembersEcho::Unknown);
        assert!(!side.take_news(), "nothing new");
        side.set_echo(MembersEcho::Returned);
        assert!(side.take_news());
        side.set_removal(Removal::Broken);
        assert!(side.take_news());
        side.set_removal(Removal::Filter);
        assert!(!side.take_news(), "broken stays broken");
    }
}
