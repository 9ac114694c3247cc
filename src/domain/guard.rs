//! The brake on mass deprovisioning: so many may be archived or deleted within a rolling window, and
//! what exceeds it is held as one plan that a person approves by its hash, or does not.
//!
//! Guarantees: nothing is granted before what it spends is written down ([`Guard::persisted`]), so that
//! a crash never spends twice; an approval releases exactly the plan whose hash it names. Time is passed
//! in, as seconds since 1970: the window has to survive a restart, which no monotonic clock does.

use std::collections::{BTreeMap, BTreeSet};

use super::names;

/// What is done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deprovisioning {
    /// `active: false`.
    Archive,
    /// SCIM DELETE.
    Delete,
}

/// One person who would be deprovisioned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The resource's uid: one made anew under the same name is another person.
    pub uid: String,
    /// What is done.
    pub action: Deprovisioning,
}

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
    pub fn allowance(&self, provisioned: u32) -> u32 {
        let share = u64::from(provisioned) * u64::from(self.max_percent) / 100;
        self.minimum.max(u32::try_from(share).unwrap_or(u32::MAX))
    }

    /// How exactly the time of a deprovisioning is kept: a sixtieth of the window, so that at most
    /// [`BUCKETS`] entries are written down.
    fn bucket(&self) -> i64 {
        i64::try_from(self.window / 60).unwrap_or(i64::MAX).max(1)
    }
}

/// The most entries that [`Guard::spent`] has.
pub const BUCKETS: usize = 62;

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Do it.
    Go,
    /// It has to be written down first.
    Wait,
    /// A person has to approve.
    Held,
}

/// What waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What an approval has to say.
    pub hash: String,
    /// How many would go.
    pub count: usize,
    /// The first of them, as `namespace/name`.
    pub first: Vec<String>,
}

/// The guard of one connection.
#[derive(Debug, Default)]
pub struct Guard {
    spent: BTreeMap<i64, u32>,
    waiting: BTreeSet<Case>,
    /// Spent, and not yet written down.
    reserved: BTreeSet<Case>,
    granted: BTreeSet<Case>,
    held: BTreeSet<Case>,
    /// Held, or released by approval, and not yet told.
    news: BTreeSet<Case>,
}

impl Guard {
    /// Takes up what was spent before a restart.
    pub fn restore(&mut self, spent: impl IntoIterator<Item = (i64, u32)>) {
        self.spent = spent.into_iter().collect();
    }

    /// Whether a person may be deprovisioned now.
    pub fn ask(&mut self, case: &Case) -> Answer {
        if self.granted.contains(case) {
            return Answer::Go;
        }
        if self.held.contains(case) {
            return Answer::Held;
        }
        if !self.reserved.contains(case) {
            self.withdraw(&case.uid);
            self.waiting.insert(case.clone());
        }
        Answer::Wait
    }

    /// Decides on those who wait: granted as far as the window allows, else held. True when there is
    /// something to write down.
    pub fn decide(&mut self, limit: Limit, provisioned: u32, now: i64) -> bool {
        let oldest = now.saturating_sub(i64::try_from(limit.window).unwrap_or(i64::MAX));
        // An entry of the future, after a clock was set back, counts as one of now.
        self.spent.retain(|at, _| *at > oldest);
        let spent: u32 = self.spent.values().sum();
        // Who went within the window was provisioned when it began: the share is one of all.
        let under_way = u32::try_from(self.reserved.len() + self.granted.len()).unwrap_or(u32::MAX);
        let all = provisioned.saturating_add(spent.saturating_sub(under_way));
        let mut left = limit.allowance(all).saturating_sub(spent);
        let changed = !self.waiting.is_empty();
        let bucket = limit.bucket();
        let at = now.div_euclid(bucket).saturating_mul(bucket) + bucket;
        for case in std::mem::take(&mut self.waiting) {
            if left > 0 {
                left -= 1;
                *self.spent.entry(at).or_default() += 1;
                self.reserved.insert(case);
            } else {
                self.news.insert(case.clone());
                self.held.insert(case);
            }
        }
        changed
    }

    /// What was decided is written down: returns those who may go now, and those who are held.
    pub fn persisted(&mut self) -> Vec<Case> {
        let mut told: Vec<Case> = std::mem::take(&mut self.reserved).into_iter().collect();
        self.granted.extend(told.iter().cloned());
        told.extend(std::mem::take(&mut self.news));
        told
    }

    /// Somebody is deprovisioned, or is not to be any more.
    pub fn withdraw(&mut self, uid: &str) {
        let sets = [
            &mut self.waiting,
            &mut self.reserved,
            &mut self.granted,
            &mut self.held,
            &mut self.news,
        ];
        for set in sets {
            if set.iter().any(|case| case.uid == uid) {
                set.retain(|case| case.uid != uid);
            }
        }
    }

    /// Whether nobody asks, waits or is held.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.reserved.is_empty()
            && self.granted.is_empty()
            && self.held.is_empty()
    }

    /// When how many went, oldest first, for status.
    pub fn spent(&self) -> impl Iterator<Item = (i64, u32)> {
        self.spent.iter().map(|(at, count)| (*at, *count))
    }

    /// What waits for approval.
    pub fn plan(&self) -> Option<Plan> {
        if self.held.is_empty() {
            return None;
        }
        let lines: Vec<String> = self.held.iter().map(line).collect();
        Some(Plan {
            hash: names::short_hash(&lines.join("\n")),
            count: self.held.len(),
            first: self
                .held
                .iter()
                .take(10)
                .map(|case| format!("{}/{}", case.namespace, case.name))
                .collect(),
        })
    }

    /// Releases the plan, if it is the one that `hash` names; what it releases may go at once, whatever
    /// the window says: a person has decided.
    pub fn approve(&mut self, hash: &str) -> usize {
        if self.plan().is_none_or(|plan| plan.hash != hash) {
            return 0;
        }
        let released = std::mem::take(&mut self.held);
        let count = released.len();
        self.granted.extend(released.iter().cloned());
        // Told with the others, once it is written down: a status that is refused loses nobody.
        self.news.extend(released);
        count
    }
}

fn line(case: &Case) -> String {
    let Case {
        namespace,
        name,
        uid,
        action,
    } = case;
    format!("{action:?} {namespace}/{name} {uid}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        max_percent: 10,
        minimum: 5,
        window: 3600,
    };

    fn case(number: u32) -> Case {
        Case {
            namespace: "team".into(),
            name: format!("user-{number:03}"),
            uid: format!("uid-{number}"),
            action: Deprovisioning::Archive,
        }
    }

    /// Everybody asks, it is decided and written down; how many may go.
    fn round(
        guard: &mut Guard,
        cases: impl Iterator<Item = u32> + Clone,
        all: u32,
        now: i64,
    ) -> usize {
        cases.clone().for_each(|number| {
            guard.ask(&case(number));
        });
        guard.decide(LIMIT, all, now);
        guard.persisted();
        cases
            .filter(|number| guard.ask(&case(*number)) == Answer::Go)
            .count()
    }

    #[test]
    fn the_share_counts_and_the_minimum_for_small_ones() {
        for (all, allowed, why) in [
            (100, 10, "a tenth"),
            (1000, 100, "a tenth"),
            (20, 5, "the minimum"),
            (0, 5, "nobody is known yet"),
        ] {
            assert_eq!(LIMIT.allowance(all), allowed, "{why}");
        }
        let none = Limit {
            max_percent: 0,
            minimum: 0,
            window: 60,
        };
        assert_eq!(none.allowance(1000), 0, "nobody without a person");
    }

    #[test]
    fn sixty_of_a_hundred_are_held_but_for_what_the_window_allows() {
        let mut guard = Guard::default();
        assert_eq!(round(&mut guard, 0..6, 100, 1_000_000), 6);
        (0..6).for_each(|number| guard.withdraw(&format!("uid-{number}")));
        assert_eq!(
            round(&mut guard, 6..60, 94, 1_000_001),
            4,
            "a tenth of all, in two strokes"
        );
        let plan = guard.plan().unwrap();
        assert_eq!((plan.count, plan.first.len()), (50, 10));
        assert_eq!(plan.first[0], "team/user-010");
        assert_eq!(guard.ask(&case(59)), Answer::Held);
    }

    #[test]
    fn nothing_goes_before_it_is_written_down() {
        let mut guard = Guard::default();
        assert_eq!(guard.ask(&case(1)), Answer::Wait);
        assert!(guard.decide(LIMIT, 100, 1_000_000));
        assert_eq!(
            guard.ask(&case(1)),
            Answer::Wait,
            "spent, not yet persisted"
        );
        assert_eq!(guard.persisted(), [case(1)]);
        assert_eq!(guard.ask(&case(1)), Answer::Go);
        assert_eq!(
            guard.ask(&case(1)),
            Answer::Go,
            "a failed request is tried again for nothing"
        );
        assert!(
            !guard.decide(LIMIT, 100, 1_000_001),
            "nothing new to write down"
        );
    }

    #[test]
    fn the_window_rolls_and_survives_a_restart() {
        let mut guard = Guard::default();
        assert_eq!(round(&mut guard, 0..10, 100, 1_000_000), 10);
        let mut again = Guard::default();
        again.restore(guard.spent().collect::<Vec<_>>());
        assert_eq!(
            round(&mut again, 10..12, 90, 1_001_800),
            0,
            "half a window later"
        );
        assert_eq!(again.plan().unwrap().count, 2);
        let mut later = Guard::default();
        later.restore(guard.spent().collect::<Vec<_>>());
        assert_eq!(
            round(&mut later, 10..12, 90, 1_003_700),
            2,
            "the window is over"
        );
        assert!(later.spent().count() <= BUCKETS);
    }

    #[test]
    fn what_is_held_stays_so_when_the_window_is_over() {
        let mut guard = Guard::default();
        assert_eq!(round(&mut guard, 0..60, 100, 1_000_000), 10);
        guard.decide(LIMIT, 90, 2_000_000);
        assert_eq!(
            guard.ask(&case(59)),
            Answer::Held,
            "a person is asked, not waited out"
        );
    }

    #[test]
    fn an_approval_releases_its_own_plan_and_no_other() {
        let mut guard = Guard::default();
        round(&mut guard, 0..60, 100, 1_000_000);
        let seen = guard.plan().unwrap().hash;
        round(&mut guard, 60..61, 90, 1_000_001);
        let now = guard.plan().unwrap().hash;
        assert_ne!(seen, now, "one more has joined");
        assert_eq!(guard.approve(&seen), 0, "not what was looked at");
        assert_eq!(guard.approve(&now), 51);
        assert!(guard.persisted().len() >= 51, "all are told");
        assert_eq!((guard.ask(&case(60)), guard.plan()), (Answer::Go, None));
        round(&mut guard, 61..70, 39, 1_000_002);
        assert_eq!(guard.ask(&case(65)), Answer::Held, "the next plan");
        assert_eq!(guard.approve(&now), 0);
    }

    #[test]
    fn whoever_stays_after_all_is_in_no_plan() {
        let mut guard = Guard::default();
        round(&mut guard, 0..60, 100, 1_000_000);
        guard.withdraw("uid-59");
        assert_eq!(guard.plan().unwrap().count, 49);
        let delete = Case {
            action: Deprovisioning::Delete,
            ..case(58)
        };
        assert_eq!(
            guard.ask(&delete),
            Answer::Wait,
            "another action is another case"
        );
        assert_eq!(guard.plan().unwrap().count, 48);
        (0..60).for_each(|number| guard.withdraw(&format!("uid-{number}")));
        assert!(guard.is_idle());
    }

    #[test]
    fn a_clock_set_back_grants_nothing_twice() {
        let mut guard = Guard::default();
        assert_eq!(round(&mut guard, 0..10, 100, 1_003_600), 10);
        assert_eq!(round(&mut guard, 10..20, 90, 1_000_000), 0);
    }
}
