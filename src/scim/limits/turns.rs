//! Who is next: two lanes of requests before a gate that lets so many through at once.
//!
//! Of those, most are kept from the second lane, so that who is new finds room: half of them once nobody new
//! has come for a while.
//!
//! Guarantees: within a lane, first come, first served; what is new goes before what only puts right what
//! somebody else changed, but for every eighth turn, so that neither lane starves; a turn that nobody
//! takes, or that is given up, passes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Which requests wait behind which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What somebody declared and does not have yet, and what everybody waits for.
    #[default]
    Fresh,
    /// What was in step before, and was changed at the backend.
    Drift,
}

/// So many turns in a row go to the first lane while the second one waits.
const IN_A_ROW: u32 = 7;
/// After so long nobody new is expected at once.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    taken: usize,
    drift_taken: usize,
    fresh: VecDeque<oneshot::Sender<Turn>>,
    drift: VecDeque<oneshot::Sender<Turn>>,
    in_a_row: u32,
    /// When somebody new came last.
    fresh_at: Option<Instant>,
}

/// The gate.
#[derive(Debug)]
pub struct Turns {
    at_once: usize,
    of_drift: usize,
    state: Mutex<State>,
}

/// The right to be one of those that are let through; passes on when dropped.
#[derive(Debug)]
pub struct Turn(Option<(Arc<Turns>, Lane)>);

impl Turns {
    /// A gate for so many at once, of which so many may be of the second lane; one at least of both.
    #[must_use]
    pub fn new(at_once: usize, of_drift: usize) -> Arc<Self> {
        Arc::new(Self {
            at_once: at_once.max(1),
            of_drift: of_drift.max(1),
            state: Mutex::default(),
        })
    }

    /// Waits for its turn. Cancel safe.
    pub async fn take(self: &Arc<Self>, lane: Lane) -> Turn {
        loop {
            let waiting = {
                let mut state = self.lock();
                if lane == Lane::Fresh {
                    state.fresh_at = Some(Instant::now());
                }
                if self.has_room(&state, lane) {
                    state.enter(lane);
                    return Turn(Some((self.clone(), lane)));
                }
                let (sender, receiver) = oneshot::channel();
                match lane {
                    Lane::Fresh => state.fresh.push_back(sender),
                    Lane::Drift => state.drift.push_back(sender),
                }
                receiver
            };
            // A sender is dropped only when it has sent; were it otherwise, this would ask again.
            if let Ok(turn) = waiting.await {
                return turn;
            }
        }
    }

    /// How many of a lane stand before the gate; whoever gave up counts until its turn has come.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        let state = self.lock();
        match lane {
            Lane::Fresh => state.fresh.len(),
            Lane::Drift => state.drift.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State, lane: Lane) -> bool {
        let free = state.taken < self.at_once;
        free && (lane == Lane::Fresh
            || state.drift_taken < self.of_drift
            || (state.drift_taken < self.at_once / 2
                && state.fresh_at.is_none_or(|at| at.elapsed() > QUIET)))
    }

    /// Ends a turn, and lets in whoever is next and still there, for as long as there is room.
    fn pass_on(self: &Arc<Self>, ended: Lane) {
        self.lock().leave(ended);
        loop {
            let next = {
                let mut state = self.lock();
                if state.taken >= self.at_once {
                    return;
                }
                let drift_may = self.has_room(&state, Lane::Drift);
                let next = state.next(drift_may);
                if let Some((lane, _)) = &next {
                    state.enter(*lane);
                }
                next
            };
            let Some((lane, next)) = next else { return };
            if let Err(mut turn) = next.send(Turn(Some((self.clone(), lane)))) {
                // Gone meanwhile. Disarmed, since this loop goes on with it.
                drop(turn.0.take());
                self.lock().leave(lane);
            }
        }
    }
}

impl State {
    fn enter(&mut self, lane: Lane) {
        self.taken += 1;
        self.drift_taken += usize::from(lane == Lane::Drift);
    }

    fn leave(&mut self, lane: Lane) {
        self.taken -= 1;
        self.drift_taken -= usize::from(lane == Lane::Drift);
    }

    /// Who is next, where there is room for one.
    fn next(&mut self, drift_may: bool) -> Option<(Lane, oneshot::Sender<Turn>)> {
        let drift_waits = drift_may && !self.drift.is_empty();
        let drift_is_due = drift_waits && self.in_a_row >= IN_A_ROW;
        if !drift_is_due && let Some(fresh) = self.fresh.pop_front() {
            self.in_a_row += 1;
            return Some((Lane::Fresh, fresh));
        }
        if !drift_waits {
            return None;
        }
        self.in_a_row = 0;
        let drift = self.drift.pop_front()?;
        Some((Lane::Drift, drift))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((turns, lane)) = self.0.take() {
            turns.pass_on(lane);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Has these stand in line, in this order, and answers in which order they are let through.
    fn order(lanes: &[Lane]) -> Vec<usize> {
        let turns = Turns::new(1, 1);
        let mut held = Some(turns.take(Lane::Fresh).now_or_never().unwrap());
        let mut waiting: Vec<_> = lanes
            .iter()
            .map(|lane| Box::pin(turns.take(*lane)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        let mut order = Vec::new();
        while order.len() < lanes.len() {
            drop(held.take());
            let next = (0..lanes.len())
                .filter(|number| !order.contains(number))
                .find_map(|number| {
                    let turn = waiting[number].as_mut().now_or_never()?;
                    Some((number, turn))
                });
            let (number, turn) = next.unwrap();
            order.push(number);
            held = Some(turn);
        }
        order
    }

    #[test]
    fn what_is_new_goes_first_and_in_order() {
        use Lane::{Drift, Fresh};
        assert_eq!(order(&[Drift, Fresh, Drift, Fresh]), [1, 3, 0, 2]);
    }

    #[test]
    fn drift_is_not_starved() {
        let mut lanes = vec![Lane::Fresh; 20];
        lanes.push(Lane::Drift);
        let order = order(&lanes);
        assert_eq!(order.iter().position(|number| *number == 20), Some(7));
    }

    #[test]
    fn a_turn_that_is_given_up_passes_on() {
        let turns = Turns::new(1, 1);
        let first = turns.take(Lane::Fresh).now_or_never().unwrap();
        let mut gone = Box::pin(turns.take(Lane::Fresh));
        let mut handed = Box::pin(turns.take(Lane::Fresh));
        let mut last = Box::pin(turns.take(Lane::Drift));
        for one in [&mut gone, &mut handed, &mut last] {
            assert!(one.as_mut().now_or_never().is_none());
        }
        drop(gone);
        drop(first);
        // It has the turn and never looks.
        drop(handed);
        let turn = last.as_mut().now_or_never().unwrap();
        drop(turn);
        assert!(turns.take(Lane::Drift).now_or_never().is_some(), "free");
    }

    #[test]
    fn so_many_at_once_and_no_more() {
        let turns = Turns::new(3, 3);
        let mut held: Vec<_> = (0..3)
            .map(|_| turns.take(Lane::Drift).now_or_never().unwrap())
            .collect();
        let mut drift = Box::pin(turns.take(Lane::Drift));
        let mut fresh = Box::pin(turns.take(Lane::Fresh));
        assert!(drift.as_mut().now_or_never().is_none());
        assert!(fresh.as_mut().now_or_never().is_none());
        held.pop();
        held.push(fresh.as_mut().now_or_never().unwrap());
        assert!(drift.as_mut().now_or_never().is_none(), "one at a time");
        held.clear();
        let last = drift.as_mut().now_or_never().unwrap();
        let free: Vec<_> = (0..2)
            .map(|_| turns.take(Lane::Fresh).now_or_never().unwrap())
            .collect();
        assert!(turns.take(Lane::Fresh).now_or_never().is_none(), "full");
        drop((last, free));
    }

    #[tokio::test(start_paused = true)]
    async fn most_are_kept_for_what_is_new_while_it_comes() {
        let turns = Turns::new(4, 1);
        let take = |lane| turns.take(lane).now_or_never();
        drop(take(Lane::Fresh).unwrap());
        let drift = take(Lane::Drift).unwrap();
        let mut more = Box::pin(turns.take(Lane::Drift));
        assert!(more.as_mut().now_or_never().is_none(), "there is room");
        let fresh: Vec<_> = (0..3).map(|_| take(Lane::Fresh).unwrap()).collect();
        let mut last = Box::pin(turns.take(Lane::Fresh));
        assert!(last.as_mut().now_or_never().is_none(), "full");
        drop(fresh);
        assert!(more.as_mut().now_or_never().is_none(), "one at a time");
        drop(last.as_mut().now_or_never().unwrap());
        tokio::time::advance(QUIET * 2).await;
        let mut another = Box::pin(turns.take(Lane::Drift));
        let second = another.as_mut().now_or_never();
        assert!(second.is_some(), "nobody new has come for a while");
        assert!(take(Lane::Drift).is_none(), "half of them at most");
        drop(drift);
        let more = more.as_mut().now_or_never().unwrap();
        assert!(take(Lane::Fresh).is_some() && take(Lane::Drift).is_none());
        drop((more, second));
    }

    #[tokio::test(start_paused = true)]
    async fn drift_that_waits_gets_more_room_once_nobody_new_comes() {
        let turns = Turns::new(6, 1);
        drop(turns.take(Lane::Fresh).now_or_never().unwrap());
        let first = turns.take(Lane::Drift).now_or_never().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(turns.take(Lane::Drift))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        tokio::time::advance(QUIET * 2).await;
        drop(first);
        let mut held = Vec::new();
        for one in &mut waiting {
            held.extend(one.as_mut().now_or_never());
        }
        assert_eq!(held.len(), 3);
    }

    #[test]
    fn many_who_went_cost_no_depth() {
        let turns = Turns::new(1, 1);
        let first = turns.take(Lane::Fresh).now_or_never().unwrap();
        for _ in 0..200_000 {
            let mut gone = Box::pin(turns.take(Lane::Fresh));
            assert!(gone.as_mut().now_or_never().is_none());
        }
        drop(first);
        assert!(turns.take(Lane::Fresh).now_or_never().is_some());
    }
}
