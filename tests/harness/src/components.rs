//! How the parts of a control plane are started: their flags, keys and ports.

use std::{net::TcpListener, process::Command, time::Duration};

use anyhow::Result;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::{
    certs::{Authority, Identity, SigningKey},
    controlplane::Options,
    process::Process,
    scratch::Scratch,
    tools::Tools,
    wait::eventually,
};

pub(crate) const START_DEADLINE: Duration = Duration::from_secs(60);

/// Starts etcd, and returns its address once it is ready.
pub(crate) async fn start_etcd(
    tools: &Tools,
    scratch: &Scratch,
    fsync: bool,
) -> Result<(Process, String)> {
    let endpoint = format!("http://127.0.0.1:{}", free_port()?);
    let mut command = Command::new(tools.binary("etcd"));
    command
        .arg(format!("--data-dir={}", scratch.join("etcd").display()))
        .arg(format!("--listen-client-urls={endpoint}"))
        .arg(format!("--advertise-client-urls={endpoint}"))
        // There are no peers, so nobody needs to know this port.
        .arg("--listen-peer-urls=http://127.0.0.1:0")
        .arg("--log-level=warn");
    if !fsync {
        command.arg("--unsafe-no-fsync");
    }
    let mut etcd = Process::spawn("etcd", &command, &scratch.join("etcd.log"))?;
    let health = format!("{endpoint}/readyz");
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(1))
        .build()?;
    eventually("etcd is ready", START_DEADLINE, async || {
        if let Err(ended) = etcd.check_running() {
            return Ok(Some(Err(ended)));
        }
        client.get(&health).send().await?.error_for_status()?;
        Ok(Some(Ok(())))
    })
    .await??;
    Ok((etcd, endpoint))
}

/// The command that runs the API server, and its administrator's kubeconfig.
/// The same command starts it again with the same port and keys.
pub(crate) fn apiserver(
    tools: &Tools,
    scratch: &Scratch,
    etcd: &str,
    options: &Options,
) -> Result<(Command, Value)> {
    let port = free_port()?;
    let authority = Authority::generate()?;
    let server = authority.server()?;
    let signing = SigningKey::generate()?;
    let mut command = Command::new(tools.binary("kube-apiserver"));
    for (flag, file, contents) in [
        ("client-ca-file", "ca.crt", &authority.certificate),
        ("tls-cert-file", "server.crt", &server.certificate),
        ("tls-private-key-file", "server.key", &server.key),
        (
            "service-account-signing-key-file",
            "sa.key",
            &signing.private,
        ),
        ("service-account-key-file", "sa.pub", &signing.public),
    ] {
        let path = scratch.write(file, contents)?;
        command.arg(format!("--{flag}={}", path.display()));
    }
    command
        .arg(format!("--etcd-servers={etcd}"))
        .arg(format!("--secure-port={port}"))
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            // No controller makes the accounts that it would insist on.
            "--disable-admission-plugins=ServiceAccount",
        ]);
    if options.audit_log {
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}],
        });
        let policy = scratch.write("audit-policy.json", policy.to_string())?;
        let log = scratch.write("audit.jsonl", "")?;
        command
            .arg(format!("--audit-policy-file={}", policy.display()))
            .arg(format!("--audit-log-path={}", log.display()));
    }
    command.args(&options.apiserver_flags);
    let admin = authority.client("admin", "system:masters")?;
    Ok((command, admin_kubeconfig(port, &authority, &admin)))
}

fn admin_kubeconfig(port: u16, authority: &Authority, admin: &Identity) -> Value {
    let base64 = |pem: &str| ByteString(pem.as_bytes().to_vec());
    let cluster = json!({
        "server": format!("https://127.0.0.1:{port}"),
        "certificate-authority-data": base64(&authority.certificate),
    });
    let user = json!({
        "client-certificate-data": base64(&admin.certificate),
        "client-key-data": base64(&admin.key),
    });
    kubeconfig(cluster, &user, "default")
}

/// A kubeconfig in JSON, which is YAML too.
pub(crate) fn kubeconfig(cluster: Value, user: &Value, namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "plane",
        "clusters": [{"name": "plane", "cluster": cluster}],
        "users": [{"name": "plane", "user": user}],
        "contexts": [{
            "name": "plane",
            "context": {"cluster": "plane", "user": "plane", "namespace": namespace},
        }],
    })
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
