//! Starts the watches and the two reconcilers, and ends them in order.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::Predicate;
use kube::runtime::controller::Config;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Client, Resource, ResourceExt};

use crate::api::{ScimConnection, ScimGroup, ScimUser};
use crate::controller::context::{Context, MemberChange, Options, Stores, Wakers};
use crate::controller::events::Events;
use crate::controller::figures::Figures;
use crate::controller::finalizer::Provisioned;
use crate::controller::group::index::{GroupIndex, connection_of};
use crate::controller::index::Key;
use crate::controller::kept::{KeptUser, LabelSets, keep};
use crate::controller::relist::Kind;
use crate::controller::waking::{Begun, wake_in_lots};
use crate::controller::{
    connection, finalizer, group, guard, passes, readable, refusal, scope, spread, user,
};

/// How often, at most, a connection counts its users again.
const RECOUNT: Duration = Duration::from_millis(500);
/// Reconciles at once: without a bound of its own, since each connection has one (`slots`). One bound for
/// all would let a connection that hangs hold back everybody else's (R25).
const AT_ONCE: u16 = 0;
/// How long changes of members are gathered before their groups look.
const GATHER: Duration = Duration::from_millis(250);

/// Runs the controllers until `shutdown`, then lets requests in flight finish.
pub async fn run(
    client: Client,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let shutdown = shutdown.shared();
    let stopped = shutdown.clone();
    let (wake_users, users_woken) = mpsc::unbounded();
    let (wake_groups, groups_woken) = mpsc::unbounded();
    let (wake_connections, connections_woken) = mpsc::unbounded();
    let (counts, counts_changed) = tokio::sync::mpsc::unbounded_channel();
    let (members, members_changed) = tokio::sync::mpsc::unbounded_channel();
    let (group_store, group_writer) = reflector::store::<ScimGroup>();
    let (user_store, user_writer) = reflector::store::<KeptUser>();
    let (store, writer) = reflector::store::<ScimConnection>();
    let (namespace_store, namespace_writer) = reflector::store::<Namespace>();
    let (many_users, many) = tokio::sync::mpsc::unbounded_channel();
    let begun = Arc::new(Begun::default());
    let lots = tokio::spawn(wake_in_lots(many, wake_users.clone(), begun.clone()));
    let wakers = Wakers {
        users: wake_users,
        many_users,
        begun,
        groups: wake_groups,
        members,
        connections: wake_connections.clone(),
        counts,
    };
    let events = match &options.seat {
        Some(seat) => Events::start(seat.api.clone()),
        None => Events::start(client.clone()),
    };
    let context = Arc::new(Context::new(
        client,
        options,
        Stores {
            users: user_store.clone(),
            groups: group_store.clone(),
            connections: store.clone(),
            namespaces: namespace_store.clone(),
        },
        events,
        wakers,
    ));

    context.options.metrics.add(Figures::of(&context));
    let namespaces_known = namespace_store.clone();
    let namespaces = tokio::spawn(namespaces(namespace_writer, context.clone()));
    let recounts = tokio::spawn(recounts(counts_changed, wake_connections));
    let kinds = tokio::spawn(kinds(context.clone()));
    let gathered = tokio::spawn(gather(members_changed, context.clone()));

    // Labels of namespaces decide who may use a connection: nobody is judged before they are known.
    let stopping = shutdown.clone();
    tokio::select! {
        _ = namespaces_known.wait_until_ready() => {}
        () = stopping => return,
    }

    let (indexed, known) = (context.clone(), context.clone());
    let (kept, sets) = (user_store.clone(), LabelSets::default());
    let watch = readable::watch::<ScimUser>(&context, Kind::Users, move |key| {
        known.user(key).map(Arc::unwrap_or_clone)
    })
    .default_backoff()
    .inspect(move |event| index(&indexed, event))
    .filter_map(move |event| std::future::ready(keep(event, &kept, &sets)))
    .reflect(user_writer)
    .inspect(listed_whole(&context, Kind::Users))
    .inspect(wake_the_listed(&context))
    .touched_objects()
    .filter(|user| std::future::ready(user.as_ref().map_or(true, |user| user.is_news)));
    let user_known = user_store.clone();
    let users = Controller::for_stream(watch, user_store)
        .with_config(Config::default().concurrency(AT_ONCE))
        .reconcile_on(users_woken)
        .graceful_shutdown_on(shutdown.clone())
        .run(passes::user, user::on_error, context.clone())
        .for_each(|_| std::future::ready(()));

    let indexed = context.clone();
    let known = group_store.clone();
    let watch = readable::watch::<ScimGroup>(&context, Kind::Groups, stored(known))
        .default_backoff()
        .inspect(move |event| index_group(&indexed, event))
        .reflect(group_writer)
        .inspect(listed_whole(&context, Kind::Groups))
        .touched_objects()
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(group_lost_our_finalizer),
            PredicateConfig::default(),
        );
    let group_known = group_store.clone();
    let groups = Controller::for_stream(watch, group_store)
        .with_config(Config::default().concurrency(AT_ONCE))
        .reconcile_on(groups_woken)
        .graceful_shutdown_on(shutdown.clone())
        .run(passes::group, group::on_error, context.clone())
        .for_each(|_| std::future::ready(()));

    let forgetting = context.clone();
    let mut listed = HashSet::new();
    let watch =
        readable::watch::<ScimConnection>(&context, Kind::Connections, stored(store.clone()))
            .default_backoff()
            .inspect(move |event| match event {
                Ok(watcher::Event::Delete(gone)) => forgetting.forget_connection(&Key::of(gone)),
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(there)) => {
                    listed.insert(Key::of(there));
                    forgetting.connection_appears(&Key::of(there));
                }
                Ok(watcher::Event::Apply(there)) => {
                    let connection = forgetting.connection_appears(&Key::of(there));
                    let connection =
                        connection.filter(|c| c.spec().is_some_and(|old| old != there.spec));
                    if let Some(connection) = connection {
                        // At once, whatever its reconciler does: a listing may take an hour.
                        connection.hold();
                    }
                }
                // What went while the watch was down sent no event.
                Ok(watcher::Event::InitDone) => {
                    forgetting.keep_connections(&listed);
                    // A pass may have run on what the store had before this listing was whole.
                    listed
                        .iter()
                        .for_each(|key| forgetting.wake_connection(key));
                }
                _ => {}
            })
            .reflect(writer)
            .inspect(listed_whole(&context, Kind::Connections))
            .touched_objects()
            .predicate_filter(
                predicates::generation.combine(predicates::annotations),
                PredicateConfig::default(),
            );
    let connection_known = store.clone();
    let connections = Controller::for_stream(watch, store)
        .reconcile_on(connections_woken)
        .graceful_shutdown_on(shutdown.clone())
        .run(passes::connection, connection::on_error, context.clone())
        .for_each(|_| std::future::ready(()));

    // A controller whose watch never came up has nothing to drain, and would wait for ever.
    let up = (user_known, group_known, connection_known);
    let users = drained(
        users,
        async move { up.0.wait_until_ready().await.is_ok() },
        stopped.clone(),
    );
    let groups = drained(
        groups,
        async move { up.1.wait_until_ready().await.is_ok() },
        stopped.clone(),
    );
    let connections = drained(
        connections,
        async move { up.2.wait_until_ready().await.is_ok() },
        stopped.clone(),
    );
    let stop = async {
        stopped.await;
        context.stop();
    };
    let work = futures::future::join4(users, groups, connections, stop);
    match &context.options.seat {
        None => drop(work.await),
        Some(seat) => {
            let shares = spread::spread(&context, seat, shutdown);
            let (mut work, mut shares) = (std::pin::pin!(work), std::pin::pin!(shares));
            tokio::select! {
                _ = &mut work => shares.await,
                // All leases are given back, or waited out by others: what still waits waits in vain.
                () = &mut shares => {}
            }
        }
    }
    namespaces.abort();
    recounts.abort();
    kinds.abort();
    gathered.abort();
    lots.abort();
}

/// Notes that a listing is whole, and in the store.
fn listed_whole<K>(context: &Arc<Context>, kind: Kind) -> impl FnMut(&Seen<K>) + use<K> {
    let relists = context.relists.clone();
    move |event| {
        if let Ok(watcher::Event::InitDone) = event {
            relists.is_done(kind);
        }
    }
}

/// Wakes everybody once a listing is whole, and in the store: a pass may have run on what that had before.
fn wake_the_listed(context: &Arc<Context>) -> impl FnMut(&Seen<KeptUser>) + use<> {
    let context = context.clone();
    move |event| {
        if let Ok(watcher::Event::InitDone) = event {
            context.wake_users(context.index(|index| index.all()));
        }
    }
}

/// What a watch has seen.
type Seen<K> = Result<watcher::Event<K>, watcher::Error>;

/// Runs a controller to its end: until it has drained, or at once when the end comes before its watch
/// was `up`.
async fn drained(
    controller: impl Future<Output = ()>,
    up: impl Future<Output = bool>,
    stopped: impl Future<Output = ()>,
) {
    let hopeless = async {
        let came_up = tokio::select! {
            up = up => up,
            () = stopped => false,
        };
        if came_up {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = controller => {}
        () = hopeless => {}
    }
}

/// What a store has of an object.
fn stored<K>(store: reflector::Store<K>) -> impl Fn(&Key) -> Option<K>
where
    K: reflector::Lookup<DynamicType = ()> + Clone + 'static,
{
    move |key| store.get(&key.reference()).map(Arc::unwrap_or_clone)
}

/// Our finalizer was taken off by somebody else: it has to be put on again. That we put it on
/// ourselves is no news.
fn group_lost_our_finalizer(group: &ScimGroup) -> Option<u64> {
    let known = group
        .status
        .as_ref()
        .is_some_and(|s| s.observed_generation.is_some());
    Some(u64::from(known && !finalizer::is_bound(group)))
}

/// Notes of an object that it is new: what the watch knew before, `store` still has. Not where another replica
/// may have begun something for it already.
fn met<K, B>(context: &Context, store: &Store<B>, object: &K, connection: &Key)
where
    K: Provisioned,
    B: Resource<DynamicType = ()> + Clone,
{
    if context.options.seat.is_some() && context.connection(connection).is_none() {
        return;
    }
    let before = store.get(&Key::of(object).reference());
    let uid = &object.meta().uid;
    if before.is_none_or(|before| before.meta().uid != *uid) {
        K::pasts(context).came(uid.as_deref().unwrap_or_default());
    }
}

fn index(context: &Context, event: &Result<watcher::Event<ScimUser>, watcher::Error>) {
    use watcher::Event;
    let woken = match event {
        Ok(Event::Init) => {
            context.index(crate::controller::index::Index::begin);
            Vec::new()
        }
        Ok(Event::InitDone) => {
            // What went while the watch was down sent no event to the groups it was in.
            context.wake_groups(context.groups.state().iter().map(|group| Key::of(&**group)));
            let woken = context.index(crate::controller::index::Index::finish);
            context.user_pasts.all_listed();
            context.forget_the_gone();
            // Where there is nobody, nobody's outcome would have it counted.
            context.recount_all();
            woken
        }
        Ok(Event::InitApply(user)) => {
            met(context, &context.users, user, &Key::connection_of(user));
            context.index(|index| index.apply(user))
        }
        Ok(Event::Apply(user)) => {
            met(context, &context.users, user, &Key::connection_of(user));
            followed_by_groups(context, user);
            context.index(|index| index.apply(user))
        }
        Ok(Event::Delete(user)) => {
            followed_by_groups(context, user);
            let key = Key::of(user);
            let connection = Key::connection_of(user);
            if let Some(connection) = context.connection(&connection) {
                guard::withdraw(&connection, &key, &user.uid().unwrap_or_default());
                connection.user_slots.leave(&key);
                connection.note(&key, None);
                // A connection that is going may have waited for this one. Also where nothing was noted of
                // it: after a restart the others are all there are now.
                context.recount(&connection.key);
            }
            context.forget_user(&user.uid().unwrap_or_default());
            context.index(|index| index.remove(&key))
        }
        Err(error) => {
            refusal::interrupted("ScimUsers", error);
            Vec::new()
        }
    };
    context.wake_users(woken);
}

/// Tells the groups of a user that is new, gone, going, or labelled otherwise than before. The store
/// still has what was before.
fn followed_by_groups(context: &Context, user: &ScimUser) {
    let before = context.kept(&Key::of(user));
    let going = user.metadata.deletion_timestamp.is_some();
    let same = before
        .as_ref()
        .is_some_and(|before| before.labels() == user.labels() && before.is_going == going);
    if same && !going {
        return;
    }
    let mut labels = vec![user.labels().clone()];
    labels.extend(before.map(|before| before.labels().clone()));
    context.member_changed(MemberChange {
        connection: Key::connection_of(user),
        user: Key::of(user),
        labels,
    });
}

fn index_group(context: &Context, event: &Result<watcher::Event<ScimGroup>, watcher::Error>) {
    use watcher::Event;
    match event {
        Ok(Event::Init) => context.groups_index(GroupIndex::begin),
        Ok(Event::InitDone) => {
            context.groups_index(GroupIndex::finish);
            context.group_pasts.all_listed();
            context.recount_all();
            context.wake_groups(context.groups_index(|index| index.all()));
        }
        Ok(Event::Apply(group) | Event::InitApply(group)) => {
            met(context, &context.groups, group, &connection_of(group));
            context.groups_index(|index| index.apply(group));
        }
        Ok(Event::Delete(group)) => {
            let key = Key::of(group);
            if let Some(connection) = context.connection(&connection_of(group)) {
                connection.note_group(&key, None);
                connection.group_slots.leave(&key);
                context.recount(&connection.key);
            }
            context.forget_group(&group.uid().unwrap_or_default());
            context.groups_index(|index| index.remove(&key));
        }
        Err(error) => refusal::interrupted("ScimGroups", error),
    }
}

/// Wakes the groups of users that changed, those of a moment together.
async fn gather(
    mut changed: tokio::sync::mpsc::UnboundedReceiver<MemberChange>,
    context: Arc<Context>,
) {
    while let Some(first) = changed.recv().await {
        tokio::time::sleep(GATHER).await;
        let mut woken = HashSet::new();
        let mut next = Some(first);
        while let Some(change) = next {
            let MemberChange {
                connection,
                user,
                labels,
            } = change;
            woken.extend(
                context.groups_index(|index| index.that_may_have(&connection, &user, &labels)),
            );
            next = changed.try_recv().ok();
        }
        context.wake_groups(woken);
    }
}

async fn namespaces(writer: reflector::store::Writer<Namespace>, context: Arc<Context>) {
    let mut seen = std::collections::HashMap::new();
    let watched = &context.options.watched;
    let watch = watched
        .watch_namespaces(&context.client)
        .default_backoff()
        .modify(|n| n.managed_fields_mut().clear())
        .reflect(writer)
        .inspect(|event| match event {
            // A pass may have run on what the store had before this listing was whole.
            Ok(watcher::Event::InitDone) => {
                context.wake_users(context.index(|index| index.all()));
                context.wake_groups(context.groups_index(|index| index.all()));
            }
            Err(error) => refusal::interrupted("Namespaces", error),
            _ => {}
        })
        .touched_objects();
    let mut watch = std::pin::pin!(watch);
    while let Some(namespace) = watch.next().await {
        let Ok(namespace) = namespace else { continue };
        let name = namespace.name_any();
        let (labels, ends) = (namespace.labels().clone(), scope::ends(&namespace));
        let before = seen.insert(name.clone(), (labels.clone(), ends));
        if ends && before.as_ref().is_none_or(|(_, ended)| !ended) {
            context.wake_namespace(&name);
        }
        if before.is_none_or(|(old, _)| old != labels) {
            // Labels decide who may use a connection by selector, and so who claims a person.
            context.wake_users(context.index(|index| index.touched_by_namespace(&name)));
            context.wake_groups(context.groups.state().iter().map(|group| Key::of(&**group)));
        }
    }
}

/// Watches whether our kinds end.
async fn kinds(context: Arc<Context>) {
    let users = scope::watch_kind::<ScimUser>(&context, || {
        context.wake_users(context.index(|index| index.all()));
    });
    let groups = scope::watch_kind::<ScimGroup>(&context, || {
        context.wake_groups(context.groups_index(|index| index.all()));
    });
    let connections = scope::watch_kind::<ScimConnection>(&context, || context.wake_connections());
    futures::future::join3(users, groups, connections).await;
}

async fn recounts(
    mut changed: tokio::sync::mpsc::UnboundedReceiver<Key>,
    wake: mpsc::UnboundedSender<ObjectRef<ScimConnection>>,
) {
    while let Some(first) = changed.recv().await {
        tokio::time::sleep(RECOUNT).await;
        let mut keys = HashSet::from([first]);
        while let Ok(key) = changed.try_recv() {
            keys.insert(key);
        }
        for key in keys {
            let _ = wake.unbounded_send(key.reference());
        }
    }
}
