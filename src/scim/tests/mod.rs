//! Tests of the protocol against small servers that misbehave on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod client;
mod discovery;
mod http;
mod leaks;
mod listing;
mod origin;
mod path;
mod retries;
mod tls;
mod values;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::scim::{Answer, Client, ClientConfig, Limits, Operation};

/// How many requests a client has sent.
pub fn sent(client: &Client) -> u64 {
    let counts = Operation::ALL.map(|operation| {
        Answer::ALL.map(|answer| client.tally().requests(operation, answer).get())
    });
    counts.iter().flatten().sum()
}

/// A token whose appearance anywhere is a leak.
pub const CANARY: &str = "canary-5f0c9e";

/// A request as a server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub headers: axum::http::HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A query parameter that needs no decoding.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server on loopback, until dropped.
pub struct Server {
    /// Without a final slash.
    pub origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Serves what the closure answers.
    pub async fn start(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let log = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let seen = Seen {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                log.lock().unwrap().push(seen.clone());
                answer(&seen)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { origin, seen, task }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn client(&self) -> Client {
        Client::new(config(&format!("{}/scim/v2/", self.origin))).unwrap()
    }
}

/// A configuration for a server on loopback, with limits out of the way.
pub fn config(endpoint: &str) -> ClientConfig {
    ClientConfig {
        allow_local: true,
        insecure: true,
        limits: Limits {
            requests_per_second: 10_000,
            max_in_flight: 16,
        },
        request_timeout: Duration::from_secs(10),
        ..ClientConfig::new(endpoint, SecretString::from(CANARY))
    }
}

pub fn reply(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(body.into())
        .unwrap()
}

pub fn scim(status: u16, body: Value) -> Response {
    reply(status, "application/scim+json", body.to_string())
}

pub fn empty(status: u16) -> Response {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .unwrap()
}
