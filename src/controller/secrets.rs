//! Watches of the one Secret and the one CA bundle that each connection names: by name, so that no
//! permission to list Secrets is needed, and so that a rotation acts within a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::api::ScimConnection;
use crate::api::connection::CaBundleKind;
use crate::controller::index::Key;
use crate::controller::watched::is_forbidden;

/// The longest that a reconcile waits for the first sight of an object.
const FIRST_SIGHT: Duration = Duration::from_secs(10);

/// What is known of a watched object.
#[derive(Clone, PartialEq)]
pub enum Seen {
    /// Nothing yet.
    NotYet,
    /// It is not there.
    Absent,
    /// The API server does not let us look: the chart's `secretAccess` lacks the namespace.
    Forbidden,
    /// Its data.
    Data(BTreeMap<String, Vec<u8>>),
}

struct Watch {
    target: (Kind, String),
    seen: watch::Receiver<Seen>,
    task: tokio::task::AbortHandle,
}

/// What a connection watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl From<CaBundleKind> for Kind {
    fn from(kind: CaBundleKind) -> Self {
        match kind {
            CaBundleKind::ConfigMap => Self::ConfigMap,
            CaBundleKind::Secret => Self::Secret,
        }
    }
}

/// Ends what a connection does with what it knew before.
pub type Hold = Arc<dyn Fn(&Key) + Send + Sync>;

/// The watches of all connections.
pub struct Watches {
    client: Client,
    wake: UnboundedSender<ObjectRef<ScimConnection>>,
    hold: Hold,
    running: Mutex<HashMap<(Key, &'static str), Watch>>,
}

impl Watches {
    /// No watches yet.
    pub fn new(
        client: Client,
        wake: UnboundedSender<ObjectRef<ScimConnection>>,
        hold: Hold,
    ) -> Self {
        Self {
            client,
            wake,
            hold,
            running: Mutex::default(),
        }
    }

    /// The object's data as last seen; starts the watch when there is none, or of another object.
    pub async fn read(&self, connection: &Key, role: &'static str, kind: Kind, name: &str) -> Seen {
        let mut seen = self.watch(connection, role, kind, name);
        let first = tokio::time::timeout(FIRST_SIGHT, seen.wait_for(|s| *s != Seen::NotYet)).await;
        match first {
            Ok(Ok(data)) => data.clone(),
            _ => Seen::NotYet,
        }
    }

    /// Stops the watches of a connection.
    pub fn stop(&self, connection: &Key) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(key, _), watch| {
            if key == connection {
                watch.task.abort();
            }
            key != connection
        });
    }

    fn watch(
        &self,
        connection: &Key,
        role: &'static str,
        kind: Kind,
        name: &str,
    ) -> watch::Receiver<Seen> {
        let target = (kind, name.to_owned());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = running.get(&(connection.clone(), role)) {
            if known.target == target && !known.task.is_finished() {
                return known.seen.clone();
            }
            known.task.abort();
        }
        let (sender, seen) = watch::channel(Seen::NotYet);
        let (client, changed, key, name) = (
            self.client.clone(),
            (self.wake.clone(), self.hold.clone()),
            connection.clone(),
            name.to_owned(),
        );
        let task = tokio::spawn(async move {
            let namespace = key.namespace.clone();
            match kind {
                Kind::Secret => {
                    let api: Api<Secret> = Api::namespaced(client, &namespace);
                    follow(api, &name, sender, changed, key, |secret| {
                        secret
                            .data
                            .unwrap_or_default()
                            .into_iter()
                            .map(|(k, v)| (k, v.0))
                            .collect()
                    })
                    .await;
                }
                Kind::ConfigMap => {
                    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
                    follow(api, &name, sender, changed, key, |map| {
                        let text = map
                            .data
                            .unwrap_or_default()
                            .into_iter()
                            .map(|(k, v)| (k, v.into_bytes()));
                        text.chain(
                            map.binary_data
                                .unwrap_or_default()
                                .into_iter()
                                .map(|(k, v)| (k, v.0)),
                        )
                        .collect()
                    })
                    .await;
                }
            }
        });
        let handle = Watch {
            target,
            seen: seen.clone(),
            task: task.abort_handle(),
        };
        running.insert((connection.clone(), role), handle);
        seen
    }
}

async fn follow<K>(
    api: Api<K>,
    name: &str,
    sender: watch::Sender<Seen>,
    (wake, hold): (UnboundedSender<ObjectRef<ScimConnection>>, Hold),
    key: Key,
    data: impl Fn(K) -> BTreeMap<String, Vec<u8>>,
) where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut sightings = std::pin::pin!(watcher::watch_object(api, name).default_backoff());
    while let Some(sighting) = sightings.next().await {
        let seen = match sighting {
            Ok(Some(object)) => Seen::Data(data(object)),
            Ok(None) => Seen::Absent,
            Err(error) if is_forbidden(&error) => Seen::Forbidden,
            // Anything else passes; what was last seen still holds.
            Err(_) => continue,
        };
        let mut first = false;
        let changed = sender.send_if_modified(|last| {
            let changed = *last != seen;
            first = *last == Seen::NotYet;
            *last = seen;
            changed
        });
        if changed && !first {
            hold(&key);
        }
        if changed {
            let _ = wake.unbounded_send(key.reference());
        }
    }
}
