//! Where it is asked to, the operator tells a collector how its passes went: each with what it asked of the backend
//! and of the API server, and of the object its name alone. A collector that is away holds nobody up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Context, Result, bail, ensure};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use scim_operator_harness::Collector;
use scim_operator_harness::collector::text;
use scim_operator_harness::wait::eventually;
use scim_sim::FailNext;
use support::scene::{Scene, stage_with};
use support::{DEADLINE, person};

fn of(span: &Span, key: &str) -> String {
    text(&span.attributes, key).unwrap_or_default()
}

fn failed(span: &Span) -> bool {
    let status = span.status.as_ref();
    status.is_some_and(|status| status.code() == StatusCode::Error)
}

/// The first trace with a pass over this object, within which all that is wanted is found.
async fn a_pass(
    collector: &Collector,
    name: &str,
    wanted: &[&dyn Fn(&Span) -> bool],
) -> Result<Vec<Span>> {
    eventually(&format!("a pass over {name}"), DEADLINE, async || {
        let all: Vec<Span> = collector.spans()?.into_iter().map(|(_, s)| s).collect();
        let roots = all
            .iter()
            .filter(|span| of(span, "k8s.resource.name") == name);
        for root in roots {
            ensure!(root.parent_span_id.is_empty(), "a pass within another");
            let trace: Vec<Span> = all
                .iter()
                .filter(|span| span.trace_id == root.trace_id)
                .cloned()
                .collect();
            if wanted.iter().all(|want| trace.iter().any(want)) {
                return Ok(Some(trace));
            }
        }
        bail!("{} spans", all.len())
    })
    .await
}

async fn traced(collector: &Collector) -> Result<Scene> {
    let scene = stage_with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".into()),
        // Spans are no lines, whatever is asked for.
        ("RUST_LOG", "info,scim_operator=trace".into()),
    ])
    .await?;
    scene.connect(serde_json::json!({})).await?;
    Ok(scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_told_with_what_it_asked_of_whom() -> Result<()> {
    let collector = Collector::start().await?;
    let mut scene = traced(&collector).await?;
    scene.rig.declare("ada", person("ada@example.com")).await?;
    scene.rig.settled("ada").await?;
    let created = |span: &Span| {
        span.name == "scim request"
            && of(span, "scim.operation") == "create"
            && of(span, "scim.answer") == "ok"
            && of(span, "http.request.method") == "POST"
            && of(span, "http.response.status_code") == "201"
            && of(span, "server.address") == "127.0.0.1"
            && !failed(span)
    };
    let turn = |span: &Span| span.name == "scim turn" && of(span, "scim.lane") == "fresh";
    let told = |span: &Span| {
        span.name == "api server request"
            && of(span, "http.request.method") == "PATCH"
            && of(span, "http.response.status_code") == "200"
            && of(span, "k8s.resource") == "scimusers"
            && of(span, "k8s.subresource") == "status"
    };
    let trace = a_pass(&collector, "ada", &[&created, &turn, &told]).await?;
    let root = trace.iter().find(|span| span.parent_span_id.is_empty());
    let root = root.context("a root")?;
    ensure!(root.name == "ScimUser" && of(root, "k8s.namespace.name") == "identity");
    ensure!(!failed(root), "{root:?}");
    let create = trace.iter().find(|span| created(span)).unwrap();
    ensure!(
        root.start_time_unix_nano <= create.start_time_unix_nano
            && create.end_time_unix_nano <= root.end_time_unix_nano,
        "a request outlasts its pass: {trace:?}"
    );
    let list = |span: &Span| of(span, "scim.operation") == "list";
    a_pass(&collector, "scim", &[&list]).await?;

    // A backend that fails is an error of the request, and no error of the pass, which has said so.
    scene.simulator.faults().update(|faults| {
        faults.fail_next = FailNext {
            n: 1,
            status: 500,
            ..FailNext::default()
        }
    });
    scene.rig.declare("bob", person("bob@example.com")).await?;
    scene.rig.settled("bob").await?;
    let refused = |span: &Span| of(span, "scim.answer") == "failed" && failed(span);
    a_pass(&collector, "bob", &[&refused]).await?;

    // Nothing outside of a pass is told, and of what is within no more than docs/metrics.md lists.
    let docs = std::fs::read_to_string("docs/metrics.md")?;
    for (service, span) in collector.spans()? {
        ensure!(service == "scim-operator", "{service}");
        ensure!(span.events.is_empty(), "a log line went along: {span:?}");
        let is_pass = of(&span, "k8s.resource.kind") == span.name;
        ensure!(span.parent_span_id.is_empty() == is_pass, "{span:?}");
        ensure!(docs.contains(&format!("`{}`", span.name)), "{}", span.name);
        for attribute in &span.attributes {
            let key = &attribute.key;
            ensure!(
                docs.contains(&format!("`{key}`")),
                "{key} is not in the docs"
            );
        }
    }
    let log = scene.rig.operator.log();
    // A line within a span would name it, with what it says.
    ensure!(
        log.contains("SCIM request"),
        "nothing is logged within a span"
    );
    ensure!(!log.contains("otel."), "a span is in the log: {log}");

    // The last ones are sent before the process ends.
    let before = collector.spans()?.len();
    scene.rig.declare("eve", person("eve@example.com")).await?;
    scene.rig.settled("eve").await?;
    scene.rig.operator.terminate(DEADLINE).await?;
    ensure!(collector.spans()?.len() > before);
    let seen = collector.spans()?;
    let passes = seen
        .iter()
        .filter(|(_, s)| of(s, "k8s.resource.name") == "eve");
    ensure!(passes.count() >= 1, "the last pass was lost");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_is_told_of_once_and_holds_nobody_up() -> Result<()> {
    let collector = Collector::start().await?;
    collector.set_down(true);
    let mut scene = traced(&collector).await?;
    let lost = "traces are not taken";
    scene.rig.operator.await_log(lost, DEADLINE).await?;
    for name in ["ada", "bob"] {
        scene
            .rig
            .declare(name, person(&format!("{name}@example.com")))
            .await?;
        scene.rig.settled(name).await?;
    }
    collector.set_down(false);
    scene.rig.declare("eve", person("eve@example.com")).await?;
    scene
        .rig
        .operator
        .await_log("traces are taken again", DEADLINE)
        .await?;
    ensure!(scene.rig.operator.log().matches(lost).count() == 1);
    a_pass(&collector, "eve", &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_endpoint_costs_the_traces_alone() -> Result<()> {
    let variable = ("OTEL_EXPORTER_OTLP_ENDPOINT", "no endpoint at all".into());
    let mut scene = stage_with(&[variable]).await?;
    scene.connect(serde_json::json!({})).await?;
    let line = scene.rig.operator.await_log("no traces", DEADLINE).await?;
    ensure!(line.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{line}");
    scene.rig.declare("ada", person("ada@example.com")).await?;
    scene.rig.settled("ada").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_neither_a_pass_nor_the_end() -> Result<()> {
    let collector = Collector::start().await?;
    collector.hang();
    let mut scene = traced(&collector).await?;
    scene.rig.declare("ada", person("ada@example.com")).await?;
    scene.rig.settled("ada").await?;
    let begun = std::time::Instant::now();
    scene.rig.operator.terminate(DEADLINE).await?;
    // Three seconds are given to it; its own patience of ten would be too long.
    ensure!(begun.elapsed().as_secs() < 9, "{:?}", begun.elapsed());
    Ok(())
}
