//! The word and the attributes of every plan, its cause, and the ways to part.

use super::*;
use crate::api::common::PlanStatus;
use crate::api::group::GroupDeletionPolicy;
use crate::api::group::Membership::{self, AddOnly, Exact};
use crate::domain::plan::Cause;

/// In step since it was last written, on a backend that returns marks and members.
const SETTLED: GroupKnowledge<'static> = GroupKnowledge {
    external_id_echoed: true,
    spec_changed: false,
    members_changed: false,
    applied: None,
};

fn resolved(with: &[&str], without: &[&str]) -> Resolved {
    let member = |key: &&str, id: Option<&&str>| Member {
        key: format!("t/{key}"),
        state: MemberState {
            id: id.map(|id| (*id).to_owned()),
            phase: MemberPhase::Pending,
            archived: false,
        },
    };
    let with = with.iter().map(|id| member(id, Some(id)));
    resolve(with.chain(without.iter().map(|key| member(key, None))))
}

fn planned(
    members: &Resolved,
    membership: Membership,
    identity: Identity<ObservedGroup>,
    knowledge: GroupKnowledge<'_>,
) -> GroupPlan {
    plan_group(&engineering(), members, membership, identity, knowledge)
}

fn seen(name: &str, mark: Option<&str>, members: Option<&[&str]>) -> ObservedGroup {
    group("g", name, mark, members)
}

fn in_step() -> ObservedGroup {
    seen("Engineering", Some(MARK), Some(&["a", "b"]))
}

#[test]
fn every_plan_has_its_word_and_names_attributes() {
    use Identity::{Adopted, AdoptionRequired, Ambiguous, Nobody, Ours, OwnedByOther};
    let others = || seen("engineering", Some("hr-7"), Some(&["a", "x"]));
    for (identity, action, names, why) in [
        (Ours(in_step()), "Noop", None, "in step"),
        (
            Adopted(in_step()),
            "Noop",
            None,
            "taken over and in step already",
        ),
        (
            Nobody,
            "Create",
            Some(&["displayName", "externalId", "members"][..]),
            "no group yet",
        ),
        (
            Ours(seen("engineering", Some(MARK), Some(&["a", "b"]))),
            "Update",
            Some(&["displayName"]),
            "a change of case is a change",
        ),
        (
            Ours(seen("Engineering", Some("hr-7"), Some(&["a", "b"]))),
            "Update",
            Some(&["externalId"]),
            "another mark",
        ),
        (
            Ours(seen("Engineering", Some(MARK), Some(&["a"]))),
            "Update",
            Some(&["members"]),
            "one is missing",
        ),
        (
            Ours(seen("Engineering", Some(MARK), Some(&["a", "b", "x"]))),
            "Update",
            Some(&["members"]),
            "one too many",
        ),
        (
            Adopted(others()),
            "Adopt",
            Some(&["displayName", "externalId", "members"]),
            "taken over and put in step",
        ),
        (
            Ours(seen("Old", Some(MARK), None)),
            "Wait",
            Some(&[]),
            "its members have to be read first",
        ),
        (AdoptionRequired, "Wait", Some(&[]), "blocked"),
        (OwnedByOther, "Wait", Some(&[]), "blocked"),
        (Ambiguous, "Wait", Some(&[]), "blocked"),
    ] {
        let members = resolved(&["a", "b"], &[]);
        let plan = planned(&members, Exact, identity, SETTLED);
        assert_eq!(plan.action(), action, "{why}");
        let expected = names.map(|names| PlanStatus {
            action: action.into(),
            attributes: list(names),
        });
        assert_eq!(plan.status(&members), expected, "{why}");
    }
    let nobody = resolved(&[], &["bob"]);
    let status = planned(&nobody, Exact, Nobody, SETTLED)
        .status(&nobody)
        .unwrap();
    assert_eq!(
        status.attributes,
        ["displayName", "externalId"],
        "nobody to add yet"
    );
}

#[test]
fn blocked_plans_keep_what_blocks_them_and_a_look_keeps_the_group() {
    let members = resolved(&["a"], &[]);
    for identity in [
        Identity::AdoptionRequired,
        Identity::OwnedByOther,
        Identity::Ambiguous,
    ] {
        let plan = planned(&members, Exact, identity.clone(), SETTLED);
        assert_eq!(plan, GroupPlan::Blocked(identity));
    }
    let unknown = seen("Engineering", Some(MARK), None);
    for identity in [
        Identity::Ours(unknown.clone()),
        Identity::Adopted(unknown.clone()),
    ] {
        let plan = planned(&members, AddOnly, identity, SETTLED);
        assert_eq!(
            plan,
            GroupPlan::Look(unknown.clone()),
            "members are added to what is known"
        );
    }
}

#[test]
fn the_delta_follows_the_membership_and_who_is_resolved() {
    let have = || Identity::Ours(seen("Engineering", Some(MARK), Some(&["a", "x"])));
    for (members, membership, add, remove, why) in [
        (
            resolved(&["a", "b"], &[]),
            Exact,
            &["b"][..],
            &["x"][..],
            "all resolved",
        ),
        (
            resolved(&["a", "b"], &["cid"]),
            Exact,
            &["b"],
            &[],
            "cid may be x (R19)",
        ),
        (
            resolved(&["a", "b"], &[]),
            AddOnly,
            &["b"],
            &[],
            "never removes",
        ),
        (
            resolved(&[], &[]),
            Exact,
            &[],
            &["a", "x"],
            "an empty group was declared",
        ),
    ] {
        let GroupPlan::Update {
            group,
            changes,
            delta,
            cause,
        } = planned(&members, membership, have(), SETTLED)
        else {
            panic!("{why}")
        };
        assert_eq!(Identity::Ours(group), have(), "{why}");
        assert!(changes.is_empty(), "{why}");
        assert_eq!(
            (delta.add, delta.remove),
            (list(add), list(remove)),
            "{why}"
        );
        assert_eq!(cause, Cause::Drift, "{why}");
    }
    for (members, membership) in [
        (resolved(&["a"], &["cid"]), Exact),
        (resolved(&["a"], &[]), AddOnly),
    ] {
        let plan = planned(&members, membership, have(), SETTLED);
        assert_eq!(plan.action(), "Noop", "x stays, and nothing is to be done");
    }
}

#[test]
fn members_that_are_never_returned_are_those_we_added() {
    let applied = ids(&["a", "x"]);
    let knowledge = GroupKnowledge {
        applied: Some(&applied),
        ..SETTLED
    };
    for (shown, why) in [
        (Some(&[][..]), "a GET shows none"),
        (None, "nor does a listing: no need to look"),
    ] {
        let ours = Identity::Ours(seen("Engineering", Some(MARK), shown));
        let GroupPlan::Update { delta, .. } =
            planned(&resolved(&["a", "b"], &[]), Exact, ours, knowledge)
        else {
            panic!("{why}")
        };
        assert_eq!(
            (delta.add, delta.remove),
            (list(&["b"]), list(&["x"])),
            "{why}"
        );
    }
}

#[test]
fn a_mark_that_does_not_come_back_is_written_with_the_spec_and_is_no_drift() {
    let unmarked = || seen("Engineering", None, Some(&[]));
    let nameless = || ObservedGroup {
        display_name: None,
        ..in_step()
    };
    let (echoed, silent) = (true, false);
    for (group, external_id_echoed, spec_changed, written, why) in [
        (unmarked(), silent, false, &[][..], "nobody can see it"),
        (
            unmarked(),
            silent,
            true,
            &["externalId"],
            "the spec may have changed it",
        ),
        (
            unmarked(),
            echoed,
            false,
            &["externalId"],
            "somebody took it away",
        ),
        (
            seen("Engineering", Some("hr-7"), Some(&[])),
            silent,
            false,
            &["externalId"],
            "it came back after all, and differs",
        ),
        (
            nameless(),
            echoed,
            false,
            &[],
            "a displayName that is never shown",
        ),
        (
            nameless(),
            echoed,
            true,
            &["displayName"],
            "the spec may have changed it",
        ),
    ] {
        let knowledge = GroupKnowledge {
            external_id_echoed,
            spec_changed,
            ..SETTLED
        };
        let nobody = resolved(&[], &["bob"]);
        let plan = planned(&nobody, Exact, Identity::Ours(group), knowledge);
        let attributes = plan
            .status(&nobody)
            .map_or_else(Vec::new, |status| status.attributes);
        assert_eq!(attributes, written, "{why}");
    }
}

#[test]
fn a_new_mark_replaces_one_that_shows_and_is_added_where_none_does() {
    for (mark, marked) in [(Some("hr-7"), true), (None, false)] {
        let ours = Identity::Ours(seen("Engineering", mark, Some(&[])));
        let expected = GroupChanges {
            display_name: None,
            external_id: Some(MARK.into()),
            marked,
        };
        match planned(&resolved(&[], &[]), Exact, ours, SETTLED) {
            GroupPlan::Update { changes, .. } => assert_eq!(changes, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_cause_of_an_update_is_told_apart() {
    let short = || seen("Engineering", Some(MARK), Some(&["a"]));
    let renamed = || seen("Old", Some(MARK), Some(&["a", "b"]));
    let ours = Identity::Ours;
    for (identity, spec_changed, members_changed, expected, why) in [
        (
            ours(short()),
            false,
            false,
            Cause::Drift,
            "the backend moved",
        ),
        (ours(short()), true, false, Cause::Spec, "the spec moved"),
        (
            ours(short()),
            false,
            true,
            Cause::Spec,
            "b has an account now",
        ),
        (
            ours(renamed()),
            false,
            true,
            Cause::Drift,
            "who has an account now explains no name",
        ),
        (
            Identity::Adopted(short()),
            true,
            true,
            Cause::Adoption,
            "taken over",
        ),
    ] {
        let knowledge = GroupKnowledge {
            spec_changed,
            members_changed,
            ..SETTLED
        };
        match planned(&resolved(&["a", "b"], &[]), Exact, identity, knowledge) {
            GroupPlan::Update { cause, .. } => assert_eq!(cause, expected, "{why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn acting_once_is_enough() {
    let members = resolved(&["a", "b"], &[]);
    let before = seen("Old", None, Some(&["b", "x"]));
    let GroupPlan::Update {
        group,
        changes,
        delta,
        ..
    } = planned(&members, Exact, Identity::Adopted(before), SETTLED)
    else {
        panic!("everything differs")
    };
    let after = assume(&group, &changes, &delta);
    let again = planned(&members, Exact, Identity::Ours(after.clone()), SETTLED);
    assert_eq!(again, GroupPlan::Noop(after));
}

#[test]
fn parting_follows_the_policy_or_else_who_made_the_group() {
    use GroupDeletionPolicy::{Delete, Retain};
    let (ours, adopted) = (false, true);
    let delete = || GroupFarewell::Delete(in_step());
    for (policy, adopted, group, expected, why) in [
        (None, ours, Some(in_step()), delete(), "we made it"),
        (
            None,
            adopted,
            Some(in_step()),
            GroupFarewell::Forget,
            "it was there before",
        ),
        (Some(Delete), adopted, Some(in_step()), delete(), "opted in"),
        (
            Some(Retain),
            ours,
            Some(in_step()),
            GroupFarewell::Forget,
            "left as it is",
        ),
        (
            Some(Delete),
            ours,
            None,
            GroupFarewell::Forget,
            "gone already",
        ),
        (None, ours, None, GroupFarewell::Forget, "gone already"),
    ] {
        assert_eq!(farewell_group(policy, adopted, group), expected, "{why}");
    }
}
