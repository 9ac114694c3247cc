//! The word and the attributes of every plan, its cause, and the ways to part.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::api::connection::Profile as ProfileName;

fn profile() -> Profile {
    Profile::resolve(ProfileName::RFC7643, &[]).unwrap()
}

fn attributes(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
    let identity = [("userName", json!("ada")), ("externalId", json!("m"))];
    identity
        .iter()
        .chain(pairs)
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn wanted(active: bool, title: &str) -> Desired {
    Desired {
        user_name: "ada".into(),
        external_id: "m".into(),
        own_mark: "m".into(),
        active,
        attributes: attributes(&[("active", json!(active)), ("title", json!(title))]),
    }
}

fn account(active: bool, title: &str) -> Observed {
    Observed {
        id: "1".into(),
        user_name: Some("ada".into()),
        external_id: Some("m".into()),
        active: Some(active),
        attributes: wanted(active, title).attributes,
        ..Observed::default()
    }
}

fn all() -> BTreeSet<String> {
    profile().iter().map(|(name, _)| name.to_owned()).collect()
}

fn planned(desired: &Desired, identity: Identity<Observed>, spec_changed: bool) -> Plan {
    let all = all();
    let knowledge = Knowledge {
        managed: &all,
        echoed: &all,
        spec_changed,
        respelled: &diff::NOTHING_RESPELLED,
    };
    plan(desired, identity, &profile(), knowledge)
}

#[test]
fn every_plan_has_its_word_and_names_attributes() {
    let everything = ["active", "externalId", "title", "userName"];
    let same = || account(true, "Countess");
    for (desired, identity, action, names, why) in [
        (
            wanted(true, "Countess"),
            Identity::Ours(same()),
            "Noop",
            None,
            "in step",
        ),
        (
            wanted(true, "Countess"),
            Identity::Adopted(same()),
            "Noop",
            None,
            "taken over and in step already",
        ),
        (
            wanted(true, "Countess"),
            Identity::Nobody,
            "Create",
            Some(&everything[..]),
            "no account yet",
        ),
        (
            wanted(true, "Dr"),
            Identity::Ours(same()),
            "Update",
            Some(&["title"]),
            "one attribute differs",
        ),
        (
            wanted(true, "Dr"),
            Identity::Adopted(same()),
            "Adopt",
            Some(&["title"]),
            "taken over and put in step",
        ),
        (
            wanted(false, "Countess"),
            Identity::Ours(same()),
            "Archive",
            Some(&["active"]),
            "a leaver",
        ),
        (
            wanted(false, "Dr"),
            Identity::Ours(same()),
            "Archive",
            Some(&["active", "title"]),
            "the leaving names the plan",
        ),
        (
            wanted(true, "Countess"),
            Identity::Ours(account(false, "Countess")),
            "Reactivate",
            Some(&["active"]),
            "a returner",
        ),
        (
            wanted(true, "Countess"),
            Identity::Adopted(account(false, "Countess")),
            "Adopt",
            Some(&["active"]),
            "taking over is said first",
        ),
        (
            wanted(true, "Dr"),
            Identity::AdoptionRequired,
            "Wait",
            Some(&[]),
            "blocked",
        ),
        (
            wanted(true, "Dr"),
            Identity::OwnedByOther,
            "Wait",
            Some(&[]),
            "blocked",
        ),
        (
            wanted(true, "Dr"),
            Identity::Ambiguous,
            "Wait",
            Some(&[]),
            "blocked",
        ),
    ] {
        let plan = planned(&desired, identity, true);
        assert_eq!(plan.action(), action, "{why}");
        let expected = names.map(|names| PlanStatus {
            action: action.into(),
            attributes: names.iter().map(|name| (*name).to_owned()).collect(),
        });
        assert_eq!(plan.status(&desired), expected, "{why}");
    }
}

#[test]
fn blocked_plans_keep_what_blocks_them() {
    for identity in [
        Identity::AdoptionRequired,
        Identity::OwnedByOther,
        Identity::Ambiguous,
    ] {
        assert_eq!(
            planned(&wanted(true, "Dr"), identity.clone(), true),
            Plan::Blocked(identity)
        );
    }
}

#[test]
fn the_cause_of_an_update_is_told_apart() {
    let none = BTreeSet::new();
    let managed = all();
    let ours = || Identity::Ours(account(true, "Countess"));
    let taken = || Identity::Adopted(account(true, "Countess"));
    for (identity, managed, spec_changed, expected, why) in [
        (ours(), &managed, true, Cause::Spec, "the spec moved"),
        (ours(), &managed, false, Cause::Drift, "the backend moved"),
        (
            ours(),
            &none,
            false,
            Cause::Spec,
            "never written before, so nobody changed it back",
        ),
        (taken(), &managed, true, Cause::Adoption, "taken over"),
        (taken(), &none, false, Cause::Adoption, "taken over"),
    ] {
        let echoed = all();
        let knowledge = Knowledge {
            managed,
            echoed: &echoed,
            spec_changed,
            respelled: &diff::NOTHING_RESPELLED,
        };
        let desired = wanted(true, "Dr");
        match plan(&desired, identity, &profile(), knowledge) {
            Plan::Update {
                cause,
                changes,
                account: seen,
            } => {
                assert_eq!(cause, expected, "{why}");
                assert_eq!(changes.len(), 1, "{why}");
                assert_eq!(seen, account(true, "Countess"), "{why}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn status_names_attributes_and_never_their_values() {
    let status = planned(&wanted(true, "Countess"), Identity::Nobody, true)
        .status(&wanted(true, "Countess"))
        .unwrap();
    let shown = serde_json::to_string(&status).unwrap();
    assert!(!shown.contains("Countess") && !shown.contains("ada"));
}

#[test]
fn parting_follows_the_deletion_policy() {
    use DeletionPolicy::{Archive, Delete, Retain};
    let (active, archived) = (account(true, "Dr"), account(false, "Dr"));
    let silent = Observed {
        active: None,
        ..account(true, "Dr")
    };
    for (policy, account, expected, why) in [
        (
            Archive,
            Some(active.clone()),
            Farewell::Archive(active.clone()),
            "the default",
        ),
        (
            Archive,
            Some(silent.clone()),
            Farewell::Archive(silent.clone()),
            "a backend that does not say is told",
        ),
        (
            Archive,
            Some(archived.clone()),
            Farewell::Forget,
            "archived already",
        ),
        (Archive, None, Farewell::Forget, "gone already"),
        (
            Delete,
            Some(active.clone()),
            Farewell::Delete(active.clone()),
            "opted in",
        ),
        (
            Delete,
            Some(archived.clone()),
            Farewell::Delete(archived.clone()),
            "archived is not deleted",
        ),
        (
            Delete,
            Some(silent.clone()),
            Farewell::Delete(silent.clone()),
            "opted in",
        ),
        (Delete, None, Farewell::Forget, "gone already"),
        (Retain, Some(active), Farewell::Forget, "left as it is"),
        (Retain, Some(archived), Farewell::Forget, "left as it is"),
        (Retain, None, Farewell::Forget, "nothing there"),
    ] {
        assert_eq!(farewell(policy, account), expected, "{why}");
    }
}
