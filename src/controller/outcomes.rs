//! How users and groups came out, for the counts of their connection, and whom something concerns.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::api::conditions::Reason;
use crate::controller::index::Key;

/// How a user came out, for the connection's counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which count it belongs to.
    pub state: State,
    /// Of its Ready condition.
    pub reason: Reason,
    /// The account's id, when there is one.
    pub id: Option<String>,
    /// The account is archived.
    pub archived: bool,
    /// A change at the backend may settle it.
    pub retry_on_listing: bool,
    /// The backend keeps an account active, or archived, against what it was told.
    pub retry_soon: bool,
    /// It is to leave, and whether it may is not decided: its pass did not come so far.
    pub undecided: bool,
}

impl Outcome {
    /// In step, with that account if there is one.
    pub fn in_step(id: Option<String>) -> Self {
        Self {
            state: State::InStep,
            reason: Reason::Synced,
            id,
            archived: false,
            retry_on_listing: false,
            retry_soon: false,
            undecided: false,
        }
    }
}

/// How something came out.
pub trait CameOut {
    /// Whether the counts of the connection, and the groups of the user, see no difference: for which reason is
    /// none of theirs.
    fn counts_as(&self, other: &Self) -> bool;

    /// The reason of its Ready condition.
    fn reason(&self) -> Reason;
}

/// Notes how one came out; true when that changes the counts.
pub fn put<O: CameOut>(all: &mut HashMap<Key, O>, key: &Key, outcome: Option<O>) -> bool {
    match outcome {
        Some(outcome) => {
            let same = all.get(key).is_some_and(|old| old.counts_as(&outcome));
            all.insert(key.clone(), outcome);
            !same
        }
        None => all.remove(key).is_some(),
    }
}

/// How many came out for which reason.
pub fn by_reason<O: CameOut>(all: &HashMap<Key, O>) -> BTreeMap<Reason, usize> {
    let mut counted = BTreeMap::new();
    for outcome in all.values() {
        *counted.entry(outcome.reason()).or_default() += 1;
    }
    counted
}

impl CameOut for Outcome {
    fn reason(&self) -> Reason {
        self.reason
    }

    fn counts_as(&self, other: &Self) -> bool {
        let Self {
            state,
            reason: _,
            id,
            archived,
            retry_on_listing,
            retry_soon,
            undecided,
        } = self;
        *state == other.state
            && *id == other.id
            && *archived == other.archived
            && *retry_on_listing == other.retry_on_listing
            && *retry_soon == other.retry_soon
            && *undecided == other.undecided
    }
}

impl CameOut for GroupOutcome {
    fn reason(&self) -> Reason {
        self.reason
    }

    fn counts_as(&self, other: &Self) -> bool {
        let Self {
            state,
            reason: _,
            id,
            retry_on_listing,
        } = self;
        *state == other.state && *id == other.id && *retry_on_listing == other.retry_on_listing
    }
}

/// The states that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In step.
    InStep,
    /// A rule is broken.
    Invalid,
    /// Everything else.
    Failing,
}

/// Those who wait for something, or whom something concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// Users.
    pub users: HashSet<Key>,
    /// Groups.
    pub groups: HashSet<Key>,
}

impl Woken {
    /// Some users, and no group.
    pub fn users(keys: HashSet<Key>) -> Self {
        Self {
            users: keys,
            groups: HashSet::new(),
        }
    }

    /// Some groups, and no user.
    pub fn groups(keys: HashSet<Key>) -> Self {
        Self {
            users: HashSet::new(),
            groups: keys,
        }
    }

    /// Takes one out, a user if there is any.
    pub fn take_one(&mut self) -> Self {
        let mut one = Self::default();
        if let Some(user) = self.users.iter().next().cloned() {
            one.users.extend(self.users.take(&user));
        } else if let Some(group) = self.groups.iter().next().cloned() {
            one.groups.extend(self.groups.take(&group));
        }
        one
    }

    /// Adds others.
    pub fn extend(&mut self, others: Self) {
        let Self { users, groups } = others;
        self.users.extend(users);
        self.groups.extend(groups);
    }
}

/// How a group came out, for the connection's counts and for whoever listens to the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOutcome {
    /// Which count it belongs to.
    pub state: State,
    /// Of its Ready condition.
    pub reason: Reason,
    /// The group's id, when there is one.
    pub id: Option<String>,
    /// A change at the backend may settle it.
    pub retry_on_listing: bool,
}
