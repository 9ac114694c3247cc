//! The NetworkPolicy: what it lets in and out. Whether it is enforced is for a cluster's network plugin; here the
//! API server says that it is one.

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

use super::{of, template};

async fn policy(extra: &[&str]) -> Result<Value> {
    let plane = ControlPlane::shared().await?;
    let enabled = ["--set", "networkPolicy.enabled=true"];
    let objects = template(plane, &[&enabled, extra].concat()).await?;
    let policies = of(&objects, "NetworkPolicy");
    ensure!(policies.len() == 1, "{policies:?}");
    let mut policy = policies[0].clone();
    let pod = &of(&objects, "Deployment")[0]["spec"]["template"];
    let (selected, labels) = (
        &policy["spec"]["podSelector"]["matchLabels"],
        &pod["metadata"]["labels"],
    );
    for (key, value) in selected.as_object().into_iter().flatten() {
        ensure!(labels[key] == *value, "it is of no pod of ours: {policy}");
    }
    ensure!(
        selected.as_object().is_some_and(|all| !all.is_empty()),
        "{policy}"
    );
    ensure!(policy["spec"]["policyTypes"] == json!(["Ingress", "Egress"]));
    let named = &policy["spec"]["ingress"][0]["ports"][0]["port"];
    let ports = pod["spec"]["containers"][0]["ports"].as_array();
    let is_there = ports.is_some_and(|ports| ports.iter().any(|port| port["name"] == *named));
    ensure!(is_there, "no container has a port {named}");
    policy["metadata"]["namespace"] = "default".into();
    let dry_run = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    plane
        .kubectl_with_input(&dry_run, &policy.to_string())
        .await?;
    Ok(policy["spec"].take())
}

fn port(protocol: &str, port: impl Into<Value>) -> Value {
    json!({"protocol": protocol, "port": port.into()})
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lets_in_probes_and_figures_and_out_names_the_api_server_and_https() -> Result<()> {
    let usual = template(ControlPlane::shared().await?, &[]).await?;
    ensure!(
        of(&usual, "NetworkPolicy").is_empty(),
        "it is off by default"
    );
    let spec = policy(&[]).await?;
    ensure!(
        spec["ingress"] == json!([{"ports": [port("TCP", "http")]}]),
        "{spec}"
    );
    let anywhere = json!([
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}}
    ]);
    let out = json!([
        {"ports": [port("UDP", 53), port("TCP", 53)]},
        {"ports": [port("TCP", 443), port("TCP", 6443)]},
        {"ports": [port("TCP", 443)], "to": anywhere}
    ]);
    ensure!(spec["egress"] == out, "{spec}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_as_narrow_as_it_is_told() -> Result<()> {
    let monitoring = json!([{"namespaceSelector": {"matchLabels": {"name": "nodes"}}}]);
    let api = json!([{"ipBlock": {"cidr": "10.0.0.1/32"}}]);
    let dns =
        json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]);
    let proxy = json!([{"ipBlock": {"cidr": "10.1.0.0/24"}}]);
    let network = json!({
        "ingress": {"from": monitoring},
        "egress": {
            "dns": {"to": dns, "ports": [5353]}, "apiServer": {"to": api, "ports": [8443]},
            "backends": {"to": proxy, "ports": [3128, 8080]}
        }
    });
    let mut set = Vec::new();
    for (key, value) in network.as_object().into_iter().flatten() {
        set.push("--set-json".to_owned());
        set.push(format!("networkPolicy.{key}={value}"));
    }
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let spec = policy(&set).await?;
    ensure!(
        spec["ingress"] == json!([{"ports": [port("TCP", "http")], "from": monitoring}]),
        "{spec}"
    );
    let out = json!([
        {"ports": [port("UDP", 5353), port("TCP", 5353)], "to": dns},
        {"ports": [port("TCP", 8443)], "to": api},
        {"ports": [port("TCP", 3128), port("TCP", 8080)], "to": proxy}
    ]);
    ensure!(spec["egress"] == out, "{spec}");
    Ok(())
}
