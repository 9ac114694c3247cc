//! Who is to be in a group: from the resources that a spec names to the ids that the backend knows,
//! and what to say of those that have none yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::conditions::{ConditionType, Reason};
use crate::api::group::MemberCounts;
use crate::domain::conditions::Verdict;

/// How many members are named, in status and in a message.
const NAMED: usize = 10;

/// One declared member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The ScimUser, as `namespace/name`.
    pub key: String,
    /// What is known of it.
    pub state: MemberState,
}

/// What is known of one member's ScimUser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// The account's id at the group's own backend, once there is one.
    pub id: Option<String>,
    /// Where the ScimUser stands.
    pub phase: MemberPhase,
    /// The account is archived. It stays a member: who comes back is where they were.
    pub archived: bool,
}

/// Where a member's ScimUser stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberPhase {
    /// Nobody declares it, or not for this connection.
    NotFound,
    /// Its namespace is not watched: whether anybody declares it is not known.
    NotWatched,
    /// It breaks a rule.
    Invalid,
    /// It is on its way.
    Pending,
    /// It is in step.
    Settled,
}

/// The members of a group, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The ids that the group is to have.
    pub wanted: BTreeSet<String>,
    /// Members by state; `synced` is 0 until the group was looked at, see [`Self::counted`].
    pub counts: MemberCounts,
    /// The first ten members without an account, by name.
    pub unresolved: Vec<String>,
    /// How many members have no account.
    pub unresolved_total: usize,
    /// `MembersResolved`.
    pub verdict: Verdict,
    /// The id of every member that has one: two members may be one account.
    ids: Vec<String>,
}

impl Resolved {
    /// Whether every member has an account.
    pub fn all(&self) -> bool {
        self.unresolved_total == 0
    }

    /// The counts, now that the group was seen to have `current`.
    pub fn counted(&self, current: &BTreeSet<String>) -> MemberCounts {
        let there = self.ids.iter().filter(|id| current.contains(*id));
        MemberCounts {
            synced: count(there.count()),
            ..self.counts
        }
    }
}

/// Resolves members. One that is named twice is one member, whatever its states (the first counts).
///
/// A member with an id is resolved even while its ScimUser is invalid: the account is there, and
/// taking a person out of a group for a typo in their telephone number helps nobody. Of those
/// without an id, the worst decides the reason: not found, then invalid, then pending.
pub fn resolve(members: impl IntoIterator<Item = Member>) -> Resolved {
    let mut all: BTreeMap<String, MemberState> = BTreeMap::new();
    for Member { key, state } in members {
        all.entry(key).or_insert(state);
    }
    let mut counts = MemberCounts {
        desired: count(all.len()),
        ..MemberCounts::default()
    };
    let (mut ids, mut unresolved) = (Vec::new(), Vec::new());
    for (
        key,
        MemberState {
            id,
            phase,
            archived,
        },
    ) in all
    {
        let invalid = phase == MemberPhase::Invalid;
        counts.invalid += u32::from(invalid);
        match id.filter(|id| !id.is_empty()) {
            Some(id) => {
                counts.archived += u32::from(archived);
                ids.push(id);
            }
            None => {
                counts.pending += u32::from(!invalid);
                unresolved.push((key, phase));
            }
        }
    }
    Resolved {
        wanted: ids.iter().cloned().collect(),
        verdict: verdict(counts, &unresolved),
        unresolved_total: unresolved.len(),
        unresolved: unresolved
            .into_iter()
            .take(NAMED)
            .map(|(key, _)| key)
            .collect(),
        counts,
        ids,
    }
}

fn verdict(counts: MemberCounts, unresolved: &[(String, MemberPhase)]) -> Verdict {
    let Some(worst) = unresolved.iter().map(|(_, phase)| *phase).min() else {
        let message = match (counts.desired, counts.archived) {
            (0, _) => "no members are declared".to_owned(),
            (_, 0) => "every member has an account".to_owned(),
            (_, n) => format!("every member has an account; {n} archived"),
        };
        return Verdict::yes(ConditionType::MembersResolved, Reason::AllResolved, message);
    };
    let reason = match worst {
        MemberPhase::NotFound | MemberPhase::NotWatched => Reason::MembersNotFound,
        MemberPhase::Invalid => Reason::MembersInvalid,
        MemberPhase::Pending | MemberPhase::Settled => Reason::MembersPending,
    };
    let message = format!(
        "{} of {} members have no account: {}",
        unresolved.len(),
        counts.desired,
        named(unresolved)
    );
    Verdict::no(ConditionType::MembersResolved, reason, message)
}

/// The members without an account, the worst first, since these need somebody.
fn named(unresolved: &[(String, MemberPhase)]) -> String {
    let mut left = NAMED;
    let mut parts = Vec::new();
    for word in ["not declared", "not watched", "invalid", "pending"] {
        let keys: Vec<&str> = unresolved
            .iter()
            .filter(|(_, phase)| word_for(*phase) == word)
            .map(|(key, _)| &**key)
            .collect();
        let shown = &keys[..keys.len().min(left)];
        left -= shown.len();
        parts.extend(match (shown.len(), keys.len() - shown.len()) {
            (0, 0) => None,
            (0, hidden) => Some(format!("{word}: {hidden}")),
            (_, 0) => Some(format!("{word}: {}", shown.join(", "))),
            (_, hidden) => Some(format!("{word}: {} and {hidden} more", shown.join(", "))),
        });
    }
    parts.join("; ")
}

fn word_for(phase: MemberPhase) -> &'static str {
    match phase {
        MemberPhase::NotFound => "not declared",
        MemberPhase::NotWatched => "not watched",
        MemberPhase::Invalid => "invalid",
        MemberPhase::Pending | MemberPhase::Settled => "pending",
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
