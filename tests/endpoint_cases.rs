//! Where the operator goes with a token: not to the machine it runs on unless it was started to, and through a proxy
//! only with what a proxy cannot read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use scim_operator_harness::certs::Authority;
use scim_operator_harness::operator::Options;
use scim_operator_harness::{Operator, RecordingProxy, TlsFront, wait};
use serde_json::json;
use support::scene::simulator;
use support::{DEADLINE, Rig, TOKEN, person};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_on_this_machine_is_refused_by_the_operator_as_it_ships() -> Result<()> {
    let mut rig = Rig::start().await?;
    rig.operator.terminate(DEADLINE).await?;
    let account = rig
        .plane
        .service_account_kubeconfig("scim-system", "scim-operator")
        .await?;
    let options = Options::new(env!("CARGO_BIN_EXE_scim-operator"), &account);
    rig.operator = Operator::start(&options.without_local_endpoints())?;
    rig.operator.await_ready(DEADLINE).await?;
    let simulator = simulator().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    let port = proxy.address().port();
    rig.set_token(TOKEN).await?;
    rig.connect("https://192.0.2.1/", json!({})).await?;
    for host in [
        "127.0.0.1",
        "2130706433",
        "localhost",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
    ] {
        let endpoint = format!("http://{host}:{port}/");
        rig.edit_connection(json!({"endpoint": endpoint})).await?;
        let told = rig
            .connection_is("Reachable", "False", "EndpointRefused")
            .await?;
        let said = wait::condition(&told, "Reachable").unwrap_or_default()["message"].to_string();
        ensure!(
            said.contains("spec.endpoint") && !said.contains(host),
            "{host}: {said}"
        );
    }
    ensure!(proxy.requests().is_empty(), "{:?}", proxy.requests());
    Ok(())
}

/// A proxy of the kind that companies have: it opens tunnels (RFC 9110 §9.3.6), and keeps all that it is told.
struct Tunnels {
    address: SocketAddr,
    told: Arc<Mutex<Vec<u8>>>,
}

impl Tunnels {
    async fn start() -> Result<Tunnels> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = told.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, kept.clone()));
            }
        });
        Ok(Tunnels { address, told })
    }

    fn told(&self) -> String {
        String::from_utf8_lossy(&self.told.lock().unwrap()).into_owned()
    }
}

async fn tunnel(mut client: TcpStream, told: Arc<Mutex<Vec<u8>>>) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    told.lock().unwrap().extend(&head);
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let mut server = TcpStream::connect(target).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let back = tokio::io::copy(&mut from_server, &mut to_client);
    let forth = async {
        let mut bytes = [0; 4096];
        loop {
            let read = from_client.read(&mut bytes).await?;
            if read == 0 {
                return anyhow::Ok(());
            }
            told.lock().unwrap().extend(&bytes[..read]);
            to_server.write_all(&bytes[..read]).await?;
        }
    };
    tokio::select! { _ = back => Ok(()), end = forth => end }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_carries_what_is_encrypted_and_is_never_given_the_token() -> Result<()> {
    let tunnels = Tunnels::start().await?;
    let proxy = format!("http://{}", tunnels.address);
    // By this name kube's client does not look for it, whose server is no business of the proxy.
    let rig = Rig::start_with(&[
        ("USE_SYSTEM_PROXY", "true".into()),
        ("all_proxy", proxy),
        ("no_proxy", String::new()),
    ])
    .await?;
    let simulator = simulator().await?;
    let backend = RecordingProxy::start(&simulator.base_url()).await?;
    let authority = Authority::generate()?;
    let front = TlsFront::start(backend.address(), &authority.server()?).await?;
    rig.set_token(TOKEN).await?;
    rig.keep("ConfigMap", "company", "ca.crt", &authority.certificate)
        .await?;

    // Plain http goes past the proxy: it would be handed the token to read.
    rig.connect(&backend.url(), json!({"caBundleRef": {"name": "company"}}))
        .await?;
    rig.connection_is("Ready", "True", "Connected").await?;
    ensure!(
        tunnels.told().is_empty(),
        "the proxy was told {}",
        tunnels.told()
    );
    rig.connection_is("Insecure", "True", "PlainHttp").await?;

    // https goes through it, and is opaque to it.
    let mark = backend.mark();
    rig.edit_connection(json!({"endpoint": front.url(), "insecure": false}))
        .await?;
    rig.connection_is("Ready", "True", "Connected").await?;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    ensure!(!backend.since(mark).is_empty(), "nothing came through");
    let told = tunnels.told();
    let host = front.url().replace("https://", "");
    ensure!(
        told.starts_with(&format!("CONNECT {host} HTTP/1.1")),
        "{}",
        &told[..80]
    );
    for secret in [TOKEN, "ada@example.com", "uthorization"] {
        ensure!(!told.contains(secret), "the proxy was told {secret}");
    }
    Ok(())
}
