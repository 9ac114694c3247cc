//! What the tests with servers share: a control plane with our CRDs and chart, the real operator
//! binary under the chart's ServiceAccount, a SCIM backend behind a recording proxy.
#![allow(dead_code)] // Each test binary uses its own part.

pub mod company;
pub mod groups;
#[cfg(feature = "cli")]
pub mod plugin;
pub mod relay;
pub mod scene;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use scim_operator::api::{ScimConnection, ScimUser};
use scim_operator_harness::operator::Options;
use scim_operator_harness::{ControlPlane, Operator, RecordingProxy, wait};
use serde_json::{Value, json};

pub const DEADLINE: Duration = Duration::from_secs(60);
pub const TOKEN: &str = "canary-7f3a-token";
pub const NAMESPACE: &str = "identity";

/// A value of the chart: no admission policy sets the finalizer, so that it shows whom the operator has begun with.
pub const OPERATOR_BINDS: &str = "finalizerPolicy.enabled=false";

/// The variables of an operator that takes part in an election, quicker than usual.
pub fn election(pod: &str) -> Vec<(&'static str, String)> {
    [
        ("LEADER_ELECT", "true"),
        ("POD_NAMESPACE", "scim-system"),
        ("POD_NAME", pod),
        ("LEASE_SECONDS", "4"),
        ("RENEW_SECONDS", "1"),
        ("RENEW_DEADLINE_SECONDS", "3"),
        ("REQUEST_TIMEOUT_SECONDS", "2"),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .to_vec()
}

/// A control plane with the chart installed, and its operator.
pub struct Rig {
    pub plane: ControlPlane,
    pub client: Client,
    pub operator: Operator,
}

impl Rig {
    /// Starts everything but a backend; the operator is alone and takes part in no election.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with these variables of the operator.
    pub async fn start_with(variables: &[(&str, String)]) -> Result<Self> {
        Self::start_by(&[], variables).await
    }

    /// The same, with these values of the chart as well.
    pub async fn start_by(values: &[&str], variables: &[(&str, String)]) -> Result<Self> {
        let access = format!("secretAccess=[{{\"namespace\":\"{NAMESPACE}\",\"names\":[]}}]");
        let mut arguments = vec!["--set-json", &*access];
        for value in values {
            arguments.extend(["--set", value]);
        }
        Self::start_on(ControlPlane::start().await?, &arguments, variables).await
    }

    /// The same on a plane that was started otherwise, with these arguments of `helm install`.
    pub async fn start_on(
        plane: ControlPlane,
        arguments: &[&str],
        variables: &[(&str, String)],
    ) -> Result<Self> {
        plane.create_namespace(NAMESPACE).await?;
        plane.create_namespace("scim-system").await?;
        let mut install = vec![
            "install",
            "scim-operator",
            "charts/scim-operator",
            "--namespace",
            "scim-system",
        ];
        install.extend(arguments);
        plane.helm(&install).await?;
        plane.await_declarations(NAMESPACE).await?;
        let client = plane.admin_client().await?;
        let operator = Self::operator(&plane, variables).await?;
        Ok(Self {
            plane,
            client,
            operator,
        })
    }

    /// An operator more, as the chart's ServiceAccount.
    pub async fn operator(plane: &ControlPlane, variables: &[(&str, String)]) -> Result<Operator> {
        let kubeconfig = plane
            .service_account_kubeconfig("scim-system", "scim-operator")
            .await?;
        let mut options = Options::new(env!("CARGO_BIN_EXE_scim-operator"), &kubeconfig)
            .variable("RUST_LOG", "info,scim_operator=debug");
        for (key, value) in variables {
            options = options.variable(*key, value);
        }
        let mut operator = Operator::start(&options)?;
        operator.await_ready(DEADLINE).await?;
        Ok(operator)
    }

    /// Starts the operator again, after it was killed.
    pub async fn restart(&mut self) -> Result<()> {
        self.operator = Self::operator(&self.plane, &[]).await?;
        Ok(())
    }

    pub fn users(&self) -> Api<ScimUser> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn connections(&self) -> Api<ScimConnection> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub async fn set_token(&self, token: &str) -> Result<()> {
        self.set_secret(json!({"token": token})).await
    }

    pub async fn set_secret(&self, data: Value) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "scim"}, "stringData": data});
        let _ = api.delete("scim", &DeleteParams::default()).await;
        api.create(&PostParams::default(), &serde_json::from_value(secret)?)
            .await?;
        Ok(())
    }

    /// A connection named `scim` to `endpoint`; `extra` is merged into its spec.
    pub async fn connect(&self, endpoint: &str, extra: Value) -> Result<()> {
        let mut spec = json!({
            "endpoint": endpoint, "insecure": true, "tokenSecretRef": {"name": "scim"},
            "limits": {"requestsPerSecond": 2000, "maxInFlight": 8}, "sync": {"interval": "1h"}
        });
        merge(&mut spec, extra);
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "scim"}, "spec": spec});
        self.connections()
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        Ok(())
    }

    /// Merges into the spec of the connection.
    pub async fn edit_connection(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.connections()
            .patch("scim", &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Approves what the connection holds by that hash.
    pub async fn approve(&self, hash: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {"scim-operator.io/approve-plan": hash}}});
        let parameters = PatchParams::default();
        self.connections()
            .patch("scim", &parameters, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Points the connection elsewhere, where nobody of ours is, and says that this is meant.
    pub async fn move_to(&self, endpoint: &str) -> Result<()> {
        self.edit_connection(json!({"endpoint": endpoint})).await?;
        let changed = self
            .connection_is("Ready", "False", "BackendChanged")
            .await?;
        let missing = changed.status.and_then(|s| s.missing_accounts);
        self.approve(&missing.unwrap_or_default().hash).await
    }

    /// Makes a ConfigMap or a Secret with one key, or lets it have that key alone.
    pub async fn keep(&self, kind: &str, name: &str, key: &str, text: &str) -> Result<()> {
        let field = if kind == "Secret" {
            "stringData"
        } else {
            "data"
        };
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, (field): {(key): text}});
        self.plane
            .kubectl_with_input(&["apply", "-f", "-"], &object.to_string())
            .await?;
        Ok(())
    }

    pub async fn connection_is(
        &self,
        kind: &str,
        status: &str,
        reason: &str,
    ) -> Result<ScimConnection> {
        self.told(
            wait::wait_for_condition(
                self.connections(),
                "scim",
                kind,
                status,
                Some(reason),
                DEADLINE,
            )
            .await,
        )
    }

    pub async fn user_is(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        reason: &str,
    ) -> Result<ScimUser> {
        self.told(
            wait::wait_for_condition(self.users(), name, kind, status, Some(reason), DEADLINE)
                .await,
        )
    }

    /// Waits until the whole status speaks of the newest spec.
    pub async fn settled(&self, name: &str) -> Result<ScimUser> {
        self.user_is(name, "Ready", "True", "Synced").await
    }

    /// An error with the end of the operator's log, which mostly says why.
    pub fn told<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| {
            let log = self.operator.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            anyhow::anyhow!(
                "{e:#}\n--- operator:\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        })
    }

    pub async fn declare(&self, name: &str, spec: Value) -> Result<ScimUser> {
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": name}, "spec": spec});
        Ok(self
            .users()
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?)
    }

    pub async fn edit(&self, name: &str, spec: Value) -> Result<()> {
        self.users()
            .patch(
                name,
                &PatchParams::default(),
                &Patch::Merge(json!({"spec": spec})),
            )
            .await?;
        Ok(())
    }

    /// Asks for a listing now and waits until it is done and everything it woke is settled.
    pub async fn sync(&self, stamp: &str) -> Result<()> {
        let patch =
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": stamp}}});
        self.connections()
            .patch("scim", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        let answered = wait::wait_for_object(
            self.connections(),
            "scim",
            "the sync to be answered",
            DEADLINE,
            |c: Option<&ScimConnection>| {
                c.and_then(|c| c.status.as_ref())
                    .and_then(|s| s.last_handled_reconcile_at.as_deref())
                    == Some(stamp)
            },
        );
        self.told(answered.await.map(|_| ()))
    }

    pub async fn condition(&self, name: &str, kind: &str) -> Result<(String, String, String)> {
        let user = self.users().get(name).await?;
        let conditions = user.status.map(|s| s.conditions).unwrap_or_default();
        let found = conditions
            .into_iter()
            .find(|c| c.type_ == kind)
            .with_context(|| format!("{name} has no condition {kind}"))?;
        Ok((found.status, found.reason, found.message))
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        self.users().delete(name, &DeleteParams::default()).await?;
        self.told(wait::wait_for_absence(self.users(), name, DEADLINE).await)
    }

    pub async fn version(&self, name: &str) -> Result<String> {
        Ok(self
            .users()
            .get(name)
            .await?
            .resource_version()
            .unwrap_or_default())
    }
}

pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A person that both profiles accept.
pub fn person(user_name: &str) -> Value {
    json!({
        "connectionRef": {"name": "scim"}, "userName": user_name,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": user_name, "primary": true}],
        "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en-GB",
        "enterprise": {"department": "Engines"}
    })
}

/// The backend, asked directly: what it has, whatever the operator believes.
pub struct Backend {
    pub base: String,
    pub http: reqwest::Client,
    pub token: String,
}

impl Backend {
    pub fn new(base: &str, token: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            http: reqwest::Client::new(),
            token: token.to_owned(),
        }
    }

    pub async fn users(&self) -> Result<Vec<Value>> {
        self.listed("Users").await
    }

    async fn listed(&self, endpoint: &str) -> Result<Vec<Value>> {
        let reply = self
            .http
            .get(format!("{}/{endpoint}?count=5000", self.base))
            .bearer_auth(&self.token)
            .send()
            .await?;
        let page: Value = reply.json().await?;
        Ok(page["Resources"].as_array().cloned().unwrap_or_default())
    }

    pub async fn user(&self, user_name: &str) -> Result<Value> {
        let found: Vec<Value> = self
            .users()
            .await?
            .into_iter()
            .filter(|u| {
                u["userName"]
                    .as_str()
                    .is_some_and(|n| n.eq_ignore_ascii_case(user_name))
            })
            .collect();
        match <[Value; 1]>::try_from(found) {
            Ok([user]) => Ok(user),
            Err(found) => bail!("{} accounts are named {user_name}", found.len()),
        }
    }

    pub async fn patch(&self, id: &str, operations: Value) -> Result<()> {
        self.patch_at(&format!("Users/{id}"), operations).await
    }

    async fn patch_at(&self, path: &str, operations: Value) -> Result<()> {
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        let request = self
            .http
            .patch(format!("{}/{path}", self.base))
            .bearer_auth(&self.token);
        let reply = request
            .header("content-type", "application/scim+json")
            .body(body.to_string())
            .send()
            .await?;
        if !reply.status().is_success() {
            bail!(
                "the outside edit was answered {}: {}",
                reply.status(),
                reply.text().await?
            );
        }
        Ok(())
    }

    pub async fn create(&self, body: Value) -> Result<Value> {
        let request = self
            .http
            .post(format!("{}/Users", self.base))
            .bearer_auth(&self.token);
        let reply = request
            .header("content-type", "application/scim+json")
            .body(body.to_string())
            .send()
            .await?;
        if !reply.status().is_success() {
            bail!(
                "POST was answered {}: {}",
                reply.status(),
                reply.text().await?
            );
        }
        Ok(reply.json().await?)
    }

    pub async fn remove(&self, id: &str) -> Result<()> {
        self.remove_at(&format!("Users/{id}")).await
    }

    async fn remove_at(&self, path: &str) -> Result<()> {
        self.http
            .delete(format!("{}/{path}", self.base))
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }
}

/// The methods of the writes since `mark`, in order.
pub fn writes_since(proxy: &RecordingProxy, mark: usize) -> Vec<String> {
    proxy
        .since(mark)
        .iter()
        .filter(|r| r.is_write())
        .map(|r| r.method.to_string())
        .collect()
}
