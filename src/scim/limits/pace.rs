//! How fast a backend can be asked: what it allows is learned from its refusals (429).
//!
//! A refusal says that too much was sent; what was accepted within the second before says how much is
//! allowed, and `Retry-After` how long the window is where it is longer. The learned rate lies a little
//! below, is kept for a while, and then grows until the next refusal or the configured rate. A limit that
//! was confirmed is tried less and less often, since each try costs a pause.
//!
//! Time is passed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The longest pause a server can impose; more is taken for a mistake.
pub const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The first pause after a 429 that names none, or none worth it. It doubles with each further time, up
/// to [`MAX_UNASKED_PAUSE`].
const FIRST_UNASKED_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause taken without being asked for one.
const MAX_UNASKED_PAUSE: Duration = Duration::from_secs(60);
/// The window that is looked at.
const WINDOW: Duration = Duration::from_secs(1);
/// So many requests that were accepted say something of what is allowed.
const ENOUGH: f64 = 3.0;
/// How much of what was accepted is asked for from then on.
const BELOW: f64 = 0.98;
/// A refusal near the last estimate confirms it.
const NEAR: f64 = 1.15;
/// How long a learned rate is kept before more is tried; doubles with each confirmation.
const FIRST_HOLD: Duration = Duration::from_secs(30);
const LONGEST_HOLD: Duration = Duration::from_secs(900);
/// How much more is tried with each second after that.
const GROWTH: f64 = 1.02;
/// How late a sleep may end and still cost nothing. More would let bursts through.
const LATE: Duration = Duration::from_millis(20);
/// A limit that was learned is not taken for much lower at once: windows begin when they want.
const NOT_MUCH_LOWER: f64 = 0.95;
/// Unless it clearly is.
const CLEARLY_LOWER: f64 = 0.7;
/// The slowest rate that is learned, in requests a second.
const SLOWEST: f64 = 0.2;

/// Why a server asks for a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Too many requests (429): a word on what it allows.
    TooMany,
    /// It cannot serve at the moment (503 with `Retry-After`).
    Unavailable,
}

/// What is known of a backend's limit.
#[derive(Debug)]
struct Learned {
    /// Requests a second.
    rate: f64,
    /// What was allowed when it was learned.
    estimate: f64,
    /// How long it is kept.
    hold: Duration,
    /// Until when it has grown, or will not grow.
    grows_from: Instant,
    /// When the next request may go, by this rate.
    next: Instant,
}

/// The pauses and the rate of one backend.
#[derive(Debug)]
pub(super) struct Pace {
    most: f64,
    until: Option<Instant>,
    /// When the last refusal came that was news.
    refused_at: Option<Instant>,
    /// When a request was last let through, or asked for.
    taken: Option<Instant>,
    /// Since when requests have gone without a pause, and without an idle while.
    since: Option<Instant>,
    accepted_since: u64,
    accepted: VecDeque<Instant>,
    in_a_row: u32,
    learned: Option<Learned>,
}

impl Pace {
    /// A pace of at most so many requests a second.
    pub fn new(most: u32) -> Self {
        Self {
            most: f64::from(most),
            until: None,
            refused_at: None,
            taken: None,
            since: None,
            accepted_since: 0,
            accepted: VecDeque::new(),
            in_a_row: 0,
            learned: None,
        }
    }

    /// Until when the server wants no request.
    pub fn paused_until(&mut self, now: Instant) -> Option<Instant> {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        self.until
    }

    /// Requests a second that were found to be allowed, where that is less than what is configured.
    pub fn learned(&self) -> Option<f64> {
        self.learned.as_ref().map(|learned| learned.rate)
    }

    /// Takes one request of the learned rate: `Err` says when to ask again.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.grow(now);
        // What was accepted before an idle while says nothing of what is refused after it.
        let idle = WINDOW.max(Duration::from_secs_f64(2.0 / self.rate()));
        if self.taken.is_some_and(|taken| now - taken > idle) {
            self.since = None;
            self.accepted_since = 0;
        }
        self.taken = Some(now);
        self.since.get_or_insert(now);
        let Some(learned) = &mut self.learned else {
            return Ok(());
        };
        if learned.next > now {
            return Err(learned.next);
        }
        // Sleeps end late: what was lost so is made up for.
        let step = Duration::from_secs_f64(1.0 / learned.rate);
        let earliest = now.checked_sub(LATE).unwrap_or(now);
        learned.next = learned.next.max(earliest) + step;
        Ok(())
    }

    /// A reply that asks for no pause.
    pub fn answered(&mut self, now: Instant) {
        self.in_a_row = 0;
        self.accepted_since += 1;
        self.accepted.push_back(now);
        self.forget_before(now);
    }

    /// A reply to a request of `sent` that asks for a pause, of this length or of an unknown one.
    pub fn refused(&mut self, sent: Instant, now: Instant, asked: Option<Duration>, why: Why) {
        // Sent before the last refusal came: what it says was said.
        let news = self.refused_at.is_none_or(|at| sent > at);
        if news {
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
        let row = self.in_a_row.saturating_sub(1);
        let doubled = FIRST_UNASKED_PAUSE.saturating_mul(1 << row.min(10));
        // A server that says "now" while it refuses is not taken at its word.
        let length = match asked {
            Some(asked) if asked >= FIRST_UNASKED_PAUSE => asked.min(MAX_PAUSE),
            _ => doubled.min(MAX_UNASKED_PAUSE),
        };
        // Pauses never shorten one another.
        self.until = self.until.max(Some(now + length));
        if news {
            self.refused_at = Some(now);
            if why == Why::TooMany {
                self.learn(now, length);
            }
            self.since = None;
            self.accepted_since = 0;
        }
    }

    /// The rate in force, in requests a second.
    pub fn rate(&self) -> f64 {
        self.learned.as_ref().map_or(self.most, |known| known.rate)
    }

    fn learn(&mut self, now: Instant, pause: Duration) {
        self.forget_before(now);
        let in_force = self.rate();
        let lately = self.accepted.len() as f64;
        let window = self.since.map_or(Duration::ZERO, |since| now - since);
        let slowly = {
            let count = self.accepted_since as f64;
            count >= ENOUGH && count >= window.as_secs_f64() * in_force / 2.0
        };
        let longer = self.accepted_since as f64 / (window + pause).as_secs_f64().max(1.0);
        let estimate = if lately < ENOUGH {
            // Little was sent: others may use the same quota, or the server has trouble of its own. That is
            // no word on what it allows.
            if !slowly {
                return;
            }
            longer
        } else if pause > WINDOW * 3 / 2 {
            lately.min(longer)
        } else {
            lately
        };
        let (estimate, hold) = match &self.learned {
            Some(known) if in_force <= known.estimate * NEAR => (
                if estimate < known.estimate * CLEARLY_LOWER && estimate >= 10.0 {
                    estimate
                } else {
                    estimate.max(known.estimate * NOT_MUCH_LOWER)
                },
                (known.hold * 2).min(LONGEST_HOLD),
            ),
            _ => (estimate, FIRST_HOLD),
        };
        let estimate = estimate.clamp(SLOWEST, self.most);
        self.learned = Some(Learned {
            rate: (estimate * BELOW).min(in_force).max(SLOWEST),
            estimate,
            hold,
            grows_from: now + pause + hold,
            next: now,
        });
    }

    fn grow(&mut self, now: Instant) {
        let Some(known) = &mut self.learned else {
            return;
        };
        if now <= known.grows_from {
            return;
        }
        known.rate *= GROWTH.powf((now - known.grows_from).as_secs_f64());
        known.grows_from = now;
        if known.rate >= self.most {
            self.learned = None;
        }
    }

    fn forget_before(&mut self, now: Instant) {
        while self.accepted.front().is_some_and(|at| now - *at > WINDOW) {
            self.accepted.pop_front();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
