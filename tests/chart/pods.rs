//! The pod: it meets the Pod Security Standard `restricted`, by the API server's own admission, and what else is
//! said of it in the values.

use anyhow::{Context as _, Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

use super::{of, template, typed};

/// Volumes and a variable, as somebody may need them.
const MORE: &str = r#"extraVolumes=[{"name":"cache","emptyDir":{}},{"name":"proxy-ca","configMap":{"name":"ca"}}]"#;
const MOUNTS: &str = r#"extraVolumeMounts=[{"name":"cache","mountPath":"/tmp"},{"name":"proxy-ca","mountPath":"/etc/ca","readOnly":true}]"#;

async fn pod(extra: &[&str]) -> Result<Value> {
    let plane = ControlPlane::shared().await?;
    let mut objects = template(plane, extra).await?;
    let deployment = objects
        .iter_mut()
        .find(|object| object["kind"] == "Deployment");
    Ok(deployment.context("no Deployment")?["spec"]["template"]["spec"].take())
}

/// What pod security admission says to such a pod. There is no kubelet, so the pod itself is put to it.
async fn admitted(namespace: &str, spec: &Value) -> Result<String> {
    let plane = ControlPlane::shared().await?;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "like-the-deployment", "namespace": namespace}});
    let create = typed("create --dry-run=server -f -");
    plane.kubectl_with_input(&create, &pod.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_meets_restricted_and_no_pod_that_is_less_strict_does() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    for level in ["restricted", "baseline"] {
        plane.create_namespace(level).await?;
        let enforce = format!("label namespace {level} pod-security.kubernetes.io/enforce={level}");
        plane.kubectl(&typed(&enforce)).await?;
    }
    for extra in [
        &[][..],
        &["--set-json", MORE, "--set-json", MOUNTS],
        // Where the platform assigns the ids.
        &[
            "--set",
            "podSecurityContext.runAsUser=null,podSecurityContext.runAsGroup=null",
        ],
    ] {
        admitted("restricted", &pod(extra).await?).await?;
    }
    let good = pod(&[]).await?;
    let of_pod = "/securityContext";
    let own = "/containers/0/securityContext";
    let host_path = json!([{"name": "host", "hostPath": {"path": "/"}}]);
    for (level, place, change, why) in [
        (
            "baseline",
            "/containers/0",
            json!({"ports": [{"name": "http", "containerPort": 8080, "hostPort": 8080}]}),
            "a port of the node",
        ),
        (
            "baseline",
            "",
            json!({"hostNetwork": true}),
            "the node's network",
        ),
        (
            "baseline",
            "",
            json!({"hostPID": true}),
            "the node's processes",
        ),
        (
            "baseline",
            "",
            json!({"volumes": host_path}),
            "the node's disk",
        ),
        (
            "baseline",
            own,
            json!({"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}}),
            "a capability",
        ),
        (
            "baseline",
            of_pod,
            json!({"seccompProfile": {"type": "Unconfined"}}),
            "any system call",
        ),
        (
            "restricted",
            of_pod,
            json!({"seccompProfile": null}),
            "any system call, by default",
        ),
        (
            "restricted",
            of_pod,
            json!({"runAsNonRoot": null}),
            "whoever the image says",
        ),
        ("restricted", of_pod, json!({"runAsUser": 0}), "root"),
        (
            "restricted",
            own,
            json!({"allowPrivilegeEscalation": null}),
            "more rights later",
        ),
        (
            "restricted",
            own,
            json!({"capabilities": null}),
            "the usual capabilities",
        ),
    ] {
        let mut bad = good.clone();
        let changed = bad.pointer_mut(place).context("no such place")?;
        for (key, value) in change.as_object().into_iter().flatten() {
            changed[key] = value.clone();
        }
        let answer = admitted(level, &bad).await;
        let told = format!("violates PodSecurity \"{level}:latest\"");
        let refused = |e: &anyhow::Error| format!("{e:#}").contains(&told);
        ensure!(answer.as_ref().is_err_and(refused), "{why}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_kept_apart_by_node_and_by_zone_unless_somebody_says_how() -> Result<()> {
    let objects = template(ControlPlane::shared().await?, &[]).await?;
    let template_of_pod = &of(&objects, "Deployment")[0]["spec"]["template"];
    let labels = &template_of_pod["metadata"]["labels"];
    let affinity = &template_of_pod["spec"]["affinity"];
    let apart = &affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    let terms = apart.as_array().context("no terms")?;
    let keys: Vec<_> = terms
        .iter()
        .map(|term| &term["podAffinityTerm"]["topologyKey"])
        .collect();
    ensure!(
        keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"],
        "{keys:?}"
    );
    for term in terms {
        let selected = &term["podAffinityTerm"]["labelSelector"]["matchLabels"];
        let selected = selected.as_object().context("it selects nobody")?;
        ensure!(selected.len() == 2, "{term}");
        for (key, value) in selected {
            ensure!(labels[key] == *value, "{key} is not the pod's: {term}");
        }
    }
    let own = pod(&["--set-json", r#"affinity={"nodeAffinity":{}}"#]).await?;
    ensure!(own["affinity"] == json!({"nodeAffinity": {}}), "{own}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_annotations_volumes_and_the_way_of_an_upgrade_are_as_they_are_said() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let mut extra = vec!["--set-json", MORE, "--set-json", MOUNTS];
    for set in [
        "commonLabels.team=identity",
        r"commonLabels.app\.kubernetes\.io/name=other",
        "deploymentAnnotations.note=x",
        r"deploymentAnnotations.scim-operator\.io/watch-namespaces=lie",
        "watchNamespaces={scim-system}",
        "revisionHistoryLimit=0",
        "strategy.type=Recreate",
        "networkPolicy.enabled=true",
        "finalizerPolicy.enabled=true",
        "sharding.enabled=true",
    ] {
        extra.extend(["--set", set]);
    }
    let objects = template(plane, &extra).await?;
    for object in &objects {
        let labels = &object["metadata"]["labels"];
        ensure!(labels["team"] == "identity", "{object}");
        ensure!(
            labels["app.kubernetes.io/name"] == "scim-operator",
            "{object}"
        );
    }
    let deployment = of(&objects, "Deployment")[0];
    let spec = &deployment["spec"];
    ensure!(spec["template"]["metadata"]["labels"]["team"] == "identity");
    ensure!(
        spec["selector"]["matchLabels"]["team"].is_null(),
        "a selector cannot change"
    );
    let annotations = &deployment["metadata"]["annotations"];
    let expected = json!({"note": "x", "scim-operator.io/watch-namespaces": "scim-system"});
    ensure!(*annotations == expected, "{annotations}");
    ensure!(
        spec["revisionHistoryLimit"] == 0 && spec["strategy"] == json!({"type": "Recreate"}),
        "{spec}"
    );
    let pod = &spec["template"]["spec"];
    ensure!(pod["volumes"][1]["configMap"]["name"] == "ca", "{pod}");
    let mounts = &pod["containers"][0]["volumeMounts"];
    ensure!(
        mounts[0]["mountPath"] == "/tmp" && mounts[1]["readOnly"] == true,
        "{mounts}"
    );
    // And all of it is what the API server takes.
    let usual = template(plane, &[]).await?;
    for mut object in objects.into_iter().chain(usual) {
        if object["metadata"]["namespace"].is_string() {
            object["metadata"]["namespace"] = "default".into();
        }
        object["metadata"]["name"] = "only-tried".into();
        if object["kind"] == "CustomResourceDefinition" {
            continue;
        }
        let create = typed("create --dry-run=server --validate=strict -f -");
        plane
            .kubectl_with_input(&create, &object.to_string())
            .await?;
    }
    Ok(())
}
