//! A value that tests flip while the simulator reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A shared handle on settings; clones see the same settings.
///
/// Counters inside (such as [`Faults::throttle_next`](crate::Faults::throttle_next)) are counted
/// down by the simulator, so [`get`](Self::get) also tells how many are left.
#[derive(Debug, Clone)]
pub struct Switches<T>(Arc<Mutex<T>>);

impl<T: Clone + Default> Switches<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// The settings as they are now.
    #[must_use]
    pub fn get(&self) -> T {
        self.lock().clone()
    }

    /// Replaces all settings at once.
    pub fn set(&self, value: T) {
        *self.lock() = value;
    }

    /// Changes some settings; no request sees half of the change.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.lock())
    }

    /// Returns to the defaults: for faults, a healthy server.
    pub fn reset(&self) {
        self.set(T::default());
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
