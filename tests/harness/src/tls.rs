//! TLS in front of a server that speaks plain HTTP: a backend whose certificate a private authority
//! signed. What is said inside is the other server's business; bytes are passed on unread.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::certs::Identity;

/// The running front; its connections close when it is dropped.
///
/// It runs on the runtime that started it.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl TlsFront {
    /// Starts one before the server at that address, on a free port of 127.0.0.1.
    pub async fn start(backend: SocketAddr, identity: &Identity) -> Result<TlsFront> {
        crate::controlplane::install_crypto_provider();
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context("the server's certificate")?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
            .context("the server's private key")?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepting = tokio::spawn(accept(listener, acceptor, backend)).abort_handle();
        Ok(TlsFront { address, accepting })
    }

    /// The URL of its root, without a slash at its end.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Dropping this future (the task is aborted) drops every connection.
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, backend: SocketAddr) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        // Finished connections are let go as new ones come.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // A client that does not trust the certificate, or left: either is its own to tell.
            let Ok(mut client) = acceptor.accept(stream).await else {
                return;
            };
            let Ok(mut server) = TcpStream::connect(backend).await else {
                return;
            };
            server.set_nodelay(true).ok();
            copy_bidirectional(&mut client, &mut server).await.ok();
        });
    }
}
