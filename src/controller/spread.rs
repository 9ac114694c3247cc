//! Shares the connections with other replicas: a lease each, taken and given up as `leadership::shares`
//! decides. What is done by a lease is fenced by it alone; the loss of one ends nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Client, ResourceExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::controller::context::Context;
use crate::controller::election::lease::{Answer, LeaseOf, sighting};
use crate::controller::election::{Candidacy, Election, Fences, Kind, Shutdown};
use crate::controller::index::Key;
use crate::controller::readable;
use crate::controller::roster::{Drained, Held, Share};
use crate::domain::names;
use crate::leadership::shares::{Look, Mine, Shares};
use crate::leadership::{Candidate, Move};

/// By which leases a replica takes part.
#[derive(Clone)]
pub struct Seat {
    /// A client for leases alone, of `election::lease::client`.
    pub leases: Client,
    /// A client without a fence, which each share puts its own before. Nothing else is to write by it.
    pub api: Client,
    /// As whom, in which namespace and by which durations; the name is the leader's lease, and the other
    /// names begin with it.
    pub candidacy: Candidacy,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.candidacy.fmt(f)
    }
}

impl Seat {
    fn candidacy(&self, lease: String, kind: Kind) -> Candidacy {
        Candidacy {
            lease,
            kind,
            ..self.candidacy.clone()
        }
    }

    fn lease_of(&self, connection: &Key) -> String {
        let suffix = names::lease_suffix(&connection.namespace, &connection.name);
        format!("{}-connection-{suffix}", self.candidacy.lease)
    }

    fn election(&self, candidacy: Candidacy, fences: Fences) -> Election {
        Election::by(self.leases.clone(), candidacy, fences)
    }
}

/// Works on what is this replica's share until `stop`, then gives everything back.
pub async fn spread(
    context: &Arc<Context>,
    seat: &Seat,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    let membership = async {
        // Who cannot see the connections takes none, and must not be counted as one who does.
        while !context.connections_are_listed() {
            tokio::select! {
                biased;
                () = stop.clone() => return,
                () = sleep(seat.candidacy.terms.look_every()) => {}
            }
        }
        membership(seat, stop.clone()).await;
    };
    let mut desk = Desk::new(context.clone(), seat.clone());
    let work = async {
        let look_every = seat.candidacy.terms.look_every();
        loop {
            tokio::select! {
                biased;
                () = stop.clone() => break,
                () = sleep(look_every) => {}
                () = desk.ended.notified() => {}
            }
            tokio::select! {
                biased;
                () = stop.clone() => break,
                () = desk.look() => {}
            }
        }
        desk.close().await;
    };
    futures::future::join(membership, work).await;
}

/// Says that this replica lives, for as long as it does.
async fn membership(seat: &Seat, stop: impl Future<Output = ()> + Clone + Send + Sync + 'static) {
    let Candidacy {
        lease, identity, ..
    } = &seat.candidacy;
    let name = format!("{lease}-replica-{}", names::lease_suffix("", identity));
    let candidacy = seat.candidacy(name, Kind::Replica);
    loop {
        let election = seat.election(candidacy.clone(), Fences::closed());
        let lived = election.lead(stop.clone(), |shutdown| shutdown).await;
        if lived.is_ok() {
            break;
        }
    }
    let lease = LeaseOf::new(seat.leases.clone(), candidacy);
    if let Answer::Is(released) = lease.read().await {
        // Others would see to it in some minutes.
        let _ = lease.delete(&released).await;
    }
}

/// A share that is worked on, or is about to be.
struct Task {
    give_up: watch::Sender<bool>,
    working: JoinHandle<()>,
}

impl Task {
    fn mine(&self) -> Mine {
        if *self.give_up.borrow() {
            Mine::Leaving
        } else {
            Mine::Held
        }
    }
}

struct Desk {
    context: Arc<Context>,
    seat: Seat,
    /// The leader's lease, by which one replica works on what is nobody's.
    leader: Arc<LeaseOf>,
    nobodys: Candidate,
    shares: Shares,
    tasks: BTreeMap<String, Task>,
    ended: Arc<Notify>,
    started: Instant,
}

impl Desk {
    fn new(context: Arc<Context>, seat: Seat) -> Self {
        let Candidacy {
            lease,
            identity,
            terms,
            ..
        } = &seat.candidacy;
        let leader = LeaseOf::new(
            seat.leases.clone(),
            seat.candidacy(lease.clone(), Kind::Nobodys),
        );
        Self {
            context,
            leader: Arc::new(leader),
            nobodys: Candidate::new(identity, *terms),
            shares: Shares::new(identity, *terms),
            tasks: BTreeMap::new(),
            ended: Arc::default(),
            started: Instant::now(),
            seat,
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Looks at all leases once, and does what follows.
    async fn look(&mut self) {
        self.tasks.retain(|_, task| !task.working.is_finished());
        if !self.context.connections_are_listed() {
            return;
        }
        let (all, leader) = tokio::join!(self.leader.all(), self.leader.read());
        let leader = match leader {
            Answer::Is(lease) => Some(*lease),
            Answer::Absent => None,
            unknown => {
                tracing::warn!(%unknown, "the lease could not be read");
                return;
            }
        };
        let all = match all {
            Ok(all) => all,
            Err(why) => {
                tracing::warn!(why, "the leases could not be read");
                return;
            }
        };
        // The connections as they are after the leases were read: what went meanwhile is not claimed.
        let there = self.context.connections_there();
        let names: BTreeMap<String, Key> = there
            .into_iter()
            .map(|key| (self.seat.lease_of(&key), key))
            .collect();
        let shared = leader
            .as_ref()
            .is_some_and(|lease| Kind::Nobodys.is_of(lease));
        self.claim_what_is_nobodys(leader);
        let mut leases: BTreeMap<String, Lease> = all
            .into_iter()
            .map(|lease| (lease.name_any(), lease))
            .collect();
        let mut look = Look::default();
        for (name, lease) in &leases {
            if Kind::Replica.is_of(lease) {
                look.replicas.insert(name.clone(), sighting(lease));
            } else if Kind::Connection(String::new()).is_of(lease) && !names.contains_key(name) {
                look.others.insert(name.clone(), sighting(lease));
            }
        }
        for name in names.keys() {
            let lease = leases.get(name).map(sighting);
            look.shares.insert(name.clone(), lease);
        }
        let leader = self.seat.candidacy.lease.clone();
        let connections = self.tasks.iter().filter(|(name, _)| **name != leader);
        let mine = connections
            .map(|(name, task)| (name.clone(), task.mine()))
            .collect();
        let now = self.now();
        let plan = self.shares.look(&look, &mine, now);
        for name in plan.release {
            if let Some(task) = self.tasks.get(&name) {
                tracing::info!(lease = name, "giving up a connection");
                task.give_up.send_replace(true);
            }
        }
        // Not before a replica that shares has the leader's lease: a leader may be at work on all of them.
        for name in plan.claim.into_iter().filter(|_| shared) {
            if let Some(key) = names.get(&name) {
                let lease = leases.remove(&name);
                self.claim(name, Share::Connection(key.clone()), lease);
            }
        }
        if self.tasks.contains_key(&leader) {
            self.sweep(&plan.sweep, &leases).await;
        }
    }

    fn claim_what_is_nobodys(&mut self, lease: Option<Lease>) {
        let name = self.seat.candidacy.lease.clone();
        if self.tasks.contains_key(&name) {
            return;
        }
        let now = self.now();
        let sighting = lease.as_ref().map(sighting);
        match self.nobodys.sees(sighting, now) {
            Move::Wait(_) => {}
            Move::Take => self.claim(name, Share::Nobodys, lease),
            Move::Create => self.claim(name, Share::Nobodys, None),
        }
    }

    /// Takes a lease as it was read, and works by it until it is lost or given up.
    fn claim(&mut self, name: String, share: Share, lease: Option<Lease>) {
        let kind = match &share {
            Share::Connection(key) => Kind::Connection(key.to_string()),
            Share::Nobodys => Kind::Nobodys,
        };
        let candidacy = self.seat.candidacy(name.clone(), kind);
        let (give_up, given_up) = watch::channel(false);
        let fences = Fences::closed();
        let reign = Reign {
            election: Arc::new(self.seat.election(candidacy, fences.clone())),
            leader: self.leader.clone(),
            api: self.seat.api.clone(),
            context: self.context.clone(),
            share,
            fences,
        };
        let ended = self.ended.clone();
        let working = tokio::spawn(async move {
            reign.work(lease, given_up).await;
            ended.notify_one();
        });
        self.tasks.insert(name, Task { give_up, working });
    }

    /// Deletes leases that nobody needs.
    async fn sweep(&self, names: &[String], leases: &BTreeMap<String, Lease>) {
        for name in names {
            let Some(lease) = leases.get(name) else {
                continue;
            };
            let candidacy = self.seat.candidacy(name.clone(), Kind::Replica);
            let gone = LeaseOf::new(self.seat.leases.clone(), candidacy);
            let became = gone.delete(lease).await;
            tracing::debug!(lease = name, %became, "a lease that nobody needs was deleted");
        }
    }

    /// Gives everything back.
    async fn close(&mut self) {
        for task in self.tasks.values() {
            task.give_up.send_replace(true);
        }
        for (_, task) in std::mem::take(&mut self.tasks) {
            let _ = task.working.await;
        }
    }
}

/// The work on one share, from when its lease is taken.
struct Reign {
    election: Arc<Election>,
    leader: Arc<LeaseOf>,
    api: Client,
    context: Arc<Context>,
    share: Share,
    fences: Fences,
}

impl Reign {
    async fn work(self, lease: Option<Lease>, mut given_up: watch::Receiver<bool>) {
        let Some(won) = self.election.clone().take(lease).await else {
            return;
        };
        // Once more, now that ours is written: whoever became the leader meanwhile looks at ours.
        if self.share != Share::Nobodys && !self.is_shared().await {
            self.election.decline(won).await;
            return;
        }
        if !self.election.open(&won) {
            // Taken, and too late: it is taken anew.
            return;
        }
        let client = self.fences.over(&self.api);
        let events = self.context.events.before(self.fences.of_reports());
        let (requests, writes) = (self.fences.of_requests(), self.context.writes.clone());
        let (held, mut drained) = Held::new(client, requests, events, writes);
        let stop = async move {
            // Gone is who would tell: the process ends.
            let _ = given_up.wait_for(|given_up| *given_up).await;
        };
        let work = |shutdown| self.until(shutdown, held, &mut drained);
        let ended = self.election.clone().hold(won, stop.shared(), work).await;
        // Where it was cut off: nothing that it leaves behind may be taken for what is done by the next.
        self.context.leave(&self.share);
        drained.wait().await;
        self.context.forget_statuses(&self.share);
        if let Err(why) = ended {
            tracing::warn!(share = %self.share, %why, "a share was lost");
        }
    }

    async fn is_shared(&self) -> bool {
        matches!(self.leader.read().await, Answer::Is(lease) if Kind::Nobodys.is_of(&lease))
    }

    /// Works on the share until it is to end and nobody is at work on it any more.
    async fn until(&self, mut shutdown: Shutdown, held: Held, drained: &mut Drained) {
        let Self { context, share, .. } = self;
        // What the one before has written is to be seen first, as after a restart.
        tokio::select! {
            biased;
            () = &mut shutdown => return,
            () = context.relists.fresh() => {}
        }
        if *share == Share::Nobodys {
            readable::say_all(context, &held);
        }
        // Whoever came while another worked on them may have a past all the same.
        context.are_not_new(share);
        context.take(share, held);
        tracing::info!(share = %share, "working on");
        shutdown.await;
        context.leave(share);
        drained.wait().await;
        context.forget_statuses(share);
        // Where their connection is gone they are nobody's now, and that may be this same replica.
        context.wake(context.everyone_in(share));
        tracing::info!(share = %share, "given up");
    }
}
