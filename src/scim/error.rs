//! What can go wrong between a request and its reply, and what kind of
//! trouble it is.
//!
//! Guarantees: neither `Display` nor `Debug` of an error holds the token, a
//! URL, a text of the server or a value of a resource. What a server says is
//! reduced to its status, its `scimType` and the names of standard attributes
//! that occur in its text.

use std::time::Duration;

use thiserror::Error;

use crate::scim::detail::{SafeDetail, ScimType};

/// Why there was no connection, or no more of it. A list of our own, since the
/// texts of the layers below repeat names and bytes of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Cause {
    /// DNS does not know the name, or did not answer.
    #[error("its name does not resolve")]
    Name,
    /// Nothing listens there.
    #[error("the connection was refused")]
    Refused,
    /// The connection could not be opened in time.
    #[error("the connection was not opened in time")]
    ConnectTimeout,
    /// There is no way there, or none allowed.
    #[error("there is no route")]
    NoRoute,
    /// The connection was reset or closed.
    #[error("the connection was closed")]
    Closed,
    /// The certificate is outside its period of validity.
    #[error("its certificate has expired or is not valid yet")]
    CertificateExpired,
    /// The certificate is not for this host.
    #[error("its certificate is for another host")]
    CertificateHost,
    /// No trusted authority stands behind the certificate.
    #[error("its certificate is of an authority that is not trusted")]
    CertificateIssuer,
    /// The certificate is not acceptable for another reason.
    #[error("its certificate is not acceptable")]
    Certificate,
    /// TLS could not be agreed upon, for instance for want of TLS 1.2.
    #[error("TLS could not be agreed upon")]
    Tls,
    /// The request could not be written down.
    #[error("the request could not be built")]
    Request,
    /// None of these.
    #[error("the connection failed")]
    Other,
}

/// What a request came to, when it did not come to an answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScimError {
    /// 401: the token was refused.
    #[error("the server refused the token")]
    Unauthorized,
    /// 403: the token may not do this; some servers also say so of duplicates.
    #[error("the server forbids this request{detail}")]
    Forbidden {
        /// What the server said, reduced.
        detail: SafeDetail,
    },
    /// 404 or 410 for a resource named by its id, in the voice of a SCIM
    /// server (see `reply` for how a gateway's 404 is told apart).
    #[error("the server has no such resource")]
    NotFound,
    /// 409, or 400 with `scimType` `uniqueness`: another resource has it.
    #[error("the server reports a conflict with another resource{detail}")]
    Conflict {
        /// The type of the error, where the server gave one.
        scim_type: Option<ScimType>,
        /// What the server said, reduced.
        detail: SafeDetail,
    },
    /// 429.
    #[error("the server asks for fewer requests")]
    RateLimited {
        /// How long the server asked to be left alone; capped.
        retry_after: Option<Duration>,
    },
    /// 400 and other refusals of the request itself.
    #[error("the server rejected the request (status {status}){detail}")]
    BadRequest {
        /// The HTTP status.
        status: u16,
        /// The type of the error, where the server gave one.
        scim_type: Option<ScimType>,
        /// What the server said, reduced.
        detail: SafeDetail,
    },
    /// 5xx, and the 4xx that ask for another try (408, 423, 425).
    #[error("the server failed (status {status})")]
    Server {
        /// The HTTP status.
        status: u16,
        /// How long the server asked to be left alone; capped.
        retry_after: Option<Duration>,
    },
    /// 405 or 501: the server does not offer this operation.
    #[error("the server does not offer this operation")]
    NotImplemented,
    /// 412: the resource has changed since it was read.
    #[error("the resource has changed since it was read")]
    PreconditionFailed,
    /// 413: fewer things must be sent at a time.
    #[error("the request is too large for the server")]
    PayloadTooLarge,
    /// No connection came about: nothing was sent.
    #[error("the server cannot be reached: {0}")]
    Connect(Cause),
    /// The endpoint leads to an address the operator must not talk to.
    #[error("the endpoint leads to a loopback, link-local or metadata address")]
    AddressRefused,
    /// No answer in time. The request may have been applied.
    #[error("the server did not answer in time")]
    Timeout,
    /// The connection broke after the request was sent, or part of it. It may
    /// have been applied.
    #[error("the answer was lost: {0}")]
    ReplyLost(Cause),
    /// The answer is none of SCIM.
    #[error("the answer is not SCIM: {why}")]
    NotScim {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The answer exceeds the limit set for replies.
    #[error("the answer is larger than 16 MiB, or than 128 MiB once it is read")]
    ReplyTooLarge,
    /// The server pointed elsewhere; nothing is followed.
    #[error("the server redirects elsewhere (status {status}), which is not followed")]
    OffOrigin {
        /// The HTTP status.
        status: u16,
    },
    /// The connection was closed before the request was sent: it was given
    /// another configuration, or the operator stops.
    #[error("the connection was closed before the request was sent")]
    Closed,
    /// The client may only read: nothing was sent.
    #[error("this would change the server, and the client may only read")]
    ReadOnly,
    /// The id cannot be addressed: empty, `.`, `..` or too long.
    #[error("the id cannot be used in a URL")]
    UnusableId,
    /// The answer to a Bulk request says nothing that could be believed of this
    /// operation. It may have been applied.
    #[error("the answer to a Bulk request says nothing of this operation")]
    Unanswered,
    /// A request that carried several failed for all of them: one failure.
    #[error("{error}")]
    Shared {
        /// Tells the requests of one client apart.
        request: u64,
        /// How it failed.
        error: Box<ScimError>,
    },
}

/// What kind of trouble an error is; decides, in one place, who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The token is refused: somebody has to give another.
    Authentication,
    /// There is no SCIM server at the endpoint, or none can be reached.
    Unreachable,
    /// Try again later.
    Transient,
    /// Try again when the server said.
    RateLimited,
    /// Another resource is in the way.
    Conflict,
    /// The resource is not there.
    Gone,
    /// The server will not accept this content: trying again will not help.
    Rejected,
    /// The server does not offer the operation.
    Unsupported,
    /// Nothing was sent, and nothing is wrong: look at the connection again.
    Closed,
}

impl ScimError {
    /// The kind of trouble.
    ///
    /// A 403 counts as `Rejected`: it may be about one resource, and must not
    /// stop the whole connection. A caller whose *listing* is forbidden knows
    /// that it is about the token.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unauthorized => ErrorClass::Authentication,
            Self::NotFound => ErrorClass::Gone,
            Self::Conflict { .. } => ErrorClass::Conflict,
            Self::RateLimited { .. } => ErrorClass::RateLimited,
            Self::Forbidden { .. }
            | Self::BadRequest { .. }
            | Self::PayloadTooLarge
            | Self::UnusableId => ErrorClass::Rejected,
            Self::Server { .. }
            | Self::PreconditionFailed
            | Self::Timeout
            | Self::ReplyLost(_)
            | Self::ReplyTooLarge
            | Self::Unanswered => ErrorClass::Transient,
            Self::Shared { error, .. } => error.class(),
            Self::NotImplemented | Self::ReadOnly => ErrorClass::Unsupported,
            Self::Closed => ErrorClass::Closed,
            Self::Connect(_)
            | Self::AddressRefused
            | Self::NotScim { .. }
            | Self::OffOrigin { .. } => ErrorClass::Unreachable,
        }
    }

    /// Whether a request that changes something may have done so all the
    /// same, so that a POST must be looked up before it is sent again.
    #[must_use]
    pub fn possibly_applied(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Timeout
            | Self::ReplyLost(_)
            | Self::NotScim { .. }
            | Self::ReplyTooLarge
            | Self::Unanswered
            | Self::OffOrigin { .. } => true,
            Self::Shared { error, .. } => error.possibly_applied(),
            Self::Unauthorized
            | Self::Forbidden { .. }
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::BadRequest { .. }
            | Self::NotImplemented
            | Self::PreconditionFailed
            | Self::PayloadTooLarge
            | Self::Connect(_)
            | Self::AddressRefused
            | Self::Closed
            | Self::ReadOnly
            | Self::UnusableId => false,
        }
    }

    /// The failure, whoever else met it.
    #[must_use]
    pub fn itself(&self) -> &Self {
        match self {
            Self::Shared { error, .. } => error.itself(),
            error => error,
        }
    }

    /// Which request failed, where it failed for several: for each of them it
    /// is this one failure.
    #[must_use]
    pub fn request(&self) -> Option<u64> {
        match self {
            Self::Shared { request, .. } => Some(*request),
            _ => None,
        }
    }

    /// How long the server asked to be left alone, at most
    /// [`crate::scim::limits::MAX_PAUSE`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.itself() {
            Self::RateLimited { retry_after } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The `scimType` of a refusal, where the server gave a known one.
    #[must_use]
    pub fn scim_type(&self) -> Option<ScimType> {
        match self.itself() {
            Self::Conflict { scim_type, .. } | Self::BadRequest { scim_type, .. } => *scim_type,
            _ => None,
        }
    }
}
