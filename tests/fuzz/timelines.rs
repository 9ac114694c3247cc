//! What has a memory, over any sequence of events: the guard through crashes and approvals, and how long
//! is waited.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use scim_operator::domain::guard::{Answer, Case, Deprovisioning, Guard, Limit, Remembered, Scope};
use scim_operator::domain::retry::backoff;

use super::config;

#[derive(Clone, Debug)]
enum Event {
    /// Somebody is to go.
    Ask(u8),
    /// The connection's pass: decide, approve, write down, tell.
    Pass,
    /// The same, and a crash after it is written down, or before.
    Crash { written: bool },
    /// Those who may go do.
    Go,
    /// Somebody stays after all.
    Stay(u8),
    /// A person approves what status shows.
    Approve,
    /// A person approves something else.
    Misapprove,
    /// Time passes.
    Wait(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0u8..10).prop_map(Event::Ask),
        5 => Just(Event::Pass),
        2 => any::<bool>().prop_map(|written| Event::Crash { written }),
        3 => Just(Event::Go),
        1 => (0u8..10).prop_map(Event::Stay),
        1 => Just(Event::Approve),
        1 => Just(Event::Misapprove),
        2 => (1i64..2000).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..60)
}

fn case(number: u8) -> Case {
    Case {
        namespace: "team".into(),
        name: format!("user-{number}"),
        uid: format!("uid-{number}"),
        action: Deprovisioning::Archive,
    }
}

/// The guard, what was written down of it, and what became of people.
struct Timeline {
    guard: Guard,
    limit: Limit,
    now: i64,
    annotation: Option<String>,
    written: Remembered,
    /// The plan that status shows.
    shown: Option<String>,
    /// Who asked and neither went nor stays.
    asking: BTreeSet<u8>,
    /// Who was released by approval, and not gone yet.
    approved: BTreeSet<u8>,
    /// The same, as status had it last.
    approved_written: BTreeSet<u8>,
    /// Approvals of which everybody has gone, or stays.
    used: BTreeSet<Option<String>>,
    /// When who went last without approval. Whoever comes back and goes again after a crash may do so by
    /// the grant of before, which nobody wrote down as used: that is one person all the same.
    went: BTreeMap<u8, i64>,
}

impl Timeline {
    fn answers(&mut self) -> BTreeMap<u8, Answer> {
        let asking = self.asking.clone();
        asking
            .into_iter()
            .map(|number| (number, self.guard.ask(&case(number), Scope::Alone)))
            .collect()
    }

    fn held(&mut self) -> BTreeSet<u8> {
        let answers = self.answers().into_iter();
        answers
            .filter(|(_, answer)| *answer == Answer::Held)
            .map(|(number, _)| number)
            .collect()
    }

    fn pass(&mut self, crash: Option<bool>) -> Result<(), TestCaseError> {
        self.answers();
        self.guard.decide(self.limit, 0, self.now, false);
        self.guard.everybody_asked();
        let held = self.held();
        let plan = self.guard.plan();
        prop_assert_eq!(plan.as_ref().map_or(0, |plan| plan.count), held.len());
        let released = self.guard.approve(self.annotation.as_deref());
        if released > 0 {
            prop_assert_eq!(plan.map(|plan| plan.hash), self.annotation.clone());
            prop_assert_eq!(released, held.len(), "all of the plan, and nobody else");
            self.approved.extend(held);
        }
        if crash == Some(false) {
            return self.restart();
        }
        // As the controller has it: what status said before still holds while the plan is not whole.
        if !self.guard.is_resuming() {
            self.shown = self.guard.plan().map(|plan| plan.hash);
        }
        self.written = Remembered {
            spent: self.guard.spent().collect(),
            held: self.shown.clone(),
            approved: self.guard.approved().map(str::to_owned),
            under_way: self.guard.under_way().collect(),
        };
        self.approved_written = self.approved.clone();
        if crash == Some(true) {
            return self.restart();
        }
        self.guard.persisted();
        if self.shown.is_some() && self.shown == self.annotation {
            prop_assert!(
                self.used.contains(&self.shown),
                "held by the hash that is approved already"
            );
        }
        // Nobody is forgotten: decided on and told, one way or the other.
        for (number, answer) in self.answers() {
            prop_assert!(answer != Answer::Wait, "user-{} waits for nothing", number);
        }
        Ok(())
    }

    /// One who was released is gone, or stays.
    fn settled(&mut self, number: u8) -> bool {
        let was = self.approved.remove(&number);
        if was {
            self.used_up();
        }
        was
    }

    /// Whoever was released and asks no more is gone, though a crash may have kept that from being noted.
    fn used_up(&mut self) {
        if self.approved.is_disjoint(&self.asking) {
            self.used.insert(self.annotation.clone());
        }
    }

    fn restart(&mut self) -> Result<(), TestCaseError> {
        self.guard = Guard::default();
        self.guard.restore(self.written.clone());
        // An approval that was not written down is given again by the annotation that is there still.
        self.approved = self.approved_written.clone();
        self.used_up();
        Ok(())
    }

    fn go(&mut self) -> Result<(), TestCaseError> {
        for (number, answer) in self.answers() {
            if answer != Answer::Go {
                continue;
            }
            self.asking.remove(&number);
            self.guard.withdraw(&case(number));
            if !self.settled(number) {
                self.went.insert(number, self.now);
            }
        }
        let window = i64::try_from(self.limit.window).unwrap();
        let within = self
            .went
            .iter()
            .filter(|(_, at)| **at > self.now - window)
            .count();
        // Who was granted may take a while to go; the window is of grants.
        prop_assert!(
            within <= 2 * self.limit.minimum as usize,
            "{} went within a window",
            within
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(config(file!()))]

    /// R14: through any crashes and approvals, no more are granted than the window allows, nobody is
    /// forgotten, and an approval releases exactly the plan whose hash it names. In the end one approval
    /// of what status shows lets everybody go.
    #[test]
    fn r14_the_guard_holds_through_any_timeline(events in events(), minimum in 0u32..4) {
        let limit = Limit { max_percent: 0, minimum, window: 3600 };
        let mut timeline = Timeline {
            guard: Guard::default(), limit, now: 1_000_000, annotation: None, written: Remembered::default(),
            shown: None, asking: BTreeSet::new(), approved: BTreeSet::new(), approved_written: BTreeSet::new(), used: BTreeSet::new(), went: BTreeMap::new(),
        };
        for event in events {
            match event {
                Event::Ask(number) => drop(timeline.asking.insert(number)),
                Event::Pass => timeline.pass(None)?,
                Event::Crash { written } => timeline.pass(Some(written))?,
                Event::Go => timeline.go()?,
                Event::Stay(number) => {
                    timeline.asking.remove(&number);
                    timeline.settled(number);
                    timeline.guard.withdraw(&case(number));
                }
                Event::Approve => timeline.annotation.clone_from(&timeline.shown),
                Event::Misapprove => timeline.annotation = Some("something else".into()),
                Event::Wait(seconds) => timeline.now += seconds,
            }
            let spent: u32 = timeline.guard.spent().filter(|(at, _)| *at > timeline.now - 3600).map(|(_, count)| count).sum();
            prop_assert!(spent <= minimum, "{} are spent within a window", spent);
        }
        timeline.pass(None)?;
        timeline.go()?;
        timeline.annotation = None;
        timeline.pass(None)?;
        timeline.annotation.clone_from(&timeline.shown);
        timeline.pass(None)?;
        timeline.go()?;
        prop_assert!(timeline.asking.is_empty(), "{:?} cannot go", timeline.asking);
    }

    /// R26: ever longer, never longer than the cap, whatever the number of the try.
    #[test]
    fn r26_waits_grow_and_end_at_the_cap(attempt: u32, seconds in 1u64..100_000, jitter in -2.0f64..3.0) {
        let cap = Duration::from_secs(seconds);
        let wait = backoff(attempt, cap, jitter);
        prop_assert!(wait <= cap && !wait.is_zero());
        prop_assert!(backoff(attempt.saturating_add(1), cap, 1.0) >= backoff(attempt, cap, 1.0));
    }
}
