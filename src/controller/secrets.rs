//! Watches of the one Secret and the one CA bundle that each connection names: by name, so that no
//! permission to list Secrets is needed, and so that a rotation acts within a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use secrecy::{ExposeSecret, SecretSlice};
use tokio::sync::watch;

use crate::api::ScimConnection;
use crate::api::connection::CaBundleKind;
use crate::controller::index::Key;
use crate::controller::watched::is_forbidden;

/// The longest that a reconcile waits for the first sight of an object.
const FIRST_SIGHT: Duration = Duration::from_secs(10);

/// The role of the Secret that holds the token.
pub const TOKEN: &str = "token";

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
    Data(BTreeMap<String, Kept>),
}

/// A value of a Secret, or of a ConfigMap that may hold one by mistake: nothing prints it, and memory is wiped
/// when it goes.
#[derive(Clone)]
pub struct Kept(SecretSlice<u8>);

impl Kept {
    fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

struct Watch {
    target: (Kind, String),
    seen: watch::Receiver<Seen>,
    written: Written,
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

/// When the data of a watched object was last written, as far as that is known.
type Written = Arc<Mutex<Option<Timestamp>>>;

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

    /// When the data of the Secret was last written that holds the token of a connection.
    pub fn token_changed(&self, connection: &Key) -> Option<Timestamp> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = running.get(&(connection.clone(), TOKEN))?;
        *watch.written.lock().unwrap_or_else(PoisonError::into_inner)
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
        let written = Written::default();
        let noted = written.clone();
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
                    follow(api, &name, (sender, noted), changed, key, |secret| {
                        secret
                            .data
                            .unwrap_or_default()
                            .into_iter()
                            .map(|(k, v)| (k, Kept::new(v.0)))
                            .collect()
                    })
                    .await;
                }
                Kind::ConfigMap => {
                    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
                    follow(api, &name, (sender, noted), changed, key, |map| {
                        let text = map
                            .data
                            .unwrap_or_default()
                            .into_iter()
                            .map(|(k, v)| (k, Kept::new(v.into_bytes())));
                        text.chain(
                            map.binary_data
                                .unwrap_or_default()
                                .into_iter()
                                .map(|(k, v)| (k, Kept::new(v.0))),
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
            written,
            task: task.abort_handle(),
        };
        running.insert((connection.clone(), role), handle);
        seen
    }
}

async fn follow<K>(
    api: Api<K>,
    name: &str,
    (sender, written): (watch::Sender<Seen>, Written),
    (wake, hold): (UnboundedSender<ObjectRef<ScimConnection>>, Hold),
    key: Key,
    data: impl Fn(K) -> BTreeMap<String, Kept>,
) where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut sightings = std::pin::pin!(watcher::watch_object(api, name).default_backoff());
    while let Some(sighting) = sightings.next().await {
        let seen = match sighting {
            Ok(Some(object)) => {
                let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
                *written = last_written(object.meta());
                Seen::Data(data(object))
            }
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

/// When an object was last written to by anybody who writes its data; when it was made, where nobody says. A
/// label that the same hand changes counts as well, so it is a bound: the data is no newer.
fn last_written(meta: &ObjectMeta) -> Option<Timestamp> {
    let fields = meta.managed_fields.iter().flatten();
    let writers = fields.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.get("f:data").is_some())
    });
    let last = writers.filter_map(|entry| entry.time.as_ref()).max();
    last.or(meta.creation_timestamp.as_ref()).map(|time| time.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_data_is_as_old_as_the_last_write_of_whoever_writes_it() {
        let entry = |time: &str, fields: serde_json::Value| {
            json!({"manager": time, "operation": "Update", "apiVersion": "v1", "time": time,
                "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        let data = json!({"f:data": {"f:token": {}}});
        let label = json!({"f:metadata": {"f:labels": {"f:a": {}}}});
        let (made, old, new) = (
            "2026-01-01T00:00:00Z",
            "2026-02-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
        );
        for (fields, written, why) in [
            (
                vec![entry(old, data.clone()), entry(new, label.clone())],
                old,
                "another's label is no other token",
            ),
            (
                vec![entry(new, data.clone()), entry(old, data)],
                new,
                "the last of two",
            ),
            (vec![entry(new, label)], made, "nobody says who wrote it"),
            (vec![], made, "nothing is managed"),
        ] {
            let meta = json!({"creationTimestamp": made, "managedFields": fields});
            let meta: ObjectMeta = serde_json::from_value(meta).unwrap();
            assert_eq!(last_written(&meta), Some(written.parse().unwrap()), "{why}");
        }
    }
}
