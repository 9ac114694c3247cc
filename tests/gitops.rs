//! What GitOps tools make of our objects, in every state that the real operator reports: kstatus and Flux by
//! their own libraries, Argo CD's health scripts by the interpreter that it runs them with. The table in
//! `docs/gitops/pruning.md` says what is expected. And what befalls people whom a tool prunes by mistake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Each test binary uses its own part.
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "gitops/prune.rs"]
mod prune;
#[path = "gitops/states.rs"]
mod states;
mod support;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use markdown::{Page, pages};
use scim_operator::api::{ScimGroup, ScimUser};
use scim_operator_harness::gitops::{Health, health};
use scim_operator_harness::wait;
use serde_json::{Value, json};
use support::scene::scene;
use support::{DEADLINE, groups::members, person};

const KINDS: [&str; 3] = ["ScimConnection", "ScimUser", "ScimGroup"];
const TABLE: &str = "docs/gitops/pruning.md";

/// The health scripts that are shipped, by kind.
fn scripts() -> Result<BTreeMap<String, String>> {
    let read = |kind: &str| {
        let path = format!("gitops/argocd/scim-operator.io/{kind}/health.lua");
        Ok((kind.to_owned(), std::fs::read_to_string(path)?))
    };
    KINDS.into_iter().map(read).collect()
}

/// The expressions that the documentation gives a Kustomization.
fn expressions() -> Result<Value> {
    let page = Page::read("docs/gitops/flux.md");
    let mut found = Vec::new();
    for fence in page.fences() {
        if fence.info == "yaml,foreign" {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&fence.text)?;
            found.extend(
                documents
                    .iter()
                    .filter_map(|d| d.pointer("/spec/healthCheckExprs").cloned()),
            );
        }
    }
    ensure!(
        found.len() == 1,
        "{} Kustomizations with expressions",
        found.len()
    );
    Ok(found.remove(0))
}

/// A row of the table, as the tools judged.
fn row(state: &str, health: &Health) -> String {
    let Health {
        kstatus,
        flux,
        argo,
        message: _,
    } = health;
    format!("| {state} | {kstatus} | {flux} | {argo} |")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_is_what_the_documentation_says() -> Result<()> {
    let objects = states::all().await?;
    let judged = health(&objects, &scripts()?, &expressions()?).await?;
    let said: Vec<&String> = judged.values().map(|health| &health.message).collect();
    ensure!(
        said.iter().all(|message| !message.is_empty()),
        "a script says nothing: {said:?}"
    );
    let page = Page::read(TABLE);
    let rows: Vec<&str> = page
        .text
        .lines()
        .filter(|line| line.starts_with("| a "))
        .collect();
    let expected: Vec<String> = judged
        .iter()
        .map(|(state, health)| row(state, health))
        .collect();
    for row in &expected {
        ensure!(
            rows.contains(&row.as_str()),
            "not in {TABLE}: {row}\n{}",
            all(&objects)
        );
    }
    ensure!(
        rows.len() == expected.len(),
        "{TABLE} has {} rows, judged: {}",
        rows.len(),
        expected.join("\n")
    );
    Ok(())
}

/// The statuses, for whoever has to find out why a row is another one.
fn all(objects: &BTreeMap<String, Value>) -> String {
    let one = |(state, object): (&String, &Value)| format!("{state}: {}", object["status"]);
    objects.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_judge_is_for_is_refused() -> Result<()> {
    let user = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": "a"}});
    let objects = BTreeMap::from([("a".to_owned(), user)]);
    for (script, why) in [
        ("return {", "no Lua"),
        (
            "return {status = 'Fine', message = 'x'}",
            "a word that Argo CD does not know",
        ),
        ("return nil", "nothing"),
        (
            "return {status = string.upper('x')}",
            "a library that Argo CD does not load",
        ),
        ("while true do end", "no end"),
    ] {
        let scripts = BTreeMap::from([("ScimUser".to_owned(), script.to_owned())]);
        let judged = health(&objects, &scripts, &json!([])).await;
        ensure!(judged.is_err(), "{why}: {judged:?}");
    }
    let broken = json!([{"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "current": "status.("}]);
    ensure!(
        health(&objects, &scripts()?, &broken).await.is_err(),
        "no expression"
    );
    Ok(())
}

#[test]
fn the_patch_of_argo_cd_has_the_scripts() {
    let text = std::fs::read_to_string("gitops/argocd/argocd-cm.yaml").unwrap();
    let patch: Value = serde_saphyr::from_str(&text).unwrap();
    let data = patch["data"].as_object().unwrap();
    assert_eq!(data.len(), KINDS.len());
    for (kind, script) in scripts().unwrap() {
        let key = format!("resource.customizations.health.scim-operator.io_{kind}");
        let equal = data[&key] == script;
        assert!(
            equal,
            "gitops/argocd/argocd-cm.yaml has another script for {kind}"
        );
    }
    let told = pages()
        .iter()
        .any(|page| page.text.contains("gitops/argocd/argocd-cm.yaml"));
    assert!(told, "nobody is told of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_that_flux_asks_for_is_answered_by_every_kind() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    let group = json!({"displayName": "Engineers", "members": members(&["ada"])});
    rig.declare_group("engineers", group).await?;
    rig.group_settled("engineers").await?;
    rig.sync("2026-11-28T10:00:00Z").await?;
    let stamp = "2026-11-28T10:00:01.000000001Z";
    let ask = Patch::Merge(
        json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": stamp}}}),
    );
    let parameters = PatchParams::default();
    rig.users().patch("ada", &parameters, &ask).await?;
    rig.groups().patch("engineers", &parameters, &ask).await?;
    let user = wait::wait_for_object(
        rig.users(),
        "ada",
        "an answer",
        DEADLINE,
        |u: Option<&ScimUser>| {
            u.and_then(|u| u.status.as_ref()?.last_handled_reconcile_at.as_deref()) == Some(stamp)
        },
    );
    rig.told(user.await)?.context("ada is gone")?;
    let group = wait::wait_for_object(
        rig.groups(),
        "engineers",
        "an answer",
        DEADLINE,
        |g: Option<&ScimGroup>| {
            g.and_then(|g| g.status.as_ref()?.last_handled_reconcile_at.as_deref()) == Some(stamp)
        },
    );
    rig.told(group.await)?.context("the group is gone")?;
    Ok(())
}
