//! Replies that are no good: pages of HTML, endless documents, bytes that come one by one.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;

/// What a proxy or a login page answers in place of SCIM.
pub(crate) const HTML_PAGE: &str =
    "<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>";

const GIANT_HEAD: &str = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":1,"Resources":[{"id":"1","userName":""#;
const GIANT_TAIL: &str = r#""}]}"#;
const CHUNK: usize = 64 * 1_024;

/// A well-formed list of one user whose name is `mib` MiB long; never held in memory.
pub(crate) fn giant(mib: u64) -> Body {
    let chunks = mib.saturating_mul(1_048_576) / CHUNK as u64;
    let filler = Bytes::from(vec![b'a'; CHUNK]);
    let parts = stream::unfold(0, move |at| {
        let part = match at {
            0 => Some(Bytes::from_static(GIANT_HEAD.as_bytes())),
            at if at <= chunks => Some(filler.clone()),
            at if at == chunks + 1 => Some(Bytes::from_static(GIANT_TAIL.as_bytes())),
            _ => None,
        };
        std::future::ready(part.map(|part| (Ok::<_, Infallible>(part), at + 1)))
    });
    Body::from_stream(parts)
}

/// The same bytes, one at a time.
pub(crate) fn drip(bytes: Vec<u8>, pause: Duration) -> Body {
    let bytes = Bytes::from(bytes);
    let parts = stream::unfold(0, move |at| {
        let bytes = bytes.clone();
        async move {
            if at >= bytes.len() {
                return None;
            }
            tokio::time::sleep(pause).await;
            Some((Ok::<_, Infallible>(bytes.slice(at..=at)), at + 1))
        }
    });
    Body::from_stream(parts)
}
