//! Transition times, the clip, and the summary that kstatus reads.

use super::*;

fn at(second: i64) -> Time {
    Time(jiff::Timestamp::from_second(second).unwrap())
}

fn ready(status: &'static str, reason: Reason, message: &str) -> Verdict {
    Verdict {
        kind: ConditionType::Ready,
        status,
        reason,
        message: message.into(),
    }
}

/// What `verdict` was written as at second 1, generation 1.
fn before(verdict: Verdict) -> Vec<Condition> {
    merge(&[], vec![verdict], Some(1), &at(1))
}

#[test]
fn a_transition_time_moves_only_with_the_status() {
    let old = || ready("True", Reason::Synced, "in step");
    for (new, since, why) in [
        (old(), 1, "nothing changed"),
        (
            ready("True", Reason::Suspended, "in step"),
            1,
            "another reason is no transition",
        ),
        (
            ready("True", Reason::Synced, "still in step"),
            1,
            "another message is no transition",
        ),
        (
            ready("False", Reason::Synced, "in step"),
            2,
            "no longer true",
        ),
        (
            ready("Unknown", Reason::Synced, "in step"),
            2,
            "no longer known",
        ),
    ] {
        let merged = merge(&before(old()), vec![new.clone()], Some(7), &at(2));
        let expected = Condition {
            type_: "Ready".into(),
            status: new.status.into(),
            reason: new.reason.as_str().into(),
            message: new.message,
            observed_generation: Some(7),
            last_transition_time: at(since),
        };
        assert_eq!(merged, [expected], "{why}");
    }
}

#[test]
fn a_condition_is_compared_with_its_own_type_only() {
    let old = before(Verdict::yes(ConditionType::Valid, Reason::Accepted, ""));
    let merged = merge(&old, vec![ready("True", Reason::Synced, "")], None, &at(2));
    assert_eq!(
        merged[0].last_transition_time,
        at(2),
        "Ready is new, Valid is as old as before"
    );
}

#[test]
fn a_condition_that_is_no_longer_given_goes() {
    let old = before(Verdict::yes(
        ConditionType::Reconciling,
        Reason::Pending,
        "",
    ));
    let merged = merge(&old, vec![ready("True", Reason::Synced, "")], None, &at(2));
    let kinds: Vec<_> = merged.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(kinds, ["Ready"]);
}

#[test]
fn verdicts_say_their_status() {
    for (verdict, status) in [
        (
            Verdict::yes(ConditionType::Valid, Reason::Accepted, "m"),
            "True",
        ),
        (
            Verdict::no(ConditionType::Valid, Reason::SpecInvalid, "m"),
            "False",
        ),
        (
            Verdict::unknown(ConditionType::Valid, Reason::Unknown, "m"),
            "Unknown",
        ),
    ] {
        assert_eq!(verdict.status, status);
        assert_eq!(verdict.message, "m");
    }
}

#[test]
fn long_messages_are_clipped_by_characters() {
    for (length, kept, why) in [
        (0, 0, "empty"),
        (1023, 1023, "short"),
        (1024, 1024, "at the limit"),
        (1025, 1023, "one too many, and the ellipsis"),
        (40_000, 1023, "more than the API server takes"),
    ] {
        // Two bytes a character: a clip by bytes would split one.
        let message = "é".repeat(length);
        let condition = &before(ready("False", Reason::Invalid, &message))[0];
        let ellipsis = if length > 1024 { "…" } else { "" };
        assert_eq!(
            condition.message,
            format!("{}{ellipsis}", "é".repeat(kept)),
            "{why}"
        );
    }
}

#[test]
fn the_summary_comes_first_and_tells_kstatus_what_to_wait_for() {
    let valid = Verdict::yes(ConditionType::Valid, Reason::Accepted, "accepted");
    for (outlook, extra, why) in [
        (Outlook::Settled, None, "nothing is under way"),
        (
            Outlook::Moving,
            Some(ConditionType::Reconciling),
            "it moves by itself",
        ),
        (
            Outlook::Stuck,
            Some(ConditionType::Stalled),
            "it waits for a human",
        ),
    ] {
        let not_ready = ready("False", Reason::Pending, "the manager has no account yet");
        let mut expected = vec![not_ready.clone(), valid.clone()];
        expected.extend(
            extra.map(|kind| Verdict::yes(kind, Reason::Pending, "the manager has no account yet")),
        );
        let got = with_summary(vec![valid.clone()], not_ready, outlook);
        assert_eq!(got, expected, "{why}");
    }
}
