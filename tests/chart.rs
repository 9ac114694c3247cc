//! The chart with real Helm on a real API server: what it renders, what it refuses, what the
//! operator may do once it is installed, and what is left when it is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "chart/leases.rs"]
mod leases;
#[path = "chart/namespaces.rs"]
mod namespaces;
#[path = "chart/network.rs"]
mod network;
#[path = "chart/notes.rs"]
mod notes;
#[path = "chart/pods.rs"]
mod pods;
#[path = "chart/policy.rs"]
mod policy;
#[path = "chart/reach.rs"]
mod reach;
#[path = "chart/rights.rs"]
mod rights;
#[path = "chart/tracing.rs"]
mod tracing;
#[path = "chart/upgrade.rs"]
mod upgrade;
#[path = "chart/values.rs"]
mod values;

use std::path::Path;

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

const CHART: &str = "charts/scim-operator";
const ACCESS: &str =
    r#"secretAccess=[{"namespace":"identity","names":["cybsafe-scim"]},{"namespace":"team-b"}]"#;

async fn template(plane: &ControlPlane, extra: &[&str]) -> Result<Vec<Value>> {
    let mut arguments = vec!["template", "scim-operator", CHART, "-n", "scim-system"];
    arguments.extend(extra);
    let text = plane.helm(&arguments).await?;
    let documents = text.split("\n---").map(|d| d.trim_start_matches("---"));
    documents
        .filter(|d| d.contains("kind:"))
        .map(|d| Ok(serde_saphyr::from_str::<Value>(d)?))
        .collect()
}

fn of<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["kind"] == kind).collect()
}

/// The words of a list, sorted.
fn words(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    let mut words: Vec<&str> = list.filter_map(Value::as_str).collect();
    words.sort_unstable();
    words
}

/// `kubectl` or `helm`, with the arguments as one would type them.
fn typed(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn the_charts_crds_equal_the_generated_ones() {
    let list = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let generated = Path::new("crds");
    let copies = Path::new("charts/scim-operator/files/crds");
    assert_eq!(list(generated), list(copies), "run `make crds`");
    for name in list(generated) {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(&name)).unwrap();
        let equal = read(generated) == read(copies);
        assert!(equal, "{name:?} is stale: run `make crds`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chart_renders_grants_little_and_runs_restricted() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    plane.helm(&["lint", "--strict", CHART]).await?;
    let objects = template(plane, &["--set-json", ACCESS]).await?;

    let (cluster_roles, roles) = (of(&objects, "ClusterRole"), of(&objects, "Role"));
    for role in cluster_roles.iter().chain(&roles) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            grants_little(rule, role["kind"] == "ClusterRole")?;
        }
    }
    let (of_leader, roles) = leader_and_others(roles);
    ensure!(
        of_leader.len() == 1 && of_leader[0]["metadata"]["namespace"] == "scim-system",
        "{of_leader:?}"
    );
    ensure!(
        of_leader[0]["rules"]
            == json!([
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                 "resourceNames": ["scim-operator"], "verbs": ["get", "update"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}
            ]),
        "{of_leader:?}"
    );
    ensure!(roles.len() == 2, "{roles:?}");
    ensure!(roles[0]["metadata"]["namespace"] == "identity", "{roles:?}");
    let names = &roles[0]["rules"][0]["resourceNames"];
    ensure!(*names == json!(["cybsafe-scim"]), "{roles:?}");
    let names = roles[1]["rules"][0].get("resourceNames");
    ensure!(names.is_none(), "{roles:?}");
    let usual = template(plane, &[]).await?;
    let usual = leader_and_others(of(&usual, "Role")).1;
    ensure!(usual.len() == 1, "{usual:?}");
    ensure!(
        usual[0]["metadata"]["namespace"] == "scim-system",
        "{usual:?}"
    );

    let deployment = of(&objects, "Deployment")[0];
    ensure!(deployment["spec"]["strategy"]["type"] == "RollingUpdate");
    ensure!(deployment["spec"]["replicas"] == 2);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    two_of_them_are_one_operator(&objects, pod)?;
    let (of_pod, own) = (&pod["securityContext"], &container["securityContext"]);
    ensure!(
        of_pod["seccompProfile"]["type"] == "RuntimeDefault",
        "{pod}"
    );
    ensure!(
        of_pod["runAsNonRoot"] == true && of_pod["runAsUser"] == 65532,
        "{pod}"
    );
    ensure!(own["readOnlyRootFilesystem"] == true, "{pod}");
    ensure!(own["allowPrivilegeEscalation"] == false, "{pod}");
    ensure!(own["capabilities"] == json!({"drop": ["ALL"]}), "{pod}");
    ensure!(
        container["resources"]["limits"]["memory"].is_string(),
        "{pod}"
    );
    for probe in ["livenessProbe", "readinessProbe"] {
        ensure!(container[probe]["httpGet"]["port"] == "http", "{pod}");
    }
    ensure!(
        !pod.to_string().contains("local-endpoints"),
        "for tests only: {pod}"
    );

    let crds = of(&objects, "CustomResourceDefinition");
    ensure!(crds.len() == 3, "{} CRDs", crds.len());
    for crd in crds {
        let policy = &crd["metadata"]["annotations"]["helm.sh/resource-policy"];
        ensure!(
            policy == "keep",
            "Helm would delete every {}",
            crd["metadata"]["name"]
        );
    }
    Ok(())
}

/// The Roles for the Lease, and those for Secrets.
fn leader_and_others(roles: Vec<&Value>) -> (Vec<&Value>, Vec<&Value>) {
    let is_leaders = |role: &&Value| role["metadata"]["name"] == "scim-operator-leader";
    roles.into_iter().partition(is_leaders)
}

/// Replicas without an election would all write; all on one node they would be lost together.
fn two_of_them_are_one_operator(objects: &[Value], pod: &Value) -> Result<()> {
    let container = &pod["containers"][0];
    let arguments = words(&container["args"]);
    for needed in ["--leader-elect", "--lease-name=scim-operator"] {
        ensure!(arguments.contains(&needed), "{arguments:?}");
    }
    for (name, path) in [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
    ] {
        let variable = json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let variables = container["env"].as_array();
        ensure!(
            variables.is_some_and(|all| all.contains(&variable)),
            "{container}"
        );
    }
    let apart = &pod["affinity"]["podAntiAffinity"];
    let preferred = &apart["preferredDuringSchedulingIgnoredDuringExecution"];
    ensure!(
        preferred[0]["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname",
        "{pod}"
    );
    let budget = of(objects, "PodDisruptionBudget");
    ensure!(
        budget.len() == 1 && budget[0]["spec"]["maxUnavailable"] == 1,
        "{budget:?}"
    );
    Ok(())
}

fn grants_little(rule: &Value, cluster_wide: bool) -> Result<()> {
    const HARMLESS: [&str; 5] = ["create", "get", "list", "patch", "watch"];
    const ONE_LEASE: [&str; 2] = ["get", "update"];
    let (resources, verbs) = (words(&rule["resources"]), words(&rule["verbs"]));
    let all = [words(&rule["apiGroups"]), resources.clone(), verbs.clone()].concat();
    ensure!(!all.contains(&"*"), "a wildcard: {rule}");
    let leases = resources == ["leases"] && !cluster_wide;
    let one_lease = leases && verbs == ONE_LEASE && words(&rule["resourceNames"]).len() == 1;
    ensure!(
        one_lease || verbs.iter().all(|v| HARMLESS.contains(v)),
        "{rule}"
    );
    ensure!(
        !verbs.contains(&"create") || resources == ["events"] || leases && verbs == ["create"],
        "{rule}"
    );
    ensure!(!all.contains(&"serviceaccounts/token"), "{rule}");
    if resources.contains(&"secrets") || resources.contains(&"configmaps") {
        ensure!(!cluster_wide, "secrets of the whole cluster: {rule}");
        ensure!(
            verbs == ["list", "watch"],
            "secrets are only watched: {rule}"
        );
    }
    ensure!(
        !resources.contains(&"customresourcedefinitions")
            || words(&rule["resourceNames"]).len() == 3 && verbs == ["get", "list", "watch"],
        "of definitions only our own are read: {rule}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_reach_what_they_are_for() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let digest = format!("image.digest=sha256:{}", "0a".repeat(32));
    let proxy = r#"extraEnv=[{"name":"HTTPS_PROXY","value":"http://proxy.example.com"}]"#;
    let spread = r#"topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway"}]"#;
    let mut extra = vec!["--set", &digest, "--set-json", proxy, "--set-json", spread];
    for set in [
        "image.tag=1.2.3",
        "crds.install=false",
        "podLabels.team=x",
        r"podLabels.app\.kubernetes\.io/instance=other",
        "podAnnotations.note=y",
        "extraArgs={--http-address=0.0.0.0:9090}",
        "useSystemProxy=true",
        "scopeGraceSeconds=60",
        "nodeSelector.disk=ssd",
        "replicas=3",
        "podDisruptionBudget.enabled=false",
        "affinity.nodeAffinity.x=y",
        "priorityClassName=high",
        "serviceAccount.name=mine",
        "nameOverride=renamed",
        "terminationGracePeriodSeconds=41",
    ] {
        extra.extend(["--set", set]);
    }
    let objects = template(plane, &extra).await?;
    ensure!(of(&objects, "CustomResourceDefinition").is_empty());
    ensure!(of(&objects, "ServiceAccount")[0]["metadata"]["name"] == "mine");
    for binding in ["ClusterRoleBinding", "RoleBinding"] {
        ensure!(of(&objects, binding)[0]["subjects"][0]["name"] == "mine");
    }
    let template_of_pod = &of(&objects, "Deployment")[0]["spec"]["template"];
    let metadata = &template_of_pod["metadata"];
    let instance = &metadata["labels"]["app.kubernetes.io/instance"];
    ensure!(
        instance == "scim-operator",
        "the selector's label was replaced: {metadata}"
    );
    ensure!(metadata["labels"]["team"] == "x" && metadata["annotations"]["note"] == "y");
    let pod = &template_of_pod["spec"];
    let container = &pod["containers"][0];
    let image = container["image"].as_str().unwrap_or_default();
    ensure!(image.contains("@sha256:0a0a"), "the digest wins: {image}");
    let arguments = json!([
        "run",
        "--log-format=json",
        "--leader-elect",
        "--lease-name=scim-operator",
        "--scope-grace-seconds=60",
        "--use-system-proxy",
        "--http-address=0.0.0.0:9090"
    ]);
    ensure!(container["args"] == arguments, "{container}");
    ensure!(
        container["env"].to_string().contains("HTTPS_PROXY"),
        "{container}"
    );
    ensure!(pod["nodeSelector"]["disk"] == "ssd" && pod["priorityClassName"] == "high");
    ensure!(pod["serviceAccountName"] == "mine", "{pod}");
    ensure!(of(&objects, "Deployment")[0]["spec"]["replicas"] == 3);
    ensure!(of(&objects, "PodDisruptionBudget").is_empty());
    ensure!(
        pod["affinity"] == json!({"nodeAffinity": {"x": "y"}}),
        "{pod}"
    );
    ensure!(
        pod["topologySpreadConstraints"][0]["topologyKey"] == "zone",
        "{pod}"
    );

    let unkept = template(plane, &["--set", "crds.keep=false"]).await?;
    let crd = of(&unkept, "CustomResourceDefinition")[0].to_string();
    ensure!(
        !crd.contains("resource-policy"),
        "crds.keep=false was not heard"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_values_are_refused() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    for (bad, why) in [
        ("replicas=-1", "there is no such number of pods"),
        (
            "replicas=100",
            "a hundred would stand by, and ask for the lease",
        ),
        ("scopeGraceSeconds=-1", "there is no such time"),
        ("sharding.enabled=maybe", "not a boolean"),
        ("sharding.enable=true", "a misspelt value would be ignored"),
        ("leaderElection=false", "replicas would all write"),
        ("crds.instal=false", "a misspelt value would be ignored"),
        ("crds.install=maybe", "not a boolean"),
        ("logFormat=xml", "the operator would not start"),
        ("image.digest=latest", "not a digest"),
        ("image.repository=a b", "not a name"),
        ("secretAccess[0].names[0]=a", "names without a namespace"),
        ("secretAccess[0].namespace=*", "a wildcard"),
        (
            "secretAccess[0].namespace=a,secretAccess[0].names[0]=*",
            "a wildcard",
        ),
        (
            "secretAccess[0].namespace=a,secretAccess[1].namespace=a",
            "two Roles of one name",
        ),
        ("extraEnv[0].value=x", "a variable without a name"),
        (
            "resources.request.cpu=1",
            "a misspelt value would be ignored",
        ),
        (
            "terminationGracePeriodSeconds=40",
            "requests in flight would be cut off, and the lease be kept",
        ),
        ("finalizerPolicy.enabled=sometimes", "neither yes nor no"),
        (
            "finalizerPolicy.enable=true",
            "a misspelt value would be ignored",
        ),
        ("refuseSecondRelease=perhaps", "a string would count as yes"),
        ("watchNamespaces={*}", "a wildcard"),
        ("watchNamespaces={a,a}", "two Roles of one name"),
        (
            "watchNamespaces={a},secretAccess[0].namespace=b",
            "a right that nothing needs",
        ),
        ("podSecurityContext.runAsNonRoot=false", "root"),
        ("podSecurityContext.runAsUser=0", "root"),
        ("networkPolicy.egress.backends.ports={}", "any port"),
        ("strategy.type=OnDelete", "not a Deployment's"),
        ("commonLabels.a=b c", "not a label"),
    ] {
        let rendered = template(plane, &["--set", bad]).await;
        ensure!(rendered.is_err(), "{bad} passed: {why}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn installed_upgraded_and_removed_it_leaves_the_crds() -> Result<()> {
    // Its own plane: the CRDs and the ClusterRole belong to the whole cluster.
    let plane = ControlPlane::start().await?;
    for namespace in ["scim-system", "identity", "team-b", "elsewhere"] {
        plane.create_namespace(namespace).await?;
        for name in ["cybsafe-scim", "other"] {
            let create =
                format!("create secret generic {name} -n {namespace} --from-literal=token=x");
            plane.kubectl(&typed(&create)).await?;
        }
    }
    let install = ["install", "scim-operator", CHART, "-n", "scim-system"];
    let with_access = [install.as_slice(), &["--set-json", ACCESS]].concat();
    let notes = plane.helm(&with_access).await?;
    ensure!(
        notes.contains("identity, only: cybsafe-scim"),
        "the notes hide what is read: {notes}"
    );

    one_per_cluster(&plane).await?;

    plane.await_declarations("identity").await?;
    notes::are_true(&plane, &notes).await?;
    let person = json!({
        "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
        "metadata": {"name": "ada", "namespace": "identity"},
        "spec": {"connectionRef": {"name": "cybsafe"}, "userName": "ada@example.com"}
    });
    plane
        .kubectl_with_input(&["create", "-f", "-"], &person.to_string())
        .await?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "scim-operator", "namespace": "scim-system"}, "spec": {}
    });
    plane
        .kubectl_with_input(&["create", "-f", "-"], &lease.to_string())
        .await?;
    rights::are_as_promised(&plane).await?;
    policy::is_in_force(&plane).await?;

    let upgrade = format!("upgrade scim-operator {CHART} -n scim-system --set logLevel=debug");
    plane.helm(&typed(&upgrade)).await?;
    let ours = "get roles -A -l app.kubernetes.io/instance=scim-operator -o name";
    let roles = plane.kubectl(&typed(ours)).await?;
    ensure!(
        roles.lines().count() == 2,
        "access no longer granted was not taken away: {roles}"
    );

    plane
        .helm(&typed("uninstall scim-operator -n scim-system"))
        .await?;
    let all = "get crds,scimusers,clusterroles,clusterrolebindings,deployments,poddisruptionbudgets,roles,rolebindings,serviceaccounts,mutatingadmissionpolicies,mutatingadmissionpolicybindings -A -o name";
    let left = plane.kubectl(&typed(all)).await?;
    let mut left: Vec<&str> = left.lines().filter(|l| l.contains("scim")).collect();
    left.retain(|l| !l.starts_with("customresourcedefinition"));
    ensure!(left == ["scimuser.scim-operator.io/ada"], "{left:?}");
    let crds = plane.kubectl(&typed("get crds -o name")).await?;
    ensure!(crds.lines().count() == 3, "the CRDs were not kept: {crds}");

    // And the next install takes the CRDs over again.
    plane.helm(&install).await?;
    Ok(())
}

/// A second release would lead by a lease of its own, or without one that it may take.
async fn one_per_cluster(plane: &ControlPlane) -> Result<()> {
    for (second, why) in [
        ("scim-operator -n elsewhere", "in another namespace"),
        (
            "scim-operator -n elsewhere --set nameOverride=renamed",
            "under another name as well",
        ),
        ("renamed -n scim-system", "of another name, beside it"),
    ] {
        let command = format!("install {second} {CHART} --set crds.install=false");
        let answer = plane.helm(&typed(&command)).await;
        let told = |e: &anyhow::Error| format!("{e:#}").contains("one scim-operator a ");
        ensure!(answer.as_ref().is_err_and(told), "{why}: {answer:?}");
    }
    let meant = format!(
        "install meant {CHART} -n elsewhere --set crds.install=false,refuseSecondRelease=false"
    );
    plane.helm(&typed(&meant)).await?;
    plane.helm(&typed("uninstall meant -n elsewhere")).await?;
    Ok(())
}
