//! The way to the cluster, by the flags that kubectl has.

use std::path::PathBuf;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Failure;

/// Which cluster, and which namespace of it.
#[derive(Args, Clone, Debug, Default)]
pub struct Access {
    /// The kubeconfig file; default: KUBECONFIG, then ~/.kube/config, then the pod's own account.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; default: its current one.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The namespace; default: the context's.
    #[arg(long, short, global = true, value_name = "NAME")]
    namespace: Option<String>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Cluster {
    /// Asks the API server.
    pub client: Client,
    /// The namespace of whatever names none.
    pub namespace: String,
}

impl Access {
    /// The way that these flags say, each by its name without dashes; others are read past.
    pub fn of(flags: &[(String, String)]) -> Self {
        let said = |name: &str| {
            let mut all = flags.iter().rev();
            all.find(|(flag, _)| flag == name).map(|(_, value)| value)
        };
        Self {
            kubeconfig: said("kubeconfig").map(PathBuf::from),
            context: said("context").cloned(),
            namespace: said("namespace").cloned(),
        }
    }

    /// The namespace that was said.
    pub fn said_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The cluster.
    ///
    /// # Errors
    /// When no cluster is configured, or not as it has to be. Nobody is asked yet.
    pub async fn cluster(&self) -> Result<Cluster, Failure> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &self.kubeconfig {
            Some(file) => {
                let read = Kubeconfig::read_from(file);
                let read = read.map_err(|e| Failure::of("--kubeconfig", e))?;
                Config::from_custom_kubeconfig(read, &options).await
            }
            None if self.context.is_some() => Config::from_kubeconfig(&options).await,
            None => {
                let inferred = Config::infer().await;
                let mut config =
                    inferred.map_err(|e| Failure::of("no cluster is configured", e))?;
                self.over(&mut config);
                return connected(config);
            }
        };
        let mut config = config.map_err(|e| Failure::of("the kubeconfig", e))?;
        self.over(&mut config);
        connected(config)
    }

    fn over(&self, config: &mut Config) {
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
    }
}

fn connected(config: Config) -> Result<Cluster, Failure> {
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|e| Failure::of("the cluster's address", e))?;
    Ok(Cluster { client, namespace })
}
