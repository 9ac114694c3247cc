//! What carries a request to a backend and its answer back: the network, or a function that plays the
//! backend in memory, so that whatever a request can come to is explored on virtual time.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::scim::error::ScimError;

/// The way of one request.
pub type Carried = BoxFuture<'static, Result<reqwest::Response, ScimError>>;

type Carry = dyn Fn(reqwest::Request) -> Carried + Send + Sync;

/// The network, unless a function is given. Clones are one wire.
#[derive(Clone, Default)]
pub struct Wire(Option<Arc<Carry>>);

impl Wire {
    /// The network, with all that `http` promises of it.
    #[must_use]
    pub fn network() -> Self {
        Self(None)
    }

    /// A function. What a network does is its own to do: addresses are resolved by nobody, nothing is
    /// encrypted, and a request takes as long as the function does.
    pub fn in_memory(carry: impl Fn(reqwest::Request) -> Carried + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(carry)))
    }

    pub(crate) fn function(&self) -> Option<Arc<Carry>> {
        self.0.clone()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "Wire::network",
            Some(_) => "Wire::in_memory",
        })
    }
}
