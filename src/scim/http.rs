//! The one place that talks HTTP.
//!
//! Guarantees:
//!
//! * no redirect is followed, so the token never leaves the origin;
//! * TLS 1.2 or later, certificates always verified;
//! * no loopback, link-local or metadata address is connected to, unless the
//!   operator was started to allow it (see `address`);
//! * a reply is read up to [`MAX_REPLY`] bytes *after* decompression, and up to
//!   what that comes to in memory (see `bounded`); its headers are bounded, and
//!   the whole exchange has a time limit;
//! * a proxy carries what is encrypted, and nothing else;
//! * nothing is retried, but for the one other content type after a 415.
//!
//! What a status means is in `reply`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, Url, redirect, retry, tls};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tracing::Instrument;

use crate::scim::address::GuardedResolver;
use crate::scim::cause::transport_error;
use crate::scim::config::ClientConfig;
use crate::scim::endpoint::{ConfigError, Endpoint};
use crate::scim::error::{Cause, ScimError};
use crate::scim::fence::Fence;
use crate::scim::limits::{Lane, Limiter, Permit, Why};
use crate::scim::reply::{Body, Reply, retry_after};
use crate::scim::spans;
use crate::scim::tally::{Answer, Operation, Tally};
use crate::scim::wire::Carried;

/// The longest reply that is read, in bytes after decompression: 16 MiB.
pub const MAX_REPLY: usize = 16 * 1024 * 1024;

/// The headers of a reply that are read, in bytes, over HTTP/2: 64 KiB. Over HTTP/1 hyper reads a hundred of them,
/// and 400 KiB.
const MAX_HEADERS: u32 = 64 * 1024;

/// The longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The names and version the operator goes by.
const USER_AGENT: &str = concat!("scim-operator/", env!("CARGO_PKG_VERSION"));

/// Media types of RFC 7644 §3.1, and the plain one some servers insist on.
const SCIM_JSON: &str = "application/scim+json";
const PLAIN_JSON: &str = "application/json";

/// One request to be sent.
pub(crate) struct Call<'a, B: Serialize + ?Sized> {
    pub operation: Operation,
    pub method: Method,
    pub url: Url,
    pub body: Option<&'a B>,
    pub if_match: Option<&'a str>,
    pub lane: Lane,
}

impl Call<'_, ()> {
    /// A request without a body.
    pub fn bare(operation: Operation, url: Url, lane: Lane) -> Self {
        let method = match operation {
            Operation::Delete => Method::DELETE,
            _ => Method::GET,
        };
        Self {
            operation,
            method,
            url,
            body: None,
            if_match: None,
            lane,
        }
    }
}

/// Carries one request.
enum Carrier {
    Network(reqwest::Client),
    Memory(Arc<dyn Fn(reqwest::Request) -> Carried + Send + Sync>),
}

impl Carrier {
    fn new(config: &ClientConfig, endpoint: &Endpoint) -> Result<Self, ConfigError> {
        Ok(match config.wire.function() {
            Some(function) => Self::Memory(function),
            None => Self::Network(network(config, endpoint)?),
        })
    }

    async fn carry(&self, request: reqwest::Request) -> Result<reqwest::Response, ScimError> {
        match self {
            Self::Network(client) => client.execute(request).await.map_err(transport_error),
            Self::Memory(function) => function(request).await,
        }
    }
}

/// Sends requests to one backend, within its limits.
pub(crate) struct Transport {
    carrier: Carrier,
    token: SecretString,
    limiter: Limiter,
    fence: Fence,
    /// Learned from a 415: the server wants `application/json`.
    plain_json: AtomicBool,
    tally: Arc<Tally>,
    read_only: bool,
}

impl Transport {
    pub fn new(config: &ClientConfig, endpoint: &Endpoint) -> Result<Self, ConfigError> {
        bearer(&config.token).ok_or(ConfigError::TokenMalformed)?;
        Ok(Self {
            carrier: Carrier::new(config, endpoint)?,
            token: config.token.clone(),
            limiter: Limiter::new(config.limits, config.tally.clone()),
            fence: config.fence.clone(),
            plain_json: AtomicBool::new(false),
            tally: config.tally.clone(),
            read_only: config.read_only,
        })
    }

    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Sends a request and reads the reply, whatever its status. A body
    /// refused for its media type (415) is sent once more under the other.
    pub async fn send<B: Serialize + ?Sized>(
        &self,
        call: &Call<'_, B>,
    ) -> Result<Reply, ScimError> {
        self.send_with(self.permit(call.lane).await?, call).await
    }

    /// The right to send one request; cancel safe. [`ScimError::Closed`] once nothing is sent any more.
    pub async fn permit(&self, lane: Lane) -> Result<Permit, ScimError> {
        let turn = self.limiter.acquire(lane).instrument(spans::turn(lane));
        turn.await.ok_or(ScimError::Closed)
    }

    /// The same as [`Self::send`], by a permit that is there already.
    pub async fn send_with<B: Serialize + ?Sized>(
        &self,
        permit: Permit,
        call: &Call<'_, B>,
    ) -> Result<Reply, ScimError> {
        let plain = self.plain_json.load(Ordering::Relaxed);
        let reply = self.send_once(permit, call, plain).await?;
        if reply.status != 415 || call.body.is_none() {
            return Ok(reply);
        }
        let permit = self.permit(call.lane).await?;
        let second = self.send_once(permit, call, !plain).await?;
        if second.status != 415 {
            self.plain_json.store(!plain, Ordering::Relaxed);
        }
        Ok(second)
    }

    async fn send_once<B: Serialize + ?Sized>(
        &self,
        permit: Permit,
        call: &Call<'_, B>,
        plain: bool,
    ) -> Result<Reply, ScimError> {
        let mut request = reqwest::Request::new(call.method.clone(), call.url.clone());
        *request.headers_mut() = self.headers(call, plain);
        if let Some(body) = call.body {
            // Our own values serialise; if one ever did not, nothing was sent.
            let bytes = serde_json::to_vec(body).map_err(|_| ScimError::Connect(Cause::Request))?;
            *request.body_mut() = Some(bytes.into());
        }
        if self.read_only && !only_reads(&call.method, &call.url) {
            return Err(ScimError::ReadOnly);
        }
        // Asked last of all: the process may have been paused while it waited, and another may lead.
        if !self.fence.is_open() {
            return Err(ScimError::Closed);
        }
        let span = spans::request(call.operation, &call.method, &call.url);
        let started = tokio::time::Instant::now();
        let response = self.carrier.carry(request).instrument(span.clone()).await;
        // No URL: ids and filters can be personal data.
        tracing::debug!(
            method = %call.method,
            status = response.as_ref().ok().map(|reply| reply.status().as_u16()),
            milliseconds = started.elapsed().as_millis() as u64,
            "SCIM request",
        );
        let reply = match response {
            Ok(response) => read(response).instrument(span.clone()).await,
            Err(error) => Err(error),
        };
        let answer = reply.as_ref().map_or(Answer::None, |reply| {
            Answer::of(reply.status, reply.retry_after.is_some())
        });
        self.tally.count(call.operation, answer, started.elapsed());
        let status = reply.as_ref().ok().map(|reply| reply.status);
        spans::answered(&span, status, answer);
        let reply = reply?;
        match reply.status {
            429 => self
                .limiter
                .refused(permit.granted(), reply.retry_after, Why::TooMany),
            503 if reply.retry_after.is_some() => {
                self.limiter
                    .refused(permit.granted(), reply.retry_after, Why::Unavailable)
            }
            _ => self.limiter.answered(),
        }
        Ok(reply)
    }

    fn headers<B: Serialize + ?Sized>(&self, call: &Call<'_, B>, plain: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(token) = bearer(&self.token) {
            headers.insert(AUTHORIZATION, token);
        }
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/scim+json, application/json"),
        );
        if call.body.is_some() {
            let media = if plain { PLAIN_JSON } else { SCIM_JSON };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        if let Some(tag) = call.if_match.and_then(entity_tag) {
            headers.insert(IF_MATCH, tag);
        }
        headers
    }
}

fn network(config: &ClientConfig, endpoint: &Endpoint) -> Result<reqwest::Client, ConfigError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(config.request_timeout)
        .tls_version_min(tls::Version::TLS_1_2)
        .https_only(endpoint.is_https())
        .dns_resolver(GuardedResolver::new(config.allow_local))
        .http2_max_header_list_size(MAX_HEADERS)
        .pool_max_idle_per_host(config.limits.max_in_flight.clamp(1, 1024) as usize)
        // A pooled HTTP/2 connection that died in silence would otherwise
        // cost every request its whole timeout.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10));
    // What the kernel still holds of a request is sent for no longer than the request may take: one that
    // was given up does not reach a backend that comes back when another leads (R08).
    #[cfg(target_os = "linux")]
    {
        builder = builder.tcp_user_timeout(config.request_timeout);
    }
    // Through a proxy goes only what it cannot read: over plain http it would be handed the token.
    if !config.use_system_proxy || !endpoint.is_https() {
        builder = builder.no_proxy();
    }
    if let Some(pem) = &config.ca_pem {
        let bundle = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|source| ConfigError::CaBundle(Some(source)))?;
        if bundle.is_empty() {
            return Err(ConfigError::CaBundle(None));
        }
        builder = builder.tls_certs_merge(bundle);
    }
    builder.build().map_err(ConfigError::Tls)
}

/// Whether a request changes nothing: a GET, or a search by POST (RFC 7644 §3.4.3).
fn only_reads(method: &Method, url: &Url) -> bool {
    let is_search = || url.path().ends_with("/.search");
    *method == Method::GET || (*method == Method::POST && is_search())
}

/// The Authorization header of a token, where it is one (RFC 6750 §2.1).
fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An entity tag as a header (RFC 9110 §8.8.3). A version without quotes gets
/// them; one that cannot be a header is left out, since the condition is an
/// offer of RFC 7644 §3.14 and no duty.
fn entity_tag(version: &str) -> Option<HeaderValue> {
    let is_tag = version == "*" || version.starts_with('"') || version.starts_with("W/\"");
    if is_tag {
        HeaderValue::from_str(version).ok()
    } else {
        HeaderValue::from_str(&format!("\"{version}\"")).ok()
    }
}

/// Reads a reply to its end or to the limit.
async fn read(mut response: reqwest::Response) -> Result<Reply, ScimError> {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let is_html = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|media| media.to_ascii_lowercase().contains("html"));
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= MAX_REPLY => {
                bytes.extend_from_slice(&chunk);
            }
            Ok(None) => break,
            // A refusal is one, also where its explanation is cut short, or has no end.
            _ if status >= 400 => {
                bytes.clear();
                break;
            }
            Ok(Some(_)) => return Err(ScimError::ReplyTooLarge),
            Err(error) => return Err(transport_error(error)),
        }
    }
    let body = match Body::parse(&bytes, is_html) {
        Ok(body) => body,
        // As above: a refusal is one, however it is explained.
        Err(_) if status >= 400 => Body::Other,
        Err(error) => return Err(error),
    };
    Ok(Reply {
        status,
        retry_after,
        body,
    })
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use scim_operator_harness::wait;

    use super::*;

    /// A backend that takes nothing in any more: after the request's time, the kernel forgets it as well.
    #[tokio::test]
    async fn r08_a_request_that_was_given_up_is_not_delivered_later() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = ClientConfig {
            request_timeout: Duration::from_secs(1),
            allow_local: true,
            ..ClientConfig::new(&url, SecretString::from("token"))
        };
        let endpoint = Endpoint::parse(&url, true, true).unwrap();
        let client = network(&config, &endpoint).unwrap();
        // More than the buffers of both sides hold.
        let body = vec![b' '; 64 * 1024 * 1024];
        let sockets = || std::fs::read_to_string("/proc/net/tcp");
        // Both ends: the kernel gives a port out again for another destination at the same time.
        let there = listener.local_addr().unwrap().port();
        let accept = async {
            let (unread, peer) = listener.accept().await.unwrap();
            let ours = format!("0100007F:{:04X} 0100007F:{there:04X} ", peer.port());
            assert!(sockets().unwrap().contains(&ours), "it is not to be seen");
            (unread, ours)
        };
        let (sent, (_unread, ours)) =
            futures::future::join(client.post(&url).body(body).send(), accept).await;
        assert!(sent.unwrap_err().is_timeout());
        let forgotten =
            wait::eventually("the end of the socket", CONNECT_TIMEOUT * 3, async || {
                Ok((!sockets()?.contains(&ours)).then_some(()))
            });
        forgotten.await.unwrap();
    }
}
