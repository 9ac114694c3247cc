//! What the operator shows to a real Prometheus while it works: every figure moves with what it is about, each
//! question of the dashboard has an answer, no series outlives its connection, and nobody is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
use scim_operator_harness::Prometheus;
use scim_operator_harness::wait::eventually;
use serde_json::{Map, Value, json};
use support::scene::scene;
use support::{Backend, DEADLINE, TOKEN, person};

const RULES: &str = "charts/scim-operator/files/rules.yaml";

/// What the story asks until Prometheus has seen it.
async fn comes_to(prometheus: &Prometheus, expression: &str, value: &str) -> Result<()> {
    eventually(expression, DEADLINE, async || {
        let found = prometheus.query(expression).await?;
        let values: Vec<&str> = found
            .iter()
            .filter_map(|v| v["value"][1].as_str())
            .collect();
        if values != [value] {
            bail!("{values:?} is not {value}");
        }
        Ok(Some(()))
    })
    .await
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_follow_what_happens() -> Result<()> {
    let begun = now();
    let guard = json!({"deprovisionGuard": {"maxPercent": 1, "minimum": 1, "window": "1h"}});
    let mut scene = scene(guard).await?;
    let address = scene.rig.operator.http_address(DEADLINE).await?;
    let rules = std::fs::canonicalize(RULES)?;
    let prometheus = Prometheus::scraping(address, &[&rules]).await?;
    let backend = Backend::new(&scene.simulator.base_url(), TOKEN);
    let rig = &scene.rig;

    // A rate is seen only of what is counted after the first scrape.
    let created = r#"scim_operator_changes_total{kind="ScimUser", change="created"}"#;
    comes_to(&prometheus, created, "0").await?;

    // Three provisioned, of whom one is archived; one that breaks a rule; a group.
    for name in ["ada", "bob", "eve"] {
        rig.declare(name, person(&format!("{name}@example.com")))
            .await?;
    }
    let mut off = person("off@example.com");
    off["active"] = json!(false);
    rig.declare("off", off).await?;
    let mut bad = person("bad@example.com");
    bad["addresses"] = json!([{"type": "work", "country": "Atlantis"}]);
    rig.declare("bad", bad).await?;
    for name in ["ada", "bob", "eve", "off"] {
        rig.settled(name).await?;
    }
    rig.user_is("bad", "Ready", "False", "Invalid").await?;
    let members = json!([{"userRef": {"name": "ada"}}, {"userRef": {"name": "bob"}}]);
    rig.declare_group("all", json!({"displayName": "All", "members": members}))
        .await?;
    rig.group_settled("all").await?;
    for (state, value) in [
        ("desired", "5"),
        ("provisioned", "4"),
        ("archived", "1"),
        ("invalid", "1"),
    ] {
        let users = format!(r#"scim_operator_resources{{kind="ScimUser", state="{state}"}}"#);
        comes_to(&prometheus, &users, value).await?;
    }
    comes_to(
        &prometheus,
        r#"scim_operator_resources_by_reason{kind="ScimUser", reason="Invalid"}"#,
        "1",
    )
    .await?;
    comes_to(
        &prometheus,
        r#"scim_operator_resources_by_reason{kind="ScimUser", reason="Synced"}"#,
        "4",
    )
    .await?;
    comes_to(
        &prometheus,
        r#"scim_operator_changes_total{kind="ScimUser", change="created"}"#,
        "4",
    )
    .await?;
    comes_to(
        &prometheus,
        r#"scim_operator_changes_total{kind="ScimGroup", change="created"}"#,
        "1",
    )
    .await?;
    comes_to(
        &prometheus,
        r#"scim_operator_time_to_provisioned_seconds_count{kind="ScimUser"}"#,
        "4",
    )
    .await?;
    let created = r#"scim_operator_scim_requests_total{operation="create", answer="ok"}"#;
    comes_to(&prometheus, created, "5").await?;

    // Somebody else changes one, and the backend throttles what puts that right.
    let id = backend.user("ada@example.com").await?["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let rename = json!([{"op": "replace", "path": "name.givenName", "value": "Augusta"}]);
    backend.patch(&id, rename).await?;
    scene.simulator.faults().update(|faults| {
        faults.throttle_next = 1;
        faults.retry_after = Some("1".into());
    });
    rig.sync("1").await?;
    let drift = r#"scim_operator_changes_total{kind="ScimUser", change="drift_corrected"}"#;
    comes_to(&prometheus, drift, "1").await?;
    let throttled = r#"sum(scim_operator_scim_requests_total{answer="throttled"})"#;
    comes_to(&prometheus, throttled, "1").await?;
    let paused = r#"sum(scim_operator_scim_requests_held_back_total{by="pause"}) >= bool 1"#;
    comes_to(&prometheus, paused, "1").await?;

    // Edited; and two leave, of whom one is held.
    rig.edit("eve", json!({"enterprise": {"department": "Analysis"}}))
        .await?;
    rig.settled("eve").await?;
    let updated = r#"scim_operator_changes_total{kind="ScimUser", change="updated"}"#;
    comes_to(&prometheus, updated, "1").await?;
    for name in ["bob", "eve"] {
        rig.plane
            .kubectl(&["delete", "scimuser", name, "-n", "identity", "--wait=false"])
            .await?;
    }
    comes_to(&prometheus, "scim_operator_held_deprovisionings", "1").await?;
    let archived = r#"scim_operator_changes_total{kind="ScimUser", change="archived"}"#;
    comes_to(&prometheus, archived, "1").await?;

    // The token's age begins anew with another one.
    let age = "time() - scim_operator_token_changed_timestamp_seconds < bool 600";
    comes_to(&prometheus, age, "1").await?;

    ensure!(prometheus.scrape_error().await?.is_none());
    the_dashboard_is_answered(&prometheus, begun).await?;

    // As many series whoever is declared, and nobody is named.
    let series = r#"count({__name__=~"scim_operator_.+", connection="identity/scim"})"#;
    let before = prometheus.query(series).await?[0]["value"][1].clone();
    // What docs/metrics.md says of how many.
    let count: f64 = before.as_str().unwrap().parse()?;
    println!("{count} series of the connection");
    ensure!(count < 300.0, "{count}");
    for number in 0..20 {
        let name = format!("more-{number}");
        rig.declare(&name, person(&format!("{name}@example.com")))
            .await?;
    }
    comes_to(
        &prometheus,
        r#"scim_operator_resources{kind="ScimUser", state="provisioned"}"#,
        "23",
    )
    .await?;
    comes_to(&prometheus, series, before.as_str().unwrap()).await?;
    let text = scene.rig.operator.metrics().await?;
    for said in ["ada", "more-", "example.com", "Ada", "Lovelace", TOKEN, &id] {
        // What stands between quotes is the value of a label.
        let mut values = text
            .lines()
            .flat_map(|line| line.split('"').skip(1).step_by(2));
        let named = values.find(|value| value.contains(said));
        ensure!(named.is_none(), "{said} is named: {named:?}");
    }
    the_docs_name_what_is_served(&text)?;

    // A connection that is gone shows nothing more.
    let rig = &scene.rig;
    rig.plane
        .kubectl(&[
            "annotate",
            "scimconnection",
            "scim",
            "-n",
            "identity",
            "scim-operator.io/abandon=true",
        ])
        .await?;
    rig.plane
        .kubectl(&[
            "delete",
            "scimconnection",
            "scim",
            "-n",
            "identity",
            "--wait=false",
        ])
        .await?;
    comes_to(&prometheus, "scim_operator_connections", "0").await?;
    let text = scene.rig.operator.metrics().await?;
    let left = text.lines().find(|line| line.contains("identity/scim"));
    ensure!(left.is_none(), "{left:?}");
    Ok(())
}

/// Each question of each panel, as Grafana would ask it. The answers are kept for who draws them
/// (`tests/prometheus/draw.py`).
async fn the_dashboard_is_answered(prometheus: &Prometheus, begun: f64) -> Result<()> {
    // Only while a backend allows less than spec.limits.
    const MAY_BE_EMPTY: [&str; 1] = ["scim_operator_scim_rate_learned"];
    let file = std::fs::read_to_string("charts/scim-operator/files/dashboard.json")?;
    let dashboard: Value = serde_json::from_str(&file)?;
    let mut answers = Map::new();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression
                .replace("$connection", ".*")
                .replace("$__rate_interval", "10s");
            ensure!(!expression.contains('$'), "{expression}");
            let found = prometheus
                .query_range(&expression, begun, now(), 1.0)
                .await?;
            let may = MAY_BE_EMPTY.iter().any(|name| expression.contains(name));
            ensure!(
                may || !found.is_empty(),
                "{}: no answer to {expression}",
                panel["title"]
            );
            // A quantile of nothing is no number.
            let numbers = found
                .iter()
                .flat_map(|series| series["values"].as_array().unwrap());
            let any = numbers.into_iter().any(|value| value[1] != "NaN");
            ensure!(
                may || any,
                "{}: nothing but NaN to {expression}",
                panel["title"]
            );
            asked += 1;
            let key = format!("{}{}", panel["id"], target["refId"].as_str().unwrap());
            answers.insert(key, found.into());
        }
    }
    ensure!(asked > 20, "{asked} questions");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.json");
    std::fs::write(kept, Value::from(answers).to_string())?;
    Ok(())
}

fn the_docs_name_what_is_served(text: &str) -> Result<()> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<String> = types
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let docs = std::fs::read_to_string("docs/metrics.md")?;
    let rows = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `scim_operator_"));
    let said: BTreeSet<String> = rows
        .map(|row| format!("scim_operator_{}", row.split('`').next().unwrap()))
        .collect();
    ensure!(served == said, "served {served:?}\nin the docs {said:?}");
    Ok(())
}
