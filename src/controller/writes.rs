//! The gate through which statuses and finalizers of users and groups are written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::scim::{Lane, Turn, Turns};

/// Writes to the API server that are in flight at once: it works no faster when it is asked more.
const AT_ONCE: usize = 64;
/// Those of them about what only drifted: few, since the API server shares itself among all it is asked, and
/// what is new is to be through soon.
const OF_DRIFT: usize = 8;
/// Those of one namespace, whose admission may hang (R25).
const OF_ONE: usize = 48;
/// So many gates of namespaces are kept before those are forgotten that nobody uses.
const FEW: usize = 64;

/// Those of the namespaces.
type Gates = HashMap<Box<str>, Arc<Turns>>;

/// The gate.
#[derive(Debug)]
pub struct Writes {
    all: Arc<Turns>,
    /// And when to look which of them are still used.
    each: Mutex<(Gates, usize)>,
}

/// The right to one write.
#[derive(Debug)]
pub struct Allowed {
    // Given back in this order: whoever waits for the second has the first of its own namespace.
    _all: Turn,
    _each: Turn,
}

impl Default for Writes {
    fn default() -> Self {
        Self {
            all: Turns::new(AT_ONCE, OF_DRIFT),
            each: Mutex::new((HashMap::new(), FEW)),
        }
    }
}

impl Writes {
    /// Waits until something in a namespace may be written. Cancel safe.
    pub async fn take(&self, namespace: &str, lane: Lane) -> Allowed {
        let each = self.of(namespace).take(lane).await;
        let all = self.all.take(lane).await;
        Allowed {
            _all: all,
            _each: each,
        }
    }

    /// How many writes of a lane wait, for their namespace or for all.
    pub fn waiting(&self, lane: Lane) -> usize {
        let each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = each.0.values().map(|gate| gate.waiting(lane));
        waiting.sum::<usize>() + self.all.waiting(lane)
    }

    fn of(&self, namespace: &str) -> Arc<Turns> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let (gates, purge_at) = &mut *each;
        if let Some(gate) = gates.get(namespace) {
            return gate.clone();
        }
        if gates.len() >= *purge_at {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            *purge_at = gates.len() * 2 + FEW;
        }
        let gate = Turns::new(OF_ONE, OF_ONE);
        gates.insert(namespace.into(), gate.clone());
        gate
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_namespace_that_hangs_leaves_room_for_others() {
        let writes = Writes::default();
        let hang: Vec<_> = (0..OF_ONE)
            .map(|_| writes.take("hangs", Lane::Fresh).now_or_never().unwrap())
            .collect();
        assert!(writes.take("hangs", Lane::Fresh).now_or_never().is_none());
        let other = writes.take("other", Lane::Fresh).now_or_never();
        assert!(other.is_some());
        drop(hang);
        assert!(writes.take("hangs", Lane::Fresh).now_or_never().is_some());
    }

    #[test]
    fn all_together_are_no_more_than_the_api_server_wants() {
        let writes = Writes::default();
        let take = |n: usize| {
            let namespace = format!("n{}", n % 10);
            writes.take(&namespace, Lane::Fresh).now_or_never()
        };
        let taken: Vec<_> = (0..AT_ONCE).map(|n| take(n).unwrap()).collect();
        assert!(take(0).is_none());
        drop(taken);
        assert!(take(0).is_some());
    }

    #[test]
    fn namespaces_that_nobody_writes_to_are_forgotten() {
        let writes = Writes::default();
        let held = writes.take("held", Lane::Fresh).now_or_never().unwrap();
        for n in 0..10_000 {
            drop(writes.take(&n.to_string(), Lane::Drift).now_or_never());
        }
        let each = writes.each.lock().unwrap();
        assert!(each.0.len() <= 3 * FEW, "{}", each.0.len());
        assert!(each.0.contains_key("held"));
        drop(held);
    }
}
