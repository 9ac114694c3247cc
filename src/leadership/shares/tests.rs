//! Tables of what follows from a look, and whole fleets on virtual time: whatever starts, ends, stands
//! still or is cut off, no share is worked on by two, and in the end all are held, evenly.

use std::time::Duration;

use super::*;
use crate::leadership::tests::{TERMS, seconds};

mod fleet;

fn lease(version: u64, holder: &str) -> Sighting {
    Sighting {
        version: version.to_string(),
        holder: (!holder.is_empty()).then(|| holder.to_owned()),
        wait_out: if holder.is_empty() {
            seconds(1)
        } else {
            seconds(45)
        },
    }
}

/// A look at these replicas, and at these shares: by whom each is held, `-` for one without a lease.
fn look(replicas: &[&str], shares: &[(&str, &str)]) -> Look {
    Look {
        replicas: replicas
            .iter()
            .map(|name| (format!("replica-{name}"), lease(1, name)))
            .collect(),
        shares: shares
            .iter()
            .map(|(name, holder)| {
                let lease = (*holder != "-").then(|| lease(1, holder));
                ((*name).to_owned(), lease)
            })
            .collect(),
        others: BTreeMap::new(),
    }
}

fn mine(held: &[&str], leaving: &[&str]) -> BTreeMap<String, Mine> {
    let held = held.iter().map(|name| ((*name).to_owned(), Mine::Held));
    let leaving = leaving
        .iter()
        .map(|name| ((*name).to_owned(), Mine::Leaving));
    held.chain(leaving).collect()
}

#[test]
fn what_a_replica_claims_and_gives_up() {
    struct Case {
        replicas: &'static [&'static str],
        shares: &'static [(&'static str, &'static str)],
        held: &'static [&'static str],
        leaving: &'static [&'static str],
        /// How many are claimed, and how many given up.
        expected: (usize, usize),
        why: &'static str,
    }
    let cases = [
        Case {
            replicas: &["me"],
            shares: &[("a", "-"), ("b", ""), ("c", "-")],
            held: &[],
            leaving: &[],
            expected: (3, 0),
            why: "alone, and all are free",
        },
        Case {
            replicas: &[],
            shares: &[("a", "-")],
            held: &[],
            leaving: &[],
            expected: (1, 0),
            why: "its own lease was not seen yet: it lives all the same",
        },
        Case {
            replicas: &["me", "you"],
            shares: &[("a", "-"), ("b", "-"), ("c", "-")],
            held: &[],
            leaving: &[],
            expected: (2, 0),
            why: "the first of two equals takes the odd one",
        },
        Case {
            replicas: &["me", "an-earlier-name"],
            shares: &[("a", "-"), ("b", "-"), ("c", "-")],
            held: &[],
            leaving: &[],
            expected: (1, 0),
            why: "and the second leaves it",
        },
        Case {
            replicas: &["me", "an-earlier-name"],
            shares: &[("a", "me"), ("b", "me"), ("c", "an-earlier-name")],
            held: &["a", "b"],
            leaving: &[],
            expected: (0, 0),
            why: "whoever has the odd one keeps it, whatever its name",
        },
        Case {
            replicas: &["me", "you", "they"],
            shares: &[("a", "me"), ("b", "me"), ("c", "you"), ("d", "you")],
            held: &["a", "b"],
            leaving: &[],
            expected: (0, 0),
            why: "a third came, and of two that have too many the second gives up",
        },
        Case {
            replicas: &["me", "an-earlier-name", "they"],
            shares: &[
                ("a", "me"),
                ("b", "me"),
                ("c", "an-earlier-name"),
                ("d", "an-earlier-name"),
            ],
            held: &["a", "b"],
            leaving: &[],
            expected: (0, 1),
            why: "this is the second",
        },
        Case {
            replicas: &["me", "you"],
            shares: &[("a", "me"), ("b", "me"), ("c", "me"), ("d", "me")],
            held: &["a", "b", "c", "d"],
            leaving: &[],
            expected: (0, 1),
            why: "one at a time",
        },
        Case {
            replicas: &["me", "you"],
            shares: &[("a", "me"), ("b", "me"), ("c", "me"), ("d", "me")],
            held: &["a", "b", "c"],
            leaving: &["d"],
            expected: (0, 0),
            why: "the next when that one has drained",
        },
        Case {
            replicas: &["me"],
            shares: &[("a", "me")],
            held: &["a", "gone", "gone-too"],
            leaving: &["going"],
            expected: (0, 2),
            why: "connections that are no more are all given up",
        },
        Case {
            replicas: &["me"],
            shares: &[("a", "you")],
            held: &[],
            leaving: &[],
            expected: (0, 0),
            why: "held by somebody who is not known to live: it is waited out",
        },
        Case {
            replicas: &["me"],
            shares: &[],
            held: &[],
            leaving: &[],
            expected: (0, 0),
            why: "there is nothing",
        },
    ];
    for case in cases {
        let mut shares = Shares::new("me", TERMS);
        let look = look(case.replicas, case.shares);
        let plan = shares.look(&look, &mine(case.held, case.leaving), seconds(0));
        let came = (plan.claim.len(), plan.release.len());
        assert_eq!(came, case.expected, "{}: {plan:?}", case.why);
        assert!(plan.sweep.is_empty(), "{}", case.why);
    }
}

#[test]
fn a_replica_that_does_not_renew_is_not_counted_and_what_it_held_is_waited_out() {
    let mut shares = Shares::new("me", TERMS);
    let held = [("a", "you"), ("b", "you"), ("c", "me"), ("d", "me")];
    let seen = look(&["me", "you"], &held);
    let mine = mine(&["c", "d"], &[]);
    for (at, claimed, why) in [
        (0, 0, "you may live"),
        (14, 0, "you may still"),
        (15, 0, "you are not counted, but what you held is not free"),
        (44, 0, "not before lease and longest request"),
        (45, 2, "then it is, and all at once"),
    ] {
        let mut seen = seen.clone();
        // This replica renews its own.
        seen.replicas.insert("replica-me".into(), lease(at, "me"));
        let plan = shares.look(&seen, &mine, seconds(at));
        assert_eq!(plan.claim.len(), claimed, "{why}, at {at}");
        assert!(plan.release.is_empty(), "{why}, at {at}");
    }
}

#[test]
fn leases_that_nobody_needs_are_deleted_once_nobody_can_be_at_work_by_them() {
    let mut shares = Shares::new("me", TERMS);
    let mut seen = look(&["me", "dead"], &[("a", "dead")]);
    seen.others.insert("gone".into(), lease(1, ""));
    seen.others.insert("mine-and-gone".into(), lease(1, "me"));
    let plan = shares.look(&seen, &BTreeMap::new(), seconds(0));
    assert!(plan.sweep.is_empty());
    let plan = shares.look(&seen, &BTreeMap::new(), seconds(89));
    assert!(plan.sweep.is_empty(), "{plan:?}");
    let plan = shares.look(&seen, &BTreeMap::new(), seconds(90));
    assert_eq!(
        plan.sweep,
        ["replica-dead", "gone"],
        "not its own, and none of a connection"
    );
    seen.others.insert("gone".into(), lease(2, ""));
    let plan = shares.look(&seen, &BTreeMap::new(), seconds(91));
    assert_eq!(
        plan.sweep,
        ["replica-dead"],
        "somebody wrote it: the wait begins anew"
    );
}

#[test]
fn replicas_that_begin_together_ask_for_different_shares_first() {
    let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    let wants = |identity: &str| {
        let mut names = names.clone();
        names.sort_by_key(|name| preference(identity, name));
        names
    };
    let (one, two) = (wants("pod-1_00"), wants("pod-2_00"));
    assert_ne!(one[..10], two[..10]);
    assert_eq!(one, wants("pod-1_00"), "and always for the same");
}
