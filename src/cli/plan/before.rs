//! What was declared before, as a second set of manifests, where no cluster is asked.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

use super::gather::{Declared, Key, Prune};
use super::namespaces;
use crate::api::{FINALIZER, ScimConnection};
use crate::cli::manifests::Manifests;
use crate::cli::validate::objects::ApiServer;
use crate::controller::preview::{Before, Statuses};
use crate::domain::names;
use crate::domain::profile::Profile;

impl Declared {
    /// A cluster in which these are, as far as the API server would have taken them.
    pub fn from_before(manifests: &Manifests, usual: &str, api: &ApiServer) -> Self {
        let mut before = Self::default();
        before.overlay(manifests, usual, api);
        let users = before.users.values_mut().map(|user| &mut user.metadata);
        let groups = before.groups.values_mut();
        users
            .chain(groups.map(|group| &mut group.metadata))
            .for_each(was_applied);
        let mut after = Self {
            connections: before.connections.clone(),
            users: before.users.clone(),
            groups: before.groups.clone(),
            namespaces: before.namespaces.clone(),
            ..Self::default()
        };
        if let Some(first) = before.unreadable.first() {
            let more = match before.unreadable.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            after.unseen.push(format!(
                "--before: what cannot be applied counts as not there: {first}{more}"
            ));
        }
        after.before = Some(Box::new(before));
        after
    }

    /// Takes away the users and groups that are not declared any more, and says what else is not.
    pub fn prune_undeclared(&mut self) {
        let Some(before) = &self.before else {
            return;
        };
        let told = self.not_declared_any_more(before);
        self.unseen.extend(told);
        self.prune(&Prune {
            labels: Default::default(),
            everywhere: true,
        });
    }

    /// What there was besides users and groups and is not any more, or is another, as sentences.
    fn not_declared_any_more(&self, before: &Self) -> Vec<String> {
        let all = before.connections.keys().chain(self.connections.keys());
        let all: BTreeSet<&Key> = all.collect();
        let told = all.into_iter().filter_map(|key| {
            let is_declared = self.places.contains_key(&("ScimConnection", key.clone()));
            let was = before.connections.get(key);
            let is_elsewhere = was
                .zip(self.connections.get(key))
                .is_some_and(|(was, now)| !is_same(was, now));
            let what = match (was, is_declared) {
                (Some(_), false) => "is not declared any more, and counts as still there",
                (None, _) => {
                    "was not declared before: whose account is whose is told by marks alone"
                }
                (Some(was), _) if is_faulty(was) => {
                    "could not be worked with before: whose account is whose is told by marks alone"
                }
                _ if is_elsewhere => {
                    "led to another endpoint before: whose account is whose is told by marks alone"
                }
                _ => return None,
            };
            Some(format!("ScimConnection {}/{} {what}", key.0, key.1))
        });
        let gone = before.namespaces.iter().map(ResourceExt::name_any);
        let gone = gone.filter(|name| !self.declared_namespaces.contains(name));
        let gone = gone.map(|name| {
            format!("Namespace {name} is not declared any more, and counts as still there: who is deleted with a namespace is held for approval")
        });
        told.chain(gone).collect()
    }

    /// What tells what came of the resources of a connection.
    pub fn statuses(&self, key: &Key, now: &ScimConnection) -> Statuses {
        let Some(before) = &self.before else {
            return match self.is_of_cluster {
                true => Statuses::OfCluster,
                false => Statuses::Unknown,
            };
        };
        let connection = before.connections.get(key);
        let is_usable = |before: &&ScimConnection| is_same(before, now) && !is_faulty(before);
        let Some(connection) = connection.filter(is_usable) else {
            return Statuses::Unknown;
        };
        let namespaces = namespaces::of(&before.namespaces, false, connection, &before.used(key));
        Statuses::AsApplied(Box::new(Before {
            connection: connection.clone(),
            users: before.users.values().cloned().collect(),
            groups: before.groups.values().cloned().collect(),
            namespaces,
        }))
    }

    /// Says whose labels are not known where they decide.
    pub fn tell_unknown_namespaces(&mut self, key: &Key) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        let used = self.used(key);
        let all = self.knows_namespaces;
        let unknown = namespaces::unknown(&self.namespaces, all, connection, &used);
        if !unknown.is_empty() {
            let told = format!(
                "ScimConnection {}/{} lets namespaces in by labels, and those of {} are not known here: it counts as letting them in",
                key.0,
                key.1,
                unknown.join(", ")
            );
            self.unseen.push(told);
        }
    }

    /// Whether what it lacks of labels and annotations was taken away: who applies a change takes away what they have
    /// set. Whoever set what a cluster has is not known.
    pub fn is_applied_by_who_applied_before(&self) -> bool {
        self.before.is_some()
    }
}

/// Whether both lead to one backend.
fn is_same(one: &ScimConnection, other: &ScimConnection) -> bool {
    names::endpoint_hash(&one.spec.endpoint) == names::endpoint_hash(&other.spec.endpoint)
}

/// Whether its mapping of attributes fits no profile, so that nothing ever came of it.
fn is_faulty(connection: &ScimConnection) -> bool {
    let spec = &connection.spec;
    Profile::resolve(spec.profile, &spec.attribute_mapping).is_err()
}

/// It is older than whatever the change brings, and the operator has begun to work on it.
fn was_applied(meta: &mut ObjectMeta) {
    meta.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let finalizers = meta.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|known| known == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
}
