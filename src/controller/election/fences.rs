//! Until when this process may write, and its client of the API server, which looks at that before
//! anything is sent and waits for no answer for ever.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body as Answered;
use axum::body::{HttpBody, to_bytes};
use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::time::timeout;
use tower::{BoxError, Layer, Service};

use super::Reign;
use crate::controller::asked::{Asked, is_watch};
use crate::scim::Fence;

/// How long a call may take, to the last byte of its answer. The API server itself gives up a write
/// after 60 s, yet what takes so long helps nobody: the pass ends, and begins anew on another connection.
const CALL: Duration = Duration::from_secs(15);
/// The same for a LIST, which brings up to 500 objects at a time, or all of them from the cache.
const LIST: Duration = Duration::from_secs(60);
/// How long a connection may bring nothing. A watch has no other limit: it is asked for 290 s (kube's
/// watcher), and ends by itself before.
const SILENCE: Duration = Duration::from_secs(300);

/// Until when this process may write, and how long a request may take.
#[derive(Clone, Debug)]
pub struct Fences {
    begin: Fence,
    report: Fence,
    asked: Asked,
}

impl Fences {
    /// The same, whose clients count there what they ask.
    #[must_use]
    pub fn counting(self, asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            ..self
        }
    }

    /// Nothing is written before the lease is won.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            begin: Fence::not_yet(),
            report: Fence::not_yet(),
            asked: Asked::default(),
        }
    }

    /// There is no election, and this process writes as it likes.
    #[must_use]
    pub fn none() -> Self {
        Self {
            begin: Fence::none(),
            report: Fence::none(),
            asked: Asked::default(),
        }
    }

    /// The fence before requests to backends.
    #[must_use]
    pub fn of_requests(&self) -> Fence {
        self.begin.clone()
    }

    /// A client of the API server that reads always, writes while the fence is open, and waits for no
    /// answer for ever (R24). Nothing is sent a second time by itself: kube's own retries are beneath the
    /// fence, and would send a write minutes after it was looked at. Reconcilers and watches back off.
    ///
    /// # Errors
    /// When the configuration is of no use.
    pub fn client(&self, config: Config) -> kube::Result<Client> {
        self.client_within(config, Patience::default())
    }

    /// The same over another client, whose connections it shares: for one of many leases.
    #[must_use]
    pub fn over(&self, client: &Client) -> Client {
        let fenced = FencedLayer {
            fence: self.report.clone(),
            patience: Patience::default(),
        };
        Client::new(
            fenced.layer(Over(client.clone())),
            client.default_namespace(),
        )
    }

    /// The fence before writes to the API server.
    #[must_use]
    pub fn of_reports(&self) -> Fence {
        self.report.clone()
    }

    fn client_within(&self, mut config: Config, patience: Patience) -> kube::Result<Client> {
        config.default_retry = false;
        config.read_timeout = Some(patience.silence);
        // A connection that rested in the pool is as old as its last use, not as its last answer.
        config.reset_reader_on_write = true;
        let fenced = FencedLayer {
            fence: self.report.clone(),
            patience,
        };
        let builder = ClientBuilder::try_from(config)?;
        Ok(builder.with_layer(&self.asked).with_layer(&fenced).build())
    }

    /// Opens both until then, as the reign counts from that start. False once either has closed.
    pub(super) fn move_to(&self, started: tokio::time::Instant, reign: &Reign) -> bool {
        self.begin.move_to(started + reign.may_begin_until())
            && self.report.move_to(started + reign.may_report_until())
    }

    /// Nothing is begun any more; what was begun may still be told.
    pub(super) fn close_begin(&self) {
        self.begin.close();
    }

    /// Nothing is written any more.
    pub(super) fn close(&self) {
        self.begin.close();
        self.report.close();
    }
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    call: Duration,
    list: Duration,
    silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            call: CALL,
            list: LIST,
            silence: SILENCE,
        }
    }
}

impl Patience {
    /// How long the answer may take as a whole; a watch's has no end of its own.
    fn with(&self, request: &Request<Body>) -> Option<Duration> {
        match request.uri().query() {
            // Of what is read, only a LIST has a query: its limit, its selector.
            Some(_) if request.method() == Method::GET => (!is_watch(request)).then_some(self.list),
            _ => Some(self.call),
        }
    }
}

/// A client as a service.
struct Over(Client);

impl Service<Request<Body>> for Over {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // It waits for its turn in `call`.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move { client.send(request).await.map_err(BoxError::from) })
    }
}

#[derive(Clone)]
struct FencedLayer {
    fence: Fence,
    patience: Patience,
}

impl<S> Layer<S> for FencedLayer {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced {
            inner,
            fence: self.fence.clone(),
            patience: self.patience,
        }
    }
}

struct Fenced<S> {
    inner: S,
    fence: Fence,
    patience: Patience,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Answered>, BoxError>> + Send>>;

impl<S, B> Service<Request<Body>> for Fenced<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answered>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let within = self.patience.with(&request);
        if request.method() == Method::GET {
            return bounded(self.inner.call(request), within);
        }
        let fence = self.fence.clone();
        if !fence.is_open() {
            return Box::pin(std::future::ready(Err(closed())));
        }
        let mut answer = bounded(self.inner.call(request), within);
        // Each time that it goes on: it may have waited for its connection while the process was paused.
        Box::pin(poll_fn(move |context| {
            if fence.is_open() {
                answer.as_mut().poll(context)
            } else {
                Poll::Ready(Err(closed()))
            }
        }))
    }
}

fn closed() -> BoxError {
    BoxError::from("this process does not hold the lease for this")
}

/// The answer, whole, where it came in time; as it comes, where there is no time for it.
fn bounded<B>(
    call: impl Future<Output = Result<Response<B>, BoxError>> + Send + 'static,
    within: Option<Duration>,
) -> Answering
where
    B: HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Some(within) = within else {
        return Box::pin(async { Ok(call.await?.map(Answered::new)) });
    };
    let whole = async {
        let (head, body) = call.await?.into_parts();
        // The client reads it whole in any case, but would wait for its end for ever.
        let bytes = to_bytes(Answered::new(body), usize::MAX).await?;
        Ok(Response::from_parts(head, Answered::from(bytes)))
    };
    Box::pin(async move {
        match timeout(within, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("the API server did not answer within {within:?}").into()),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
