//! Spans of passes, and of what they ask of the API server: the roots of what `scim/spans.rs` adds to.
//!
//! They say which object a pass is over, as log lines do, and nothing of what it declares.

use http::Request;
use kube::client::Body;
use kube::{Resource, ResourceExt};
use tracing::Span;
use tracing::field::Empty;

/// A pass over an object of this kind.
pub fn pass(kind: &'static str, object: &impl Resource) -> Span {
    tracing::info_span!(
        parent: None,
        "pass",
        otel.name = kind,
        otel.status_code = Empty,
        k8s.resource.kind = kind,
        k8s.namespace.name = object.namespace(),
        k8s.resource.name = object.name_any(),
    )
}

/// The pass failed, and is tried again.
pub fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// A request to the API server.
pub fn asked(method: &'static str, request: &Request<Body>) -> Span {
    let path = request.uri().path();
    tracing::info_span!(
        "api server request",
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        k8s.resource = resource(path),
        k8s.subresource = subresource(path),
    )
}

/// What the API server answered; `None` where it did not.
pub fn answered(span: &Span, code: Option<u16>) {
    if let Some(code) = code {
        span.record("http.response.status_code", code);
    }
    if code.is_none_or(|code| code >= 500) {
        span.record("otel.status_code", "ERROR");
    }
}

/// What follows the version in a path of the API: the plural, then a name, then a subresource.
fn parts(path: &str) -> Vec<&str> {
    let all: Vec<&str> = path.split('/').skip(1).collect();
    match all.as_slice() {
        ["api", _, "namespaces", _, rest @ ..] | ["apis", _, _, "namespaces", _, rest @ ..]
            if !rest.is_empty() =>
        {
            rest.to_vec()
        }
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest.to_vec(),
        _ => Vec::new(),
    }
}

fn resource(path: &str) -> Option<&str> {
    parts(path).first().copied()
}

fn subresource(path: &str) -> Option<&str> {
    parts(path).get(2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_only_the_kind_is_told() {
        for (path, plural, sub) in [
            ("/version", None, None),
            ("/api/v1/namespaces", Some("namespaces"), None),
            ("/api/v1/namespaces/identity", Some("namespaces"), None),
            ("/api/v1/namespaces/identity/secrets", Some("secrets"), None),
            (
                "/apis/scim-operator.io/v1alpha1/scimusers",
                Some("scimusers"),
                None,
            ),
            (
                "/apis/scim-operator.io/v1alpha1/namespaces/hr/scimusers/ada",
                Some("scimusers"),
                None,
            ),
            (
                "/apis/scim-operator.io/v1alpha1/namespaces/hr/scimusers/ada/status",
                Some("scimusers"),
                Some("status"),
            ),
        ] {
            assert_eq!((resource(path), subresource(path)), (plural, sub), "{path}");
        }
    }
}
