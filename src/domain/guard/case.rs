//! Who would be deprovisioned, how, and what stands for that in status.

use crate::domain::names;

/// What is done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deprovisioning {
    /// `active: false`.
    Archive,
    /// SCIM DELETE.
    Delete,
}

/// What is deleted along with a person's resource. A namespace or a kind that ends is nobody leaving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    #[default]
    Alone,
    /// The namespace: counted and held as others are.
    Namespace,
    /// The kind itself: always held.
    Kind,
}

/// One person who would be deprovisioned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The resource's uid: one made anew under the same name is another person.
    pub uid: String,
    /// What is done.
    pub action: Deprovisioning,
}

/// Marks whom a person let go: such a one spends nothing of the window.
const APPROVED: &str = "approved:";

/// Whether a person let this one go.
pub(super) fn is_approved(hash: &str) -> bool {
    hash.starts_with(APPROVED)
}

/// What stands for somebody in status, where no name is to be.
pub(super) fn hash(case: &Case, approved: bool) -> String {
    let hash = names::short_hash(&line(case));
    if approved {
        format!("{APPROVED}{hash}")
    } else {
        hash
    }
}

/// What the hash of a plan is made of.
pub(super) fn line(case: &Case) -> String {
    let Case {
        namespace,
        name,
        uid,
        action,
    } = case;
    format!("{action:?} {namespace}/{name} {uid}")
}
