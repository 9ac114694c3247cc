//! Tables of who may take a lease, and of when a leader renews and stops.

use super::*;

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const TERMS: Terms = Terms {
    lease: seconds(15),
    renew_every: seconds(5),
    renew_deadline: seconds(10),
    longest_request: seconds(30),
};

fn held(version: &str, holder: &str) -> Option<Sighting> {
    Some(Sighting {
        version: version.into(),
        holder: Some(holder.into()),
        wait_out: seconds(45),
    })
}

fn released(version: &str) -> Option<Sighting> {
    Some(Sighting {
        version: version.into(),
        holder: None,
        wait_out: seconds(1),
    })
}

const LOOK: Move = Move::Wait(seconds(2));

#[test]
fn a_standby_takes_what_is_free_at_once_and_waits_out_what_is_held() {
    let cases = [
        (vec![(0, None, Move::Create)], "there is no lease yet"),
        (vec![(0, released("1"), Move::Take)], "it was released"),
        (
            vec![
                (0, held("1", "a"), LOOK),
                (9, held("2", ""), LOOK),
                (53, held("2", ""), Move::Wait(seconds(1))),
                (54, held("2", ""), Move::Take),
            ],
            "a name that was taken out by hand: its holder has not drained, and may not know",
        ),
        (
            vec![
                (7, held("1", "a"), LOOK),
                (50, held("1", "a"), LOOK),
                (51, held("1", "a"), Move::Wait(seconds(1))),
                (52, held("1", "a"), Move::Take),
            ],
            "lease and longest request, from the first sight on, not from what the lease says",
        ),
        (
            vec![
                (0, held("1", "a"), LOOK),
                (44, held("2", "a"), LOOK),
                (46, held("2", "a"), LOOK),
                (89, held("2", "a"), Move::Take),
            ],
            "a renewal begins the wait anew",
        ),
        (
            vec![
                (0, held("1", "a"), LOOK),
                (40, held("2", "b"), LOOK),
                (50, held("2", "b"), LOOK),
            ],
            "so does another holder",
        ),
        (
            vec![(0, held("1", "a"), LOOK), (3, released("2"), Move::Take)],
            "released meanwhile",
        ),
        (
            vec![
                (0, held("1", "a"), LOOK),
                (3, None, LOOK),
                (44, None, Move::Wait(seconds(1))),
                (45, None, Move::Create),
            ],
            "deleted under its holder, who may be at work",
        ),
        (
            vec![(0, held("1", "me"), Move::Take)],
            "taken by ourselves, and the answer was lost",
        ),
    ];
    for (steps, why) in cases {
        let mut candidate = Candidate::new("me", TERMS);
        for (at, lease, expected) in steps {
            assert_eq!(
                candidate.sees(lease, seconds(at)),
                expected,
                "{why}, at {at}"
            );
        }
    }
}

#[test]
fn a_standby_waits_for_as_long_as_the_more_patient_of_both_says() {
    for (written, until, why) in [
        (seconds(120), 120, "the holder's requests may be longer"),
        (
            seconds(1),
            45,
            "whatever wrote this does not know our requests",
        ),
        (
            seconds(i32::MAX as u64),
            24 * 3_600,
            "nobody is locked out for years by what somebody wrote",
        ),
    ] {
        let mut candidate = Candidate::new("me", TERMS);
        let mut lease = held("1", "a");
        lease.as_mut().unwrap().wait_out = written;
        assert_eq!(candidate.sees(lease.clone(), seconds(0)), LOOK);
        let before = candidate.sees(lease.clone(), seconds(until - 1));
        assert_eq!(before, Move::Wait(seconds(1)), "{why}");
        assert_eq!(candidate.sees(lease, seconds(until)), Move::Take, "{why}");
    }
}

#[test]
fn a_leader_renews_on_time_tries_again_and_stops_at_its_deadline() {
    let mut reign = Reign::begun(TERMS, seconds(100));
    assert_eq!(reign.next(seconds(100)), Step::Rest(seconds(5)));
    let call = Step::Renew(seconds(5) / 3);
    assert_eq!(reign.next(seconds(105)), call);
    assert!(reign.renewed(seconds(105), seconds(106)));
    assert_eq!(reign.may_begin_until(), seconds(115), "from the sending on");
    assert_eq!(reign.may_report_until(), seconds(145));
    assert_eq!(reign.next(seconds(106)), Step::Rest(seconds(4)));

    reign.failed(seconds(112));
    assert_eq!(reign.next(seconds(112)), Step::Rest(seconds(2)));
    assert_eq!(
        reign.next(seconds(114)),
        Step::Renew(seconds(1)),
        "no call outlives the deadline"
    );
    assert_eq!(reign.next(seconds(115)), Step::GiveUp);
    assert!(
        !reign.renewed(seconds(114), seconds(115)),
        "an answer that comes too late is no renewal"
    );
    assert_eq!(reign.next(seconds(116)), Step::GiveUp, "for good");
}

#[test]
fn r24_two_renewals_that_hang_leave_a_third_its_whole_time() {
    for (every, deadline) in [(5, 10), (1, 2), (1, 7), (2, 59)] {
        let terms = Terms {
            renew_every: seconds(every),
            renew_deadline: seconds(deadline),
            lease: seconds(deadline + 5),
            ..TERMS
        };
        let mut reign = Reign::begun(terms, seconds(0));
        let mut now = seconds(every);
        for hangs in 0..3 {
            let Step::Renew(within) = reign.next(now) else {
                panic!("after {hangs}, at {now:?}: {:?}", reign.next(now));
            };
            assert_eq!(within, terms.call_timeout(), "after {hangs}: {terms:?}");
            now += within;
            reign.hung(now);
        }
        assert!(now <= reign.may_begin_until());
    }
}

#[test]
fn a_leader_that_was_paused_gives_up_before_anything_else() {
    let reign = Reign::begun(TERMS, seconds(0));
    assert_eq!(reign.next(seconds(3_600)), Step::GiveUp);
}

/// The arithmetic that keeps two from writing at once, for other durations as well.
#[test]
fn r08_r09_nothing_that_the_old_leader_began_is_left_when_the_new_one_begins() {
    for (lease, every, deadline, request) in [(15, 5, 10, 30), (3, 1, 2, 2), (60, 2, 59, 1)] {
        let terms = Terms {
            lease: seconds(lease),
            renew_every: seconds(every),
            renew_deadline: seconds(deadline),
            longest_request: seconds(request),
        };
        let terms = terms.checked().unwrap();
        let old = Reign::begun(terms, seconds(0));
        // The server wrote it when it was sent, and the standby saw it in that very moment.
        let mut new = Candidate::new("me", terms);
        let mut now = Duration::ZERO;
        while let Move::Wait(wait) = new.sees(
            Some(Sighting {
                version: "1".into(),
                holder: Some("old".into()),
                wait_out: terms.wait_out(),
            }),
            now,
        ) {
            now += wait;
        }
        assert!(now > old.may_report_until(), "{terms:?}: {now:?}");
    }
}

#[test]
fn terms_that_let_two_lead_are_refused() {
    for (terms, error) in [
        (
            Terms {
                renew_every: seconds(10),
                ..TERMS
            },
            TermsError::RenewInterval,
        ),
        (
            Terms {
                renew_every: seconds(0),
                ..TERMS
            },
            TermsError::RenewInterval,
        ),
        (
            Terms {
                renew_deadline: seconds(15),
                ..TERMS
            },
            TermsError::RenewDeadline,
        ),
        (
            Terms {
                longest_request: seconds(90_000),
                ..TERMS
            },
            TermsError::TooLong,
        ),
    ] {
        assert_eq!(terms.checked(), Err(error));
    }
    assert_eq!(TERMS.checked(), Ok(TERMS));
}
