//! The finalizer: put on before anything is created at the backend, at creation by an admission policy or
//! here; taken off when nothing is left to do there. Both by merge patch with the resourceVersion, so that
//! nobody else's finalizer is lost.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::{ANNOTATION_ABANDON, FINALIZER, ScimGroup, ScimUser};
use crate::controller::context::Context;
use crate::controller::index::Key;
use crate::controller::past::{Past, Pasts};
use crate::controller::roster::Held;
use crate::controller::scope;
use crate::controller::status::Taken;
use crate::scim::Lane;

/// Whether an object has it. An admission policy may have put it on: whether something may be at a backend
/// is known by `owes`.
pub fn is_bound(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|f| f == FINALIZER)
}

/// A kind whose objects have a past.
pub trait Provisioned: Declared {
    /// What is known of such objects.
    fn pasts(context: &Context) -> &Pasts;

    /// Whether status, as it was last written, speaks of something at a backend.
    fn is_recorded(&self, context: &Context) -> bool;
}

impl Provisioned for ScimUser {
    fn pasts(context: &Context) -> &Pasts {
        &context.user_pasts
    }

    fn is_recorded(&self, context: &Context) -> bool {
        let status = context.user_statuses.last(self);
        status.id.is_some() || status.creating.is_some()
    }
}

impl Provisioned for ScimGroup {
    fn pasts(context: &Context) -> &Pasts {
        &context.group_pasts
    }

    fn is_recorded(&self, context: &Context) -> bool {
        let status = context.group_statuses.last(self);
        status.id.is_some() || status.creating.is_some()
    }
}

/// What may be at a backend because of an object.
pub fn past<K: Provisioned>(context: &Context, object: &K) -> Past {
    if !is_bound(object) {
        return Past::Nothing;
    }
    let uid = object.uid().unwrap_or_default();
    K::pasts(context).of(&uid, object.is_recorded(context))
}

/// Whether something may be at a backend because of an object.
pub fn owes<K: Provisioned>(context: &Context, object: &K) -> bool {
    past(context, object) != Past::Nothing
}

/// Whether a person has said that an object is to go, whatever it leaves at a backend.
pub fn is_abandoned(object: &impl ResourceExt) -> bool {
    let said = object.annotations().get(ANNOTATION_ABANDON);
    said.is_some_and(|value| value == "true")
}

/// What putting it on came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It is there.
    There,
    /// The object changed meanwhile; look again.
    Raced,
}

/// A kind of ours that stands for something at a backend.
pub trait Declared:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

impl<K> Declared for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
{
}

/// Puts the finalizer on where it is missing, and remembers that from here on something is begun.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn begin<K: Provisioned>(
    context: &Context,
    held: &Held,
    object: &K,
) -> Result<Ensured, kube::Error> {
    begin_by(held, K::pasts(context), object).await
}

/// Whatever status says now is no reason not to remember: it may be taken back, and another create begun, in
/// the same pass.
async fn begin_by<K: Declared>(
    held: &Held,
    pasts: &Pasts,
    object: &K,
) -> Result<Ensured, kube::Error> {
    let uid = object.uid().unwrap_or_default();
    let ensured = if is_bound(object) && pasts.was_freed(&uid) {
        // Either somebody put it back, or the watch has not shown yet that it is off: the API server knows
        // which, since the patch names the version that was seen.
        let as_seen = object.finalizers().to_vec();
        raced(patch_finalizers(held, object, as_seen).await)?
    } else {
        ensure(held, object).await?
    };
    if ensured == Ensured::There {
        pasts.begin(&uid);
    }
    Ok(ensured)
}

/// Takes the finalizer off an object for which nothing was ever begun, and nothing will be for now: it can go
/// without us. Once only, so that nobody who puts it back is fought.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn free<K: Provisioned>(
    context: &Context,
    held: &Held,
    object: &K,
) -> Result<(), kube::Error> {
    let uid = object.uid().unwrap_or_default();
    let pasts = K::pasts(context);
    if is_bound(object)
        && past(context, object) == Past::Nothing
        && !pasts.was_freed(&uid)
        && release(held, object).await? == Ensured::There
    {
        pasts.free(&uid);
    }
    Ok(())
}

/// Puts the finalizer on.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn ensure<K: Declared>(held: &Held, object: &K) -> Result<Ensured, kube::Error> {
    if is_bound(object) {
        return Ok(Ensured::There);
    }
    let mut all = object.finalizers().to_vec();
    all.push(FINALIZER.to_owned());
    raced(patch_finalizers(held, object, all).await)
}

/// Takes the finalizer off an object that cannot be read.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn release_unread(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
) -> Result<(), kube::Error> {
    let patch = Patch::Merge(to(object, without_ours(object)));
    let parameters = PatchParams::default();
    api.patch(&object.name_any(), &parameters, &patch)
        .await
        .map(drop)
}

fn without_ours(object: &impl ResourceExt) -> Vec<String> {
    let finalizers = object.finalizers().iter();
    finalizers.filter(|f| *f != FINALIZER).cloned().collect()
}

/// A patch to these finalizers, of the object as it was seen.
fn to(object: &impl ResourceExt, finalizers: Vec<String>) -> serde_json::Value {
    json!({"metadata": {"uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": finalizers}})
}

/// Takes the finalizer off.
async fn release<K: Declared>(held: &Held, object: &K) -> Result<Ensured, kube::Error> {
    raced(patch_finalizers(held, object, without_ours(object)).await)
}

/// Why an object goes whose connection does not exist, when nobody knows whether anything was begun.
pub const UNRECORDED: &str = "the ScimConnection is gone and no account or group was ever recorded; one that was being created when the operator last ended may have been left";

/// Why an object goes whose connection was never ready, when the object may be older.
const UNRECORDED_BEFORE: &str = "this ScimConnection was never ready, and no account or group was ever recorded; one that was being created by an earlier ScimConnection of this name may have been left";

/// Why an object goes of which nothing is recorded, whose connection was never ready; `since` says how long the
/// connection is there, to the second.
pub fn untouched(object: &impl ResourceExt, since: jiff::Timestamp) -> Word<'static> {
    let younger = object.creation_timestamp().is_some_and(|t| t.0 > since);
    if younger {
        let why = "the connection was never ready, and nothing is created before";
        Word::done("Released", why)
    } else {
        Word::undone(UNRECORDED_BEFORE)
    }
}

/// What there is to say when a deleted object is let go.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// Why, as a word.
    pub reason: &'a str,
    /// Why, as a sentence.
    pub note: &'a str,
    /// Something was left undone.
    pub undone: bool,
}

impl<'a> Word<'a> {
    /// All was done that is to be done.
    pub fn done(reason: &'a str, note: &'a str) -> Self {
        Self {
            reason,
            note,
            undone: false,
        }
    }

    /// Something was left undone, because a namespace or a kind cannot wait for it any longer.
    pub fn undone(note: &'a str) -> Self {
        Self {
            reason: "Released",
            note,
            undone: true,
        }
    }
}

/// Lets a deleted object go, and says why; false when it changed meanwhile and has to be looked at again.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn let_go<K: Declared>(
    context: &Context,
    held: &Held,
    object: &K,
    word: Word<'_>,
) -> Result<bool, kube::Error> {
    let Word {
        reason,
        note,
        undone,
    } = word;
    let released = release(held, object).await;
    if let Err(error) = &released {
        scope::tell_stuck(context, held, object, error);
    }
    if released? == Ensured::Raced {
        return Ok(false);
    }
    let reference = object.object_ref(&());
    let events = &held.events;
    if undone {
        tracing::warn!(kind = %K::kind(&()), object = %Key::of(object), reason, note, "released");
        events.warning(reference, reason, "Deprovision", note.to_owned());
        let namespace = object.namespace().unwrap_or_default();
        scope::tell(context, held, &namespace, &K::kind(&()), note);
    } else {
        tracing::info!(kind = %K::kind(&()), object = %Key::of(object), reason, "released");
        events.normal(reference, reason, "Deprovision", note.to_owned());
    }
    Ok(true)
}

/// Always as what is new: it is put on before something is created, and taken off what is to go.
async fn patch_finalizers<K: Declared>(
    held: &Held,
    object: &K,
    finalizers: Vec<String>,
) -> Result<(), kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    let request = Request::new(K::url_path(&(), Some(&namespace)));
    let patch = Patch::Merge(to(object, finalizers));
    let parameters = PatchParams::default();
    let request = request
        .patch(&object.name_any(), &parameters, &patch)
        .map_err(kube::Error::BuildRequest)?;
    let _turn = held.writes.take(&namespace, Lane::Fresh).await;
    held.client.request::<Taken>(request).await.map(drop)
}

fn raced(result: Result<(), kube::Error>) -> Result<Ensured, kube::Error> {
    match result {
        Ok(()) => Ok(Ensured::There),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Ensured::Raced),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::Client;
    use kube::client::Body;

    use super::*;
    use crate::controller::events::Events;
    use crate::scim::Fence;

    /// An API server that answers every patch so, and how many it got.
    fn answering(status: u16, body: serde_json::Value) -> (Held, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |_: http::Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let body = Body::from(body.to_string().into_bytes());
            let answer = http::Response::builder().status(status).body(body);
            std::future::ready(answer)
        });
        let client = Client::new(service, "default");
        let events = Events::start(client.clone());
        let (held, _) = Held::new(client, Fence::none(), events, Arc::default());
        (held, asked)
    }

    fn bound() -> ScimUser {
        let user = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": "ada", "namespace": "default", "uid": "u", "resourceVersion": "1",
                "finalizers": [FINALIZER]},
            "spec": {"connectionRef": {"name": "scim"}, "userName": "ada"}});
        serde_json::from_value(user).unwrap()
    }

    fn conflict() -> serde_json::Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "changed", "reason": "Conflict", "code": 409})
    }

    #[tokio::test]
    async fn what_we_took_off_is_not_believed_to_be_there_because_the_watch_still_shows_it() {
        let pasts = Pasts::default();
        pasts.free("u");
        let (held, asked) = answering(409, conflict());
        let begun = begin_by(&held, &pasts, &bound()).await.unwrap();
        assert_eq!((begun, asked.load(Ordering::Relaxed)), (Ensured::Raced, 1));
        assert!(pasts.was_freed("u"), "nothing was begun");
        // Somebody put it back.
        let (held, asked) = answering(200, serde_json::to_value(bound()).unwrap());
        for _ in 0..2 {
            let begun = begin_by(&held, &pasts, &bound()).await.unwrap();
            assert_eq!(begun, Ensured::There);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "asked once");
        assert_eq!(pasts.of("u", false), Past::Begun);
    }

    #[test]
    fn who_is_no_younger_than_a_connection_that_was_never_ready_is_not_let_go_silently() {
        let mut user = bound();
        for (born, undone) in [
            ("2026-01-01T00:00:00Z", true),
            ("2026-01-01T00:00:01Z", true),
            ("2026-01-01T00:00:02Z", false),
        ] {
            let since = "2026-01-01T00:00:01Z".parse().unwrap();
            user.metadata.creation_timestamp = serde_json::from_value(json!(born)).unwrap();
            assert_eq!(untouched(&user, since).undone, undone, "{born}");
        }
        user.metadata.creation_timestamp = None;
        assert!(untouched(&user, jiff::Timestamp::MIN).undone);
    }

    #[tokio::test]
    async fn who_has_it_is_begun_without_a_request() {
        let pasts = Pasts::default();
        let (held, asked) = answering(500, json!({}));
        let begun = begin_by(&held, &pasts, &bound()).await.unwrap();
        assert_eq!((begun, asked.load(Ordering::Relaxed)), (Ensured::There, 0));
        assert_eq!(pasts.of("u", false), Past::Begun);
    }
}
