//! Stored objects that this version cannot read: written by another version, or past an older schema. One
//! of them must not end the watch of all (R15). Nothing is done with it: what was known of it before
//! stands, so that nobody takes it for gone. And it says so itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::{ScimConnection, ScimGroup, ScimUser};
use crate::controller::context::Context;
use crate::controller::finalizer::{self, Declared};
use crate::controller::index::Key;
use crate::controller::lean::{Lean, Parts};
use crate::controller::roster::Held;
use crate::controller::{refusal, relist, scope, status};
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

    /// How many of each kind are.
    pub fn counts(&self) -> Vec<(String, usize)> {
        let kinds = self.lock();
        let count = |(kind, all): (&String, &OfKind)| (kind.clone(), all.keys.len());
        kinds.iter().map(count).collect()
    }

    /// Users that are.
    pub fn users(&self) -> Vec<Key> {
        self.of_kind(&ScimUser::kind(&()))
    }

    /// Objects of a kind that are.
    fn of_kind(&self, kind: &str) -> Vec<Key> {
        let kinds = self.lock();
        let kind = kinds.get(kind);
        kind.map(|kind| kind.keys.keys().cloned().collect())
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

/// How objects are listed. As a stream (WatchList) the API server takes two and a half times the CPU for it, and
/// kube asks for one of any age.
fn in_pages() -> watcher::Config {
    watcher::Config::default()
}

/// All objects of a kind, but for those that cannot be read; `known` is what the cache has.
pub fn watch<K: Parts + Send + Sync + 'static>(
    context: &Arc<Context>,
    kind: relist::Kind,
    known: impl Fn(&Key) -> Option<K> + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static {
    let (client, watched) = (context.client.clone(), context.options.watched.clone());
    let begin = move || watched.watch::<Lean<K>>(&client, in_pages());
    let context = context.clone();
    let watch = context.relists.watch(kind, begin);
    watch.filter_map(move |event| {
        let readable = match event {
            Ok(event) => read(event, &context, &known).map(Ok),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(readable)
    })
}

fn read<K: Parts + Send + Sync + 'static>(
    event: Event<Lean<K>>,
    context: &Arc<Context>,
    known: &impl Fn(&Key) -> Option<K>,
) -> Option<Event<K>> {
    let unreadable = &context.unreadable;
    let known = |lean: &Lean<K>| known(&Key::of(lean));
    let seen = |lean: &Lean<K>| {
        let key = Key::of(lean);
        let bound = finalizer::is_bound(lean);
        unreadable.of::<K>(|kind| match (lean.object.is_some(), &mut kind.listed) {
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
        Event::InitApply(lean) => {
            seen(&lean);
            if lean.object.is_none() {
                inherited::<K>(context, &lean);
                say::<K>(context, &lean);
                // What was known before stands.
                return known(&lean).map(Event::InitApply);
            }
            lean.object.map(Event::InitApply)
        }
        Event::Apply(lean) => {
            seen(&lean);
            if lean.object.is_none() {
                say::<K>(context, &lean);
            }
            lean.object.map(Event::Apply)
        }
        Event::Delete(lean) => {
            unreadable.of::<K>(|kind| {
                kind.keys.remove(&Key::of(&lean));
            });
            let known = known(&lean);
            lean.object.or(known).map(Event::Delete)
        }
    }
}

/// Notes that somebody may have begun something for an object before: it may be readable again one day.
fn inherited<K: Declared>(context: &Context, lean: &Lean<K>) {
    let uid = lean.uid().unwrap_or_default();
    match &*K::kind(&()) {
        "ScimUser" => context.user_pasts.inherited(&uid),
        "ScimGroup" => context.group_pasts.inherited(&uid),
        _ => {}
    }
}

/// Says so in the object's status, and lets it go where that needs no reading, in the background.
fn say<K: Declared>(context: &Arc<Context>, lean: &Lean<K>) {
    let key = Key::of(lean);
    tracing::warn!(kind = %K::kind(&()), object = %key, "{WHY}");
    if K::kind(&()) == ScimConnection::kind(&()) {
        context.wake_connection(&key);
    }
    // Whose it is cannot be read either: one replica says so, the one that has what is nobody's.
    if let Some(held) = context.nobodys() {
        say_by(context, held, ApiResource::erase::<K>(&()), key);
    }
}

/// Says so of all that cannot be read: whoever was to say so before may not have.
pub fn say_all(context: &Arc<Context>, held: &Held) {
    let kinds = [
        ApiResource::erase::<ScimUser>(&()),
        ApiResource::erase::<ScimGroup>(&()),
        ApiResource::erase::<ScimConnection>(&()),
    ];
    for kind in kinds {
        let keys = context.unreadable.of_kind(&kind.kind);
        for key in keys {
            say_by(context, held.clone(), kind.clone(), key);
        }
    }
}

fn say_by(context: &Arc<Context>, held: Held, kind: ApiResource, key: Key) {
    let context = context.clone();
    // It may wait for the grace of a namespace: a release does not wait for it, and its fence ends it.
    let held = held.undrained();
    tokio::spawn(async move {
        let said = say_and_part(&context, &held, &kind, &key).await;
        if let Err(error) = said {
            tracing::warn!(object = %key, error = refusal::told(&error), "it could not be told");
        }
    });
}

async fn say_and_part(
    context: &Context,
    held: &Held,
    kind: &ApiResource,
    key: &Key,
) -> Result<(), kube::Error> {
    let client = held.client.clone();
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
        scope::tell(context, held, &key.namespace, &kind.kind, scope::LEFT);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::StreamExt;
    use kube::client::Body;
    use kube::runtime::watcher::watcher;

    use super::*;

    #[tokio::test]
    async fn r08_a_listing_is_no_older_than_now() {
        let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let _ = told.send(request.uri().clone());
            let answer = http::Response::builder().status(500).body(Body::empty());
            std::future::ready(answer)
        });
        let client = kube::Client::new(service, "default");
        let api: Api<ScimConnection> = Api::all(client);
        let mut watch = std::pin::pin!(watcher(api, in_pages()));
        assert!(
            watch
                .next()
                .await
                .unwrap()
                .is_ok_and(|e| matches!(e, Event::Init))
        );
        let _ = watch.next().await;
        let first = asked.recv().await.unwrap();
        let query = first.query().unwrap_or_default();
        for any_age in ["resourceVersion", "sendInitialEvents", "watch"] {
            assert!(!query.contains(any_age), "{query}");
        }
    }
}
