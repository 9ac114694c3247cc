//! Who bears a mark: found by a hash of it, so that marks are not kept twice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::domain::few::Few;

/// A mark, as it is kept here: hashed, by a key that nobody outside of this process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

/// Who bears which mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    key: RandomState,
    bearers: HashMap<Mark, Few<Arc<str>>>,
}

impl Lookup {
    pub fn mark(&self, text: &str) -> Mark {
        Mark(self.key.hash_one(text))
    }

    pub fn insert(&mut self, mark: Mark, id: Arc<str>) {
        self.bearers.entry(mark).or_default().insert(id);
    }

    pub fn remove(&mut self, mark: Mark, id: &Arc<str>) {
        if let Some(ids) = self.bearers.get_mut(&mark) {
            ids.remove(id);
            if ids.is_empty() {
                self.bearers.remove(&mark);
            }
        }
    }

    /// The ids of those who bear it, in order.
    pub fn bearers(&self, mark: Mark) -> impl Iterator<Item = &Arc<str>> {
        self.bearers.get(&mark).into_iter().flat_map(Few::iter)
    }
}
