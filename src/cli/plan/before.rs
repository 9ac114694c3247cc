//! What was declared before, as a second set of manifests, where no cluster is asked.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::gather::{Declared, Key, Prune};
use crate::api::ScimConnection;
use crate::cli::manifests::Manifests;
use crate::cli::validate::objects::ApiServer;
use crate::controller::preview::Before;

impl Declared {
    /// A cluster in which these are, as far as the API server would have taken them.
    pub fn from_before(manifests: &Manifests, usual: &str, api: &ApiServer) -> Self {
        let mut before = Self::default();
        before.overlay(manifests, usual, api);
        let users = before.users.values_mut().map(|user| &mut user.metadata);
        let groups = before.groups.values_mut();
        users
            .chain(groups.map(|group| &mut group.metadata))
            .for_each(is_older);
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
        if self.before.is_none() {
            return;
        }
        self.prune(&Prune {
            labels: Default::default(),
            everywhere: true,
        });
        let connections = self.before.iter().flat_map(|before| &before.connections);
        let told = connections.filter_map(|(key, before)| {
            let name = format!("ScimConnection {}/{}", key.0, key.1);
            if !self.places.contains_key(&("ScimConnection", key.clone())) {
                return Some(format!(
                    "{name} is not declared any more, and counts as still there"
                ));
            }
            let now = self.connections.get(key)?;
            (!is_same(before, now)).then(|| {
                format!(
                    "{name} led to another endpoint before: who was in it there is not looked at"
                )
            })
        });
        let told: Vec<String> = told.collect();
        self.unseen.extend(told);
    }

    /// What was declared before of a connection, if it led to the same backend.
    pub fn before_of(&self, key: &Key, now: &ScimConnection) -> Option<Box<Before>> {
        let before = self.before.as_ref()?;
        let connection = before.connections.get(key)?;
        is_same(connection, now).then(|| {
            Box::new(Before {
                connection: connection.clone(),
                users: before.users.values().cloned().collect(),
                groups: before.groups.values().cloned().collect(),
                namespaces: before.namespaces.clone(),
            })
        })
    }
}

/// Whether both lead to one backend.
fn is_same(one: &ScimConnection, other: &ScimConnection) -> bool {
    one.spec.endpoint == other.spec.endpoint
}

/// Than whatever the change brings.
fn is_older(meta: &mut ObjectMeta) {
    meta.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
}
