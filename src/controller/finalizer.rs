//! The finalizer: put on before anything is created at the backend, taken off when nothing is left
//! to do there. Both by merge patch with the resourceVersion, so that nobody else's finalizer is lost.

use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::{ANNOTATION_CREATING, FINALIZER, ScimUser};
use crate::controller::user::Pass;

/// What putting it on came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It is there.
    There,
    /// The object changed meanwhile; look again.
    Raced,
}

fn api(pass: &Pass<'_>) -> Api<ScimUser> {
    Api::namespaced(pass.context.client.clone(), &pass.key.namespace)
}

/// Puts the finalizer on.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn ensure(pass: &Pass<'_>) -> Result<Ensured, kube::Error> {
    let finalizers = pass.user.finalizers();
    if finalizers.iter().any(|f| f == FINALIZER) {
        return Ok(Ensured::There);
    }
    let mut all = finalizers.to_vec();
    all.push(FINALIZER.to_owned());
    raced(patch_finalizers(pass, all).await)
}

/// Takes the finalizer off. An object that is gone already is as good.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn release(pass: &Pass<'_>) -> Result<Ensured, kube::Error> {
    let rest: Vec<String> = pass
        .user
        .finalizers()
        .iter()
        .filter(|f| *f != FINALIZER)
        .cloned()
        .collect();
    raced(patch_finalizers(pass, rest).await)
}

/// Marks, or unmarks, that a create was begun whose account could not be recognised by externalId.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn mark_creating(pass: &Pass<'_>, on: bool) -> Result<(), kube::Error> {
    let value = on.then_some("true");
    let patch = json!({"metadata": {"uid": pass.uid, "annotations": {ANNOTATION_CREATING: value}}});
    api(pass)
        .patch(
            &pass.key.name,
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await
        .map(|_| ())
}

async fn patch_finalizers(pass: &Pass<'_>, finalizers: Vec<String>) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {"uid": pass.uid, "resourceVersion": pass.user.meta().resource_version, "finalizers": finalizers}});
    api(pass)
        .patch(
            &pass.key.name,
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await
        .map(|_| ())
}

fn raced(result: Result<(), kube::Error>) -> Result<Ensured, kube::Error> {
    match result {
        Ok(()) => Ok(Ensured::There),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Ensured::Raced),
        Err(error) => Err(error),
    }
}
