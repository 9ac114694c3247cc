//! What a connection needs to be built. Checked in `endpoint` and `http`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::scim::fence::Fence;
use crate::scim::limits::Limits;
use crate::scim::tally::Tally;
use crate::scim::wire::Wire;

/// What a connection needs to be built.
#[derive(Clone)]
pub struct ClientConfig {
    /// The base URL, such as `https://example.com/scim/v2/`.
    pub endpoint: String,
    /// The bearer token (RFC 6750).
    pub token: SecretString,
    /// Certificates to trust besides the system's, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Allows loopback, link-local and metadata addresses.
    pub allow_local: bool,
    /// Allows http.
    pub insecure: bool,
    /// How hard the backend may be worked.
    pub limits: Limits,
    /// The longest a request may take, from connecting to the last byte.
    pub request_timeout: Duration,
    /// Until when requests may begin.
    pub fence: Fence,
    /// Where requests are counted.
    pub tally: Arc<Tally>,
    /// What carries the requests.
    pub wire: Wire,
    /// Uses the proxy named by the environment. The check of addresses after
    /// DNS resolution is then the proxy's duty, since it resolves.
    pub use_system_proxy: bool,
    /// Sends lookups as `POST …/.search` (RFC 7644 §3.4.3), which keeps
    /// personal data out of the server's access logs; falls back to GET where
    /// the server does not offer it.
    pub search_by_post: bool,
    /// Sends nothing but GET, and POST to `.search`: whatever else is asked
    /// for is an error, and no request.
    pub read_only: bool,
}

impl ClientConfig {
    /// The strictest configuration: https, no local addresses, no proxy, 30 s
    /// a request, gentle limits; no fence.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, token: SecretString) -> Self {
        Self {
            endpoint: endpoint.into(),
            token,
            ca_pem: None,
            allow_local: false,
            insecure: false,
            limits: Limits::default(),
            request_timeout: Duration::from_secs(30),
            fence: Fence::none(),
            tally: Arc::default(),
            wire: Wire::network(),
            use_system_proxy: false,
            search_by_post: false,
            read_only: false,
        }
    }
}

impl fmt::Debug for ClientConfig {
    /// Without the token, and without the endpoint, which may hold one by
    /// mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
