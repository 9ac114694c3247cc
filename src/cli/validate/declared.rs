//! What the manifests declare together: resources by key, and the connections that they go by.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finding::{Fault, FieldPath};
use super::objects::Spec;
use crate::api::connection::{Profile as ProfileName, ScimConnectionSpec};
use crate::api::{ConnectionRef, ScimGroupSpec, ScimUserSpec, UserRef};
use crate::cli::manifests::Manifest;
use crate::domain::allowed::lets_in;
use crate::domain::names;
use crate::domain::profile::Profile;

/// Namespace and name.
pub type Key = (String, String);

/// A key as messages spell it.
pub fn spelt((namespace, name): &Key) -> String {
    format!("{namespace}/{name}")
}

/// A resource whose spec can be read, and the manifest that has it.
pub struct Resource<'a, S> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Which of the manifests, from 0.
    pub at: usize,
    /// Namespace and name.
    pub key: Key,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its spec, with defaults.
    pub spec: S,
}

/// A connection that is declared.
pub struct Connection {
    /// Its spec.
    pub spec: ScimConnectionSpec,
    /// Its mark on accounts.
    pub owner_id: String,
    /// Its table of attributes; none where its mapping cannot be used.
    pub profile: Option<Profile>,
}

/// Everything that is declared.
#[derive(Default)]
pub struct Declared<'a> {
    /// The connections that can be read.
    pub connections: BTreeMap<Key, Connection>,
    /// The names of all connections, those among them that cannot be read.
    pub connection_names: BTreeSet<Key>,
    /// The users that can be read.
    pub users: Vec<Resource<'a, ScimUserSpec>>,
    /// The names of all users, with the connection of those that can be read.
    pub user_names: BTreeMap<Key, Option<Key>>,
    /// The groups that can be read.
    pub groups: Vec<Resource<'a, ScimGroupSpec>>,
    /// Labels of the namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Secrets in plain sight.
    pub secrets: Vec<(usize, &'a Manifest, Key)>,
}

impl<'a> Declared<'a> {
    /// Takes in an object that is not ours.
    pub fn take_foreign(&mut self, at: usize, manifest: &'a Manifest, usual: &str) {
        match (manifest.api_version(), manifest.kind()) {
            ("v1", "Namespace") => {
                self.namespaces
                    .insert(manifest.name().to_owned(), labels(manifest));
            }
            ("v1", "Secret") => self.secrets.push((at, manifest, key(manifest, usual))),
            _ => {}
        }
    }

    /// Takes in an object of ours, and says what is wrong with a connection's mapping.
    pub fn take(
        &mut self,
        at: usize,
        manifest: &'a Manifest,
        usual: &str,
        spec: Option<Spec>,
    ) -> Option<Fault> {
        let key = key(manifest, usual);
        match manifest.kind() {
            "ScimConnection" => {
                self.connection_names.insert(key.clone());
            }
            "ScimUser" => {
                self.user_names.entry(key.clone()).or_default();
            }
            _ => {}
        }
        match spec? {
            Spec::Connection(spec) => return self.take_connection(key, *spec),
            Spec::User(spec) => {
                let connection = connection_of(&spec.connection_ref, &key.0);
                self.user_names.insert(key.clone(), Some(connection));
                self.users.push(resource(at, manifest, key, *spec));
            }
            Spec::Group(spec) => self.groups.push(resource(at, manifest, key, *spec)),
        }
        None
    }

    fn take_connection(&mut self, key: Key, spec: ScimConnectionSpec) -> Option<Fault> {
        let resolved = Profile::resolve(spec.profile, &spec.attribute_mapping);
        let fault = resolved.as_ref().err().map(|error| {
            // It names attributes, never values: `attributeMapping[city].path: …`.
            let told = error.to_string();
            let (field, why) = told.split_once(": ").unwrap_or(("attributeMapping", &told));
            Fault::error(
                FieldPath::spelt(&format!("spec.{field}")),
                "profile/mapping",
                why,
            )
        });
        let connection = Connection {
            owner_id: names::owner_id(spec.owner_id.as_deref(), &key.0, &key.1),
            profile: resolved.ok(),
            spec,
        };
        self.connections.insert(key, connection);
        fault
    }

    /// Whether a connection lets a namespace in; `None` where the namespace's labels decide, and are not known.
    pub fn lets_in(&self, connection: &Connection, home: &str, namespace: &str) -> Option<bool> {
        let allowed = &connection.spec.allowed_namespaces;
        lets_in(allowed, home, namespace, self.namespaces.get(namespace))
    }
}

/// The profile that is meant where the connection is not known.
pub fn usual_profile(name: ProfileName) -> Option<Profile> {
    Profile::resolve(name, &[]).ok()
}

/// The connection that a resource of this namespace names.
pub fn connection_of(reference: &ConnectionRef, namespace: &str) -> Key {
    let named = reference.namespace.as_deref().unwrap_or(namespace);
    (named.to_owned(), reference.name.clone())
}

/// The user that a resource of this namespace names.
pub fn user_of(reference: &UserRef, namespace: &str) -> Key {
    let named = reference.namespace.as_deref().unwrap_or(namespace);
    (named.to_owned(), reference.name.clone())
}

/// Namespace and name of an object.
pub fn key(manifest: &Manifest, usual: &str) -> Key {
    (
        manifest.namespace(usual).to_owned(),
        manifest.name().to_owned(),
    )
}

fn resource<S>(at: usize, manifest: &Manifest, key: Key, spec: S) -> Resource<'_, S> {
    Resource {
        manifest,
        at,
        key,
        labels: labels(manifest),
        spec,
    }
}

fn labels(manifest: &Manifest) -> BTreeMap<String, String> {
    let labels = manifest
        .object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    let pairs = labels.into_iter().flatten();
    let texts = pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let mut labels: BTreeMap<_, _> = texts.collect();
    if manifest.kind() == "Namespace" {
        // The API server gives it to every namespace.
        labels.insert(
            "kubernetes.io/metadata.name".to_owned(),
            manifest.name().to_owned(),
        );
    }
    labels
}
