//! Spans of what is asked of a backend: for how long a request waited for its turn, and what came of it.
//!
//! Target, method, host, status and nothing else: no path and no query, whose ids and filters are people's.
//! Nobody takes them where no traces are asked for, and then they cost a look at a flag. The backend is not told
//! of them either: no header says which trace a request belongs to.

use reqwest::{Method, Url};
use tracing::Span;
use tracing::field::Empty;

use crate::scim::limits::Lane;
use crate::scim::tally::{Answer, Operation};

/// One request, from its first byte to the end of the reply.
pub(crate) fn request(operation: Operation, method: &Method, url: &Url) -> Span {
    tracing::info_span!(
        "scim request",
        otel.kind = "client",
        otel.status_code = Empty,
        scim.operation = operation.as_str(),
        scim.answer = Empty,
        http.request.method = method.as_str(),
        http.response.status_code = Empty,
        server.address = url.host_str(),
    )
}

/// What came of it. A refusal is no error: the pass says what it means.
pub(crate) fn answered(span: &Span, status: Option<u16>, answer: Answer) {
    span.record("scim.answer", answer.as_str());
    if let Some(status) = status {
        span.record("http.response.status_code", status);
    }
    if matches!(answer, Answer::Failed | Answer::None) {
        span.record("otel.status_code", "ERROR");
    }
}

/// The wait for the right to send one request.
pub(crate) fn turn(lane: Lane) -> Span {
    let lane = match lane {
        Lane::Fresh => "fresh",
        Lane::Drift => "drift",
    };
    tracing::info_span!("scim turn", scim.lane = lane)
}
