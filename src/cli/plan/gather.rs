//! What there would be in the cluster: what is there, with the manifests laid over it.
//!
//! As an apply would: a spec is the file's, a status the cluster's. Labels and annotations are the file's and those of
//! the cluster that it does not name; which of these an apply would take away only its field manager knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::common::ConnectionRef;
use crate::api::{ScimConnection, ScimGroup, ScimUser};
use crate::cli::Failure;
use crate::cli::cluster::Cluster;
use crate::cli::manifests::{Manifest, Manifests, Place};
use crate::cli::validate::finding::Severity;
use crate::cli::validate::objects::ApiServer;

/// So many objects a page.
const PAGE: u32 = 500;
/// What tells that no GitOps tool takes an object away that is not in Git any more.
const KEPT: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
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
    /// Where what the manifests say stands, by kind, namespace and name.
    pub places: BTreeMap<(&'static str, Key), Place>,
    /// Manifests, and objects of the cluster, that are none of ours as the definitions have them.
    pub unreadable: Vec<String>,
    /// What could not be looked at, as sentences.
    pub unseen: Vec<String>,
    /// Connections that lead elsewhere by the manifests than they do in the cluster, or by another token.
    pub redirected: BTreeSet<Key>,
    pruned: BTreeSet<(&'static str, Key)>,
}

/// Who counts as taken away.
pub struct Prune {
    /// Only those with all of these labels.
    pub labels: BTreeMap<String, String>,
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
        let client = &cluster.client;
        let connections = self.list::<ScimConnection>(client, namespaces).await?;
        self.connections.extend(connections);
        let users = self.list::<ScimUser>(client, namespaces).await?;
        self.users.extend(users);
        let groups = self.list::<ScimGroup>(client, namespaces).await?;
        self.groups.extend(groups);
        let namespaces = Api::<Namespace>::all(client.clone());
        match namespaces.list(&ListParams::default()).await {
            Ok(found) => self.namespaces = found.items,
            Err(kube::Error::Api(status)) if status.code == 403 => self.unseen.push(
                "Namespaces may not be listed: an allowedNamespaces by selector lets nobody in here".into(),
            ),
            Err(error) => return Err(Failure::of("Namespaces", error)),
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
        let everywhere = pages(Api::all_with(client.clone(), &resource)).await;
        let found = match everywhere {
            Ok(found) => found,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let why = format!(
                    "{} may be listed in some namespaces only: what is declared elsewhere counts as not there",
                    resource.plural
                );
                self.unseen.push(why);
                let mut found = Vec::new();
                for namespace in namespaces {
                    let api = Api::namespaced_with(client.clone(), namespace, &resource);
                    let here = pages(api).await;
                    let told = || format!("{} of the namespace {namespace}", resource.plural);
                    found.extend(here.map_err(|e| Failure::of(told(), e))?);
                }
                found
            }
            Err(error) => return Err(Failure::of(resource.plural, error)),
        };
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
                (true, "ScimConnection") => self.connection(manifest, key, api),
                (true, "ScimUser") => self.user(manifest, key, api),
                (true, "ScimGroup") => self.group(manifest, key, api),
                (true, _) => self.refuse(&manifest.place, "it is of no kind that there is"),
                (false, "Namespace") => {
                    let found = serde_json::from_value::<Namespace>(manifest.object.clone());
                    if let Ok(namespace) = found {
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

    fn connection(&mut self, manifest: &Manifest, key: Key, api: &ApiServer) {
        let Some(object) = self.typed::<ScimConnection>("ScimConnection", manifest, &key, api)
        else {
            return;
        };
        let before = self.connections.get(&key);
        if before.is_some_and(|before| before.spec.owner_id != object.spec.owner_id) {
            return self.refuse(&manifest.place, "spec.ownerId cannot be changed");
        }
        let way = |c: &ScimConnection| {
            let spec = &c.spec;
            let token = (
                spec.token_secret_ref.name.clone(),
                spec.token_secret_ref.key.clone(),
            );
            (spec.endpoint.clone(), spec.insecure, token)
        };
        if before.is_none_or(|before| way(before) != way(&object)) {
            self.redirected.insert(key.clone());
        }
        let same = before.is_some_and(|before| before.spec == object.spec);
        let merged = merged(before, object, same, |new, old| {
            new.status = old.status.clone();
        });
        self.connections.insert(key, merged);
    }

    fn user(&mut self, manifest: &Manifest, key: Key, api: &ApiServer) {
        let Some(object) = self.typed::<ScimUser>("ScimUser", manifest, &key, api) else {
            return;
        };
        let before = self.users.get(&key);
        // To the letter, as the definition's rule compares it.
        if before.is_some_and(|b| b.spec.connection_ref != object.spec.connection_ref) {
            return self.refuse(&manifest.place, "spec.connectionRef cannot be changed");
        }
        let same = before.is_some_and(|before| before.spec == object.spec);
        let merged = merged(before, object, same, |new, old| {
            new.status = old.status.clone();
        });
        self.users.insert(key, merged);
    }

    fn group(&mut self, manifest: &Manifest, key: Key, api: &ApiServer) {
        let Some(object) = self.typed::<ScimGroup>("ScimGroup", manifest, &key, api) else {
            return;
        };
        let before = self.groups.get(&key);
        // To the letter, as the definition's rule compares it.
        if before.is_some_and(|b| b.spec.connection_ref != object.spec.connection_ref) {
            return self.refuse(&manifest.place, "spec.connectionRef cannot be changed");
        }
        let same = before.is_some_and(|before| before.spec == object.spec);
        let merged = merged(before, object, same, |new, old| {
            new.status = old.status.clone();
        });
        self.groups.insert(key, merged);
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
        let Ok(mut object) = serde_json::from_value::<K>(manifest.object.clone()) else {
            // What serde says of it would repeat what stands there.
            let why = format!("{kind}: this version of the operator cannot read it");
            self.refuse(&manifest.place, &why);
            return None;
        };
        object.meta_mut().namespace = Some(key.0.clone());
        Some(object)
    }

    /// Takes away the users and groups that the manifests do not name, in the namespaces in which they name some.
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
                annotations
                    .get(*name)
                    .is_some_and(|said| said.split(',').any(|part| part == *value))
            });
            namespaces.contains(&key.0)
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

    /// The connections that the manifests speak of, or that what they would take away belongs to.
    pub fn spoken_of(&self) -> BTreeSet<Key> {
        let is_meant = |kind: &'static str, key: &Key| {
            let key = (kind, key.clone());
            self.places.contains_key(&key) || self.pruned.contains(&key)
        };
        let users = self.users.iter();
        let users = users.filter(|(key, _)| is_meant("ScimUser", key));
        let users = users.map(|(key, user)| named(&user.spec.connection_ref, &key.0));
        let groups = self.groups.iter();
        let groups = groups.filter(|(key, _)| is_meant("ScimGroup", key));
        let groups = groups.map(|(key, group)| named(&group.spec.connection_ref, &key.0));
        let own = self.connections.keys();
        let own = own.filter(|key| is_meant("ScimConnection", key)).cloned();
        users.chain(groups).chain(own).collect()
    }
}

/// The connection that a reference of this namespace means.
pub fn named(reference: &ConnectionRef, own: &str) -> Key {
    let namespace = reference.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| own.to_owned());
    (namespace, reference.name.clone())
}

async fn pages(api: Api<DynamicObject>) -> kube::Result<Vec<DynamicObject>> {
    let (mut found, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut params = ListParams::default().limit(PAGE);
        if let Some(token) = &next {
            params = params.continue_token(token);
        }
        let page = api.list(&params).await?;
        found.extend(page.items);
        next = page.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// The object that an apply would make of what is there and what the file says.
fn merged<K: Resource + Clone + Debug>(
    before: Option<&K>,
    mut new: K,
    same_spec: bool,
    keep: impl FnOnce(&mut K, &K),
) -> K {
    let Some(before) = before else {
        let name = format!("{}/{}", new.namespace().unwrap_or_default(), new.name_any());
        let meta = new.meta_mut();
        meta.uid = Some(format!("not there yet: {name}"));
        meta.generation = Some(1);
        // Whoever is there already is older, be it by less than the second in which times are kept.
        meta.creation_timestamp = None;
        return new;
    };
    keep(&mut new, before);
    let old = before.meta().clone();
    let said = std::mem::take(new.meta_mut());
    let generation = old.generation.map(|g| g + i64::from(!same_spec));
    let over = |below: Option<BTreeMap<String, String>>,
                above: Option<BTreeMap<String, String>>| {
        let mut all = below.unwrap_or_default();
        all.extend(above.unwrap_or_default());
        Some(all)
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
