//! One list of everything that the operator asks, of Kubernetes and of the backend, numbered in the
//! order of arrival; and the one order to kill it that a run may hold.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{self, HeaderMap},
    http::request::Parts,
};
use serde_json::Value;
use tokio::sync::watch;

use super::shape::shape;
use crate::proxy::fingerprint;

/// Of whom something is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The API server.
    Kubernetes,
    /// The SCIM backend.
    Backend,
}

/// When the operator is killed, as seen from one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// The request has left the operator, and reaches nobody.
    BeforeForward,
    /// What was asked is done, and the answer reaches nobody.
    AfterCommit,
    /// The answer has been written to the operator's connection.
    AfterReply,
}

impl Mode {
    /// All three.
    pub const ALL: [Mode; 3] = [Mode::BeforeForward, Mode::AfterCommit, Mode::AfterReply];

    /// As a person writes it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::BeforeForward => "before-forward",
            Mode::AfterCommit => "after-commit",
            Mode::AfterReply => "after-reply",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its number, from 1, over both sides.
    pub number: usize,
    /// Of whom.
    pub side: Side,
    /// Its method.
    pub method: Method,
    /// As it came, query included.
    pub path_and_query: String,
    /// Which token it bore, if any: see [`fingerprint`].
    pub token: Option<String>,
    /// Its body, where that is JSON.
    pub body: Option<Value>,
    /// The status of the answer, once there was one.
    pub status: Option<u16>,
    /// What the backend had under the id that a status speaks of, at the moment the status was to be
    /// written.
    pub witness: Option<Value>,
}

impl Asked {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// Method and path without ids and values.
    pub fn shape(&self) -> String {
        shape(self.side, &self.method, &self.path_and_query)
    }
}

/// The list of one run.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<Inner>,
    changes: watch::Sender<usize>,
}

#[derive(Debug)]
struct Inner {
    asked: Vec<Asked>,
    order: Option<(usize, Mode)>,
    struck: Option<String>,
    in_flight: usize,
    last: Instant,
}

impl Journal {
    /// An empty one, which orders the operator to be killed at one request, or at none.
    pub fn new(order: Option<(usize, Mode)>) -> Journal {
        Journal {
            inner: Mutex::new(Inner {
                asked: Vec::new(),
                order,
                struck: None,
                in_flight: 0,
                last: Instant::now(),
            }),
            changes: watch::Sender::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A poisoned lock guards data that is whole: no update here panics halfway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down an arrival; gives its number, and how the operator is to be killed at it.
    pub fn arrived(
        &self,
        side: Side,
        head: &Parts,
        body: &Bytes,
        witness: Option<Value>,
    ) -> (usize, Option<Mode>) {
        let path_and_query = head.uri.path_and_query();
        let path_and_query = path_and_query.map_or_else(String::new, ToString::to_string);
        let mut inner = self.inner();
        let number = inner.asked.len() + 1;
        let asked = Asked {
            number,
            side,
            method: head.method.clone(),
            path_and_query,
            token: token(&head.headers),
            body: serde_json::from_slice(body).ok(),
            status: None,
            witness,
        };
        let mode = match inner.order {
            Some((at, mode)) if at == number => {
                inner.order = None;
                inner.struck = Some(asked.shape());
                Some(mode)
            }
            _ => None,
        };
        inner.asked.push(asked);
        inner.in_flight += 1;
        inner.last = Instant::now();
        drop(inner);
        self.changed();
        (number, mode)
    }

    /// Writes down an answer.
    pub fn answered(&self, number: usize, status: StatusCode) {
        let mut inner = self.inner();
        if let Some(asked) = inner.asked.get_mut(number.saturating_sub(1)) {
            asked.status = Some(status.as_u16());
        }
        drop(inner);
        self.changed();
    }

    /// Writes down that nothing more is to be expected of a request: it was answered, or never will be.
    pub fn ended(&self) {
        let mut inner = self.inner();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        inner.last = Instant::now();
        drop(inner);
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.inner().asked.len()
    }

    /// The requests after the first so many.
    pub fn since(&self, count: usize) -> Vec<Asked> {
        let inner = self.inner();
        inner.asked.get(count..).unwrap_or_default().to_vec()
    }

    /// The shape of the request at which the operator was killed, once it was.
    pub fn struck(&self) -> Option<String> {
        self.inner().struck.clone()
    }

    /// Takes the order back: what comes now is only looked at.
    pub fn disarm(&self) {
        self.inner().order = None;
    }

    /// Waits until nothing was asked for so long, and nothing waits for its answer.
    ///
    /// # Errors
    /// When it does not come to rest within `deadline`.
    pub async fn rests(&self, silence: Duration, deadline: Duration) -> Result<()> {
        let mut changes = self.changes.subscribe();
        let end = Instant::now() + deadline;
        loop {
            changes.borrow_and_update();
            let (in_flight, last, count) = {
                let inner = self.inner();
                (inner.in_flight, inner.last, inner.asked.len())
            };
            let wait = silence.saturating_sub(last.elapsed());
            if in_flight == 0 && wait.is_zero() {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!(
                    "no rest within {deadline:?}: {count} requests, {in_flight} without an answer"
                );
            }
            let wait = if in_flight > 0 { silence } else { wait };
            // Whatever happens first: something is asked, or the silence has lasted.
            tokio::time::timeout(wait, changes.changed()).await.ok();
        }
    }

    /// Waits until a request is such a one.
    ///
    /// # Errors
    /// When there is none within `deadline`.
    pub async fn sees(
        &self,
        what: &str,
        deadline: Duration,
        is_it: impl Fn(&Asked) -> bool,
    ) -> Result<()> {
        let mut changes = self.changes.subscribe();
        let seen = async {
            loop {
                changes.borrow_and_update();
                if self.inner().asked.iter().any(&is_it) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        match tokio::time::timeout(deadline, seen).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("{what}: not within {deadline:?}"),
        }
    }
}

fn token(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION)?;
    Some(fingerprint(header.as_bytes()))
}
