//! Statuses as they were last written, and the writing itself, the same for every kind. What a status
//! says is decided by the `report` of each kind, and by `connection_status`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::Request;
use kube::core::object::HasStatus;
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::controller::finalizer::Declared;
use crate::controller::roster::Held;
use crate::controller::writes::Allowed;
use crate::domain::conditions::{Verdict, merge};
use crate::domain::packed::Packed;
use crate::scim::Lane;

/// What became of a status that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It is there now.
    Written,
    /// It was there already.
    Unchanged,
    /// The object is deleted, or was made anew under its name (R06).
    Gone,
}

/// The statuses that were last written, by uid: the watch may not have shown them yet (R05).
#[derive(Debug)]
pub struct Statuses<S>(Mutex<HashMap<String, Packed<S>>>);

impl<S> Default for Statuses<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Clone + Default + PartialEq + Serialize + DeserializeOwned> Statuses<S> {
    /// The status of an object, as we last wrote it or as it was before.
    pub fn last<K: HasStatus<Status = S> + ResourceExt>(&self, object: &K) -> S {
        let uid = object.uid().unwrap_or_default();
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = written.get(&uid).and_then(Packed::open);
        written
            .or_else(|| object.status().cloned())
            .unwrap_or_default()
    }

    /// Writes a status where it is not the last one.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn write<K>(
        &self,
        held: &Held,
        lane: Lane,
        object: &K,
        next: S,
    ) -> Result<Wrote, kube::Error>
    where
        K: Declared + HasStatus<Status = S>,
    {
        let last = self.last(object);
        if next == last {
            return Ok(Wrote::Unchanged);
        }
        let namespace = object.namespace().unwrap_or_default();
        let allowed = held.writes.take(&namespace, lane).await;
        match patch(&held.client, object, &last, &next, Some(allowed)).await? {
            Wrote::Written => {
                let next = Packed::new(&next).map_err(kube::Error::SerdeError)?;
                let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                written.insert(object.uid().unwrap_or_default(), next);
                Ok(Wrote::Written)
            }
            other => Ok(other),
        }
    }

    /// Changes the last status in part: something has to be written down before the pass goes on, and whoever
    /// waits for that pass.
    ///
    /// # Errors
    /// When the API server does not take it, or the object is gone: what depends on it must not be done.
    pub async fn amend<K>(
        &self,
        held: &Held,
        object: &K,
        change: impl FnOnce(&mut S),
    ) -> Result<(), kube::Error>
    where
        K: Declared + HasStatus<Status = S>,
    {
        let mut next = self.last(object);
        change(&mut next);
        match self.write(held, Lane::Fresh, object, next).await? {
            Wrote::Written | Wrote::Unchanged => Ok(()),
            Wrote::Gone => Err(kube::Error::Service("the object is gone".into())),
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.remove(uid);
    }
}

/// What the API server answers to a patch: the whole object, which nobody looks at.
#[derive(Debug, Deserialize)]
pub struct Taken {}

/// Writes a status over another one, by this right where one is needed. The uid goes along, so that an object
/// made anew is not touched.
///
/// # Errors
/// When the API server does not take it.
pub async fn patch<K: Declared, S: Serialize>(
    client: &Client,
    object: &K,
    before: &S,
    next: &S,
    allowed: Option<Allowed>,
) -> Result<Wrote, kube::Error> {
    let status = merge_patch(
        &serde_json::to_value(before).map_err(kube::Error::SerdeError)?,
        serde_json::to_value(next).map_err(kube::Error::SerdeError)?,
    );
    let body = json!({"metadata": {"uid": object.uid()}, "status": status});
    let namespace = object.namespace().unwrap_or_default();
    let request = Request::new(K::url_path(&(), Some(&namespace)));
    let parameters = PatchParams::default();
    let request = request
        .patch_subresource(
            "status",
            &object.name_any(),
            &parameters,
            &Patch::Merge(body),
        )
        .map_err(kube::Error::BuildRequest)?;
    let answer = client.request::<Taken>(request).await;
    // What follows is no write.
    drop(allowed);
    match answer {
        Ok(Taken {}) => Ok(Wrote::Written),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Wrote::Gone),
        // Either it was made anew, or the API server could not settle a race of writers: then nothing
        // is written, and to take that for the end of the object would leave it so.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let api: Api<K> = Api::namespaced(client.clone(), &namespace);
            let there = api.get_metadata_opt(&object.name_any()).await?;
            if there.is_some_and(|there| there.uid() == object.uid()) {
                return Err(kube::Error::Api(status));
            }
            Ok(Wrote::Gone)
        }
        Err(error) => Err(error),
    }
}

/// Writes the conditions of an object that cannot be read, where they say something else than before.
///
/// # Errors
/// When the API server does not take them.
pub async fn patch_conditions(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    verdicts: Vec<Verdict>,
) -> Result<(), kube::Error> {
    let before = object.data["status"]["conditions"].clone();
    let before: Vec<Condition> = serde_json::from_value(before).unwrap_or_default();
    let now = Time(jiff::Timestamp::now());
    let next = merge(&before, verdicts, object.metadata.generation, &now);
    // A generation that is said to be another one is work under way for whoever waits, and this is none.
    let generation = object.metadata.generation;
    if next == before && object.data["status"]["observedGeneration"] == json!(generation) {
        return Ok(());
    }
    let status = json!({"observedGeneration": generation, "conditions": next});
    let body = json!({"metadata": {"uid": object.uid()}, "status": status});
    let parameters = PatchParams::default();
    api.patch_status(&object.name_any(), &parameters, &Patch::Merge(body))
        .await
        .map(drop)
}

/// All of `next`, and null for what `before` has and `next` has not: a merge patch (RFC 7396) leaves
/// what it does not name.
fn merge_patch(before: &Value, next: Value) -> Value {
    let (Value::Object(before), Value::Object(next)) = (before, &next) else {
        return next;
    };
    let gone = before.keys().filter(|name| !next.contains_key(*name));
    let mut patch: Map<String, Value> = gone.map(|name| (name.clone(), Value::Null)).collect();
    for (name, value) in next {
        let before = before.get(name).unwrap_or(&Value::Null);
        patch.insert(name.clone(), merge_patch(before, value.clone()));
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_says_everything_and_names_what_goes() {
        for (before, next, patch, why) in [
            (json!({}), json!({"a": 1}), json!({"a": 1}), "new"),
            (json!({"a": 1}), json!({}), json!({"a": null}), "gone"),
            (
                json!({"a": 1}),
                json!({"a": 1}),
                json!({"a": 1}),
                "said again, whoever changed it",
            ),
            (
                json!({"m": {"x": 1, "y": 2}}),
                json!({"m": {"y": 3}}),
                json!({"m": {"x": null, "y": 3}}),
                "maps are merged as well",
            ),
            (
                json!({"l": [1, 2]}),
                json!({"l": [2]}),
                json!({"l": [2]}),
                "lists are replaced",
            ),
        ] {
            assert_eq!(merge_patch(&before, next), patch, "{why}");
        }
    }
}
