//! The backend of a connection, to be read and never written to: which one, the token, and the way there.
//!
//! By the rules that the operator connects by (`controller::inputs`, `controller::connection`): https unless the
//! connection says otherwise, its CA bundle, its limits, and no address of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use kube::{Client as KubeClient, ResourceExt};
use secrecy::SecretString;

use super::cluster::{Access, Cluster};
use super::{Failure, manifests};
use crate::api::ScimConnection;
use crate::api::connection::CaBundleKind;
use crate::controller::inputs::token_of;
use crate::domain::names;
use crate::domain::profile::Profile;
use crate::scim::{Client, ClientConfig, Limits};

/// The variable that holds a token; it goes before the Secret.
pub const TOKEN_VARIABLE: &str = "SCIM_TOKEN";

/// Which backend, and the way to it.
#[derive(Args, Clone, Debug)]
pub struct BackendArguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    way: Way,
}

/// Which backend.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    /// A ScimConnection of the cluster, in the namespace that -n says. Its token is read from the Secret that it
    /// names, unless SCIM_TOKEN is set.
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// A manifest with one ScimConnection; no cluster is needed. The token is that of SCIM_TOKEN.
    #[arg(long, value_name = "FILE")]
    connection_file: Option<PathBuf>,
}

/// The way to a backend, beside what its connection says.
#[derive(Args, Clone, Debug, Default)]
pub struct Way {
    /// Certificates to trust besides the public ones, as PEM; in place of the connection's caBundleRef.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Sends requests through the proxy that the environment names.
    #[arg(long, env = "USE_SYSTEM_PROXY")]
    use_system_proxy: bool,
    /// Allows loopback, link-local and metadata addresses. For tests.
    #[arg(long, hide = true, env = "ALLOW_LOCAL_ENDPOINTS")]
    allow_local_endpoints: bool,
}

/// A backend that can be read.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The connection to it.
    pub connection: ScimConnection,
    /// The connection's namespace.
    pub namespace: String,
    /// Where attributes go at it, and what their values must be.
    pub profile: Profile,
    /// Asks it; whatever would change it is an error.
    pub client: Client,
}

impl Backend {
    /// The mark of the connection on what it owns.
    pub fn owner_id(&self) -> String {
        let spec = &self.connection.spec;
        let name = self.connection.name_any();
        names::owner_id(spec.owner_id.as_deref(), &self.namespace, &name)
    }
}

impl BackendArguments {
    /// The backend, and the cluster where one was asked.
    ///
    /// # Errors
    /// When the connection, its token or its CA bundle cannot be had, or are not what they have to be. The backend
    /// was not asked yet.
    pub async fn open(&self, access: &Access) -> Result<(Backend, Option<Cluster>), Failure> {
        match (&self.which.connection, &self.which.connection_file) {
            (Some(name), _) => {
                let cluster = access.cluster().await?;
                let backend = of_cluster(&cluster, &cluster.namespace, name, &self.way).await?;
                Ok((backend, Some(cluster)))
            }
            (None, Some(file)) => {
                let usual = access.said_namespace().unwrap_or("default");
                Ok((of_file(file, usual, &self.way)?, None))
            }
            (None, None) => Err(Failure::new(
                "--connection or --connection-file has to say which backend",
            )),
        }
    }
}

/// The backend of a connection of the cluster.
///
/// # Errors
/// When the connection, its token or its CA bundle cannot be read, or are not what they have to be.
pub async fn of_cluster(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    way: &Way,
) -> Result<Backend, Failure> {
    let told = format!("ScimConnection {namespace}/{name}");
    let api: Api<ScimConnection> = Api::namespaced(cluster.client.clone(), namespace);
    let found = api.get_opt(name).await;
    let connection = found
        .map_err(|e| Failure::of(told.clone(), e))?
        .ok_or_else(|| Failure::new(format!("{told} does not exist")))?;
    let token = match token_of_environment()? {
        Some(token) => token,
        None => token_of_secret(&cluster.client, namespace, &connection).await?,
    };
    let ca = match (&way.ca_file, &connection.spec.ca_bundle_ref) {
        (Some(file), _) => Some(read(file)?),
        (None, Some(_)) => Some(ca_bundle(&cluster.client, namespace, &connection).await?),
        (None, None) => None,
    };
    opened(connection, namespace, token, ca, way)
}

/// The backend of a connection as somebody would have it; its token and its CA bundle are the cluster's, where there is
/// one, unless the environment and a file say otherwise.
///
/// # Errors
/// When the token or the CA bundle cannot be had, or are not what they have to be.
pub async fn of(
    connection: ScimConnection,
    namespace: &str,
    cluster: Option<&Cluster>,
    way: &Way,
) -> Result<Backend, Failure> {
    let told = || format!("ScimConnection {namespace}/{}", connection.name_any());
    let token = match (token_of_environment()?, cluster) {
        (Some(token), _) => token,
        (None, Some(cluster)) => token_of_secret(&cluster.client, namespace, &connection).await?,
        (None, None) => {
            let why = "without a cluster the token has to come from there";
            return Err(Failure::new(format!(
                "{}: {TOKEN_VARIABLE} is not set: {why}",
                told()
            )));
        }
    };
    let ca = match (&way.ca_file, &connection.spec.ca_bundle_ref, cluster) {
        (Some(file), ..) => Some(read(file)?),
        (None, Some(_), Some(cluster)) => {
            Some(ca_bundle(&cluster.client, namespace, &connection).await?)
        }
        (None, Some(_), None) => {
            let why = "spec.caBundleRef names what only a cluster has: --ca-file has to say where the certificates are";
            return Err(Failure::new(format!("{}: {why}", told())));
        }
        (None, None, _) => None,
    };
    opened(connection, namespace, token, ca, way)
}

/// The backend of the one connection that a manifest holds.
///
/// # Errors
/// When there is not exactly one, when `SCIM_TOKEN` is not set, or when one of them is not what it has to be.
pub fn of_file(file: &Path, usual_namespace: &str, way: &Way) -> Result<Backend, Failure> {
    let told = file.display();
    let found = manifests::read(&[file.to_owned()])?;
    let ours = found.objects.iter().filter(|m| m.is_ours());
    let mut connections = ours.filter(|m| m.kind() == "ScimConnection");
    let manifest = match (connections.next(), connections.next()) {
        (Some(one), None) => one,
        (None, _) => {
            return Err(Failure::new(format!("{told}: there is no ScimConnection")));
        }
        (Some(_), Some(more)) => {
            let why = "a second ScimConnection, and only one can be meant";
            return Err(Failure::new(format!("{}: {why}", more.place)));
        }
    };
    let namespace = manifest.namespace(usual_namespace).to_owned();
    // What serde says of it would repeat what stands there.
    let connection: ScimConnection =
        serde_json::from_value(manifest.object.clone()).map_err(|_| {
            let why = "is no ScimConnection as its definition has it";
            Failure::new(format!("{}: {why}", manifest.place))
        })?;
    let token = token_of_environment()?.ok_or_else(|| {
        Failure::new(format!("{TOKEN_VARIABLE} is not set: with a connection from a file the token has to come from there"))
    })?;
    let ca = match (&way.ca_file, &connection.spec.ca_bundle_ref) {
        (Some(file), _) => Some(read(file)?),
        (None, Some(_)) => {
            let why = "spec.caBundleRef names what only the cluster has: --ca-file has to say where the certificates are";
            return Err(Failure::new(format!("{}: {why}", manifest.place)));
        }
        (None, None) => None,
    };
    opened(connection, &namespace, token, ca, way)
}

fn opened(
    connection: ScimConnection,
    namespace: &str,
    token: SecretString,
    ca: Option<Vec<u8>>,
    way: &Way,
) -> Result<Backend, Failure> {
    let spec = &connection.spec;
    let told = || format!("ScimConnection {namespace}/{}", connection.name_any());
    let profile = Profile::resolve(spec.profile, &spec.attribute_mapping);
    let profile = profile.map_err(|e| Failure::of(format!("{}: spec", told()), e))?;
    let mut config = ClientConfig::new(spec.endpoint.clone(), token);
    config.ca_pem = ca;
    config.allow_local = way.allow_local_endpoints;
    config.use_system_proxy = way.use_system_proxy;
    config.insecure = spec.insecure;
    config.read_only = true;
    config.limits = Limits {
        requests_per_second: spec.limits.requests_per_second,
        max_in_flight: spec.limits.max_in_flight,
    };
    let client = Client::new(config).map_err(|e| Failure::of(told(), e))?;
    Ok(Backend {
        namespace: namespace.to_owned(),
        profile,
        client,
        connection,
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|e| Failure::of(file.display().to_string(), e))
}

/// The token that the environment has, if it has one.
///
/// # Errors
/// When it is no bearer token.
pub fn token_of_environment() -> Result<Option<SecretString>, Failure> {
    let Some(value) = std::env::var_os(TOKEN_VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let token = value.to_str().and_then(|text| token_of(text.as_bytes()));
    match token {
        Some(token) => Ok(Some(SecretString::from(token.to_owned()))),
        None => Err(Failure::new(format!(
            "{TOKEN_VARIABLE} is not a bearer token: it must be one line of visible ASCII without spaces"
        ))),
    }
}

async fn token_of_secret(
    client: &KubeClient,
    namespace: &str,
    connection: &ScimConnection,
) -> Result<SecretString, Failure> {
    let reference = &connection.spec.token_secret_ref;
    let told = format!("Secret {namespace}/{}", reference.name);
    let data = secret(client, namespace, &reference.name).await?;
    let bytes = data
        .get(&reference.key)
        .ok_or_else(|| Failure::new(format!("{told} has no key {}", reference.key)))?;
    let token = token_of(bytes).ok_or_else(|| {
        let why = "is not a bearer token: it must be one line of visible ASCII without spaces";
        Failure::new(format!("key {} of {told} {why}", reference.key))
    })?;
    Ok(SecretString::from(token.to_owned()))
}

async fn ca_bundle(
    client: &KubeClient,
    namespace: &str,
    connection: &ScimConnection,
) -> Result<Vec<u8>, Failure> {
    let Some(bundle) = &connection.spec.ca_bundle_ref else {
        return Err(Failure::new("spec.caBundleRef is not set"));
    };
    let (kind, data) = match bundle.kind {
        CaBundleKind::Secret => ("Secret", secret(client, namespace, &bundle.name).await?),
        CaBundleKind::ConfigMap => {
            let told = format!("ConfigMap {namespace}/{}", bundle.name);
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            let found = api.get_opt(&bundle.name).await;
            let found = found.map_err(|e| Failure::of(told.clone(), e))?;
            let found = found.ok_or_else(|| Failure::new(format!("{told} does not exist")))?;
            let texts = found.data.unwrap_or_default().into_iter();
            (
                "ConfigMap",
                texts.map(|(k, v)| (k, v.into_bytes())).collect(),
            )
        }
    };
    data.get(&bundle.key).cloned().ok_or_else(|| {
        Failure::new(format!(
            "{kind} {namespace}/{} has no key {}",
            bundle.name, bundle.key
        ))
    })
}

async fn secret(
    client: &KubeClient,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let told = format!("Secret {namespace}/{name}");
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await;
    let found = found.map_err(|e| Failure::of(told.clone(), e))?;
    let found = found.ok_or_else(|| Failure::new(format!("{told} does not exist")))?;
    let data = found.data.unwrap_or_default().into_iter();
    Ok(data.map(|(key, value)| (key, value.0)).collect())
}
