//! Every value of values.yaml reaches what it is for: with another one something else is rendered, and where a value is
//! handed on as it is, it is where it belongs.

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use scim_operator_harness::ControlPlane;
use scim_operator_harness::scratch::Scratch;
use serde_json::{Value, json};

use super::CHART;
use super::values::{AT_ONCE, leaves};

/// All that is off by default and that other values need to matter.
fn base() -> Value {
    json!({
        "finalizerPolicy": {"enabled": true},
        "metrics": {
            "dashboard": {"enabled": true},
            "prometheusRule": {"enabled": true},
            "serviceMonitor": {"enabled": true},
        },
        "networkPolicy": {"enabled": true},
        "tracing": {"endpoint": "http://collector.example.com:4318"},
    })
}

/// Values that make no difference to what is rendered, and why that is right.
const NO_DIFFERENCE: [(&str, &str); 2] = [
    (
        "refuseSecondRelease",
        "asks a cluster for other releases, and rendering asks none: `one_per_cluster` installs with it",
    ),
    (
        "podSecurityContext.runAsNonRoot",
        "has no other value: `bad_values_are_refused`",
    ),
];

/// Values that matter only without another of the base. The Service is there for a ServiceMonitor in any case.
const WITHOUT: [(&str, &str); 1] = [(
    "metrics.service.enabled",
    "metrics.serviceMonitor.enabled=false",
)];

/// Other values, as JSON, where the one that is made up of the old would be none.
const OTHERS: &str = r#"
affinity {"nodeAffinity": {"x": "y"}}
extraArgs ["--http-address=0.0.0.0:9090"]
extraEnv [{"name": "HTTPS_PROXY", "value": "http://x"}]
extraVolumeMounts [{"name": "more", "mountPath": "/more"}]
extraVolumes [{"name": "more", "emptyDir": {}}]
image.digest "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
image.pullPolicy "Always"
imagePullSecrets [{"name": "registry"}]
logFormat "text"
metrics.prometheusRule.disabled ["ScimConnectionNotReady"]
metrics.prometheusRule.extraRules [{"alert": "More", "expr": "vector(1)"}]
metrics.serviceMonitor.interval "1m"
metrics.serviceMonitor.metricRelabelings [{"action": "labeldrop", "regex": "pod"}]
metrics.serviceMonitor.relabelings [{"action": "labeldrop", "regex": "pod"}]
metrics.serviceMonitor.scrapeTimeout "7s"
networkPolicy.egress.apiServer.ports [443]
networkPolicy.egress.apiServer.to [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
networkPolicy.egress.backends.ports [8443]
networkPolicy.egress.backends.to [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
networkPolicy.egress.collector.ports [4317]
networkPolicy.egress.collector.to [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
networkPolicy.egress.dns.ports [5353]
networkPolicy.egress.dns.to [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
networkPolicy.ingress.from [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
podSecurityContext.seccompProfile.type "Localhost"
resources.limits.memory "1Gi"
resources.requests.cpu "20m"
resources.requests.memory "96Mi"
secretAccess [{"namespace": "identity", "names": ["cybsafe-scim"]}]
strategy.type "Recreate"
tolerations [{"key": "dedicated", "operator": "Exists"}]
topologySpreadConstraints [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
tracing.sampleRatio 0.5
watchNamespaces ["identity"]
"#;

const SHORT: [(&str, &str); 3] = [
    ("POD/", "/spec/template/spec/"),
    ("CONTAINER/", "/spec/template/spec/containers/0/"),
    ("ENDPOINT/", "/spec/endpoints/0/"),
];

/// Where a value is handed on: kind of the object, and the place in it. Nothing is said of what is there beside it,
/// such as the chart's own labels.
const PLACES: &str = "
affinity Deployment POD/affinity
commonLabels Deployment /metadata/labels
commonLabels Deployment /spec/template/metadata/labels
commonLabels CustomResourceDefinition /metadata/labels
deploymentAnnotations Deployment /metadata/annotations
extraArgs Deployment CONTAINER/args
extraEnv Deployment CONTAINER/env
extraVolumeMounts Deployment CONTAINER/volumeMounts
extraVolumes Deployment POD/volumes
image.pullPolicy Deployment CONTAINER/imagePullPolicy
imagePullSecrets Deployment POD/imagePullSecrets
metrics.dashboard.annotations ConfigMap /metadata/annotations
metrics.dashboard.labels.grafana_dashboard ConfigMap /metadata/labels/grafana_dashboard
metrics.dashboard.namespace ConfigMap /metadata/namespace
metrics.prometheusRule.extraRules PrometheusRule /spec/groups/0/rules
metrics.prometheusRule.labels PrometheusRule /metadata/labels
metrics.prometheusRule.namespace PrometheusRule /metadata/namespace
metrics.service.annotations Service /metadata/annotations
metrics.serviceMonitor.interval ServiceMonitor ENDPOINT/interval
metrics.serviceMonitor.labels ServiceMonitor /metadata/labels
metrics.serviceMonitor.metricRelabelings ServiceMonitor ENDPOINT/metricRelabelings
metrics.serviceMonitor.namespace ServiceMonitor /metadata/namespace
metrics.serviceMonitor.relabelings ServiceMonitor ENDPOINT/relabelings
metrics.serviceMonitor.scrapeTimeout ServiceMonitor ENDPOINT/scrapeTimeout
networkPolicy.egress.apiServer.to NetworkPolicy /spec/egress/1/to
networkPolicy.egress.backends.to NetworkPolicy /spec/egress/2/to
networkPolicy.egress.collector.to NetworkPolicy /spec/egress/3/to
networkPolicy.egress.dns.to NetworkPolicy /spec/egress/0/to
networkPolicy.ingress.from NetworkPolicy /spec/ingress/0/from
nodeSelector Deployment POD/nodeSelector
podAnnotations Deployment /spec/template/metadata/annotations
podLabels Deployment /spec/template/metadata/labels
podSecurityContext.runAsGroup Deployment POD/securityContext/runAsGroup
podSecurityContext.runAsUser Deployment POD/securityContext/runAsUser
podSecurityContext.seccompProfile.type Deployment POD/securityContext/seccompProfile/type
priorityClassName Deployment POD/priorityClassName
replicas Deployment /spec/replicas
resources.limits.memory Deployment CONTAINER/resources/limits/memory
resources.requests.cpu Deployment CONTAINER/resources/requests/cpu
resources.requests.memory Deployment CONTAINER/resources/requests/memory
revisionHistoryLimit Deployment /spec/revisionHistoryLimit
serviceAccount.annotations ServiceAccount /metadata/annotations
serviceAccount.name ServiceAccount /metadata/name
strategy.rollingUpdate.maxSurge Deployment /spec/strategy/rollingUpdate/maxSurge
strategy.rollingUpdate.maxUnavailable Deployment /spec/strategy/rollingUpdate/maxUnavailable
strategy.type Deployment /spec/strategy/type
terminationGracePeriodSeconds Deployment POD/terminationGracePeriodSeconds
tolerations Deployment POD/tolerations
";

/// The lines of a table, each without the path that it begins with.
fn lines_of<'a>(table: &'a str, path: &str) -> impl Iterator<Item = &'a str> {
    let lines = table.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(move |(known, rest)| (known == path).then_some(rest))
}

/// Another valid value than this one.
fn another(path: &str, value: &Value) -> Result<Value> {
    if let Some(other) = lines_of(OTHERS, path).next() {
        return serde_json::from_str(other).context(other);
    }
    Ok(match value {
        Value::Bool(value) => json!(!value),
        Value::Number(value) => json!(value.as_u64().context("no whole number")? + 1),
        Value::String(value) => json!(format!("{value}x")),
        Value::Object(map) if map.is_empty() => json!({"example.com/key": "value"}),
        _ => bail!("{path}: which other value would be valid?"),
    })
}

/// Whether all that is wanted is there: of a map its entries, of a list its items, anything else as it is.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| found.get(key).is_some_and(|found| holds(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => wanted
            .iter()
            .all(|wanted| found.iter().any(|found| holds(found, wanted))),
        _ => found == wanted,
    }
}

/// A chart, rendered with the base values and one other.
struct Rendering<'a> {
    plane: &'a ControlPlane,
    chart: &'a str,
    values: &'a str,
}

impl Rendering<'_> {
    async fn with(&self, extra: &[&str]) -> Result<String> {
        let always = ["template", "scim-operator", self.chart, "-n", "scim-system"];
        let values = ["-f", self.values];
        self.plane
            .helm(&[always.as_slice(), &values, extra].concat())
            .await
    }

    /// What is wrong with how one value is heard.
    async fn fault(&self, usual: &str, path: &str, value: &Value) -> Result<Option<String>> {
        let path_of_base = format!("/{}", path.replace('.', "/"));
        let other = another(path, base().pointer(&path_of_base).unwrap_or(value))?;
        let set = format!("{path}={other}");
        let without = WITHOUT.iter().find(|(known, _)| *known == path);
        let without = without.map(|(_, other)| ["--set-json", *other]);
        let without = without.as_ref().map_or(&[][..], |arguments| arguments);
        let usual = match without {
            [] => usual,
            _ => &self.with(without).await?,
        };
        let rendered = self.with(&[without, &["--set-json", &set]].concat()).await;
        if NO_DIFFERENCE.iter().any(|(known, _)| *known == path) {
            let differs = rendered.is_ok_and(|rendered| rendered != usual);
            return Ok(differs.then(|| format!("{set} makes a difference, and is excepted")));
        }
        let rendered = rendered.with_context(|| set.clone())?;
        if rendered == usual {
            return Ok(Some(format!("{set} makes no difference")));
        }
        for line in lines_of(PLACES, path) {
            let (kind, place) = line.split_once(' ').context(line)?;
            let short = SHORT.iter().find(|(short, _)| place.starts_with(short));
            let pointer =
                short.map_or(place.to_owned(), |(short, long)| place.replace(short, long));
            let is_it = |document: &&str| document.lines().any(|l| l == format!("kind: {kind}"));
            let document = rendered.split("\n---\n").find(is_it);
            let document = document.with_context(|| format!("{set}: no {kind}"))?;
            let object: Value = serde_saphyr::from_str(document)?;
            let found = object.pointer(&pointer).unwrap_or(&Value::Null);
            if !holds(found, &other) {
                return Ok(Some(format!("{set}: {kind} has {found} at {pointer}")));
            }
        }
        Ok(None)
    }

    async fn faults(&self, leaves: &[(String, Value)]) -> Result<Vec<String>> {
        let usual = self.with(&[]).await?;
        let usual = &usual;
        let faults = futures::stream::iter(leaves)
            .map(async |(path, value)| self.fault(usual, path, value).await)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(faults.into_iter().flatten().collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_makes_a_difference_where_it_belongs() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let scratch = Scratch::create()?;
    let values = scratch.write("values.yaml", base().to_string())?;
    let values = values.to_str().context("the path is no text")?;
    let leaves = leaves()?;
    let tables = OTHERS
        .lines()
        .chain(PLACES.lines())
        .filter(|line| !line.is_empty());
    let named = tables.map(|line| line.split(' ').next().unwrap_or_default());
    for path in named
        .chain(NO_DIFFERENCE.map(|(path, _)| path))
        .chain(WITHOUT.map(|(path, _)| path))
    {
        let is_there = leaves.iter().any(|(known, _)| known == path);
        ensure!(is_there, "{path} is no value");
    }
    let chart = CHART;
    let rendering = Rendering {
        plane,
        chart,
        values,
    };
    let faults = rendering.faults(&leaves).await?;
    ensure!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_template_asks_for_or_that_lands_elsewhere_is_seen() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let scratch = Scratch::create()?;
    let copy = scratch.join("chart");
    let copied = std::process::Command::new("cp")
        .args(["-R", CHART])
        .arg(&copy)
        .status()?;
    ensure!(copied.success());
    let template = copy.join("templates/deployment.yaml");
    let mut text = std::fs::read_to_string(&template)?;
    for (is, shall_be) in [
        ("with .Values.tolerations", "with .Values.nothing"),
        (
            "replicas: {{ .Values.replicas }}",
            "minReadySeconds: {{ .Values.replicas }}",
        ),
        (
            "{{- with .Values.imagePullSecrets }}",
            "{{- with list (dict \"name\" .Values.imagePullSecrets) }}",
        ),
    ] {
        ensure!(text.matches(is).count() == 1, "{is}");
        text = text.replace(is, shall_be);
    }
    std::fs::write(&template, text)?;

    let values = scratch.write("values.yaml", base().to_string())?;
    let values = values.to_str().context("the path is no text")?;
    let chart = copy.to_str().context("the path is no text")?;
    let rendering = Rendering {
        plane,
        chart,
        values,
    };
    let wrong = ["imagePullSecrets", "replicas", "tolerations"];
    let mut leaves = leaves()?;
    leaves.retain(|(path, _)| wrong.contains(&path.as_str()) || path == "revisionHistoryLimit");
    let mut faults = rendering.faults(&leaves).await?;
    faults.sort();
    ensure!(faults.len() == 3, "{faults:?}");
    for (fault, wrong) in faults.iter().zip(wrong) {
        ensure!(fault.starts_with(&format!("{wrong}=")), "{faults:?}");
    }
    Ok(())
}
