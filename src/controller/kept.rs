//! A user as the cache keeps it: packed, since there may be a hundred thousand of them, with what is asked
//! of all of them at once beside it. Whoever works on one opens it.
//!
//! Guarantee: what is opened equals what was kept. The reader (`lean`) has left out managed fields and the
//! last applied configuration, which nobody here asks for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::api::ScimUser;
use crate::controller::finalizer;
use crate::controller::index::Key;
use crate::domain::packed::Packed;

type Labels = BTreeMap<String, String>;

/// Sets of labels, each once: people of one team have the same.
#[derive(Debug, Default)]
pub struct LabelSets(Mutex<(HashSet<Arc<Labels>>, usize)>);

impl LabelSets {
    fn one(&self, labels: Labels) -> Arc<Labels> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, purge_at) = &mut *sets;
        if let Some(known) = known.get(&labels) {
            return known.clone();
        }
        if known.len() >= *purge_at {
            known.retain(|set| Arc::strong_count(set) > 1);
            *purge_at = known.len() * 2 + 64;
        }
        let labels = Arc::new(labels);
        known.insert(labels.clone());
        labels
    }
}

/// A user, packed.
#[derive(Clone, Debug)]
pub struct KeptUser {
    /// Name, namespace and uid, and nothing else.
    meta: ObjectMeta,
    labels: Arc<Labels>,
    face: u64,
    /// Whether its own pass has to look, since what it is asked for differs from what was kept before.
    pub is_news: bool,
    /// Whether it is deleted, and still there.
    pub is_going: bool,
    /// Whether it has our finalizer.
    pub is_bound: bool,
    packed: Packed<ScimUser>,
}

impl KeptUser {
    /// Packs a user; `before` is what was kept of the one of that name.
    ///
    /// # Errors
    /// When it cannot be serialised, which nothing that was read can be the cause of.
    pub fn new(
        mut user: ScimUser,
        before: Option<&Self>,
        sets: &LabelSets,
    ) -> Result<Self, serde_json::Error> {
        let face = face(&user);
        let is_going = user.metadata.deletion_timestamp.is_some();
        let is_bound = finalizer::is_bound(&user);
        let labels = user.metadata.labels.take().unwrap_or_default();
        let packed = Packed::new(&user)?;
        let ObjectMeta {
            name,
            namespace,
            uid,
            ..
        } = user.metadata;
        Ok(Self {
            meta: ObjectMeta {
                name,
                namespace,
                uid,
                ..ObjectMeta::default()
            },
            labels: sets.one(labels),
            face,
            is_news: before.is_none_or(|before| before.face != face),
            is_going,
            is_bound,
            packed,
        })
    }

    /// The user, as it was kept.
    pub fn open(&self) -> Option<ScimUser> {
        let mut user = self.packed.open()?;
        if !self.labels.is_empty() {
            user.metadata.labels = Some((*self.labels).clone());
        }
        Some(user)
    }

    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// Packs the user of an event.
pub fn keep(
    event: Result<watcher::Event<ScimUser>, watcher::Error>,
    store: &Store<KeptUser>,
    sets: &LabelSets,
) -> Option<Result<watcher::Event<KeptUser>, watcher::Error>> {
    use watcher::Event;
    let kept = |user: ScimUser| {
        let before = store.get(&Key::of(&user).reference());
        KeptUser::new(user, before.as_deref(), sets)
            .inspect_err(|error| tracing::error!(%error, "a user could not be kept"))
            .ok()
    };
    Some(Ok(match event {
        Ok(Event::Init) => Event::Init,
        Ok(Event::InitDone) => Event::InitDone,
        // Whoever is listed is woken with all the others once the listing is whole: kube's queue would take as
        // many at once, and keep the memory for them.
        Ok(Event::InitApply(user)) => Event::InitApply(KeptUser {
            is_news: false,
            ..kept(user)?
        }),
        Ok(Event::Apply(user)) => Event::Apply(kept(user)?),
        Ok(Event::Delete(user)) => Event::Delete(kept(user)?),
        Err(error) => return Some(Err(error)),
    }))
}

/// A hash of what its own pass answers to: who it is, what it is asked for, and whether our finalizer was
/// taken off by somebody else. That we put it on ourselves, or wrote a status, is no news.
fn face(user: &ScimUser) -> u64 {
    let known = user.status.as_ref();
    let known = known.is_some_and(|status| status.observed_generation.is_some());
    let mut hasher = DefaultHasher::new();
    user.uid().hash(&mut hasher);
    user.metadata.generation.hash(&mut hasher);
    user.annotations().hash(&mut hasher);
    (known && !finalizer::is_bound(user)).hash(&mut hasher);
    hasher.finish()
}

/// As kube's controllers want of every kind; ours come from the watch, with what was kept before.
impl<'de> Deserialize<'de> for KeptUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let user = ScimUser::deserialize(deserializer)?;
        Self::new(user, None, &LabelSets::default()).map_err(D::Error::custom)
    }
}

impl Resource for KeptUser {
    type DynamicType = ();
    type Scope = <ScimUser as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        ScimUser::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ScimUser::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ScimUser::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ScimUser::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(change: impl FnOnce(&mut serde_json::Value)) -> ScimUser {
        let mut user = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"namespace": "team", "name": "ada", "uid": "u-1", "generation": 1,
                "resourceVersion": "7", "labels": {"team": "engines"}, "finalizers": ["scim-operator.io/deprovision"],
                "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"note": "kept"}},
            "spec": {"connectionRef": {"name": "c"}, "userName": "ada@example.com"},
            "status": {"id": "42", "observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True",
                "reason": "Synced", "message": "provisioned", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
        });
        change(&mut user);
        serde_json::from_value(user).unwrap()
    }

    fn kept(user: &ScimUser, before: Option<&KeptUser>) -> KeptUser {
        KeptUser::new(user.clone(), before, &LabelSets::default()).unwrap()
    }

    #[test]
    fn what_is_opened_is_what_was_kept() {
        let long = "x".repeat(5000);
        for user in [
            user(|_| {}),
            user(|user| user["metadata"]["labels"] = json!(null)),
            user(|user| user["spec"]["name"] = json!({"familyName": "Ångström \u{1f984}"})),
            user(|user| user["metadata"]["annotations"]["long"] = json!(long)),
        ] {
            assert_eq!(kept(&user, None).open().unwrap(), user);
        }
    }

    #[test]
    fn only_what_its_pass_answers_to_is_news() {
        let first = user(|_| {});
        let before = kept(&first, None);
        assert!(before.is_news);
        for (after, news, why) in [
            (user(|_| {}), false, "the same"),
            (
                user(|user| user["status"]["id"] = json!("43")),
                false,
                "our own status",
            ),
            (
                user(|user| user["metadata"]["generation"] = json!(2)),
                true,
                "another spec, or deleted",
            ),
            (
                user(|user| user["metadata"]["annotations"]["a"] = json!("b")),
                true,
                "asked to reconcile",
            ),
            (
                user(|user| user["metadata"]["finalizers"] = json!([])),
                true,
                "our finalizer was taken off",
            ),
            (
                user(|user| user["metadata"]["uid"] = json!("u-2")),
                true,
                "another one of that name",
            ),
        ] {
            assert_eq!(kept(&after, Some(&before)).is_news, news, "{why}");
        }
        let unseen = |bound: bool| {
            user(|user| {
                user["status"] = json!({});
                if !bound {
                    user["metadata"]["finalizers"] = json!([]);
                }
            })
        };
        let before = kept(&unseen(false), None);
        assert!(!kept(&unseen(true), Some(&before)).is_news, "put on by us");
    }

    #[test]
    fn equal_labels_are_kept_once_and_forgotten_when_nobody_has_them() {
        let sets = LabelSets::default();
        let one = KeptUser::new(user(|_| {}), None, &sets).unwrap();
        let two = KeptUser::new(user(|_| {}), None, &sets).unwrap();
        assert!(Arc::ptr_eq(&one.labels, &two.labels));
        for number in 0..1000 {
            let other =
                user(|user| user["metadata"]["labels"] = json!({"number": number.to_string()}));
            drop(KeptUser::new(other, None, &sets).unwrap());
        }
        assert!(sets.0.lock().unwrap().0.len() < 200);
    }

    #[test]
    fn whoever_is_listed_is_woken_with_the_others_and_is_no_news() {
        let (store, _writer) = kube::runtime::reflector::store();
        let sets = LabelSets::default();
        let news = |event| match keep(Ok(event), &store, &sets) {
            Some(Ok(watcher::Event::InitApply(user) | watcher::Event::Apply(user))) => user.is_news,
            _ => panic!("nobody"),
        };
        assert!(!news(watcher::Event::InitApply(user(|_| {}))));
        assert!(news(watcher::Event::Apply(user(|_| {}))));
    }

    #[test]
    fn nobody_is_shown_by_debug() {
        // Nothing that the dictionary has: it stands as it is among the packed bytes.
        let secret = "xq7zv0kw";
        let person = user(|user| user["spec"]["userName"] = secret.into());
        let kept = kept(&person, None);
        assert_eq!(kept.open().unwrap().spec.user_name, secret);
        let shown = format!("{kept:?}");
        let bytes = format!("{:?}", secret.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        assert!(!shown.contains(secret) && !shown.contains(bytes), "{shown}");
    }

    #[test]
    fn packing_pays() {
        let user = user(|_| {});
        let length = serde_json::to_vec(&user).unwrap().len();
        let packed = kept(&user, None).packed.size();
        assert!(packed * 2 < length, "{packed} of {length} bytes");
    }
}
