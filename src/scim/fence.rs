//! Until when this process may begin a request. A process that leads by a lease moves its fence with
//! each renewal; one that is paused finds it closed when it wakes, before anything else had to notice.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::time::Instant;

/// Until when something may begin. Clones are one fence; a closed one never opens again.
#[derive(Clone, Debug, Default)]
pub struct Fence(Option<Arc<Mutex<Until>>>);

#[derive(Debug)]
enum Until {
    /// Nothing may begin yet.
    NotYet,
    /// Open until then.
    Open(Instant),
    /// Closed for good.
    Closed,
}

impl Fence {
    /// Never closes: there is only one who writes.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Nothing may begin before the fence is moved for the first time.
    #[must_use]
    pub fn not_yet() -> Self {
        Self(Some(Arc::new(Mutex::new(Until::NotYet))))
    }

    /// Opens until then. False once the fence has closed, by itself or not: it stays so.
    pub fn move_to(&self, until: Instant) -> bool {
        let Some(state) = &self.0 else { return true };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match *state {
            Until::Open(end) if end <= Instant::now() => Until::Closed,
            Until::Closed => Until::Closed,
            Until::NotYet | Until::Open(_) => Until::Open(until),
        };
        matches!(*state, Until::Open(_))
    }

    /// Closes for good.
    pub fn close(&self) {
        if let Some(state) = &self.0 {
            *state.lock().unwrap_or_else(PoisonError::into_inner) = Until::Closed;
        }
    }

    /// Whether something may begin now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Some(state) = &self.0 else { return true };
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, Until::Open(end) if Instant::now() < end)
    }

    /// Goes on with `work` for as long as the fence is open, which is looked at each time before it goes
    /// on: it may have waited while the process was paused. `None` once the fence has closed.
    pub async fn while_open<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        poll_fn(|context| {
            if self.is_open() {
                work.as_mut().poll(context).map(Some)
            } else {
                Poll::Ready(None)
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fence_opens_when_moved_closes_by_itself_and_stays_closed() {
        assert!(Fence::none().is_open());
        let fence = Fence::not_yet();
        let clone = fence.clone();
        assert!(!clone.is_open());
        assert!(fence.move_to(Instant::now() + Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(clone.is_open());
        assert!(fence.move_to(Instant::now() + Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(clone.is_open());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!clone.is_open());
        assert!(!fence.move_to(Instant::now() + Duration::from_secs(10)));
        assert!(!clone.is_open(), "it opened again");
    }

    #[tokio::test(start_paused = true)]
    async fn work_before_a_fence_goes_on_while_it_is_open_and_no_longer() {
        let fence = Fence::not_yet();
        assert_eq!(fence.while_open(async { 1 }).await, None, "not open yet");
        assert!(fence.move_to(Instant::now() + Duration::from_secs(10)));
        assert_eq!(fence.while_open(async { 1 }).await, Some(1));
        let work = fence.while_open(tokio::time::sleep(Duration::from_secs(11)));
        assert_eq!(work.await, None, "it closed while the work waited");
        assert_eq!(Fence::none().while_open(async { 1 }).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fence_that_was_closed_early_stays_closed() {
        let fence = Fence::not_yet();
        assert!(fence.move_to(Instant::now() + Duration::from_secs(10)));
        fence.close();
        assert!(!fence.move_to(Instant::now() + Duration::from_secs(10)));
        assert!(!fence.is_open());
    }
}
