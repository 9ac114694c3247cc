//! What outlives the operator: the cluster, the backend, what goes wrong with both, and what is noted
//! of the operator on the way. The operator's own life is in `life`.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use scim_sim::{SimConfig, Simulator};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::faults::{Fate, Faults, Mode};
use super::oracles::Notes;

/// Everything but the operator.
pub struct World {
    pub sim: Simulator,
    cluster: Mutex<Cluster>,
    fate: Mutex<Fate>,
    notes: Mutex<Notes>,
    /// The version that the cluster has, for those who watch.
    changed: watch::Sender<u64>,
    crashed: watch::Sender<bool>,
    busy: Mutex<Option<Instant>>,
}

impl World {
    pub fn new(faults: Faults) -> Arc<Self> {
        Arc::new(Self {
            sim: Simulator::in_memory(SimConfig::default()),
            cluster: Mutex::default(),
            fate: Mutex::new(Fate::new(faults)),
            notes: Mutex::default(),
            changed: watch::Sender::new(0),
            crashed: watch::Sender::new(false),
            busy: Mutex::default(),
        })
    }

    /// Works on the cluster, and tells those who watch.
    pub fn cluster<T>(&self, work: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = self.cluster.lock().unwrap();
        let done = work(&mut cluster);
        let version = cluster.version();
        drop(cluster);
        self.changed.send_if_modified(|known| {
            let newer = *known < version;
            *known = version;
            newer
        });
        done
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap()
    }

    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// Something happens: what goes wrong with it, and after the first half of the time it takes, so
    /// that others come in between. The second half is for the caller to wait.
    pub async fn meet(&self, what: &str, usual: Duration) -> (Option<Mode>, Duration) {
        let (mode, pace) = self.fate().meet(what);
        let half = usual * u32::try_from(pace).unwrap() / 1000;
        *self.busy.lock().unwrap() = Some(Instant::now());
        if mode == Some(Mode::CrashBefore) {
            self.crash().await;
        }
        tokio::time::sleep(half).await;
        (mode, half)
    }

    /// Kills the operator: whoever calls this is not there afterwards.
    pub async fn crash(&self) {
        self.crashed.send_replace(true);
        std::future::pending().await
    }

    /// Ends when the operator is killed.
    pub async fn killed(&self) {
        let mut crashed = self.crashed.subscribe();
        let _ = crashed.wait_for(|crashed| *crashed).await;
    }

    /// A new life begins, with a clock of its own.
    pub fn revive(&self) {
        self.crashed.send_replace(false);
        *self.busy.lock().unwrap() = None;
    }

    /// When somebody was asked last, in this life.
    pub fn asked_at(&self) -> Option<Instant> {
        *self.busy.lock().unwrap()
    }

    /// The backend's users and groups.
    pub fn remote(&self) -> (Vec<Value>, Vec<Value>) {
        (self.sim.users(), self.sim.groups())
    }
}
