//! Probes over HTTP: `/healthz` says that the process serves, `/readyz` that the API server answered.
//! A standby is ready as well as the leader: it can take over at any moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

/// Whether the operator is ready; shared with the composition root.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on `/readyz` answers 200.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Serves the probes; returns the address that was bound.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(address: SocketAddr, readiness: Readiness) -> std::io::Result<SocketAddr> {
    let ready = move || {
        let status = if readiness.0.load(Ordering::Relaxed) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        async move {
            (
                status,
                if status == StatusCode::OK {
                    "ok\n"
                } else {
                    "the API server has not answered yet\n"
                },
            )
        }
    };
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    let listener = tokio::net::TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the probe server ended");
        }
    });
    Ok(bound)
}
