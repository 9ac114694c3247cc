//! One limiter a connection: requests a second, requests in flight, and the
//! pauses a server asks for.
//!
//! A permit is held until the reply has been read. Waiting is bounded by the
//! pause cap and the queue before; it is not part of the request's timeout.
//! Which request goes first (lanes) is decided by the caller.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// The longest pause a server can impose; more is taken for a mistake.
pub const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The first pause after a 429 that names none, or none worth it. It doubles
/// with each further 429, up to [`MAX_UNASKED_PAUSE`].
const FIRST_UNASKED_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause taken without being asked for one.
const MAX_UNASKED_PAUSE: Duration = Duration::from_secs(60);

/// How hard a backend may be worked. Zeroes count as ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second, averaged; short bursts stay within a twentieth of
    /// a second's worth or `max_in_flight`, whichever is more.
    pub requests_per_second: u32,
    /// Requests that wait for their reply at a time.
    pub max_in_flight: u32,
}

impl Default for Limits {
    /// Gentle: 10 requests a second, 2 in flight.
    fn default() -> Self {
        Self {
            requests_per_second: 10,
            max_in_flight: 2,
        }
    }
}

/// How often requests were held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttled {
    /// Requests that waited for our own rate limit.
    pub by_rate: u64,
    /// Requests that waited for a pause the server asked for.
    pub by_pause: u64,
    /// Pauses the server asked for (429, and 503 with a time).
    pub pauses: u64,
}

/// The right to send one request.
#[derive(Debug)]
pub struct Permit {
    _slot: Option<OwnedSemaphorePermit>,
}

/// Holds requests back. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Limiter {
    slots: Arc<Semaphore>,
    rate: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>,
    pause: Mutex<Pause>,
    closed: watch::Sender<bool>,
    by_rate: AtomicU64,
    by_pause: AtomicU64,
    pauses: AtomicU64,
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// 429s since the last reply that was none.
    in_a_row: u32,
}

/// The runtime's monotonic clock, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

impl Limiter {
    /// A limiter with nothing used yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let Limits {
            requests_per_second,
            max_in_flight,
        } = limits;
        let rate = NonZeroU32::new(requests_per_second).unwrap_or(NonZeroU32::MIN);
        let slots = max_in_flight.clamp(1, 10_000);
        // A full second's worth at once would be two within one second.
        let burst = slots.max(rate.get() / 20).min(rate.get());
        let quota =
            Quota::per_second(rate).allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        Self {
            slots: Arc::new(Semaphore::new(slots as usize)),
            rate: RateLimiter::direct_with_clock(quota, TokioClock),
            pause: Mutex::default(),
            closed: watch::Sender::new(false),
            by_rate: AtomicU64::new(0),
            by_pause: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
        }
    }

    /// Lets nobody through any more: those who wait now and those who come
    /// later get no permit. What is in flight is not touched.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits for a slot, for the end of a pause and for the rate, in the order
    /// of asking; `None` once the limiter is closed. Cancel safe: what was not
    /// granted is not used up.
    pub async fn acquire(&self) -> Option<Permit> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            permit = self.granted() => Some(permit),
        }
    }

    async fn granted(&self) -> Permit {
        // The semaphore itself is never closed; were it, the rate still holds.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let (mut paused, mut limited) = (false, false);
        loop {
            if let Some(until) = self.paused_until() {
                if !std::mem::replace(&mut paused, true) {
                    self.by_pause.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep_until(until).await;
                continue;
            }
            match self.rate.check() {
                Ok(()) => return Permit { _slot: slot },
                Err(not_until) => {
                    if !std::mem::replace(&mut limited, true) {
                        self.by_rate.fetch_add(1, Ordering::Relaxed);
                    }
                    let wait = not_until.wait_time_from(TokioClock.now());
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Records that the server asked for a pause: of this length, or of an
    /// unknown one. Pauses never shorten one another.
    pub fn pause(&self, asked: Option<Duration>) {
        self.pauses.fetch_add(1, Ordering::Relaxed);
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let doubled = FIRST_UNASKED_PAUSE.saturating_mul(1 << pause.in_a_row.min(10));
        let unasked = doubled.min(MAX_UNASKED_PAUSE);
        pause.in_a_row = pause.in_a_row.saturating_add(1);
        // A server that says "now" while it refuses is not taken at its word.
        let length = match asked {
            Some(asked) if asked >= FIRST_UNASKED_PAUSE => asked.min(MAX_PAUSE),
            _ => unasked,
        };
        let until = Instant::now() + length;
        if pause.until.is_none_or(|known| known < until) {
            pause.until = Some(until);
        }
    }

    /// Records a reply that asks for no pause, which ends a row of 429s.
    pub fn answered(&self) {
        self.pause
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .in_a_row = 0;
    }

    /// How long requests are still held back at the server's wish.
    #[must_use]
    pub fn paused_for(&self) -> Option<Duration> {
        self.paused_until()
            .map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// The counters.
    #[must_use]
    pub fn throttled(&self) -> Throttled {
        Throttled {
            by_rate: self.by_rate.load(Ordering::Relaxed),
            by_pause: self.by_pause.load(Ordering::Relaxed),
            pauses: self.pauses.load(Ordering::Relaxed),
        }
    }

    fn paused_until(&self) -> Option<Instant> {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        if pause.until.is_some_and(|until| until <= Instant::now()) {
            pause.until = None;
        }
        pause.until
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_time_and_bursts_are_small() {
        let limiter = Limiter::new(Limits {
            requests_per_second: 10,
            max_in_flight: 2,
        });
        let start = Instant::now();
        for _ in 0..32 {
            drop(limiter.acquire().await);
        }
        let elapsed = start.elapsed();
        assert!(elapsed >= Duration::from_millis(2_950), "{elapsed:?}");
        assert!(elapsed <= Duration::from_millis(3_200), "{elapsed:?}");
        assert_eq!(limiter.throttled().by_rate, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_is_in_flight() {
        let limiter = Limiter::new(Limits {
            requests_per_second: 1000,
            max_in_flight: 2,
        });
        let first = limiter.acquire().await;
        let _second = limiter.acquire().await;
        let third = tokio::time::timeout(Duration::from_secs(60), limiter.acquire()).await;
        assert!(third.is_err());
        drop(first);
        tokio::time::timeout(Duration::from_secs(1), limiter.acquire())
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_limiter_sends_those_away_who_wait_and_those_who_come() {
        let limiter = Arc::new(Limiter::new(Limits {
            requests_per_second: 1000,
            max_in_flight: 1,
        }));
        let in_flight = limiter.acquire().await.unwrap();
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire().await.is_some() }
        });
        tokio::task::yield_now().await;
        limiter.close();
        assert!(
            !waiting.await.unwrap(),
            "the one that waited was let through"
        );
        drop(in_flight);
        assert!(
            limiter.acquire().await.is_none(),
            "a slot is free, and closed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_back_and_is_capped() {
        let limiter = Limiter::new(Limits::default());
        let cases = [
            (Some(Duration::from_secs(7)), 7_000, "what was asked"),
            (
                Some(Duration::from_secs(86_400)),
                300_000,
                "absurd values are capped",
            ),
        ];
        for (asked, expected, why) in cases {
            limiter.pause(asked);
            limiter.pause(Some(Duration::from_secs(1)));
            let start = Instant::now();
            drop(limiter.acquire().await);
            let waited = start.elapsed().as_millis() as i64;
            assert!((waited - expected).abs() < 20, "{why}: {waited}");
        }
        assert_eq!(limiter.throttled().by_pause, 2);
        assert_eq!(limiter.throttled().pauses, 4);
        assert_eq!(limiter.paused_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn unasked_pauses_double_until_a_reply_comes() {
        let limiter = Limiter::new(Limits::default());
        let mut waits = Vec::new();
        for asked in [None, Some(Duration::ZERO), None] {
            limiter.pause(asked);
            let start = Instant::now();
            drop(limiter.acquire().await);
            waits.push(start.elapsed().as_millis());
        }
        limiter.answered();
        limiter.pause(None);
        waits.push(limiter.paused_for().unwrap().as_millis());
        let rounded: Vec<_> = waits.iter().map(|ms| (ms + 20) / 500 * 500).collect();
        assert_eq!(rounded, [500, 1000, 2000, 500]);
    }
}
