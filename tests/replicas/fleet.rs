//! Replicas, each behind a proxy of its own, and connections of one backend.
//!
//! A proxy carries https only, and cannot read it. So that of each replica opens no tunnel to where it is told, but
//! to a TLS front of its own, behind which what is asked is recorded.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use reqwest::Method;
use scim_operator::api::ScimUser;
use scim_operator_harness::certs::Authority;
use scim_operator_harness::proxy::Recorded;
use scim_operator_harness::{Operator, RecordingProxy, TlsFront, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{DEADLINE, NAMESPACE, Rig, TOKEN, election, person};

/// What a lease that nobody releases is waited out for: four seconds, and the longest request's two.
pub const WAIT_OUT: Duration = Duration::from_secs(6);
/// The oldest that the last renewal of a lease can be.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(3);
/// How often a replica looks at the leases, with some time to list everything anew.
pub const LOOK: Duration = Duration::from_secs(1);
/// How fast each connection may be worked.
pub const FAST: u32 = 2000;
/// So slow that a replica is always in the middle of a line of users.
pub const SLOW: u32 = 4;

pub struct Replica {
    pub name: String,
    pub operator: Operator,
    proxy: RecordingProxy,
    _front: TlsFront,
    tunnels: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tunnels.abort();
    }
}

/// A write, and through whose proxy it came.
struct Write {
    replica: String,
    connection: String,
    record: Arc<Recorded>,
}

pub struct Fleet {
    pub rig: Rig,
    pub simulator: Simulator,
    authority: Authority,
    replicas: Vec<Replica>,
    connections: usize,
}

pub fn terms(pod: &str) -> Vec<(&'static str, String)> {
    let mut terms = election(pod);
    terms.push(("SPREAD_CONNECTIONS", "true".to_owned()));
    terms
}

impl Fleet {
    /// Replicas of these names, and so many connections, `c0` and so on.
    pub async fn start(names: &[&str], connections: usize, per_second: u32) -> Result<Self> {
        let mut rig = Rig::start_by(&["sharding.enabled=true"], &[]).await?;
        rig.operator.terminate(DEADLINE).await?;
        let config = SimConfig {
            tokens: vec![TOKEN.into()],
            ..SimConfig::default()
        };
        let simulator = Simulator::start(config).await?;
        rig.set_token(TOKEN).await?;
        let authority = Authority::generate()?;
        rig.keep("ConfigMap", "company", "ca.crt", &authority.certificate)
            .await?;
        let mut fleet = Self {
            rig,
            simulator,
            authority,
            replicas: Vec::new(),
            connections,
        };
        for name in names {
            fleet.join(name).await?;
        }
        for connection in 0..connections {
            fleet.connect(&format!("c{connection}"), per_second).await?;
        }
        Ok(fleet)
    }

    pub async fn connect(&self, name: &str, per_second: u32) -> Result<()> {
        // The port is nobody's: where a tunnel leads is decided by the proxy.
        let backend = self.simulator.base_url();
        let path = backend.splitn(4, '/').nth(3).unwrap_or_default();
        let spec = json!({
            "endpoint": format!("https://localhost:9/{path}"), "ownerId": name,
            "caBundleRef": {"name": "company"},
            "tokenSecretRef": {"name": "scim"}, "sync": {"interval": "1h"},
            "limits": {"requestsPerSecond": per_second, "maxInFlight": 2}
        });
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection", "metadata": {"name": name}, "spec": spec});
        let connections = self.rig.connections();
        connections
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        Ok(())
    }

    /// Starts a replica more.
    pub async fn join(&mut self, name: &str) -> Result<()> {
        self.join_with(name, &[]).await
    }

    /// The same, with these variables.
    pub async fn join_with(&mut self, name: &str, more: &[(&'static str, String)]) -> Result<()> {
        let backend = self.simulator.base_url();
        let root = backend.split('/').take(3).collect::<Vec<_>>().join("/");
        let proxy = RecordingProxy::start(&root).await?;
        let front = TlsFront::start(proxy.address(), &self.authority.server()?).await?;
        let (tunnels, address) = tunnels_to(&front).await?;
        let mut variables = terms(name);
        variables.push(("USE_SYSTEM_PROXY", "true".into()));
        // By this name kube's client does not look for it.
        variables.push(("all_proxy", address));
        variables.push(("no_proxy", String::new()));
        variables.extend(more.iter().cloned());
        let operator = Rig::operator(&self.rig.plane, &variables).await?;
        self.replicas.push(Replica {
            name: name.to_owned(),
            operator,
            proxy,
            _front: front,
            tunnels,
        });
        Ok(())
    }

    pub fn replica(&mut self, name: &str) -> &mut Replica {
        let found = self
            .replicas
            .iter_mut()
            .find(|replica| replica.name == name);
        found.expect("no such replica")
    }

    fn proxy(&self, name: &str) -> &RecordingProxy {
        let found = self.replicas.iter().find(|replica| replica.name == name);
        &found.expect("no such replica").proxy
    }

    /// These users of every connection.
    pub async fn declare(&self, users: Range<usize>) -> Result<()> {
        for user in users {
            for connection in 0..self.connections {
                let name = format!("c{connection}-u{user}");
                let mut spec = person(&format!("{name}@example.com"));
                spec["connectionRef"]["name"] = json!(format!("c{connection}"));
                self.rig.declare(&name, spec).await?;
            }
        }
        Ok(())
    }

    pub async fn settled(&self, users: Range<usize>) -> Result<()> {
        for user in users {
            for connection in 0..self.connections {
                let name = format!("c{connection}-u{user}");
                self.told(self.rig.settled(&name).await)?;
            }
        }
        Ok(())
    }

    /// The version of every user.
    pub async fn versions(&self) -> Result<BTreeMap<String, Option<String>>> {
        let users = self.rig.users().list(&ListParams::default()).await?;
        let version = |user: &ScimUser| (user.name_any(), user.resource_version());
        Ok(users.iter().map(version).collect())
    }

    /// An error with the ends of all logs.
    pub fn told<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| {
            let logs = self.replicas.iter().map(|replica| {
                let log = replica.operator.log();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(40)..].join("\n");
                format!("--- {}:\n{tail}\n", replica.name)
            });
            logs.collect::<String>()
        })
    }

    pub async fn leases(&self, kind: &str) -> Result<Vec<Lease>> {
        let leases: Api<Lease> = Api::namespaced(self.rig.client.clone(), "scim-system");
        let parameters = ListParams::default().labels(&format!("scim-operator.io/lease={kind}"));
        Ok(leases.list(&parameters).await?.items)
    }

    /// Which replica has what is nobody's.
    pub async fn leader(&self) -> Result<String> {
        let leases = self.leases("nobodys").await?;
        let holder = leases.first().and_then(|lease| {
            let holder = lease.spec.as_ref()?.holder_identity.clone()?;
            holder.rsplit_once('_').map(|(pod, _)| pod.to_owned())
        });
        holder.context("nobody has it")
    }

    /// Waits until each replica that lives has said so that often.
    pub async fn renewals(&self, times: usize) -> Result<()> {
        for _ in 0..times {
            let version = |lease: &Lease| (lease.name_any(), lease.resource_version());
            let known: Vec<_> = self.leases("replica").await?.iter().map(version).collect();
            wait::eventually("a renewal", DEADLINE, async || {
                let now = self.leases("replica").await?;
                let renewed = now.iter().any(|lease| !known.contains(&version(lease)));
                ensure!(renewed, "{known:?}");
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Which replica holds which connection; the unheld are left out.
    pub async fn owners(&self) -> Result<BTreeMap<String, String>> {
        let leases = self.leases("connection").await?;
        let owners = leases.iter().filter_map(|lease| {
            let connection = lease.annotations().get("scim-operator.io/connection")?;
            let connection = connection
                .strip_prefix(&format!("{NAMESPACE}/"))?
                .to_owned();
            let holder = lease.spec.as_ref()?.holder_identity.clone()?;
            let (pod, _) = holder.rsplit_once('_')?;
            Some((connection, pod.to_owned()))
        });
        Ok(owners.collect())
    }

    /// Waits until every connection is held, by so many replicas so many.
    pub async fn shares_are(&self, shares: &[usize]) -> Result<()> {
        let even = wait::eventually("the shares", DEADLINE, async || {
            let owners = self.owners().await?;
            let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
            owners
                .values()
                .for_each(|owner| *counts.entry(owner).or_default() += 1);
            let mut counts: Vec<usize> = counts.into_values().collect();
            counts.sort_by(|a, b| b.cmp(a));
            ensure!(counts == shares, "{owners:?}");
            Ok(Some(()))
        });
        self.told(even.await)
    }

    pub async fn all_are_held_by(&self, name: &str) -> Result<()> {
        let all = wait::eventually("the connections to be taken over", DEADLINE, async || {
            let owners = self.owners().await?;
            let theirs = owners.values().filter(|owner| *owner == name).count();
            ensure!(theirs == self.connections, "{owners:?}");
            Ok(Some(()))
        });
        self.told(all.await)
    }

    /// Waits for so many accounts to be asked for by all replicas together.
    pub async fn posts(&self, at_least: usize) -> Result<()> {
        let posts = wait::eventually("POSTs of users", DEADLINE, async || {
            let posts = self.all_writes();
            let posts = posts.iter().filter(|w| w.record.method == Method::POST);
            let posts = posts.count();
            ensure!(posts >= at_least, "{posts} of {at_least}");
            Ok(Some(()))
        });
        self.told(posts.await)
    }

    pub fn mark(&self, replica: &str) -> usize {
        self.proxy(replica).mark()
    }

    /// How much a replica wrote after that mark and before that time.
    pub fn writes_since(&self, replica: &str, mark: usize, until: Instant) -> usize {
        let records = self.proxy(replica).since(mark);
        let writes = records.iter().filter(|r| r.is_write() && r.arrived < until);
        writes.count()
    }

    /// Waits until a replica has written so often after that mark.
    pub async fn writes(&self, replica: &str, mark: usize, at_least: usize) -> Result<()> {
        let written = wait::eventually("writes", DEADLINE, async || {
            let writes = self.writes_since(replica, mark, Instant::now());
            ensure!(writes >= at_least, "{writes} of {at_least}");
            Ok(Some(()))
        });
        self.told(written.await)
    }

    /// All writes of all replicas, in the order in which they came.
    fn all_writes(&self) -> Vec<Write> {
        let mut all = Vec::new();
        for replica in &self.replicas {
            for record in replica.proxy.writes() {
                let body = record.request_body().unwrap_or_default();
                let name = body["userName"].as_str().unwrap_or_default();
                let (connection, _) = name.split_once('-').unwrap_or_default();
                all.push(Write {
                    replica: replica.name.clone(),
                    connection: connection.to_owned(),
                    record,
                });
            }
        }
        all.sort_by_key(|write| write.record.arrived);
        all
    }

    /// Who wrote for a connection, each time that it was another.
    pub fn writers(&self, connection: &str) -> Vec<String> {
        let all = self.all_writes();
        let theirs = all.into_iter().filter(|w| w.connection == connection);
        let mut writers: Vec<String> = theirs.map(|write| write.replica).collect();
        writers.dedup();
        writers
    }

    /// No connection was written to by turns: by whoever had it first, by another, and perhaps by the first
    /// again; and last by whoever has it now.
    pub async fn none_went_to_and_fro(&self) -> Result<()> {
        for (connection, owner) in self.owners().await? {
            let writers = self.writers(&connection);
            ensure!(
                writers.len() <= 3 && writers.last() == Some(&owner),
                "{connection}: {writers:?}, held by {owner}"
            );
        }
        Ok(())
    }

    /// Every account was asked for once, and nothing was sent to any of them again.
    pub fn each_written_once(&self, users: usize) -> Result<()> {
        let mut posts: BTreeMap<String, usize> = BTreeMap::new();
        let mut others = Vec::new();
        for Write { record, .. } in self.all_writes() {
            if record.method == Method::POST {
                let body = record.request_body().unwrap_or_default();
                let name = body["userName"].as_str().unwrap_or_default().to_owned();
                *posts.entry(name).or_default() += 1;
            } else {
                others.push(format!("{} {}", record.method, record.path_and_query));
            }
        }
        let doubled: Vec<_> = posts.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(doubled.is_empty(), "asked for more than once: {doubled:?}");
        ensure!(others.is_empty(), "{others:?}");
        let (accounts, expected) = (self.simulator.users().len(), users * self.connections);
        ensure!(
            posts.len() == expected && accounts == expected,
            "{} asked for, {accounts} accounts, not {expected}",
            posts.len()
        );
        Ok(())
    }
}

/// A proxy whose tunnels all lead to that front; its URL.
async fn tunnels_to(front: &TlsFront) -> Result<(JoinHandle<()>, String)> {
    let target = front.url().replace("https://", "");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let accepting = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(tunnel(client, target.clone()));
        }
    });
    Ok((accepting, url))
}

async fn tunnel(mut client: TcpStream, target: String) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let mut server = TcpStream::connect(target).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
