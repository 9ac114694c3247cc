//! How the proxy misbehaves: canned replies, and replies withheld after the
//! backend has done what it was asked to.

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode, header, header::HeaderValue, http::request::Parts};
use tokio::sync::oneshot;

use super::{RecordingProxy, Reply, lock, record::Recorded, reply};

/// Which request a fault waits for.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    method: Option<Method>,
    path_prefix: String,
    body_text: Option<String>,
}

impl Matcher {
    /// The next request, whatever it is.
    pub fn any() -> Matcher {
        Matcher::default()
    }

    /// A request of that method whose path, below the base URL, starts so:
    /// `Matcher::new(Method::POST, "/Users")`.
    pub fn new(method: Method, path_prefix: &str) -> Matcher {
        Matcher {
            method: Some(method),
            path_prefix: path_prefix.to_owned(),
            body_text: None,
        }
    }

    /// Only if that text is somewhere in its body.
    pub fn containing(mut self, text: &str) -> Matcher {
        self.body_text = Some(text.to_owned());
        self
    }

    fn matches(&self, head: &Parts, body: &[u8]) -> bool {
        let Matcher {
            method,
            path_prefix,
            body_text,
        } = self;
        method.as_ref().is_none_or(|method| *method == head.method)
            && head.uri.path().starts_with(path_prefix.as_str())
            && body_text
                .as_ref()
                .is_none_or(|text| String::from_utf8_lossy(body).contains(text.as_str()))
    }
}

/// A reply that the proxy gives in the backend's place.
#[derive(Clone, Debug)]
pub struct Canned {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Canned {
    /// A SCIM error (RFC 7644, section 3.12) of that status.
    pub fn error(status: u16) -> Result<Canned> {
        let body = serde_json::json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": status.to_string(),
            "detail": "injected by the test",
        });
        Canned::raw(status, "application/scim+json", body.to_string())
    }

    /// Any body: a proxy's HTML page, half a JSON document.
    pub fn raw(status: u16, content_type: &str, body: impl Into<Bytes>) -> Result<Canned> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type)?);
        Ok(Canned {
            status: StatusCode::from_u16(status)?,
            headers,
            body: body.into(),
        })
    }

    /// Adds a header, such as `retry-after`.
    pub fn header(mut self, name: &'static str, value: &str) -> Result<Canned> {
        self.headers.insert(name, HeaderValue::from_str(value)?);
        Ok(self)
    }

    pub(super) fn into_response(self) -> Result<Reply> {
        reply(self.status, self.headers, self.body)
    }
}

/// What becomes of a reply that was held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Release {
    Reply,
    Nothing,
}

/// A reply that is held. The connection stays open, silent, until this is
/// released or dropped; then it closes. Or until the reply is sent after all.
#[derive(Debug)]
pub struct Held {
    committed: oneshot::Receiver<std::sync::Arc<Recorded>>,
    release: oneshot::Sender<Release>,
}

impl Held {
    /// Resolves when the backend has answered the request, or has let it fall, with its record.
    pub async fn committed(&mut self) -> Result<std::sync::Arc<Recorded>> {
        (&mut self.committed)
            .await
            .context("the backend did not answer the request that was to be held")
    }

    /// Closes the connection, without the reply.
    pub fn release(self) {
        self.release.send(Release::Nothing).ok();
    }

    /// Passes on what the backend did, late.
    pub fn reply(self) {
        self.release.send(Release::Reply).ok();
    }
}

impl RecordingProxy {
    /// Lets the next matching request reach the backend, and withholds the
    /// reply: for the caller the outcome is unknown.
    pub fn hold_reply_after_commit(&self, matcher: Matcher) -> Held {
        let (committed, committed_receiver) = oneshot::channel();
        let (release, release_receiver) = oneshot::channel();
        let action = Action::Hold {
            committed,
            release: release_receiver,
        };
        lock(&self.shared.faults).0.push((matcher, action));
        Held {
            committed: committed_receiver,
            release,
        }
    }

    /// Answers the next matching request with a SCIM error of that status; it
    /// does not reach the backend. Called n times, it fails n requests.
    pub fn fail_next(&self, matcher: Matcher, status: u16) -> Result<()> {
        self.reply_next(matcher, Canned::error(status)?);
        Ok(())
    }

    /// Answers the next matching request with that reply.
    pub fn reply_next(&self, matcher: Matcher, canned: Canned) {
        let action = Action::Reply(canned);
        lock(&self.shared.faults).0.push((matcher, action));
    }

    /// Answers every matching request with that reply, until the faults are cleared. A fault for one
    /// request that was set earlier is met first.
    pub fn reply_always(&self, matcher: Matcher, canned: Canned) {
        let action = Action::ReplyAlways(canned);
        lock(&self.shared.faults).0.push((matcher, action));
    }

    /// Forgets the faults that still wait for a request, and says how many there were.
    pub fn clear_faults(&self) -> usize {
        std::mem::take(&mut lock(&self.shared.faults).0).len()
    }
}

#[derive(Debug)]
pub(super) enum Action {
    Reply(Canned),
    ReplyAlways(Canned),
    Hold {
        committed: oneshot::Sender<std::sync::Arc<Recorded>>,
        release: oneshot::Receiver<Release>,
    },
}

/// The faults that wait for a request; each meets one, or every one until cleared. Oldest first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Matcher, Action)>);

impl Faults {
    pub fn take(&mut self, head: &Parts, body: &[u8]) -> Option<Action> {
        let met = self.0.iter().position(|(m, _)| m.matches(head, body))?;
        match &self.0[met].1 {
            Action::ReplyAlways(canned) => Some(Action::Reply(canned.clone())),
            Action::Reply(_) | Action::Hold { .. } => Some(self.0.remove(met).1),
        }
    }
}
