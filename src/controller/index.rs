//! What the controller knows across ScimUsers: who claims which userName, who waits for whose id,
//! who belongs to which connection. Fed by the watch, so that it is whole before the first reconcile.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use kube::runtime::reflector::{self, ObjectRef};
use kube::{Resource, ResourceExt};

use crate::api::ScimUser;
use crate::controller::finalizer;
use crate::domain::few::Few;
use crate::domain::names::fold_name;

/// Namespace and name of an object of a kind that the context tells. A clone is the same one, not another:
/// that of one user lies in a dozen places.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<Named>);

/// What a [`Key`] says.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// The namespace.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
}

impl Deref for Key {
    type Target = Named;

    fn deref(&self) -> &Named {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: impl Into<Box<str>>, name: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Named {
            namespace: namespace.into(),
            name: name.into(),
        }))
    }

    /// The key of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    /// The same, as kube's stores and streams say it.
    pub fn reference<K: reflector::Lookup<DynamicType = ()>>(&self) -> ObjectRef<K> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }

    /// The connection that a user names.
    pub fn connection_of(user: &ScimUser) -> Self {
        let reference = &user.spec.connection_ref;
        Self::new(
            reference
                .namespace
                .clone()
                .or_else(|| user.namespace())
                .unwrap_or_default(),
            reference.name.clone(),
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Older first; the key settles a tie the same way everywhere.
type Rank = (i64, Key);

#[derive(Clone, Debug, PartialEq)]
struct Facts {
    connection: Key,
    user_name: Arc<str>,
    rank: Rank,
    manager: Option<Key>,
    /// The id that its status records, of whichever backend.
    recorded: Option<Arc<str>>,
    /// Deleted, and held by somebody else's finalizer alone.
    released: bool,
}

/// The users of a connection.
#[derive(Debug, Default)]
struct Members {
    all: HashSet<Key>,
    released: usize,
}

/// The index. Every change returns the users whose own outcome may change by it.
#[derive(Debug, Default)]
pub struct Index {
    facts: HashMap<Key, Facts>,
    claims: HashMap<(Key, Arc<str>), Few<Rank>>,
    reports: HashMap<Key, HashSet<Key>>,
    members: HashMap<Key, Members>,
    recorders: HashMap<Arc<str>, Few<Key>>,
    listed: Option<HashSet<Key>>,
}

impl Index {
    /// A listing of all users begins.
    pub fn begin(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// The listing is over: what it lacked is gone.
    pub fn finish(&mut self) -> Vec<Key> {
        let Some(listed) = self.listed.take() else {
            return Vec::new();
        };
        let gone: Vec<Key> = self
            .facts
            .keys()
            .filter(|key| !listed.contains(key))
            .cloned()
            .collect();
        gone.iter().flat_map(|key| self.remove(key)).collect()
    }

    /// Every user.
    pub fn all(&self) -> Vec<Key> {
        self.facts.keys().cloned().collect()
    }

    /// A user was added or changed.
    pub fn apply(&mut self, user: &ScimUser) -> Vec<Key> {
        let key = self.same(Key::of(user));
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        let created = user
            .creation_timestamp()
            .map_or(i64::MAX, |t| t.0.as_second());
        let manager = user
            .spec
            .enterprise
            .as_ref()
            .and_then(|e| e.manager.as_ref())
            .and_then(|m| m.user_ref.as_ref());
        let facts = Facts {
            connection: self.same_connection(Key::connection_of(user)),
            user_name: fold_name(&user.spec.user_name).into(),
            rank: (created, key.clone()),
            released: user.metadata.deletion_timestamp.is_some() && !finalizer::is_bound(user),
            recorded: self.same_id(user.status.as_ref().and_then(|status| status.id.as_deref())),
            manager: manager.map(|r| {
                Key::new(
                    r.namespace.as_deref().unwrap_or(&key.namespace),
                    r.name.as_str(),
                )
            }),
        };
        self.record(&key, facts.recorded.as_ref());
        if let Some(known) = self.facts.get_mut(&key) {
            known.recorded.clone_from(&facts.recorded);
            if *known == facts {
                return Vec::new();
            }
        }
        let mut woken = self.remove(&key);
        self.record(&key, facts.recorded.as_ref());
        let claim = self
            .claims
            .entry((facts.connection.clone(), facts.user_name.clone()))
            .or_default();
        claim.insert(facts.rank.clone());
        woken.extend(
            claim
                .iter()
                .map(|(_, other)| other.clone())
                .filter(|other| *other != key),
        );
        if let Some(manager) = &facts.manager {
            self.reports
                .entry(manager.clone())
                .or_default()
                .insert(key.clone());
        }
        let members = self.members.entry(facts.connection.clone()).or_default();
        members.all.insert(key.clone());
        members.released += usize::from(facts.released);
        self.facts.insert(key, facts);
        woken
    }

    /// A user is gone.
    pub fn remove(&mut self, key: &Key) -> Vec<Key> {
        self.record(key, None);
        let Some(facts) = self.facts.remove(key) else {
            return Vec::new();
        };
        if let Some(manager) = &facts.manager
            && let Some(reports) = self.reports.get_mut(manager)
        {
            reports.remove(key);
        }
        if let Some(members) = self.members.get_mut(&facts.connection) {
            members.all.remove(key);
            members.released -= usize::from(facts.released);
        }
        let claim_key = (facts.connection, facts.user_name);
        let Some(claim) = self.claims.get_mut(&claim_key) else {
            return Vec::new();
        };
        claim.remove(&facts.rank);
        let rest = claim.iter().map(|(_, other)| other.clone()).collect();
        if claim.is_empty() {
            self.claims.remove(&claim_key);
        }
        rest
    }

    /// The older user that claims the same userName at the same connection, if there is one (R28).
    /// Whoever the connection does not let in claims nothing.
    pub fn older_claim(&self, key: &Key, allowed: impl Fn(&str) -> bool) -> Option<Key> {
        let facts = self.facts.get(key)?;
        let (_, first) = self
            .claims
            .get(&(facts.connection.clone(), facts.user_name.clone()))?
            .iter()
            .find(|(_, claimant)| claimant == key || allowed(&claimant.namespace))?;
        (first != key).then(|| first.clone())
    }

    /// The users that claim `user_name` at a connection.
    pub fn claimants(&self, connection: &Key, user_name: &str) -> Vec<Key> {
        let claim = self
            .claims
            .get(&(connection.clone(), fold_name(user_name).into()));
        let ranks = claim.into_iter().flat_map(Few::iter);
        ranks.map(|(_, key)| key.clone()).collect()
    }

    /// The users of a namespace, and those that claim the same people as one of them.
    pub fn touched_by_namespace(&self, namespace: &str) -> HashSet<Key> {
        let here = self
            .facts
            .iter()
            .filter(|(k, _)| &*k.namespace == namespace);
        here.flat_map(|(_, facts)| self.claimants(&facts.connection, &facts.user_name))
            .collect()
    }

    /// The connection that a user names.
    pub fn connection_of(&self, key: &Key) -> Option<Key> {
        self.facts.get(key).map(|facts| facts.connection.clone())
    }

    /// The key by which a user is known here, or this one: so that there is one of each.
    pub fn same(&self, key: Key) -> Key {
        self.facts
            .get_key_value(&key)
            .map_or(key, |(same, _)| same.clone())
    }

    fn same_connection(&self, key: Key) -> Key {
        self.members
            .get_key_value(&key)
            .map_or(key, |(same, _)| same.clone())
    }

    fn same_id(&self, id: Option<&str>) -> Option<Arc<str>> {
        let same = |id| self.recorders.get_key_value(id);
        id.map(|id| same(id).map_or_else(|| id.into(), |(same, _)| same.clone()))
    }

    /// Whether a user is one of a connection's.
    pub fn is_member_of(&self, key: &Key, connection: &Key) -> bool {
        let facts = self.facts.get(key);
        facts.is_some_and(|facts| facts.connection == *connection)
    }

    /// Whether there is such a user, be it on its way out.
    pub fn is_declared(&self, key: &Key) -> bool {
        self.facts.contains_key(key)
    }

    /// Notes which id a user's status records now.
    fn record(&mut self, key: &Key, id: Option<&Arc<str>>) {
        let before = self.facts.get(key).and_then(|facts| facts.recorded.clone());
        if let Some(before) = before
            && let Some(keys) = self.recorders.get_mut(&before)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.recorders.remove(&before);
            }
        }
        if let Some(id) = id {
            let keys = self.recorders.entry(id.clone()).or_default();
            keys.insert(key.clone());
        }
    }

    /// The users whose status records an id, of whichever backend.
    pub fn recorders_of(&self, id: &str) -> Vec<Key> {
        let keys = self.recorders.get(id).into_iter().flat_map(Few::iter);
        keys.cloned().collect()
    }

    /// The users whose manager is `key`.
    pub fn reports_of(&self, key: &Key) -> Vec<Key> {
        self.reports
            .get(key)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// How many users a connection has.
    pub fn member_count(&self, connection: &Key) -> usize {
        let members = self.members.get(connection);
        members.map_or(0, |members| members.all.len())
    }

    /// How many of them are ours to look at: all but those that are deleted, and held by somebody else's
    /// finalizer.
    pub fn looked_after(&self, connection: &Key) -> usize {
        let members = self.members.get(connection);
        members.map_or(0, |members| members.all.len() - members.released)
    }

    /// The users of a connection.
    pub fn members_of(&self, connection: &Key) -> Vec<Key> {
        let members = self.members.get(connection);
        let all = members.map(|members| members.all.iter().cloned().collect());
        all.unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn user(name: &str, user_name: &str, created: &str) -> ScimUser {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"namespace": "team", "name": name, "creationTimestamp": created},
            "spec": {"connectionRef": {"name": "c"}, "userName": user_name}
        }))
        .expect("a valid user")
    }

    #[test]
    fn the_older_claim_wins_and_its_end_wakes_the_younger() {
        let mut index = Index::default();
        index.apply(&user("young", "Ada@example.com", "2026-02-01T00:00:00Z"));
        let woken = index.apply(&user("old", "ada@EXAMPLE.com", "2026-01-01T00:00:00Z"));
        assert_eq!(woken, [Key::new("team", "young")]);
        assert_eq!(
            index.older_claim(&Key::new("team", "young"), |_| true),
            Some(Key::new("team", "old"))
        );
        assert_eq!(index.older_claim(&Key::new("team", "old"), |_| true), None);
        assert_eq!(
            index.remove(&Key::new("team", "old")),
            [Key::new("team", "young")]
        );
        assert_eq!(
            index.older_claim(&Key::new("team", "young"), |_| true),
            None
        );
    }

    #[test]
    fn whoever_is_not_let_in_claims_nothing() {
        let mut index = Index::default();
        let mut stranger = user("old", "ada@example.com", "2026-01-01T00:00:00Z");
        stranger.metadata.namespace = Some("elsewhere".into());
        stranger.spec.connection_ref.namespace = Some("team".into());
        index.apply(&stranger);
        index.apply(&user("young", "ada@example.com", "2026-02-01T00:00:00Z"));
        let young = Key::new("team", "young");
        let older =
            |index: &Index, let_in: bool| index.older_claim(&young, |ns| ns == "team" || let_in);
        assert_eq!(older(&index, true), Some(Key::new("elsewhere", "old")));
        assert_eq!(older(&index, false), None);
        assert!(index.touched_by_namespace("elsewhere").contains(&young));
    }

    #[test]
    fn whoever_is_held_by_others_alone_is_not_waited_for() {
        let connection = Key::new("team", "c");
        let going = |finalizer: &str| {
            let mut user = user("a", "a", "2026-01-01T00:00:00Z");
            let gone = serde_json::json!("2026-01-02T00:00:00Z");
            user.metadata.deletion_timestamp = serde_json::from_value(gone).expect("a time");
            user.metadata.finalizers = Some(vec![finalizer.to_owned()]);
            user
        };
        let mut index = Index::default();
        index.apply(&user("a", "a", "2026-01-01T00:00:00Z"));
        index.apply(&user("b", "b", "2026-01-01T00:00:00Z"));
        let count = |index: &Index| {
            let all = index.member_count(&connection);
            (all, index.looked_after(&connection))
        };
        assert_eq!(count(&index), (2, 2));
        index.apply(&going(crate::api::FINALIZER));
        assert_eq!(count(&index), (2, 2), "we have to let it go");
        index.apply(&going("example.com/other"));
        index.apply(&going("example.com/other"));
        assert_eq!(count(&index), (2, 1));
        let mut elsewhere = going("example.com/other");
        elsewhere.spec.connection_ref.name = "d".to_owned();
        index.apply(&elsewhere);
        assert_eq!(count(&index), (1, 1));
        let other = Key::new("team", "d");
        let counts = |index: &Index| (index.member_count(&other), index.looked_after(&other));
        assert_eq!(counts(&index), (1, 0));
        index.remove(&Key::new("team", "a"));
        assert_eq!((count(&index), counts(&index)), ((1, 1), (0, 0)));
    }

    #[test]
    fn one_user_has_one_key() {
        let mut index = Index::default();
        index.apply(&user("a", "a", "2026-01-01T00:00:00Z"));
        let first = index.same(Key::new("team", "a"));
        let connection = Key::new("team", "c");
        let member = |index: &Index| index.members_of(&connection)[0].clone();
        assert!(Arc::ptr_eq(&first.0, &member(&index).0));
        index.apply(&user("a", "renamed", "2026-01-01T00:00:00Z"));
        assert!(Arc::ptr_eq(&first.0, &member(&index).0));
    }

    #[test]
    fn what_a_new_listing_lacks_is_gone() {
        let mut index = Index::default();
        index.apply(&user("a", "a", "2026-01-01T00:00:00Z"));
        index.begin();
        index.apply(&user("b", "A", "2026-01-02T00:00:00Z"));
        assert_eq!(
            index.finish(),
            [Key::new("team", "b")],
            "its name is free now"
        );
        assert_eq!(
            index.members_of(&Key::new("team", "c")),
            [Key::new("team", "b")]
        );
    }
}
