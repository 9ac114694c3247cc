//! The circuit of one connection: writes of many that fail in a row, while listing works, open it. Then
//! nobody writes for a while, and one tries again. One resource that fails for ever opens nothing (R26).
//! A backend that does not answer at all needs none of this: listing fails, and everybody waits.

use std::collections::HashSet;
use std::time::Duration;

/// So many different resources have to fail, with no success between them.
const DISTINCT: usize = 5;
/// So many on trial, after it was open.
const ON_TRIAL: usize = 1;
/// Within so long.
pub const WITHIN: Duration = Duration::from_secs(10);
/// When nothing failed for so long, a trial is over.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// The failures in a row. Times are since any fixed moment, by a clock that only goes forward.
#[derive(Debug, Default)]
pub struct Circuit {
    failed: HashSet<String>,
    first: Duration,
    last: Duration,
    opened: u32,
}

impl Circuit {
    /// A write of this resource failed in a way that may pass; true when that opens the circuit. `within`
    /// is [`WITHIN`], or longer where failing takes long.
    pub fn failed(&mut self, uid: &str, now: Duration, within: Duration) -> bool {
        if now.saturating_sub(self.first) > within {
            self.failed.clear();
        }
        if self.failed.is_empty() {
            self.first = now;
        }
        self.last = now;
        self.failed.insert(uid.to_owned());
        let enough = if self.opened > 0 { ON_TRIAL } else { DISTINCT };
        let opens = self.failed.len() >= enough;
        if opens {
            self.failed.clear();
            self.opened += 1;
        }
        opens
    }

    /// The backend did what it was told, or said why not; true when that ends a trial.
    pub fn worked(&mut self) -> bool {
        self.failed.clear();
        std::mem::take(&mut self.opened) > 0
    }

    /// How often it was opened since anything worked: the longer, the rarer a trial. 0: it is closed.
    pub fn opened(&mut self, now: Duration) -> u32 {
        if now.saturating_sub(self.last) > FORGOTTEN {
            self.opened = 0;
        }
        self.opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn r18_r26_many_that_fail_in_a_row_open_it_and_one_that_fails_for_ever_does_not() {
        for (failures, opens, why) in [
            (&["a", "b", "c", "d", "e"][..], true, "five in a row"),
            (&["a", "a", "a", "a", "a", "a"], false, "one, for ever"),
            (&["a", "b", "c", "d"], false, "four"),
            (&["a", "b", "c", "d", "", "e"], false, "something worked"),
        ] {
            let mut circuit = Circuit::default();
            let mut opened = false;
            for uid in failures {
                opened |= match *uid {
                    "" => circuit.worked(),
                    uid => circuit.failed(uid, at(0), WITHIN),
                };
            }
            assert_eq!(opened, opens, "{why}");
        }
        let mut circuit = Circuit::default();
        let opened = (0..20).any(|n| circuit.failed(&n.to_string(), at(n * 5), WITHIN));
        assert!(!opened, "some, now and then, are trouble of their own");
        let mut circuit = Circuit::default();
        let hangs = WITHIN + Duration::from_secs(90);
        let opened = (0..6).any(|n| circuit.failed(&n.to_string(), at(n / 2 * 30), hangs));
        assert!(opened, "two at a time, each after half a minute");
    }

    #[test]
    fn a_trial_takes_one_and_the_first_success_ends_it() {
        let mut circuit = Circuit::default();
        let opened: Vec<bool> = (0..5)
            .map(|n| circuit.failed(&n.to_string(), at(0), WITHIN))
            .collect();
        assert_eq!(opened, [false, false, false, false, true]);
        assert_eq!(circuit.opened(at(1)), 1);
        assert!(circuit.failed("1", at(2), WITHIN));
        assert_eq!(circuit.opened(at(3)), 2);
        assert!(circuit.worked() && !circuit.worked());
        assert_eq!(circuit.opened(at(3)), 0);
        (0..5).for_each(|n| {
            circuit.failed(&n.to_string(), at(10), WITHIN);
        });
        assert_eq!(circuit.opened(at(10)), 1);
        assert_eq!(
            circuit.opened(at(200)),
            0,
            "nobody was left to try: it is over"
        );
    }
}
