//! Traces, where they are asked for: spans over OTLP (protobuf over HTTP) to the collector that the usual variables
//! name (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`); the SDK reads the others,
//! `OTEL_TRACES_SAMPLER` and `OTEL_RESOURCE_ATTRIBUTES` among them, as OpenTelemetry's specification has them.
//!
//! Sent as protobuf, without compression, by a client that follows no redirect, so that a credential for the collector
//! (`OTEL_EXPORTER_OTLP_HEADERS`) stays with it. Only the spans of `scim/spans.rs` and `controller/spans.rs` are told, which hold neither token nor person.
//! Of log lines nothing goes along. A collector that is slow or away holds nothing up: what does not fit into the
//! queue is dropped, and that it is not taken is logged once.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    SpanExporter as Otlp, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// The name that a collector shows, unless `OTEL_SERVICE_NAME` says another.
const SERVICE: &str = "scim-operator";

/// The longest that a collector may take for what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest that the last spans may take on the way, when the process ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whether a span or a line is one that is traced, and so one that is not logged.
#[must_use]
pub fn is_span(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    metadata.is_span() && target.starts_with("scim_operator::") && target.ends_with("::spans")
}

/// What sends spans to the collector, until it is ended.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Where an endpoint is named, and `OTEL_SDK_DISABLED` does not say `true`; through the proxy that the environment
    /// names, or past it.
    ///
    /// # Errors
    /// Where what the variables say is no endpoint.
    pub fn asked_for(by_proxy: bool) -> Result<Option<Self>, TracesError> {
        let said = |name: &str| env::var(name).is_ok_and(|value| !value.trim().is_empty());
        let disabled =
            env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        let named = said(OTEL_EXPORTER_OTLP_ENDPOINT) || said(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
        if disabled || !named {
            return Ok(None);
        }
        let exporter = Otlp::builder()
            .with_http()
            .with_http_client(client(by_proxy)?);
        Ok(Some(Self::to(exporter.build()?)))
    }

    fn to(exporter: impl SpanExporter + 'static) -> Self {
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(Told::new(exporter))
            .build();
        Self(provider)
    }

    /// What takes the spans, and nothing else.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        // Where in the source, by which thread, and for how long it was polled: ours to know, and many bytes.
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_span))
    }

    /// Sends what is left, for a moment at most. Blocks.
    pub fn end(self) {
        // What is not taken has been told by then.
        let _ = self.0.shutdown_with_timeout(FAREWELL);
    }
}

/// Why there are no traces, though they are asked for.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A variable says what cannot be used.
    #[error("the exporter cannot be built")]
    Exporter(#[from] ExporterBuildError),
    /// TLS or a thread is not to be had.
    #[error("the client cannot be built")]
    Client,
}

/// The client of the exporter's own thread. Built on another one: it brings a runtime of its own, which may not be
/// made within ours.
fn client(by_proxy: bool) -> Result<reqwest::blocking::Client, TracesError> {
    let build = move || {
        let client = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE);
        if by_proxy { client } else { client.no_proxy() }.build()
    };
    let built = std::thread::spawn(build).join();
    built
        .map_err(|_| TracesError::Client)?
        .map_err(|_| TracesError::Client)
}

/// What the variables say of this process, with our name where they say none.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let unnamed = said
        .get(&Key::from_static_str("service.name"))
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let mut ours = Resource::builder();
    if unnamed {
        ours = ours.with_service_name(SERVICE);
    }
    ours.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// An exporter whose failures are told when they begin and when they are over.
#[derive(Debug)]
struct Told<E> {
    inner: E,
    failing: AtomicBool,
}

impl<E> Told<E> {
    fn new(inner: E) -> Self {
        Self {
            inner,
            failing: AtomicBool::new(false),
        }
    }

    fn came(&self, result: &OTelSdkResult) {
        let failing = result.is_err();
        if self.failing.swap(failing, Ordering::Relaxed) == failing {
            return;
        }
        // Not what it says: it may hold the address, with a password in it, or the collector's reply.
        if failing {
            tracing::warn!("traces are not taken by the collector, and are lost meanwhile");
        } else {
            tracing::info!("traces are taken again");
        }
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        self.came(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
