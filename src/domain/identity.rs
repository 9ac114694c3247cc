//! Which account is this person's. Recorded id, then our externalId, then userName as far as the
//! adoption policy allows; two candidates are never guessed between.

use std::collections::BTreeSet;

use super::names;
use super::observed::Observed;
use super::validate::Desired;

/// The accounts that could be this person's, as the directory knows them.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// The account with the recorded id.
    pub recorded: Option<Observed>,
    /// The account that `spec.adopt.id` names.
    pub adopt: Option<Observed>,
    /// Accounts with the desired externalId.
    pub by_external_id: Vec<Observed>,
    /// Accounts with the desired userName, ignoring case.
    pub by_user_name: Vec<Observed>,
    /// Those of their marks that are our owner's, of a resource that is declared no more: what it
    /// left behind, archived or retained, may be taken over by whoever claims the person now.
    pub orphaned: BTreeSet<String>,
}

/// What the connection and the resource allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdoptionPolicy {
    /// An account with the spec's own, explicit externalId may be taken over.
    pub external_id: bool,
    /// An account with the same userName may be taken over.
    pub user_name: bool,
    /// `spec.adopt.id` is set.
    pub by_id: bool,
    /// We began to create this very userName and never learned the outcome.
    pub creating: bool,
    /// `spec.externalId` is set, so it is no proof that the account is ours.
    pub explicit_external_id: bool,
}

/// The outcome of the search.
#[derive(Clone, Debug, PartialEq)]
pub enum Identity {
    /// Ours already.
    Ours(Observed),
    /// Taken over by policy.
    Adopted(Observed),
    /// An account is there that the policy does not let us take.
    AdoptionRequired,
    /// The account carries the mark of another operator or resource.
    OwnedByOther,
    /// More than one account matches.
    Ambiguous,
    /// Nobody yet.
    Nobody,
}

/// Decides among candidates. Every match is re-checked here, since servers ignore filters.
pub fn identify(desired: &Desired, candidates: Candidates, policy: AdoptionPolicy) -> Identity {
    let orphaned = candidates.orphaned;
    let marked_by_another = |account: &Observed| {
        let mark = account.external_id.as_deref();
        mark != Some(&*desired.external_id) && names::is_mark_of_another(mark, &desired.own_mark)
    };
    let left_behind = |account: &Observed| {
        let mark = account.external_id.as_deref();
        marked_by_another(account) && mark.is_some_and(|mark| orphaned.contains(mark))
    };
    let foreign = |account: &Observed| marked_by_another(account) && !left_behind(account);
    if let Some(account) = candidates.recorded {
        // An id means nothing at another backend: the mark of another resource betrays a stranger.
        return if foreign(&account) {
            Identity::OwnedByOther
        } else {
            Identity::Ours(account)
        };
    }
    if policy.by_id {
        return candidates
            .adopt
            .map_or(Identity::AdoptionRequired, |account| {
                if foreign(&account) {
                    Identity::OwnedByOther
                } else {
                    Identity::Adopted(account)
                }
            });
    }
    let mut marked = candidates
        .by_external_id
        .into_iter()
        .filter(|a| a.external_id.as_deref() == Some(&*desired.external_id));
    match (marked.next(), marked.next()) {
        (Some(_), Some(_)) => return Identity::Ambiguous,
        (Some(account), None) if !policy.explicit_external_id => return Identity::Ours(account),
        (Some(account), None) if policy.external_id || policy.creating => {
            return Identity::Adopted(account);
        }
        (Some(_), None) => return Identity::AdoptionRequired,
        (None, _) => {}
    }
    let wanted = names::fold_user_name(&desired.user_name);
    let same =
        |a: &Observed| a.user_name.as_deref().map(names::fold_user_name).as_ref() == Some(&wanted);
    let mut named = candidates.by_user_name.into_iter().filter(same);
    match (named.next(), named.next()) {
        (None, _) => Identity::Nobody,
        (Some(_), Some(_)) => Identity::Ambiguous,
        (Some(account), None) if foreign(&account) => Identity::OwnedByOther,
        (Some(account), None)
            if policy.user_name
                || left_behind(&account)
                || (policy.creating && account.external_id.is_none()) =>
        {
            Identity::Adopted(account)
        }
        (Some(_), None) => Identity::AdoptionRequired,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
