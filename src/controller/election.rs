//! Leads by a Lease, or stands by: what `leadership` decides, done with the API server.
//!
//! Whoever leads holds two fences open by renewing: one before requests to backends, one before writes
//! to the API server. Both close by time alone, so that a process that was paused finds them closed
//! when it wakes. What has lost the lease never leads again; its process ends and is started anew.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tower::BoxError;
use tower::filter::FilterLayer;

use crate::leadership::{Candidate, Move, Reign, Sighting, Step, Terms};
use crate::scim::Fence;

/// Until when this process may write, and how long a request may take.
#[derive(Clone, Debug)]
pub struct Fences {
    begin: Fence,
    report: Fence,
}

impl Fences {
    /// Nothing is written before the lease is won.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            begin: Fence::not_yet(),
            report: Fence::not_yet(),
        }
    }

    /// There is no election, and this process writes as it likes.
    #[must_use]
    pub fn none() -> Self {
        Self {
            begin: Fence::none(),
            report: Fence::none(),
        }
    }

    /// The fence before requests to backends.
    #[must_use]
    pub fn of_requests(&self) -> Fence {
        self.begin.clone()
    }

    /// A client of the API server that reads always, and writes while the fence is open.
    ///
    /// # Errors
    /// When the configuration is of no use.
    pub fn client(&self, config: Config) -> kube::Result<Client> {
        let fence = self.report.clone();
        let only_the_leader_writes = FilterLayer::new(move |request: http::Request<Body>| {
            if request.method() == http::Method::GET || fence.is_open() {
                Ok(request)
            } else {
                Err(BoxError::from("this process does not lead"))
            }
        });
        Ok(ClientBuilder::try_from(config)?
            .with_layer(&only_the_leader_writes)
            .build())
    }

    fn close(&self) {
        self.begin.close();
        self.report.close();
    }
}

/// Which lease, and as whom.
#[derive(Clone, Debug)]
pub struct Candidacy {
    /// The namespace of the lease.
    pub namespace: String,
    /// The name of the lease.
    pub lease: String,
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

/// A process that takes part in the election.
pub struct Election {
    api: Api<Lease>,
    candidacy: Candidacy,
    fences: Fences,
    started: Instant,
}

/// What came of a call.
enum Answer {
    /// The lease, as it is now.
    Is(Box<Lease>),
    /// There is none.
    Absent,
    /// Somebody else was faster.
    Conflict,
    /// Nobody knows, and why.
    Unknown(String),
}

impl Election {
    /// Prepares; nothing is sent yet. The client is one of its own, so that no amount of other work
    /// stands before a renewal, and retries nothing by itself (R24).
    ///
    /// # Errors
    /// When the configuration is of no use.
    pub fn new(mut config: Config, candidacy: Candidacy, fences: Fences) -> kube::Result<Self> {
        config.default_retry = false;
        config.connect_timeout = Some(candidacy.terms.call_timeout());
        let api = Api::namespaced(Client::try_from(config)?, &candidacy.namespace);
        Ok(Self {
            api,
            candidacy,
            fences,
            started: Instant::now(),
        })
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
                // A call that takes the lease may have been under way.
                election.release().await;
                return Ok(());
            }
        };
        let (tell, lost) = watch::channel(false);
        let keeper = tokio::spawn({
            let election = election.clone();
            async move {
                let why = election.keep(won).await;
                tracing::error!(%why, "this process leads no longer: nothing further is begun, and it ends");
                tell.send_replace(true);
                why
            }
        });
        let shutdown: Shutdown = {
            let (stop, lost) = (stop.clone(), lost.clone());
            Box::pin(async move {
                tokio::select! {
                    () = stop => {}
                    () = told(lost) => {}
                }
            })
        };
        // After that both fences are closed: what still waits for the API server waits in vain.
        let longest = election.candidacy.terms.longest_request;
        let overdue = async {
            told(lost.clone()).await;
            sleep(longest).await;
        };
        let drained = tokio::select! {
            () = work(shutdown) => true,
            () = overdue => false,
        };
        keeper.abort();
        let outcome = match keeper.await {
            Ok(why) => Err(why),
            Err(ended) if ended.is_cancelled() => Ok(()),
            Err(_) => Err(Lost::Renewing),
        };
        // Before the release: from then on another may write at once.
        election.fences.close();
        if drained {
            election.release().await;
        }
        outcome
    }

    /// Stands by until the lease is ours.
    async fn win(&self) -> (Lease, Reign) {
        let Candidacy {
            identity, terms, ..
        } = &self.candidacy;
        let mut candidate = Candidate::new(identity, *terms);
        let mut told = None;
        loop {
            let lease = match self.read().await {
                Answer::Is(lease) => Some(lease),
                Answer::Absent => None,
                Answer::Conflict => continue,
                Answer::Unknown(why) => {
                    tracing::warn!(why, "the lease could not be read");
                    sleep(terms.look_every()).await;
                    continue;
                }
            };
            let sighting = lease.as_deref().map(sighting);
            let holder = sighting.as_ref().and_then(|s| s.holder.clone());
            let next = candidate.sees(sighting, self.now());
            let sent = self.now();
            let taken = match (next, lease) {
                (Move::Wait(wait), _) => {
                    if told != Some(holder.clone()) {
                        tracing::info!(holder, "standing by");
                        told = Some(holder);
                    }
                    sleep(wait).await;
                    continue;
                }
                (Move::Take, Some(lease)) => self.write(self.taken(*lease), None).await,
                (Move::Create | Move::Take, _) => self.create().await,
            };
            match taken {
                Answer::Is(lease) => {
                    let reign = Reign::begun(*terms, sent);
                    // An answer that took longer than the deadline: the lease is ours, and is renewed.
                    if reign.next(self.now()) == Step::GiveUp || !self.move_fences(&reign) {
                        continue;
                    }
                    tracing::info!(identity, waited_out = holder, "leading");
                    return (*lease, reign);
                }
                Answer::Absent | Answer::Conflict => {}
                Answer::Unknown(why) => {
                    tracing::warn!(why, "the lease could not be taken");
                    sleep(terms.look_every()).await;
                }
            }
        }
    }

    /// Renews until that fails for too long, or the lease is another's.
    async fn keep(&self, (mut lease, mut reign): (Lease, Reign)) -> Lost {
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
            match self.write(self.renewed(lease.clone()), Some(within)).await {
                Answer::Is(now) => {
                    // Between the two the process may have been paused: a fence that closed decides.
                    if !reign.renewed(sent, self.now()) || !self.move_fences(&reign) {
                        return Lost::NotRenewed;
                    }
                    lease = *now;
                }
                Answer::Absent => return Lost::NotOurs,
                // A renewal of ours whose answer was lost, or somebody who labelled the lease.
                Answer::Conflict => match self.read().await {
                    Answer::Is(now) if self.holds(&now) => lease = *now,
                    Answer::Is(_) | Answer::Absent => return Lost::NotOurs,
                    Answer::Conflict | Answer::Unknown(_) => reign.failed(self.now()),
                },
                Answer::Unknown(why) => {
                    tracing::warn!(why, "the lease could not be renewed");
                    reign.failed(self.now());
                }
            }
        }
    }

    /// Lets the next one start at once, where the lease is still ours.
    async fn release(&self) {
        for _ in 0..3 {
            let lease = match self.read().await {
                Answer::Is(lease) if self.holds(&lease) => *lease,
                Answer::Is(_) | Answer::Absent => return,
                Answer::Conflict | Answer::Unknown(_) => continue,
            };
            match self.write(released(lease), None).await {
                Answer::Is(_) => {
                    tracing::info!("the lease is released");
                    return;
                }
                Answer::Absent => return,
                Answer::Conflict | Answer::Unknown(_) => {}
            }
        }
        tracing::warn!("the lease could not be released: the next leader waits until it is over");
    }

    fn move_fences(&self, reign: &Reign) -> bool {
        let Fences { begin, report } = &self.fences;
        begin.move_to(self.started + reign.may_begin_until())
            && report.move_to(self.started + reign.may_report_until())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn holds(&self, lease: &Lease) -> bool {
        sighting(lease).holder.as_ref() == Some(&self.candidacy.identity)
    }

    async fn read(&self) -> Answer {
        let name = &self.candidacy.lease;
        answer(self.api.get_opt(name), self.candidacy.terms.call_timeout()).await
    }

    /// Writes it on condition that nobody wrote it since it was read: it has its `resourceVersion`.
    async fn write(&self, lease: Lease, within: Option<Duration>) -> Answer {
        let (name, parameters) = (&self.candidacy.lease, PostParams::default());
        let written = self.api.replace(name, &parameters, &lease).map(some);
        let usual = self.candidacy.terms.call_timeout();
        answer(written, within.unwrap_or(usual)).await
    }

    async fn create(&self) -> Answer {
        let lease = self.taken(Lease {
            metadata: ObjectMeta {
                name: Some(self.candidacy.lease.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let parameters = PostParams::default();
        let made = self.api.create(&parameters, &lease).map(some);
        answer(made, self.candidacy.terms.call_timeout()).await
    }

    fn taken(&self, mut lease: Lease) -> Lease {
        let before = lease.spec.take().unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            acquire_time: Some(wall_clock()),
            lease_transitions: Some(before.lease_transitions.map_or(0, |n| n.saturating_add(1))),
            ..LeaseSpec::default()
        });
        self.renewed(lease)
    }

    fn renewed(&self, mut lease: Lease) -> Lease {
        let Candidacy {
            identity, terms, ..
        } = &self.candidacy;
        let patience = terms.wait_out().as_millis().div_ceil(1000);
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(identity.clone());
        spec.lease_duration_seconds = Some(i32::try_from(patience).unwrap_or(i32::MAX));
        spec.renew_time = Some(wall_clock());
        lease
    }
}

/// Ends when the work shall end.
pub type Shutdown = std::pin::Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

async fn told(mut lost: watch::Receiver<bool>) {
    // A sender that is gone has told all that it had to tell.
    if lost.wait_for(|lost| *lost).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn sighting(lease: &Lease) -> Sighting {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or(0);
    Sighting {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        wait_out: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    }
}

fn released(mut lease: Lease) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    // Zero is refused.
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(wall_clock());
    lease
}

/// For people who look at the lease: nothing is decided by it.
fn wall_clock() -> MicroTime {
    MicroTime(jiff::Timestamp::now())
}

fn some(written: kube::Result<Lease>) -> kube::Result<Option<Lease>> {
    written.map(Some)
}

async fn answer(
    call: impl Future<Output = kube::Result<Option<Lease>>>,
    within: Duration,
) -> Answer {
    match timeout(within, call).await {
        Ok(Ok(Some(lease))) => Answer::Is(Box::new(lease)),
        Ok(Ok(None)) => Answer::Absent,
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Answer::Conflict,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Answer::Absent,
        Ok(Err(error)) => Answer::Unknown(error.to_string()),
        Err(_) => Answer::Unknown(format!("no answer within {within:?}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    /// Nobody listens there: whatever passes the fence fails to connect.
    fn nowhere() -> Config {
        let mut config = Config::new(http::Uri::from_static("http://127.0.0.1:1"));
        config.default_retry = false;
        config
    }

    async fn refused(fences: &Fences) -> (String, String) {
        let api: Api<ConfigMap> = Api::namespaced(fences.client(nowhere()).unwrap(), "x");
        let map = ConfigMap::default();
        let read = api.get("x").await.unwrap_err();
        let written = api.create(&PostParams::default(), &map).await.unwrap_err();
        (format!("{read:?}"), format!("{written:?}"))
    }

    #[tokio::test]
    async fn who_does_not_lead_reads_and_writes_nothing() {
        const WHY: &str = "this process does not lead";
        let fences = Fences::closed();
        let (read, written) = refused(&fences).await;
        assert!(!read.contains(WHY), "{read}");
        assert!(written.contains(WHY), "{written}");
        assert!(
            fences
                .report
                .move_to(Instant::now() + Duration::from_secs(60))
        );
        let (_, written) = refused(&fences).await;
        assert!(!written.contains(WHY), "{written}");
        fences.close();
        let (_, written) = refused(&fences).await;
        assert!(written.contains(WHY), "{written}");
        let (_, written) = refused(&Fences::none()).await;
        assert!(!written.contains(WHY), "{written}");
    }

    #[test]
    fn nobody_holds_a_lease_that_was_released_or_has_no_name() {
        let named = |holder: Option<&str>| Lease {
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: Some(45),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert_eq!(sighting(&named(Some("a"))).holder.as_deref(), Some("a"));
        assert_eq!(
            sighting(&named(Some("a"))).wait_out,
            Duration::from_secs(45)
        );
        assert_eq!(sighting(&named(Some(""))).holder, None);
        assert_eq!(sighting(&released(named(Some("a")))).holder, None);
        assert_eq!(sighting(&Lease::default()).wait_out, Duration::ZERO);
    }
}
