//! What is seen of a backend: read from any document, kept, and decided on. Whose account it is, what of
//! it is changed, and who is in a group.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use scim_operator::api::connection::Profile as ProfileName;
use scim_operator::api::group::Membership;
use scim_operator::directory::{Known, Stored, Users};
use scim_operator::domain::diff::{self, Knowledge, NOTHING_RESPELLED};
use scim_operator::domain::group::{
    DesiredGroup, GroupKnowledge, GroupPlan, Member, MemberPhase, MemberState, ObservedGroup,
    assume, plan_group, resolve,
};
use scim_operator::domain::identity::{AdoptionPolicy, Candidates, Identity, Wanted, identify};
use scim_operator::domain::leaver::{Leaver, Traces, leaver};
use scim_operator::domain::names;
use scim_operator::domain::observed::Observed;
use scim_operator::domain::validate::{Desired, Subject, validate};
use scim_operator::scim::types;
use serde_json::{Value, json};

use super::schema::{json as any_json, spoil};
use super::{config, profile};

const OWN: &str = "scim-operator:o:team/ada";
const CHOSEN: &str = "hr-7";

fn desired(office: bool, mobile: bool) -> Desired {
    let mut spec = json!({
        "connectionRef": {"name": "hr"}, "userName": "ada@example.com",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": "ada@example.com"}],
        "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en-GB",
    });
    if office {
        spec["office"] = json!("Leeds");
    }
    if mobile {
        spec["phoneNumbers"] = json!([{"type": "mobile", "value": "+447700900123"}]);
    }
    let subject = Subject {
        owner_id: "o",
        namespace: "team",
        name: "ada",
        manager_id: None,
        expired: false,
    };
    let spec = serde_json::from_value(spec).unwrap();
    validate(&spec, &profile(ProfileName::CybSafe), subject)
        .unwrap()
        .desired
}

/// An account as a backend may show it, whole or spoiled.
fn accounts() -> impl Strategy<Value = Value> {
    let whole = diff::create_body(&desired(true, true), &profile(ProfileName::CybSafe));
    let spoils = prop::collection::vec((any::<Index>(), 0u8..6, any_json()), 0..4);
    let spoiled = spoils.prop_map(move |spoils| {
        let mut account = whole.clone();
        account["id"] = json!("1");
        for (place, how, other) in spoils {
            spoil(&mut account, &place, how, other);
        }
        account
    });
    prop_oneof![5 => spoiled, 1 => any_json()]
}

fn observed() -> impl Strategy<Value = Observed> {
    let mark = select(vec![
        None,
        Some(OWN),
        Some("scim-operator:o:team/gone"),
        Some("scim-operator:o:team/bob"),
        Some("scim-operator:p:team/ada"),
        Some(CHOSEN),
        Some("hr-8"),
    ]);
    let name = select(vec![None, Some("ada"), Some("ADA"), Some("bob")]);
    ("[1-4]", mark, name).prop_map(|(id, mark, name)| Observed {
        id,
        external_id: mark.map(str::to_owned),
        user_name: name.map(str::to_owned),
        ..Observed::default()
    })
}

proptest! {
    #![proptest_config(config(file!()))]

    /// Whatever a backend shows, it is read as far as it can be, and one write puts it right: as it is
    /// assumed, and as a backend has it that keeps what it is sent.
    #[test]
    fn whatever_is_seen_one_write_puts_right(
        mut account in accounts(), office: bool, mobile: bool, was_office: bool, was_mobile: bool,
        spec_changed: bool, cybsafe: bool,
    ) {
        let profile = profile(if cybsafe { ProfileName::CybSafe } else { ProfileName::RFC7643 });
        let seen = Observed::read(&account, &profile);
        prop_assert_eq!(seen.is_some(), types::id_of(&account).is_some());
        let Some(seen) = seen else { return Ok(()) };
        let desired = desired(office, mobile);
        let managed: BTreeSet<String> = self::desired(was_office, was_mobile).attributes.into_keys().collect();
        let echoed: BTreeSet<String> = profile.iter().map(|(name, _)| name.to_owned()).collect();
        let knowledge = Knowledge { managed: &managed, echoed: &echoed, spec_changed, respelled: &NOTHING_RESPELLED };
        let changes = diff::changes(&desired, &seen, &profile, knowledge);
        let patch = diff::patch(&changes, &desired, &seen, &profile);
        prop_assert_eq!(patch.is_empty(), changes.is_empty());
        let assumed = diff::assume(&seen, &changes, &desired, &profile);
        diff::merge_into(&mut account, &changes);
        let put = Observed::read(&account, &profile).unwrap();
        let managed: BTreeSet<String> = desired.attributes.keys().cloned().collect();
        for (after, how) in [(assumed, "assumed"), (put, "put")] {
            let cleared = changes.iter().filter(|change| change.to.is_none());
            for change in cleared {
                prop_assert!(!after.attributes.contains_key(&change.attribute), "{}: {}", how, change.attribute);
            }
            let knowledge = Knowledge { managed: &managed, echoed: &echoed, spec_changed: false, respelled: &NOTHING_RESPELLED };
            let left = diff::changes(&desired, &after, &profile, knowledge);
            prop_assert_eq!(left, vec![], "{}: {}", how, account);
        }
    }

    /// Nobody takes what another resource's mark is on, or what another has recorded; nothing is taken by
    /// name or by a chosen mark without the policy; and two are never guessed between.
    #[test]
    fn nobody_takes_what_is_anothers(
        recorded in prop::option::of(observed()), adopt in prop::option::of(observed()),
        by_external_id in prop::collection::vec(observed(), 0..3), begun in prop::collection::vec(observed(), 0..3),
        by_name in prop::collection::vec(observed(), 0..3), held in "[1-4]?", chosen: bool,
        (external_id, name, by_id) in any::<(bool, bool, bool)>(),
    ) {
        let policy = AdoptionPolicy { external_id, name, by_id, explicit_external_id: chosen };
        let mut candidates = Candidates { recorded: recorded.clone(), adopt, by_external_id, begun: begun.clone(), by_name, ..Candidates::default() };
        candidates.judge("o", |_, name| name != "gone", |id| id == held);
        let wanted = Wanted { name: "ada", external_id: if chosen { CHOSEN } else { OWN }, own_mark: OWN };
        let (took, adopted) = match identify(&wanted, candidates, policy) {
            Identity::Ours(account) => (account, false),
            Identity::Adopted(account) => (account, true),
            _ => return Ok(()),
        };
        let mark = took.external_id.as_deref();
        prop_assert!(!matches!(mark, Some("scim-operator:o:team/bob" | "scim-operator:p:team/ada")), "{:?}", took);
        if adopted {
            // What a resource that is gone left behind goes to whoever claims the name.
            prop_assert!(external_id || name || by_id || mark == Some("scim-operator:o:team/gone"), "{:?}", took);
            prop_assert!(took.id != held, "another has it: {:?}", took);
        } else {
            let proven = recorded.as_ref() == Some(&took) || mark == Some(wanted.external_id) || begun.contains(&took);
            prop_assert!(proven, "{:?}", took);
            prop_assert!(recorded.is_some() || !chosen || took.id != held || mark == Some(OWN), "another has it: {:?}", took);
        }
    }

    /// A leaver is somebody certain; nobody is said on good evidence only.
    #[test]
    fn who_leaves_is_certain(
        recorded in prop::option::of(observed()), marked in prop::collection::vec(observed(), 0..3),
        begun in prop::collection::vec(observed(), 0..3), recorded_elsewhere: bool,
    ) {
        let traces = Traces { recorded: recorded.clone(), marked: marked.clone(), begun: begun.clone(), recorded_elsewhere };
        let ours = marked.iter().filter(|one| one.external_id.as_deref() == Some(OWN)).count();
        match leaver(traces, OWN, None, |mark| mark == "scim-operator:o:team/gone") {
            Leaver::One(one) => {
                prop_assert!(!names::is_mark_of_another(one.external_id.as_deref(), OWN) || one.external_id.as_deref() == Some("scim-operator:o:team/gone"));
                prop_assert!(recorded.as_ref() == Some(&one) || one.external_id.as_deref() == Some(OWN) || begun.contains(&one));
            }
            Leaver::Nobody => {
                prop_assert!(recorded.is_none() && !recorded_elsewhere);
                prop_assert_eq!(ours, 0);
            }
            Leaver::Unclear(_) => {}
        }
    }

    /// R05, R21: a listing never undoes what was learned after it began, and proves nobody's absence.
    #[test]
    fn r05_r21_a_listing_undoes_nothing_and_proves_no_absence(
        events in prop::collection::vec((0u8..7, observed(), prop::collection::vec(observed(), 0..4), any::<bool>()), 1..24),
    ) {
        let mut directory = Users::default();
        let mut marks: Vec<u64> = Vec::new();
        let mut learned: Vec<(String, u64)> = Vec::new();
        for (what, account, listed, complete) in events {
            match what {
                0 => marks.push(directory.begin_listing()),
                1 => {
                    let Some(mark) = marks.pop() else { continue };
                    let newer: Vec<(String, Known<Observed>)> = learned.iter().filter(|(_, step)| *step > mark).map(|(id, _)| (id.clone(), directory.by_id(id))).collect();
                    let known: Vec<String> = ["1", "2", "3", "4"].iter().filter(|id| directory.by_id(id) != Known::Unknown).map(|id| (*id).to_owned()).collect();
                    let listed = listed.into_iter().map(Stored::new).collect();
                    directory.finish_listing(mark, listed, complete);
                    for (id, before) in newer {
                        prop_assert_eq!(directory.by_id(&id), before);
                    }
                    for id in known {
                        prop_assert!(directory.by_id(&id) != Known::Unknown, "absence is no proof");
                    }
                    // Listings end in the order in which they began.
                    marks.clear();
                    learned.retain(|(_, step)| *step > mark);
                    continue;
                }
                2 | 3 => directory.put(account.clone()),
                4 => directory.put_assumed(account.clone()),
                5 => directory.remove(&account.id),
                // Of whom nothing is known there is nothing to doubt.
                _ if directory.by_id(&account.id) == Known::Unknown => continue,
                _ => directory.doubt(&account.id),
            }
            if what > 1 {
                learned.push((account.id.clone(), directory.step()));
            }
            if matches!(what, 2..=4) {
                prop_assert_eq!(directory.by_id(&account.id), Known::Present(account.clone()));
            }
            for found in directory.by_name("ada") {
                prop_assert_eq!(found.user_name.as_deref().map(names::fold_name), Some("ada".to_owned()));
                prop_assert!(directory.by_id(&found.id) != Known::Unknown);
            }
            for found in directory.by_external_id(OWN) {
                prop_assert_eq!(found.external_id.as_deref(), Some(OWN));
            }
        }
    }

    /// Members in any shape: nobody without an id, no nested group; and one write brings the group into
    /// step, but removes nobody while any member has no account (R19).
    #[test]
    fn r19_one_write_brings_any_group_into_step(
        entries in prop_oneof![any_json(), prop::collection::vec(prop_oneof![
            any_json(), "[a-e]?".prop_map(Value::from), (0u8..5).prop_map(Value::from),
            ("[a-e]", "User|group|Group", r"\.\./(Users|Groups)/[a-e]").prop_map(|(id, kind, place)| json!({"value": id, "type": kind, "$ref": place})),
            "[a-e]".prop_map(|id| json!({"VALUE": id})),
        ], 0..6).prop_map(Value::Array)],
        declared in prop::collection::vec(("[a-f]", prop::option::of("[a-f]?"), 0usize..4), 0..6),
        add_only: bool, name: bool,
    ) {
        let document = json!({"id": "g", "displayName": if name { "crew" } else { "Crew" }, "members": entries});
        let seen = ObservedGroup::read(&document, true).unwrap();
        let before = seen.members.clone().unwrap();
        prop_assert!(before.iter().all(|id| !id.is_empty()));
        let phases = [MemberPhase::NotFound, MemberPhase::Invalid, MemberPhase::Pending, MemberPhase::Settled];
        let members = declared.into_iter().map(|(key, id, phase)| Member { key, state: MemberState { id, phase: phases[phase], archived: false } });
        let resolved = resolve(members);
        prop_assert!(resolved.unresolved.len() <= 10 && resolved.unresolved.len() <= resolved.unresolved_total);
        let membership = if add_only { Membership::AddOnly } else { Membership::Exact };
        let desired = DesiredGroup { display_name: "crew".into(), external_id: OWN.into(), own_mark: OWN.into() };
        let knowledge = GroupKnowledge { external_id_echoed: true, spec_changed: true, members_changed: true, applied: None };
        let after = match plan_group(&desired, &resolved, membership, Identity::Ours(seen), knowledge) {
            GroupPlan::Update { group, changes, delta, .. } => {
                prop_assert!(delta.add.iter().all(|id| !before.contains(id)));
                prop_assert!(delta.remove.iter().all(|id| before.contains(id) && !resolved.wanted.contains(id)));
                prop_assert!(delta.remove.is_empty() || (resolved.all() && !add_only), "R19");
                assume(&group, &changes, &delta)
            }
            GroupPlan::Noop(group) => group,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert!(after.members.as_ref().unwrap().is_superset(&resolved.wanted));
        let again = plan_group(&desired, &resolved, membership, Identity::Ours(after), knowledge);
        prop_assert!(matches!(again, GroupPlan::Noop(_)), "{:?}", again);
    }
}
