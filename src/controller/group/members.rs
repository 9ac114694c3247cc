//! Who the members of a group are, and whether each has an account: from the watch of ScimUsers and
//! from what their own reconciler last found. No request is made.

use std::collections::{BTreeSet, HashSet};

use kube::core::SelectorExt;

use crate::api::ScimUser;
use crate::api::conditions::ConditionType as C;
use crate::controller::finalizer;
use crate::controller::group::Pass;
use crate::controller::group::index::{named, selector};
use crate::controller::index::Key;
use crate::controller::kept::KeptUser;
use crate::controller::live::{Connection, Outcome, Ready, State};
use crate::controller::scope;
use crate::domain::group::{Member, MemberPhase, MemberState};
use crate::domain::names;

/// The members of a group.
pub struct Declared {
    /// Each once.
    pub members: Vec<Member>,
    /// Some of them will have an account soon: their first pass is not over.
    pub on_their_way: bool,
}

/// The members that a group names or selects.
pub fn declared(pass: &Pass<'_>, connection: &Connection) -> Declared {
    let mut seen = HashSet::new();
    let mut members = Vec::new();
    let mut on_their_way = false;
    let mut add = |key: Key, kept: Option<&KeptUser>| {
        if !seen.insert(key.clone()) {
            return;
        }
        let outcome = connection.outcome_of(&key);
        // Only of whom nothing is known yet the status speaks; the others need not be opened.
        let unseen = kept.filter(|_| outcome.is_none());
        let user = unseen.and_then(KeptUser::open);
        let member = member(pass, &key, kept.is_some(), user.as_ref(), outcome.as_ref());
        // A user that fails and is tried again by itself, or was not looked at yet.
        on_their_way |= kept.is_some()
            && member.state.id.is_none()
            && outcome.is_none_or(|o| o.state == State::Failing && !o.retry_on_listing);
        members.push(member);
    };
    let context = pass.context;
    for key in named(pass.group) {
        let user = context.kept(&key);
        let user = user.filter(|user| belongs(pass, connection, &key, user));
        add(key, user.as_deref());
    }
    if let Some(selector) = selector(pass.group) {
        for key in context.index(|index| index.members_of(&connection.key)) {
            let kept = context.kept(&key);
            let chosen = kept.filter(|user| selector.matches(user.labels()));
            if let Some(user) = chosen.filter(|user| belongs(pass, connection, &key, user)) {
                add(key, Some(&user));
            }
        }
    }
    if selector(pass.group).is_some() {
        // Whom a selector chooses is not known while some cannot be read, or all are being deleted with
        // their kind: as long as somebody is unresolved, nobody is removed.
        let mut hidden: Vec<String> = context
            .unreadable
            .users()
            .iter()
            .map(Key::to_string)
            .collect();
        if scope::kind_is_ending::<ScimUser>(context) {
            hidden.push(scope::definition::<ScimUser>());
        }
        members.extend(hidden.into_iter().map(|key| Member {
            key,
            state: MemberState {
                id: None,
                phase: MemberPhase::NotFound,
                archived: false,
            },
        }));
    }
    Declared {
        members,
        on_their_way,
    }
}

/// Of those who are in the group now, whose resource nobody sees: whom a selector chooses among them is not known, and
/// they stay. An account says by its mark whose it is; one without a mark is nobody's that is hidden.
pub fn hidden(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    current: &BTreeSet<String>,
) -> Vec<Member> {
    let context = pass.context;
    if selector(pass.group).is_none() || context.options.watched.is_all() {
        return Vec::new();
    }
    let directory = connection.directory_of(ready);
    let whose = |id: &String| {
        let account = directory.last_known(id)?;
        let mark = account.external_id.as_deref()?;
        let (namespace, name) = names::resource_of_mark(&ready.owner_id, mark)?;
        let key = Key::new(namespace, name);
        (context.hides(namespace) && !context.is_declared(&key)).then(|| Member {
            key: key.to_string(),
            state: MemberState {
                id: Some(id.clone()),
                phase: MemberPhase::NotWatched,
                archived: account.active == Some(false),
            },
        })
    };
    current.iter().filter_map(whose).collect()
}

/// Whether a user is one of this connection's, let in by it, and not gone. Whoever is deleted stays a
/// member until that is carried out: the guard may hold it, and it may be a mistake that is put right.
fn belongs(pass: &Pass<'_>, connection: &Connection, key: &Key, user: &KeptUser) -> bool {
    let context = pass.context;
    let is_held = || {
        let user = user.open().filter(|_| user.is_bound);
        user.is_some_and(|user| finalizer::owes(context, &user))
    };
    context.index(|index| index.is_member_of(key, &connection.key))
        && pass.lets_in(&key.namespace)
        && (!user.is_going || is_held())
}

fn member(
    pass: &Pass<'_>,
    key: &Key,
    is_there: bool,
    user: Option<&ScimUser>,
    outcome: Option<&Outcome>,
) -> Member {
    let condition = |kind: C, status: &str| {
        let conditions = user.and_then(|u| u.status.as_ref()).map(|s| &s.conditions);
        conditions
            .into_iter()
            .flatten()
            .any(|c| c.type_ == kind.as_str() && c.status == status)
    };
    // Before a user was looked at after a start, its status speaks, unless of another backend.
    let recorded = || {
        let status = user?.status.as_ref()?;
        (status.endpoint_hash == pass.endpoint_hash)
            .then(|| status.id.clone())
            .flatten()
    };
    let id = match outcome {
        Some(outcome) => outcome.id.clone(),
        None => recorded(),
    };
    let invalid = match outcome {
        Some(outcome) => outcome.state == State::Invalid,
        None => condition(C::Valid, "False"),
    };
    let phase = match is_there {
        false if !pass.context.sees(&key.namespace) => MemberPhase::NotWatched,
        false => MemberPhase::NotFound,
        true if invalid => MemberPhase::Invalid,
        true if id.is_some() => MemberPhase::Settled,
        true => MemberPhase::Pending,
    };
    let state = MemberState {
        id: id.filter(|_| is_there),
        phase,
        archived: outcome.map_or_else(|| condition(C::Archived, "True"), |o| o.archived),
    };
    Member {
        key: key.to_string(),
        state,
    }
}
