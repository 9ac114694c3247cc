//! Looking at one object and changing it, as whoever runs the command.

use std::fmt::Debug;

use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Failure;
use super::cluster::Cluster;
use super::kinds::{Seen, Target};
use super::refused::{Asked, is_conflict};

/// Whose fields these are, for `managedFields`.
const MANAGER: &str = "kubectl-scim";

/// So often a change is tried again on an object that changed meanwhile.
pub const TRIES: usize = 10;

/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// Lists by pages, and hands each object over.
///
/// # Errors
/// When a page is refused, or does not come.
pub async fn list_each<K>(
    api: &Api<K>,
    which: ListParams,
    mut take: impl FnMut(K),
) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut which = which.limit(PAGE);
    loop {
        let page = api.list(&which).await?;
        page.items.into_iter().for_each(&mut take);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => which = which.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// The object.
///
/// # Errors
/// When it is not there, or may not be read.
pub async fn get(cluster: &Cluster, target: &Target) -> Result<DynamicObject, Failure> {
    let api = target.kind.api(&cluster.client, &cluster.namespace);
    let found = api.get_opt(&target.name).await;
    let asked = Asked {
        verb: "get",
        resource: &target.kind.resource,
        namespace: Some(&cluster.namespace),
    };
    let found = found.map_err(|error| asked.failed(error))?;
    found.ok_or_else(|| missing(cluster, target))
}

/// That there is no such object.
pub fn missing(cluster: &Cluster, target: &Target) -> Failure {
    Failure::new(format!(
        "there is no {} {} in the namespace {}",
        target.kind.resource.kind, target.name, cluster.namespace
    ))
}

/// Merges into the object, if it is still the one that was looked at; `None` where it changed meanwhile.
///
/// # Errors
/// When the API server does not take it.
pub async fn merge(
    cluster: &Cluster,
    target: &Target,
    seen: &DynamicObject,
    mut change: Value,
) -> Result<Option<DynamicObject>, Failure> {
    let api = target.kind.api(&cluster.client, &cluster.namespace);
    // With it the patch is of this version or of none.
    change["metadata"]["resourceVersion"] = json!(seen.resource_version());
    change["metadata"]["uid"] = json!(seen.uid());
    let parameters = PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    };
    let asked = Asked {
        verb: "patch",
        resource: &target.kind.resource,
        namespace: Some(&cluster.namespace),
    };
    let patch = Patch::Merge(change);
    match api.patch(&target.name, &parameters, &patch).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if is_conflict(&error) => Ok(None),
        Err(error) => Err(asked.failed(error)),
    }
}

/// Merges what `change` makes of the object, of its newest version. Where `change` makes nothing of it, nothing
/// is written, and `None` comes back.
///
/// # Errors
/// When the object is not there, changes without end, or the API server does not take it.
pub async fn change(
    cluster: &Cluster,
    target: &Target,
    change: impl Fn(&DynamicObject) -> Result<Option<Value>, Failure>,
) -> Result<Option<DynamicObject>, Failure> {
    for _ in 0..TRIES {
        let object = get(cluster, target).await?;
        let Some(patch) = change(&object)? else {
            return Ok(None);
        };
        if let Some(object) = merge(cluster, target, &object, patch).await? {
            return Ok(Some(object));
        }
    }
    Err(Failure::new(format!(
        "{target} changes all the time: nothing was written"
    )))
}

/// The objects of that kind, of which only what [`Seen`] has is read.
pub fn seen(cluster: &Cluster, target: &Target) -> Api<Seen> {
    let client = cluster.client.clone();
    Api::namespaced_with(client, &cluster.namespace, &target.kind.resource)
}
