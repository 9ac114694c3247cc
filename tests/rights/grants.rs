//! What the installed chart grants its ServiceAccount, and what the audit log says that it asked for.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::Value;

const ACCOUNT: (&str, &str) = ("scim-system", "scim-operator");

/// A verb on a resource, in a namespace or in all.
#[derive(Debug, PartialEq, Eq)]
struct Right {
    group: String,
    /// With its subresource, as `scimusers/status`.
    resource: String,
    verb: String,
    /// None: of the whole cluster.
    namespace: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group,
            resource,
            verb,
            namespace,
        } = self;
        let group = if group.is_empty() { "core" } else { group };
        let place = namespace.as_deref().unwrap_or("the cluster");
        write!(f, "{verb} {group}/{resource} in {place}")
    }
}

/// A right that a rule of a Role or a ClusterRole grants.
#[derive(Debug)]
pub struct Grant {
    right: Right,
    /// Of objects of these names alone; of none in particular where there are none.
    names: Vec<String>,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.right.fmt(f)
    }
}

impl Grant {
    /// Whether a request is one that this allows.
    pub fn covers(&self, used: &Used) -> bool {
        let Right {
            group,
            resource,
            verb,
            namespace,
        } = &self.right;
        let named = |name: &String| self.names.contains(name);
        *group == used.right.group
            && *resource == used.right.resource
            && *verb == used.right.verb
            && (namespace.is_none() || *namespace == used.right.namespace)
            && (self.names.is_empty() || used.name.as_ref().is_some_and(named))
    }
}

/// A request that was made.
#[derive(Debug)]
pub struct Used {
    right: Right,
    name: Option<String>,
    /// What the authorizer said; an admission plugin may have refused it all the same.
    pub allowed: bool,
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("any");
        write!(f, "{}, of {name}", self.right)
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What the bindings of the chart's ServiceAccount grant, right by right, as the API server has them.
pub async fn granted(plane: &ControlPlane) -> Result<Vec<Grant>> {
    let get = "get clusterroles,roles,clusterrolebindings,rolebindings -A -o json";
    let get: Vec<&str> = get.split_whitespace().collect();
    let all: Value = serde_json::from_str(&plane.kubectl(&get).await?)?;
    let all = all["items"].as_array().context("no list")?;
    let of = |kind: &'static str| all.iter().filter(move |object| object["kind"] == kind);
    let mut grants = Vec::new();
    for binding in of("ClusterRoleBinding").chain(of("RoleBinding")) {
        let ours = |subject: &Value| {
            subject["kind"] == "ServiceAccount"
                && subject["namespace"] == ACCOUNT.0
                && subject["name"] == ACCOUNT.1
        };
        let subjects = binding["subjects"].as_array();
        if !subjects.is_some_and(|subjects| subjects.iter().any(ours)) {
            continue;
        }
        let namespace = text(&binding["metadata"]["namespace"]);
        let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
        let role = all.iter().find(|role| {
            role["kind"] == *kind
                && role["metadata"]["name"] == *name
                && (kind == "ClusterRole" || text(&role["metadata"]["namespace"]) == namespace)
        });
        let role = role.with_context(|| format!("there is no {kind} {name}"))?;
        for rule in role["rules"].as_array().into_iter().flatten() {
            grants_of(rule, namespace.as_ref(), &mut grants)?;
        }
    }
    Ok(grants)
}

fn grants_of(rule: &Value, namespace: Option<&String>, grants: &mut Vec<Grant>) -> Result<()> {
    ensure!(rule["nonResourceURLs"].is_null(), "{rule}");
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                let right = Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb,
                    namespace: namespace.cloned(),
                };
                let names = texts(&rule["resourceNames"]);
                grants.push(Grant { right, names });
            }
        }
    }
    Ok(())
}

/// What the chart's ServiceAccount asked for, but for what belongs to no resource, as `/version`.
pub fn used(plane: &ControlPlane) -> Result<Vec<Used>> {
    let account = format!("system:serviceaccount:{}:{}", ACCOUNT.0, ACCOUNT.1);
    let events = plane.audit_events()?;
    let events = events
        .iter()
        .filter(|event| event["user"]["username"] == account.as_str())
        .filter(|event| event["objectRef"]["resource"].is_string());
    Ok(events.map(request).collect())
}

fn request(event: &Value) -> Used {
    let about = &event["objectRef"];
    let mut resource = text(&about["resource"]).unwrap_or_default();
    if let Some(part) = about["subresource"].as_str() {
        resource = format!("{resource}/{part}");
    }
    let decision = &event["annotations"]["authorization.k8s.io/decision"];
    Used {
        right: Right {
            group: text(&about["apiGroup"]).unwrap_or_default(),
            resource,
            verb: text(&event["verb"]).unwrap_or_default(),
            namespace: text(&about["namespace"]),
        },
        name: text(&about["name"]),
        allowed: decision == "allow",
    }
}
