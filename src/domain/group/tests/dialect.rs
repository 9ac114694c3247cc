//! What is learned from what servers do, from the first removal to the last.

use super::*;
use crate::api::connection::MemberRemoval;
use Outcome::{Ignored, Wiped, Works};
use Removal::{Broken, TryValue, Unknown, Value as ByValue};

const BY_FILTER: Form = Form::Filter;
const BY_VALUE: Form = Form::Value;

fn learn(
    state: Removal,
    form: Form,
    asked: &[&str],
    before: &[&str],
    after: &[&str],
) -> (Outcome, Removal) {
    let (asked, before, after) = (list(asked), ids(before), ids(after));
    state.learn(&Trial {
        form,
        asked: &asked,
        before: &before,
        after: &after,
    })
}

#[test]
fn what_came_of_a_removal_is_read_from_before_and_after() {
    for (asked, before, after, expected, why) in [
        (
            &["a"][..],
            &["a", "b"][..],
            &["b"][..],
            Works,
            "a is gone, b is not",
        ),
        (
            &["a"],
            &["a", "b"],
            &["b", "c"],
            Works,
            "somebody added c meanwhile",
        ),
        (
            &["a"],
            &["a", "b"],
            &["a", "b"],
            Ignored,
            "answered 200, and nothing happened",
        ),
        (
            &["a", "b"],
            &["a", "b", "c"],
            &["b", "c"],
            Ignored,
            "only the first operation was read",
        ),
        (&["a"], &["a", "b", "c"], &[], Wiped, "everybody is gone"),
        (
            &["a"],
            &["a", "b", "c"],
            &["a", "b"],
            Wiped,
            "the wrong one is gone",
        ),
        (&["a"], &["a"], &[], Works, "the last one is gone"),
        (&["x"], &["a"], &["a"], Works, "who was no member is none"),
        (&["x"], &["a"], &[], Wiped, "who was no member cost one"),
    ] {
        assert_eq!(
            learn(Unknown, BY_FILTER, asked, before, after).0,
            expected,
            "{why}"
        );
    }
}

#[test]
fn every_outcome_leads_to_the_next_dialect() {
    // Of a and b, a is asked to go.
    let (works, ignored, wiped) = (&["b"][..], &["a", "b"][..], &[][..]);
    for (state, form, after, next, why) in [
        (
            Unknown,
            BY_FILTER,
            works,
            Removal::Filter,
            "as RFC 7644 has it",
        ),
        (
            Unknown,
            BY_FILTER,
            ignored,
            TryValue,
            "goauthentik/authentik#24173",
        ),
        (
            Unknown,
            BY_FILTER,
            wiped,
            Unknown,
            "others went meanwhile by themselves: tried again",
        ),
        (TryValue, BY_VALUE, works, ByValue, "what this server wants"),
        (TryValue, BY_VALUE, ignored, Broken, "ignored as well"),
        (
            TryValue,
            BY_VALUE,
            wiped,
            Broken,
            "goauthentik/authentik#23798",
        ),
        (Removal::Filter, BY_FILTER, works, Removal::Filter, "still"),
        (
            Removal::Filter,
            BY_FILTER,
            ignored,
            Unknown,
            "proven before: look again",
        ),
        (
            Removal::Filter,
            BY_FILTER,
            wiped,
            Unknown,
            "proven before: look again",
        ),
        (ByValue, BY_VALUE, works, ByValue, "still"),
        (
            ByValue,
            BY_VALUE,
            ignored,
            TryValue,
            "proven before: look again",
        ),
        (ByValue, BY_VALUE, wiped, Broken, "never again"),
        (Unknown, BY_VALUE, wiped, Broken, "whoever asked for it"),
        (Unknown, BY_VALUE, works, Unknown, "not what is on trial"),
        (
            Broken,
            BY_VALUE,
            works,
            Broken,
            "one success does not bring anybody back",
        ),
        (Broken, BY_FILTER, works, Broken, "for good"),
    ] {
        assert_eq!(
            learn(state, form, &["a"], &["a", "b"], after).1,
            next,
            "{why}"
        );
    }
}

#[test]
fn a_success_that_proves_nothing_teaches_nothing() {
    for (state, form) in [(Unknown, BY_FILTER), (TryValue, BY_VALUE)] {
        for (before, why) in [
            (
                &["a"][..],
                "removing the last one and removing everybody look the same",
            ),
            (&["b"], "who was no member cannot be removed"),
        ] {
            let after: Vec<&str> = before.iter().copied().filter(|id| *id != "a").collect();
            assert_eq!(
                learn(state, form, &["a"], before, &after),
                (Works, state),
                "{why}"
            );
        }
        assert!(
            state.is_on_trial(),
            "so that the next one is read back as well"
        );
    }
}

#[test]
fn a_refusal_is_as_good_as_being_ignored() {
    for (state, form, next, why) in [
        (Unknown, BY_FILTER, TryValue, "the path is not understood"),
        (TryValue, BY_VALUE, Broken, "neither is the list"),
        (
            Removal::Filter,
            BY_FILTER,
            Removal::Filter,
            "proven before: it is about this request",
        ),
        (
            ByValue,
            BY_VALUE,
            ByValue,
            "proven before: it is about this request",
        ),
        (Unknown, BY_VALUE, Unknown, "not what is on trial"),
        (Broken, BY_FILTER, Broken, "for good"),
    ] {
        assert_eq!(state.refused(form), next, "{why}");
    }
}

#[test]
fn a_dialect_has_its_form_its_word_and_its_trial() {
    for (state, form, word, on_trial) in [
        (Unknown, Some(BY_FILTER), "Unknown", true),
        (TryValue, Some(BY_VALUE), "Unknown", true),
        (Removal::Filter, Some(BY_FILTER), "Filter", false),
        (ByValue, Some(BY_VALUE), "Value", false),
        (Broken, None, "Broken", false),
    ] {
        assert_eq!(state.form(), form, "{state:?}");
        assert_eq!(state.as_str(), word, "{state:?}");
        assert_eq!(state.is_on_trial(), on_trial, "{state:?}");
        let after_a_restart = if on_trial { Unknown } else { state };
        assert_eq!(Removal::parse(word), after_a_restart, "{state:?}");
        assert_eq!(state.under(MemberRemoval::Auto), state, "learned");
        assert_eq!(
            state.under(MemberRemoval::Filter),
            Removal::Filter,
            "chosen"
        );
        assert_eq!(state.under(MemberRemoval::Value), ByValue, "chosen");
    }
}

#[test]
fn whether_members_are_returned_is_learned() {
    use MembersEcho::{NotReturned, Returned, Unknown};
    for (state, added, after, next, why) in [
        (
            Unknown,
            &["a"][..],
            &[][..],
            NotReturned,
            "added, and not shown",
        ),
        (Unknown, &["a"], &["a"], Returned, "added and shown"),
        (Unknown, &[], &[], Unknown, "nobody to show"),
        (
            Returned,
            &["a"],
            &[],
            Returned,
            "shown before: removed again meanwhile",
        ),
        (NotReturned, &["a"], &["b"], Returned, "shown after all"),
        (NotReturned, &["a"], &[], NotReturned, "still"),
    ] {
        assert_eq!(state.read_back(&list(added), &ids(after)), next, "{why}");
    }
    for (state, seen, next) in [
        (Unknown, &[][..], Unknown),
        (Unknown, &["a"], Returned),
        (NotReturned, &[], NotReturned),
        (NotReturned, &["a"], Returned),
    ] {
        assert_eq!(state.saw(&ids(seen)), next);
    }
    for state in [Unknown, Returned, NotReturned] {
        assert_eq!(MembersEcho::parse(state.as_str()), state);
    }
}
