//! Stored objects that this version cannot read: written by another version, or past an older schema. One
//! of them must not end the watch of all (R15). Nothing is done with it: what was known of it before
//! stands, so that nobody takes it for gone. And it says so itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::{ScimConnection, ScimGroup, ScimUser};
use crate::controller::context::Context;
use crate::controller::finalizer::{self, Declared};
use crate::controller::index::Key;
use crate::controller::{scope, status};
use crate::domain::conditions::{Outlook, Verdict, with_summary};

const WHY: &str =
    "the stored object is not readable by this version of the operator; nothing is done with it";

/// Those of one kind.
#[derive(Debug, Default)]
struct OfKind {
    /// And whether each has our finalizer.
    keys: HashMap<Key, bool>,
    /// Those of a listing that is under way.
    listed: Option<HashSet<Key>>,
}

/// The objects that cannot be read.
#[derive(Debug, Default)]
pub struct Unreadable(Mutex<HashMap<String, OfKind>>);

impl Unreadable {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfKind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this one is.
    pub fn contains<K: Resource<DynamicType = ()>>(&self, key: &Key) -> bool {
        self.has(&K::kind(&()), key)
    }

    fn has(&self, kind: &str, key: &Key) -> bool {
        let kinds = self.lock();
        let kind = kinds.get(kind);
        kind.is_some_and(|kind| kind.keys.contains_key(key))
    }

    /// Users that are.
    pub fn users(&self) -> Vec<Key> {
        let kinds = self.lock();
        let users = kinds.get(&*ScimUser::kind(&()));
        users
            .map(|users| users.keys.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// How many users and groups among them have our finalizer.
    pub fn bound(&self) -> usize {
        let kinds = self.lock();
        let named = [ScimUser::kind(&()), ScimGroup::kind(&())];
        let kinds = named.iter().filter_map(|kind| kinds.get(&**kind));
        let all = kinds.flat_map(|kind| kind.keys.values());
        all.filter(|bound| **bound).count()
    }

    fn of<K: Resource<DynamicType = ()>>(&self, change: impl FnOnce(&mut OfKind)) {
        change(self.lock().entry(K::kind(&()).into_owned()).or_default());
    }
}

/// All objects of a kind, but for those that cannot be read.
pub fn watch<K>(
    context: &Arc<Context>,
    store: Store<K>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Declared + reflector::Lookup<DynamicType = ()> + Send + Sync + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::all(context.client.clone());
    let context = context.clone();
    watcher(api, watcher::Config::default()).filter_map(move |event| {
        let readable = match event {
            Ok(event) => read(event, &context, &store).map(Ok),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(readable)
    })
}

fn read<K>(
    event: Event<DeserializeGuard<K>>,
    context: &Arc<Context>,
    store: &Store<K>,
) -> Option<Event<K>>
where
    K: Declared + reflector::Lookup<DynamicType = ()> + Send + Sync + 'static,
{
    let unreadable = &context.unreadable;
    let known = |guard: &DeserializeGuard<K>| {
        let found = store.get(&Key::of(guard).reference());
        found.map(Arc::unwrap_or_clone)
    };
    let seen = |guard: &DeserializeGuard<K>| {
        let key = Key::of(guard);
        let bound = finalizer::is_bound(guard);
        unreadable.of::<K>(|kind| match (guard.0.is_ok(), &mut kind.listed) {
            (true, _) => {
                kind.keys.remove(&key);
            }
            (false, listed) => {
                listed.iter_mut().for_each(|listed| {
                    listed.insert(key.clone());
                });
                kind.keys.insert(key, bound);
            }
        });
    };
    match event {
        Event::Init => {
            unreadable.of::<K>(|kind| kind.listed = Some(HashSet::new()));
            Some(Event::Init)
        }
        Event::InitDone => {
            unreadable.of::<K>(|kind| {
                if let Some(listed) = kind.listed.take() {
                    kind.keys.retain(|key, _| listed.contains(key));
                }
            });
            Some(Event::InitDone)
        }
        Event::InitApply(guard) => {
            seen(&guard);
            if guard.0.is_err() {
                inherited::<K>(context, &guard);
                say::<K>(context, &guard);
                // What was known before stands.
                return known(&guard).map(Event::InitApply);
            }
            guard.0.ok().map(Event::InitApply)
        }
        Event::Apply(guard) => {
            seen(&guard);
            if guard.0.is_err() {
                say::<K>(context, &guard);
            }
            guard.0.ok().map(Event::Apply)
        }
        Event::Delete(guard) => {
            unreadable.of::<K>(|kind| {
                kind.keys.remove(&Key::of(&guard));
            });
            let known = known(&guard);
            guard.0.ok().or(known).map(Event::Delete)
        }
    }
}

/// Notes that somebody may have begun something for an object before: it may be readable again one day.
fn inherited<K: Declared>(context: &Context, guard: &DeserializeGuard<K>) {
    let uid = guard.uid().unwrap_or_default();
    match &*K::kind(&()) {
        "ScimUser" => context.user_pasts.inherited(&uid),
        "ScimGroup" => context.group_pasts.inherited(&uid),
        _ => {}
    }
}

/// Says so in the object's status, and lets it go where that needs no reading, in the background.
fn say<K: Declared>(context: &Arc<Context>, guard: &DeserializeGuard<K>) {
    let key = Key::of(guard);
    tracing::warn!(kind = %K::kind(&()), object = %key, "{WHY}");
    if K::kind(&()) == ScimConnection::kind(&()) {
        context.wake_connection(&key);
    }
    let (context, kind) = (context.clone(), ApiResource::erase::<K>(&()));
    tokio::spawn(async move {
        let said = say_and_part(&context, &kind, &key).await;
        if let Err(error) = said {
            tracing::warn!(object = %key, %error, "it could not be told");
        }
    });
}

async fn say_and_part(context: &Context, kind: &ApiResource, key: &Key) -> Result<(), kube::Error> {
    let client = context.client.clone();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &key.namespace, kind);
    let object = api.get(&key.name).await?;
    let valid = Verdict::no(C::Valid, Reason::SpecInvalid, WHY);
    let ready = Verdict::no(C::Ready, Reason::Invalid, WHY);
    let verdicts = with_summary(vec![valid], ready, Outlook::Stuck);
    status::patch_conditions(&api, &object, verdicts).await?;
    if object.metadata.deletion_timestamp.is_none() || !finalizer::is_bound(&object) {
        return Ok(());
    }
    if !finalizer::is_abandoned(&object) {
        if !scope::namespace_ends(context, &key.namespace) {
            return Ok(());
        }
        tokio::time::sleep(context.options.scope_grace).await;
    }
    let object = api.get(&key.name).await?;
    if context.unreadable.has(&kind.kind, key) {
        finalizer::release_unread(&api, &object).await?;
        tracing::warn!(object = %key, "released unread; what it has at the backend was left as it is");
        scope::tell(context, &key.namespace, &kind.kind, scope::LEFT);
    }
    Ok(())
}
