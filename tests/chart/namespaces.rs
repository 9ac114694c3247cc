//! A release that watches namespaces by name: what it is told and may do, and what may live beside it.

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::json;

use super::{CHART, grants_little, of, template, typed, words};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_by_name_is_read_nowhere_else() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let mut extra = vec!["--set", "watchNamespaces={identity,team-b}"];
    extra.extend(["--set", "secretAccess[0].namespace=identity"]);
    extra.extend(["--set", "finalizerPolicy.enabled=true"]);
    let objects = template(plane, &extra).await?;
    let container = &of(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let arguments = words(&container["args"]);
    for namespace in ["identity", "team-b"] {
        let argument = format!("--watch-namespace={namespace}");
        ensure!(arguments.contains(&argument.as_str()), "{arguments:?}");
    }
    for role in of(&objects, "ClusterRole") {
        for rule in role["rules"].as_array().into_iter().flatten() {
            let named = words(&rule["resourceNames"]);
            let resources = words(&rule["resources"]);
            let expected = match resources[..] {
                ["namespaces"] => vec!["identity", "team-b"],
                ["customresourcedefinitions"] => vec![
                    "scimconnections.scim-operator.io",
                    "scimgroups.scim-operator.io",
                    "scimusers.scim-operator.io",
                ],
                _ => anyhow::bail!("of the whole cluster: {rule}"),
            };
            ensure!(named == expected, "{rule}");
        }
    }
    let mut places = Vec::new();
    for role in of(&objects, "Role") {
        let rules = role["rules"].as_array().into_iter().flatten();
        for rule in rules {
            grants_little(rule, false)?;
            if words(&rule["apiGroups"]) == ["scim-operator.io"] {
                places.push(role["metadata"]["namespace"].clone());
            }
        }
    }
    places.dedup();
    ensure!(places == ["identity", "team-b"], "{places:?}");
    // The policy puts a finalizer on nobody that no operator looks at.
    let policy = of(&objects, "MutatingAdmissionPolicy")[0];
    let selector = &policy["spec"]["matchConstraints"]["namespaceSelector"];
    let only = json!([{"key": "kubernetes.io/metadata.name", "operator": "In",
        "values": ["identity", "team-b"]}]);
    ensure!(selector["matchExpressions"] == only, "{policy}");

    let usual = template(plane, &["--set", "finalizerPolicy.enabled=true"]).await?;
    let policy = of(&usual, "MutatingAdmissionPolicy")[0];
    let selector = &policy["spec"]["matchConstraints"]["namespaceSelector"];
    ensure!(selector.is_null(), "{policy}");
    let container = &of(&usual, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    ensure!(
        !container.to_string().contains("watch-namespace"),
        "{container}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_releases_live_side_by_side_only_where_they_watch_nothing_in_common() -> Result<()> {
    let plane = ControlPlane::start().await?;
    for namespace in ["system-a", "system-b", "a", "b", "c"] {
        plane.create_namespace(namespace).await?;
    }
    let first = format!("install first {CHART} -n system-a --set watchNamespaces={{a,b}}");
    plane.helm(&typed(&first)).await?;
    let second = |values: &str, namespace: &str| {
        format!("install second {CHART} -n {namespace} --set crds.install=false{values}")
    };
    for (values, namespace, told) in [
        ("", "system-b", "a cluster, unless all of them are told"),
        (
            ",watchNamespaces={b,c}",
            "system-b",
            "\"first\" in the namespace \"system-a\" watches b already",
        ),
        (
            ",watchNamespaces={c}",
            "system-a",
            "the two would wait for one Lease",
        ),
    ] {
        let answer = plane.helm(&typed(&second(values, namespace))).await;
        let refused = |e: &anyhow::Error| format!("{e:#}").contains(told);
        ensure!(answer.as_ref().is_err_and(refused), "{values}: {answer:?}");
    }
    let beside = second(",watchNamespaces={c}", "system-b");
    plane.helm(&typed(&beside)).await?;
    // Neither may then be widened into the other's.
    for (release, namespace, values) in [
        ("first", "system-a", "watchNamespaces={a,c}"),
        (
            "second",
            "system-b",
            "watchNamespaces=null,crds.install=false",
        ),
    ] {
        let upgrade = format!("upgrade {release} {CHART} -n {namespace} --set {values}");
        let answer = plane.helm(&typed(&upgrade)).await;
        let refused = |e: &anyhow::Error| format!("{e:#}").contains("one scim-operator a ");
        ensure!(answer.as_ref().is_err_and(refused), "{release}: {answer:?}");
    }
    let same =
        format!("upgrade first {CHART} -n system-a --set watchNamespaces={{a,b}},logLevel=debug");
    plane.helm(&typed(&same)).await?;
    Ok(())
}
