//! What the process shows to Prometheus, in the OpenMetrics text format.
//!
//! Nothing is measured here: whoever knows something registers a collector, which is asked at each scrape. So a
//! series ends with what it is about, and nothing is kept for those who never come. Which series there are, and
//! what they mean, is in `docs/metrics.md`, held equal to what is served by a test.
//!
//! No label says anything of a person: connections are named by namespace and name, everything else by words of
//! ours.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

/// What every name begins with.
const PREFIX: &str = "scim_operator";

/// The media type of what [`Metrics::text`] says.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the process shows. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which version runs", build);
        Self(Arc::new(Mutex::new(registry)))
    }
}

impl Metrics {
    /// Asks this one as well from the next scrape on. It is asked on a thread that may block for moments.
    pub fn add(&self, collector: impl Collector) {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(collector));
    }

    /// Shows this one as well, under a name without prefix.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(name, help, metric);
    }

    /// Everything, as it is now.
    ///
    /// # Errors
    /// When a collector cannot write what it knows.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
