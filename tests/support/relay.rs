//! A relay of bytes before the API server that can fall silent, as a network does that drops packets:
//! connections stay open, and nothing comes through.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use scim_operator_harness::ControlPlane;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Relay {
    address: SocketAddr,
    silence: Arc<watch::Sender<Silence>>,
    accepted: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
struct Silence {
    /// Connections below that number carry nothing any more.
    below: usize,
}

impl Relay {
    /// Starts one before that address.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let silence = Arc::new(watch::Sender::new(Silence { below: 0 }));
        let told = silence.clone();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((near, _)) = listener.accept().await else {
                    return;
                };
                count.store(number + 1, Ordering::Relaxed);
                let Ok(far) = TcpStream::connect(upstream).await else {
                    continue;
                };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(carry(number, near_in, far_out, told.subscribe()));
                tokio::spawn(carry(number, far_in, near_out, told.subscribe()));
            }
        });
        Ok(Self {
            address,
            silence,
            accepted,
        })
    }

    /// Starts one before a control plane; and the kubeconfig of the chart's ServiceAccount by way of it.
    pub async fn before_plane(plane: &ControlPlane) -> Result<(Self, PathBuf)> {
        let account = plane
            .service_account_kubeconfig("scim-system", "scim-operator")
            .await?;
        let direct = std::fs::read_to_string(&account)?;
        let relay = Self::start(server_of(&direct)?.parse()?).await?;
        let relayed = account.with_extension("relayed");
        std::fs::write(&relayed, relay.before(&direct)?)?;
        Ok((relay, relayed))
    }

    /// The same kubeconfig, by way of the relay.
    pub fn before(&self, kubeconfig: &str) -> Result<String> {
        let server = server_of(kubeconfig)?;
        Ok(kubeconfig.replace(&server, &self.address.to_string()))
    }

    /// From now on nothing comes through, in connections of now and of later.
    pub fn fall_silent(&self) {
        self.silence.send_replace(Silence { below: usize::MAX });
    }

    /// From now on nothing comes through in the connections of now; new ones work.
    pub fn silence_those_of_now(&self) {
        self.silence_the_first(self.accepted.load(Ordering::Relaxed));
    }

    /// From now on nothing comes through in the first connections, so many of them; new ones work.
    pub fn silence_the_first(&self, connections: usize) {
        self.silence.send_replace(Silence { below: connections });
    }
}

/// The address of the API server in a kubeconfig in JSON.
pub fn server_of(kubeconfig: &str) -> Result<String> {
    let (_, after) = kubeconfig.split_once("https://").context("no https://")?;
    let (server, _) = after.split_once('"').context("no end of the URL")?;
    Ok(server.trim_end_matches('/').to_owned())
}

async fn carry(
    number: usize,
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut silence: watch::Receiver<Silence>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // Until the sender is gone, and with it the test.
        if silence.wait_for(|now| number >= now.below).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}
