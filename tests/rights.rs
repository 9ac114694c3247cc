//! The rights used equal the rights granted: the operator lives a short life as the chart's own
//! ServiceAccount, and the audit log of the real API server says what it asked for. Whatever the chart
//! grants was used at least once, whatever was used is granted by the chart, and nothing was refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "rights/grants.rs"]
mod grants;
#[path = "rights/life.rs"]
mod life;
mod support;

use anyhow::{Result, ensure};
use grants::{Grant, Used};
use scim_operator_harness::ControlPlane;
use scim_operator_harness::controlplane::Options;
use support::{NAMESPACE, Rig, election};

/// Rights that no such life shows, each with the reason why it is granted all the same.
const UNSEEN: [(&str, &str); 0] = [];

/// Namespaces and names, so that only what is named may be read.
fn access() -> String {
    format!(r#"secretAccess=[{{"namespace":"{NAMESPACE}","names":["scim","corporate-ca"]}}]"#)
}

async fn audited() -> Result<ControlPlane> {
    let options = Options {
        audit_log: true,
        ..Options::default()
    };
    ControlPlane::start_with(options).await
}

/// Lives with these values of the chart and variables of the operator, and compares.
async fn used_equals_granted(values: &[&str], variables: &[(&str, String)]) -> Result<()> {
    let access = access();
    let mut arguments = vec!["--set-json", access.as_str()];
    for value in values {
        arguments.extend(["--set", value]);
    }
    let mut rig = Rig::start_on(audited().await?, &arguments, variables).await?;
    life::is_lived(&mut rig).await?;
    let granted = grants::granted(&rig.plane).await?;
    let used = grants::used(&rig.plane)?;
    compare(&granted, &used)
}

fn compare(granted: &[Grant], used: &[Used]) -> Result<()> {
    ensure!(
        granted.len() > 20,
        "only {} rights were read",
        granted.len()
    );
    ensure!(used.len() > 20, "only {} requests were read", used.len());
    let refused: Vec<String> = used
        .iter()
        .filter(|used| !used.allowed)
        .map(ToString::to_string)
        .collect();
    ensure!(refused.is_empty(), "refused: {refused:#?}");
    let by_others: Vec<String> = used
        .iter()
        .filter(|used| !granted.iter().any(|grant| grant.covers(used)))
        .map(ToString::to_string)
        .collect();
    ensure!(
        by_others.is_empty(),
        "used, and not granted by the chart: {by_others:#?}"
    );
    let idle: Vec<String> = granted
        .iter()
        .filter(|grant| !used.iter().any(|used| grant.covers(used)))
        .map(ToString::to_string)
        .collect();
    let unexplained: Vec<&String> = idle
        .iter()
        .filter(|grant| !UNSEEN.iter().any(|(known, _)| known == grant))
        .collect();
    ensure!(
        unexplained.is_empty(),
        "granted, and never used: {unexplained:#?}"
    );
    let needless: Vec<&str> = UNSEEN
        .iter()
        .map(|(known, _)| *known)
        .filter(|known| !idle.iter().any(|grant| grant == known))
        .collect();
    ensure!(needless.is_empty(), "seen after all: {needless:?}");
    Ok(())
}

/// The variables of the operator: an election, and little patience with a namespace that ends.
fn variables() -> Vec<(&'static str, String)> {
    let mut variables = election("one");
    variables.push(("SCOPE_GRACE_SECONDS", "2".to_owned()));
    variables
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leads_uses_all_that_it_is_granted_and_is_refused_nothing() -> Result<()> {
    used_equals_granted(&[], &variables()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_shares_uses_all_that_it_is_granted_and_is_refused_nothing() -> Result<()> {
    let mut variables = variables();
    variables.push(("SPREAD_CONNECTIONS", "true".to_owned()));
    used_equals_granted(&["sharding.enabled=true"], &variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_watches_namespaces_uses_all_that_it_is_granted_and_is_refused_nothing()
-> Result<()> {
    let mut variables = variables();
    variables.push(("WATCH_NAMESPACES", NAMESPACE.to_owned()));
    let watched = format!("watchNamespaces={{{NAMESPACE}}}");
    used_equals_granted(&[&watched], &variables).await
}
