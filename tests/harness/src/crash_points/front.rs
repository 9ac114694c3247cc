//! The proxy before one side: it writes every request into the journal, passes it on, and kills the
//! operator where the journal says so. Watches stream; everything else is read whole.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, ready},
};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    header::{self, HeaderName},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use super::journal::{Journal, Mode, Side};

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Kills the operator, and starts it again.
pub type Strike = Arc<dyn Fn() + Send + Sync>;

/// What the backend has of the object that a request speaks of, if it speaks of one.
pub type Witness = Arc<dyn Fn(&Parts, &Bytes) -> Option<Value> + Send + Sync>;

/// What a front passes on to, and whom it tells.
pub struct Behind {
    /// Which side this is.
    pub side: Side,
    /// The base URL of the real one, without a slash at its end.
    pub upstream: String,
    /// What reaches it.
    pub client: reqwest::Client,
    /// Where requests are written down.
    pub journal: Arc<Journal>,
    /// How the operator is killed.
    pub strike: Strike,
    /// What is looked at when a request arrives.
    pub witness: Witness,
}

/// A running front; its connections close when it is dropped.
pub struct Front {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Front {
    /// Starts one on a free port of 127.0.0.1, with TLS where an acceptor is given.
    pub async fn start(behind: Behind, tls: Option<TlsAcceptor>) -> Result<Front> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, tls, Arc::new(behind))).abort_handle();
        Ok(Front { address, accepting })
    }

    /// `127.0.0.1:port`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Dropping this future (the task is aborted) drops every connection.
async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    behind: Arc<Behind>,
) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        // Finished connections are let go as new ones come.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let (tls, behind) = (tls.clone(), behind.clone());
        connections.spawn(async move { welcome(stream, tls, behind).await });
    }
}

async fn welcome(stream: TcpStream, tls: Option<TlsAcceptor>, behind: Arc<Behind>) {
    match tls {
        None => converse(stream, behind).await,
        Some(acceptor) => {
            // One that was killed during the handshake has nothing to be told.
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, behind).await;
            }
        }
    }
}

async fn converse<S>(stream: S, behind: Arc<Behind>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let due = Arc::new(AtomicBool::new(false));
    let told = Told {
        stream,
        due: due.clone(),
        strike: behind.strike.clone(),
    };
    let service = service_fn(move |request| handle(request, behind.clone(), due.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(told), service);
    // An error is a client that was killed, or a reply that we withheld.
    connection.await.ok();
}

/// An error closes the connection without a reply.
async fn handle(
    request: Request<Incoming>,
    behind: Arc<Behind>,
    due: Arc<AtomicBool>,
) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let witness = (behind.witness)(&head, &body);
    let (number, mode) = behind.journal.arrived(behind.side, &head, &body, witness);
    if mode == Some(Mode::BeforeForward) {
        (behind.strike)();
        behind.journal.ended();
        return Err(anyhow!("the operator was killed"));
    }
    // In a task of its own: that the operator is killed meanwhile undoes nothing that it sent.
    let (sender, receiver) = oneshot::channel();
    let passing_on = behind.clone();
    tokio::spawn(async move {
        let answer = pass_on(&passing_on, number, head, body).await;
        passing_on.journal.ended();
        sender.send(answer).ok();
    });
    let answer = receiver.await?;
    match mode {
        Some(Mode::AfterCommit) => {
            (behind.strike)();
            return Err(anyhow!("the operator was killed"));
        }
        Some(Mode::AfterReply) => due.store(true, Ordering::SeqCst),
        Some(Mode::BeforeForward) | None => {}
    }
    answer
}

async fn pass_on(
    behind: &Behind,
    number: usize,
    head: Parts,
    body: Bytes,
) -> Result<Response<Body>> {
    let query = head.uri.query().unwrap_or_default();
    let streams = query
        .split('&')
        .any(|p| p == "watch=true" || p == "watch=1");
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", behind.upstream);
    let mut headers = head.headers;
    remove_hop_by_hop(&mut headers);
    // Uncompressed, so that it can be read here; and the upstream sees its own name.
    for name in [
        header::HOST,
        header::ACCEPT_ENCODING,
        header::CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
    let request = behind.client.request(head.method, url).headers(headers);
    let answer = request.body(body).send().await;
    let mut answer = answer.context("the upstream did not answer")?;
    let status = answer.status();
    let mut headers = std::mem::take(answer.headers_mut());
    remove_hop_by_hop(&mut headers);
    let body = if streams {
        stream(answer)
    } else {
        headers.remove(header::CONTENT_LENGTH);
        let whole = answer.bytes().await.context("reading the answer")?;
        Full::new(whole)
            .map_err(|never| match never {})
            .boxed_unsync()
    };
    behind.journal.answered(number, status);
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    Ok(reply)
}

/// The body of an answer, piece by piece as it comes.
fn stream(answer: reqwest::Response) -> Body {
    let pieces = stream::try_unfold(answer, |mut answer| async move {
        let piece = answer.chunk().await.context("reading the stream")?;
        anyhow::Ok(piece.map(|piece| (Frame::data(piece), answer)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// RFC 9110, section 7.6.1: these speak of one connection, not of the message.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const NAMES: [HeaderName; 5] = [
        header::CONNECTION,
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

/// A connection that strikes when what was written to it has gone out, if that is due.
///
/// The answer is given to hyper before the flag is read here, and hyper flushes once head and body are
/// encoded: the first flush that ends with the flag set is that of the answer.
struct Told<S> {
    stream: S,
    due: Arc<AtomicBool>,
    strike: Strike,
}

impl<S: AsyncRead + Unpin> AsyncRead for Told<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Told<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        if self.due.swap(false, Ordering::SeqCst) {
            (self.strike)();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
