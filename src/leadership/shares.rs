//! Which connections each of several replicas takes, and which it gives up: decisions alone. A share is
//! a connection and all that names it; whoever holds its lease works on it, by the rules of
//! [`Candidate`] and [`Reign`](super::Reign).
//!
//! Guarantees:
//!
//! * nothing is claimed that its lease does not let go: that is asked of a [`Candidate`] a share;
//! * everybody who sees the same leases comes to the same targets, which differ by one at most, and
//!   whoever holds more keeps more, so that shares that are even stay where they are;
//! * whoever holds too many gives up one at a time, and the next when that one has drained.
//!
//! Caveat: who lives is judged sooner than what they held is free. A replica that hangs for longer than
//! the lease is not counted, and is again when it renews; what it holds stays its own until it is
//! waited out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Moment, Move, Sighting, Terms};

/// What this replica has to do with a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mine {
    /// It works on it, or is about to.
    Held,
    /// It gives it up, and has not drained yet.
    Leaving,
}

/// The leases as they were read together, by name.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Of replicas.
    pub replicas: BTreeMap<String, Sighting>,
    /// Of the shares that there are to hold, and their leases where they have one.
    pub shares: BTreeMap<String, Option<Sighting>>,
    /// Of shares that are no more.
    pub others: BTreeMap<String, Sighting>,
}

/// What follows from a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Shares to claim.
    pub claim: Vec<String>,
    /// Shares to give up.
    pub release: Vec<String>,
    /// Leases that nobody needs any more.
    pub sweep: Vec<String>,
}

/// What one replica has seen of all leases.
#[derive(Clone, Debug)]
pub struct Shares {
    identity: String,
    terms: Terms,
    candidates: BTreeMap<String, Candidate>,
    /// The version of a lease, and since when.
    unchanged: BTreeMap<String, (String, Moment)>,
}

impl Shares {
    /// A replica that has seen nothing yet.
    #[must_use]
    pub fn new(identity: impl Into<String>, terms: Terms) -> Self {
        Self {
            identity: identity.into(),
            terms,
            candidates: BTreeMap::new(),
            unchanged: BTreeMap::new(),
        }
    }

    /// What follows from the leases; `now` is after the answer came.
    pub fn look(&mut self, look: &Look, mine: &BTreeMap<String, Mine>, now: Moment) -> Plan {
        self.time(look, now);
        let (counted, free) = self.standing(look, mine, now);
        let held = mine.iter().filter(|(_, mine)| **mine == Mine::Held);
        let (kept, gone): (Vec<_>, Vec<_>) =
            held.partition(|(name, _)| look.shares.contains_key(*name));
        // Whose connection is no more is given up at once, all of them.
        let mut release: Vec<String> = gone.into_iter().map(|(name, _)| name.clone()).collect();
        let target = self.target(look.shares.len(), &counted);
        let leaves = mine.values().any(|mine| *mine == Mine::Leaving);
        if kept.len() > target && !leaves {
            // Whoever is claimed last by this replica is given up first: it is claimed first by another.
            let least = kept
                .iter()
                .max_by_key(|(name, _)| preference(&self.identity, name));
            release.extend(least.map(|(name, _)| (*name).clone()));
        }
        let mut claim = free;
        // In an order of its own, so that replicas which begin together ask for different ones.
        claim.sort_by_key(|name| preference(&self.identity, name));
        claim.truncate(target.saturating_sub(kept.len()));
        Plan {
            claim,
            release,
            sweep: self.of_no_use(look, mine, now),
        }
    }

    /// Times the changes of every lease.
    fn time(&mut self, look: &Look, now: Moment) {
        let mut unchanged = BTreeMap::new();
        let shares = look.shares.iter();
        let shares = shares.filter_map(|(name, lease)| Some((name, lease.as_ref()?)));
        for (name, lease) in shares.chain(&look.replicas).chain(&look.others) {
            let before = self.unchanged.remove(name);
            let same = before.filter(|(version, _)| *version == lease.version);
            let entry = same.unwrap_or_else(|| (lease.version.clone(), now));
            unchanged.insert(name.clone(), entry);
        }
        self.unchanged = unchanged;
    }

    fn unchanged_for(&self, name: &str, now: Moment) -> Moment {
        let since = self.unchanged.get(name).map_or(now, |(_, since)| *since);
        now.saturating_sub(since)
    }

    /// How many shares each replica that lives holds, and which are to be had.
    fn standing(
        &mut self,
        look: &Look,
        mine: &BTreeMap<String, Mine>,
        now: Moment,
    ) -> (BTreeMap<String, usize>, Vec<String>) {
        let mut counted = BTreeMap::from([(self.identity.clone(), 0)]);
        for (name, lease) in &look.replicas {
            let lives = self.unchanged_for(name, now) < self.terms.lease;
            if let Some(holder) = lease.holder.as_ref().filter(|_| lives) {
                counted.insert(holder.clone(), 0);
            }
        }
        self.candidates
            .retain(|name, _| look.shares.contains_key(name) && !mine.contains_key(name));
        let mut free = Vec::new();
        for (name, lease) in &look.shares {
            let holder = match mine.get(name) {
                Some(Mine::Held) => Some(self.identity.clone()),
                Some(Mine::Leaving) => None,
                None => {
                    let (identity, terms) = (&self.identity, self.terms);
                    let candidate = self
                        .candidates
                        .entry(name.clone())
                        .or_insert_with(|| Candidate::new(identity, terms));
                    match candidate.sees(lease.clone(), now) {
                        Move::Create | Move::Take => {
                            free.push(name.clone());
                            None
                        }
                        Move::Wait(_) => lease.as_ref().and_then(|lease| lease.holder.clone()),
                    }
                }
            };
            if let Some(count) = holder.and_then(|holder| counted.get_mut(&holder)) {
                *count += 1;
            }
        }
        (counted, free)
    }

    /// How many shares this replica is to hold.
    fn target(&self, shares: usize, counted: &BTreeMap<String, usize>) -> usize {
        let ours = counted.get(&self.identity).copied().unwrap_or(0);
        // Those before this one in the order of who holds most, and of names among equals.
        let before = counted.iter().filter(|(name, count)| {
            **count > ours || (**count == ours && name.as_str() < self.identity.as_str())
        });
        let replicas = counted.len().max(1);
        shares / replicas + usize::from(before.count() < shares % replicas)
    }

    /// Leases of replicas and of connections that are gone, once nobody can be at work by them.
    fn of_no_use(&self, look: &Look, mine: &BTreeMap<String, Mine>, now: Moment) -> Vec<String> {
        // Whoever has an eye on one has seen by then how it ended: it holds up nobody.
        let patience = self.terms.wait_out() * 2;
        let named = look.replicas.iter().chain(&look.others);
        named
            .filter(|(name, lease)| {
                let needed = lease.wait_out.saturating_mul(2).max(patience);
                !mine.contains_key(*name)
                    && lease.holder.as_ref() != Some(&self.identity)
                    && self.unchanged_for(name, now) >= needed
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The replicas that live, as of the last look, this one among them.
    #[must_use]
    pub fn replicas(&self, look: &Look, now: Moment) -> BTreeSet<String> {
        let others = look.replicas.iter().filter_map(|(name, lease)| {
            (self.unchanged_for(name, now) < self.terms.lease).then(|| lease.holder.clone())?
        });
        others.chain([self.identity.clone()]).collect()
    }
}

/// In which order a replica wants shares: another one for each replica, and always the same (FNV-1a).
fn preference(identity: &str, share: &str) -> u64 {
    let bytes = identity.bytes().chain([0]).chain(share.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
