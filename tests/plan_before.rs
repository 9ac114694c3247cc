//! `kubectl scim plan --before`, where there is no cluster at all: what it can tell of a change by manifests and a
//! backend, and that it says so where it cannot. That it says the same as with the cluster is `plan_story/before.rs`.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "plan_before/change.rs"]
mod change;
mod support;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use change::Change;
use scim_sim::Faults;
use serde_json::{Value, json};
use support::plugin::{self, out, steps, told};
use support::{NAMESPACE, TOKEN};

const GROUP: &str = "scim-operator.io/v1alpha1";

const BOTH: [&str; 2] = ["before", "after"];

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_begins_to_work_brings_all_that_is_declared() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    change.account("old");
    change.account("left");
    change.person(&BOTH, "new", json!({}))?;
    change.person(&BOTH, "old", json!({}))?;
    change.person(&["before"], "left", json!({}))?;
    for (before, known) in [
        (json!({"mode": "DryRun"}), false),
        (json!({"suspend": true}), true),
    ] {
        change.connection_on(&["before"], "scim", before)?;
        let (found, _, code) = change.plan()?;
        let lines = steps(&found);
        ensure!(
            lines
                .iter()
                .any(|line| line.starts_with("create ScimUser/new ")),
            "{lines:?}"
        );
        ensure!(
            found["due"] == json!({"users": {}, "groups": {}}),
            "{found}"
        );
        // A dry run has taken over nobody; whose account that of a leaver is, nobody can say then.
        let (old, left) = match known {
            false => (Some("wait ScimUser/old"), "wait ScimUser/left"),
            true => (None, "archive ScimUser/left active"),
        };
        let of_old = lines.iter().find(|line| line.contains("/old"));
        ensure!(of_old.map(String::as_str) == old, "{lines:?}");
        ensure!(lines.iter().any(|line| line == left), "{lines:?}");
        ensure!(code == i32::from(!known), "{code} {found}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_does_not_do_on_either_side_is_due() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    change.connection("scim", json!({"mode": "DryRun"}))?;
    change.person(&BOTH, "new", json!({}))?;
    change.person(&["after"], "newer", json!({}))?;
    let (found, _, _) = change.plan()?;
    ensure!(found["users"] == json!({"create": 1}), "{found}");
    ensure!(found["due"]["users"] == json!({"create": 1}), "{found}");
    ensure!(
        out(&change.run(&[])?).contains("mode DryRun: none of it is carried out"),
        "{found}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_archived_already_goes_without_a_word() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    for name in ["ada", "grace"] {
        let id = change.account(name);
        change.simulator.set_active(&id, name != "ada");
    }
    let archived = json!({"spec": {"active": false}});
    change.person(&["before"], "ada", archived)?;
    change.person(&["before"], "grace", json!({}))?;
    let (found, _, code) = change.plan()?;
    let expected = ["release ScimUser/ada", "archive ScimUser/grace active"];
    ensure!(steps(&found) == expected && code == 0, "{code} {found}");
    // What is told of who leaves is told with what it rests on.
    let why = |found: &Value| {
        found["steps"][1]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    ensure!(
        why(&found).contains("its externalId or name alone"),
        "{found}"
    );
    let id = change
        .simulator
        .user_by_name("grace@example.com")
        .context("nobody")?["id"]
        .clone();
    change.person(&["before"], "grace", json!({"spec": {"adopt": {"id": id}}}))?;
    let (found, _, _) = change.plan()?;
    ensure!(
        steps(&found) == expected && why(&found).is_empty(),
        "{found}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_without_a_cluster_is_said() -> Result<()> {
    // The labels of a namespace: it counts as let in, and whoever leaves it is told to leave.
    let change = Change::new(Faults::default()).await?;
    let by_labels = json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"scim": "yes"}}}});
    change.connection("scim", by_labels)?;
    for name in ["ada", "grace"] {
        change.account(name);
        let away = json!({"metadata": {"namespace": "hr"}, "spec": {"connectionRef": {"namespace": NAMESPACE}}});
        change.person(&["before"], name, away)?;
    }
    let (found, notes, _) = change.plan()?;
    ensure!(
        steps(&found)
            == [
                "archive ScimUser/ada active",
                "archive ScimUser/grace active"
            ],
        "{found}"
    );
    ensure!(notes.contains("those of hr are not known here"), "{notes}");
    change.write(
        &BOTH,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hr"}}),
    )?;
    let (found, notes, _) = change.plan()?;
    ensure!(
        notes == "[]" && !found.to_string().contains("archive"),
        "{found}"
    );

    let labelled = json!({"name": "hr", "labels": {"scim": "yes"}});
    change.write(
        &["before"],
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": labelled}),
    )?;
    std::fs::remove_file(change.side("after").join("Namespace-hr.json"))?;
    let (found, notes, _) = change.plan()?;
    ensure!(steps(&found).len() == 2, "{found}");
    ensure!(
        notes.contains("Namespace hr is not declared any more"),
        "{notes}"
    );

    // A connection that enters with its people, and one that moves: by marks alone.
    let change = Change::new(Faults::default()).await?;
    change.account("ada");
    change.person(&["before"], "ada", json!({}))?;
    std::fs::remove_file(change.side("before").join("ScimConnection-scim.json"))?;
    let expected = ["wait ScimUser/ada"];
    let (found, notes, code) = change.plan()?;
    ensure!(steps(&found) == expected && code == 1, "{code} {found}");
    ensure!(notes.contains("was not declared before"), "{notes}");
    change.connection_on(
        &["before"],
        "scim",
        json!({"endpoint": "https://elsewhere.example.com/scim"}),
    )?;
    let (found, notes, _) = change.plan()?;
    ensure!(steps(&found) == expected, "{found}");
    ensure!(notes.contains("led to another endpoint before"), "{notes}");
    // With a slash at its end or without it is the same one.
    let base = change.simulator.base_url();
    let without = base.strip_suffix('/').context("it ends with one")?;
    change.connection_on(&["before"], "scim", json!({"endpoint": without}))?;
    let (found, notes, _) = change.plan()?;
    ensure!(
        steps(&found) == ["archive ScimUser/ada active"] && notes == "[]",
        "{notes} {found}"
    );

    // A change that mends one which nothing could come of.
    let mapping = json!([{"attribute": "shoeSize", "path": "x"}]);
    change.connection_on(&["before"], "scim", json!({"attributeMapping": mapping}))?;
    let (found, notes, _) = change.plan()?;
    ensure!(steps(&found) == expected, "{found}");
    ensure!(notes.contains("could not be worked with before"), "{notes}");
    change.connection_on(&["before"], "scim", json!({}))?;

    // One that goes, and what could not be applied.
    std::fs::remove_file(change.side("after").join("ScimConnection-scim.json"))?;
    std::fs::write(change.side("before").join("broken.json"), "{")?;
    let (found, notes, _) = change.plan()?;
    ensure!(steps(&found) == ["archive ScimUser/ada active"], "{found}");
    ensure!(
        notes.contains("is not declared any more")
            && notes.contains("--before: what cannot be applied"),
        "{notes}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_edited_is_told_though_nothing_comes_of_it() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    for name in ["ada", "grace", "kept"] {
        change.account(name);
    }
    let suspended = json!({"spec": {"suspend": true}});
    change.person(&BOTH, "ada", suspended.clone())?;
    change.person(&BOTH, "grace", suspended)?;
    let leaves = json!({"spec": {"suspend": true, "active": false}});
    change.person(&["after"], "ada", leaves)?;
    let kept =
        json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/reconcile": "Disabled"}}});
    change.person(&["before"], "kept", kept)?;
    let (found, _, _) = change.plan()?;
    ensure!(
        found["users"] == json!({"suspended": 1, "nothing": 1}),
        "{found}"
    );
    ensure!(found["due"]["users"] == json!({"suspended": 1}), "{found}");
    let shown = out(&change.run(&[])?);
    ensure!(
        shown.contains("identity/ada") && !shown.contains("identity/grace"),
        "{shown}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_anyway_is_due_and_a_namesake_of_another_kind_is_not_edited_by_it() -> Result<()>
{
    let change = Change::new(Faults::default()).await?;
    for name in ["ada", "grace"] {
        change.account(name);
    }
    let archived = json!({"spec": {"active": false}});
    change.person(&BOTH, "ada", archived.clone())?;
    change.person(&BOTH, "grace", archived)?;
    change.person(
        &["after"],
        "grace",
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"active": false}}),
    )?;
    let group = json!({"apiVersion": GROUP, "kind": "ScimGroup", "metadata": {"name": "grace", "namespace": NAMESPACE},
        "spec": {"connectionRef": {"name": "scim"}, "displayName": "Grace"}});
    change.write(&BOTH, &group)?;
    let (found, _, _) = change.plan()?;
    ensure!(found["users"] == json!({"archive": 1}), "{found}");
    let due = json!({"users": {"archive": 1}, "groups": {"create": 1}});
    ensure!(found["due"] == due, "{found}");
    let grace = found["steps"].as_array().into_iter().flatten();
    let grace = grace
        .filter(|step| step["name"] == "grace" && step["due"].is_null())
        .count();
    ensure!(grace == 1, "the user is edited, the group is not: {found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_the_change_reads_otherwise_is_read_anew() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    change.simulator.insert_user(
        json!({"userName": "ada@example.com", "externalId": "hr-ada", "active": true,
        "name": {"givenName": "ada", "familyName": "B"}, "title": "Engines",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Engines"}}),
    );
    let person = json!({"spec": {"enterprise": {"department": "Engines"}}});
    change.person(&BOTH, "ada", person)?;
    let (found, _, _) = change.plan()?;
    ensure!(found["users"] == json!({"nothing": 1}), "{found}");
    let elsewhere = json!([{"attribute": "department", "path": "nickName"}]);
    change.connection_on(&["after"], "scim", json!({"attributeMapping": elsewhere}))?;
    let (found, _, _) = change.plan()?;
    ensure!(
        steps(&found) == ["update ScimUser/ada department"],
        "{found}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_there_before_keeps_the_name() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    change.account("zed");
    change.person(&BOTH, "zed", json!({}))?;
    // First by its name, and new.
    let same = json!({"spec": {"userName": "zed@example.com", "externalId": "hr-another"}});
    change.person(&["after"], "ada", same)?;
    let (found, _, code) = change.plan()?;
    ensure!(
        steps(&found) == ["invalid ScimUser/ada"] && code == 1,
        "{found}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_operator_says_is_not_believed_of_a_manifest() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    let id = change.account("ada");
    let here = scim_operator::domain::names::endpoint_hash(&change.simulator.base_url());
    let forged = json!({"id": id, "endpointHash": here, "syncedGeneration": 1});
    change.person(
        &["after"],
        "ada",
        json!({"status": forged,
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "uid": "x"}}),
    )?;
    let hash = "\u{1b}[2Jforged";
    change.connection_on(&["after"], "scim", json!({}))?;
    let file = change.side("after").join("ScimConnection-scim.json");
    let mut connection: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    connection["status"] = json!({"missingAccounts": {"hash": hash, "count": 100, "users": []}});
    std::fs::write(&file, connection.to_string())?;
    let (found, _, _) = change.plan()?;
    ensure!(
        steps(&found) == ["wait ScimUser/ada"],
        "it is a stranger: {found}"
    );
    let output = change.run(&[])?;
    ensure!(!told(&output).contains("forged"), "{}", told(&output));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_is_not_given_to_two_connections() -> Result<()> {
    let change = Change::new(Faults::default()).await?;
    change.connection("another", json!({}))?;
    change.person(&BOTH, "ada", json!({}))?;
    let output = change.run(&[])?;
    ensure!(output.status.code() == Some(2), "{}", told(&output));
    ensure!(
        told(&output).contains("--connection says which"),
        "{}",
        told(&output)
    );
    ensure!(change.simulator.requests().is_empty(), "it was asked");
    let twice = plugin::scim(
        Path::new("/nowhere"),
        &[
            "plan",
            "-",
            "--without-cluster",
            "--origin",
            "https://x.example.com",
            "--before",
            "-",
        ],
        &[("SCIM_TOKEN", TOKEN)],
    )?;
    ensure!(
        told(&twice).contains("standard input can be read once"),
        "{}",
        told(&twice)
    );
    let one = format!("{NAMESPACE}/scim");
    let output = change.run(&["--connection", &one])?;
    ensure!(output.status.code() == Some(0), "{}", told(&output));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_members_are_known_also_where_the_backend_shows_no_marks_and_no_members()
-> Result<()> {
    let change = Change::new(Faults {
        external_id_not_echoed: true,
        omit_members: true,
        ..Faults::default()
    })
    .await?;
    let ids: Vec<String> = ["ada", "grace", "joan"]
        .iter()
        .map(|name| change.account(name))
        .collect();
    for name in ["ada", "grace"] {
        change.person(&BOTH, name, json!({}))?;
    }
    change.person(&["before"], "joan", json!({}))?;
    let members = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| json!({"userRef": {"name": name}}))
            .collect()
    };
    let group = |names: &[&str]| {
        json!({"apiVersion": GROUP, "kind": "ScimGroup", "metadata": {"name": "all", "namespace": NAMESPACE},
            "spec": {"connectionRef": {"name": "scim"}, "displayName": "All", "externalId": "hr-all",
                "members": members(names)}})
    };
    change
        .simulator
        .insert_group(json!({"displayName": "All", "externalId": "hr-all",
        "members": ids.iter().map(|id| json!({"value": id})).collect::<Vec<_>>()}));
    change.write(&["before"], &group(&["ada", "grace", "joan"]))?;
    change.write(&["after"], &group(&["ada"]))?;
    let (found, _, code) = change.plan()?;
    let expected = [
        "archive ScimUser/joan active",
        // Where nobody knows whether it is there, it is written with whatever else is.
        "update ScimGroup/all externalId+[] -[identity/grace,identity/joan]",
    ];
    ensure!(steps(&found) == expected && code == 0, "{code} {found}");
    Ok(())
}
