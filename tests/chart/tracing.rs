//! Where traces go, and that they can get there.

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::json;

use super::{of, template};

const ENDPOINT: &str = "tracing.endpoint=https://collector.monitoring.svc:4318";

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_told_with_whose_traces_they_are_and_is_let_out_to() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let usual = template(plane, &["--set", "networkPolicy.enabled=true"]).await?;
    ensure!(
        !json!(usual).to_string().contains("OTEL_"),
        "they are off by default"
    );
    let away = egress(&usual)?;
    let set = [
        "--set",
        ENDPOINT,
        "--set-json",
        "tracing.sampleRatio=0.05",
        "--set",
        "networkPolicy.enabled=true",
        "--set-json",
        r#"networkPolicy.egress.collector={"to": [{"namespaceSelector": {}}], "ports": [4319]}"#,
    ];
    let objects = template(plane, &set).await?;
    let env = &of(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"];
    let all = env.as_array().cloned().unwrap_or_default();
    let place = |name: &str| all.iter().position(|variable| variable["name"] == name);
    for (name, value) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://collector.monitoring.svc:4318",
        ),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.05"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME),service.instance.id=$(POD_NAME)",
        ),
    ] {
        let found = place(name).map(|at| &all[at]["value"]);
        ensure!(found == Some(&json!(value)), "{name}: {env}");
    }
    // What a value names has to come before it, or the kubelet leaves the name as it is.
    let attributes = place("OTEL_RESOURCE_ATTRIBUTES");
    ensure!(place("POD_NAME") < attributes && place("POD_NAMESPACE") < attributes);
    let out = egress(&objects)?;
    let way =
        json!({"ports": [{"protocol": "TCP", "port": 4319}], "to": [{"namespaceSelector": {}}]});
    ensure!(
        out.len() == away.len() + 1 && out.last() == Some(&way),
        "{out:?}"
    );
    Ok(())
}

fn egress(objects: &[serde_json::Value]) -> Result<Vec<serde_json::Value>> {
    let rules = of(objects, "NetworkPolicy")[0]["spec"]["egress"].clone();
    Ok(serde_json::from_value(rules)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_endpoint_and_no_part_is_refused() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    for bad in [
        r#"tracing.endpoint="collector:4318""#,
        r#"tracing.endpoint="grpc://collector:4317""#,
        r#"tracing.endpoint="https://user:password@collector""#,
        "tracing.sampleRatio=1.5",
        "tracing.sampleRatio=-1",
    ] {
        let told = template(plane, &["--set-json", bad]).await;
        ensure!(told.is_err(), "{bad} was taken");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_extra_env_names_is_there_once_and_as_it_says() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let own = json!([
        {"name": "RUST_LOG", "value": "warn"},
        {"name": "POD_NAME", "value": "mine"},
        {"name": "OTEL_TRACES_SAMPLER", "value": "always_on"},
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=identity,k8s.pod.name=$(POD_NAME)"},
    ]);
    let extra = format!("extraEnv={own}");
    let objects = template(plane, &["--set", ENDPOINT, "--set-json", &extra]).await?;
    let env = &of(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"];
    let all = env.as_array().cloned().unwrap_or_default();
    let mut names: Vec<&str> = all.iter().filter_map(|v| v["name"].as_str()).collect();
    let there = names.len();
    names.sort_unstable();
    names.dedup();
    ensure!(names.len() == there, "a name is there twice: {env}");
    for one in own.as_array().into_iter().flatten() {
        ensure!(all.contains(one), "{one} is not there: {env}");
    }
    ensure!(
        all.iter()
            .any(|v| v["name"] == "POD_NAMESPACE" && !v["valueFrom"].is_null())
    );
    Ok(())
}
