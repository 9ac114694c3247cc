//! Each oracle is shown to say no: one that cannot is worth nothing.

use bytes::Bytes;
use hyper::{Method, Request};
use scim_sim::Simulator;
use serde_json::json;

use super::*;
use crate::crash_points::{journal::Journal, scenario::person};

fn scenario(nowhere: &'static [&'static str], retained: &'static [&'static str]) -> Scenario {
    let as_usual: fn(&Simulator) = |_| {};
    Scenario {
        name: "test",
        connection: json!({}),
        backend: as_usual,
        nowhere,
        retained,
        steps: Vec::new(),
    }
}

fn declared(kind: &'static str, name: &'static str, spec: Value, deleted: bool) -> Declared {
    Declared {
        kind,
        name,
        generation: 1,
        uid: format!("uid of {name}"),
        spec,
        deleted,
    }
}

fn account(name: &str, active: bool) -> Value {
    json!({"userName": format!("canary-{name}@example.com"), "active": active})
}

#[test]
fn two_of_one_none_of_one_and_one_of_nobody_are_found() {
    let ada = || declared(USER, "ada", person("ada", json!({})), false);
    let gone = || declared(USER, "ada", person("ada", json!({})), true);
    let erased = declared(
        USER,
        "ada",
        person("ada", json!({"deletionPolicy": "Delete"})),
        true,
    );
    let usual = || scenario(&[], &[]);
    for (accounts, declared, scenario, surplus, why) in [
        (
            vec![account("ada", true)],
            ada(),
            usual(),
            None,
            "one of one",
        ),
        (vec![], ada(), usual(), Some(0), "none of one"),
        (
            vec![account("ada", true), account("ADA", true)],
            ada(),
            usual(),
            Some(1),
            "two of one",
        ),
        (
            vec![account("ada", true), account("eve", true)],
            ada(),
            usual(),
            Some(1),
            "one of nobody",
        ),
        (
            vec![account("ada", false)],
            gone(),
            usual(),
            None,
            "archived",
        ),
        (
            vec![account("ada", true)],
            gone(),
            usual(),
            Some(0),
            "left in",
        ),
        (vec![], gone(), usual(), Some(0), "archived and gone"),
        (
            vec![account("ada", false)],
            erased,
            usual(),
            Some(1),
            "kept against its policy",
        ),
        (
            vec![account("ada", true)],
            ada(),
            scenario(&["ada"], &[]),
            Some(1),
            "provisioned though invalid",
        ),
    ] {
        let (found, count) = one_each(&accounts, &[], &[declared], &scenario);
        assert_eq!(found.is_empty(), surplus.is_none(), "{why}: {found:?}");
        assert_eq!(count, surplus.unwrap_or(0), "{why}");
    }
}

#[test]
fn a_group_that_was_taken_over_stays_and_one_of_ours_goes() {
    let group = json!({"displayName": "Engineers"});
    let gone = declared(GROUP, "engineers", group.clone(), true);
    let groups = [group];
    let declared = [gone];
    let ours = one_each(&[], &groups, &declared, &scenario(&[], &[]));
    assert_eq!((ours.0.len(), ours.1), (1, 1));
    let theirs = one_each(&[], &groups, &declared, &scenario(&[], &["engineers"]));
    assert_eq!(theirs, (Vec::new(), 0));
}

/// What a journal has of such requests.
fn asked(requests: &[(Side, Method, &str, Value, Option<Value>)]) -> Vec<Asked> {
    let journal = Journal::new(None);
    for (side, method, path, body, witness) in requests {
        let request = Request::builder().method(method).uri(*path).body(());
        let Ok(request) = request else {
            continue;
        };
        let (head, ()) = request.into_parts();
        journal.arrived(
            *side,
            &head,
            &Bytes::from(body.to_string()),
            witness.clone(),
        );
    }
    journal.since(0)
}

const USERS: &str = "/apis/scim-operator.io/v1alpha1/namespaces/identity/scimusers";
const CONNECTIONS: &str = "/apis/scim-operator.io/v1alpha1/namespaces/identity/scimconnections";

#[test]
fn at_rest_only_the_connection_may_report_and_only_so_often() {
    let report = format!("{CONNECTIONS}/scim/status?");
    let status = format!("{USERS}/ada/status");
    let own = || (Side::Kubernetes, Method::PATCH, &*report, json!({}), None);
    let read = (Side::Backend, Method::GET, "/Users", json!({}), None);
    let quiet = asked(&[own(), read.clone()]);
    assert_eq!(silent(&quiet, 1, "a sync"), (Vec::new(), 0));
    assert_eq!(silent(&asked(&[own(), own()]), 1, "a sync").1, 1);
    let patch = (Side::Backend, Method::PATCH, "/Users/17", json!({}), None);
    let touched = (Side::Kubernetes, Method::PATCH, &*status, json!({}), None);
    let (found, late) = silent(&asked(&[own(), patch, touched]), 1, "a sync");
    let shapes: Vec<&str> = found.iter().map(|violation| &*violation.what).collect();
    assert_eq!(
        shapes,
        [
            "a sync: PATCH /Users/{id}",
            "a sync: PATCH scimusers/ada/status"
        ]
    );
    assert_eq!(late, 2);
}

#[test]
fn a_write_that_names_a_stranger_is_counted_and_a_read_is_not() {
    let stranger = |id: &str| id == "17";
    let all = asked(&[
        (Side::Backend, Method::GET, "/Users/17", json!({}), None),
        (
            Side::Backend,
            Method::PATCH,
            "/Users/17?attributes=id",
            json!({}),
            None,
        ),
        (Side::Backend, Method::PATCH, "/Users/18", json!({}), None),
    ]);
    assert_eq!(writes_to_strangers(&all, stranger), 1);
}

#[test]
fn ready_without_an_account_or_with_another_one_is_a_lie() {
    let spec = person("ada", json!({}));
    let known = [declared(USER, "ada", spec, false)];
    let path = format!("{USERS}/ada/status");
    let ready = |status: &str, generation: i64| {
        let condition =
            json!({"type": "Ready", "status": status, "observedGeneration": generation});
        json!({"metadata": {"uid": "uid of ada"}, "status": {"id": "17", "conditions": [condition]}})
    };
    for (body, witness, lies, why) in [
        (ready("True", 1), Some(account("ada", true)), 0, "so it is"),
        (ready("False", 1), None, 0, "nothing is claimed"),
        (ready("True", 1), None, 1, "nothing is there"),
        (
            ready("True", 1),
            Some(account("eve", true)),
            1,
            "another name",
        ),
        (ready("True", 1), Some(account("ada", false)), 1, "archived"),
        (
            ready("True", 2),
            Some(account("ada", true)),
            1,
            "of no spec",
        ),
    ] {
        let all = asked(&[(Side::Kubernetes, Method::PATCH, &path, body, witness)]);
        assert_eq!(ready_is_true(&all, &known).len(), lies, "{why}");
    }
}

#[test]
fn ready_with_other_members_is_a_lie() {
    let spec = json!({"displayName": "Engineers"});
    let known = [declared(GROUP, "engineers", spec, false)];
    let path = USERS.replace("scimusers", "scimgroups") + "/engineers/status";
    let body = json!({
        "metadata": {"uid": "uid of engineers"},
        "status": {
            "id": "17", "members": {"desired": 1, "synced": 1},
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]
        }
    });
    let group = |members: Value| Some(json!({"displayName": "Engineers", "members": members}));
    for (witness, lies) in [(group(json!([{"value": "1"}])), 0), (group(json!([])), 1)] {
        let all = asked(&[(
            Side::Kubernetes,
            Method::PATCH,
            &path,
            body.clone(),
            witness,
        )]);
        assert_eq!(ready_is_true(&all, &known).len(), lies);
    }
}

#[test]
fn a_personal_value_is_found_wherever_it_is_told() {
    let none: [String; 0] = [];
    let line = [format!("created {CANARY}-ada\nsettled")];
    assert_eq!(private(&line, &none, &[]).len(), 1);
    assert_eq!(private(&none, &line, &[]).len(), 1);
    let path = format!("{USERS}/ada/status");
    let told = json!({"status": {"conditions": [{"message": format!("no {CANARY}")}]}});
    let told = asked(&[(Side::Kubernetes, Method::PATCH, &path, told.clone(), None)]);
    assert_eq!(private(&none, &none, &told).len(), 1);
    let sent = asked(&[(
        Side::Backend,
        Method::POST,
        "/Users",
        account("ada", true),
        None,
    )]);
    assert!(
        private(&none, &none, &sent).is_empty(),
        "that is what it is for"
    );
}
