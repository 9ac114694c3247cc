//! Objects as the watch reads them: without managed fields and the last applied configuration, which are
//! the most of what an API server sends and nothing that is asked for here; and those that cannot be read
//! as their metadata alone, so that one of them does not end the watch of all (R15).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::{
    ScimConnection, ScimConnectionSpec, ScimConnectionStatus, ScimGroup, ScimGroupSpec,
    ScimGroupStatus, ScimUser, ScimUserSpec, ScimUserStatus,
};
use crate::controller::finalizer::Declared;

/// What `kubectl apply` keeps for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A kind of ours, by its parts.
pub trait Parts: Declared {
    /// What is declared.
    type Spec: DeserializeOwned;
    /// What is reported.
    type Status: DeserializeOwned;

    /// The object of these parts.
    fn of_parts(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self;
}

macro_rules! parts {
    ($($kind:ident, $spec:ident, $status:ident;)+) => {$(
        impl Parts for $kind {
            type Spec = $spec;
            type Status = $status;

            fn of_parts(metadata: ObjectMeta, spec: $spec, status: Option<$status>) -> Self {
                Self { metadata, spec, status }
            }
        }
    )+};
}

parts! {
    ScimUser, ScimUserSpec, ScimUserStatus;
    ScimGroup, ScimGroupSpec, ScimGroupStatus;
    ScimConnection, ScimConnectionSpec, ScimConnectionStatus;
}

/// An object as far as it can be read.
#[derive(Clone, Debug)]
pub struct Lean<K> {
    meta: ObjectMeta,
    /// The object, where all of it can be read.
    pub object: Option<K>,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl From<Meta> for ObjectMeta {
    fn from(meta: Meta) -> Self {
        let Meta {
            mut annotations,
            creation_timestamp,
            deletion_grace_period_seconds,
            deletion_timestamp,
            finalizers,
            generation,
            labels,
            name,
            namespace,
            resource_version,
            uid,
        } = meta;
        if let Some(all) = &mut annotations {
            all.remove(LAST_APPLIED);
        }
        Self {
            annotations: annotations.filter(|all| !all.is_empty()),
            creation_timestamp,
            deletion_grace_period_seconds,
            deletion_timestamp,
            finalizers,
            generation,
            labels,
            name,
            namespace,
            resource_version,
            uid,
            ..Self::default()
        }
    }
}

impl<'de, K: Parts> Deserialize<'de> for Lean<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent {
            metadata,
            spec,
            status,
        } = Sent::deserialize(deserializer)?;
        let meta = ObjectMeta::from(metadata);
        let spec = serde_json::from_value(spec).ok();
        let status = status.map(serde_json::from_value).transpose().ok();
        let object = spec.zip(status);
        Ok(Self {
            object: object.map(|(spec, status)| K::of_parts(meta.clone(), spec, status)),
            meta,
        })
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Lean<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    fn sent() -> Value {
        json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"namespace": "team", "name": "ada", "uid": "u-1", "generation": 3,
                "resourceVersion": "7", "labels": {"team": "engines"},
                "finalizers": ["scim-operator.io/deprovision"],
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
                "deletionGracePeriodSeconds": 0,
                "annotations": {"note": "kept", LAST_APPLIED: "{}"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]},
            "spec": {"connectionRef": {"name": "c"}, "userName": "ada@example.com"},
            "status": {"id": "42"}
        })
    }

    #[test]
    fn everything_is_read_but_what_nobody_asks_for() {
        let lean: Lean<ScimUser> = serde_json::from_value(sent()).unwrap();
        let mut whole: ScimUser = serde_json::from_value(sent()).unwrap();
        whole.metadata.managed_fields = None;
        whole.annotations_mut().remove(LAST_APPLIED);
        assert_eq!(lean.object, Some(whole.clone()));
        assert_eq!(*lean.meta(), whole.metadata);
    }

    #[test]
    fn what_cannot_be_read_is_known_by_its_metadata() {
        for (field, why) in [("spec", "no spec"), ("status", "no status")] {
            let mut broken = sent();
            broken[field] = json!({"userName": 1, "conditions": "?"});
            let lean: Lean<ScimUser> = serde_json::from_value(broken).unwrap();
            assert_eq!(lean.object, None, "{why}");
            assert_eq!(lean.name_any(), "ada", "{why}");
        }
        let mut without = sent();
        without.as_object_mut().unwrap().remove("status");
        let lean: Lean<ScimUser> = serde_json::from_value(without).unwrap();
        assert_eq!(lean.object.unwrap().status, None);
    }
}
