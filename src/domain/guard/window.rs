//! How many may go within a rolling window, and how many went in it.

use std::collections::BTreeMap;

/// How many may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Share of the provisioned users, in percent.
    pub max_percent: u32,
    /// So many in any case.
    pub minimum: u32,
    /// Length of the window, in seconds.
    pub window: u64,
}

impl Limit {
    /// How many may go within a window, of so many.
    pub fn allowance(&self, all: u32) -> u32 {
        let share = u64::from(all) * u64::from(self.max_percent) / 100;
        self.minimum.max(u32::try_from(share).unwrap_or(u32::MAX))
    }

    /// How exactly the time of a deprovisioning is kept: a sixtieth of the window.
    fn bucket(&self) -> i64 {
        i64::try_from(self.window.div_ceil(60))
            .unwrap_or(i64::MAX)
            .max(1)
    }
}

/// The most entries that [`super::Guard::spent`] has; a window made longer merges the oldest.
pub const BUCKETS: usize = 62;

/// When how many were let go, by the bucket's end in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Window(BTreeMap<i64, u32>);

impl Window {
    pub(super) fn of(spent: BTreeMap<i64, u32>) -> Self {
        Self(spent)
    }

    pub(super) fn total(&self) -> u32 {
        self.0.values().fold(0, |sum, one| sum.saturating_add(*one))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, u32)> {
        self.0.iter().map(|(at, count)| (*at, *count))
    }

    pub(super) fn spend(&mut self, count: u32, limit: Limit, now: i64) {
        let bucket = limit.bucket();
        let at = now
            .div_euclid(bucket)
            .saturating_add(1)
            .saturating_mul(bucket);
        let spent = self.0.entry(at).or_default();
        *spent = spent.saturating_add(count);
    }

    /// So many are spent in any case; what is missing is so now.
    pub(super) fn spend_at_least(&mut self, count: u32, limit: Limit, now: i64) {
        let missing = count.saturating_sub(self.total());
        if missing > 0 {
            self.spend(missing, limit, now);
        }
    }

    /// Forgets what has left the window; an entry of the future, after a clock was set back, counts as
    /// one of now.
    pub(super) fn roll(&mut self, limit: Limit, now: i64) {
        let oldest = now.saturating_sub(i64::try_from(limit.window).unwrap_or(i64::MAX));
        let latest = now.saturating_add(limit.bucket());
        for (at, count) in std::mem::take(&mut self.0) {
            if at > oldest {
                let kept = self.0.entry(at.min(latest)).or_default();
                *kept = kept.saturating_add(count);
            }
        }
        while self.0.len() > BUCKETS
            && let Some((_, count)) = self.0.pop_first()
            && let Some(mut next) = self.0.first_entry()
        {
            *next.get_mut() = next.get().saturating_add(count);
        }
    }
}
