//! Asks the API server how a connection and its users and groups are: the connection itself, and of the others only
//! those that name it, a page at a time.

use jiff::Timestamp;
use kube::api::{Api, ListParams};

use super::facts::Facts;
use super::findings::{Roll, is_of};
use crate::api::ScimConnection;
use crate::api::connection::NamespacesFrom;
use crate::cli::Failure;
use crate::cli::cluster::Cluster;
use crate::cli::kinds::{Kind, Seen};
use crate::cli::objects::list_each;
use crate::cli::refused::{Asked, is_forbidden};

/// The connections of a namespace, or of all.
///
/// # Errors
/// When they may not be listed.
pub async fn connections(
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<Vec<ScimConnection>, Failure> {
    let client = cluster.client.clone();
    let api: Api<ScimConnection> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut found = Vec::new();
    let listed = list_each(&api, ListParams::default(), |one| found.push(one)).await;
    listed.map_err(|error| {
        let asked = Asked {
            verb: "list",
            resource: &Kind::connection().resource,
            namespace,
        };
        asked.failed(error)
    })?;
    Ok(found)
}

/// One connection.
///
/// # Errors
/// When it is not there, or may not be read.
pub async fn connection(cluster: &Cluster, name: &str) -> Result<ScimConnection, Failure> {
    let api: Api<ScimConnection> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let found = api.get_opt(name).await.map_err(|error| {
        let asked = Asked {
            verb: "get",
            resource: &Kind::connection().resource,
            namespace: Some(&cluster.namespace),
        };
        asked.failed(error)
    })?;
    found.ok_or_else(|| {
        Failure::new(format!(
            "there is no ScimConnection {name} in the namespace {}",
            cluster.namespace
        ))
    })
}

/// Where the users and groups of a connection are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The one namespace, or all.
    pub namespace: Option<String>,
    /// What is not read, and why.
    pub unread: Option<String>,
}

impl Scope {
    /// All namespaces where the connection lets others in and whoever asks may list them there; else its own.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn of(cluster: &Cluster, object: &ScimConnection) -> Result<Self, Failure> {
        let own = object.metadata.namespace.clone();
        if object.spec.allowed_namespaces.from == NamespacesFrom::Same {
            return Ok(Self {
                namespace: own,
                unread: None,
            });
        }
        for kind in [Kind::user(), Kind::group()] {
            let api: Api<Seen> = Api::all_with(cluster.client.clone(), &kind.resource);
            let one = api.list_metadata(&ListParams::default().limit(1)).await;
            match one {
                Ok(_) => {}
                Err(error) if is_forbidden(&error) => {
                    return Ok(Self {
                        namespace: own,
                        unread: Some(format!(
                            "the connection lets other namespaces in, and {}.{} may not be listed there: their users and groups are not shown",
                            kind.resource.plural, kind.resource.group
                        )),
                    });
                }
                Err(error) => {
                    let asked = Asked {
                        verb: "list",
                        resource: &kind.resource,
                        namespace: None,
                    };
                    return Err(asked.failed(error));
                }
            }
        }
        Ok(Self {
            namespace: None,
            unread: None,
        })
    }

    /// The objects of a kind there.
    pub fn api(&self, cluster: &Cluster, kind: &Kind) -> Api<Seen> {
        let client = cluster.client.clone();
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind.resource),
            None => Api::all_with(client, &kind.resource),
        }
    }

    /// Who of a kind is not in step.
    ///
    /// # Errors
    /// When they may not be listed.
    pub async fn roll(
        &self,
        cluster: &Cluster,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Roll, Failure> {
        let api = self.api(cluster, kind);
        let which = ListParams::default().fields(&field(name));
        let mut roll = Roll::default();
        let listed = list_each(&api, which, |seen| {
            if is_of(&seen, namespace, name) {
                roll.take(&seen);
            }
        });
        listed.await.map_err(|error| {
            let asked = Asked {
                verb: "list",
                resource: &kind.resource,
                namespace: self.namespace.as_deref(),
            };
            asked.failed(error)
        })?;
        Ok(roll)
    }
}

/// The selector of those that name a connection.
pub fn field(connection: &str) -> String {
    format!("spec.connectionRef.name={connection}")
}

/// Everything about one connection, as it is now; at most so many people of each kind of trouble.
///
/// # Errors
/// When something of it may not be read.
pub async fn facts(
    cluster: &Cluster,
    object: &ScimConnection,
    now: Timestamp,
    limit: usize,
) -> Result<Facts, Failure> {
    let scope = Scope::of(cluster, object).await?;
    let mut facts = Facts::of(object, now);
    for (kind, into) in [
        (Kind::user(), &mut facts.users),
        (Kind::group(), &mut facts.groups),
    ] {
        let roll = scope.roll(cluster, &kind, &facts.namespace, &facts.name);
        *into = Some(roll.await?.sections(limit));
    }
    facts.unread = scope.unread;
    Ok(facts)
}
