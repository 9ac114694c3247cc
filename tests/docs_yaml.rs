//! Every YAML that a reader may copy, taken by what it is written for. The fence says by what:
//!
//! | Fence | How it is checked |
//! |---|---|
//! | `yaml` | applied to a real API server with our definitions, in the order of the page, unknown fields being errors |
//! | `yaml,values` | values of the chart: rendered by the real Helm |
//! | `yaml,foreign` | kinds of others: applied as well, with the definitions that their projects publish (`gitops/definitions`); and what they say of ours, which those definitions know nothing of, is held against ours |
//! | `yaml,ci` | pipelines of a forge: their commands are run (`ci_examples.rs`) |
//!
//! A fence that says none of these, nor that it is no YAML, is an error: nothing goes by unchecked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Each test binary uses its own part.
#[path = "docs/markdown.rs"]
mod markdown;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use markdown::{Fence, Page, pages};
use scim_operator::api::definitions::definitions;
use scim_operator_harness::scratch::Scratch;
use scim_operator_harness::{ControlPlane, gitops};
use serde_json::Value;

/// Fences that are no YAML: commands, and what they print.
const NO_YAML: [&str; 2] = ["console", "text"];

fn documents(text: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(all.into_iter().filter(|one| !one.is_null()).collect())
}

/// The fences of every page that say this, each with where it is.
fn fenced(info: &str) -> Vec<(String, Fence)> {
    let of = |page: &Page| -> Vec<(String, Fence)> {
        let fences = page.fences().into_iter().filter(|fence| fence.info == info);
        let place = |fence: &Fence| format!("{}:{}", page.path.display(), fence.line);
        fences.map(|fence| (place(&fence), fence)).collect()
    };
    pages().iter().flat_map(of).collect()
}

#[test]
fn every_fence_says_how_it_is_checked() {
    let known = ["yaml", "yaml,values", "yaml,foreign", "yaml,ci"];
    let mut wrong = Vec::new();
    for page in pages() {
        for fence in page.fences() {
            let info = fence.info.as_str();
            if !known.contains(&info) && !NO_YAML.contains(&info) {
                wrong.push(format!("{}:{}: {info:?}", page.path.display(), fence.line));
            } else if NO_YAML.contains(&info) && fence.text.contains("apiVersion: ") {
                wrong.push(format!(
                    "{}:{}: YAML in {info}",
                    page.path.display(),
                    fence.line
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Our definitions, those of others, and the namespaces that pages are about.
async fn plane() -> Result<ControlPlane> {
    let plane = ControlPlane::start().await?;
    for namespace in [
        "argocd",
        "flux-system",
        "identity",
        "scim-demo",
        "scim-system",
    ] {
        plane.create_namespace(namespace).await?;
    }
    let others = gitops::definitions().await?;
    for folder in [Path::new("crds"), &others] {
        let folder = folder.to_str().context("the path is no text")?;
        plane.define(folder).await?;
    }
    Ok(plane)
}

const APPLY: [&str; 6] = [
    "apply",
    "--server-side",
    "--validate=strict",
    "--warnings-as-errors",
    "-f",
    "-",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_every_yaml() -> Result<()> {
    let plane = plane().await?;
    let mut applied = 0;
    for page in pages() {
        let mut objects = Vec::new();
        for fence in page
            .fences()
            .into_iter()
            .filter(|fence| ["yaml", "yaml,foreign"].contains(&fence.info.as_str()))
        {
            let place = || format!("{}:{}", page.path.display(), fence.line);
            plane
                .kubectl_with_input(&APPLY, &fence.text)
                .await
                .with_context(place)?;
            applied += documents(&fence.text).with_context(place)?.len();
            objects.push(fence.text);
        }
        // The next page may say something else of who is called so.
        for text in objects.iter().rev() {
            let delete = ["delete", "--ignore-not-found", "-f", "-"];
            plane.kubectl_with_input(&delete, text).await?;
        }
    }
    ensure!(applied > 18, "only {applied} objects were found");

    // Of files, those that are applied as they are, and the two folders that are applied whole.
    for file in [
        "examples/gitops/token-secret.yaml",
        "gitops/argocd/argocd-cm.yaml",
    ] {
        let text = std::fs::read_to_string(file)?;
        plane
            .kubectl_with_input(&APPLY, &text)
            .await
            .context(file)?;
    }
    let strictly = [
        "apply",
        "--server-side",
        "--validate=strict",
        "--warnings-as-errors",
    ];
    for folder in [["-k", "examples/gitops"], ["-Rf", "examples/demo"]] {
        plane
            .kubectl(&[strictly.as_slice(), &folder].concat())
            .await?;
    }
    Ok(())
}

#[test]
fn every_file_of_the_examples_is_among_those_applied() {
    let kustomization = std::fs::read_to_string("examples/gitops/kustomization.yaml").unwrap();
    let kustomization = documents(&kustomization).unwrap().remove(0);
    let mut listed: BTreeSet<String> = ["kustomization.yaml", "token-secret.yaml"]
        .map(str::to_owned)
        .into();
    let resources = kustomization["resources"].as_array().unwrap();
    listed.extend(resources.iter().map(|r| r.as_str().unwrap().to_owned()));
    let (root, mut folders) = (
        Path::new("examples/gitops"),
        vec![Path::new("examples/gitops").to_owned()],
    );
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            assert!(
                listed.contains(&name),
                "{name} is in no kustomization, and applied by nobody"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_renders_all_values() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let scratch = Scratch::create()?;
    let mut all: Vec<(String, Value)> = Vec::new();
    for (place, fence) in fenced("yaml,values") {
        let mut values = documents(&fence.text)?;
        ensure!(
            values.len() == 1,
            "{place}: one document of values, not {}",
            values.len()
        );
        all.extend(values.pop().map(|values| (place, values)));
    }
    for (place, fence) in fenced("yaml,foreign") {
        for object in documents(&fence.text)? {
            for path in ["/spec/values", "/spec/source/helm/valuesObject"] {
                let values = object.pointer(path).cloned();
                all.extend(values.map(|values| (format!("{place}{path}"), values)));
            }
        }
    }
    ensure!(
        all.len() >= 4,
        "only {} sets of values were found",
        all.len()
    );
    for (place, values) in all {
        let file = scratch.write("values.yaml", values.to_string())?;
        let file = file.to_str().context("the path is no text")?;
        let chart = "charts/scim-operator";
        let arguments = [
            "template",
            "scim-operator",
            chart,
            "-n",
            "scim-system",
            "-f",
            file,
        ];
        let rendered = plane.helm(&arguments).await.context(place.clone())?;
        ensure!(
            rendered.contains("kind: Deployment"),
            "{place}: no Deployment"
        );
    }
    Ok(())
}

/// What of ours is named wrongly below a value, each as where and what.
fn misnamed(value: &Value, place: &str, wrong: &mut Vec<String>) {
    let ours: Vec<String> = definitions()
        .iter()
        .map(|(_, definition)| definition.spec.names.kind.clone())
        .collect();
    match value {
        Value::Object(map) => {
            let word = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
            let (version, kind) = (word("apiVersion"), word("kind"));
            let is_ours = ours.iter().any(|ours| ours == kind);
            if version.starts_with("scim-operator.io/") && !is_ours {
                wrong.push(format!("{place}: {version} has no kind {kind}"));
            }
            if (is_ours || kind.starts_with("Scim")) && version != "scim-operator.io/v1alpha1" {
                wrong.push(format!("{place}: {kind} is not of {version:?}"));
            }
            for (name, inner) in map {
                misnamed(inner, &format!("{place}.{name}"), wrong);
            }
        }
        Value::Array(list) => {
            for (number, inner) in list.iter().enumerate() {
                misnamed(inner, &format!("{place}[{number}]"), wrong);
            }
        }
        _ => {}
    }
}

/// The Secrets that connections of this page take their tokens from, as `namespace/name` and key.
fn token_secrets(page: &Page) -> Result<BTreeSet<(String, String)>> {
    let mut found = BTreeSet::new();
    for fence in page
        .fences()
        .into_iter()
        .filter(|fence| fence.info == "yaml")
    {
        for object in documents(&fence.text)?
            .iter()
            .filter(|o| o["kind"] == "ScimConnection")
        {
            let word = |path: &str| {
                object
                    .pointer(path)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let name = format!(
                "{}/{}",
                word("/metadata/namespace"),
                word("/spec/tokenSecretRef/name")
            );
            found.insert((name, word("/spec/tokenSecretRef/key").to_owned()));
        }
    }
    Ok(found)
}

/// The Secret that somebody else's object makes, with its keys.
fn made_secret(object: &Value) -> Option<Vec<(String, String)>> {
    let word = |path: &str| {
        object
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (name, keys): (&str, Vec<String>) = match object["kind"].as_str()? {
        "ExternalSecret" => {
            let data = object.pointer("/spec/data")?.as_array()?;
            let keys = data.iter().filter_map(|entry| entry["secretKey"].as_str());
            (word("/spec/target/name"), keys.map(str::to_owned).collect())
        }
        "SealedSecret" => {
            let data = object.pointer("/spec/encryptedData")?.as_object()?;
            (
                word("/spec/template/metadata/name"),
                data.keys().cloned().collect(),
            )
        }
        _ => return None,
    };
    let name = format!("{}/{name}", word("/metadata/namespace"));
    Some(keys.into_iter().map(|key| (name.clone(), key)).collect())
}

#[test]
fn objects_of_others_say_of_ours_what_is_so() -> Result<()> {
    let mut secrets = 0;
    for page in pages() {
        let tokens = token_secrets(&page)?;
        for fence in page
            .fences()
            .into_iter()
            .filter(|fence| fence.info == "yaml,foreign")
        {
            for object in documents(&fence.text)? {
                let place = format!("{}:{}", page.path.display(), fence.line);
                let mut wrong = Vec::new();
                misnamed(&object["spec"], &place, &mut wrong);
                ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
                for made in made_secret(&object).into_iter().flatten() {
                    secrets += 1;
                    ensure!(
                        tokens.contains(&made),
                        "{place}: no connection of this page takes {made:?}"
                    );
                }
            }
        }
    }
    ensure!(secrets == 2, "{secrets} Secrets");
    Ok(())
}

#[test]
fn what_objects_of_others_say_wrongly_of_ours_is_seen() -> Result<()> {
    for (text, why) in [
        (
            "healthChecks: [{apiVersion: scim-operator.io/v1, kind: ScimUser}]",
            "another version",
        ),
        (
            "healthChecks: [{apiVersion: scim-operator.io/v1alpha1, kind: ScimUsers}]",
            "no kind of ours",
        ),
        (
            "healthChecks: [{apiVersion: v1alpha1, kind: ScimUser}]",
            "no group",
        ),
    ] {
        let mut wrong = Vec::new();
        misnamed(&documents(text)?[0], "here", &mut wrong);
        ensure!(wrong.len() == 1, "{why}: {wrong:?}");
    }
    Ok(())
}

/// Objects of others that are wrong in one thing: what the object of that kind in the docs is merged with, and a word
/// of what the API server says then.
const WRONG: [(&str, &str, &str); 12] = [
    (
        "GitRepository",
        "{spec: {ref: {tags: v1}}}",
        "spec.ref.tags",
    ),
    (
        "GitRepository",
        "{spec: {interval: hourly}}",
        "spec.interval",
    ),
    (
        "HelmRelease",
        "{spec: {chart: {spec: {sourceRef: {nam: x}}}}}",
        "sourceRef.nam",
    ),
    (
        "HelmRelease",
        "{apiVersion: helm.toolkit.fluxcd.io/v9}",
        "no matches for kind",
    ),
    ("Kustomization", "{spec: {prun: true}}", "spec.prun"),
    (
        "Kustomization",
        "{spec: {deletionPolicy: Keep}}",
        "spec.deletionPolicy",
    ),
    (
        "Application",
        "{spec: {source: {helm: {valueObject: {}}}}}",
        "helm.valueObject",
    ),
    (
        "Application",
        "{spec: {syncPolicy: {syncOptions: Prune}}}",
        "spec.syncPolicy.syncOptions",
    ),
    (
        "ExternalSecret",
        "{spec: {target: {deletionPolicy: Forget}}}",
        "spec.target.deletionPolicy",
    ),
    (
        "ExternalSecret",
        "{apiVersion: external-secrets.io/v9}",
        "no matches for kind",
    ),
    (
        "SealedSecret",
        "{spec: {template: {typ: Opaque}}}",
        "spec.template.typ",
    ),
    (
        "SealedSecret",
        "{spec: {encryptedData: {token: 1}}}",
        "spec.encryptedData.token",
    ),
];

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// So the definitions of others are there, and are asked.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_that_are_wrong_are_refused_for_what_is_wrong() -> Result<()> {
    let plane = plane().await?;
    let mut objects = Vec::new();
    for (_, fence) in fenced("yaml,foreign") {
        objects.extend(documents(&fence.text)?);
    }
    let dry = [APPLY.as_slice(), &["--dry-run=server"]].concat();
    for object in &objects {
        plane.kubectl_with_input(&dry, &object.to_string()).await?;
        let kind = object["kind"].as_str().context("no kind")?;
        ensure!(
            WRONG.iter().any(|(of, ..)| *of == kind),
            "no {kind} is wrong"
        );
    }
    for (kind, patch, told) in WRONG {
        let object = objects.iter().find(|object| object["kind"] == kind);
        let mut object = object
            .with_context(|| format!("no {kind} in the docs"))?
            .clone();
        merge(&mut object, &documents(patch)?[0]);
        let refused = plane.kubectl_with_input(&dry, &object.to_string()).await;
        let is_told = |e: &anyhow::Error| format!("{e:#}").contains(told);
        ensure!(
            refused.as_ref().is_err_and(is_told),
            "{kind} {patch}: {refused:?}"
        );
    }
    Ok(())
}
