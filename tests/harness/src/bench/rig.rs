//! The control plane with the chart, a simulator, and the operator of the same build beside it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};

use crate::operator::Options;
use crate::{ControlPlane, Operator, controlplane, wait};

const SYSTEM: &str = "scim-system";
/// The bearer token of every simulator here.
pub const TOKEN: &str = "bench-token";
/// How long anything small may take.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// How many requests the administrator has in flight.
pub const AT_ONCE: usize = 16;

/// A control plane on which the chart is installed.
pub struct Rig {
    /// The control plane.
    pub plane: ControlPlane,
    /// An administrator's client.
    pub client: kube::Client,
    kubeconfig: PathBuf,
}

impl Rig {
    /// Starts everything but the operator; `namespaces` are those whose Secrets it may read.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(namespaces: &[&str]) -> Result<Self> {
        Self::start_with(namespaces, "sharding.enabled=false").await
    }

    /// The same, with this value of the chart.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start_with(namespaces: &[&str], value: &str) -> Result<Self> {
        let plane = ControlPlane::start_with(controlplane::Options {
            fsync: true,
            ..controlplane::Options::default()
        })
        .await?;
        plane.create_namespace(SYSTEM).await?;
        let access: Vec<Value> = namespaces
            .iter()
            .map(|namespace| json!({"namespace": namespace, "names": []}))
            .collect();
        for namespace in namespaces {
            plane.create_namespace(namespace).await?;
        }
        let access = format!("secretAccess={}", Value::from(access));
        let install = [
            "install",
            "scim-operator",
            "charts/scim-operator",
            "-n",
            SYSTEM,
            "--set-json",
            &access,
            "--set",
            value,
        ];
        // As it is usually installed, with the admission policy that sets the finalizer.
        plane.helm(&install).await?;
        plane.await_declarations(SYSTEM).await?;
        let kubeconfig = plane
            .service_account_kubeconfig(SYSTEM, "scim-operator")
            .await?;
        let client = plane.admin_client().await?;
        Ok(Self {
            plane,
            client,
            kubeconfig,
        })
    }

    /// Starts the operator of this build, without waiting for it.
    ///
    /// # Errors
    /// When it was not built.
    pub fn operator(&self) -> Result<Operator> {
        let options = Options::new(beside("scim-operator")?, &self.kubeconfig);
        Operator::start(&options)
    }

    /// Starts a replica that shares the connections with others, by the usual durations.
    ///
    /// # Errors
    /// When it was not built.
    pub fn replica(&self, pod: &str) -> Result<Operator> {
        let options = Options::new(beside("scim-operator")?, &self.kubeconfig)
            .variable("LEADER_ELECT", "true")
            .variable("SPREAD_CONNECTIONS", "true")
            .variable("POD_NAMESPACE", SYSTEM)
            .variable("POD_NAME", pod);
        Operator::start(&options)
    }

    /// The leases of connections.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn leases(&self) -> Result<Vec<Lease>> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), SYSTEM);
        let connections = ListParams::default().labels("scim-operator.io/lease=connection");
        Ok(leases.list(&connections).await?.items)
    }

    /// The users of a namespace.
    pub fn users(&self, namespace: &str) -> Api<DynamicObject> {
        api(
            &self.client,
            "scim-operator.io",
            namespace,
            "ScimUser",
            "scimusers",
        )
    }

    /// The groups of a namespace.
    pub fn groups(&self, namespace: &str) -> Api<DynamicObject> {
        api(
            &self.client,
            "scim-operator.io",
            namespace,
            "ScimGroup",
            "scimgroups",
        )
    }

    /// The connections of a namespace.
    pub fn connections(&self, namespace: &str) -> Api<DynamicObject> {
        api(
            &self.client,
            "scim-operator.io",
            namespace,
            "ScimConnection",
            "scimconnections",
        )
    }

    /// The connection `scim` of a namespace, to this URL; `spec` says what differs.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn connect(&self, namespace: &str, url: &str, spec: Value) -> Result<()> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "scim", "namespace": namespace}, "stringData": {"token": TOKEN}});
        self.plane
            .kubectl_with_input(&["apply", "-f", "-"], &secret.to_string())
            .await?;
        let mut whole = json!({
            "endpoint": url, "insecure": true, "tokenSecretRef": {"name": "scim"},
            "limits": {"requestsPerSecond": 10000, "maxInFlight": 16}, "sync": {"interval": "12h"},
            "deprovisionGuard": {"maxPercent": 100}
        });
        if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
            whole.extend(spec.clone());
        }
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "scim"}, "spec": whole});
        let connections = self.connections(namespace);
        connections
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        Ok(())
    }

    /// Declares so many users, named by number.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn declare(&self, namespace: &str, numbers: std::ops::Range<usize>) -> Result<()> {
        let users = self.users(namespace);
        at_once(AT_ONCE, numbers, async |number| {
            let user = serde_json::from_value(user(&format!("user-{number}")))?;
            users.create(&PostParams::default(), &user).await?;
            Ok(())
        })
        .await
    }

    /// Waits until the connection counts so many users provisioned, and none that fails.
    ///
    /// # Errors
    /// When that does not come to pass.
    pub async fn in_step(&self, namespace: &str, users: usize, deadline: Duration) -> Result<()> {
        let all = u64::try_from(users)?;
        let in_step = |connection: Option<&DynamicObject>| {
            let users = connection.map(|c| c.data["status"]["users"].clone());
            users.is_some_and(|users| users["provisioned"] == all && users["failing"] == 0)
        };
        let what = format!("{users} users to be in step");
        wait::wait_for_object(
            self.connections(namespace),
            "scim",
            &what,
            deadline,
            in_step,
        )
        .await
        .map(drop)
    }

    /// Has the connection listed, and waits until it was; how long that took.
    ///
    /// # Errors
    /// When that does not come to pass.
    pub async fn sync(&self, namespace: &str, stamp: &str) -> Result<Duration> {
        let begun = Instant::now();
        let connections = self.connections(namespace);
        let patch = json!({"metadata": {"annotations": {"scim-operator.io/reconcile-at": stamp}}});
        connections
            .patch("scim", &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        let answered = |connection: Option<&DynamicObject>| {
            connection.is_some_and(|c| c.data["status"]["lastHandledReconcileAt"] == stamp)
        };
        wait::wait_for_object(connections, "scim", "the listing", DEADLINE * 5, answered).await?;
        Ok(begun.elapsed())
    }
}

/// A simulator in this process; pages as large as the connection asks for.
///
/// # Errors
/// When no port is to be had.
pub async fn simulator() -> Result<Simulator> {
    let config = SimConfig {
        tokens: vec![TOKEN.to_owned()],
        page_cap: 1000,
        request_log_capacity: 0,
        ..SimConfig::default()
    };
    Ok(Simulator::start(config).await?)
}

/// A user as an administrator declares one.
pub fn user(name: &str) -> Value {
    let address = format!("{name}@example.com");
    json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": name, "labels": {"team": "bench"}}, "spec": {
        "connectionRef": {"name": "scim"}, "userName": address,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": address, "primary": true}],
        "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en-GB",
        "enterprise": {"department": "Engines", "employeeNumber": "1815"}}})
}

/// Does this for each, so many at a time.
///
/// # Errors
/// The first that occurs.
pub async fn at_once<T, F: Future<Output = Result<()>>>(
    most: usize,
    each: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> F,
) -> Result<()> {
    futures::stream::iter(each.into_iter().map(work))
        .buffer_unordered(most)
        .try_collect()
        .await
}

/// A kind of ours, or one like it.
pub fn api(
    client: &kube::Client,
    group: &str,
    namespace: &str,
    kind: &str,
    plural: &str,
) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// A binary of this build.
fn beside(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let binary = this.parent().context("in no folder")?.join(name);
    ensure!(binary.exists(), "{} is not built", binary.display());
    Ok(binary)
}
