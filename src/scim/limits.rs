//! One limiter a connection: requests a second, requests in flight, and the
//! pauses a server asks for.
//!
//! A permit is held until the reply has been read. Waiting is bounded by the
//! pause cap and the queue before; it is not part of the request's timeout.
//! Which request goes first is decided by its [`Lane`]; how fast they may go,
//! where a server allows less than the connection does, is learned by `pace`.

mod pace;
mod turns;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use self::pace::Pace;
use crate::scim::tally::Tally;

pub use self::pace::{MAX_PAUSE, Why};
pub use self::turns::{Lane, Turn, Turns};

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

/// The right to send one request.
#[derive(Debug)]
pub struct Permit {
    _slot: Option<OwnedSemaphorePermit>,
    granted: Instant,
}

impl Permit {
    /// When it was granted.
    pub fn granted(&self) -> Instant {
        self.granted
    }
}

/// Holds requests back. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Limiter {
    turns: Arc<Turns>,
    slots: Arc<Semaphore>,
    rate: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>,
    pace: Mutex<Pace>,
    closed: watch::Sender<bool>,
    tally: Arc<Tally>,
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
    /// A limiter with nothing used yet, which counts there what it holds back.
    #[must_use]
    pub fn new(limits: Limits, tally: Arc<Tally>) -> Self {
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
            turns: Turns::new(1, 1),
            slots: Arc::new(Semaphore::new(slots as usize)),
            rate: RateLimiter::direct_with_clock(quota, TokioClock),
            pace: Mutex::new(Pace::new(rate.get())),
            closed: watch::Sender::new(false),
            tally,
        }
    }

    /// Lets nobody through any more: those who wait now and those who come
    /// later get no permit. What is in flight is not touched.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits for its turn, for a slot, for the end of a pause and for the rate;
    /// `None` once the limiter is closed. Cancel safe: what was not granted is
    /// not used up.
    pub async fn acquire(&self, lane: Lane) -> Option<Permit> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            permit = self.granted(lane) => Some(permit),
        }
    }

    async fn granted(&self, lane: Lane) -> Permit {
        // One at a time waits for what follows, so that the others can still be overtaken.
        let _turn = self.turns.take(lane).await;
        // The semaphore itself is never closed; were it, the rate still holds.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let (mut paused, mut limited) = (false, false);
        loop {
            let until = self.pace().paused_until(Instant::now());
            if let Some(until) = until {
                if !std::mem::replace(&mut paused, true) {
                    self.tally.by_pause.inc();
                }
                tokio::time::sleep_until(until).await;
                continue;
            }
            let wait = match self.rate.check() {
                Err(not_until) => not_until.wait_time_from(TokioClock.now()),
                Ok(()) => break,
            };
            if !std::mem::replace(&mut limited, true) {
                self.tally.by_rate.inc();
            }
            tokio::time::sleep(wait).await;
        }
        loop {
            let granted = Instant::now();
            let learned = {
                let mut pace = self.pace();
                match pace.paused_until(granted) {
                    Some(until) => Err(until),
                    None => pace.take(granted),
                }
            };
            let Err(until) = learned else {
                return Permit {
                    _slot: slot,
                    granted,
                };
            };
            if !std::mem::replace(&mut limited, true) {
                self.tally.by_rate.inc();
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Records that the server answered a request, for which the permit was
    /// `granted` then, by asking for a pause: of this length, or of an unknown
    /// one. Pauses never shorten one another.
    pub fn refused(&self, granted: Instant, asked: Option<Duration>, why: Why) {
        self.tally.pauses.inc();
        self.pace().refused(granted, Instant::now(), asked, why);
    }

    /// Records a reply that asks for no pause, which ends a row of 429s.
    pub fn answered(&self) {
        self.pace().answered(Instant::now());
    }

    /// How long requests are still held back at the server's wish.
    #[must_use]
    pub fn paused_for(&self) -> Option<Duration> {
        let now = Instant::now();
        let until = self.pace().paused_until(now)?;
        Some(until.saturating_duration_since(now))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a second that the backend was found to allow, where that is less than ours.
    #[must_use]
    pub fn learned(&self) -> Option<f64> {
        self.pace().learned()
    }

    /// How many requests of a lane wait to be let through.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        self.turns.waiting(lane)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn limiter(limits: Limits) -> Limiter {
        Limiter::new(limits, Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_time_and_bursts_are_small() {
        let limiter = limiter(Limits {
            requests_per_second: 10,
            max_in_flight: 2,
        });
        let start = Instant::now();
        for _ in 0..32 {
            drop(limiter.acquire(Lane::Fresh).await);
        }
        let elapsed = start.elapsed();
        assert!(elapsed >= Duration::from_millis(2_950), "{elapsed:?}");
        assert!(elapsed <= Duration::from_millis(3_200), "{elapsed:?}");
        assert_eq!(limiter.tally.by_rate.get(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_is_in_flight() {
        let limiter = limiter(Limits {
            requests_per_second: 1000,
            max_in_flight: 2,
        });
        let first = limiter.acquire(Lane::Fresh).await;
        let _second = limiter.acquire(Lane::Fresh).await;
        let third =
            tokio::time::timeout(Duration::from_secs(60), limiter.acquire(Lane::Fresh)).await;
        assert!(third.is_err());
        drop(first);
        tokio::time::timeout(Duration::from_secs(1), limiter.acquire(Lane::Fresh))
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_limiter_sends_those_away_who_wait_and_those_who_come() {
        let limiter = Arc::new(limiter(Limits {
            requests_per_second: 1000,
            max_in_flight: 1,
        }));
        let in_flight = limiter.acquire(Lane::Fresh).await.unwrap();
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(Lane::Fresh).await.is_some() }
        });
        tokio::task::yield_now().await;
        limiter.close();
        assert!(
            !waiting.await.unwrap(),
            "the one that waited was let through"
        );
        drop(in_flight);
        assert!(
            limiter.acquire(Lane::Fresh).await.is_none(),
            "a slot is free, and closed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_back_and_is_capped() {
        let limiter = limiter(Limits::default());
        let cases = [
            (Some(Duration::from_secs(7)), 7_000, "what was asked"),
            (
                Some(Duration::from_secs(86_400)),
                300_000,
                "absurd values are capped",
            ),
        ];
        for (asked, expected, why) in cases {
            let permit = limiter.acquire(Lane::Fresh).await.unwrap();
            limiter.refused(permit.granted(), asked, Why::TooMany);
            limiter.refused(permit.granted(), Some(Duration::from_secs(1)), Why::TooMany);
            drop(permit);
            let start = Instant::now();
            drop(limiter.acquire(Lane::Fresh).await);
            let waited = start.elapsed().as_millis() as i64;
            assert!((waited - expected).abs() < 20, "{why}: {waited}");
        }
        assert_eq!(limiter.tally.by_pause.get(), 2);
        assert_eq!(limiter.tally.pauses.get(), 4);
        assert_eq!(limiter.paused_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_new_overtakes_drift_that_waits_for_the_rate() {
        let limiter = Arc::new(limiter(Limits {
            requests_per_second: 10,
            max_in_flight: 1,
        }));
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let lanes = [vec![Lane::Drift; 5], vec![Lane::Fresh; 2]].concat();
        for lane in lanes {
            let (limiter, told) = (limiter.clone(), told.clone());
            tokio::spawn(async move {
                let permit = limiter.acquire(lane).await;
                let _ = told.send(lane);
                drop(permit);
            });
            tokio::task::yield_now().await;
        }
        drop(told);
        let mut seen = Vec::new();
        while let Some(lane) = order.recv().await {
            seen.push(lane);
        }
        use Lane::{Drift, Fresh};
        // The first found the gate free, the second stood at it.
        assert_eq!(seen, [Drift, Drift, Fresh, Fresh, Drift, Drift, Drift]);
    }

    #[tokio::test(start_paused = true)]
    async fn unasked_pauses_double_until_a_reply_comes() {
        let limiter = limiter(Limits::default());
        let mut waits = Vec::new();
        for asked in [None, Some(Duration::ZERO), None] {
            let permit = limiter.acquire(Lane::Fresh).await.unwrap();
            limiter.refused(permit.granted(), asked, Why::TooMany);
            let start = Instant::now();
            drop(permit);
            drop(limiter.acquire(Lane::Fresh).await);
            waits.push(start.elapsed().as_millis());
        }
        limiter.answered();
        let permit = limiter.acquire(Lane::Fresh).await.unwrap();
        limiter.refused(permit.granted(), None, Why::TooMany);
        waits.push(limiter.paused_for().unwrap().as_millis());
        let rounded: Vec<_> = waits.iter().map(|ms| (ms + 20) / 500 * 500).collect();
        assert_eq!(rounded, [500, 1000, 2000, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_overload_is_one_refusal_however_many_it_hits() {
        let limiter = limiter(Limits {
            requests_per_second: 1000,
            max_in_flight: 16,
        });
        let mut hit = Vec::new();
        for _ in 0..16 {
            hit.push(limiter.acquire(Lane::Fresh).await.unwrap());
        }
        hit.iter()
            .for_each(|permit| limiter.refused(permit.granted(), None, Why::TooMany));
        let paused = limiter.paused_for().unwrap();
        assert!(paused <= Duration::from_millis(500), "{paused:?}");
    }
}
