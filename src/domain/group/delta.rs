//! Who is added and who is removed, and in how large pieces.

use std::collections::BTreeSet;

use crate::api::group::Membership;

/// The changes of a group's members; both sorted, neither with anybody twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The ids to add; none of them is a member.
    pub add: Vec<String>,
    /// The ids to remove; all of them are members.
    pub remove: Vec<String>,
}

impl Delta {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// The changes that bring `current` to `wanted`.
///
/// Nobody is removed under `AddOnly`, nor while any declared member has no account (R19): whoever
/// looks like one too many may be the very one, under an id that is not known yet.
pub fn delta(
    wanted: &BTreeSet<String>,
    current: &BTreeSet<String>,
    membership: Membership,
    all_resolved: bool,
) -> Delta {
    let remove = match membership {
        Membership::Exact if all_resolved => current.difference(wanted).cloned().collect(),
        Membership::Exact | Membership::AddOnly => Vec::new(),
    };
    Delta {
        add: wanted.difference(current).cloned().collect(),
        remove,
    }
}

/// The ids in pieces of at most `most` a request (AWS takes 100 member changes a PATCH).
pub fn chunks(ids: &[String], most: usize) -> impl Iterator<Item = &[String]> {
    ids.chunks(most.max(1))
}

/// The two halves of a piece that was too large, the larger first; `None` where it cannot be
/// halved.
pub fn halves(ids: &[String]) -> Option<(&[String], &[String])> {
    (ids.len() > 1).then(|| ids.split_at(ids.len().div_ceil(2)))
}
