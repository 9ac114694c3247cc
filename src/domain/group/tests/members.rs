//! Who counts as resolved, what is counted, and what is said of the rest.

use super::*;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::group::MemberCounts;
use crate::domain::conditions::Verdict;
use MemberPhase::{Invalid, NotFound, Pending, Settled};

fn member(key: &str, id: Option<&str>, phase: MemberPhase) -> Member {
    Member {
        key: key.into(),
        state: MemberState {
            id: id.map(str::to_owned),
            phase,
            archived: false,
        },
    }
}

fn archived(mut member: Member) -> Member {
    member.state.archived = true;
    member
}

#[test]
fn the_worst_of_those_without_an_account_decides_the_reason() {
    let settled = || member("t/ada", Some("1"), Settled);
    let pending = || member("t/bob", None, Pending);
    let invalid = || member("t/cid", None, Invalid);
    let missing = || member("t/dan", None, NotFound);
    for (members, reason, message, why) in [
        (
            vec![],
            Reason::AllResolved,
            "no members are declared",
            "an empty group",
        ),
        (
            vec![settled()],
            Reason::AllResolved,
            "every member has an account",
            "all is well",
        ),
        (
            vec![archived(settled()), member("t/eve", Some("2"), Settled)],
            Reason::AllResolved,
            "every member has an account; 1 archived",
            "who is archived stays a member",
        ),
        (
            vec![member("t/ada", Some("1"), Invalid)],
            Reason::AllResolved,
            "every member has an account",
            "invalid now, but the account is there",
        ),
        (
            vec![settled(), pending()],
            Reason::MembersPending,
            "1 of 2 members have no account: pending: t/bob",
            "on its way",
        ),
        (
            vec![member("t/ada", None, Settled)],
            Reason::MembersPending,
            "1 of 1 members have no account: pending: t/ada",
            "in step without an account, as in DryRun",
        ),
        (
            vec![member("t/ada", Some(""), Settled)],
            Reason::MembersPending,
            "1 of 1 members have no account: pending: t/ada",
            "an empty id is none",
        ),
        (
            vec![pending(), invalid()],
            Reason::MembersInvalid,
            "2 of 2 members have no account: invalid: t/cid; pending: t/bob",
            "somebody has to mend it",
        ),
        (
            vec![pending(), invalid(), missing(), settled()],
            Reason::MembersNotFound,
            "3 of 4 members have no account: not declared: t/dan; invalid: t/cid; pending: t/bob",
            "the worst comes first",
        ),
        (
            vec![missing(), member("a/zoe", None, NotFound), settled()],
            Reason::MembersNotFound,
            "2 of 3 members have no account: not declared: a/zoe, t/dan",
            "sorted, so that the message is stable",
        ),
    ] {
        let resolved = resolve(members);
        let kind = ConditionType::MembersResolved;
        let expected = if reason == Reason::AllResolved {
            Verdict::yes(kind, reason, message)
        } else {
            Verdict::no(kind, reason, message)
        };
        assert_eq!(resolved.verdict, expected, "{why}");
        assert_eq!(resolved.all(), reason == Reason::AllResolved, "{why}");
    }
}

#[test]
fn ten_are_named_in_order_and_the_others_counted() {
    let many = |from: usize, to: usize, phase| {
        (from..to).map(move |n| member(&format!("t/u{n:02}"), None, phase))
    };
    for (members, names, message, why) in [
        (
            many(0, 10, Pending).collect::<Vec<_>>(),
            10,
            "pending: t/u00, t/u01, t/u02, t/u03, t/u04, t/u05, t/u06, t/u07, t/u08, t/u09",
            "ten fit",
        ),
        (
            many(0, 12, Pending).rev().collect(),
            10,
            "pending: t/u00, t/u01, t/u02, t/u03, t/u04, t/u05, t/u06, t/u07, t/u08, t/u09 and 2 more",
            "two do not, in whatever order they come",
        ),
        (
            many(0, 8, Pending).chain(many(8, 11, NotFound)).collect(),
            10,
            "not declared: t/u08, t/u09, t/u10; pending: t/u00, t/u01, t/u02, t/u03, t/u04, t/u05, t/u06 and 1 more",
            "those who need somebody are named first",
        ),
        (
            many(0, 8, Pending).chain(many(8, 18, Invalid)).collect(),
            10,
            "invalid: t/u08, t/u09, t/u10, t/u11, t/u12, t/u13, t/u14, t/u15, t/u16, t/u17; pending: 8",
            "no names left",
        ),
    ] {
        let total = members.len();
        let resolved = resolve(members);
        let expected = format!("{total} of {total} members have no account: {message}");
        assert_eq!(resolved.verdict.message, expected, "{why}");
        assert_eq!(resolved.unresolved_total, total, "{why}");
        assert_eq!(resolved.unresolved.len(), names, "{why}");
        assert!(resolved.unresolved.is_sorted(), "{why}");
        assert_eq!(resolved.unresolved[0], "t/u00", "{why}");
    }
}

#[test]
fn members_are_counted_by_state() {
    let resolved = resolve([
        member("t/ada", Some("1"), Settled),
        member("t/ada", Some("1"), Settled),
        member("t/ann", Some("1"), Settled),
        archived(member("t/bob", Some("2"), Settled)),
        member("t/cid", Some("3"), Invalid),
        member("t/dan", None, Invalid),
        archived(member("t/eve", None, Pending)),
        member("t/fay", None, NotFound),
    ]);
    assert_eq!(
        resolved.wanted,
        ids(&["1", "2", "3"]),
        "two members are one account"
    );
    let counts = MemberCounts {
        desired: 7,
        synced: 0,
        pending: 2,
        invalid: 2,
        archived: 1,
    };
    assert_eq!(
        resolved.counts, counts,
        "named twice counts once; invalid is not pending"
    );
    let seen = resolved.counted(&ids(&["1", "2", "x"]));
    let expected = MemberCounts {
        synced: 3,
        ..counts
    };
    assert_eq!(
        seen, expected,
        "both who are account 1, and bob; x is not declared"
    );
    assert_eq!(resolved.unresolved, ["t/dan", "t/eve", "t/fay"]);
}
