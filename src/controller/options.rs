//! How the operator was started.

use std::time::Duration;

use crate::controller::spread::Seat;
use crate::controller::watched::Watched;
use crate::metrics::Metrics;
use crate::scim::{Fence, Wire};

/// How the operator was started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Allows loopback, link-local and metadata addresses as endpoints. For tests.
    pub allow_local_endpoints: bool,
    /// Uses the proxy named by the environment.
    pub use_system_proxy: bool,
    /// The longest that a request to a backend may take.
    pub longest_request: Duration,
    /// Until when requests to backends may begin, where this process works alone.
    pub fence: Fence,
    /// By which leases it shares the connections with others; where not, it works on all of them.
    pub seat: Option<Seat>,
    /// How long what is deleted with its namespace or its kind may hold that up.
    pub scope_grace: Duration,
    /// Where to show what is known.
    pub metrics: Metrics,
    /// Which namespaces are watched.
    pub watched: Watched,
    /// What carries requests to backends.
    pub wire: Wire,
}
