//! The guard over time: what may go, what is held, what an approval and a restart change.

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
fn round(guard: &mut Guard, cases: impl Iterator<Item = u32> + Clone, all: u32, now: i64) -> usize {
    cases.clone().for_each(|number| {
        guard.ask(&case(number), Scope::Alone);
    });
    guard.decide(LIMIT, all, now, false);
    guard.persisted();
    cases
        .filter(|number| guard.ask(&case(*number), Scope::Alone) == Answer::Go)
        .count()
}

fn remembered(guard: &Guard, held: Option<String>) -> Remembered {
    Remembered {
        spent: guard.spent().collect(),
        held,
        approved: guard.approved().map(str::to_owned),
        under_way: guard.under_way().collect(),
    }
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
    (0..6).for_each(|number| {
        guard.withdraw(&case(number));
    });
    assert_eq!(
        round(&mut guard, 6..60, 94, 1_000_001),
        4,
        "a tenth of all, in two strokes"
    );
    let plan = guard.plan().unwrap();
    assert_eq!((plan.count, plan.first.len()), (50, 10));
    assert_eq!(plan.first[0], "team/user-010");
    assert_eq!(guard.ask(&case(59), Scope::Alone), Answer::Held);
}

#[test]
fn nothing_goes_before_it_is_written_down() {
    let mut guard = Guard::default();
    assert_eq!(guard.ask(&case(1), Scope::Alone), Answer::Wait);
    guard.decide(LIMIT, 100, 1_000_000, false);
    assert_eq!(
        guard.ask(&case(1), Scope::Alone),
        Answer::Wait,
        "spent, not yet persisted"
    );
    assert_eq!(guard.persisted(), [case(1)]);
    assert_eq!(guard.ask(&case(1), Scope::Alone), Answer::Go);
    assert_eq!(
        guard.ask(&case(1), Scope::Alone),
        Answer::Go,
        "a failed request is tried again for nothing"
    );
    guard.decide(LIMIT, 100, 1_000_001, false);
    assert_eq!(
        guard.spent().map(|(_, count)| count).sum::<u32>(),
        1,
        "spent once"
    );
}

#[test]
fn the_window_rolls_and_survives_a_restart() {
    let mut guard = Guard::default();
    assert_eq!(round(&mut guard, 0..10, 100, 1_000_000), 10);
    let mut again = Guard::default();
    again.restore(remembered(&guard, None));
    assert_eq!(
        round(&mut again, 10..12, 90, 1_001_800),
        0,
        "half a window later"
    );
    assert_eq!(again.plan().unwrap().count, 2);
    let mut later = Guard::default();
    later.restore(remembered(&guard, None));
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
    guard.decide(LIMIT, 90, 2_000_000, false);
    assert_eq!(
        guard.ask(&case(59), Scope::Alone),
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
    assert_eq!(guard.approve(Some(&seen)), 0, "not what was looked at");
    assert_eq!(guard.approve(Some(&now)), 51);
    assert!(guard.persisted().len() >= 51, "all are told");
    assert_eq!(
        (guard.ask(&case(60), Scope::Alone), guard.plan()),
        (Answer::Go, None)
    );
    round(&mut guard, 61..70, 39, 1_000_002);
    assert_eq!(
        guard.ask(&case(65), Scope::Alone),
        Answer::Held,
        "the next plan"
    );
    assert_eq!(guard.approve(Some(&now)), 0);
}

#[test]
fn whoever_stays_after_all_is_in_no_plan() {
    let mut guard = Guard::default();
    round(&mut guard, 0..60, 100, 1_000_000);
    guard.withdraw(&case(59));
    assert_eq!(guard.plan().unwrap().count, 49);
    let delete = Case {
        action: Deprovisioning::Delete,
        ..case(58)
    };
    assert_eq!(
        guard.ask(&delete, Scope::Alone),
        Answer::Wait,
        "another action is another case"
    );
    assert_eq!(guard.plan().unwrap().count, 48);
    (0..60).for_each(|number| {
        guard.withdraw(&case(number));
    });
    assert_eq!(guard.plan(), None);
}

#[test]
fn a_clock_set_back_grants_nothing_twice() {
    let mut guard = Guard::default();
    assert_eq!(round(&mut guard, 0..10, 100, 1_003_600), 10);
    assert_eq!(round(&mut guard, 10..20, 90, 1_000_000), 0);
}

#[test]
fn a_restart_lets_nobody_of_a_held_plan_go_however_late() {
    let mut guard = Guard::default();
    round(&mut guard, 0..60, 100, 1_000_000);
    let held = guard.plan().map(|plan| plan.hash);
    let mut again = Guard::default();
    again.restore(remembered(&guard, held.clone()));
    // The window is long over; those who are held ask again in two strokes.
    assert_eq!(round(&mut again, 10..30, 90, 2_000_000), 0);
    assert!(again.is_resuming(), "status keeps what it said");
    assert_eq!(round(&mut again, 30..60, 90, 2_000_001), 0);
    assert!(!again.is_resuming());
    assert_eq!(again.plan().map(|plan| plan.hash), held, "the same plan");
    assert_eq!(
        round(&mut again, 60..65, 90, 2_000_002),
        5,
        "what is new is as ever"
    );

    // Somebody of the plan stays after all: it is never whole, and not waited for for ever.
    let mut shrunk = Guard::default();
    shrunk.restore(remembered(&guard, held));
    assert_eq!(round(&mut shrunk, 10..59, 90, 2_000_000), 0);
    assert_eq!(round(&mut shrunk, 60..65, 90, 2_003_600), 5);
    assert_eq!(shrunk.plan().map(|plan| plan.count), Some(49));
}

#[test]
fn an_approval_works_once_and_is_remembered() {
    let nobody = Limit {
        max_percent: 0,
        minimum: 0,
        window: 3600,
    };
    let ask = |guard: &mut Guard, now: i64| {
        (0..3).for_each(|number| {
            guard.ask(&case(number), Scope::Alone);
        });
        guard.decide(nobody, 100, now, false);
        guard.persisted();
    };
    let mut guard = Guard::default();
    ask(&mut guard, 1_000_000);
    let hash = guard.plan().map(|plan| plan.hash);
    assert_eq!(guard.approve(hash.as_deref()), 3);
    (0..3).for_each(|number| {
        guard.withdraw(&case(number));
    });
    let mut again = Guard::default();
    again.restore(remembered(&guard, None));
    for guard in [&mut guard, &mut again] {
        // Reactivated, and archived again by the same commit: the annotation is still there.
        ask(guard, 1_000_100);
        assert_eq!(guard.plan().map(|plan| plan.hash), hash);
        assert_eq!(guard.approve(hash.as_deref()), 0);
        assert_eq!(guard.approve(None), 0, "taken off");
        assert_eq!(guard.approve(hash.as_deref()), 3, "and given anew");
    }
}

#[test]
fn who_is_under_way_makes_no_room_for_others() {
    let half = Limit {
        max_percent: 50,
        minimum: 0,
        window: 3600,
    };
    let mut guard = Guard::default();
    for stroke in [0..60, 60..90] {
        stroke.for_each(|number| {
            guard.ask(&case(number), Scope::Alone);
        });
        // None of them was carried out yet: the backend still has a hundred.
        guard.decide(half, 100, 1_000_000, false);
        guard.persisted();
    }
    let granted = (0..90).filter(|number| guard.ask(&case(*number), Scope::Alone) == Answer::Go);
    assert_eq!(granted.count(), 50);
}

#[test]
fn what_is_written_down_stays_short_and_no_clock_blocks_for_ever() {
    let mut guard = Guard::default();
    let every_second = (0..500).map(|second| (1_000_000 + second, 1)).collect();
    guard.restore(Remembered {
        spent: every_second,
        ..Remembered::default()
    });
    guard.decide(LIMIT, 100, 1_000_500, false);
    assert!(guard.spent().count() <= BUCKETS);
    assert_eq!(
        guard.spent().map(|(_, count)| count).sum::<u32>(),
        500,
        "none is lost"
    );

    let mut ahead = Guard::default();
    ahead.restore(Remembered {
        spent: BTreeMap::from([(9_000_000, 10)]),
        ..Remembered::default()
    });
    assert_eq!(round(&mut ahead, 0..1, 90, 1_000_000), 0, "counts as now");
    let last = ahead.spent().last();
    assert!(last.is_some_and(|(at, _)| at <= 1_000_060), "{last:?}");
}

#[test]
fn whoever_is_gone_is_in_no_plan() {
    let mut guard = Guard::default();
    round(&mut guard, 0..60, 100, 1_000_000);
    guard.keep(|case| case.name != "user-059");
    assert_eq!(guard.plan().map(|plan| plan.count), Some(49));
}

#[test]
fn a_kind_that_ends_and_a_backend_not_to_be_relied_on_let_nobody_go() {
    let mut guard = Guard::default();
    guard.ask(&case(1), Scope::Alone);
    guard.decide(LIMIT, 100, 1_000_000, true);
    guard.persisted();
    assert_eq!(guard.ask(&case(1), Scope::Kind), Answer::Held);
    assert!(guard.only_scopes_end());

    let mut guard = Guard::default();
    assert_eq!(round(&mut guard, 0..2, 100, 1_000_000), 2);
    assert_eq!(guard.halt(Halt::Stop), []);
    assert_eq!(
        guard.ask(&case(1), Scope::Alone),
        Answer::Halted,
        "even what was granted"
    );
    assert_eq!(guard.ask(&case(2), Scope::Alone), Answer::Halted);
    guard.decide(LIMIT, 100, 1_000_001, false);
    assert_eq!((guard.waiting(), guard.plan()), (3, None));
    assert_eq!(guard.halt(Halt::No).len(), 3, "all of them look again");
    guard.decide(LIMIT, 100, 1_000_002, false);
    guard.persisted();
    for number in 0..3 {
        assert_eq!(guard.ask(&case(number), Scope::Alone), Answer::Go);
    }
    assert!(!guard.only_scopes_end(), "nobody is held at all");
}

#[test]
fn a_plan_that_can_never_be_whole_again_after_a_restart_holds_up_nobody_for_long() {
    let mut guard = Guard::default();
    round(&mut guard, 0..12, 0, 1_000_000);
    let held = guard.plan().map(|plan| plan.hash);
    (0..5).for_each(|number| {
        guard.withdraw(&case(number));
    });
    let mut again = Guard::default();
    again.restore(remembered(&guard, held.clone()));
    // One of the seven was declared again while nobody looked.
    assert_eq!(round(&mut again, 5..11, 7, 1_000_001), 0);
    assert!(again.is_resuming());
    again.everybody_asked();
    assert!(!again.is_resuming(), "status shows what there is");
    let plan = again.plan().map(|plan| plan.hash);
    assert_ne!(plan, held);
    assert_eq!(again.approve(plan.as_deref()), 6);
}

#[test]
fn a_crash_after_the_grant_was_written_down_spends_it_once() {
    let mut guard = Guard::default();
    assert_eq!(round(&mut guard, 0..10, 100, 1_000_000), 10);
    // Three went; of one of them nobody wrote down any more that he did.
    guard.withdraw(&case(0));
    guard.withdraw(&case(1));
    let written_down = remembered(&guard, None);
    let mut again = Guard::default();
    again.restore(written_down);
    assert_eq!(
        again.ask(&case(3), Scope::Alone),
        Answer::Go,
        "let go before, and asked for again"
    );
    let other = Case {
        action: Deprovisioning::Delete,
        ..case(4)
    };
    assert_eq!(
        again.ask(&other, Scope::Alone),
        Answer::Wait,
        "another matter"
    );
    assert_eq!(
        round(&mut again, 3..12, 98, 1_000_001),
        7,
        "the seven that were let go, and nobody else"
    );
    assert_eq!(again.spent().map(|(_, count)| count).sum::<u32>(), 10);
    assert_eq!(again.under_way().count(), 8);
    again.everybody_asked();
    assert_eq!(again.under_way().count(), 7, "number 2 had gone");
    again.withdraw(&case(3));
    assert_eq!(again.ask(&case(3), Scope::Alone), Answer::Wait, "once");
}

#[test]
fn a_crash_in_the_middle_of_an_approved_plan_keeps_nobody_of_it() {
    let mut guard = Guard::default();
    round(&mut guard, 0..60, 100, 1_000_000);
    let hash = guard.plan().unwrap().hash;
    assert_eq!(guard.approve(Some(&hash)), 50);
    assert_eq!(
        guard.ask(&case(59), Scope::Alone),
        Answer::Wait,
        "not written down yet"
    );
    let unwritten = remembered(&Guard::default(), Some(hash.clone()));
    guard.persisted();
    assert_eq!(guard.ask(&case(59), Scope::Alone), Answer::Go);
    guard.withdraw(&case(59));

    let mut again = Guard::default();
    again.restore(remembered(&guard, None));
    assert_eq!(again.approve(Some(&hash)), 0, "an approval works once");
    assert_eq!(round(&mut again, 10..59, 90, 1_000_001), 49, "all the rest");

    // Written down or not, it is one or the other: nothing was let go, and the approval still stands.
    let mut early = Guard::default();
    early.restore(unwritten);
    round(&mut early, 10..60, 90, 1_000_001);
    assert_eq!(early.approve(Some(&hash)), 50);
}

#[test]
fn r14_who_is_held_for_a_listing_goes_when_it_is_complete_or_by_approval() {
    let mut guard = Guard::default();
    guard.halt(Halt::Hold);
    assert_eq!(round(&mut guard, 0..3, 100, 1_000_000), 0);
    assert!(guard.only_by_halt() && !guard.only_scopes_end());
    assert_eq!(guard.halt(Halt::No).len(), 3);
    assert_eq!(round(&mut guard, 0..3, 100, 1_000_001), 3);

    let mut never = Guard::default();
    never.halt(Halt::Hold);
    round(&mut never, 0..3, 100, 1_000_000);
    let hash = never.plan().unwrap().hash;
    assert_eq!(never.approve(Some(&hash)), 3);
    never.persisted();
    assert_eq!(
        never.ask(&case(1), Scope::Alone),
        Answer::Go,
        "a backend that never lists everybody keeps no leaver in"
    );
}

#[test]
fn what_was_let_go_at_one_backend_is_not_at_the_next() {
    let mut guard = Guard::default();
    assert_eq!(round(&mut guard, 0..3, 100, 1_000_000), 3);
    guard.leaves_backend();
    assert_eq!(guard.ask(&case(1), Scope::Alone), Answer::Wait);
}

#[test]
fn a_plan_that_somebody_joined_over_a_restart_is_approved_as_it_is_now() {
    let mut guard = Guard::default();
    round(&mut guard, 0..60, 100, 1_000_000);
    let held = guard.plan().map(|plan| plan.hash);
    let mut again = Guard::default();
    again.restore(remembered(&guard, held.clone()));
    assert_eq!(round(&mut again, 10..61, 90, 2_000_000), 0);
    assert!(again.is_resuming(), "it could be whole only by itself");
    again.ask(&case(61), Scope::Alone);
    again.everybody_asked();
    assert!(again.is_resuming(), "whoever waits is decided on first");
    assert_eq!(round(&mut again, 61..62, 90, 2_000_001), 0);
    again.everybody_asked();
    assert!(!again.is_resuming());
    let plan = again.plan().unwrap();
    assert_eq!(plan.count, 52);
    assert_eq!(again.approve(held.as_deref()), 0, "the plan of before");
    assert_eq!(again.approve(Some(&plan.hash)), 52);
}

#[test]
fn an_outage_gathers_no_windows_worth_for_each_hour_that_it_lasts() {
    let mut guard = Guard::default();
    assert_eq!(round(&mut guard, 0..5, 0, 1_000_000), 5);
    // None of them could go.
    assert_eq!(round(&mut guard, 5..10, 0, 1_004_000), 0, "hours later");
    (0..5).for_each(|number| {
        guard.withdraw(&case(number));
    });
    assert_eq!(
        round(&mut guard, 10..15, 0, 1_004_001),
        0,
        "the five went in this window"
    );
    assert_eq!(round(&mut guard, 15..20, 0, 1_009_000), 5, "the next");
    // Whom a person let go spends nothing.
    let hash = guard.plan().unwrap().hash;
    assert_eq!(guard.approve(Some(&hash)), 10);
    guard.persisted();
    let mut again = Guard::default();
    again.restore(remembered(&guard, None));
    assert_eq!(round(&mut again, 5..15, 0, 1_014_000), 10);
    assert_eq!(again.spent().count(), 0);
}
