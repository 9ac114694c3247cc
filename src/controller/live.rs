//! The running side of one ScimConnection: its client, its directory, and whether it can be used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::time::Duration;

use tokio::time::Instant;

use crate::api::conditions::Reason;
use crate::api::connection::ScimConnectionSpec;
use crate::controller::counts::{Counts, Whose};
use crate::controller::group::side::GroupSide;
use crate::controller::index::Key;
use crate::controller::memory::Memory;
use crate::controller::outcomes;
pub use crate::controller::outcomes::{GroupOutcome, Outcome, State, Woken};
pub use crate::controller::ready::{Base, Ready};
use crate::controller::roster::Held;
use crate::controller::slots::Slots;
use crate::directory::{Groups, Users};
use crate::domain::circuit::Circuit;
use crate::domain::guard::Guard;
use crate::domain::loss::Loss;
use crate::scim::Client;

/// Whether users may be worked on.
#[derive(Clone)]
pub enum Phase {
    /// Not asked yet: users wait in silence.
    Starting,
    /// The backend answers and the directory is filled.
    Ready(Arc<Ready>),
    /// Something stands in the way; the connection's own conditions say what.
    NotReady(Reason),
}

/// The running side of one ScimConnection.
pub struct Connection {
    /// Its namespace and name.
    pub key: Key,
    /// What this process works on it by.
    pub held: Held,
    phase: Mutex<Phase>,
    client: Mutex<Option<Client>>,
    directory: Mutex<Users>,
    /// Counts the backends that the endpoint has led to.
    backend: AtomicU64,
    /// Where answers of a backend go that was left meanwhile: nobody reads it.
    left_behind: Mutex<Users>,
    groups: GroupSide,
    guard: Mutex<Guard>,
    loss: Mutex<Loss>,
    circuit: Mutex<Circuit>,
    /// What the times of the circuit are counted from.
    begun: Instant,
    tripped: AtomicBool,
    /// When the connection was made, while no process ever got as far as to write to this backend.
    untouched: Mutex<Option<jiff::Timestamp>>,
    outcomes: Mutex<HashMap<Key, Outcome>>,
    holders: Mutex<HashMap<String, Key>>,
    group_outcomes: Mutex<HashMap<Key, GroupOutcome>>,
    waiting: Mutex<Woken>,
    /// Those that only a listing can help.
    waiting_for_listing: Mutex<Woken>,
    doubtful_creates: Mutex<HashMap<String, (u64, String)>>,
    pilot: tokio::sync::Mutex<()>,
    /// Users that are worked on at once.
    pub user_slots: Slots,
    /// Groups that are worked on at once.
    pub group_slots: Slots,
    /// What was done here, for whoever watches.
    pub counts: Counts,
    suspect: Mutex<bool>,
    allowed: Mutex<Option<ScimConnectionSpec>>,
    /// Held by the connection's reconciler while it runs.
    pub memory: tokio::sync::Mutex<Memory>,
}

/// A poisoned lock only means that another task panicked; the data is still whole between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// A connection that was not asked yet.
    pub fn new(key: Key, held: Held) -> Self {
        Self {
            key,
            held,
            phase: Mutex::new(Phase::Starting),
            client: Mutex::default(),
            directory: Mutex::default(),
            backend: AtomicU64::new(0),
            left_behind: Mutex::default(),
            groups: GroupSide::default(),
            guard: Mutex::default(),
            loss: Mutex::default(),
            circuit: Mutex::default(),
            begun: Instant::now(),
            tripped: AtomicBool::new(false),
            untouched: Mutex::default(),
            outcomes: Mutex::default(),
            holders: Mutex::default(),
            group_outcomes: Mutex::default(),
            waiting: Mutex::default(),
            waiting_for_listing: Mutex::default(),
            doubtful_creates: Mutex::default(),
            pilot: tokio::sync::Mutex::default(),
            user_slots: Slots::default(),
            group_slots: Slots::default(),
            counts: Counts::default(),
            suspect: Mutex::new(false),
            allowed: Mutex::new(None),
            memory: tokio::sync::Mutex::default(),
        }
    }

    /// Whether users may be worked on.
    pub fn phase(&self) -> Phase {
        lock(&self.phase).clone()
    }

    /// The phase, for one user, who is woken when it changes unless it is Ready. Under one lock, so
    /// that no change falls between looking and waiting.
    pub fn phase_for(&self, user: &Key) -> Phase {
        let phase = lock(&self.phase);
        if !matches!(*phase, Phase::Ready(_)) {
            lock(&self.waiting).users.insert(user.clone());
        }
        phase.clone()
    }

    /// The same for a group.
    pub fn phase_for_group(&self, group: &Key) -> Phase {
        let phase = lock(&self.phase);
        if !matches!(*phase, Phase::Ready(_)) {
            lock(&self.waiting).groups.insert(group.clone());
        }
        phase.clone()
    }

    /// Sets the phase and returns those that waited for a change of it.
    pub fn set_phase(&self, next: Phase) -> Woken {
        let mut phase = lock(&self.phase);
        // The same trouble as before is no news to those who wait.
        let same =
            matches!((&*phase, &next), (Phase::NotReady(old), Phase::NotReady(new)) if old == new);
        *phase = next;
        if same {
            Woken::default()
        } else {
            std::mem::take(&mut *lock(&self.waiting))
        }
    }

    /// The client in use, while there is one.
    pub fn client(&self) -> Option<Client> {
        lock(&self.client).clone()
    }

    /// Takes a client into use.
    pub fn set_client(&self, client: Client) {
        *lock(&self.client) = Some(client);
    }

    /// Gives up the client, so that no further request is sent until the next run has built one: what
    /// comes next is decided by a spec or a token that was not looked at yet. Users in the limiter's
    /// queue are sent away and wait like all others.
    pub fn hold(&self) {
        let mut phase = lock(&self.phase);
        if let Some(client) = lock(&self.client).take() {
            client.close();
        }
        if matches!(*phase, Phase::Ready(_)) {
            *phase = Phase::Starting;
        }
    }

    /// Whether a pass that works with `ready` works with what is in force now.
    pub fn serves(&self, ready: &Ready) -> bool {
        matches!(&*lock(&self.phase), Phase::Ready(now) if now.client.is_clone_of(&ready.client))
    }

    /// Held by one create at a time for as long as nobody knows whether the backend returns
    /// `externalId`: what the first one teaches decides how the others are marked.
    pub async fn pilot(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.pilot.lock().await
    }

    /// Notes that no process ever got as far as to write to this backend, as the status says, and since when
    /// the connection is there; `None` where one may have.
    pub fn set_untouched(&self, since: Option<jiff::Timestamp>) {
        *lock(&self.untouched) = since;
    }

    /// Since when the connection is there, where nothing was ever written by it. Who is older may have had another
    /// one of that name.
    pub fn untouched(&self) -> Option<jiff::Timestamp> {
        *lock(&self.untouched)
    }

    /// Notes that a user waits for the connection to be looked at again.
    pub fn wait(&self, user: Key) {
        lock(&self.waiting).users.insert(user);
    }

    /// Notes that all of these wait for the connection to be looked at again.
    pub fn wait_on(&self, these: Woken) {
        lock(&self.waiting).extend(these);
    }

    /// Notes that a group waits for the connection to be looked at again.
    pub fn group_waits(&self, group: Key) {
        lock(&self.waiting).groups.insert(group);
    }

    /// The directory, for as long as the guard lives: never across an await.
    pub fn directory(&self) -> MutexGuard<'_, Users> {
        lock(&self.directory)
    }

    /// The directory, for what an answer to a request of `ready` says: not the one in use where the
    /// endpoint leads elsewhere by now.
    pub fn directory_of(&self, ready: &Ready) -> MutexGuard<'_, Users> {
        let directory = lock(&self.directory);
        if self.backend.load(Ordering::Acquire) == ready.backend {
            directory
        } else {
            drop(directory);
            lock(&self.left_behind)
        }
    }

    /// Which backend the endpoint leads to, counted from the first.
    pub fn backend(&self) -> u64 {
        self.backend.load(Ordering::Acquire)
    }

    /// Forgets what accounts looked like: they were read by another profile.
    pub fn read_anew(&self) {
        let mut directory = lock(&self.directory);
        *directory = Users::default();
        self.backend.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets everything about a backend that is left.
    pub fn leave_backend(&self) {
        let mut directory = lock(&self.directory);
        *directory = Users::default();
        self.backend.fetch_add(1, Ordering::AcqRel);
        drop(directory);
        lock(&self.doubtful_creates).clear();
        // What was let go, and what was found missing, was there.
        lock(&self.guard).leaves_backend();
        lock(&self.loss).is_over();
        self.groups.forget();
        self.forget_ids();
    }

    /// The brake on mass deprovisioning; never across an await.
    pub fn guard(&self) -> MutexGuard<'_, Guard> {
        lock(&self.guard)
    }

    /// What of ours the backend lacks; never across an await.
    pub fn loss(&self) -> MutexGuard<'_, Loss> {
        lock(&self.loss)
    }

    /// A write of this object failed in a way that may pass; true when that is too many in a row:
    /// whoever waits in line is sent away, and the connection's reconciler says when to try again.
    pub fn failed_for(&self, uid: &str, within: Duration) -> bool {
        let opens = lock(&self.circuit).failed(uid, self.begun.elapsed(), within);
        if opens {
            self.tripped.store(true, Ordering::Release);
            self.hold();
        }
        opens
    }

    /// The backend did what it was told, or said why not; true when that is news.
    pub fn worked(&self) -> bool {
        lock(&self.circuit).worked()
    }

    /// Whether the circuit was opened since last asked.
    pub fn take_trip(&self) -> bool {
        self.tripped.swap(false, Ordering::AcqRel)
    }

    /// How often the circuit was opened since anything worked.
    pub fn opened(&self) -> u32 {
        lock(&self.circuit).opened(self.begun.elapsed())
    }

    /// What is known of the backend's groups.
    pub fn group_side(&self) -> &GroupSide {
        &self.groups
    }

    /// The mirror of groups, for as long as the guard lives: never across an await.
    pub fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.mirror()
    }

    /// The mirror of groups, for what an answer to a request of `ready` says.
    pub fn groups_of(&self, ready: &Ready) -> MutexGuard<'_, Groups> {
        self.groups.mirror_of(self.backend() == ready.backend)
    }

    /// Notes how a user came out; true when that changes the counts.
    pub fn note(&self, user: &Key, outcome: Option<Outcome>) -> bool {
        let mut outcomes = lock(&self.outcomes);
        let mut holders = lock(&self.holders);
        if let Some(old) = outcomes.get(user).and_then(|old| old.id.as_ref())
            && holders.get(old) == Some(user)
        {
            holders.remove(old);
        }
        if let Some(id) = outcome.as_ref().and_then(|outcome| outcome.id.as_ref()) {
            holders.insert(id.clone(), user.clone());
        }
        drop(holders);
        outcomes::put(&mut outcomes, user, outcome)
    }

    /// Looks at how every user came out, all at one moment; nothing else may be locked meanwhile.
    pub fn outcomes<T>(&self, look: impl FnOnce(&HashMap<Key, Outcome>) -> T) -> T {
        look(&lock(&self.outcomes))
    }

    /// Notes how a group came out; true when that changes the counts.
    pub fn note_group(&self, group: &Key, outcome: Option<GroupOutcome>) -> bool {
        outcomes::put(&mut lock(&self.group_outcomes), group, outcome)
    }

    /// How every group came out.
    pub fn group_outcomes(&self) -> HashMap<Key, GroupOutcome> {
        lock(&self.group_outcomes).clone()
    }

    /// How many came out for which reason of their Ready condition.
    pub fn by_reason(&self) -> [(Whose, BTreeMap<Reason, usize>); 2] {
        let users = outcomes::by_reason(&lock(&self.outcomes));
        let groups = outcomes::by_reason(&lock(&self.group_outcomes));
        [(Whose::User, users), (Whose::Group, groups)]
    }

    /// How one user came out.
    pub fn outcome_of(&self, user: &Key) -> Option<Outcome> {
        lock(&self.outcomes).get(user).cloned()
    }

    /// The user whose account has that id, by its last outcome.
    pub fn holder_of(&self, id: &str) -> Option<Key> {
        lock(&self.holders).get(id).cloned()
    }

    /// Forgets which ids users have, since they were another backend's.
    fn forget_ids(&self) {
        for outcome in lock(&self.outcomes).values_mut() {
            outcome.id = None;
        }
        lock(&self.holders).clear();
        for outcome in lock(&self.group_outcomes).values_mut() {
            outcome.id = None;
        }
    }

    /// The id recorded for a user.
    pub fn id_of(&self, user: &Key) -> Option<String> {
        lock(&self.outcomes).get(user).and_then(|o| o.id.clone())
    }

    /// A POST for this object, under this name, may have been applied: look before the next.
    pub fn doubt_create(&self, uid: &str, name: &str) {
        let step = self.directory().step();
        lock(&self.doubtful_creates).insert(uid.to_owned(), (step, name.to_owned()));
    }

    /// The name under which a POST for this object may have been applied, where no complete listing
    /// has begun since. The spec may say another one by now.
    pub fn doubtful_create(&self, uid: &str) -> Option<String> {
        let listed = self.directory().last_complete();
        let (step, name) = lock(&self.doubtful_creates).get(uid).cloned()?;
        listed.is_none_or(|listed| listed <= step).then_some(name)
    }

    /// The outcome of the POST is known.
    pub fn create_is_settled(&self, uid: &str) {
        lock(&self.doubtful_creates).remove(uid);
    }

    /// Asks for a listing, for a user who waits for it.
    pub fn ask_for_listing(&self, user: Key) {
        lock(&self.waiting_for_listing).users.insert(user);
    }

    /// Asks for a listing of groups, for a group that waits for it.
    pub fn ask_for_groups(&self, group: Key) {
        lock(&self.waiting_for_listing).groups.insert(group);
    }

    /// Whether a listing, and whether one of groups, is asked for: as long as somebody waits.
    pub fn listings_asked(&self) -> (bool, bool) {
        let waiting = lock(&self.waiting_for_listing);
        (!waiting.users.is_empty(), !waiting.groups.is_empty())
    }

    /// A listing is over: the users who waited for one.
    pub fn users_listed(&self) -> HashSet<Key> {
        std::mem::take(&mut lock(&self.waiting_for_listing).users)
    }

    /// A listing of groups is over: those that waited for one.
    pub fn groups_listed(&self) -> HashSet<Key> {
        std::mem::take(&mut lock(&self.waiting_for_listing).groups)
    }

    /// A user's request met trouble that concerns the whole connection.
    pub fn suspect(&self) {
        *lock(&self.suspect) = true;
    }

    /// Whether that happened since last asked.
    pub fn suspected(&self) -> bool {
        std::mem::take(&mut *lock(&self.suspect))
    }

    /// The spec as last seen, for the rules that need no backend.
    pub fn spec(&self) -> Option<ScimConnectionSpec> {
        lock(&self.allowed).clone()
    }

    /// Records the spec as last seen.
    pub fn set_spec(&self, spec: ScimConnectionSpec) {
        *lock(&self.allowed) = Some(spec);
    }
}
