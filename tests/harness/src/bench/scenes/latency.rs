//! How long one edit takes: alone, and while everybody else is being repaired.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use kube::ResourceExt;
use kube::api::{DynamicObject, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::sync::Notify;

use super::{Sizes, patience};
use crate::bench::rig::{DEADLINE, Rig, simulator, user};
use crate::bench::samples::percentile;
use crate::bench::table::Row;
use crate::wait;

/// How long the backend takes for each request.
const BACKEND: u64 = 5;
/// How many requests a second the connection may send while it repairs: more than most real backends allow.
const REPAIR_RATE: u32 = 500;
/// Fewer edits say nothing of a p99.
const FEWEST: usize = 50;

/// When each user of a namespace was first seen Ready, by a watch that is open already.
#[derive(Clone, Default)]
struct Seen {
    ready: Arc<Mutex<HashMap<String, Instant>>>,
    news: Arc<Notify>,
}

impl Seen {
    async fn watching(rig: &Rig, namespace: &str) -> Result<Self> {
        let seen = Self::default();
        let begun = Arc::new(Notify::new());
        let (watched, opened) = (seen.clone(), begun.clone());
        let events = watcher(rig.users(namespace), watcher::Config::default()).default_backoff();
        tokio::spawn(async move {
            let watching = events.try_for_each(async |event| {
                match event {
                    watcher::Event::Apply(user) | watcher::Event::InitApply(user) => {
                        watched.look(&user);
                    }
                    watcher::Event::InitDone => opened.notify_one(),
                    _ => {}
                }
                Ok(())
            });
            if let Err(error) = watching.await {
                eprintln!("the watch of users ended: {error}");
            }
        });
        tokio::time::timeout(DEADLINE, begun.notified())
            .await
            .context("the watch of users did not come up")?;
        Ok(seen)
    }

    fn look(&self, user: &DynamicObject) {
        let ready = wait::condition(user, "Ready").is_some_and(|c| c["status"] == "True");
        if ready {
            let mut known = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(user.name_any()).or_insert_with(Instant::now);
            self.news.notify_one();
        }
    }

    async fn ready(&self, name: &str) -> Result<Instant> {
        let seen = async {
            loop {
                let known = {
                    let known = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                    known.get(name).copied()
                };
                match known {
                    Some(at) => return at,
                    None => self.news.notified().await,
                }
            }
        };
        tokio::time::timeout(DEADLINE, seen)
            .await
            .with_context(|| format!("{name} did not become ready"))
    }
}

/// Between two edits.
const PAUSE: Duration = Duration::from_millis(20);

/// Applies so many one after another, and takes how many milliseconds each needs to be seen Ready.
async fn edits(rig: &Rig, namespace: &str, seen: &Seen, count: usize) -> Result<Vec<f64>> {
    let users = rig.users(namespace);
    let mut took = Vec::new();
    for number in 0..count {
        let name = format!("fresh-{number}");
        let object = serde_json::from_value(user(&name))?;
        let begun = Instant::now();
        users.create(&PostParams::default(), &object).await?;
        let ready = seen.ready(&name).await?;
        took.push(ready.duration_since(begun).as_secs_f64() * 1000.0);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(took)
}

/// Between two edits beside a repair.
const EVERY: Duration = Duration::from_millis(100);

/// Applies one every so often, however long the others take, and takes how many milliseconds each needs from
/// when its time had come until it is seen Ready.
async fn edits_meanwhile(
    rig: &Rig,
    namespace: &str,
    seen: &Seen,
    goes_on: impl Fn() -> bool,
) -> Result<Vec<f64>> {
    let mut clock = tokio::time::interval(EVERY);
    let mut edits = Vec::new();
    while goes_on() {
        let due = clock.tick().await.into_std();
        let name = format!("fresh-{}", edits.len());
        let (users, object) = (rig.users(namespace), serde_json::from_value(user(&name))?);
        let create = async move { users.create(&PostParams::default(), &object).await };
        edits.push((due, name, tokio::spawn(create)));
    }
    let mut took = Vec::new();
    for (due, name, created) in edits {
        created.await??;
        let ready = seen.ready(&name).await?;
        took.push(ready.duration_since(due).as_secs_f64() * 1000.0);
    }
    Ok(took)
}

/// One edit after another, at a backend of 5 ms. The operator runs and has nothing else to do.
///
/// # Errors
/// When one does not become ready.
pub async fn idle(rig: &Rig, namespace: &str, sizes: &Sizes) -> Result<Vec<Row>> {
    let backend = simulator().await?;
    backend
        .faults()
        .update(|faults| faults.latency_ms = BACKEND);
    rig.connect(namespace, &backend.base_url(), json!({}))
        .await?;
    let connections = rig.connections(namespace);
    wait::wait_for_condition(connections, "scim", "Ready", "True", None, DEADLINE).await?;
    let seen = Seen::watching(rig, namespace).await?;
    let mut took = edits(rig, namespace, &seen, sizes.edits).await?;
    let (half, most) = (percentile(&mut took, 50.0), percentile(&mut took, 99.0));
    Ok(vec![
        Row::bound(
            "apply → Ready, idle, backend at 5 ms: p50",
            "≤ 30 ms",
            half,
            "ms",
            half <= 30.0,
        ),
        Row::bound(
            "apply → Ready, idle, backend at 5 ms: p99",
            "≤ 150 ms",
            most,
            "ms",
            most <= 150.0,
        )
        .noting(format!("{} edits, seen by a watch", took.len())),
    ])
}

/// The same while everybody of `namespace`, who is in step with `backend`, was changed there and is being
/// repaired at 500 requests a second.
///
/// # Errors
/// When one does not become ready, or not everybody is repaired.
pub async fn during_repair(
    rig: &Rig,
    namespace: &str,
    sizes: &Sizes,
    backend: &scim_sim::Simulator,
) -> Result<Vec<Row>> {
    let limits = json!({"spec": {"limits": {"requestsPerSecond": REPAIR_RATE}}});
    let connections = rig.connections(namespace);
    connections
        .patch(
            "scim",
            &Default::default(),
            &kube::api::Patch::Merge(&limits),
        )
        .await?;
    let seen = Seen::watching(rig, namespace).await?;
    rig.sync(namespace, "before-repair").await?;
    let everybody = backend.users();
    for user in &everybody {
        let id = user["id"].as_str().unwrap_or_default();
        backend.edit_user(id, |user| user["name"]["givenName"] = "Somebody".into());
    }
    backend
        .faults()
        .update(|faults| faults.latency_ms = BACKEND);
    backend.clear_requests();
    let patches = || {
        let counts = backend.request_counts().by_endpoint;
        counts.get("PATCH /Users/{id}").copied().unwrap_or(0)
    };
    // From before the listing that finds it, to the end; the last one may be Ready after that.
    let repairs = || (patches() as usize) < everybody.len();
    let edits = edits_meanwhile(rig, namespace, &seen, repairs);
    let begun = Instant::now();
    let stamp = json!({"metadata": {"annotations": {"scim-operator.io/reconcile-at": "repair"}}});
    let stamp = kube::api::Patch::Merge(&stamp);
    let parameters = Default::default();
    let ask = async {
        let asked = connections.patch("scim", &parameters, &stamp).await;
        asked.map(drop).map_err(anyhow::Error::from)
    };
    let (mut took, ()) = futures::future::try_join(edits, ask).await?;
    let strange = |user: &serde_json::Value| user["name"]["givenName"] == "Somebody";
    wait::eventually(
        "everybody to be repaired",
        patience(sizes.users),
        async || Ok((!backend.users().iter().any(strange)).then_some(())),
    )
    .await?;
    let repaired = begun.elapsed().as_secs_f64();
    let (half, most) = (percentile(&mut took, 50.0), percentile(&mut took, 99.0));
    let longest = percentile(&mut took, 100.0);
    Ok(vec![
        Row::bound(
            &format!("apply → Ready during a repair of {}: p99", everybody.len()),
            "≤ 2000 ms",
            most,
            "ms",
            most <= 2000.0 && took.len() >= FEWEST,
        )
        .noting(format!(
            "p50 {half:.0} ms, longest {longest:.0} ms; {} edits, ten a second from before the listing to the end; the repair took {repaired:.1} s at {REPAIR_RATE} requests/s",
            took.len(),
        )),
    ])
}
