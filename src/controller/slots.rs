//! How many objects of one connection are worked on at once. A connection that hangs holds so many
//! passes, and no more: others are not kept waiting by it (R25).

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::controller::index::Key;

/// More than any backend is asked at once, and few enough that hundreds of connections fit into memory.
const MOST: usize = 200;

#[derive(Debug, Default)]
struct State {
    taken: usize,
    line: VecDeque<Key>,
    in_line: HashSet<Key>,
}

/// The slots of one kind at one connection.
#[derive(Debug, Default)]
pub struct Slots(Mutex<State>);

/// One slot; whoever is next in line is woken when it is given back.
pub struct Slot<'a, W: Fn(Key)> {
    slots: &'a Slots,
    wake: W,
}

impl Slots {
    /// A slot for this object; without one the object stands in line, and is woken when its turn comes.
    pub fn take<W: Fn(Key)>(&self, key: &Key, wake: W) -> Option<Slot<'_, W>> {
        let mut state = self.lock();
        if state.taken < MOST {
            state.taken += 1;
            return Some(Slot { slots: self, wake });
        }
        if state.in_line.insert(key.clone()) {
            state.line.push_back(key.clone());
        }
        None
    }

    /// The object is gone: it stands in line no more.
    pub fn leave(&self, key: &Key) {
        let mut state = self.lock();
        if state.in_line.remove(key) {
            state.line.retain(|other| other != key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Fn(Key)> Drop for Slot<'_, W> {
    fn drop(&mut self) {
        let next: Vec<Key> = {
            let mut state = self.slots.lock();
            state.taken -= 1;
            // As many as there is room for: one who was woken may be gone, and take no slot.
            let room = (MOST - state.taken).min(state.line.len());
            let next: Vec<Key> = state.line.drain(..room).collect();
            next.iter().for_each(|key| {
                state.in_line.remove(key);
            });
            next
        };
        next.into_iter().for_each(&self.wake);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn r25_whoever_finds_no_slot_is_woken_once_in_turn() {
        let slots = Slots::default();
        let woken = RefCell::new(Vec::new());
        let take = |name: &str| {
            slots.take(&Key::new("ns", name), |key| {
                woken.borrow_mut().push(key.name)
            })
        };
        let mut held: Vec<_> = (0..MOST).map(|n| take(&n.to_string())).collect();
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
}
