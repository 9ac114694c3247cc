//! How many objects of one connection are worked on at once. A connection that hangs holds so many
//! passes, and no more: others are not kept waiting by it (R25). What is new finds a slot before what
//! only drifted, however much of that there is.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;

use crate::controller::connection;
use crate::controller::index::Key;
use crate::scim::Lane;

/// More than any backend is asked at once, and few enough that hundreds of connections fit into memory.
const MOST: usize = 220;
/// So many of them at most are taken by what drifted.
const MOST_DRIFT: usize = 150;
/// And so many by what is new, so that an import of hours does not keep everybody else from a look.
const MOST_FRESH: usize = 200;

/// Where an object stands in line: what is declared and not done yet, what somebody asks for, and what is
/// deleted or has to go, before what was in step and is looked at again.
pub fn lane_of(
    object: &impl Resource,
    synced_generation: Option<i64>,
    answered: Option<&str>,
    must_go: bool,
) -> Lane {
    let meta = object.meta();
    let is_done = meta.generation.is_some() && synced_generation == meta.generation;
    let asked = connection::requested(object);
    let is_asked = asked.is_some() && asked.as_deref() != answered;
    if is_done && !is_asked && !must_go && meta.deletion_timestamp.is_none() {
        Lane::Drift
    } else {
        Lane::Fresh
    }
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    drift_taken: usize,
    fresh: VecDeque<Key>,
    drift: VecDeque<Key>,
    /// Who stands in which line. Places of those who left, or changed the line, stay and count nothing.
    in_line: HashMap<Key, Lane>,
}

impl State {
    fn room(&self, lane: Lane) -> usize {
        let all = MOST - self.taken;
        match lane {
            Lane::Fresh => all.min(MOST_FRESH.saturating_sub(self.taken - self.drift_taken)),
            Lane::Drift => all.min(MOST_DRIFT.saturating_sub(self.drift_taken)),
        }
    }

    /// As many of a line as there is room for: one who was woken may be gone, and take no slot.
    fn leave_line(&mut self, lane: Lane, room: usize, woken: &mut Vec<Key>) {
        let line = match lane {
            Lane::Fresh => &mut self.fresh,
            Lane::Drift => &mut self.drift,
        };
        while woken.len() < room
            && let Some(key) = line.pop_front()
        {
            if self.in_line.get(&key) == Some(&lane) {
                self.in_line.remove(&key);
                woken.push(key);
            }
        }
    }
}

/// How much is worked on and how much waits, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    taken: usize,
    drift_taken: usize,
    waiting: usize,
    drift_waiting: usize,
}

impl Load {
    /// Slots that this lane has taken.
    pub fn working(self, lane: Lane) -> usize {
        match lane {
            Lane::Fresh => self.taken - self.drift_taken,
            Lane::Drift => self.drift_taken,
        }
    }

    /// Objects that stand in this line.
    pub fn waiting(self, lane: Lane) -> usize {
        match lane {
            Lane::Fresh => self.waiting - self.drift_waiting,
            Lane::Drift => self.drift_waiting,
        }
    }
}

/// The slots of one kind at one connection.
#[derive(Debug, Default)]
pub struct Slots(Mutex<State>);

/// One slot; whoever is next in line is woken when it is given back.
pub struct Slot<'a, W: Fn(Key)> {
    slots: &'a Slots,
    lane: Lane,
    wake: W,
}

impl Slots {
    /// A slot for this object; without one the object stands in line, and is woken when its turn comes.
    pub fn take<W: Fn(Key)>(&self, key: &Key, lane: Lane, wake: W) -> Option<Slot<'_, W>> {
        let mut state = self.lock();
        if state.room(lane) > 0 {
            state.taken += 1;
            state.drift_taken += usize::from(lane == Lane::Drift);
            // Whoever is served stands in no line.
            state.in_line.remove(key);
            return Some(Slot {
                slots: self,
                lane,
                wake,
            });
        }
        if state.in_line.insert(key.clone(), lane) != Some(lane) {
            match lane {
                Lane::Fresh => state.fresh.push_back(key.clone()),
                Lane::Drift => state.drift.push_back(key.clone()),
            }
        }
        None
    }

    /// The object is gone: it stands in line no more.
    pub fn leave(&self, key: &Key) {
        self.lock().in_line.remove(key);
    }

    /// How much is worked on, and how much waits.
    pub fn load(&self) -> Load {
        let state = self.lock();
        let drift = state
            .in_line
            .values()
            .filter(|lane| **lane == Lane::Drift)
            .count();
        Load {
            taken: state.taken,
            drift_taken: state.drift_taken,
            waiting: state.in_line.len(),
            drift_waiting: drift,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Fn(Key)> Drop for Slot<'_, W> {
    fn drop(&mut self) {
        let mut next = Vec::new();
        {
            let mut state = self.slots.lock();
            state.taken -= 1;
            state.drift_taken -= usize::from(self.lane == Lane::Drift);
            let all = MOST - state.taken;
            let room = state.room(Lane::Fresh);
            state.leave_line(Lane::Fresh, room, &mut next);
            let room = state.room(Lane::Drift).min(all - next.len());
            let room = next.len() + room;
            state.leave_line(Lane::Drift, room, &mut next);
        }
        next.into_iter().for_each(&self.wake);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn only_what_is_in_step_and_wanted_by_nobody_stands_behind() {
        use serde_json::json;
        let asks = json!({"reconcile.fluxcd.io/requestedAt": "now"});
        for (metadata, synced, answered, must_go, lane, why) in [
            (
                json!({"generation": 2}),
                Some(2),
                None,
                false,
                Lane::Drift,
                "in step",
            ),
            (
                json!({"generation": 2}),
                Some(1),
                None,
                false,
                Lane::Fresh,
                "edited",
            ),
            (
                json!({"generation": 1}),
                None,
                None,
                false,
                Lane::Fresh,
                "new",
            ),
            (
                json!({}),
                None,
                None,
                false,
                Lane::Fresh,
                "no generation is no word",
            ),
            (
                json!({"generation": 2}),
                Some(2),
                None,
                true,
                Lane::Fresh,
                "expired",
            ),
            (
                json!({"generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"}),
                Some(2),
                None,
                false,
                Lane::Fresh,
                "deleted",
            ),
            (
                json!({"generation": 2, "annotations": asks}),
                Some(2),
                None,
                false,
                Lane::Fresh,
                "asked for",
            ),
            (
                json!({"generation": 2, "annotations": asks}),
                Some(2),
                Some("now"),
                false,
                Lane::Drift,
                "asked for, and answered",
            ),
        ] {
            let user: crate::api::ScimUser = serde_json::from_value(json!({
                "metadata": metadata, "spec": {"connectionRef": {"name": "c"}, "userName": "a"}
            }))
            .unwrap();
            assert_eq!(lane_of(&user, synced, answered, must_go), lane, "{why}");
        }
    }

    #[test]
    fn r25_whoever_finds_no_slot_is_woken_once_in_turn() {
        let slots = Slots::default();
        let woken = RefCell::new(Vec::new());
        let take = |name: &str| {
            slots.take(&Key::new("ns", name), Lane::Fresh, |key| {
                woken.borrow_mut().push(key.name.to_string())
            })
        };
        let mut held: Vec<_> = (0..MOST_FRESH).map(|n| take(&n.to_string())).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(take("first").is_none() && take("second").is_none());
        assert!(
            take("first").is_none(),
            "woken meanwhile for another reason"
        );
        held.pop();
        assert_eq!(*woken.borrow(), ["first"]);
        let first = take("first");
        assert!(first.is_some() && take("third").is_none());
        held.pop();
        held.pop();
        assert_eq!(
            *woken.borrow(),
            ["first", "second", "third"],
            "nobody is left in line, though nobody who was woken took a slot"
        );
        drop((held, first));
    }

    #[test]
    fn what_is_new_finds_a_slot_and_is_woken_before_what_drifted() {
        let slots = Slots::default();
        let woken = RefCell::new(Vec::new());
        let take = |name: &str, lane: Lane| {
            slots.take(&Key::new("ns", name), lane, |key| {
                woken.borrow_mut().push(key.name.to_string())
            })
        };
        let mut drift: Vec<_> = (0..MOST_DRIFT)
            .map(|n| take(&n.to_string(), Lane::Drift))
            .collect();
        assert!(drift.iter().all(Option::is_some));
        assert!(take("old", Lane::Drift).is_none(), "the rest is kept free");
        assert!(take("edited meanwhile", Lane::Drift).is_none());
        let mut fresh: Vec<_> = (MOST_DRIFT..MOST)
            .map(|n| take(&n.to_string(), Lane::Fresh))
            .collect();
        assert!(fresh.iter().all(Option::is_some));
        assert!(take("new", Lane::Fresh).is_none());
        assert!(take("edited meanwhile", Lane::Fresh).is_none());
        drift.pop();
        assert_eq!(*woken.borrow(), ["new"]);
        let new = take("new", Lane::Fresh);
        fresh.pop();
        assert_eq!(*woken.borrow(), ["new", "edited meanwhile"]);
        let edited = take("edited meanwhile", Lane::Fresh);
        fresh.pop();
        assert_eq!(woken.borrow().len(), 3, "and once only");
        assert_eq!(woken.borrow()[2], "old");
        drop((drift, fresh, new, edited));
    }

    #[test]
    fn an_import_leaves_slots_for_who_is_in_step() {
        let slots = Slots::default();
        let key = |name: usize| Key::new("ns", name.to_string());
        let fresh: Vec<_> = (0..1000)
            .map(|n| slots.take(&key(n), Lane::Fresh, |_| {}))
            .collect();
        assert_eq!(fresh.iter().flatten().count(), MOST_FRESH);
        assert!(slots.take(&key(5000), Lane::Drift, |_| {}).is_some());
    }

    #[test]
    fn whoever_left_is_not_woken_and_may_come_back() {
        let slots = Slots::default();
        let woken = RefCell::new(Vec::new());
        let take = |name: &str| {
            slots.take(&Key::new("ns", name), Lane::Drift, |key| {
                woken.borrow_mut().push(key.name.to_string())
            })
        };
        let mut held: Vec<_> = (0..MOST_DRIFT).map(|n| take(&n.to_string())).collect();
        assert!(take("gone").is_none() && take("back").is_none());
        slots.leave(&Key::new("ns", "gone"));
        slots.leave(&Key::new("ns", "back"));
        assert!(take("back").is_none());
        held.pop();
        assert_eq!(*woken.borrow(), ["back"]);
        drop(held);
    }
}
