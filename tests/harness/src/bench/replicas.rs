//! Several connections shared by one, two and three replicas: how fast they converge together, and how
//! soon a replica's connections are another's after it was killed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::api::{Patch, PatchParams};
use scim_sim::Simulator;
use serde_json::json;

use super::floors::{self, Floors};
use super::limit::CpuLimit;
use super::rig::{AT_ONCE, DEADLINE, Rig, at_once, simulator};
use super::samples::Requests;
use crate::{Operator, wait};

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How many connections there are, each to a backend of its own.
    pub connections: usize,
    /// How many users each converges in a round.
    pub users: usize,
    /// How long every backend takes for every answer.
    pub latency: Duration,
    /// How many requests a connection has in flight.
    pub in_flight: usize,
    /// The CPU limit of each replica, in thousandths of a core; 0 for none.
    pub millicores: u64,
}

impl Sizes {
    /// What the backends let through together, in users a second: the connections' own limits.
    pub fn quota(&self) -> f64 {
        (self.connections * self.in_flight) as f64 / self.latency.as_secs_f64()
    }
}

/// Users by which the floor is measured.
const FLOOR_USERS: usize = 500;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Found {
    /// The raw rates, on the same control plane.
    pub floors: Floors,
    /// Users a second, by replicas.
    pub rates: BTreeMap<usize, f64>,
    /// From SIGKILL until the last of its connections is another's.
    pub takeover: Duration,
}

/// A fleet of replicas, and the connections that they share.
struct Fleet {
    rig: Rig,
    sizes: Sizes,
    replicas: Vec<Operator>,
    limits: Vec<CpuLimit>,
    backends: Vec<Simulator>,
}

/// Measures all of it: each number of replicas on a control plane of its own, since users who are there already
/// cost every replica something.
///
/// # Errors
/// When something does not come to an end.
pub async fn measure(sizes: Sizes, most: usize) -> Result<Found> {
    let mut found = Found {
        floors: Floors::default(),
        rates: BTreeMap::new(),
        takeover: Duration::ZERO,
    };
    for replicas in 1..=most {
        let mut fleet = Fleet::start(sizes).await?;
        if replicas == 1 {
            floors::prepare(&fleet.rig, FLOOR_USERS).await?;
            found.floors = floors::measure(&fleet.rig, FLOOR_USERS, "before").await?;
        }
        fleet.connect().await?;
        for _ in 0..replicas {
            fleet.join().await?;
        }
        let rate = fleet.round().await?;
        eprintln!("{replicas} replicas: {rate:.0} users/s");
        found.rates.insert(replicas, rate);
        if replicas == most {
            found.takeover = fleet.loses_one().await?;
        }
        for mut replica in fleet.replicas {
            replica.terminate(DEADLINE).await?;
        }
    }
    Ok(found)
}

fn namespace(connection: usize) -> String {
    format!("bench-{connection}")
}

impl Fleet {
    async fn start(sizes: Sizes) -> Result<Self> {
        let namespaces: Vec<String> = (0..sizes.connections).map(namespace).collect();
        let named: Vec<&str> = namespaces.iter().map(String::as_str).collect();
        Ok(Self {
            rig: Rig::start_with(&named, "sharding.enabled=true").await?,
            sizes,
            replicas: Vec::new(),
            limits: Vec::new(),
            backends: Vec::new(),
        })
    }

    async fn connect(&mut self) -> Result<()> {
        for connection in 0..self.sizes.connections {
            let backend = simulator().await?;
            let latency = u64::try_from(self.sizes.latency.as_millis())?;
            backend
                .faults()
                .update(|faults| faults.latency_ms = latency);
            let limits = json!({"requestsPerSecond": 10000, "maxInFlight": self.sizes.in_flight});
            let spec = json!({"limits": limits, "suspend": true});
            let url = backend.base_url();
            self.rig.connect(&namespace(connection), &url, spec).await?;
            self.backends.push(backend);
        }
        Ok(())
    }

    /// Starts a replica more, and waits until each has its share.
    async fn join(&mut self) -> Result<()> {
        let pod = format!("replica-{}", self.replicas.len());
        let mut replica = self.rig.replica(&pod)?;
        replica.await_ready(DEADLINE).await?;
        if self.sizes.millicores > 0 {
            let limit = CpuLimit::new(replica.id(), self.sizes.millicores)?;
            self.limits.push(limit);
        }
        self.replicas.push(replica);
        self.shared_by(self.replicas.len()).await
    }

    /// Waits until all connections are held, evenly, by so many.
    async fn shared_by(&self, replicas: usize) -> Result<()> {
        let (most, all) = (
            self.sizes.connections.div_ceil(replicas),
            self.sizes.connections,
        );
        wait::eventually("the connections to be shared", DEADLINE, async || {
            let holders = self.holders().await?;
            let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
            holders
                .values()
                .for_each(|holder| *counts.entry(holder).or_default() += 1);
            let even = counts.values().all(|count| *count <= most);
            ensure!(
                holders.len() == all && counts.len() == replicas && even,
                "{counts:?}"
            );
            Ok(Some(()))
        })
        .await
    }

    /// Who holds the lease of which connection.
    async fn holders(&self) -> Result<BTreeMap<String, String>> {
        let leases = self.rig.leases().await?;
        let holders = leases
            .into_iter()
            .filter_map(|lease| Some((lease.metadata.name?, lease.spec?.holder_identity?)));
        Ok(holders.collect())
    }

    /// Has all connections converge their users at once; how many a second.
    async fn round(&self) -> Result<f64> {
        let Sizes {
            connections, users, ..
        } = self.sizes;
        for connection in 0..connections {
            self.rig.declare(&namespace(connection), 0..users).await?;
        }
        let counted = Requests::now(&self.rig.client).await?;
        let begun = Instant::now();
        self.suspend(false).await?;
        at_once(connections, 0..connections, async |connection| {
            self.rig
                .in_step(&namespace(connection), users, DEADLINE * 5)
                .await
        })
        .await?;
        // Counted is who came out well, whose status may still be on its way.
        let all = (connections * users) as u64;
        wait::eventually("the last statuses", DEADLINE, async || {
            let now = Requests::now(&self.rig.client).await?;
            Ok((now.writes_since(&counted, "scimusers") >= all).then_some(()))
        })
        .await?;
        Ok((connections * users) as f64 / begun.elapsed().as_secs_f64())
    }

    async fn suspend(&self, suspend: bool) -> Result<()> {
        at_once(AT_ONCE, 0..self.sizes.connections, async |connection| {
            let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
            let connections = self.rig.connections(&namespace(connection));
            connections
                .patch("scim", &PatchParams::default(), &patch)
                .await?;
            Ok(())
        })
        .await
    }

    /// Kills one; how long until its connections are others'.
    async fn loses_one(&mut self) -> Result<Duration> {
        let mut lost = self.replicas.pop().context("there is none")?;
        lost.kill9()?;
        let killed = Instant::now();
        self.shared_by(self.replicas.len()).await?;
        Ok(killed.elapsed())
    }
}
