//! The ground moves under users that are in step: a spec of the connection changes while writes wait,
//! the endpoint leads elsewhere, a resource is renamed, a listing is cut short, the operator stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "change_cases/leaving.rs"]
mod leaving;
#[path = "change_cases/line.rs"]
mod line;
#[path = "change_cases/ownership.rs"]
mod ownership;
mod support;

use anyhow::Result;
use reqwest::Method;
use scim_operator_harness::{RecordingProxy, wait};
use serde_json::{Value, json};
use support::{DEADLINE, Rig, person};

async fn first_post(proxy: &RecordingProxy) -> Result<()> {
    wait::eventually("the first POST", DEADLINE, async || {
        Ok((proxy.count(&Method::POST, "/Users") > 0).then_some(()))
    })
    .await
}

const SLOWLY: &str = "one request a second, so that users wait in line";

fn slowly() -> Value {
    json!({"limits": {"requestsPerSecond": 1, "maxInFlight": 1}})
}

async fn declare_many(rig: &Rig, count: usize) -> Result<()> {
    for i in 0..count {
        rig.declare(
            &format!("user-{i}"),
            person(&format!("user-{i}@example.com")),
        )
        .await?;
    }
    Ok(())
}
