//! What there would be in the cluster: what is there, with the manifests laid over it.
//!
//! As an apply would: a spec is the file's, a status the cluster's. Labels and annotations are the file's and those of
//! the cluster that it does not name; which of these an apply would take away only its field manager knows. What was
//! declared before was applied by whoever applies the change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::core::object::{HasSpec, HasStatus};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{ScimConnection, ScimGroup, ScimUser};
use crate::cli::Failure;
use crate::cli::cluster::Cluster;
use crate::cli::manifests::{Manifest, Manifests, Place};
use crate::cli::objects::list_each;
use crate::cli::refused::{Asked, is_forbidden};
use crate::cli::validate::declared::connection_of;
use crate::cli::validate::finding::Severity;
use crate::cli::validate::objects::ApiServer;
use crate::controller::preview::UNBORN;

/// What tells that no GitOps tool takes an object away that is not in Git any more, as an annotation; Flux reads labels
/// as well.
const KEPT: [(&str, &str); 3] = [
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
    ("argocd.argoproj.io/sync-options", "Prune=false"),
];

/// A namespace and a name.
pub type Key = (String, String);

/// Objects of ours by namespace and name.
type All<K> = BTreeMap<Key, K>;

/// What there would be.
#[derive(Default)]
pub struct Declared {
    /// The connections.
    pub connections: All<ScimConnection>,
    /// The users.
    pub users: All<ScimUser>,
    /// The groups.
    pub groups: All<ScimGroup>,
    /// Namespaces, for their labels.
    pub namespaces: Vec<Namespace>,
    /// Those that are among the manifests.
    pub declared_namespaces: BTreeSet<String>,
    /// Whether it is a cluster's, with what came of it.
    pub is_of_cluster: bool,
    /// Whether a namespace that is not among them does not exist.
    pub knows_namespaces: bool,
    /// Where what the manifests say stands, by kind, namespace and name.
    pub places: BTreeMap<(&'static str, Key), Place>,
    /// Manifests, and objects of the cluster, that are none of ours as the definitions have them.
    pub unreadable: Vec<String>,
    /// What could not be looked at, as sentences.
    pub unseen: Vec<String>,
    /// Connections that lead elsewhere by the manifests than they do in the cluster, or by another token.
    pub redirected: BTreeSet<Key>,
    /// What was declared before, where that stands in for a cluster.
    pub before: Option<Box<Declared>>,
    pub(super) pruned: BTreeSet<(&'static str, Key)>,
}

/// Who counts as taken away.
pub struct Prune {
    /// Only those with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Also where the manifests name nobody any more.
    pub everywhere: bool,
}

impl Declared {
    /// Takes in what the cluster has: all of it, or what is in these namespaces where more may not be read.
    ///
    /// # Errors
    /// When the API server does not answer, or not even these may be read.
    pub async fn read(
        &mut self,
        cluster: &Cluster,
        namespaces: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        self.is_of_cluster = true;
        let client = &cluster.client;
        let connections = self.list::<ScimConnection>(client, namespaces).await?;
        self.connections.extend(connections);
        let users = self.list::<ScimUser>(client, namespaces).await?;
        self.users.extend(users);
        let groups = self.list::<ScimGroup>(client, namespaces).await?;
        self.groups.extend(groups);
        let namespaces = Api::<Namespace>::all(client.clone());
        match namespaces.list(&ListParams::default()).await {
            Ok(found) => {
                self.namespaces = found.items;
                self.knows_namespaces = true;
            }
            // Told where it matters.
            Err(error) if is_forbidden(&error) => {}
            Err(error) => {
                return Err(asked(&ApiResource::erase::<Namespace>(&()), None).failed(error));
            }
        }
        Ok(())
    }

    async fn list<K>(
        &mut self,
        client: &Client,
        namespaces: &BTreeSet<String>,
    ) -> Result<All<K>, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let resource = ApiResource::erase::<K>(&());
        let mut found = Vec::new();
        let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match list_each(&everywhere, ListParams::default(), |one| found.push(one)).await {
            Ok(()) => {}
            Err(error) if is_forbidden(&error) => {
                let why = format!(
                    "{} may be listed in some namespaces only: what is declared elsewhere counts as not there",
                    resource.plural
                );
                self.unseen.push(why);
                found.clear();
                for namespace in namespaces {
                    let here = Api::namespaced_with(client.clone(), namespace, &resource);
                    let listed = list_each(&here, ListParams::default(), |one| found.push(one));
                    let asked = asked(&resource, Some(namespace));
                    listed.await.map_err(|error| asked.failed(error))?;
                }
            }
            Err(error) => return Err(asked(&resource, None).failed(error)),
        }
        let mut all = All::new();
        for object in found {
            let key = (object.namespace().unwrap_or_default(), object.name_any());
            match object.try_parse::<K>() {
                Ok(object) => drop(all.insert(key, object)),
                // What serde says would repeat what stands there.
                Err(_) => self.unreadable.push(format!(
                    "{} {}/{} of the cluster cannot be read by this version",
                    resource.kind, key.0, key.1
                )),
            }
        }
        Ok(all)
    }

    /// Lays manifests over it, as far as the API server would take them; what names no namespace is in this one.
    pub fn overlay(&mut self, manifests: &Manifests, usual: &str, api: &ApiServer) {
        for unreadable in &manifests.unreadable {
            self.refuse(&unreadable.place, &unreadable.why);
        }
        for manifest in &manifests.objects {
            let key = (
                manifest.namespace(usual).to_owned(),
                manifest.name().to_owned(),
            );
            match (manifest.is_ours(), manifest.kind()) {
                (true, "ScimConnection") => {
                    let before = self.connections.get(&key).map(way);
                    self.lay("ScimConnection", manifest, &key, api, |all| {
                        &mut all.connections
                    });
                    if self.connections.get(&key).map(way) != before {
                        self.redirected.insert(key);
                    }
                }
                (true, "ScimUser") => {
                    self.lay("ScimUser", manifest, &key, api, |all| &mut all.users);
                }
                (true, "ScimGroup") => {
                    self.lay("ScimGroup", manifest, &key, api, |all| &mut all.groups);
                }
                (true, _) => self.refuse(&manifest.place, "it is of no kind that there is"),
                (false, "Namespace") => {
                    let found = serde_json::from_value::<Namespace>(manifest.object.clone());
                    if let Ok(mut namespace) = found {
                        // The API server gives it to every namespace.
                        let own = ("kubernetes.io/metadata.name".to_owned(), key.1.clone());
                        namespace.labels_mut().extend([own]);
                        self.declared_namespaces.insert(key.1.clone());
                        if !self.is_applied_by_who_applied_before() {
                            let old = self
                                .namespaces
                                .iter()
                                .find(|known| known.name_any() == key.1);
                            for (label, value) in old.iter().flat_map(|old| old.labels()) {
                                let labels = namespace.labels_mut();
                                labels.entry(label.clone()).or_insert_with(|| value.clone());
                            }
                        }
                        self.namespaces
                            .retain(|known| known.name_any() != namespace.name_any());
                        self.namespaces.push(namespace);
                    }
                }
                _ => {}
            }
        }
    }

    fn refuse(&mut self, place: &Place, why: &str) {
        self.unreadable.push(format!("{place}: {why}"));
    }

    /// Lays one over what is there of it.
    fn lay<K: Ours>(
        &mut self,
        kind: &'static str,
        manifest: &Manifest,
        key: &Key,
        api: &ApiServer,
        all: fn(&mut Self) -> &mut All<K>,
    ) {
        let Some(object) = self.typed::<K>(kind, manifest, key, api) else {
            return;
        };
        let alone = self.is_applied_by_who_applied_before();
        let before = all(self).get(key);
        if let Some(field) = before.and_then(|before| K::moved(before.spec(), object.spec())) {
            return self.refuse(&manifest.place, &format!("{field} cannot be changed"));
        }
        let merged = merged(before, object, alone);
        all(self).insert(key.clone(), merged);
    }

    /// The object of a manifest; `None`, and told, where the API server would not take it. It counts as named all the
    /// same: what is there is not taken away for a fault in its manifest.
    fn typed<K>(
        &mut self,
        kind: &'static str,
        manifest: &Manifest,
        key: &Key,
        api: &ApiServer,
    ) -> Option<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        self.places
            .insert((kind, key.clone()), manifest.place.clone());
        let (faults, _) = api.judge(&manifest.object);
        let mut faults = faults
            .into_iter()
            .filter(|fault| fault.severity == Severity::Error);
        if let Some(fault) = faults.next() {
            let more = match faults.count() {
                0 => String::new(),
                more => format!(", and {more} more faults"),
            };
            let why = format!(
                "{kind}: the API server would refuse it: {} {}{more}; `kubectl scim validate` names all",
                fault.field, fault.message
            );
            self.refuse(&manifest.place, &why);
            return None;
        }
        let Ok(mut object) = serde_json::from_value::<K>(as_created(&manifest.object)) else {
            // What serde says of it would repeat what stands there.
            let why = format!("{kind}: this version of the operator cannot read it");
            self.refuse(&manifest.place, &why);
            return None;
        };
        object.meta_mut().namespace = Some(key.0.clone());
        Some(object)
    }

    /// Takes away the users and groups that the manifests do not name.
    pub fn prune(&mut self, prune: &Prune) {
        let ours = ["ScimUser", "ScimGroup"];
        let named = self.places.keys().filter(|(kind, _)| ours.contains(kind));
        let namespaces: BTreeSet<String> =
            named.map(|(_, (namespace, _))| namespace.clone()).collect();
        let places = &self.places;
        let goes = |kind: &'static str, key: &Key, meta: &ObjectMeta| {
            let labels = meta.labels.clone().unwrap_or_default();
            let annotations = meta.annotations.clone().unwrap_or_default();
            let kept = KEPT.iter().any(|(name, value)| {
                let said = [annotations.get(*name), labels.get(*name)];
                let mut parts = said.into_iter().flatten().flat_map(|said| said.split(','));
                parts.any(|part| part.trim().eq_ignore_ascii_case(value))
            });
            (prune.everywhere || namespaces.contains(&key.0))
                && !places.contains_key(&(kind, key.clone()))
                && prune
                    .labels
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
                && !kept
        };
        let mut pruned = BTreeSet::new();
        for (key, user) in &mut self.users {
            if goes("ScimUser", key, &user.metadata) {
                leaves(&mut user.metadata);
                pruned.insert(("ScimUser", key.clone()));
            }
        }
        for (key, group) in &mut self.groups {
            if goes("ScimGroup", key, &group.metadata) {
                leaves(&mut group.metadata);
                pruned.insert(("ScimGroup", key.clone()));
            }
        }
        self.pruned = pruned;
    }

    /// The namespaces of a connection's users and groups.
    pub fn used(&self, connection: &Key) -> BTreeSet<&str> {
        let of = |reference, namespace: &str| connection_of(reference, namespace) == *connection;
        let users = self.users.iter();
        let users = users.filter(|(key, user)| of(&user.spec.connection_ref, &key.0));
        let groups = self.groups.iter();
        let groups = groups.filter(|(key, group)| of(&group.spec.connection_ref, &key.0));
        let keys = users.map(|(key, _)| key).chain(groups.map(|(key, _)| key));
        keys.map(|(namespace, _)| &**namespace).collect()
    }

    /// One token cannot be that of several connections: with another's, everybody would look like a stranger.
    pub fn has_one_token(&self, connections: &BTreeSet<Key>) -> Result<(), Failure> {
        let known = connections
            .iter()
            .filter_map(|key| Some((key, self.connections.get(key)?)));
        let ways: BTreeSet<_> = known
            .map(|(key, connection)| (&key.0, way(connection)))
            .collect();
        if ways.len() <= 1 {
            return Ok(());
        }
        Err(Failure::new(
            "SCIM_TOKEN is the token of one connection, and these manifests speak of several: --connection says which is meant",
        ))
    }

    /// The connections that the manifests speak of, or that what they would take away belongs to.
    pub fn spoken_of(&self) -> BTreeSet<Key> {
        let is_meant = |kind: &'static str, key: &Key| {
            let key = (kind, key.clone());
            self.places.contains_key(&key) || self.pruned.contains(&key)
        };
        let users = self.users.iter();
        let users = users.filter(|(key, _)| is_meant("ScimUser", key));
        let users = users.map(|(key, user)| connection_of(&user.spec.connection_ref, &key.0));
        let groups = self.groups.iter();
        let groups = groups.filter(|(key, _)| is_meant("ScimGroup", key));
        let groups = groups.map(|(key, group)| connection_of(&group.spec.connection_ref, &key.0));
        let own = self.connections.keys();
        let own = own.filter(|key| is_meant("ScimConnection", key)).cloned();
        users.chain(groups).chain(own).collect()
    }
}

fn asked<'a>(resource: &'a ApiResource, namespace: Option<&'a str>) -> Asked<'a> {
    Asked {
        verb: "list",
        resource,
        namespace,
    }
}

/// What the kinds have in common here.
trait Ours:
    Resource<DynamicType = ()>
    + HasSpec<Spec: PartialEq>
    + HasStatus<Status: Clone>
    + Clone
    + DeserializeOwned
{
    /// The field that a spec may not change, and does; compared to the letter, as the definition's rule does.
    fn moved(before: &Self::Spec, after: &Self::Spec) -> Option<&'static str>;
}

impl Ours for ScimConnection {
    fn moved(before: &Self::Spec, after: &Self::Spec) -> Option<&'static str> {
        (before.owner_id != after.owner_id).then_some("spec.ownerId")
    }
}

impl Ours for ScimUser {
    fn moved(before: &Self::Spec, after: &Self::Spec) -> Option<&'static str> {
        (before.connection_ref != after.connection_ref).then_some("spec.connectionRef")
    }
}

impl Ours for ScimGroup {
    fn moved(before: &Self::Spec, after: &Self::Spec) -> Option<&'static str> {
        (before.connection_ref != after.connection_ref).then_some("spec.connectionRef")
    }
}

/// Where a connection leads, and by which token.
fn way(connection: &ScimConnection) -> (String, bool, String, String) {
    let spec = &connection.spec;
    let token = &spec.token_secret_ref;
    (
        spec.endpoint.clone(),
        spec.insecure,
        token.name.clone(),
        token.key.clone(),
    )
}

/// What the API server would make of it when it is created: nobody but the operator writes a status, and nobody makes
/// what is being deleted.
fn as_created(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "uid",
            "generation",
        ] {
            meta.remove(field);
        }
    }
    object
}

/// The object that an apply would make of what is there and what the file says; `alone` takes away what it says no more.
fn merged<K: Ours>(before: Option<&K>, mut new: K, alone: bool) -> K {
    let Some(before) = before else {
        let name = format!("{}/{}", new.namespace().unwrap_or_default(), new.name_any());
        let meta = new.meta_mut();
        meta.uid = Some(format!("{UNBORN}{name}"));
        meta.generation = Some(1);
        // Whoever is there already is older, be it by less than the second in which times are kept.
        meta.creation_timestamp = None;
        return new;
    };
    let same_spec = before.spec() == new.spec();
    *new.status_mut() = before.status().cloned();
    let old = before.meta().clone();
    let said = std::mem::take(new.meta_mut());
    let generation = old.generation.map(|g| g + i64::from(!same_spec));
    let over = |below: Option<BTreeMap<String, String>>,
                above: Option<BTreeMap<String, String>>| {
        let mut all = below.filter(|_| !alone).unwrap_or_default();
        all.extend(above.unwrap_or_default());
        Some(all).filter(|all| !all.is_empty())
    };
    *new.meta_mut() = ObjectMeta {
        labels: over(old.labels.clone(), said.labels),
        annotations: over(old.annotations.clone(), said.annotations),
        generation,
        ..old
    };
    new
}

fn leaves(meta: &mut ObjectMeta) {
    meta.deletion_timestamp
        .get_or_insert_with(|| Time(Timestamp::now()));
}
