//! `kubectl scim validate` and a real API server, asked about the same manifests: 200 that a seeded generator makes,
//! about half of them good, and every case of `crd_rules`. They have to agree on each, and where both refuse, on a
//! field. The API server is asked by `dryRun=All` and `fieldValidation=Strict`; the profile's rules are not its own.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Each test binary uses its own part.
#[path = "crd_rules/cases.rs"]
mod cases;
#[path = "validate_corpus/generator.rs"]
mod generator;

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use scim_operator::cli::manifests::Manifests;
use scim_operator::cli::validate::objects::ApiServer;
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

/// What the real one says: nothing, or the fields that it names and all of its words.
async fn asked(client: &Client, object: &Value) -> Result<Option<(Vec<String>, String)>> {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let path = format!(
        "/apis/scim-operator.io/v1alpha1/namespaces/default/{kind}s?dryRun=All&fieldValidation=Strict"
    );
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|d| &d.causes);
            let mut fields: Vec<String> = causes.map(|cause| cause.field.clone()).collect();
            // What is found while decoding has no causes: `strict decoding error: unknown field "spec.x"`.
            let unknown = status.message.split("unknown field \"").skip(1);
            fields.extend(unknown.filter_map(|rest| rest.split('"').next().map(str::to_owned)));
            ensure!(status.code < 500, "{}", status.message);
            Ok(Some((fields, status.message.clone())))
        }
        Err(other) => Err(other.into()),
    }
}

/// What ours says, reading the manifest from YAML: rule and field of each fault.
fn judged(server: &ApiServer, object: &Value) -> Result<Vec<(String, String)>> {
    let mut manifests = Manifests::default();
    manifests.take("a.yaml", &serde_saphyr::to_string(object)?);
    ensure!(
        manifests.unreadable.is_empty(),
        "{:?} {object}",
        manifests.unreadable
    );
    let read = &manifests
        .objects
        .first()
        .context("no object was read")?
        .object;
    ensure!(read == object, "YAML changed it: {read}");
    let (found, _) = server.judge(read);
    let api = ["schema/", "cel/", "metadata/"];
    let theirs = found
        .into_iter()
        .filter(|f| api.iter().any(|part| f.rule.starts_with(part)));
    Ok(theirs.map(|f| (f.rule, f.field.to_string())).collect())
}

/// Whether a field that the API server names is one of ours. It names keys of a map in brackets, or the map alone, and
/// of owners not which.
fn is_named(theirs: &str, ours: &str) -> bool {
    let spelt = theirs.replace("matchLabels[", "matchLabels.");
    let spelt = spelt.trim_end_matches(']');
    let whole_map = [
        "metadata.labels",
        "metadata.annotations",
        "metadata.finalizers",
    ];
    let owner = ours
        .strip_prefix("metadata.ownerReferences[")
        .and_then(|rest| rest.split_once("]."));
    let is_owner =
        owner.is_some_and(|(_, field)| theirs == format!("metadata.ownerReferences.{field}"));
    ours == theirs
        || spelt == ours
        || is_owner
        || whole_map.contains(&theirs) && ours.starts_with(theirs)
}

/// The disagreements about one manifest, as sentences; whether the API server takes it.
async fn compared(
    client: &Client,
    server: &ApiServer,
    object: &Value,
) -> Result<(bool, Option<String>)> {
    let real = asked(client, object).await?;
    let ours = judged(server, object)?;
    let shown: String = object.to_string().chars().take(700).collect();
    let disagreement = match &real {
        None if ours.is_empty() => None,
        None => Some(format!("the API server takes {shown}, ours says {ours:?}")),
        Some((_, words)) if ours.is_empty() => {
            let words: String = words.chars().take(700).collect();
            Some(format!("ours takes {shown}, the API server says {words}"))
        }
        Some((fields, words)) => {
            let named = fields
                .iter()
                .any(|f| ours.iter().any(|(_, o)| is_named(f, o)));
            let names_any = fields.iter().any(|field| field != "<nil>");
            let words: String = words.chars().take(700).collect();
            (names_any && !named)
                .then(|| format!("of {shown} the API server says {words}, ours says {ours:?}"))
        }
    };
    Ok((real.is_none(), disagreement))
}

async fn plane() -> Result<(ControlPlane, Client)> {
    let plane = ControlPlane::start().await?;
    plane.define("crds").await?;
    let client = plane.admin_client().await?;
    Ok((plane, client))
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_and_the_api_server_agree() -> Result<()> {
    let (_plane, client) = plane().await?;
    let server = ApiServer::new()?;
    let mut disagreements = Vec::new();

    // For a longer look: VALIDATE_CORPUS=3000.
    let count = std::env::var("VALIDATE_CORPUS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(200);
    let made = generator::corpus(20_261_128, count);
    let (mut taken, mut rules) = (0, std::collections::BTreeSet::new());
    for object in &made {
        let (is_taken, disagreement) = compared(&client, &server, object).await?;
        taken += usize::from(is_taken);
        disagreements.extend(disagreement);
        rules.extend(judged(&server, object)?.into_iter().map(|(rule, _)| rule));
    }
    for case in cases::refusals().iter().chain(&cases::accepted()) {
        let spec = cases::laid_over(cases::good(case.kind), &case.change);
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": case.kind, "metadata": {"name": "it"}, "spec": spec});
        let (is_taken, disagreement) = compared(&client, &server, &object).await?;
        ensure!(
            is_taken == case.says.is_empty(),
            "{}: {}",
            case.why,
            case.change
        );
        disagreements.extend(disagreement);
    }
    ensure!(
        disagreements.is_empty(),
        "{} of them:\n{}",
        disagreements.len(),
        disagreements.join("\n")
    );
    // The corpus is worth something only if it has both, and breaks what there is to be broken.
    let percent = taken * 100 / made.len();
    ensure!((45..=65).contains(&percent), "{percent} % are taken");
    for rule in [
        "schema/required",
        "schema/type",
        "schema/unknown",
        "schema/enum",
        "schema/length",
        "schema/pattern",
        "schema/range",
        "schema/duplicate",
        "schema/format",
        "schema/items",
        "metadata/name",
        "metadata/labels",
        "metadata/annotations",
        "metadata/finalizers",
        "cel/spec",
        "cel/spec.endpoint",
        "cel/spec.externalId",
        "cel/spec.emails",
        "cel/spec.sync.interval",
        "cel/spec.enterprise.manager",
        "cel/spec.allowedNamespaces",
        "cel/spec.memberSelector.matchExpressions",
        "cel/spec.memberSelector.matchLabels",
    ] {
        ensure!(
            rules.contains(rule),
            "nothing of the corpus breaks {rule}: {rules:?}"
        );
    }
    Ok(())
}

#[test]
fn the_corpus_is_the_same_each_time_and_no_two_are_alike() {
    let made = generator::corpus(1, 200);
    assert_eq!(made, generator::corpus(1, 200));
    let texts: std::collections::BTreeSet<_> = made.iter().map(Value::to_string).collect();
    assert!(texts.len() > 190, "{}", texts.len());
}
