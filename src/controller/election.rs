//! Leads by a Lease, or stands by: what `leadership` decides, done with the API server.
//!
//! Whoever leads holds two fences open by renewing: one before requests to backends, one before writes
//! to the API server. Both close by time alone, so that a process that was paused finds them closed
//! when it wakes. What has lost the lease never leads again; its process ends and is started anew.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::lease::{Answer, LeaseOf, sighting};
use self::solitude::Solitude;
use crate::leadership::{Candidate, Move, Reign, Step, Terms};

mod fences;
pub mod lease;
mod solitude;

pub use self::fences::Fences;
pub use self::lease::Kind;

/// How much longer than the longest request a drain may take that was asked for: what became of the
/// request is still to be told.
const TO_TELL: Duration = Duration::from_secs(5);
/// How long the release may take after that. The pod's grace has to be longer than the request and both.
const TO_RELEASE: Duration = Duration::from_secs(5);

/// Which lease, and as whom.
#[derive(Clone, Debug)]
pub struct Candidacy {
    /// The namespace of the lease.
    pub namespace: String,
    /// The name of the lease.
    pub lease: String,
    /// What it is for.
    pub kind: Kind,
    /// Who this process is: no other, of before or of now, goes by that name.
    pub identity: String,
    /// The durations.
    pub terms: Terms,
}

/// Why a leader stopped leading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The API server did not confirm a renewal in time.
    #[error("the lease could not be renewed in time")]
    NotRenewed,
    /// Another holds it, or somebody released or deleted it.
    #[error("the lease is no longer ours")]
    NotOurs,
    /// The task that renewed ended by itself, which it should not.
    #[error("the renewing of the lease ended by itself")]
    Renewing,
}

/// A lease that was taken, and since when.
pub struct Won {
    lease: Lease,
    reign: Reign,
}

/// A process that takes part in the election.
pub struct Election {
    lease: LeaseOf,
    candidacy: Candidacy,
    fences: Fences,
    started: Instant,
    /// The lease was asked for, and nobody knows what became of that.
    asked: AtomicBool,
}

impl Election {
    /// Prepares; nothing is sent yet.
    ///
    /// # Errors
    /// When the configuration is of no use.
    pub fn new(config: Config, candidacy: Candidacy, fences: Fences) -> kube::Result<Self> {
        let client = lease::client(config, &candidacy.terms)?;
        Ok(Self::by(client, candidacy, fences))
    }

    /// The same by a client of [`lease::client`].
    #[must_use]
    pub fn by(client: Client, candidacy: Candidacy, fences: Fences) -> Self {
        Self {
            lease: LeaseOf::new(client, candidacy.clone()),
            candidacy,
            fences,
            started: Instant::now(),
            asked: AtomicBool::new(false),
        }
    }

    /// Stands by until the lease is won, then works until `stop`, drains, and releases the lease (R22).
    ///
    /// # Errors
    /// [`Lost`], once the work was stopped because the lease was lost (R08).
    pub async fn lead<W: Future<Output = ()>>(
        self,
        stop: impl Future<Output = ()> + Send + Sync + 'static,
        work: impl FnOnce(Shutdown) -> W,
    ) -> Result<(), Lost> {
        let stop = stop.shared();
        let election = Arc::new(self);
        let won = tokio::select! {
            won = election.win() => won,
            () = stop.clone() => {
                election.withdraw().await;
                return Ok(());
            }
        };
        election.hold(won, stop, work).await
    }

    /// Works by a lease that was won until `stop`, drains, and releases it.
    ///
    /// # Errors
    /// As [`Election::lead`].
    pub async fn hold<W: Future<Output = ()>>(
        self: Arc<Self>,
        won: Won,
        stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
        work: impl FnOnce(Shutdown) -> W,
    ) -> Result<(), Lost> {
        let election = self;
        let (tell, lost) = watch::channel(false);
        // In a set, so that it ends with this: where the work panics, nobody goes on renewing for it.
        let mut keeper = JoinSet::new();
        keeper.spawn({
            let election = election.clone();
            async move {
                let why = election.keep(won).await;
                // Another may have been told that nobody holds it: it is not for the deadline to close.
                election.fences.close_begin();
                match election.candidacy.kind {
                    Kind::Leader => {
                        tracing::error!(%why, "this process leads no longer: nothing further is begun, and it ends");
                    }
                    _ => {
                        tracing::warn!(%why, lease = election.candidacy.lease, "lost: nothing further is begun by this lease")
                    }
                }
                tell.send_replace(true);
                why
            }
        });
        let longest = election.candidacy.terms.longest_request;
        let drained = drained(work, stop, lost, longest).await;
        keeper.abort_all();
        let outcome = match keeper.join_next().await {
            Some(Ok(why)) => Err(why),
            Some(Err(ended)) if ended.is_cancelled() => Ok(()),
            Some(Err(_)) | None => Err(Lost::Renewing),
        };
        // Before the release: from then on another may write at once.
        election.fences.close();
        if !drained {
            let lease = &election.candidacy.lease;
            tracing::warn!(
                lease,
                "not all work ended in time: the next leader waits the lease out"
            );
        } else if timeout(TO_RELEASE, election.release()).await.is_err() {
            tracing::warn!("no time is left to release the lease: the next leader waits it out");
        }
        outcome
    }

    /// Stands by until the lease is ours.
    async fn win(&self) -> Won {
        let Candidacy {
            identity, terms, ..
        } = &self.candidacy;
        let mut candidate = Candidate::new(identity, *terms);
        let mut alone = Solitude::new(&self.candidacy);
        let mut told = None;
        loop {
            let lease = match self.lease.read().await {
                Answer::Is(lease) => Some(*lease),
                Answer::Absent => None,
                unknown => {
                    tracing::warn!(%unknown, "the lease could not be read");
                    sleep(terms.look_every()).await;
                    continue;
                }
            };
            let sighting = lease.as_ref().map(sighting);
            let holder = sighting.as_ref().and_then(|s| s.holder.clone());
            let lease = match candidate.sees(sighting, self.now()) {
                Move::Wait(wait) => {
                    if told != Some(holder.clone()) {
                        tracing::info!(holder, "standing by");
                        told = Some(holder);
                    }
                    sleep(wait).await;
                    continue;
                }
                Move::Take => lease,
                Move::Create => None,
            };
            if !alone.is_certain(&self.lease, || self.now()).await {
                sleep(terms.look_every()).await;
                continue;
            }
            if let Some(won) = self.take(lease).await {
                // Once more: whoever took a share meanwhile may have looked before this was taken.
                if alone.is_certain(&self.lease, || self.now()).await
                    && self.fences.move_to(self.started, &won.reign)
                {
                    match self.candidacy.kind {
                        Kind::Leader => {
                            tracing::info!(identity, waited_out = holder, "leading");
                        }
                        _ => tracing::info!(identity, "counted among the replicas"),
                    }
                    return won;
                }
                let _ = self.lease.give_back(won.lease).await;
            }
            // Whatever it is that stands in the way, it is not asked for without a pause.
            sleep(terms.look_every()).await;
        }
    }

    /// Takes the lease as it was read, or makes it, once: `None` where that did not come about, or nobody
    /// knows. What it is good for opens with [`Election::open`].
    pub async fn take(&self, lease: Option<Lease>) -> Option<Won> {
        let sent = self.now();
        self.asked.store(true, Ordering::Relaxed);
        match self.lease.take(lease).await {
            Answer::Is(lease) => {
                let reign = Reign::begun(self.candidacy.terms, sent);
                // An answer that took longer than the deadline: the lease is ours, and is taken anew.
                (reign.next(self.now()) != Step::GiveUp).then_some(Won {
                    lease: *lease,
                    reign,
                })
            }
            refused @ (Answer::Absent | Answer::Conflict) => {
                self.asked.store(false, Ordering::Relaxed);
                tracing::debug!(%refused, lease = self.candidacy.lease, "the lease was not to be had");
                None
            }
            unknown => {
                tracing::warn!(%unknown, lease = self.candidacy.lease, "the lease could not be taken");
                None
            }
        }
    }

    /// Opens the fences of a lease that was taken. False where it is too late for that.
    #[must_use]
    pub fn open(&self, won: &Won) -> bool {
        self.fences.move_to(self.started, &won.reign)
    }

    /// Gives back what was taken and not worked by.
    pub async fn decline(&self, won: Won) {
        self.fences.close();
        let _ = self.lease.give_back(won.lease).await;
    }

    /// Renews until that fails for too long, or the lease is another's.
    async fn keep(&self, won: Won) -> Lost {
        let Won {
            mut lease,
            mut reign,
        } = won;
        loop {
            let within = match reign.next(self.now()) {
                Step::GiveUp => return Lost::NotRenewed,
                Step::Rest(rest) => {
                    sleep(rest).await;
                    continue;
                }
                Step::Renew(within) => within,
            };
            let sent = self.now();
            let answer = match self.lease.renew(lease.clone(), within).await {
                Answer::Is(now) => {
                    // Between the two the process may have been paused: a fence that closed decides.
                    if !reign.renewed(sent, self.now())
                        || !self.fences.move_to(self.started, &reign)
                    {
                        return Lost::NotRenewed;
                    }
                    lease = *now;
                    continue;
                }
                Answer::Absent => return Lost::NotOurs,
                // A renewal of ours whose answer was lost, or somebody who labelled the lease.
                Answer::Conflict => match self.lease.read().await {
                    Answer::Is(now) if self.lease.is_ours(&now) => {
                        lease = *now;
                        continue;
                    }
                    Answer::Is(_) | Answer::Absent => return Lost::NotOurs,
                    unknown => unknown,
                },
                unknown => unknown,
            };
            tracing::warn!(unknown = %answer, "the lease could not be renewed");
            match answer {
                Answer::Hung(_) => reign.hung(self.now()),
                _ => reign.failed(self.now()),
            }
        }
    }

    /// Lets the next one start at once, where the lease is still ours. False where it is not.
    async fn release(&self) -> bool {
        for _ in 0..3 {
            let lease = match self.lease.read().await {
                Answer::Is(lease) if self.lease.is_ours(&lease) => *lease,
                Answer::Is(_) | Answer::Absent => return false,
                _ => continue,
            };
            match self.lease.give_back(lease).await {
                Answer::Is(_) => {
                    tracing::info!(lease = self.candidacy.lease, "the lease is released");
                    return true;
                }
                Answer::Absent => return false,
                _ => {}
            }
        }
        tracing::warn!("the lease could not be released: the next leader waits until it is over");
        true
    }

    /// Releases what was asked for in the last moment: a call that takes the lease may have been under
    /// way, and the API server may write it after the first look.
    async fn withdraw(&self) {
        if self.asked.load(Ordering::Relaxed) && !self.release().await {
            sleep(self.candidacy.terms.call_timeout()).await;
            self.release().await;
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Works until it is to end and has: true. False where it did not end in time: by then nothing that it
/// began is at work at a backend, and what still waits for the API server waits in vain.
async fn drained<W: Future<Output = ()>>(
    work: impl FnOnce(Shutdown) -> W,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
    lost: watch::Receiver<bool>,
    longest_request: Duration,
) -> bool {
    let shutdown: Shutdown = {
        let (stop, lost) = (stop.clone(), lost.clone());
        Box::pin(async move {
            tokio::select! {
                () = stop => {}
                () = told(lost) => {}
            }
        })
    };
    let overdue = async {
        let stopped = async {
            stop.await;
            sleep(longest_request + TO_TELL).await;
        };
        // Both fences are closed by then.
        let lost = async {
            told(lost).await;
            sleep(longest_request).await;
        };
        tokio::select! {
            () = stopped => {}
            () = lost => {}
        }
    };
    tokio::select! {
        () = work(shutdown) => true,
        () = overdue => false,
    }
}

/// Ends when the work shall end.
pub type Shutdown = std::pin::Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Ends once the lease is lost, or nobody is there any more to renew it and to tell.
async fn told(mut lost: watch::Receiver<bool>) {
    let _ = lost.wait_for(|lost| *lost).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
