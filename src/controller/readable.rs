//! Stored objects that this version cannot read: written by another version, or past an older schema. One
//! of them must not end the watch of all (R15). It counts as not there, which removes nobody: whoever
//! goes is told by a deletion, never by absence. And it says so itself.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::controller::finalizer::Declared;
use crate::controller::index::Key;
use crate::domain::conditions::{Outlook, Verdict, merge, with_summary};

const WHY: &str =
    "the stored object is not readable by this version of the operator; nothing is done with it";

/// All objects of a kind, but for those that cannot be read.
pub fn watch<K>(
    client: &Client,
    store: Store<K>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Declared + Send + Sync + 'static,
    K: kube::runtime::reflector::Lookup<DynamicType = ()>,
{
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let client = client.clone();
    watcher(api, watcher::Config::default()).filter_map(move |event| {
        let readable = match event {
            Ok(event) => read(event, &client, &store).map(Ok),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(readable)
    })
}

fn read<K>(event: Event<DeserializeGuard<K>>, client: &Client, store: &Store<K>) -> Option<Event<K>>
where
    K: Declared + Send + Sync + 'static,
    K: kube::runtime::reflector::Lookup<DynamicType = ()>,
{
    let known = |guard: &DeserializeGuard<K>| {
        let reference = ObjectRef::new(&guard.name_any());
        let found = store.get(&reference.within(&guard.namespace().unwrap_or_default()));
        found.map(Arc::unwrap_or_clone)
    };
    match event {
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
        Event::InitApply(guard) => match guard.0 {
            Ok(object) => Some(Event::InitApply(object)),
            Err(_) => {
                say::<K>(client, &guard);
                None
            }
        },
        Event::Apply(guard) => match guard.0 {
            Ok(object) => Some(Event::Apply(object)),
            Err(_) => {
                say::<K>(client, &guard);
                // What it said before is not what it says now.
                known(&guard).map(Event::Delete)
            }
        },
        Event::Delete(guard) => match guard.0 {
            Ok(object) => Some(Event::Delete(object)),
            Err(_) => known(&guard).map(Event::Delete),
        },
    }
}

/// Says so in the object's status, in the background.
fn say<K: Declared>(client: &Client, guard: &DeserializeGuard<K>) {
    let key = Key::new(guard.namespace().unwrap_or_default(), guard.name_any());
    tracing::warn!(kind = %K::kind(&()), object = %key, "{WHY}");
    let (client, kind) = (client.clone(), ApiResource::erase::<K>(&()));
    tokio::spawn(async move {
        let said = say_in_status(&client, &kind, &key).await;
        if let Err(error) = said {
            tracing::warn!(object = %key, %error, "its status could not be written");
        }
    });
}

async fn say_in_status(client: &Client, kind: &ApiResource, key: &Key) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, kind);
    let object = api.get(&key.name).await?;
    let before = object.data["status"]["conditions"].clone();
    let before: Vec<Condition> = serde_json::from_value(before).unwrap_or_default();
    let valid = Verdict::no(C::Valid, Reason::SpecInvalid, WHY);
    let ready = Verdict::no(C::Ready, Reason::Invalid, WHY);
    let verdicts = with_summary(vec![valid], ready, Outlook::Stuck);
    let now = Time(jiff::Timestamp::now());
    let next = merge(&before, verdicts, object.metadata.generation, &now);
    if next == before {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": object.metadata.uid}, "status": {"conditions": next}});
    let parameters = PatchParams::default();
    api.patch_status(&key.name, &parameters, &Patch::Merge(patch))
        .await
        .map(drop)
}
