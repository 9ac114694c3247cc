//! The line of creates that wait for their request to be let through. Whoever is let through takes those
//! along who wait behind: nobody waits in order to be taken along.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::message::{self, Outcome};

/// What happens to one that stands in line.
#[derive(Debug)]
pub(super) enum Turn {
    /// Somebody's request carries it.
    Departed,
    /// That request was not carried out: it stands in line again.
    Back,
    /// What it came to.
    Done(Outcome),
}

/// How much goes into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Operations.
    pub operations: usize,
    /// The bytes of all operations, with a comma each.
    pub bytes: usize,
}

impl Room {
    /// Nobody is taken along.
    pub const ALONE: Self = Self {
        operations: 1,
        bytes: 0,
    };
}

/// One create, in line or on its way. Not `Debug`: it holds personal data.
pub(super) struct Entry {
    /// Unlike that of any other in this line, ever.
    pub number: u64,
    /// The operation of a BulkRequest.
    pub operation: Value,
    size: usize,
    turns: UnboundedSender<Turn>,
}

impl Entry {
    /// Tells whoever waits for it. Where nobody does any more, nobody needs to know.
    pub fn tell(&self, turn: Turn) {
        let _ = self.turns.send(turn);
    }
}

/// Those who wait, the first at the front.
#[derive(Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    numbers: u64,
    waiting: VecDeque<Entry>,
}

/// A place in line, given up when dropped.
pub(super) struct Place<'a> {
    line: &'a Line,
    /// That of the entry.
    pub number: u64,
    /// What happens to it. Ends where the request that carried it was given up.
    pub turns: UnboundedReceiver<Turn>,
}

impl Line {
    /// Stands at the end of the line with the operation that is made for its number.
    pub fn stand(&self, operation: impl FnOnce(u64) -> Value) -> Place<'_> {
        let (sender, turns) = unbounded_channel();
        let mut state = self.lock();
        state.numbers += 1;
        let number = state.numbers;
        let operation = operation(number);
        let entry = Entry {
            number,
            size: message::size_of(&operation),
            operation,
            turns: sender,
        };
        state.waiting.push_back(entry);
        Place {
            line: self,
            number,
            turns,
        }
    }

    /// Takes this one out of the line, and as many of the others as there is room for, the first before
    /// the later. One that does not fit is passed over: it goes with its own request. Nobody where it
    /// has departed already.
    pub fn depart(&self, number: u64, room: Room) -> Vec<Entry> {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|e| e.number == number);
        let Some(own) = at.and_then(|at| state.waiting.remove(at)) else {
            return Vec::new();
        };
        let mut bytes = own.size;
        let mut departing = vec![own];
        let mut staying = VecDeque::new();
        for entry in state.waiting.drain(..) {
            let with_it = bytes.saturating_add(entry.size).saturating_add(1);
            if departing.len() < room.operations && with_it <= room.bytes {
                bytes = with_it;
                departing.push(entry);
            } else {
                staying.push_back(entry);
            }
        }
        state.waiting = staying;
        drop(state);
        departing.iter().for_each(|e| e.tell(Turn::Departed));
        departing
    }

    /// Puts these back to the front, in their order.
    pub fn take_back(&self, entries: Vec<Entry>) {
        let mut state = self.lock();
        for entry in entries.into_iter().rev() {
            // Not where nobody waits for it any more: it would be sent for nobody.
            if entry.turns.send(Turn::Back).is_ok() {
                state.waiting.push_front(entry);
            }
        }
    }

    /// Gives up a place; false where it has departed already.
    pub fn leave(&self, number: u64) -> bool {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|e| e.number == number);
        at.and_then(|at| state.waiting.remove(at)).is_some()
    }

    /// A poisoned lock only means that another task panicked; the line is whole between calls.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn whoever_is_let_through_takes_along_as_many_as_fit() {
        // Each of them is three bytes long: a digit in quotes.
        for (own, operations, bytes, expected, why) in [
            (1, 10, 100, &[1, 2, 3, 4, 5][..], "all fit"),
            (1, 3, 100, &[1, 2, 3], "three operations at most"),
            (3, 3, 100, &[3, 1, 2], "its own before the others"),
            (1, 10, 11, &[1, 2, 3], "three, and two commas"),
            (1, 10, 10, &[1, 2], "one byte less"),
            (2, 1, 100, &[2], "alone"),
            (2, 10, 2, &[2], "too large for any request, and alone"),
        ] {
            let line = Line::default();
            let places: Vec<_> = (0..5)
                .map(|_| line.stand(|number| json!(number.to_string())))
                .collect();
            let room = Room { operations, bytes };
            assert_eq!(numbers(&line.depart(own, room)), expected, "{why}");
            let rest: Vec<u64> = (1..=5).filter(|n| !expected.contains(n)).collect();
            let left: Vec<u64> = line.lock().waiting.iter().map(|e| e.number).collect();
            assert_eq!(left, rest, "{why}: those who stay keep their order");
            drop(places);
        }
    }

    #[test]
    fn one_that_does_not_fit_is_passed_over_and_no_reason_for_the_next_to_stay() {
        let line = Line::default();
        let long = "x".repeat(50);
        let places = ["a", &long, "b"].map(|text| line.stand(|_| json!(text)));
        let room = Room {
            operations: 9,
            bytes: 20,
        };
        assert_eq!(numbers(&line.depart(1, room)), [1, 3]);
        assert_eq!(numbers(&line.depart(2, room)), [2]);
        drop(places);
    }

    #[test]
    fn whoever_has_departed_or_left_is_not_sent_again_and_those_put_back_are_first() {
        let line = Line::default();
        let room = Room {
            operations: 2,
            bytes: 100,
        };
        let mut places: Vec<_> = (0..4).map(|_| line.stand(|number| json!(number))).collect();
        let departed = line.depart(1, room);
        assert!(line.depart(2, room).is_empty(), "it has departed");
        assert!(!line.leave(2) && line.leave(4));
        line.take_back(departed);
        assert_eq!(numbers(&line.depart(3, room)), [3, 1]);
        let mut told = Vec::new();
        while let Ok(turn) = places[0].turns.try_recv() {
            told.push(format!("{turn:?}"));
        }
        assert_eq!(told, ["Departed", "Back", "Departed"]);
        places.remove(1);
        assert!(line.lock().waiting.is_empty(), "it was given up");
    }
}
