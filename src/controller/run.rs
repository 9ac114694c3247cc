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
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Controller, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, ResourceExt};

use crate::api::{ScimConnection, ScimUser};
use crate::controller::context::{Context, Options, Wakers};
use crate::controller::events::Events;
use crate::controller::index::Key;
use crate::controller::{connection, user};

/// How often, at most, a connection counts its users again.
const RECOUNT: Duration = Duration::from_millis(500);
/// Reconciles of users at once. Each waits for its connection's own limiter, so that a connection
/// that hangs holds back nobody else's (R25); the bound is against memory, not speed.
const USERS_AT_ONCE: u16 = 2048;

/// Runs both controllers until `shutdown`, then lets requests in flight finish.
pub async fn run(
    client: Client,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let shutdown = shutdown.shared();
    let stopped = shutdown.clone();
    let (wake_users, users_woken) = mpsc::unbounded();
    let (wake_connections, connections_woken) = mpsc::unbounded();
    let (counts, counts_changed) = tokio::sync::mpsc::unbounded_channel();
    let (user_store, user_writer) = reflector::store::<ScimUser>();
    let (namespace_store, namespace_writer) = reflector::store::<Namespace>();
    let wakers = Wakers {
        users: wake_users,
        connections: wake_connections.clone(),
        counts,
    };
    let events = Events::start(client.clone());
    let context = Arc::new(Context::new(
        client.clone(),
        options,
        user_store.clone(),
        namespace_store,
        events,
        wakers,
    ));

    let namespaces = tokio::spawn(namespaces(
        client.clone(),
        namespace_writer,
        context.clone(),
    ));
    let recounts = tokio::spawn(recounts(counts_changed, wake_connections));

    let indexed = context.clone();
    let watch = watcher(
        Api::<ScimUser>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .modify(|user| user.managed_fields_mut().clear())
    .inspect(move |event| index(&indexed, event))
    .reflect(user_writer)
    .touched_objects()
    .predicate_filter(
        predicates::generation
            .combine(predicates::annotations)
            .combine(predicates::finalizers),
        PredicateConfig::default(),
    );
    let users = Controller::for_stream(watch, user_store)
        .with_config(Config::default().concurrency(USERS_AT_ONCE))
        .reconcile_on(users_woken)
        .graceful_shutdown_on(shutdown.clone())
        .run(user::reconcile, user::on_error, context.clone())
        .for_each(|_| std::future::ready(()));

    let (store, writer) = reflector::store::<ScimConnection>();
    let forgetting = context.clone();
    let mut listed = HashSet::new();
    let watch = watcher(
        Api::<ScimConnection>::all(client),
        watcher::Config::default(),
    )
    .default_backoff()
    .modify(|connection| connection.managed_fields_mut().clear())
    .inspect(move |event| match event {
        Ok(watcher::Event::Delete(gone)) => forgetting.forget_connection(&Key::of(gone)),
        Ok(watcher::Event::Init) => listed.clear(),
        Ok(watcher::Event::InitApply(there)) => {
            listed.insert(Key::of(there));
            forgetting.connection_or_new(&Key::of(there));
        }
        Ok(watcher::Event::Apply(there)) => {
            forgetting.connection_or_new(&Key::of(there));
        }
        // What went while the watch was down sent no event.
        Ok(watcher::Event::InitDone) => forgetting.keep_connections(&listed),
        _ => {}
    })
    .reflect(writer)
    .touched_objects()
    .predicate_filter(
        predicates::generation.combine(predicates::annotations),
        PredicateConfig::default(),
    );
    let connections = Controller::for_stream(watch, store)
        .reconcile_on(connections_woken)
        .graceful_shutdown_on(shutdown)
        .run(connection::reconcile, connection::on_error, context.clone())
        .for_each(|_| std::future::ready(()));

    let drained = futures::future::join(users, connections);
    let stop = async {
        stopped.await;
        context.stop();
    };
    futures::future::join(drained, stop).await;
    namespaces.abort();
    recounts.abort();
}

fn index(context: &Context, event: &Result<watcher::Event<ScimUser>, watcher::Error>) {
    use watcher::Event;
    let woken = match event {
        Ok(Event::Init) => {
            context.index(crate::controller::index::Index::begin);
            Vec::new()
        }
        Ok(Event::InitDone) => context.index(crate::controller::index::Index::finish),
        Ok(Event::Apply(user) | Event::InitApply(user)) => context.index(|index| index.apply(user)),
        Ok(Event::Delete(user)) => {
            let key = Key::of(user);
            let connection = Key::connection_of(user);
            if let Some(connection) = context.connection(&connection)
                && connection.note(&key, None)
            {
                context.recount(&connection.key);
            }
            context.forget_user(&user.uid().unwrap_or_default());
            context.index(|index| index.remove(&key))
        }
        Err(error) => {
            tracing::warn!(%error, "the watch of ScimUsers was interrupted");
            Vec::new()
        }
    };
    context.wake_users(woken);
}

async fn namespaces(
    client: Client,
    writer: reflector::store::Writer<Namespace>,
    context: Arc<Context>,
) {
    let mut seen = std::collections::HashMap::new();
    let watch = watcher(Api::<Namespace>::all(client), watcher::Config::default())
        .default_backoff()
        .modify(|n| n.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let mut watch = std::pin::pin!(watch);
    while let Some(namespace) = watch.next().await {
        let Ok(namespace) = namespace else { continue };
        let labels = namespace.labels().clone();
        if seen
            .insert(namespace.name_any(), labels.clone())
            .is_none_or(|old| old != labels)
        {
            // Labels decide who may use a connection by selector, and so who claims a person.
            let name = namespace.name_any();
            context.wake_users(context.index(|index| index.touched_by_namespace(&name)));
        }
    }
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
            let _ = wake.unbounded_send(ObjectRef::new(&key.name).within(&key.namespace));
        }
    }
}
