//! Which account, or group, is this resource's. Recorded id, then our externalId, then the name as
//! far as the adoption policy allows; two candidates are never guessed between.

use std::collections::BTreeSet;

use super::names;
use super::sighting::Sighting;
use super::validate::Desired;

/// What identity is decided by, of whatever a backend has.
pub trait Sighted {
    /// The mark on it, if it is returned.
    fn external_id(&self) -> Option<&str>;
    /// What it is called: the userName of an account, the displayName of a group.
    fn name(&self) -> Option<&str>;
}

/// What a resource is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The userName of an account, the displayName of a group.
    pub name: &'a str,
    /// The mark that the spec asks for.
    pub external_id: &'a str,
    /// The mark that the operator would give by itself: ours in any case.
    pub own_mark: &'a str,
}

impl<'a> From<&'a Desired> for Wanted<'a> {
    fn from(desired: &'a Desired) -> Self {
        Self {
            name: &desired.user_name,
            external_id: &desired.external_id,
            own_mark: &desired.own_mark,
        }
    }
}

/// What could be this resource's, as the directory knows it.
#[derive(Clone, Debug)]
pub struct Candidates<T> {
    /// The one with the recorded id.
    pub recorded: Option<T>,
    /// The one that `spec.adopt.id` names.
    pub adopt: Option<T>,
    /// Those with the desired externalId.
    pub by_external_id: Vec<T>,
    /// Those that bear the name which we began to create one by, and never learned the outcome.
    pub begun: Vec<T>,
    /// Those with the desired name, ignoring case.
    pub by_name: Vec<T>,
    /// The ids among them that other resources have recorded as theirs.
    pub held: BTreeSet<String>,
    /// Those of their marks that are our owner's, of a resource that is declared no more: what it
    /// left behind, archived or retained, may be taken over by whoever claims it now.
    pub orphaned: BTreeSet<String>,
}

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self {
            recorded: None,
            adopt: None,
            by_external_id: Vec::new(),
            begun: Vec::new(),
            by_name: Vec::new(),
            held: BTreeSet::new(),
            orphaned: BTreeSet::new(),
        }
    }
}

impl<T: Sighting> Candidates<T> {
    /// Takes in what is known of other resources: whether one is declared, by namespace and name, be it
    /// on its way out; and whether another has recorded an id as its own, since one account is never two
    /// people's.
    pub fn judge(
        &mut self,
        owner: &str,
        declared: impl Fn(&str, &str) -> bool,
        taken: impl Fn(&str) -> bool,
    ) {
        let Self {
            recorded,
            adopt,
            by_external_id,
            begun,
            by_name,
            held,
            orphaned,
        } = self;
        let named = recorded.iter().chain(&*adopt).chain(&*by_name);
        let marks = named.filter_map(Sighted::external_id);
        *orphaned = marks
            .filter(|mark| is_orphaned(owner, mark, &declared))
            .map(str::to_owned)
            .collect();
        if recorded.is_none() {
            let open = adopt.iter().chain(&*by_external_id);
            let open = open.chain(&*begun).chain(&*by_name).map(Sighting::id);
            *held = open.filter(|id| taken(id)).map(str::to_owned).collect();
        }
    }
}

/// Whether a mark is of this owner, and of a resource that is declared no more.
pub fn is_orphaned(owner: &str, mark: &str, declared: impl Fn(&str, &str) -> bool) -> bool {
    names::resource_of_mark(owner, mark).is_some_and(|(namespace, name)| !declared(namespace, name))
}

/// What the connection and the resource allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdoptionPolicy {
    /// One with the spec's own, explicit externalId may be taken over.
    pub external_id: bool,
    /// One with the same name may be taken over.
    pub name: bool,
    /// `spec.adopt.id` is set.
    pub by_id: bool,
    /// `spec.externalId` is set, so it is no proof that what carries it is ours.
    pub explicit_external_id: bool,
}

/// The outcome of the search.
#[derive(Clone, Debug, PartialEq)]
pub enum Identity<T> {
    /// Ours already.
    Ours(T),
    /// Taken over by policy.
    Adopted(T),
    /// One is there that the policy does not let us take.
    AdoptionRequired,
    /// It carries the mark of another operator or resource.
    OwnedByOther,
    /// More than one matches.
    Ambiguous,
    /// There is none yet.
    Nobody,
}

impl<T> Identity<T> {
    /// What is worked on, and whether it was just taken over; else what stands in the way.
    pub fn taken(self) -> Result<(T, bool), Self> {
        match self {
            Self::Ours(found) => Ok((found, false)),
            Self::Adopted(found) => Ok((found, true)),
            other => Err(other),
        }
    }
}

/// Decides among candidates. Every match is re-checked here, since servers ignore filters.
///
/// What a resource that is gone left behind goes to whoever claims the name in the same namespace; in
/// another one it takes the policy, or the id.
pub fn identify<T: Sighting>(
    wanted: &Wanted<'_>,
    candidates: Candidates<T>,
    policy: AdoptionPolicy,
) -> Identity<T> {
    let Wanted {
        name,
        external_id,
        own_mark,
    } = *wanted;
    let Candidates {
        recorded,
        adopt,
        by_external_id,
        begun,
        by_name,
        held,
        orphaned,
    } = candidates;
    let marked_by_another = |candidate: &T| {
        let mark = candidate.external_id();
        mark != Some(external_id) && names::is_mark_of_another(mark, own_mark)
    };
    let left_behind = |candidate: &T| {
        let mark = candidate.external_id();
        marked_by_another(candidate) && mark.is_some_and(|mark| orphaned.contains(mark))
    };
    let left_here = |candidate: &T| {
        let mark = candidate.external_id().unwrap_or_default();
        left_behind(candidate) && names::same_namespace(mark, own_mark)
    };
    let foreign = |candidate: &T| {
        held.contains(candidate.id()) || (marked_by_another(candidate) && !left_behind(candidate))
    };
    if let Some(recorded) = recorded {
        // An id means nothing at another backend: the mark of another resource betrays a stranger.
        return if marked_by_another(&recorded) && !left_behind(&recorded) {
            Identity::OwnedByOther
        } else {
            Identity::Ours(recorded)
        };
    }
    if policy.by_id {
        return adopt.map_or(Identity::AdoptionRequired, |candidate| {
            if foreign(&candidate) {
                Identity::OwnedByOther
            } else {
                Identity::Adopted(candidate)
            }
        });
    }
    let mut marked = by_external_id
        .into_iter()
        .filter(|candidate| candidate.external_id() == Some(external_id));
    let marked = match (marked.next(), marked.next()) {
        (Some(_), Some(_)) => return Identity::Ambiguous,
        (Some(candidate), None) if !policy.explicit_external_id => {
            return Identity::Ours(candidate);
        }
        (marked, _) => marked,
    };
    let unmarked = |candidate: &T| {
        let mark = candidate.external_id();
        mark.is_none_or(|mark| mark == external_id || mark == own_mark)
    };
    let mut begun = begun
        .into_iter()
        .filter(|candidate| unmarked(candidate) && !foreign(candidate));
    match (begun.next(), begun.next()) {
        (Some(_), Some(_)) => return Identity::Ambiguous,
        // Nobody had the name when the create began.
        (Some(candidate), None) => return Identity::Ours(candidate),
        (None, _) => {}
    }
    match marked {
        Some(candidate) if foreign(&candidate) => return Identity::OwnedByOther,
        Some(candidate) if policy.external_id => return Identity::Adopted(candidate),
        Some(_) => return Identity::AdoptionRequired,
        None => {}
    }
    let folded = names::fold_name(name);
    let same = |candidate: &T| candidate.name().map(names::fold_name).as_ref() == Some(&folded);
    let mut named = by_name.into_iter().filter(same);
    match (named.next(), named.next()) {
        (None, _) => Identity::Nobody,
        (Some(_), Some(_)) => Identity::Ambiguous,
        (Some(candidate), None) if foreign(&candidate) => Identity::OwnedByOther,
        (Some(candidate), None) if policy.name || left_here(&candidate) => {
            Identity::Adopted(candidate)
        }
        (Some(_), None) => Identity::AdoptionRequired,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
