//! How many passes there were, of each kind, and how long they took: of the whole process.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use crate::api::{ScimConnection, ScimGroup};
use crate::controller::context::Context;
use crate::controller::kept::KeptUser;
use crate::controller::{connection, group, spans, user};

/// A pass over a user, counted.
///
/// # Errors
/// As the pass itself.
pub async fn user(user: Arc<KeptUser>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let all = context.clone();
    let span = spans::pass("ScimUser", &*user);
    let pass = user::reconcile(user, context);
    all.passes.users.count(span, pass).await
}

/// A pass over a group, counted.
///
/// # Errors
/// As the pass itself.
pub async fn group(group: Arc<ScimGroup>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let all = context.clone();
    let span = spans::pass("ScimGroup", &*group);
    let pass = group::reconcile(group, context);
    all.passes.groups.count(span, pass).await
}

/// A pass over a connection, counted.
///
/// # Errors
/// As the pass itself.
pub async fn connection(
    connection: Arc<ScimConnection>,
    context: Arc<Context>,
) -> Result<Action, kube::Error> {
    let all = context.clone();
    let span = spans::pass("ScimConnection", &*connection);
    let pass = connection::reconcile(connection, context);
    all.passes.connections.count(span, pass).await
}

/// Upper bounds of how long a pass takes, in seconds. It waits for its turn at the backend meanwhile.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0];

/// The passes of one kind.
#[derive(Debug)]
pub struct Passes {
    durations: Histogram,
    failed: Counter,
}

impl Default for Passes {
    fn default() -> Self {
        Self {
            durations: Histogram::new(SECONDS),
            failed: Counter::default(),
        }
    }
}

impl Passes {
    /// Times a pass, and counts it where it failed. One that is dropped before its end is not counted.
    pub async fn count<T, E>(
        &self,
        span: Span,
        pass: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let came = pass.instrument(span.clone()).await;
        if came.is_err() {
            spans::failed(&span);
        }
        self.took(begun.elapsed(), came.is_err());
        came
    }

    fn took(&self, time: Duration, failed: bool) {
        self.durations.observe(time.as_secs_f64());
        self.failed.inc_by(u64::from(failed));
    }
}

/// The passes of all kinds.
#[derive(Debug, Default)]
pub struct AllPasses {
    /// Of ScimUsers.
    pub users: Passes,
    /// Of ScimGroups.
    pub groups: Passes,
    /// Of ScimConnections.
    pub connections: Passes,
}

impl AllPasses {
    /// Shows them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn encode(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Self {
            users,
            groups,
            connections,
        } = self;
        let all = [
            ("ScimUser", users),
            ("ScimGroup", groups),
            ("ScimConnection", connections),
        ];
        let help =
            "How long passes over objects take, the time included that they wait for their backend";
        let unit = Unit::Seconds;
        let kind = MetricType::Histogram;
        let mut family = out.encode_descriptor("pass_duration", help, Some(&unit), kind)?;
        for (kind, passes) in all {
            passes
                .durations
                .encode(family.encode_family(&[("kind", kind)])?)?;
        }
        let help =
            "Passes that failed because the API server did not take a write; they are tried again";
        let kind = MetricType::Counter;
        let mut family = out.encode_descriptor("passes_failed", help, None, kind)?;
        for (kind, passes) in all {
            passes
                .failed
                .encode(family.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}
