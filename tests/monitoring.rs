//! What the chart gives to Prometheus and Grafana, judged by promtool and against what the operator serves: rules,
//! their tests, the dashboard's questions, the table in docs/metrics.md. The story with a real Prometheus is
//! `metrics_story`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;
use scim_operator_harness::prometheus::{TARGET_LABELS, promtool};
use scim_operator_harness::scratch::Scratch;
use serde_json::Value;

const RULES: &str = "charts/scim-operator/files/rules.yaml";
const RULES_TEST: &str = "tests/prometheus/rules.test.yaml";

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The alerts of the chart, in their order.
fn alerts() -> Vec<String> {
    let rules = yaml(RULES);
    let all = items(&rules["groups"]).flat_map(|group| items(&group["rules"]));
    all.map(|rule| rule["alert"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_alert_fires_for_what_it_is_for_and_not_before() -> Result<()> {
    let here = Path::new(".");
    let (content, said) = promtool(here, &["check", "rules", "--lint=all", RULES]).await?;
    ensure!(content, "{said}");
    let (content, said) = promtool(here, &["test", "rules", RULES_TEST]).await?;
    ensure!(content, "{said}");
    for alert in alerts() {
        let tests = yaml(RULES_TEST);
        let of_it = items(&tests["tests"]).flat_map(|test| items(&test["alert_rule_test"]));
        let of_it: Vec<bool> = of_it
            .filter(|test| test["alertname"] == *alert)
            .map(|test| items(&test["exp_alerts"]).next().is_some())
            .collect();
        ensure!(of_it.contains(&true), "{alert} is not tested to fire");
        ensure!(of_it.contains(&false), "{alert} is not tested to be silent");
    }
    Ok(())
}

/// The tests of the rules can fail: each alert in turn is made one that never fires, and one that fires at once.
#[tokio::test]
async fn the_tests_of_the_rules_notice_a_rule_that_is_broken() -> Result<()> {
    let scratch = Scratch::create()?;
    let mut test = yaml(RULES_TEST);
    test["rule_files"] = serde_json::json!(["rules.json"]);
    std::fs::write(scratch.join("test.json"), test.to_string())?;
    let count = alerts().len();
    for number in 0..count {
        for mutant in ["never", "at once"] {
            let mut rules = yaml(RULES);
            let rule = &mut rules["groups"][0]["rules"][number];
            let name = rule["alert"].clone();
            if mutant == "never" {
                rule["expr"] = "vector(0) > 1".into();
            } else if rule.get("for").is_none() {
                continue;
            } else {
                rule["for"] = "0s".into();
            }
            std::fs::write(scratch.join("rules.json"), rules.to_string())?;
            let (content, _) = promtool(scratch.path(), &["test", "rules", "test.json"]).await?;
            ensure!(!content, "{name} fires {mutant}, and nobody notices");
        }
    }
    Ok(())
}

/// What is said of the figures is what there is to say: each alert in the docs, each figure of the rules and of the
/// dashboard among those of the docs (which `metrics_story` holds equal to what is served).
#[test]
fn rules_dashboard_and_docs_speak_of_the_same_figures() {
    let docs = std::fs::read_to_string("docs/metrics.md").unwrap();
    let rows = |begin: &str| -> BTreeSet<String> {
        let rows = docs.lines().filter_map(|line| line.strip_prefix(begin));
        rows.map(|row| row.split('`').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(rows("| `Scim"), {
        let alerts = alerts().into_iter();
        alerts
            .map(|alert| alert.strip_prefix("Scim").unwrap().to_owned())
            .collect()
    });
    let taken = TARGET_LABELS.iter().chain(&["job", "instance"]);
    for label in taken {
        let row = docs.lines().find(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            line.starts_with("| `scim_operator_")
                && cells
                    .get(2)
                    .is_some_and(|c| c.contains(&format!("`{label}`")))
        });
        assert!(row.is_none(), "{label} is the target's: {row:?}");
    }
    let figures = rows("| `scim_operator_");
    let dashboard = std::fs::read_to_string("charts/scim-operator/files/dashboard.json").unwrap();
    let rules = std::fs::read_to_string(RULES).unwrap();
    let mut asked = BTreeSet::new();
    for text in [dashboard, rules] {
        for after in text.split("scim_operator_").skip(1) {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &after[..end.unwrap_or(after.len())];
            // The series of a histogram.
            let series = ["_bucket", "_count", "_sum"];
            let family = series.iter().find_map(|end| name.strip_suffix(end));
            asked.insert(family.unwrap_or(name).to_owned());
        }
    }
    let unknown: Vec<_> = asked.difference(&figures).collect();
    assert!(unknown.is_empty(), "asked for, and not there: {unknown:?}");
    let unasked: Vec<_> = figures.difference(&asked).collect();
    assert!(unasked.is_empty(), "shown by no panel: {unasked:?}");
}

/// The objects of the chart, by kind.
async fn rendered(values: &[&str]) -> Result<Vec<Value>> {
    let plane = ControlPlane::shared().await?;
    let mut arguments = vec!["template", "r", "charts/scim-operator", "-n", "scim-system"];
    for value in values {
        arguments.extend(["--set-json", value]);
    }
    let text = plane.helm(&arguments).await?;
    let documents = text.split("\n---\n").filter(|d| d.contains("kind:"));
    documents
        .map(|document| {
            Ok(serde_saphyr::from_str::<Value>(
                document.trim_start_matches("---"),
            )?)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_hands_them_over_as_it_is_told() -> Result<()> {
    let usual = rendered(&[]).await?;
    let find = |objects: &[Value], kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind);
        found.cloned().unwrap_or_default()
    };
    for kind in ["ServiceMonitor", "PrometheusRule", "ConfigMap"] {
        ensure!(find(&usual, kind).is_null(), "{kind} comes unasked");
    }
    let service = find(&usual, "Service");
    let deployment = find(&usual, "Deployment");
    let pod = &deployment["spec"]["template"];
    for (label, value) in service["spec"]["selector"].as_object().unwrap() {
        ensure!(pod["metadata"]["labels"][label] == *value, "{label}");
    }
    let port = &service["spec"]["ports"][0]["targetPort"];
    let ports = items(&pod["spec"]["containers"][0]["ports"]);
    ensure!(ports.into_iter().any(|p| p["name"] == *port), "{port}");

    let all = rendered(&[
        r#"metrics.serviceMonitor={"enabled":true,"labels":{"release":"p"},"scrapeTimeout":"5s"}"#,
        r#"metrics.prometheusRule={"enabled":true,"namespace":"monitoring","disabled":["ScimTokenOld"],
            "extraRules":[{"record":"mine","expr":"1"}]}"#,
        r#"metrics.dashboard={"enabled":true,"annotations":{"folder":"identity"}}"#,
    ])
    .await?;
    let monitor = find(&all, "ServiceMonitor");
    ensure!(monitor["metadata"]["labels"]["release"] == "p");
    ensure!(monitor["spec"]["endpoints"][0]["scrapeTimeout"] == "5s");
    let service = find(&all, "Service");
    for (label, value) in monitor["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap()
    {
        ensure!(service["metadata"]["labels"][label] == *value, "{label}");
    }
    ensure!(monitor["spec"]["namespaceSelector"]["matchNames"][0] == "scim-system");
    ensure!(monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]);

    // What Helm renders is what promtool has tested, but for what was asked.
    let rule = find(&all, "PrometheusRule");
    ensure!(rule["metadata"]["namespace"] == "monitoring");
    let mut expected = yaml(RULES)["groups"].clone();
    let rules = expected[0]["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["alert"] != "ScimTokenOld");
    rules.push(serde_json::json!({"record": "mine", "expr": "1"}));
    ensure!(rule["spec"]["groups"] == expected, "{:#}", rule["spec"]);

    let map = find(&all, "ConfigMap");
    ensure!(map["metadata"]["labels"]["grafana_dashboard"] == "1");
    ensure!(map["metadata"]["annotations"]["folder"] == "identity");
    let shipped: Value = serde_json::from_str(map["data"]["scim-operator.json"].as_str().unwrap())?;
    let file = std::fs::read_to_string("charts/scim-operator/files/dashboard.json")?;
    ensure!(shipped == serde_json::from_str::<Value>(&file)?);
    Ok(())
}
