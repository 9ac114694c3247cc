//! What was begun at a backend on behalf of an object, as far as Kubernetes does not say it. The finalizer is
//! no proof where an admission policy sets it at creation, and what is begun without a write before it
//! leaves no other trace until the status is written ([decision 3](../../docs/decisions/0003-finalizer-policy.md)).
//!
//! One process leads, and another leads only when nothing more can be begun by the last one. So of whatever
//! came after the first listing this process knows that nothing was begun, or that it began it itself. Of all
//! else it knows what status says, and else nothing: whoever is not known to have no past may have one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What may be at a backend because of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// Nothing was ever begun: it goes without a look at any backend.
    Nothing,
    /// Nothing is recorded, and an earlier process may have begun something: only a backend can tell.
    Unknown,
    /// Something was begun, or is recorded.
    Begun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It was there, and could not be read, when this process began: it is not new when it can be.
    Inherited,
    /// It came while this process led, which has begun nothing for it.
    New,
    /// This process was about to write for it.
    Begun,
    /// Its finalizer was taken off, since nothing was begun.
    Freed,
}

#[derive(Debug, Default)]
struct State {
    listed: bool,
    known: HashMap<String, Known>,
}

/// What is known of the objects of one kind, by uid; of those whose status records something, or that were there
/// before, nothing has to be.
#[derive(Debug, Default)]
pub struct Pasts(Mutex<State>);

impl Pasts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A listing shows an object that cannot be read.
    pub fn inherited(&self, uid: &str) {
        let mut state = self.lock();
        state
            .known
            .entry(uid.to_owned())
            .or_insert(Known::Inherited);
    }

    /// The watch shows an object that it did not show before.
    pub fn came(&self, uid: &str) {
        let mut state = self.lock();
        if state.listed {
            state.known.entry(uid.to_owned()).or_insert(Known::New);
        }
    }

    /// A listing is whole: whatever comes now is new.
    pub fn all_listed(&self) {
        self.lock().listed = true;
    }

    /// What another process may have worked on is worked on by this one from now on: of these it is not known
    /// any more that nothing was begun.
    pub fn are_not_new(&self, uids: impl IntoIterator<Item = String>) {
        let mut state = self.lock();
        for uid in uids {
            if matches!(state.known.get(&uid), Some(Known::New | Known::Freed)) {
                state.known.remove(&uid);
            }
        }
    }

    /// Something is about to be written to a backend on behalf of it.
    pub fn begin(&self, uid: &str) {
        self.lock().known.insert(uid.to_owned(), Known::Begun);
    }

    /// Its finalizer was taken off since nothing was begun. Not again: whoever puts it back means it.
    pub fn free(&self, uid: &str) {
        self.lock().known.insert(uid.to_owned(), Known::Freed);
    }

    /// Whether that was done before.
    pub fn was_freed(&self, uid: &str) -> bool {
        self.lock().known.get(uid) == Some(&Known::Freed)
    }

    /// It is gone, or its status says from now on what has to be known.
    pub fn forget(&self, uid: &str) {
        self.lock().known.remove(uid);
    }

    /// The past of an object; `recorded` says that its status speaks of something at a backend.
    pub fn of(&self, uid: &str, recorded: bool) -> Past {
        match self.lock().known.get(uid) {
            _ if recorded => Past::Begun,
            Some(Known::Begun) => Past::Begun,
            Some(Known::New | Known::Freed) => Past::Nothing,
            Some(Known::Inherited) | None => Past::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_came_after_the_first_listing_has_no_past() {
        let pasts = Pasts::default();
        pasts.came("there before");
        pasts.all_listed();
        pasts.came("new");
        assert_eq!(pasts.of("new", false), Past::Nothing);
        assert_eq!(pasts.of("new", true), Past::Begun, "its status says more");
        assert_eq!(pasts.of("there before", false), Past::Unknown);
    }

    #[test]
    fn whoever_was_there_before_is_vouched_for_by_nobody() {
        let pasts = Pasts::default();
        assert_eq!(pasts.of("a", false), Past::Unknown, "nothing is listed yet");
        pasts.inherited("unreadable");
        pasts.all_listed();
        assert_eq!(
            pasts.of("a", false),
            Past::Unknown,
            "not even if its status is lost"
        );
        pasts.came("unreadable");
        assert_eq!(
            pasts.of("unreadable", false),
            Past::Unknown,
            "it can be read now, and is not new"
        );
    }

    #[test]
    fn what_was_begun_stays_so_whatever_the_watch_shows() {
        let pasts = Pasts::default();
        pasts.all_listed();
        pasts.came("a");
        pasts.begin("a");
        pasts.came("a");
        pasts.inherited("a");
        assert_eq!(pasts.of("a", false), Past::Begun);
        pasts.forget("a");
        assert_eq!(pasts.of("a", true), Past::Begun);
        assert_eq!(pasts.of("a", false), Past::Unknown, "its status was lost");
    }

    #[test]
    fn who_was_freed_can_still_begin() {
        let pasts = Pasts::default();
        pasts.all_listed();
        pasts.came("a");
        pasts.free("a");
        assert!(pasts.was_freed("a"));
        assert_eq!(pasts.of("a", false), Past::Nothing);
        pasts.begin("a");
        assert!(!pasts.was_freed("a"));
        assert_eq!(pasts.of("a", false), Past::Begun);
    }

    #[test]
    fn whoever_came_while_another_worked_on_it_may_have_a_past() {
        let pasts = Pasts::default();
        pasts.all_listed();
        for uid in ["a", "b", "c", "d"] {
            pasts.came(uid);
        }
        pasts.begin("b");
        pasts.free("c");
        pasts.are_not_new(["a", "b", "c"].map(str::to_owned));
        assert_eq!(pasts.of("a", false), Past::Unknown);
        assert_eq!(pasts.of("b", false), Past::Begun, "by this same process");
        assert_eq!(pasts.of("c", false), Past::Unknown);
        assert_eq!(pasts.of("d", false), Past::Nothing, "of another share");
    }
}
