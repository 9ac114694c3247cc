//! Waiting for what a test expects, with a deadline and a report of what was
//! seen instead. No test sleeps for a fixed time.

use std::{fmt::Debug, time::Duration};

use anyhow::{Result, anyhow};
use futures::{StreamExt, pin_mut};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Polls until `attempt` gives a value, at most for `deadline`.
///
/// `Ok(None)` and `Err` both mean "not yet". The text of the last error is part
/// of the report, so an attempt says what it saw with
/// `bail!("3 of 5 users are there")`. The pause grows from 10 to 200 ms; an
/// attempt that hangs is cut off at the deadline.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(10);
    let mut last = "nothing yet".to_owned();
    loop {
        match timeout_at(end, attempt()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => last = format!("{last} (and the last attempt hung)"),
        }
        if Instant::now() + pause >= end {
            return Err(anyhow!(
                "{what}: not within {deadline:?}; last seen: {last}"
            ));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Watches one object until `is_met` holds for it, and returns it (`None` when
/// the expectation is met by its absence).
pub async fn wait_for_object<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    deadline: Duration,
    mut is_met: impl FnMut(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut last = "nothing yet".to_owned();
    let watched = async {
        let states = watch_object(api, name).default_backoff();
        pin_mut!(states);
        while let Some(state) = states.next().await {
            match state {
                Ok(object) if is_met(object.as_ref()) => return Ok(object),
                Ok(Some(object)) => last = summary(&object),
                Ok(None) => last = "it does not exist".to_owned(),
                Err(error) => last = format!("watching failed: {error}"),
            }
        }
        Err(anyhow!("the watch ended"))
    };
    match timeout(deadline, watched).await {
        Ok(result) => result,
        Err(_) => Err(anyhow!(
            "{name}: {what}: not within {deadline:?}; last seen: {last}"
        )),
    }
}

/// Waits until a condition has that status, and that reason where one is given.
///
/// A condition observed at another generation than the object's does not count:
/// it speaks of an older spec.
pub async fn wait_for_condition<K>(
    api: Api<K>,
    name: &str,
    type_: &str,
    status: &str,
    reason: Option<&str>,
    deadline: Duration,
) -> Result<K>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let what = format!("{type_}={status}/{}", reason.unwrap_or("any reason"));
    let found = wait_for_object(api, name, &what, deadline, |object| {
        object.is_some_and(|object| has_condition(object, type_, status, reason))
    })
    .await?;
    found.ok_or_else(|| anyhow!("{name} does not exist"))
}

/// Waits until the object is gone.
pub async fn wait_for_absence<K>(api: Api<K>, name: &str, deadline: Duration) -> Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    wait_for_object(api, name, "gone", deadline, |object| object.is_none()).await?;
    Ok(())
}

/// The condition of that type, as JSON, if the object has one.
pub fn condition<K: Serialize>(object: &K, type_: &str) -> Option<Value> {
    let object = serde_json::to_value(object).ok()?;
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|c| c["type"] == type_)?;
    Some(found.clone())
}

fn has_condition<K>(object: &K, type_: &str, status: &str, reason: Option<&str>) -> bool
where
    K: Resource + Serialize,
{
    condition(object, type_).is_some_and(|c| {
        let generation = object.meta().generation;
        let observed = c["observedGeneration"].as_i64();
        c["status"] == status
            && reason.is_none_or(|reason| c["reason"] == reason)
            && (observed.is_none() || observed == generation)
    })
}

/// The generation and all conditions, on one line.
fn summary<K: Resource + Serialize>(object: &K) -> String {
    let generation = object.meta().generation.unwrap_or_default();
    let value = serde_json::to_value(object).unwrap_or_default();
    let conditions = value
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let conditions: Vec<String> = conditions
        .into_iter()
        .flatten()
        .map(|c| {
            let text = |field: &str| c[field].as_str().unwrap_or("?");
            format!(
                "{}={}/{} at {} ({})",
                text("type"),
                text("status"),
                text("reason"),
                c["observedGeneration"],
                text("message")
            )
        })
        .collect();
    format!(
        "generation {generation}, conditions [{}]",
        conditions.join(", ")
    )
}
