//! Creates that go together in one request (RFC 7644 §3.7), where the backend offers that.
//!
//! Nobody waits in order to be batched: the first create goes at once, alone, by a plain POST; those who
//! wait behind a limit meanwhile go together with whoever of them is let through next. One request is
//! one token and one slot of the limiter, however many it carries.
//!
//! Guarantees: each create comes to what a single request would have come to, by its own result; one
//! that the answer says nothing of is in doubt; a backend that offers Bulk and does not carry it out is
//! asked for it once, and nothing is lost; what is given up while it waits is not sent.
//!
//! The messages are in `message`, the line in `line`.

mod line;
mod message;

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Method;
use tokio::time::Instant;

use crate::scim::client::created;
use crate::scim::discovery;
use crate::scim::endpoint::Endpoint;
use crate::scim::error::{Cause, ScimError};
use crate::scim::http::{Call, Transport};
use crate::scim::limits::{Lane, Permit, Why};
use crate::scim::reply::Reply;
use crate::scim::tally::Operation;
use crate::scim::types::ResourceKind;
use line::{Entry, Line, Room, Turn};
use message::{Outcome, Request};

/// What goes into a request at most, whatever the backend offers, and where it does not say.
const MOST_OPERATIONS: u32 = 1000;
const USUAL_OPERATIONS: u32 = 100;
const MOST_BYTES: u64 = 8 * 1024 * 1024;
const USUAL_BYTES: u64 = 1024 * 1024;

/// The creates of one connection that go together.
#[derive(Default)]
pub(crate) struct Batches {
    line: Line,
    terms: Mutex<Terms>,
}

/// What is offered, and what was learned of it.
#[derive(Debug, Default)]
struct Terms {
    offered: Option<discovery::Bulk>,
    /// The connection's name, for the log.
    connection: String,
    /// Learned: it does not do what it offers.
    refused: bool,
    /// Learned from a 413: no more than so many.
    most: Option<usize>,
    /// Learned from a request that was not done in time: no more than so many for now.
    in_time: Option<usize>,
}

impl Terms {
    /// A request of so many took too long: the next carry half, and then ever one more. Never one alone,
    /// of which nothing would be learned.
    fn took_too_long(&mut self, carried: usize) {
        let half = (carried / 2).max(2);
        self.in_time = Some(self.in_time.map_or(half, |most| most.min(half)));
    }

    /// A request was answered in time.
    fn was_in_time(&mut self) {
        self.in_time = self.in_time.map(|most| most.saturating_add(1));
    }
}

/// What the answer to a request for several says of it as a whole.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Each has an answer of its own, or none.
    Answered(Vec<Option<Outcome>>),
    /// It came to this, for each of them.
    Failed(ScimError),
    /// Too large: nothing was done.
    TooLarge,
    /// Bulk is not there: nothing was done.
    NotOffered,
    /// It is no answer to Bulk, and nobody knows what was done.
    NotUnderstood(ScimError),
}

impl Batches {
    /// From now on creates go together as far as this allows; each alone where that is `None`.
    pub fn offer(&self, offered: Option<discovery::Bulk>, connection: &str) {
        let mut terms = self.terms();
        terms.offered = offered;
        terms.connection = connection.to_owned();
    }

    /// Whether creates may go together at all.
    pub fn are_used(&self) -> bool {
        self.room() != Room::ALONE
    }

    fn room(&self) -> Room {
        let terms = self.terms();
        let Some(offered) = terms.offered.filter(|_| !terms.refused) else {
            return Room::ALONE;
        };
        let operations = offered.max_operations.unwrap_or(USUAL_OPERATIONS);
        let operations = operations.min(MOST_OPERATIONS) as usize;
        let learned = terms.most.into_iter().chain(terms.in_time).min();
        let operations = operations.min(learned.unwrap_or(usize::MAX));
        if operations < 2 {
            return Room::ALONE;
        }
        let bytes = offered.max_payload_size.unwrap_or(USUAL_BYTES);
        let bytes = usize::try_from(bytes.min(MOST_BYTES)).unwrap_or(usize::MAX);
        let around = message::size_of(&Request::of(Vec::new()));
        Room {
            operations,
            bytes: bytes.saturating_sub(around),
        }
    }

    /// Creates a user, with others where others wait.
    ///
    /// # Errors
    /// As a single POST; [`ScimError::Unanswered`] where the answer says nothing of this one.
    pub async fn create(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        body: &serde_json::Value,
        lane: Lane,
    ) -> Outcome {
        let operation =
            |number: u64| message::create(ResourceKind::User, &number.to_string(), body);
        let mut place = self.line.stand(operation);
        let mut in_line = true;
        loop {
            tokio::select! {
                // Taken along by another, one lets go of its own turn before that is used up.
                biased;
                turn = place.turns.recv() => match turn {
                    Some(Turn::Departed) => in_line = false,
                    Some(Turn::Back) => in_line = true,
                    Some(Turn::Done(outcome)) => return outcome,
                    // Whoever carried it was given up on the way.
                    None => return Err(ScimError::ReplyLost(Cause::Closed)),
                },
                permit = transport.permit(lane), if in_line => match permit {
                    Ok(permit) => {
                        let batch = self.line.depart(place.number, self.room());
                        self.carry(transport, endpoint, permit, batch).await;
                    }
                    Err(closed) if self.line.leave(place.number) => return Err(closed),
                    Err(_) => in_line = false,
                },
            }
        }
    }

    /// Sends a batch, and tells each of it what it came to.
    async fn carry(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        permit: Permit,
        batch: Vec<Entry>,
    ) {
        let granted = permit.granted();
        match &batch[..] {
            [] => {}
            [alone] => {
                let body = &alone.operation["data"];
                let outcome = post(transport, endpoint, permit, "Users", body).await;
                alone.tell(Turn::Done(outcome.and_then(created)));
            }
            several => {
                let operations = several.iter().map(|entry| &entry.operation).collect();
                let request = Request::of(operations);
                let reply = post(transport, endpoint, permit, "Bulk", &request).await;
                let operations: Vec<_> = several.iter().map(|entry| &entry.operation).collect();
                let verdict = judge(reply, &operations);
                self.settle(transport, granted, verdict, batch);
            }
        }
    }

    /// Acts upon a verdict.
    fn settle(&self, transport: &Transport, granted: Instant, verdict: Verdict, batch: Vec<Entry>) {
        // One request is one failure, however many it carried.
        let request = batch.first().map_or(0, |entry| entry.number);
        let shared = |error: ScimError| ScimError::Shared {
            request,
            error: Box::new(error),
        };
        match verdict {
            Verdict::Answered(outcomes) => {
                self.terms().was_in_time();
                let others = batch.len().saturating_sub(1);
                transport.tally().taken_along.inc_by(others as u64);
                let throttled = |outcome: &Option<Outcome>| {
                    matches!(outcome, Some(Err(ScimError::RateLimited { .. })))
                };
                if outcomes.iter().any(throttled) {
                    transport.limiter().refused(granted, None, Why::TooMany);
                }
                for (entry, outcome) in batch.iter().zip(outcomes) {
                    let unanswered = || Err(shared(ScimError::Unanswered));
                    entry.tell(Turn::Done(outcome.unwrap_or_else(unanswered)));
                }
            }
            // Nothing was sent, and there is nothing to count.
            Verdict::Failed(ScimError::Closed) => {
                let closed = |entry: &Entry| entry.tell(Turn::Done(Err(ScimError::Closed)));
                batch.iter().for_each(closed);
            }
            Verdict::Failed(error) => {
                if is_late(&error) {
                    self.terms().took_too_long(batch.len());
                }
                let failed = |entry: &Entry| entry.tell(Turn::Done(Err(shared(error.clone()))));
                batch.iter().for_each(failed);
            }
            Verdict::TooLarge => {
                let half = batch.len() / 2;
                let mut terms = self.terms();
                terms.most = Some(terms.most.map_or(half, |most| most.min(half)));
                drop(terms);
                tracing::debug!(operations = half, "Bulk requests are made smaller");
                self.line.take_back(batch);
            }
            Verdict::NotOffered => {
                self.is_refused("it is not there");
                self.line.take_back(batch);
            }
            Verdict::NotUnderstood(error) => {
                self.is_refused("the answer is none to it");
                let failed = |entry: &Entry| entry.tell(Turn::Done(Err(shared(error.clone()))));
                batch.iter().for_each(failed);
            }
        }
    }

    /// Remembers it for as long as this client lives, and says so once.
    fn is_refused(&self, why: &'static str) {
        let mut terms = self.terms();
        if !std::mem::replace(&mut terms.refused, true) {
            tracing::warn!(
                connection = %terms.connection,
                why,
                "the backend offers Bulk and does not carry it out; each create goes alone"
            );
        }
    }

    /// A poisoned lock only means that another task panicked; the terms are whole between calls.
    fn terms(&self) -> MutexGuard<'_, Terms> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn post(
    transport: &Transport,
    endpoint: &Endpoint,
    permit: Permit,
    path: &str,
    body: &impl serde::Serialize,
) -> Result<Reply, ScimError> {
    let operation = match path {
        "Bulk" => Operation::Bulk,
        _ => Operation::Create,
    };
    let call = Call {
        operation,
        method: Method::POST,
        url: endpoint.url(path, &[])?,
        body: Some(body),
        if_match: None,
        // Only where the media type is refused is there a second request.
        lane: Lane::Fresh,
    };
    transport.send_with(permit, &call).await
}

/// What became of a request for these operations.
fn judge(reply: Result<Reply, ScimError>, operations: &[&serde_json::Value]) -> Verdict {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Verdict::Failed(error),
    };
    match reply.status {
        200..300 => match reply.json() {
            Ok(answer) => match message::outcomes(&answer, operations) {
                Some(outcomes) if outcomes.iter().all(is_elsewhere) => Verdict::NotOffered,
                Some(outcomes) => Verdict::Answered(outcomes),
                None => Verdict::NotUnderstood(ScimError::Unanswered),
            },
            Err(error) => Verdict::NotUnderstood(error),
        },
        403 | 404 | 405 | 501 => Verdict::NotOffered,
        413 => Verdict::TooLarge,
        401 | 407 | 408 | 423 | 425 | 429 | 500..600 => {
            match reply.success(crate::scim::reply::Target::Collection) {
                Err(error) => Verdict::Failed(error),
                Ok(_) => Verdict::NotUnderstood(ScimError::Unanswered),
            }
        }
        // A refusal of the whole is about nobody in particular, and a part may have been done before it.
        _ => Verdict::NotUnderstood(ScimError::Unanswered),
    }
}

/// Whether a request failed for what it asked of the backend at once: in time, or to answer.
fn is_late(error: &ScimError) -> bool {
    matches!(
        error,
        ScimError::Timeout
            | ScimError::ReplyTooLarge
            | ScimError::Server {
                status: 408 | 504,
                ..
            }
    )
}

/// Whether a result says that there is nothing to create at. Where all of them do, the backend reads its
/// operations otherwise than we write them: what single requests come to is nobody's fault but theirs.
fn is_elsewhere(outcome: &Option<Outcome>) -> bool {
    matches!(
        outcome,
        Some(Err(ScimError::NotImplemented
            | ScimError::BadRequest {
                status: 404 | 410,
                ..
            }))
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
