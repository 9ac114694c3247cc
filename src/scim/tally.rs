//! What one backend was asked, and what came of it, since this process works on it. A client that is built anew,
//! with another token say, goes on counting here.
//!
//! Numbers only: who names them, and for whom, is decided elsewhere.

use std::array;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of how long requests take, in seconds. The last is the usual limit of a request.
const SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One page of a listing.
    List,
    /// One resource by its id.
    Get,
    /// A lookup by an attribute.
    Find,
    /// One resource is made.
    Create,
    /// Several operations at once (RFC 7644 §3.7).
    Bulk,
    /// PATCH or PUT.
    Update,
    /// One resource is deleted.
    Delete,
    /// What the backend says of itself.
    Discover,
}

impl Operation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::List,
        Self::Get,
        Self::Find,
        Self::Create,
        Self::Bulk,
        Self::Update,
        Self::Delete,
        Self::Discover,
    ];

    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Get => "get",
            Self::Find => "find",
            Self::Create => "create",
            Self::Bulk => "bulk",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Discover => "discover",
        }
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx and 3xx.
    Ok,
    /// 429, or 503 with a time: fewer requests are asked for.
    Throttled,
    /// 401 or 403.
    Unauthorized,
    /// Any other 4xx.
    Refused,
    /// Any other 5xx.
    Failed,
    /// None came, or none that could be read to its end.
    None,
}

impl Answer {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::Throttled,
        Self::Unauthorized,
        Self::Refused,
        Self::Failed,
        Self::None,
    ];

    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::None => "none",
        }
    }

    /// Of a reply with this status.
    #[must_use]
    pub const fn of(status: u16, asks_for_a_pause: bool) -> Self {
        match status {
            429 => Self::Throttled,
            503 if asks_for_a_pause => Self::Throttled,
            401 | 403 => Self::Unauthorized,
            400..500 => Self::Refused,
            500.. => Self::Failed,
            _ => Self::Ok,
        }
    }
}

/// What was asked of one backend.
#[derive(Debug)]
pub struct Tally {
    requests: [[Counter; Answer::ALL.len()]; Operation::ALL.len()],
    durations: [Histogram; Operation::ALL.len()],
    /// Requests that waited for our own rate limit.
    pub by_rate: Counter,
    /// Requests that waited for a pause the backend asked for.
    pub by_pause: Counter,
    /// Pauses the backend asked for.
    pub pauses: Counter,
    /// Creates that went along in another's request.
    pub taken_along: Counter,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: array::from_fn(|_| array::from_fn(|_| Counter::default())),
            durations: array::from_fn(|_| Histogram::new(SECONDS)),
            by_rate: Counter::default(),
            by_pause: Counter::default(),
            pauses: Counter::default(),
            taken_along: Counter::default(),
        }
    }
}

impl Tally {
    /// Counts a request that came to this after so long.
    pub fn count(&self, operation: Operation, answer: Answer, took: Duration) {
        self.requests(operation, answer).inc();
        self.durations(operation).observe(took.as_secs_f64());
    }

    /// How many requests of a kind were answered so.
    #[must_use]
    pub fn requests(&self, operation: Operation, answer: Answer) -> &Counter {
        &self.requests[operation as usize][answer as usize]
    }

    /// How long requests of a kind took, in seconds, whatever they came to.
    #[must_use]
    pub fn durations(&self, operation: Operation) -> &Histogram {
        &self.durations[operation as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_and_a_word_of_its_own() {
        let tally = Tally::default();
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, number);
            for (number, answer) in Answer::ALL.into_iter().enumerate() {
                assert_eq!(answer as usize, number);
                tally.count(operation, answer, Duration::from_millis(3));
                assert_eq!(tally.requests(operation, answer).get(), 1);
            }
        }
        let mut words: Vec<_> = Operation::ALL.map(Operation::as_str).to_vec();
        words.extend(Answer::ALL.map(Answer::as_str));
        words.sort_unstable();
        let all = words.len();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn an_answer_is_known_by_its_status() {
        for (status, pause, answer) in [
            (200, false, Answer::Ok),
            (204, false, Answer::Ok),
            (302, false, Answer::Ok),
            (400, false, Answer::Refused),
            (401, false, Answer::Unauthorized),
            (403, false, Answer::Unauthorized),
            (404, true, Answer::Refused),
            (429, false, Answer::Throttled),
            (500, false, Answer::Failed),
            (503, false, Answer::Failed),
            (503, true, Answer::Throttled),
        ] {
            assert_eq!(Answer::of(status, pause), answer, "{status}");
        }
    }
}
