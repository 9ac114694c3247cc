//! What a reply says: its body told apart, its status turned into an error,
//! the pause it asks for.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::scim::bounded::{self, Unread};
use crate::scim::detail::{SafeDetail, ScimType};
use crate::scim::error::ScimError;
use crate::scim::limits::MAX_PAUSE;

/// A reply that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Body,
}

/// What a body turned out to be, whatever its content type says.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    /// A web page: a login form, a gateway's error page.
    Html,
    Other,
}

/// What was asked for, which decides what a 404 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One resource by its id.
    Item,
    /// A collection or a discovery endpoint.
    Collection,
}

impl Body {
    /// Reads a body.
    ///
    /// # Errors
    /// [`ScimError::ReplyTooLarge`] where it takes more memory than a reply may.
    pub fn parse(bytes: &[u8], is_html: bool) -> Result<Self, ScimError> {
        let bytes = bytes
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(bytes)
            .trim_ascii();
        if bytes.is_empty() {
            return Ok(Self::Empty);
        }
        match bounded::read(bytes) {
            Ok(value) => Ok(Self::Json(value)),
            Err(Unread::TooLarge) => Err(ScimError::ReplyTooLarge),
            Err(Unread::NotJson) if is_html || bytes.starts_with(b"<") => Ok(Self::Html),
            Err(Unread::NotJson) => Ok(Self::Other),
        }
    }
}

impl Reply {
    /// The reply, if its status is a success.
    ///
    /// A 404 for a resource is believed only from a SCIM server: JSON, or
    /// nothing at all. A web page or a text such as `default backend - 404` is
    /// a gateway's, and must never pass for "the user is gone".
    pub fn success(self, target: Target) -> Result<Self, ScimError> {
        let status = self.status;
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let json = match &self.body {
            Body::Json(value) => Some(value),
            _ => None,
        };
        let detail = SafeDetail::of(json);
        let scim_type = detail.scim_type;
        Err(match status {
            300..400 => ScimError::OffOrigin { status },
            401 => ScimError::Unauthorized,
            403 => ScimError::Forbidden { detail },
            404 | 410 if target == Target::Item => match self.body {
                Body::Json(_) | Body::Empty => ScimError::NotFound,
                Body::Html | Body::Other => ScimError::NotScim {
                    why: "the 404 is not that of a SCIM server",
                },
            },
            405 | 501 => ScimError::NotImplemented,
            407 => ScimError::NotScim {
                why: "a proxy wants credentials",
            },
            409 => ScimError::Conflict { scim_type, detail },
            400 if scim_type == Some(ScimType::Uniqueness) => {
                ScimError::Conflict { scim_type, detail }
            }
            412 => ScimError::PreconditionFailed,
            413 => ScimError::PayloadTooLarge,
            429 => ScimError::RateLimited {
                retry_after: self.retry_after,
            },
            408 | 423 | 425 | 500..600 => ScimError::Server {
                status,
                retry_after: self.retry_after,
            },
            400..500 => ScimError::BadRequest {
                status,
                scim_type,
                detail,
            },
            _ => ScimError::NotScim {
                why: "an unknown status",
            },
        })
    }

    /// The JSON that a successful reply must have.
    pub fn json(self) -> Result<Value, ScimError> {
        match self.body {
            Body::Json(value) => Ok(value),
            Body::Empty => Err(ScimError::NotScim {
                why: "the answer is empty",
            }),
            Body::Html => Err(ScimError::NotScim {
                why: "the answer is a web page",
            }),
            Body::Other => Err(ScimError::NotScim {
                why: "the answer is not JSON",
            }),
        }
    }

    /// The resource a successful write may answer with: an object with an id.
    /// Anything else a server says there is no resource.
    pub fn resource(self) -> Result<Option<Value>, ScimError> {
        match self.body {
            Body::Json(value) => Ok(crate::scim::types::id_of(&value).map(|_| value)),
            Body::Html => Err(ScimError::NotScim {
                why: "the answer is a web page",
            }),
            Body::Empty | Body::Other => Ok(None),
        }
    }
}

/// The pause a reply asks for, capped at [`MAX_PAUSE`]: `Retry-After` as
/// seconds or as a date (RFC 9110 §10.2.3), else the reset headers in use, as
/// seconds from now or since 1970 (also in milliseconds).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    // The server's own clock, so that a skewed one does not matter.
    let now = text(DATE.as_str())
        .and_then(http_date)
        .unwrap_or_else(Timestamp::now);
    let standard = text(RETRY_AFTER.as_str())
        .and_then(|value| seconds(value).or_else(|| http_date(value).map(|date| until(now, date))));
    let reset = || {
        ["x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"]
            .into_iter()
            .find_map(|name| text(name).and_then(|value| reset_at(now, value)))
    };
    standard.or_else(reset).map(|pause| pause.min(MAX_PAUSE))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(MAX_PAUSE))
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|zoned| zoned.timestamp())
}

/// Numbers too large for a wait are points in time.
fn reset_at(now: Timestamp, text: &str) -> Option<Duration> {
    let value = seconds(text)?;
    match value.as_secs() {
        0..100_000_000 => Some(value),
        epoch @ 100_000_000..100_000_000_000 => Timestamp::from_second(i64::try_from(epoch).ok()?)
            .ok()
            .map(|at| until(now, at)),
        epoch => Timestamp::from_millisecond(i64::try_from(epoch).ok()?)
            .ok()
            .map(|at| until(now, at)),
    }
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn every_form_of_a_pause_is_understood() {
        type Case = (&'static [(&'static str, &'static str)], Option<u64>);
        const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let cases: &[Case] = &[
            (&[("retry-after", "7")], Some(7)),
            (&[("retry-after", " 7.4 ")], Some(7)),
            (
                &[DATE, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")],
                Some(30),
            ),
            (
                &[DATE, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")],
                Some(0),
            ),
            (&[("retry-after", "999999")], Some(300)),
            (&[("retry-after", "1e300")], Some(300)),
            (&[("retry-after", "-3")], None),
            (&[("retry-after", "soon")], None),
            (&[("x-ratelimit-reset", "12")], Some(12)),
            (&[DATE, ("x-rate-limit-reset", "784111787")], Some(10)),
            (&[DATE, ("x-ratelimit-reset", "784111787000")], Some(10)),
            (&[("ratelimit-reset", "3")], Some(3)),
            (&[("retry-after", "NaN"), ("ratelimit-reset", "3")], Some(3)),
            (&[], None),
        ];
        for (headers, expected) in cases {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::try_from(*name).unwrap(),
                        HeaderValue::from_str(value).unwrap(),
                    )
                })
                .collect();
            assert_eq!(
                retry_after(&map).map(|d| d.as_secs()),
                *expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn bodies_are_told_apart_by_what_they_are() {
        let parsed = |bytes: &[u8], is_html| Body::parse(bytes, is_html).unwrap();
        assert!(matches!(parsed(b" \n", true), Body::Empty));
        assert!(matches!(parsed(b"\xef\xbb\xbf{}", true), Body::Json(_)));
        assert!(matches!(parsed(b"<!doctype html>", false), Body::Html));
        assert!(matches!(parsed(b"no", true), Body::Html));
        assert!(matches!(parsed(b"no", false), Body::Other));
        let deep = "[".repeat(100_000);
        assert!(matches!(parsed(deep.as_bytes(), false), Body::Other));
    }
}
