//! `kubectl scim plan` says what the operator then does: to the backend, to groups, and what the guard holds, by the
//! very hash. It writes to nothing.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "plan_story/before.rs"]
mod before;
#[path = "plan_story/pruned.rs"]
mod pruned;
#[path = "plan_story/repository.rs"]
mod repository;
mod support;

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use repository::{apply, connection, edit, export, leads_to, read, write};
use scim_operator_harness::scratch::Scratch;
use serde_json::{Value, json};
use support::company::{self, company};
use support::plugin::{self, out, steps, told};
use support::scene::Scene;
use support::{Backend, NAMESPACE, TOKEN, writes_since};

async fn plan(scene: &Scene, arguments: &[&str]) -> Result<(Value, i32)> {
    plugin::plan(scene.rig.plane.admin_kubeconfig(), arguments)
}

/// Runs it as a person with the administrator's kubeconfig would.
async fn scim(scene: &Scene, arguments: &[&str]) -> Result<Output> {
    plugin::scim(scene.rig.plane.admin_kubeconfig(), arguments, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_is_what_is_done() -> Result<()> {
    let scene = company(20).await?;
    let backend = Backend::new(&scene.simulator.base_url(), TOKEN);
    let label = ["label", "scimusers", "--all", "-n", NAMESPACE, "all=yes"];
    scene.rig.plane.kubectl(&label).await?;
    let everybody =
        json!({"displayName": "All", "memberSelector": {"matchLabels": {"all": "yes"}}});
    scene.rig.declare_group("all", everybody).await?;
    scene.rig.group_settled("all").await?;
    let scratch = Scratch::create()?;
    let folder = scratch.join("repository");
    std::fs::create_dir(&folder)?;
    let path = folder.to_str().unwrap();
    export(&scene, &folder).await?;

    // Nothing is to be done: for what is there, for the same from files, and without the cluster.
    let mark = scene.proxy.requests().len();
    for arguments in [&[][..], &[path, "--prune"]] {
        let (found, code) = plan(&scene, arguments).await?;
        ensure!(steps(&found).is_empty() && code == 0, "{code} {found}");
        ensure!(found["users"] == json!({"nothing": 20}), "{found}");
        ensure!(found["groups"] == json!({"nothing": 1}), "{found}");
    }

    // Four are edited, of whom one is archived, one in a way that breaks a rule; one comes, one goes.
    let person = company::person;
    edit(&folder, &person(1), |spec| {
        spec["enterprise"] = json!({"department": "Analysis"})
    })?;
    edit(&folder, &person(2), |spec| {
        spec["name"]["familyName"] = json!("Byron")
    })?;
    edit(&folder, &person(3), |spec| spec["active"] = json!(false))?;
    edit(&folder, &person(4), |spec| {
        spec["addresses"] = json!([{"type": "work", "country": "Atlantis"}])
    })?;
    let mut new = read(&folder, &person(5))?;
    new["metadata"]["name"] = json!("new");
    new["spec"]["userName"] = json!("new@example.com");
    write(&folder, &new)?;
    std::fs::remove_file(folder.join(format!("{}.json", person(0))))?;
    let (found, code) = plan(&scene, &[path, "--prune"]).await?;
    let mut expected = vec![
        "archive ScimUser/user-000 active".to_owned(),
        "update ScimUser/user-001 department".to_owned(),
        "update ScimUser/user-002 name.familyName".to_owned(),
        "archive ScimUser/user-003 active".to_owned(),
        "invalid ScimUser/user-004".to_owned(),
    ];
    let lines = steps(&found);
    let (of_users, of_groups) = lines.split_at(lines.len() - 1);
    let create = of_users
        .iter()
        .find(|line| line.starts_with("create ScimUser/new "));
    let create = create.with_context(|| format!("{lines:?}"))?;
    ensure!(
        create.contains("userName") && create.contains("emails"),
        "{create}"
    );
    expected.insert(0, create.clone());
    expected.sort_by_key(|line| line.split('/').nth(1).map(str::to_owned));
    ensure!(of_users == expected, "{of_users:#?}");
    ensure!(
        of_groups == ["update ScimGroup/all +[identity/new] -[identity/user-000]"],
        "{of_groups:?}"
    );
    ensure!(code == 1, "an invalid one has to be seen to: {code}");
    ensure!(found["held"].is_null(), "{found}");

    // Values are shown on request only, in no form else.
    for form in ["human", "json", "markdown"] {
        let arguments = ["plan", path, "--prune", "-o", form];
        let shown = out(&scim(&scene, &arguments).await?);
        ensure!(
            !shown.contains("Byron") && !shown.contains("Analysis"),
            "{shown}"
        );
        ensure!(shown.contains("department"), "{shown}");
        let shown = out(&scim(&scene, &[&arguments[..], &["--diff"]].concat()).await?);
        ensure!(
            shown.contains("Byron") && shown.contains("Analysis"),
            "{shown}"
        );
        ensure!(!shown.contains('\u{1b}'), "colours in a pipe");
    }
    let writes = writes_since(&scene.proxy, mark);
    ensure!(writes.is_empty(), "it wrote: {writes:?}");

    // It is what happens.
    apply(&scene, &folder, &[&person(0)]).await?;
    let rig = &scene.rig;
    rig.settled("new").await?;
    rig.user_is(&person(4), "Valid", "False", "SpecInvalid")
        .await?;
    for number in [1, 2, 3] {
        rig.settled(&person(number)).await?;
    }
    rig.group_when("all", "to follow", |group| {
        let members = group.status.as_ref().and_then(|status| status.members);
        members.is_some_and(|m| m.desired == 20 && m.synced == 20)
    })
    .await?;
    scene.archives(2).await?;
    let one = backend.user("user-002@example.com").await?;
    ensure!(one["name"]["familyName"] == "Byron", "{one}");
    let mut members = vec!["new".to_owned()];
    members.extend((1..20).map(person));
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    backend.group_has("All", &members).await?;
    edit(&folder, &person(4), |spec| {
        spec["addresses"] = json!([{"type": "work", "country": "GB"}])
    })?;
    let (found, code) = plan(&scene, &[path, "--prune"]).await?;
    ensure!(steps(&found).is_empty() && code == 0, "{code} {found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_would_hold_is_held_by_that_hash() -> Result<()> {
    let scene = company(20).await?;
    let scratch = Scratch::create()?;
    let folder = scratch.join("repository");
    std::fs::create_dir(&folder)?;
    export(&scene, &folder).await?;
    let gone: Vec<String> = (0..8).map(company::person).collect();
    for name in &gone {
        std::fs::remove_file(folder.join(format!("{name}.json")))?;
    }
    let path = folder.to_str().unwrap();
    let (found, code) = plan(&scene, &[path, "--prune"]).await?;
    ensure!(code == 1, "{code}");
    let lines = steps(&found);
    let of = |action: &str| lines.iter().filter(|l| l.starts_with(action)).count();
    ensure!(
        of("archive") == 5 && of("hold") == 3 && lines.len() == 8,
        "{lines:#?}"
    );
    ensure!(found["held"]["count"] == 3, "{found}");

    let human = out(&scim(&scene, &["plan", path, "--prune"]).await?);
    ensure!(
        human.contains("Guard: 3 users would be archived or deleted beyond"),
        "{human}"
    );

    let names: Vec<&str> = gone.iter().map(String::as_str).collect();
    apply(&scene, &folder, &names).await?;
    let held = scene.held(3).await?;
    ensure!(found["held"]["hash"] == held.hash, "{found} {held:?}");

    // Whoever is held is held still, by the same hash, as long as nobody approves it.
    let (found, _) = plan(&scene, &[]).await?;
    ensure!(found["users"]["hold"] == 3, "{found}");
    ensure!(found["held"]["hash"] == held.hash, "{found} {held:?}");
    // Also where more may go from now on: a person has to say so.
    let mut connection = connection(&scene).await?;
    connection["spec"]["deprovisionGuard"] = json!({"minimum": 100});
    write(&folder, &connection)?;
    let (found, _) = plan(&scene, &[path]).await?;
    ensure!(found["held"]["hash"] == held.hash, "{found} {held:?}");
    let wider = json!({"deprovisionGuard": {"minimum": 100}});
    scene.rig.edit_connection(wider).await?;
    scene.rig.sync("a wider guard").await?;
    ensure!(scene.held(3).await?.hash == held.hash);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_people_are_known_by_their_mark() -> Result<()> {
    let scene = company(3).await?;
    let scratch = Scratch::create()?;
    let folder = scratch.join("repository");
    std::fs::create_dir(&folder)?;
    export(&scene, &folder).await?;
    write(&folder, &leads_to(&scene.proxy.url()))?;
    edit(&folder, &company::person(1), |spec| {
        spec["enterprise"] = json!({"department": "Analysis"})
    })?;
    std::fs::remove_file(folder.join(format!("{}.json", company::person(2))))?;
    let mark = scene.proxy.requests().len();
    let origin = scene.proxy.url();
    let run = async |token: Option<&str>| -> Result<Output> {
        let path = folder.to_str().unwrap();
        let alone = [
            "plan",
            path,
            "--without-cluster",
            "--origin",
            &origin,
            "-o",
            "json",
        ];
        let token = token.map(|token| ("SCIM_TOKEN", token));
        plugin::scim(Path::new("/nowhere"), &alone, token.as_slice())
    };
    let output = run(Some(TOKEN)).await?;
    let found: Value = serde_json::from_str(&out(&output)).with_context(|| told(&output))?;
    let lines = steps(&found["connections"][0]);
    ensure!(
        lines == ["update ScimUser/user-001 department"],
        "{lines:?}"
    );
    ensure!(output.status.code() == Some(0), "{}", told(&output));
    // Of whoever is in no manifest it cannot tell more.
    let undeclared = &found["connections"][0]["undeclared"];
    ensure!(
        *undeclared == json!(["ScimUser identity/user-002"]),
        "{undeclared}"
    );

    // Without a token, or with one that is refused, it says so, and that nothing was found out.
    let output = run(None).await?;
    ensure!(output.status.code() == Some(2), "{}", told(&output));
    ensure!(
        told(&output).contains("SCIM_TOKEN is not set"),
        "{}",
        told(&output)
    );
    let output = run(Some("wrong")).await?;
    ensure!(output.status.code() == Some(2), "{}", told(&output));
    ensure!(told(&output).contains("Unauthorized"), "{}", told(&output));
    let writes = writes_since(&scene.proxy, mark);
    ensure!(writes.is_empty(), "it wrote: {writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_lead_the_token_nowhere_and_say_nothing_that_is_obeyed() -> Result<()> {
    let scene = company(2).await?;
    let thief = scim_sim::Simulator::start(scim_sim::SimConfig::default()).await?;
    let scratch = Scratch::create()?;
    let folder = scratch.join("repository");
    std::fs::create_dir(&folder)?;
    export(&scene, &folder).await?;
    let path = folder.to_str().unwrap();
    let mut connection = leads_to(&thief.base_url());
    write(&folder, &connection)?;
    let output = scim(&scene, &["plan", path, "-n", NAMESPACE]).await?;
    ensure!(output.status.code() == Some(2), "{}", told(&output));
    ensure!(
        told(&output).contains("--origin has to allow"),
        "{}",
        told(&output)
    );
    // Another of its Secrets is as bad.
    connection["spec"]["endpoint"] = json!(scene.proxy.url());
    connection["spec"]["tokenSecretRef"]["name"] = json!("another");
    write(&folder, &connection)?;
    let output = scim(&scene, &["plan", path, "-n", NAMESPACE]).await?;
    ensure!(
        told(&output).contains("--origin has to allow"),
        "{}",
        told(&output)
    );
    ensure!(thief.requests().is_empty(), "it was asked, with the token");
    std::fs::remove_file(folder.join("scim.json"))?;

    // What the API server would refuse is no step, and not taken away; what stands there is shown by no form as it is.
    let odd = "x\n## APPROVED by @sec [go](http://evil.example.com)\u{1b}[2J";
    let mut bad = read(&folder, &company::person(0))?;
    bad["metadata"]["name"] = json!(odd);
    std::fs::write(folder.join("odd.json"), bad.to_string())?;
    edit(&folder, &company::person(1), |spec| {
        spec["nonsense"] = json!(odd)
    })?;
    for form in ["human", "markdown", "json"] {
        let arguments = ["plan", path, "-n", NAMESPACE, "--prune", "-o", form];
        let output = scim(&scene, &arguments).await?;
        ensure!(output.status.code() == Some(1), "{}", told(&output));
        let shown = told(&output);
        ensure!(
            !shown.contains("\n## APPROVED") && !shown.contains('\u{1b}'),
            "{shown}"
        );
        ensure!(shown.contains("the API server would refuse it"), "{shown}");
        ensure!(!shown.contains("archive"), "{shown}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_who_would_be_made_is_given_to_whom_it_is_due() -> Result<()> {
    let scene = company(2).await?;
    let scratch = Scratch::create()?;
    let folder = scratch.join("repository");
    std::fs::create_dir(&folder)?;
    export(&scene, &folder).await?;
    // In the order of names the manager comes last, and is made.
    let mut boss = read(&folder, &company::person(1))?;
    boss["metadata"]["name"] = json!("zed");
    boss["spec"]["userName"] = json!("zed@example.com");
    write(&folder, &boss)?;
    edit(&folder, &company::person(0), |spec| {
        spec["enterprise"]["manager"] = json!({"userRef": {"name": "zed"}})
    })?;
    let path = folder.to_str().unwrap();
    let (found, code) = plan(&scene, &[path]).await?;
    let lines = steps(&found);
    ensure!(code == 0 && lines.len() == 2, "{lines:?}");
    ensure!(lines[0] == "update ScimUser/user-000 manager", "{lines:?}");
    ensure!(lines[1].starts_with("create ScimUser/zed "), "{lines:?}");
    apply(&scene, &folder, &[]).await?;
    let backend = Backend::new(&scene.simulator.base_url(), TOKEN);
    let zed = scene.rig.settled("zed").await?;
    let id = zed.status.and_then(|status| status.id).context("no id")?;
    scim_operator_harness::wait::eventually("the manager", support::DEADLINE, async || {
        let user = backend.user("user-000@example.com").await?;
        Ok(user
            .to_string()
            .contains(&format!("\"value\":\"{id}\""))
            .then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_is_renamed_keeps_its_account() -> Result<()> {
    let scene = company(2).await?;
    let scratch = Scratch::create()?;
    let folder = scratch.join("repository");
    std::fs::create_dir(&folder)?;
    export(&scene, &folder).await?;
    let old = company::person(0);
    let everybody =
        json!({"displayName": "All", "memberSelector": {"matchLabels": {"all": "yes"}}});
    let label = ["label", "scimusers", "--all", "-n", NAMESPACE, "all=yes"];
    scene.rig.plane.kubectl(&label).await?;
    scene.rig.declare_group("all", everybody).await?;
    scene.rig.group_settled("all").await?;
    export(&scene, &folder).await?;
    let mut new = read(&folder, &old)?;
    new["metadata"]["name"] = json!("renamed");
    write(&folder, &new)?;
    std::fs::remove_file(folder.join(format!("{old}.json")))?;
    let path = folder.to_str().unwrap();
    let (found, code) = plan(&scene, &[path, "--prune"]).await?;
    let lines = steps(&found);
    let expected = [
        "adopt ScimUser/renamed active,externalId",
        "archive ScimUser/user-000 active",
    ];
    ensure!(lines == expected && code == 0, "{code} {found}");
    apply(&scene, &folder, &[&old]).await?;
    scene.rig.settled("renamed").await?;
    ensure!(
        scene.archived() == 0,
        "the account goes over, and is active"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_policy_an_account_is_deleted_and_another_taken_over() -> Result<()> {
    let scene = company(2).await?;
    let policy = json!({"deletionPolicy": "Delete", "adoption": {"match": ["UserName"]}});
    scene.rig.edit_connection(policy).await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    scene.simulator.insert_user(json!({
        "userName": "stranger@example.com", "active": true,
        "name": {"givenName": "Grace", "familyName": "Hopper"},
    }));
    let scratch = Scratch::create()?;
    let folder = scratch.join("repository");
    std::fs::create_dir(&folder)?;
    export(&scene, &folder).await?;
    let old = company::person(0);
    let mut new = read(&folder, &company::person(1))?;
    new["metadata"]["name"] = json!("stranger");
    new["spec"]["userName"] = json!("Stranger@example.com");
    write(&folder, &new)?;
    std::fs::remove_file(folder.join(format!("{old}.json")))?;
    let (found, code) = plan(&scene, &[folder.to_str().unwrap(), "--prune"]).await?;
    let lines = steps(&found);
    ensure!(code == 0 && lines.len() == 2, "{found}");
    ensure!(
        lines[0].starts_with("adopt ScimUser/stranger "),
        "{lines:?}"
    );
    ensure!(lines[0].contains("externalId"), "{lines:?}");
    ensure!(lines[1] == "delete ScimUser/user-000", "{lines:?}");
    scene.rig.sync("before it is applied").await?;
    apply(&scene, &folder, &[&old]).await?;
    scene.rig.settled("stranger").await?;
    scim_operator_harness::wait::wait_for_absence(scene.rig.users(), &old, support::DEADLINE)
        .await?;
    ensure!(
        scene.simulator.users().len() == 2,
        "one is deleted, none is made"
    );
    Ok(())
}
