//! Every rule and bound of the CRDs, against a real API server: each CEL rule has a case here, each
//! field of a spec has a bound, and what is meant to be stored is stored, the examples among it.
//! Freshness of the files, columns, `explain` and field selectors are in `crds.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "crd_rules/bounds.rs"]
mod bounds;
#[path = "crd_rules/cases.rs"]
mod cases;

use anyhow::{Result, ensure};
use cases::{Case, GROUP, accepted, good, laid_over, members, refusals, transitions};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use scim_operator::api::ScimUser;
use scim_operator::api::connection::Profile as ProfileName;
use scim_operator::domain::profile::Profile;
use scim_operator::domain::validate::{Subject, Violation, validate};
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

const KINDS: [(&str, &str); 3] = [
    ("ScimConnection", "scimconnections"),
    ("ScimUser", "scimusers"),
    ("ScimGroup", "scimgroups"),
];

fn crd(plural: &str) -> Value {
    let text = std::fs::read_to_string(format!("crds/scim-operator.io_{plural}.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Calls `look` with every schema below `node` and its path.
fn walk(node: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
    look(path, node);
    for (name, inner) in node["properties"].as_object().into_iter().flatten() {
        walk(inner, &format!("{path}.{name}"), look);
    }
    for (step, part) in [("[]", "items"), ("{}", "additionalProperties")] {
        if node[part].is_object() {
            walk(&node[part], &format!("{path}{step}"), look);
        }
    }
}

#[test]
fn every_format_is_one_that_the_api_server_knows() {
    // Those of Kubernetes 1.30, the oldest that the chart supports; others are ignored with a warning.
    let known = |kind: &str, format: &str| match kind {
        "integer" => ["int32", "int64"].contains(&format),
        "number" => ["float", "double"].contains(&format),
        "string" => [
            "byte",
            "cidr",
            "date",
            "date-time",
            "duration",
            "email",
            "hostname",
            "ipv4",
            "ipv6",
            "mac",
            "password",
            "uri",
            "uuid",
        ]
        .contains(&format),
        _ => false,
    };
    let mut seen = 0;
    for (_, plural) in KINDS {
        walk(schema(&crd(plural)), plural, &mut |path, node| {
            let kind = node["type"].as_str().unwrap_or_default();
            if let Some(format) = node["format"].as_str() {
                seen += 1;
                assert!(known(kind, format), "{path}: {kind} of format {format}");
            }
            // What the operator cannot decode would stop its watch of all, so a count has both ends.
            if kind == "integer" && !path.ends_with("Generation") {
                assert!(
                    node["minimum"].is_number() && node["maximum"].is_number(),
                    "{path} is a count without bounds"
                );
            }
        });
    }
    assert!(seen > 20, "only {seen} formats were found");
}

#[test]
fn every_cel_rule_has_a_case_here() {
    let covered: Vec<&str> = refusals()
        .iter()
        .chain(&transitions())
        .map(|c| c.says)
        .collect();
    let mut seen = 0;
    for (_, plural) in KINDS {
        walk(schema(&crd(plural)), plural, &mut |path, node| {
            for rule in node["x-kubernetes-validations"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let message = rule["message"].as_str().unwrap_or_default();
                seen += 1;
                assert!(
                    covered.contains(&message),
                    "{path}: no case shows {message:?} firing"
                );
            }
        });
    }
    assert!(seen >= 10, "only {seen} rules were found");
}

async fn kinds(plane: &ControlPlane) -> Result<impl Fn(&str) -> Api<DynamicObject>> {
    plane
        .kubectl(&[
            "apply",
            "--server-side",
            "--warnings-as-errors",
            "-f",
            "crds",
        ])
        .await?;
    plane
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "--all",
        ])
        .await?;
    let client = plane.admin_client().await?;
    Ok(move |kind: &str| {
        let plural = KINDS.iter().find(|(k, _)| *k == kind).unwrap().1;
        let kind = GroupVersionKind::gvk("scim-operator.io", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(client.clone(), "default", &resource)
    })
}

fn object(kind: &str, spec: &Value) -> DynamicObject {
    let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": kind, "metadata": {"name": "it"}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_case_is_refused_or_stored_as_it_says() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let api = kinds(&plane).await?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for Case {
        kind,
        change,
        says,
        why,
    } in accepted()
    {
        let answer = api(kind)
            .create(&dry, &object(kind, &laid_over(good(kind), &change)))
            .await;
        ensure!(
            says.is_empty() && answer.is_ok(),
            "{kind} {change} ({why}): {answer:?}"
        );
    }
    for Case {
        kind,
        change,
        says,
        why,
    } in refusals()
    {
        let answer = api(kind)
            .create(&dry, &object(kind, &laid_over(good(kind), &change)))
            .await;
        let text = format!("{answer:?}");
        let shown: String = change.to_string().chars().take(200).collect();
        ensure!(
            answer.is_err() && text.contains(says),
            "{kind} {shown} ({why}): no {says:?} in {text:.600}"
        );
    }
    for (kind, _) in KINDS {
        api(kind)
            .create(&PostParams::default(), &object(kind, &good(kind)))
            .await?;
    }
    for Case {
        kind,
        change,
        says,
        why,
    } in transitions()
    {
        let patch = Patch::Merge(json!({"spec": change}));
        let answer = api(kind).patch("it", &PatchParams::default(), &patch).await;
        let text = format!("{answer:?}");
        ensure!(
            answer.is_err() && text.contains(says),
            "{kind} {change} ({why}): no {says:?} in {text}"
        );
    }
    Ok(())
}

/// The bound is worth something only if etcd and server-side apply take what it allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_as_many_members_as_may_be_is_stored() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let groups = kinds(&plane).await?(GROUP);
    let spec = laid_over(good(GROUP), &json!({"members": members(10000)}));
    let stored = groups
        .create(&PostParams::default(), &object(GROUP, &spec))
        .await?;
    ensure!(stored.data["spec"]["members"] == spec["members"]);
    let applied = PatchParams::apply("it").force();
    groups
        .patch("it", &applied, &Patch::Apply(&object(GROUP, &spec)))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_stored() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let _ = kinds(&plane).await?;
    for arguments in [
        ["apply", "--validate=strict", "-k", "examples/gitops"].as_slice(),
        &[
            "apply",
            "--validate=strict",
            "-f",
            "examples/gitops/token-secret.yaml",
        ],
        &[
            "apply",
            "--validate=strict",
            "-n",
            "identity",
            "-R",
            "-f",
            "examples/demo",
        ],
    ] {
        plane.kubectl(arguments).await?;
    }
    let left_out = plane.kubectl(&["kustomize", "examples/gitops"]).await?;
    ensure!(
        !left_out.contains("kind: Secret"),
        "the placeholder would overwrite the token"
    );
    Ok(())
}

fn violations(path: &str) -> Vec<Violation> {
    let user: ScimUser = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let profile = Profile::resolve(ProfileName::CybSafe, &[]).unwrap();
    let subject = Subject {
        owner_id: "o",
        namespace: "identity",
        name: "it",
        manager_id: Some("1"),
        expired: false,
    };
    validate(&user.spec, &profile, subject)
        .err()
        .unwrap_or_default()
}

#[test]
fn the_examples_are_people_that_cybsafe_takes_but_for_the_one_that_shows_violations() {
    let mut seen = 0;
    for folder in ["examples/gitops/users", "examples/demo/users"] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path().to_str().unwrap().to_owned();
            if !std::fs::read_to_string(&path)
                .unwrap()
                .contains("kind: ScimUser")
                || path.ends_with("eve.yaml")
            {
                continue;
            }
            seen += 1;
            assert_eq!(violations(&path), Vec::new(), "{path}");
        }
    }
    assert_eq!(seen, 8);
    let fields: Vec<String> = violations("examples/demo/users/eve.yaml")
        .into_iter()
        .map(|v| v.field)
        .collect();
    assert_eq!(
        fields,
        [
            "spec.addresses[work].country",
            "spec.name.familyName",
            "spec.preferredLanguage"
        ]
    );
}
