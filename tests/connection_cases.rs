//! The cases of a connection that are not outages: a private authority, attributes mapped elsewhere,
//! another endpoint, a backend that lists well and refuses to write, and specs that are accepted with
//! a warning.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "connection_cases/mapping.rs"]
mod mapping;
#[path = "connection_cases/moving.rs"]
mod moving;
#[path = "connection_cases/refusals.rs"]
mod refusals;
mod support;
#[path = "connection_cases/trust.rs"]
mod trust;

use anyhow::{Result, ensure};
use scim_operator::api::ScimConnection;
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::json;
use support::{Rig, TOKEN, person, writes_since};

async fn simulator() -> Result<Simulator> {
    Ok(Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?)
}

/// What a condition of the connection says.
fn message(connection: &ScimConnection, kind: &str) -> String {
    let found = wait::condition(connection, kind).unwrap_or_default();
    found["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_deserves_a_look_is_accepted_with_a_warning() -> Result<()> {
    let rig = Rig::start().await?;
    let simulator = simulator().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    rig.set_token(TOKEN).await?;
    rig.connect(&proxy.url(), json!({})).await?;
    let mut spec = person("ada@example.com");
    spec["emails"][0]["value"] = json!("ada.lovelace@example.com");
    rig.declare("ada", spec).await?;
    rig.settled("ada").await?;
    rig.user_is("ada", "Valid", "True", "AcceptedWithWarnings")
        .await?;
    let said = rig.condition("ada", "Valid").await?.2;
    ensure!(
        said.contains("spec.userName") && said.contains("spec.emails[work].value"),
        "{said}"
    );
    ensure!(
        !said.contains('@') && !said.contains("example"),
        "a value is in the message: {said}"
    );
    ensure!(simulator.user_by_name("ada@example.com").is_some());

    // A second look costs nothing and takes nothing back.
    rig.sync("again").await?;
    ensure!(rig.condition("ada", "Valid").await?.1 == "AcceptedWithWarnings");
    ensure!(writes_since(&proxy, 0) == ["POST"]);

    // Mended; that the case of the two differs is no difference.
    let mended = json!([{"type": "work", "value": "Ada@Example.com", "primary": true}]);
    rig.edit("ada", json!({"emails": mended})).await?;
    rig.user_is("ada", "Valid", "True", "Accepted").await?;
    rig.settled("ada").await?;
    ensure!(
        writes_since(&proxy, 0) == ["POST", "PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    let log = rig.operator.log();
    ensure!(!log.contains("@example.com"), "the log holds personal data");
    Ok(())
}
