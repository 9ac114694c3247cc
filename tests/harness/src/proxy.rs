//! A reverse proxy before a SCIM backend that numbers and records every request
//! and can misbehave on demand. What it records is in `proxy/record.rs`, how it
//! misbehaves in `proxy/fault.rs`.
//!
//! It serves the backend's base URL at its own root: with the upstream
//! `http://127.0.0.1:8080/scim/v2`, `/Users` is forwarded to `/scim/v2/Users`.
//! Redirects are passed on, not followed. Bodies are forwarded uncompressed, so
//! that they can be recorded, and the upstream sees its own host name.

mod fault;
mod record;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName},
    http::{request::Parts, response},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

use fault::{Action, Faults, Release};
pub use fault::{Canned, Held, Matcher};
use record::Records;
pub use record::{Recorded, fingerprint};

type Reply = Response<Full<Bytes>>;

/// The running proxy; its connections close when it is dropped.
///
/// It runs on the runtime that started it.
#[derive(Debug)]
pub struct RecordingProxy {
    address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
pub(crate) struct Shared {
    client: reqwest::Client,
    upstream: Mutex<Arc<str>>,
    down: AtomicBool,
    faults: Mutex<Faults>,
    records: Mutex<Records>,
}

impl RecordingProxy {
    /// Starts one before that base URL.
    pub async fn start(upstream_base_url: &str) -> Result<RecordingProxy> {
        crate::controlplane::install_crypto_provider();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .build()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            client,
            upstream: Mutex::new(base(upstream_base_url)),
            down: AtomicBool::new(false),
            faults: Mutex::default(),
            records: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(RecordingProxy {
            address,
            shared,
            accepting,
        })
    }

    /// The base URL to give to the operator, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards to another base URL from the next request on.
    pub fn set_upstream(&self, base_url: &str) {
        *lock(&self.shared.upstream) = base(base_url);
    }

    /// While down, each request is recorded, as not answered, and its connection
    /// closed without a reply.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }
}

impl Drop for RecordingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A poisoned lock guards data that is whole: no update here panics halfway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn base(url: &str) -> Arc<str> {
    url.trim_end_matches('/').into()
}

/// Dropping this future (the task is aborted) drops every connection.
async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        // Finished connections are let go as new ones come.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| handle(request, shared.clone()));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // An error is a client that left, or a reply that we withheld.
            connection.await.ok();
        });
    }
}

/// An error closes the connection without a reply.
async fn handle(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Reply> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let number = lock(&shared.records).arrived(&head, body.clone());
    if shared.down.load(Ordering::SeqCst) {
        return Err(anyhow!("the backend is down"));
    }
    let action = lock(&shared.faults).take(&head, &body);
    match action {
        None => forward_detached(shared, number, head, body).await,
        Some(Action::Reply(canned) | Action::ReplyAlways(canned)) => {
            lock(&shared.records).injected(number, canned.status, canned.body.clone());
            canned.into_response()
        }
        Some(Action::Hold { committed, release }) => {
            let reply = forward_detached(shared.clone(), number, head, body).await;
            if let Some(record) = lock(&shared.records).get(number) {
                committed.send(record).ok();
            }
            match release.await {
                Ok(Release::Reply) => reply,
                Ok(Release::Nothing) | Err(_) => Err(anyhow!("the reply is withheld")),
            }
        }
    }
}

/// Forwards in a task of its own: a client that is killed meanwhile cancels
/// neither the request, which may have been committed, nor its record.
async fn forward_detached(
    shared: Arc<Shared>,
    number: usize,
    head: Parts,
    body: Bytes,
) -> Result<Reply> {
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let reply = forward(&shared, number, head, body).await;
        sender.send(reply).ok();
    });
    receiver.await?
}

async fn forward(shared: &Shared, number: usize, head: Parts, body: Bytes) -> Result<Reply> {
    let upstream = lock(&shared.upstream).clone();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = head.headers;
    remove_hop_by_hop(&mut headers);
    for name in [
        header::HOST,
        header::ACCEPT_ENCODING,
        header::CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
    let answer = shared
        .client
        .request(head.method, format!("{upstream}{path}"))
        .headers(headers)
        .body(body)
        .send()
        .await
        .context("the upstream did not answer")?;
    let status = answer.status();
    let mut headers = answer.headers().clone();
    remove_hop_by_hop(&mut headers);
    let body = answer.bytes().await.context("reading the answer")?;
    lock(&shared.records).answered(number, status, body.clone());
    reply(status, headers, body)
}

fn reply(status: StatusCode, headers: HeaderMap, body: Bytes) -> Result<Reply> {
    let mut head = response::Builder::new().status(status);
    if let Some(slot) = head.headers_mut() {
        *slot = headers;
    }
    Ok(head.body(Full::new(body))?)
}

/// RFC 9110, section 7.6.1: these speak of one connection, not of the message.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const NAMES: [HeaderName; 6] = [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    for name in NAMES {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}
