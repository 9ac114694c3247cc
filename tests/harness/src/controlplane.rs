//! A real kube-apiserver and etcd on loopback, RBAC on, gone when dropped.
//!
//! With `SCIM_OPERATOR_USE_KUBECONFIG=1` the cluster that `KUBECONFIG` names is
//! used instead, and nothing is started. Running `kubectl` and `helm` against
//! the plane is in `tools.rs`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use hyper::Request;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    components::{self, START_DEADLINE},
    process::Process,
    scratch::Scratch,
    tools::Tools,
    wait::eventually,
};

const TOKEN_SECONDS: i64 = 24 * 3600;

/// How a plane differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Write etcd's log to the disk at every commit, as production does.
    pub fsync: bool,
    /// Log every request to the API server: see [`ControlPlane::audit_events`].
    pub audit_log: bool,
    /// More flags for kube-apiserver, each as `--name=value`.
    pub apiserver_flags: Vec<String>,
}

/// A running control plane, or a cluster that was there already.
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped in this order: the store outlives its client, the files both.
    apiserver: Option<Mutex<Process>>,
    _etcd: Option<Process>,
    apiserver_command: Option<Command>,
    admin: Kubeconfig,
    admin_path: PathBuf,
    pub(crate) tools: Tools,
    scratch: Scratch,
}

impl ControlPlane {
    /// Starts one with the usual options and waits until it is ready.
    ///
    /// The first start on a machine builds the binaries, which takes minutes.
    pub async fn start() -> Result<ControlPlane> {
        Self::start_with(Options::default()).await
    }

    /// Starts one that differs.
    pub async fn start_with(options: Options) -> Result<ControlPlane> {
        install_crypto_provider();
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match Self::try_start(&options).await {
                // Another process took a port between our choice and its use.
                Err(error) if attempts > 0 && format!("{error:#}").contains("already in use") => {}
                other => return other,
            }
        }
    }

    /// The plane that all tests of this process share, started by the first.
    ///
    /// Tests keep apart by namespaces. It lives until the process ends.
    pub async fn shared() -> Result<&'static ControlPlane> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(ControlPlane::start).await
    }

    async fn try_start(options: &Options) -> Result<ControlPlane> {
        let scratch = Scratch::create()?;
        let tools = Tools::obtain(&scratch).await?;
        if std::env::var("SCIM_OPERATOR_USE_KUBECONFIG").is_ok_and(|value| value == "1") {
            return Self::existing(scratch, tools);
        }
        let (etcd, store) = components::start_etcd(&tools, &scratch, options.fsync).await?;
        let (command, admin) = components::apiserver(&tools, &scratch, &store, options)?;
        let apiserver = Process::spawn("kube-apiserver", &command, &scratch.join("apiserver.log"))?;
        let plane = ControlPlane {
            apiserver: Some(Mutex::new(apiserver)),
            _etcd: Some(etcd),
            apiserver_command: Some(command),
            admin_path: scratch.write("admin.kubeconfig", admin.to_string())?,
            admin: serde_json::from_value(admin)?,
            tools,
            scratch,
        };
        plane.await_ready().await?;
        Ok(plane)
    }

    fn existing(scratch: Scratch, tools: Tools) -> Result<ControlPlane> {
        let admin = Kubeconfig::from_env()?.context("KUBECONFIG names no cluster")?;
        Ok(ControlPlane {
            apiserver: None,
            _etcd: None,
            apiserver_command: None,
            admin_path: scratch.write("admin.kubeconfig", serde_json::to_string(&admin)?)?,
            admin,
            tools,
            scratch,
        })
    }

    /// A client that may do everything.
    ///
    /// It belongs to the runtime that asked for it, so each test asks anew.
    pub async fn admin_client(&self) -> Result<Client> {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(self.admin.clone(), &options).await?;
        Ok(Client::try_from(config)?)
    }

    /// A client with the rights of the user in that kubeconfig.
    pub async fn client_of(&self, kubeconfig: &Path) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Client::try_from(config)?)
    }

    /// The administrator's kubeconfig, with certificates embedded.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_path
    }

    /// The directory with logs and files of this plane; goes with the plane.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// A kubeconfig with a day's token of an existing service account; its
    /// context's namespace is the account's.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin_client().await?, namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let issued = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("a token for {namespace}/{name}"))?;
        let token = issued.status.context("no token was issued")?.token;
        let cluster = serde_json::to_value(self.current_cluster()?)?;
        let kubeconfig = components::kubeconfig(cluster, &json!({"token": token}), namespace);
        self.scratch.write(
            &format!("{namespace}.{name}.kubeconfig"),
            kubeconfig.to_string(),
        )
    }

    /// Creates a namespace.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.admin_client().await?);
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let created = namespaces.create(&PostParams::default(), &namespace).await;
        let created = created.with_context(|| format!("creating namespace {name}"))?;
        tracing::debug!(namespace = created.name_any(), "created");
        Ok(())
    }

    /// Kills the API server and starts it again on the same port and store.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver().await?;
        self.start_apiserver().await
    }

    /// Kills the API server. The store keeps running.
    pub async fn stop_apiserver(&self) -> Result<()> {
        let apiserver = self.apiserver.as_ref().context(NOT_OURS)?;
        apiserver.lock().await.kill()
    }

    /// Starts a stopped API server and waits until it is ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        let apiserver = self.apiserver.as_ref().context(NOT_OURS)?;
        let command = self.apiserver_command.as_ref().context(NOT_OURS)?;
        let log = self.scratch.join("apiserver.log");
        *apiserver.lock().await = Process::spawn("kube-apiserver", command, &log)?;
        self.await_ready().await
    }

    /// What was asked of the API server until now, as `audit.k8s.io/v1` events
    /// of level Metadata: `user.username`, `verb`, `objectRef`, `responseStatus`.
    pub fn audit_events(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.scratch.join("audit.jsonl"))
            .context("this plane was started without an audit log")?;
        // The last line may be half written; it ends with the next read.
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    fn current_cluster(&self) -> Result<&kube::config::Cluster> {
        let current = self.admin.current_context.as_deref();
        let context = self.admin.contexts.iter();
        let context = context
            .filter(|context| Some(context.name.as_str()) == current)
            .find_map(|context| context.context.as_ref())
            .context("the kubeconfig has no current context")?;
        let clusters = self.admin.clusters.iter();
        clusters
            .filter(|cluster| cluster.name == context.cluster)
            .find_map(|cluster| cluster.cluster.as_ref())
            .context("the kubeconfig has no cluster for its context")
    }

    /// Ready means: it says so, and has made the namespace `default`.
    async fn await_ready(&self) -> Result<()> {
        let client = self.admin_client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        eventually("the API server is ready", START_DEADLINE, async || {
            if let Some(apiserver) = &self.apiserver
                && let Err(ended) = apiserver.lock().await.check_running()
            {
                return Ok(Some(Err(ended)));
            }
            let attempt = async {
                client
                    .request_text(Request::get("/readyz").body(Vec::new())?)
                    .await?;
                namespaces.get("default").await?;
                anyhow::Ok(())
            };
            tokio::time::timeout(Duration::from_secs(1), attempt).await??;
            Ok(Some(Ok(())))
        })
        .await?
    }
}

const NOT_OURS: &str = "the cluster of KUBECONFIG is not ours to stop or start";

/// Both rustls providers may be linked in; a client needs to know which to use.
pub(crate) fn install_crypto_provider() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
}
