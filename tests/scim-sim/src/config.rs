//! How a simulator is set up, and the switches for what nobody documents about CybSafe.
//!
//! A [`Dialect`] is a legitimate choice of a server; what is wrong with a server is in
//! [`Faults`].

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Faults;

/// The bearer token accepted by [`SimConfig::default`].
pub const DEFAULT_TOKEN: &str = "scim-sim-token";

/// Everything that [`Simulator::start`](crate::Simulator::start) needs.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The bearer tokens accepted at the start (RFC 6750 §2.1).
    pub tokens: Vec<String>,
    /// The path below which the SCIM endpoints lie, with or without slashes at the ends.
    pub base_path: String,
    /// The most resources a page holds; also the default when `count` is absent (RFC 7644 §3.4.2.4).
    pub page_cap: usize,
    /// How many requests the log keeps; older ones are forgotten, counts are not.
    pub request_log_capacity: usize,
    /// What the server legitimately does one way or the other.
    pub dialect: Dialect,
    /// What is wrong with the server at the start.
    pub faults: Faults,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tokens: vec![DEFAULT_TOKEN.to_owned()],
            base_path: "/scim/v2".to_owned(),
            page_cap: 100,
            request_log_capacity: 10_000,
            dialect: Dialect::default(),
            faults: Faults::default(),
        }
    }
}

/// Choices that a conforming server may make either way, or that CybSafe leaves undocumented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// The answer to a POST for the userName of an archived user.
    pub reactivate_on_create: ReactivationReply,
    /// DELETE archives the user instead of removing it, as legacy CybSafe pages say.
    pub delete_archives: bool,
    /// PATCH is answered 204 without a body instead of 200 with one (RFC 7644 §3.5.2).
    pub patch_no_content: bool,
    /// `externalId eq` is understood in filters; undocumented by CybSafe, so off by default.
    pub filter_external_id: bool,
    /// ETag, `meta.version`, If-Match and If-None-Match (RFC 7644 §3.14).
    pub etag: bool,
    /// Bulk requests (RFC 7644 §3.7); off when absent.
    pub bulk: Option<BulkLimits>,
    /// The result of a Bulk operation that succeeded carries the resource (RFC 7644 §3.7 leaves it open).
    pub bulk_shows_resources: bool,
    /// The work e-mail must be marked primary, as CybSafe's help asks.
    pub require_primary_email: bool,
    /// Removing by a filter that matches nothing is 400 noTarget instead of a success.
    ///
    /// RFC 7644 §3.5.2.2 leaves it open, while §3.12 defines noTarget for any such path.
    pub remove_without_match_fails: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            reactivate_on_create: ReactivationReply::Ok,
            delete_archives: false,
            patch_no_content: false,
            filter_external_id: false,
            etag: false,
            bulk: None,
            bulk_shows_resources: false,
            require_primary_email: true,
            remove_without_match_fails: false,
        }
    }
}

/// How a POST for the userName of an archived user is answered; CybSafe does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum ReactivationReply {
    /// 200: the user is active again, under its old id.
    #[default]
    Ok,
    /// 201: the same, answered as if the user were new.
    Created,
    /// 409 uniqueness: nothing changes, the user stays archived.
    Conflict,
}

impl TryFrom<u16> for ReactivationReply {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        match status {
            200 => Ok(Self::Ok),
            201 => Ok(Self::Created),
            409 => Ok(Self::Conflict),
            other => Err(format!(
                "a reactivation is answered 200, 201 or 409, not {other}"
            )),
        }
    }
}

impl From<ReactivationReply> for u16 {
    fn from(reply: ReactivationReply) -> Self {
        match reply {
            ReactivationReply::Ok => 200,
            ReactivationReply::Created => 201,
            ReactivationReply::Conflict => 409,
        }
    }
}

/// The limits of Bulk, advertised in ServiceProviderConfig (RFC 7643 §5) and enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BulkLimits {
    /// The most operations in one request; more is answered 413.
    pub max_operations: usize,
    /// The largest request body in bytes; more is answered 413.
    pub max_payload_size: usize,
}

impl Default for BulkLimits {
    fn default() -> Self {
        Self {
            max_operations: 1_000,
            max_payload_size: 1_048_576,
        }
    }
}
