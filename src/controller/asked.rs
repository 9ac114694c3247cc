//! What the API server was asked, and what it answered, for whoever watches the operator.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::client::Body;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tower::{BoxError, Layer, Service};
use tracing::{Instrument, Span};

use crate::controller::spans;

/// One series: few methods, and as many codes as there are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    code: u16,
}

/// The counters. Cheap to clone; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Asked(Family<Labels, Counter>);

impl Asked {
    /// The counters, to be shown.
    #[must_use]
    pub fn family(&self) -> impl prometheus_client::registry::Metric {
        self.0.clone()
    }

    /// Counts a request that was answered so; 0 where no answer came.
    fn count(&self, method: &'static str, code: u16) {
        self.0.get_or_create(&Labels { method, code }).inc();
    }
}

impl<S> Layer<S> for Asked {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            asked: self.clone(),
        }
    }
}

/// A service whose requests are counted.
pub struct Counted<S> {
    inner: S,
    asked: Asked,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = word(&request);
        let mut came = Came {
            asked: self.asked.clone(),
            method,
            code: 0,
        };
        let span = match method {
            // What has no end says nothing while it goes on; and what is asked outside of a pass is nobody's trace.
            _ if method == "WATCH" || Span::current().is_none() => Span::none(),
            _ => spans::asked(method, &request),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.instrument(span.clone()).await;
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            if let Some(code) = code {
                came.answered(code);
            }
            spans::answered(&span, code);
            answer
        })
    }
}

/// A request, which is counted when it is over: also where whoever waited for it has given it up.
struct Came {
    asked: Asked,
    method: &'static str,
    code: u16,
}

impl Came {
    fn answered(&mut self, code: u16) {
        self.code = code;
    }
}

impl Drop for Came {
    fn drop(&mut self) {
        self.asked.count(self.method, self.code);
    }
}

/// Whether a request, where it reads, is for what changes from now on.
pub fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair == "watch=true")
}

/// The method, and `WATCH` where that is what a GET is for.
fn word(request: &Request<Body>) -> &'static str {
    match *request.method() {
        Method::GET if is_watch(request) => "WATCH",
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn each_request_is_counted_by_what_it_asked_and_what_came_of_it() {
        let asked = Asked::default();
        let answers =
            tower::service_fn(async |request: Request<Body>| match request.uri().path() {
                "/lost" => Err(BoxError::from("lost")),
                "/refused" => Ok(Response::builder().status(403).body(()).unwrap()),
                "/hangs" => std::future::pending().await,
                _ => Ok(Response::new(())),
            });
        for (method, uri) in [
            ("GET", "/a?watch=true&x=y"),
            ("GET", "/a?limit=1"),
            ("GET", "/b"),
            ("PATCH", "/refused"),
            ("POST", "/lost"),
        ] {
            let request = Request::builder().method(method).uri(uri);
            let request = request.body(Body::empty()).unwrap();
            let _ = asked.layer(answers).oneshot(request).await;
        }
        let request = Request::builder().method("DELETE").uri("/hangs");
        let request = request.body(Body::empty()).unwrap();
        assert!(
            asked
                .layer(answers)
                .oneshot(request)
                .now_or_never()
                .is_none()
        );
        for (method, code, count) in [
            ("WATCH", 200, 1),
            ("GET", 200, 2),
            ("PATCH", 403, 1),
            ("POST", 0, 1),
            ("DELETE", 0, 1),
        ] {
            let counter = asked.0.get(&Labels { method, code }).unwrap();
            assert_eq!(counter.get(), count, "{method} {code}");
        }
    }
}
