//! Namespaces and kinds that end. What is deleted because of it has left nobody's company: it is never
//! deprovisioned in bulk (R13), and it holds up the end only for so long (R11).

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::watch_object;
use kube::{Api, Resource, ResourceExt};
use tokio::time::Instant;

use crate::api::FINALIZER;
use crate::controller::context::Context;
use crate::controller::finalizer::Declared;
use crate::controller::refusal;
use crate::controller::roster::Held;
use crate::domain::guard::Scope;

/// Why an account is left as it is, when an end has waited long enough.
pub const LEFT: &str = "the account was left as it is: its namespace or its kind is being deleted, and it could not be deprovisioned in time";

/// Which kinds end, and since when each deleted object waits.
#[derive(Debug, Default)]
pub struct Ends {
    kinds: Mutex<HashSet<String>>,
    since: Mutex<HashMap<String, Instant>>,
    told_stuck: Mutex<HashSet<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ends {
    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.since).remove(uid);
    }
}

/// The end that a deleted object is part of.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Of what.
    pub scope: Scope,
    /// How long it may still be held up. Counted from when this process first saw it, by a clock that
    /// only goes forward: the API server's may be another hour (R09).
    pub left: Duration,
}

impl Ending {
    /// Comes back when it has waited long enough, unless something is due sooner.
    pub fn at_the_latest(self, action: Action) -> Action {
        if action == Action::await_change() {
            Action::requeue(self.left + Duration::from_millis(10))
        } else {
            action
        }
    }
}

/// The end that a deleted object is part of, if it is.
pub fn of<K: Declared>(context: &Context, object: &K) -> Option<Ending> {
    object.meta().deletion_timestamp.as_ref()?;
    let ends = &context.ends;
    let scope = if kind_is_ending::<K>(context) {
        Scope::Kind
    } else if namespace_ends(context, &object.namespace().unwrap_or_default()) {
        Scope::Namespace
    } else {
        return None;
    };
    let uid = object.uid().unwrap_or_default();
    let since = *lock(&ends.since).entry(uid).or_insert_with(Instant::now);
    let left = context.options.scope_grace.saturating_sub(since.elapsed());
    Some(Ending { scope, left })
}

/// Comes back when the end that an object is part of has waited long enough, if it is part of one.
pub fn at_the_latest<K: Declared>(context: &Context, object: &K, action: Action) -> Action {
    match of(context, object) {
        Some(ending) => ending.at_the_latest(action),
        None => action,
    }
}

/// Whether a namespace is being deleted.
pub fn namespace_ends(context: &Context, namespace: &str) -> bool {
    let found = context.namespaces.get(&ObjectRef::new(namespace));
    found.is_some_and(|namespace| ends(&namespace))
}

/// Whether this namespace is being deleted.
pub fn ends(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

/// Tells of something left behind where somebody will see it: a namespace that ends takes no events,
/// and keeps none.
pub fn tell(context: &Context, held: &Held, namespace: &str, kind: &str, note: &str) {
    let found = context.namespaces.get(&ObjectRef::new(namespace));
    let Some(found) = found.filter(|namespace| ends(namespace)) else {
        return;
    };
    let reference = ObjectReference {
        namespace: None,
        ..found.object_ref(&())
    };
    let note = format!("a {kind} of this namespace was released: {note}");
    held.events
        .warning(reference, "Released", "Deprovision", note);
}

/// Tells, once for each namespace that ends, that it has taken the operator's rights with it before what is
/// deleted there could be released. It does so only where the operator may look into single namespaces: their
/// RoleBindings are deleted with all else, and cannot be made anew.
pub fn tell_stuck<K: Declared>(context: &Context, held: &Held, object: &K, error: &kube::Error) {
    let namespace = object.namespace().unwrap_or_default();
    let refused = matches!(error, kube::Error::Api(status) if status.code == 403);
    let found = context.namespaces.get(&ObjectRef::new(&namespace));
    let Some(found) = found.filter(|namespace| refused && ends(namespace)) else {
        return;
    };
    if !lock(&context.ends.told_stuck).insert(found.uid().unwrap_or_default()) {
        return;
    }
    let reference = ObjectReference {
        namespace: None,
        ..found.object_ref(&())
    };
    let note = format!(
        "the RoleBinding of the operator is gone, and it can release nothing here any more: take the finalizer {FINALIZER} off each ScimUser, ScimGroup and ScimConnection of this namespace; accounts that were not deprovisioned before stay as they are"
    );
    tracing::warn!(
        namespace,
        "a namespace that ends has taken our rights with it"
    );
    held.events.warning(reference, "Stuck", "Deprovision", note);
}

/// Whether a kind is being deleted, or gone, as its watch last showed.
pub fn kind_is_ending<K: Resource<DynamicType = ()>>(context: &Context) -> bool {
    lock(&context.ends.kinds).contains(&definition::<K>())
}

/// The name of a kind's definition.
pub fn definition<K: Resource<DynamicType = ()>>() -> String {
    format!("{}.{}", K::plural(&()), K::group(&()))
}

/// Whether a kind is being deleted, as the API server says now; where it does not say, as it last did.
pub async fn kind_ends<K: Resource<DynamicType = ()>>(context: &Context) -> bool {
    let definitions: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    let name = definition::<K>();
    if let Ok(found) = definitions.get_metadata_opt(&name).await
        && found.is_some_and(|found| found.metadata.deletion_timestamp.is_some())
    {
        lock(&context.ends.kinds).insert(name.clone());
    }
    lock(&context.ends.kinds).contains(&name)
}

/// Whether an object is deleted along with its kind or its namespace, as the API server says now: the
/// watches of these may come after the object's own.
///
/// # Errors
/// When the API server does not say.
pub async fn ends_now<K: Declared>(context: &Context, object: &K) -> Result<bool, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let name = object.namespace().unwrap_or_default();
    let namespace = namespaces.get_metadata_opt(&name).await?;
    let namespace_ends = namespace.is_some_and(|n| n.metadata.deletion_timestamp.is_some());
    Ok(namespace_ends || kind_ends::<K>(context).await)
}

/// Watches the definition of a kind, and calls `changed` when it begins to end, or does not any more.
pub async fn watch_kind<K: Resource<DynamicType = ()>>(context: &Context, changed: impl Fn()) {
    let definitions: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    let name = definition::<K>();
    let watch = watch_object(definitions, &name).default_backoff();
    let mut watch = std::pin::pin!(watch);
    let mut existed = false;
    while let Some(seen) = watch.next().await {
        existed |= matches!(seen, Ok(Some(_)));
        let ending = match seen {
            Ok(Some(definition)) => definition.metadata.deletion_timestamp.is_some(),
            // Gone: what it took along is gone because of that. One that was never seen takes nothing along.
            Ok(None) => existed,
            Err(error) => {
                tracing::debug!(
                    error = refusal::watch_told(&error),
                    name,
                    "the definition of a kind could not be watched"
                );
                continue;
            }
        };
        let news = if ending {
            lock(&context.ends.kinds).insert(name.clone())
        } else {
            lock(&context.ends.kinds).remove(&name)
        };
        if news {
            tracing::info!(kind = name, ending, "the kind");
            changed();
        }
    }
}
