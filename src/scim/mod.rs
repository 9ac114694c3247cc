//! The SCIM 2.0 protocol: paths, patches, lenient reading of replies, one
//! bounded HTTP transport, and the listing of a whole collection.
//!
//! It knows nothing of Kubernetes, profiles or policies: it says what a
//! server answered, and leaves what to do about it to its callers.
//!
//! Guarantees kept by everything below:
//!
//! * the bearer token is sent to the configured origin only, and is in no
//!   `Debug` or `Display` output;
//! * errors carry no text of the server and no value of a resource;
//! * every reply, page count and wait is bounded.

pub mod address;
pub mod client;
pub mod config;
pub mod detail;
pub mod discovery;
pub mod endpoint;
pub mod error;
pub mod fence;
pub mod http;
pub mod limits;
pub mod listing;
pub mod patch;
pub mod path;
pub mod reply;
pub mod tally;
pub mod types;
pub mod wire;

mod bounded;
mod bulk;
mod cause;
mod path_value;
mod spans;

#[cfg(test)]
mod tests;

pub use client::{Client, Created, ListQuery, Located, Start};
pub use config::ClientConfig;
pub use detail::{SafeDetail, ScimType};
pub use discovery::{Capabilities, Discovery};
pub use endpoint::ConfigError;
pub use error::{Cause, ErrorClass, ScimError};
pub use fence::Fence;
pub use limits::{Lane, Limits, Turn, Turns};
pub use listing::{Listing, ListingOptions, list_all};
pub use patch::{Patch, PatchOp};
pub use path::{AttributePath, PathError};
pub use tally::{Answer, Operation, Tally};
pub use types::{Page, ResourceKind};
pub use wire::Wire;
