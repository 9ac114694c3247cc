//! What every reconciler shares.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use crate::api::connection::AllowedNamespaces;
use crate::api::{ScimConnection, ScimGroup, ScimGroupStatus, ScimUser, ScimUserStatus};
use crate::controller::events::Events;
use crate::controller::group::index::GroupIndex;
use crate::controller::index::{Index, Key};
use crate::controller::kept::KeptUser;
use crate::controller::live::Woken;
pub use crate::controller::options::Options;
use crate::controller::passes::AllPasses;
use crate::controller::past::Pasts;
use crate::controller::readable::Unreadable;
use crate::controller::relist::Relists;
use crate::controller::roster::{Held, Roster};
use crate::controller::scope::{self, Ends};
use crate::controller::secrets::Watches;
use crate::controller::slots::Slots;
use crate::controller::status::Statuses;
use crate::controller::waking::{Begun, FEW};
use crate::controller::writes::Writes;
use crate::domain::allowed::lets_in;

type Shared = Arc<RwLock<Roster>>;

/// What every reconciler shares.
pub struct Context {
    /// A client to read with: what is written is so by [`Held`].
    pub client: Client,
    /// How the operator was started.
    pub options: Options,
    /// The users, as the watch last saw them, packed.
    pub users: Store<KeptUser>,
    /// The groups, as the watch last saw them.
    pub groups: Store<ScimGroup>,
    /// The connections, as the watch last saw them.
    pub connections: Store<ScimConnection>,
    /// The namespaces, for `allowedNamespaces`.
    pub namespaces: Store<Namespace>,
    /// Events, off the hot path.
    pub events: Events,
    /// Through which statuses and finalizers are written.
    pub writes: Arc<Writes>,
    /// Watches of Secrets and CA bundles, by connection.
    pub watches: Watches,
    /// How many passes there were, and how long they took.
    pub passes: AllPasses,
    /// What was last written of users.
    pub user_statuses: Statuses<ScimUserStatus>,
    /// What was last written of groups.
    pub group_statuses: Statuses<ScimGroupStatus>,
    /// What was begun for users, where their status does not say.
    pub user_pasts: Pasts,
    /// What was begun for groups.
    pub group_pasts: Pasts,
    /// Users whose connection does not exist, that are worked on at once.
    pub orphan_slots: Slots,
    /// Groups of that kind.
    pub orphan_group_slots: Slots,
    /// Objects that this version cannot read.
    pub unreadable: Unreadable,
    /// Namespaces and kinds that end.
    pub ends: Ends,
    index: Mutex<Index>,
    groups_index: Mutex<GroupIndex>,
    /// Listings of all kinds that are asked for.
    pub relists: Relists,
    pub(in crate::controller) roster: Shared,
    stopping: AtomicBool,
    /// The wall clock at the start, and when that was: see [`Context::seconds`].
    started: (i64, Instant),
    attempts: Mutex<HashMap<String, u32>>,
    gathering: Mutex<HashMap<String, Instant>>,
    wake_users: UnboundedSender<ObjectRef<KeptUser>>,
    wake_many_users: tokio::sync::mpsc::UnboundedSender<Vec<Key>>,
    /// Who is waited for by those who are woken after it.
    pub begun: Arc<Begun>,
    wake_groups: UnboundedSender<ObjectRef<ScimGroup>>,
    members_changed: tokio::sync::mpsc::UnboundedSender<MemberChange>,
    wake_connections: UnboundedSender<ObjectRef<ScimConnection>>,
    counts_changed: tokio::sync::mpsc::UnboundedSender<Key>,
}

/// Something about a user that its groups have to follow.
#[derive(Clone, Debug)]
pub struct MemberChange {
    /// The connection.
    pub connection: Key,
    /// The user.
    pub user: Key,
    /// Its labels, of now and of before.
    pub labels: Vec<BTreeMap<String, String>>,
}

/// What the watches last saw.
pub struct Stores {
    /// The users.
    pub users: Store<KeptUser>,
    /// The groups.
    pub groups: Store<ScimGroup>,
    /// The connections.
    pub connections: Store<ScimConnection>,
    /// The namespaces.
    pub namespaces: Store<Namespace>,
}

/// The senders by which reconcilers wake one another.
pub struct Wakers {
    /// Wakes users.
    pub users: UnboundedSender<ObjectRef<KeptUser>>,
    /// Wakes many users, in lots.
    pub many_users: tokio::sync::mpsc::UnboundedSender<Vec<Key>>,
    /// Who is waited for by those who are woken after it.
    pub begun: Arc<Begun>,
    /// Wakes groups at once.
    pub groups: UnboundedSender<ObjectRef<ScimGroup>>,
    /// Wakes the groups that a user may belong to, soon: what changes within a moment is gathered.
    pub members: tokio::sync::mpsc::UnboundedSender<MemberChange>,
    /// Wakes connections at once.
    pub connections: UnboundedSender<ObjectRef<ScimConnection>>,
    /// Wakes connections soon, at most twice a second, to count again.
    pub counts: tokio::sync::mpsc::UnboundedSender<Key>,
}

impl Context {
    /// A context with nothing in it yet.
    pub fn new(
        client: Client,
        options: Options,
        stores: Stores,
        events: Events,
        wakers: Wakers,
    ) -> Self {
        let Stores {
            users,
            groups,
            connections,
            namespaces,
        } = stores;
        let roster = Shared::default();
        let writes = Arc::new(Writes::default());
        if options.seat.is_none() {
            let (fence, events) = (options.fence.clone(), events.clone());
            let (held, _) = Held::new(client.clone(), fence, events, writes.clone());
            *roster.write().unwrap_or_else(PoisonError::into_inner) = Roster::of_everything(held);
        }
        let known = roster.clone();
        // A new token or CA bundle ends what the old one began, a listing of an hour included.
        let hold = move |key: &Key| {
            let roster = known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(connection) = roster.running(key) {
                connection.hold();
            }
        };
        Self {
            watches: Watches::new(client.clone(), wakers.connections.clone(), Arc::new(hold)),
            client,
            options,
            users,
            groups,
            connections,
            namespaces,
            events,
            writes,
            index: Mutex::default(),
            groups_index: Mutex::default(),
            relists: Relists::default(),
            roster,
            stopping: AtomicBool::new(false),
            started: (jiff::Timestamp::now().as_second(), Instant::now()),
            passes: AllPasses::default(),
            user_statuses: Statuses::default(),
            group_statuses: Statuses::default(),
            user_pasts: Pasts::default(),
            group_pasts: Pasts::default(),
            orphan_slots: Slots::default(),
            orphan_group_slots: Slots::default(),
            unreadable: Unreadable::default(),
            ends: Ends::default(),
            attempts: Mutex::default(),
            gathering: Mutex::default(),
            wake_users: wakers.users,
            wake_many_users: wakers.many_users,
            begun: wakers.begun,
            wake_groups: wakers.groups,
            members_changed: wakers.members,
            wake_connections: wakers.connections,
            counts_changed: wakers.counts,
        }
    }

    /// Works on the index; never across an await.
    pub fn index<T>(&self, work: impl FnOnce(&mut Index) -> T) -> T {
        work(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works on the index of groups; never across an await.
    pub fn groups_index<T>(&self, work: impl FnOnce(&mut GroupIndex) -> T) -> T {
        let index = self.groups_index.lock();
        work(&mut index.unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets how users came out that went while nobody watched.
    pub fn forget_the_gone(&self) {
        for connection in self.running() {
            let looked_at: Vec<Key> = connection.outcomes(|all| all.keys().cloned().collect());
            let gone = looked_at.into_iter();
            let gone: Vec<Key> = gone.filter(|user| !self.is_declared(user)).collect();
            gone.iter().for_each(|user| {
                connection.note(user, None);
                connection.user_slots.leave(user);
            });
            if !gone.is_empty() {
                self.recount(&connection.key);
            }
        }
    }

    /// A user, as the watch last saw it. To look at all of them there is [`Context::kept`].
    pub fn user(&self, key: &Key) -> Option<Arc<ScimUser>> {
        self.kept(key)?.open().map(Arc::new)
    }

    /// A user, as it is kept.
    pub fn kept(&self, key: &Key) -> Option<Arc<KeptUser>> {
        self.users.get(&key.reference())
    }

    /// A group, as the watch last saw it.
    pub fn group(&self, key: &Key) -> Option<Arc<ScimGroup>> {
        self.groups.get(&key.reference())
    }

    /// Whether it is known which users there are: before that none can be missing.
    pub fn users_are_known(&self) -> bool {
        matches!(self.users.wait_until_ready().now_or_never(), Some(Ok(())))
    }

    /// Whether it is known which groups there are.
    pub fn groups_are_known(&self) -> bool {
        matches!(self.groups.wait_until_ready().now_or_never(), Some(Ok(())))
    }

    /// Whether there is such a ScimUser, readable or not.
    pub fn is_declared(&self, user: &Key) -> bool {
        self.index(|index| index.is_declared(user)) || self.unreadable.contains::<ScimUser>(user)
    }

    /// Whether there is such a ScimGroup, readable or not.
    pub fn is_group_declared(&self, group: &Key) -> bool {
        self.groups_index(|index| index.is_declared(group))
            || self.unreadable.contains::<ScimGroup>(group)
    }

    /// Whether what is in a namespace is seen at all: else nothing there is known to be missing.
    pub fn sees(&self, namespace: &str) -> bool {
        self.options.watched.has(namespace)
    }

    /// Whether there may be something in a namespace that nobody sees: it is not watched; or it ends, and the right
    /// to read there, which is of that namespace alone, may end before what is there.
    pub fn hides(&self, namespace: &str) -> bool {
        let watched = &self.options.watched;
        !watched.has(namespace) || (!watched.is_all() && scope::namespace_ends(self, namespace))
    }

    /// The users and groups of a connection.
    pub fn everyone_of(&self, connection: &Key) -> Woken {
        Woken {
            users: self
                .index(|index| index.members_of(connection))
                .into_iter()
                .collect(),
            groups: self
                .groups_index(|index| index.groups_of(connection))
                .into_iter()
                .collect(),
        }
    }

    /// Whether anybody declares a group for a connection.
    pub fn has_groups(&self, connection: &Key) -> bool {
        !self
            .groups_index(|index| index.groups_of(connection))
            .is_empty()
    }

    /// Wakes users and groups.
    pub fn wake(&self, woken: Woken) {
        let Woken { users, groups } = woken;
        self.wake_users(users);
        self.wake_groups(groups);
    }

    /// Wakes groups.
    pub fn wake_groups(&self, keys: impl IntoIterator<Item = Key>) {
        for key in in_order(keys) {
            let _ = self.wake_groups.unbounded_send(key.reference());
        }
    }

    /// Has the groups follow what changed about a user, soon.
    pub fn member_changed(&self, change: MemberChange) {
        let _ = self.members_changed.send(change);
    }

    /// Wakes users: a few at once, many in lots.
    pub fn wake_users(&self, keys: impl IntoIterator<Item = Key>) {
        let keys = in_order(keys);
        if keys.len() > FEW {
            let _ = self.wake_many_users.send(keys);
            return;
        }
        for key in keys {
            // The receiver lives as long as the controller; after it there is nobody to wake.
            let _ = self.wake_users.unbounded_send(key.reference());
        }
    }

    /// Wakes everybody and everything of a namespace.
    pub fn wake_namespace(&self, namespace: &str) {
        let here = |key: &Key| &*key.namespace == namespace;
        let users = self.index(|index| index.all());
        self.wake_users(users.into_iter().filter(here));
        let groups = self.groups_index(|index| index.all());
        self.wake_groups(groups.into_iter().filter(here));
        let connections = self.running();
        let connections = connections.iter().filter(|running| here(&running.key));
        connections.for_each(|connection| self.wake_connection(&connection.key));
    }

    /// Wakes every connection.
    pub fn wake_connections(&self) {
        self.running()
            .iter()
            .for_each(|connection| self.wake_connection(&connection.key));
    }

    /// Wakes a connection at once.
    pub fn wake_connection(&self, key: &Key) {
        let _ = self.wake_connections.unbounded_send(key.reference());
    }

    /// Has a connection count its users again soon.
    pub fn recount(&self, key: &Key) {
        let _ = self.counts_changed.send(key.clone());
    }

    /// Has every connection count its users again soon.
    pub fn recount_all(&self) {
        self.running()
            .iter()
            .for_each(|connection| self.recount(&connection.key));
    }

    /// Seconds since 1970, by a clock that is read once and then only goes forward: one that is set
    /// meanwhile opens no window early (R09).
    pub fn seconds(&self) -> i64 {
        let (wall, since) = self.started;
        wall.saturating_add(i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX))
    }

    /// Whether the operator was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Sends nothing further to any backend: what waits for a limiter is sent away, what is in flight
    /// comes to its end (R22).
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for connection in self.running() {
            connection.hold();
        }
    }

    /// Whether resources of `namespace` may use a connection of `home`.
    pub fn allows(&self, allowed: &AllowedNamespaces, home: &str, namespace: &str) -> bool {
        let found = self.namespaces.get(&ObjectRef::new(namespace));
        // One that is not seen has no labels that would let it in.
        let labels: BTreeMap<String, String> =
            found.map(|n| n.labels().clone()).unwrap_or_default();
        lets_in(allowed, home, namespace, Some(&labels)).unwrap_or_default()
    }

    /// Forgets a group that is gone.
    pub fn forget_group(&self, uid: &str) {
        self.group_statuses.forget(uid);
        self.group_pasts.forget(uid);
        self.ends.forget(uid);
        self.gathered(uid);
        self.settled(uid);
    }

    /// Forgets a user that is gone.
    pub fn forget_user(&self, uid: &str) {
        self.user_statuses.forget(uid);
        self.user_pasts.forget(uid);
        self.ends.forget(uid);
        self.settled(uid);
    }

    /// How long to wait before the next try of an object, longer each time.
    pub fn next_wait(&self, uid: &str) -> Duration {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry(uid.to_owned()).or_default();
        let wait = crate::domain::retry::backoff(*attempt, Duration::from_secs(300), jitter());
        *attempt += 1;
        wait
    }

    /// Whether an object that began to gather changes goes on to do so; it begins by being asked.
    pub fn gathers(&self, uid: &str, at_most: Duration) -> bool {
        let gathering = self.gathering.lock();
        let mut gathering = gathering.unwrap_or_else(PoisonError::into_inner);
        let since = gathering.entry(uid.to_owned()).or_insert_with(Instant::now);
        since.elapsed() < at_most
    }

    /// What was gathered is dealt with.
    pub fn gathered(&self, uid: &str) {
        let gathering = self.gathering.lock();
        gathering
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }

    /// How often an object has failed in a row.
    pub fn tries(&self, uid: &str) -> u32 {
        let attempts = self.attempts.lock();
        let attempts = attempts.unwrap_or_else(PoisonError::into_inner);
        attempts.get(uid).copied().unwrap_or(0)
    }

    /// The object came through: the next failure starts from the shortest wait.
    pub fn settled(&self, uid: &str) {
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}

/// Those who are woken together are so in one order, whatever set they come from: what once went wrong
/// can be brought about again.
fn in_order(keys: impl IntoIterator<Item = Key>) -> Vec<Key> {
    let mut keys: Vec<Key> = keys.into_iter().collect();
    keys.sort();
    keys
}

/// A number from 0 to 1, different each time, that spreads retries.
pub fn jitter() -> f64 {
    fastrand::f64()
}
