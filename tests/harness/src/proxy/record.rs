//! What the proxy saw, in the order in which it arrived.
//!
//! Bodies are kept as they came and parsed when a test asks: a benchmark of
//! thousands of requests a second pays for a reference count only.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::Path,
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{self, HeaderValue},
    http::request::Parts,
};
use serde_json::{Value, json};

use super::{RecordingProxy, lock};

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its number, from 1, in order of arrival; never used twice.
    pub n: usize,
    /// When it had arrived, body and all.
    pub arrived: Instant,
    /// Its method.
    pub method: Method,
    /// Below the backend's base URL: `/Users?startIndex=1`.
    pub path_and_query: String,
    /// Its headers; of `Authorization` only the [`fingerprint`] is kept.
    pub request_headers: HeaderMap,
    /// The answer's status: the backend's, or the one injected in its place.
    /// `None` if there was no answer (yet).
    pub status: Option<u16>,
    /// Whether the backend answered; `false` for injected replies and outages.
    pub answered_by_backend: bool,
    request: Bytes,
    response: Bytes,
}

impl Recorded {
    /// The request's body, if there was one and it is JSON.
    pub fn request_body(&self) -> Option<Value> {
        serde_json::from_slice(&self.request).ok()
    }

    /// The answer's body, if there was one and it is JSON.
    pub fn response_body(&self) -> Option<Value> {
        serde_json::from_slice(&self.response).ok()
    }

    /// The request's body as it came.
    pub fn request_bytes(&self) -> &Bytes {
        &self.request
    }

    /// The answer's body as it came.
    pub fn response_bytes(&self) -> &Bytes {
        &self.response
    }

    /// Whether it was a POST, PUT, PATCH or DELETE.
    pub fn is_write(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }
}

impl RecordingProxy {
    /// All requests since the start, or since [`RecordingProxy::clear`].
    pub fn requests(&self) -> Vec<Arc<Recorded>> {
        lock(&self.shared.records).all.clone()
    }

    /// How many there were of that method under that path, `/Users` for example.
    pub fn count(&self, method: &Method, path_prefix: &str) -> usize {
        let records = lock(&self.shared.records);
        let matching = records.all.iter().filter(|record| {
            record.method == *method && record.path_and_query.starts_with(path_prefix)
        });
        matching.count()
    }

    /// All POST, PUT, PATCH and DELETE requests, answered or not.
    pub fn writes(&self) -> Vec<Arc<Recorded>> {
        let records = lock(&self.shared.records);
        let writes = records.all.iter().filter(|record| record.is_write());
        writes.cloned().collect()
    }

    /// The number of the latest request: where [`RecordingProxy::since`] begins.
    pub fn mark(&self) -> usize {
        lock(&self.shared.records).last
    }

    /// The requests that arrived after that mark.
    pub fn since(&self, mark: usize) -> Vec<Arc<Recorded>> {
        let records = lock(&self.shared.records);
        let start = records.all.partition_point(|record| record.n <= mark);
        records.all[start..].to_vec()
    }

    /// Forgets what was recorded; numbers go on.
    pub fn clear(&self) {
        lock(&self.shared.records).all.clear();
    }

    /// Writes one JSON object a line, `{"n", "method", "path", "body", "status"}`,
    /// for whoever judges the requests later.
    pub fn dump_jsonl(&self, path: &Path) -> Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for record in self.requests() {
            let line = json!({
                "n": record.n,
                "method": record.method.as_str(),
                "path": record.path_and_query,
                "body": record.request_body(),
                "status": record.status,
            });
            writeln!(file, "{line}")?;
        }
        Ok(file.flush()?)
    }
}

/// What the record keeps of an `Authorization` header: enough to see that two
/// requests carried the same one, and no way back to it.
pub fn fingerprint(authorization: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    authorization.hash(&mut hasher);
    format!("redacted-{:016x}", hasher.finish())
}

#[derive(Debug, Default)]
pub(super) struct Records {
    all: Vec<Arc<Recorded>>,
    last: usize,
}

impl Records {
    /// Records an arrival and returns its number.
    pub fn arrived(&mut self, head: &Parts, body: Bytes) -> usize {
        self.last += 1;
        self.all.push(Arc::new(Recorded {
            n: self.last,
            arrived: Instant::now(),
            method: head.method.clone(),
            path_and_query: path_and_query(&head.uri),
            request_headers: redacted(&head.headers),
            status: None,
            answered_by_backend: false,
            request: body,
            response: Bytes::new(),
        }));
        self.last
    }

    pub fn answered(&mut self, number: usize, status: StatusCode, body: Bytes) {
        self.update(number, status, body, true);
    }

    pub fn injected(&mut self, number: usize, status: StatusCode, body: Bytes) {
        self.update(number, status, body, false);
    }

    pub fn get(&self, number: usize) -> Option<Arc<Recorded>> {
        self.position(number).map(|index| self.all[index].clone())
    }

    /// A record that was cleared meanwhile is not brought back.
    fn update(&mut self, number: usize, status: StatusCode, body: Bytes, by_backend: bool) {
        if let Some(index) = self.position(number) {
            let record = Arc::make_mut(&mut self.all[index]);
            record.status = Some(status.as_u16());
            record.response = body;
            record.answered_by_backend = by_backend;
        }
    }

    fn position(&self, number: usize) -> Option<usize> {
        self.all
            .binary_search_by_key(&number, |record| record.n)
            .ok()
    }
}

fn path_and_query(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

fn redacted(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    if let Some(value) = headers.get_mut(header::AUTHORIZATION) {
        // The fallback cannot be met: the text is ASCII.
        *value = HeaderValue::from_str(&fingerprint(value.as_bytes()))
            .unwrap_or_else(|_| HeaderValue::from_static("redacted"));
    }
    headers
}
