//! A place that takes traces by OTLP over HTTP, and keeps what it was sent, as bytes and as spans.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

#[derive(Debug, Default)]
struct Taken {
    down: AtomicBool,
    hangs: AtomicBool,
    bodies: Mutex<Vec<Bytes>>,
}

/// A running collector; gone when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
    serving: AbortHandle,
}

impl Collector {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Result<Collector> {
        let taken = Arc::new(Taken::default());
        let kept = taken.clone();
        let take = move |body: Bytes| {
            let kept = kept.clone();
            async move {
                if kept.hangs.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                if kept.down.load(Ordering::Relaxed) {
                    return StatusCode::FORBIDDEN;
                }
                kept.bodies
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(body);
                StatusCode::OK
            }
        };
        let app = Router::new().route("/v1/traces", post(take));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Collector {
            address,
            taken,
            serving: serving.abort_handle(),
        })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` says for it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it refuses what it is sent, or takes it again.
    pub fn set_down(&self, down: bool) {
        self.taken.down.store(down, Ordering::Relaxed);
    }

    /// From now on it answers nobody.
    pub fn hang(&self) {
        self.taken.hangs.store(true, Ordering::Relaxed);
    }

    /// The bodies of all requests that it took.
    pub fn bodies(&self) -> Vec<Bytes> {
        let bodies = &self.taken.bodies;
        bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All spans that it took, each with the name of the service it came from.
    pub fn spans(&self) -> Result<Vec<(String, Span)>> {
        let mut found = Vec::new();
        for body in self.bodies() {
            for of_one in ExportTraceServiceRequest::decode(body)?.resource_spans {
                let resource = of_one.resource.unwrap_or_default();
                let service = text(&resource.attributes, "service.name").unwrap_or_default();
                let spans = of_one.scope_spans.into_iter().flat_map(|s| s.spans);
                found.extend(spans.map(|span| (service.clone(), span)));
            }
        }
        Ok(found)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An attribute as text, where it is a text or a number.
pub fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    let Some(AnyValue { value: Some(value) }) = &found.value else {
        return None;
    };
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}
