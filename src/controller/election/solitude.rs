//! Whether one may work alone: not while others share the connections among them, as they do before this
//! installation is changed from the one to the other.
//!
//! Both sides write first and look then: a leader takes its lease and looks for leases of connections;
//! whoever takes one of these looks at the leader's. So one of two at least sees the other.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;

use super::Candidacy;
use super::lease::{Kind, LeaseOf, sighting};
use crate::leadership::{Candidate, Move};

/// What was seen of the leases of connections, by one who wants to lead.
pub struct Solitude {
    candidacy: Candidacy,
    candidates: BTreeMap<String, Candidate>,
    told: bool,
}

impl Solitude {
    /// Nothing was seen yet.
    pub fn new(candidacy: &Candidacy) -> Self {
        Self {
            candidacy: candidacy.clone(),
            candidates: BTreeMap::new(),
            told: false,
        }
    }

    /// Whether nobody works on a connection by a lease of its own. Such leases are waited out like any.
    pub async fn is_certain(&mut self, leases: &LeaseOf, now: impl Fn() -> Duration) -> bool {
        let Candidacy {
            kind,
            identity,
            terms,
            ..
        } = &self.candidacy;
        if *kind != Kind::Leader {
            return true;
        }
        let asked = now();
        let all = match leases.all().await {
            Ok(all) => all,
            Err(why) => {
                tracing::warn!(why, "whether others share the connections is not known");
                return false;
            }
        };
        if now().saturating_sub(asked) > terms.call_timeout() {
            // The process was paused meanwhile: what was read may be of long ago, and nothing that is
            // written by it is refused for that, as it is where a lease is taken as it was read.
            return false;
        }
        let shared = Kind::Connection(String::new());
        let shares = all.iter().filter(|lease| shared.is_of(lease));
        let shares: BTreeMap<String, _> = shares
            .map(|lease| (lease.name_any(), sighting(lease)))
            .collect();
        // One that was deleted under its holder is waited out as well.
        for name in shares.keys() {
            self.candidates
                .entry(name.clone())
                .or_insert_with(|| Candidate::new(identity, *terms));
        }
        let mut alone = true;
        for (name, candidate) in &mut self.candidates {
            let seen = candidate.sees(shares.get(name).cloned(), now());
            alone &= !matches!(seen, Move::Wait(_));
        }
        if !alone && !std::mem::replace(&mut self.told, true) {
            tracing::info!("standing by: replicas that share the connections have not ended yet");
        }
        alone
    }
}
