//! The operator's own context, filled by hand, and a connection that has listed its backend.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::channel::mpsc;
use http::{Request, Response};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::Body;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use kube::{Client, Resource};
use tower::BoxError;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{Mode, ScimConnectionSpec};
use crate::api::{ScimConnection, ScimGroup, ScimUser};
use crate::controller::connection_status;
use crate::controller::context::{Context, Options, Stores, Wakers};
use crate::controller::events::Events;
use crate::controller::group::side::Listed;
use crate::controller::guard;
use crate::controller::index::Key;
use crate::controller::kept::{KeptUser, LabelSets};
use crate::controller::listing::{list_groups, listing};
use crate::controller::live::{Base, Connection, Phase, Ready};
use crate::controller::memory::Memory;
use crate::controller::preview::{Given, Statuses};
use crate::controller::roster::Held;
use crate::controller::trouble::Trouble;
use crate::controller::waking::Begun;
use crate::controller::watched::Watched;
use crate::directory::{Groups, Users};
use crate::domain::conditions::Verdict;
use crate::domain::group::MembersEcho;
use crate::domain::profile::Profile;
use crate::scim::{Capabilities, Fence, Wire};

/// Everything that a pass looks at.
pub struct Stage {
    pub context: Arc<Context>,
    pub connection: Arc<Connection>,
    pub ready: Ready,
    pub object: ScimConnection,
    pub memory: Memory,
    pub held: Held,
    pub users: reflector::store::Writer<KeptUser>,
    /// Whose an account was that counts as parted with, by its id.
    pub left: HashMap<String, Key>,
    /// Statuses are made up, or are not known.
    pub is_guessed: bool,
    capabilities: Capabilities,
}

/// A client of an API server that is not there: what a pass knows is in the stores, and what it would write is not
/// written.
fn nobody() -> Client {
    let refuse = |_: Request<Body>| async {
        Err::<Response<Body>, BoxError>("a preview asks no API server".into())
    };
    Client::new(tower::service_fn(refuse), "default")
}

fn options() -> Options {
    Options {
        allow_local_endpoints: true,
        use_system_proxy: false,
        longest_request: Duration::from_secs(30),
        fence: Fence::none(),
        seat: None,
        // As the operator has it where it is not told otherwise.
        scope_grace: Duration::from_secs(600),
        metrics: Default::default(),
        watched: Watched::default(),
        wire: Wire::network(),
    }
}

/// A store that has these, and is whole.
fn filled<K>(
    objects: impl IntoIterator<Item = K>,
) -> (reflector::Store<K>, reflector::store::Writer<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    (store, writer)
}

/// What was read of a backend, for another stage before the same one.
pub struct Seen {
    by: ScimConnectionSpec,
    users: Users,
    groups: Groups,
    groups_listed: Listed,
    members_echo: MembersEcho,
    verdict: Option<Verdict>,
    capabilities: Capabilities,
}

impl Stage {
    /// Sets the stage, and lists the backend.
    ///
    /// # Errors
    /// When the connection cannot be worked with.
    pub async fn set(given: Given) -> Result<Self, Trouble> {
        Self::facing(given, None).await
    }

    /// The connection's users, in the order of their keys. Each is opened when it comes.
    pub fn users(&self) -> impl Iterator<Item = (Key, Arc<ScimUser>)> {
        let home = &self.connection.key;
        let mut keys = self.context.index(|index| index.members_of(home));
        keys.sort();
        let opened = |key: Key| Some((key.clone(), self.context.user(&key)?));
        keys.into_iter().filter_map(opened)
    }

    /// Its groups, likewise.
    pub fn groups(&self) -> impl Iterator<Item = (Key, Arc<ScimGroup>)> {
        let home = &self.connection.key;
        let mut keys = self.context.groups_index(|index| index.groups_of(home));
        keys.sort();
        let found = |key: Key| Some((key.clone(), self.context.group(&key)?));
        keys.into_iter().filter_map(found)
    }

    /// What was read of the backend, and what was learned of it since.
    pub fn seen(&self) -> Seen {
        let side = self.connection.group_side();
        Seen {
            by: self.object.spec.clone(),
            users: self.connection.directory().clone(),
            groups: side.mirror().clone(),
            groups_listed: side.listed(),
            members_echo: side.echo(),
            verdict: self.memory.directory_verdict.clone(),
            capabilities: self.capabilities.clone(),
        }
    }

    /// Sets the stage before a backend that was read already, if it was read as this connection would.
    ///
    /// # Errors
    /// When the connection cannot be worked with.
    pub async fn facing(given: Given, seen: Option<&Seen>) -> Result<Self, Trouble> {
        let Given {
            connection: mut object,
            client,
            users,
            groups,
            namespaces,
            statuses,
        } = given;
        // What would be done is asked, whatever is done at the moment.
        object.spec.mode = Mode::Enforce;
        object.spec.suspend = false;
        let key = Key::of(&object);
        let (context, writer) = context(&object, &users, &groups, namespaces)?;
        let connection = {
            let mut roster = context
                .roster
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            roster.appears(&key)
        };
        let post = context.post(&key);
        let (Some(connection), Some(post)) = (connection, post) else {
            return Err(unknown("nobody works on this connection"));
        };
        connection.set_spec(object.spec.clone());
        connection_status::remember(&object, &connection);
        // A plan that is held is not taken up as after a restart, when nobody is let go before it is whole again: the
        // operator runs, and who is held says so in their status (see `users`).
        let mut running = object.clone();
        if let Some(status) = &mut running.status {
            status.held_plan = None;
        }
        guard::restore(&running, &connection);
        connection.set_client(client.clone());
        let spec = &object.spec;
        let profile = Profile::resolve(spec.profile, &spec.attribute_mapping).map_err(|error| {
            let why = format!("spec.{error}");
            vec![Verdict::no(C::Valid, Reason::SpecInvalid, why)]
        })?;
        let mut memory = Memory::default();
        let seen = seen.filter(|seen| reads_alike(&seen.by, spec));
        match seen {
            None => {
                drop(listing(&context, &connection, &mut memory, &client, &profile, spec).await?)
            }
            Some(seen) => {
                *connection.directory() = seen.users.clone();
                memory.directory_verdict = seen.verdict.clone();
                let side = connection.group_side();
                *side.mirror() = seen.groups.clone();
                side.set_listed(seen.groups_listed.clone());
                side.set_echo(seen.members_echo);
            }
        }
        if context.has_groups(&key) && connection.group_side().listed() == Listed::NotYet {
            list_groups(&connection, &mut memory, &client, spec).await?;
        }
        let capabilities = match seen {
            None => client.discover().await.capabilities,
            Some(seen) => seen.capabilities.clone(),
        };
        let backend = connection.backend();
        let base = Base::of(&key, spec, profile, &capabilities, backend);
        let ready = Ready {
            client,
            base: Arc::new(base),
        };
        connection.set_phase(Phase::Ready(Arc::new(ready.clone())));
        Ok(Self {
            context,
            connection,
            ready,
            object,
            memory,
            held: post.held,
            users: writer,
            capabilities,
            left: HashMap::new(),
            is_guessed: !matches!(statuses, Statuses::OfCluster),
        })
    }
}

/// Whether what was read by one is what would be read by the other.
fn reads_alike(one: &ScimConnectionSpec, other: &ScimConnectionSpec) -> bool {
    one.endpoint == other.endpoint
        && one.profile == other.profile
        && one.attribute_mapping == other.attribute_mapping
        && one.dialect == other.dialect
}

fn unknown(why: &str) -> Trouble {
    vec![Verdict::unknown(C::Reachable, Reason::Unknown, why)]
}

type Filled = (Arc<Context>, reflector::store::Writer<KeptUser>);

fn context(
    object: &ScimConnection,
    users: &[ScimUser],
    groups: &[ScimGroup],
    namespaces: Vec<Namespace>,
) -> Result<Filled, Trouble> {
    let sets = LabelSets::default();
    let kept: Result<Vec<KeptUser>, _> = users
        .iter()
        .map(|user| KeptUser::new(user.clone(), None, &sets))
        .collect();
    let kept = kept.map_err(|_| unknown("a ScimUser cannot be kept"))?;
    let (users_known, writer) = filled(kept);
    // Whoever would be woken is not: each has one pass, in an order that is decided here.
    let wakers = Wakers {
        users: mpsc::unbounded().0,
        many_users: tokio::sync::mpsc::unbounded_channel().0,
        begun: Arc::new(Begun::default()),
        groups: mpsc::unbounded().0,
        members: tokio::sync::mpsc::unbounded_channel().0,
        connections: mpsc::unbounded().0,
        counts: tokio::sync::mpsc::unbounded_channel().0,
    };
    let stores = Stores {
        users: users_known,
        groups: filled(groups.iter().cloned()).0,
        connections: filled([object.clone()]).0,
        namespaces: filled(namespaces).0,
    };
    let client = nobody();
    let events = Events::start(client.clone());
    let context = Context::new(client, options(), stores, events, wakers);
    context.index(|index| users.iter().for_each(|user| drop(index.apply(user))));
    context.groups_index(|index| groups.iter().for_each(|group| index.apply(group)));
    context.user_pasts.all_listed();
    context.group_pasts.all_listed();
    Ok((Arc::new(context), writer))
}
