//! What the runs of one lane share: a control plane with the chart installed, and the ways to it. Runs
//! of a lane follow one another; each finds the namespace empty.
//!
//! Each lane has a control plane of its own, since the operator watches the whole cluster: two in one
//! would each do the work of both.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::{
    ControlPlane,
    certs::{Authority, Identity},
    components, wait,
};

/// Where everything is declared.
pub const NAMESPACE: &str = "identity";
const SYSTEM: &str = "scim-system";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/scim-operator");
const WIPED_WITHIN: Duration = Duration::from_secs(30);

/// One lane.
pub struct Lane {
    /// Who may do everything.
    pub client: Client,
    /// The operator's binary.
    pub binary: PathBuf,
    /// Reaches the API server as whoever asks.
    pub upstream: reqwest::Client,
    /// The API server's URL.
    pub server: String,
    /// TLS as the front before the API server offers it.
    pub tls: TlsAcceptor,
    authority: String,
    user: Value,
    plane: ControlPlane,
}

impl Lane {
    /// Starts a control plane, with the chart installed.
    pub async fn start(binary: PathBuf) -> Result<Lane> {
        ensure!(
            std::env::var_os("SCIM_OPERATOR_USE_KUBECONFIG").is_none(),
            "crash points need control planes of their own: unset SCIM_OPERATOR_USE_KUBECONFIG"
        );
        let plane = ControlPlane::start().await?;
        plane.create_namespace(NAMESPACE).await?;
        plane.create_namespace(SYSTEM).await?;
        let access = format!("secretAccess=[{{\"namespace\":\"{NAMESPACE}\",\"names\":[]}}]");
        let install = ["install", "scim-operator", CHART, "--namespace", SYSTEM];
        plane
            .helm(&[&install[..], &["--set-json", &access]].concat())
            .await?;
        plane.await_declarations(NAMESPACE).await?;
        let kubeconfig = plane
            .service_account_kubeconfig(SYSTEM, "scim-operator")
            .await?;
        let kubeconfig: Value = serde_json::from_slice(&std::fs::read(kubeconfig)?)?;
        let cluster = &kubeconfig["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().context("no server is named")?;
        let authority = Authority::named("crash points")?;
        Ok(Lane {
            client: plane.admin_client().await?,
            binary,
            upstream: upstream(cluster)?,
            server: server.trim_end_matches('/').to_owned(),
            tls: acceptor(&authority.server()?)?,
            authority: authority.certificate,
            user: kubeconfig["users"][0]["user"].clone(),
            plane,
        })
    }

    /// A kubeconfig of the operator's account, by way of a front.
    pub fn kubeconfig(&self, front: &str) -> Result<PathBuf> {
        let authority = k8s_openapi::ByteString(self.authority.as_bytes().to_vec());
        let cluster = json!({
            "server": format!("https://{front}"), "certificate-authority-data": authority,
        });
        let kubeconfig = components::kubeconfig(cluster, &self.user, SYSTEM);
        let path = self
            .plane
            .directory()
            .join("by-way-of-the-front.kubeconfig");
        std::fs::write(&path, kubeconfig.to_string())?;
        Ok(path)
    }

    /// Objects of a kind of ours.
    pub fn objects(&self, kind: &str) -> Api<DynamicObject> {
        self.api("scim-operator.io", "v1alpha1", kind)
    }

    /// Events as they are published.
    pub fn events(&self) -> Api<DynamicObject> {
        self.api("events.k8s.io", "v1", "Event")
    }

    /// Secrets.
    pub fn secrets(&self) -> Api<DynamicObject> {
        self.api("", "v1", "Secret")
    }

    fn api(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    /// Removes everything that a run left, while no operator runs.
    pub async fn wipe(&self) -> Result<()> {
        let all = [
            self.objects("ScimUser"),
            self.objects("ScimGroup"),
            self.objects("ScimConnection"),
            self.secrets(),
            self.events(),
        ];
        try_join_all(all.iter().map(emptied)).await?;
        Ok(())
    }
}

async fn emptied(api: &Api<DynamicObject>) -> Result<()> {
    let (delete, list) = (DeleteParams::default(), ListParams::default());
    if api.list(&list).await?.items.is_empty() {
        return Ok(());
    }
    api.delete_collection(&delete, &list).await?;
    wait::eventually("the namespace is empty", WIPED_WITHIN, async || {
        let left = api.list(&list).await?.items;
        for object in left.iter().filter(|o| !o.finalizers().is_empty()) {
            let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            let (name, parameters) = (object.name_any(), PatchParams::default());
            // One that went meanwhile is what is wanted.
            api.patch(&name, &parameters, &patch).await.ok();
        }
        Ok(left.is_empty().then_some(()))
    })
    .await
}

/// What trusts the plane's authority and no other, and changes nothing of what passes.
fn upstream(cluster: &Value) -> Result<reqwest::Client> {
    let authority = &cluster["certificate-authority-data"];
    let pem: k8s_openapi::ByteString = serde_json::from_value(authority.clone())?;
    Ok(reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem.0)?])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .no_gzip()
        .build()?)
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the front's certificate")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
        .context("the front's private key")?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
