//! Somebody looks at a connection in trouble by `kubectl scim`, says what has to be said, and sees it well again: as
//! an administrator, as a person with the rights that the documentation gives, and as one who lacks them.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Each test binary uses its own part.
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "status_story/person.rs"]
mod person;
#[path = "status_story/steered.rs"]
mod steered;
mod support;

use anyhow::{Context as _, Result, ensure};
use person::Person;
use reqwest::Method;
use scim_operator::api::{ANNOTATION_APPROVE_PLAN, ScimConnection};
use scim_operator::cli::cluster::Cluster;
use scim_operator::cli::kinds::Target;
use scim_operator::cli::objects;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::wait;
use serde_json::{Value, json};
use steered::{is_abandoned, is_steered, without_rights};
use support::company::{Scene, person as user};
use support::{DEADLINE, NAMESPACE, scene};

/// Eight people in step, an invalid one, and one whom the backend keeps archived.
async fn troubled() -> Result<Scene> {
    let scene = scene::stage().await?;
    let guard = json!({"deprovisionGuard": {"maxPercent": 0, "minimum": 1}});
    scene.connect(guard).await?;
    let rig = &scene.rig;
    let names: Vec<String> = (0..8).map(user).collect();
    rig.declare_all(&names, json!({})).await?;
    let mut eve = support::person("eve@example.com");
    eve["addresses"] = json!([{"type": "work", "country": "Atlantis"}]);
    rig.declare("eve", eve).await?;
    rig.declare("heidi", support::person("heidi@example.com"))
        .await?;
    let mut judy = support::person("judy@example.com");
    judy["active"] = json!(false);
    rig.declare("judy", judy).await?;
    rig.settled("judy").await?;
    for name in &names {
        rig.settled(name).await?;
    }
    let heidi = rig.settled("heidi").await?.status.and_then(|s| s.id);
    let heidi = heidi.context("heidi has no account")?;
    scene.simulator.set_active(&heidi, false);
    // The backend answers every reactivation with the account as it is.
    let as_it_is = scene.simulator.user(&heidi).unwrap_or_default().to_string();
    let stubborn = Canned::raw(200, "application/scim+json", as_it_is)?;
    let patches = Matcher::new(Method::PATCH, &format!("/Users/{heidi}"));
    scene.proxy.reply_always(patches, stubborn);
    rig.sync("archived-there").await?;
    rig.user_is("heidi", "Ready", "False", "ArchivedByBackend")
        .await?;
    rig.user_is("eve", "Valid", "False", "SpecInvalid").await?;
    Ok(scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_trouble_is_seen_steered_and_well_again() -> Result<()> {
    let mut scene = troubled().await?;
    let steward = Person::with_role(&scene.rig.plane, "steward", Some("scim-steward")).await?;
    scene.delete(0..4).await?;
    let plan = scene.held(3).await?;
    for name in &plan.users {
        let name = name.rsplit('/').next().unwrap_or_default();
        scene
            .rig
            .user_is(name, "Ready", "False", "DeprovisioningHeld")
            .await?;
    }

    is_seen(&scene, &steward, &plan.hash).await?;
    is_figured(&mut scene, &steward).await?;
    is_approved(&scene, &steward, &plan.hash).await?;
    is_steered(&scene, &steward).await?;
    is_abandoned(&scene, &steward).await?;
    is_followed(&scene, &steward).await?;
    is_completed(&steward).await?;
    without_rights(&scene).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_once_is_approved_again_and_missing_accounts_are_made_anew() -> Result<()>
{
    let mut scene = scene::stage().await?;
    let guard = json!({"deprovisionGuard": {"maxPercent": 0, "minimum": 0}});
    scene.connect(guard).await?;
    let (rig, admin) = (
        &scene.rig,
        Person::of(scene.rig.plane.admin_kubeconfig()).await?,
    );
    rig.declare_all(&[user(0), user(1)], json!({})).await?;
    for name in [user(0), user(1)] {
        rig.settled(&name).await?;
    }
    // What was not looked at is not written to.
    let cluster = Cluster {
        client: scene.rig.client.clone(),
        namespace: NAMESPACE.into(),
    };
    let target = Target::connection("scim").map_err(anyhow::Error::msg)?;
    let stale = objects::get(&cluster, &target).await?;
    rig.edit_connection(json!({"sync": {"interval": "2h"}}))
        .await?;
    let change = json!({"metadata": {"annotations": {ANNOTATION_APPROVE_PLAN: "aaaa"}}});
    let wrote = objects::merge(&cluster, &target, &stale, change).await?;
    let now = objects::get(&cluster, &target).await?;
    ensure!(
        wrote.is_none() && now.metadata.annotations.is_none(),
        "{now:?}"
    );

    let mut hashes = Vec::new();
    for _ in 0..2 {
        rig.edit(&user(0), json!({"active": false})).await?;
        let hash = scene.held(1).await?.hash;
        let approve = ["approve", "scim", &hash, "--yes", "-n", NAMESPACE];
        admin.runs(&approve).await?.well()?;
        rig.user_is(&user(0), "Archived", "True", "Requested")
            .await?;
        rig.edit(&user(0), json!({"active": true})).await?;
        rig.user_is(&user(0), "Archived", "False", "Active").await?;
        rig.settled(&user(0)).await?;
        hashes.push(hash);
    }
    ensure!(hashes[0] == hashes[1], "the same person is another plan");

    for account in scene.simulator.users() {
        let id = account["id"].as_str().unwrap_or_default();
        scene.simulator.remove_user(id);
    }
    rig.sync("reset").await?;
    rig.connection_is("DeprovisioningHeld", "True", "BackendChanged")
        .await?;
    let seen = admin.runs(&["status", "scim", "-n", NAMESPACE]).await?;
    ensure!(
        seen.code == 1 && seen.out.contains("2 recorded accounts, not at the backend"),
        "{seen:?}"
    );
    let command = seen
        .out
        .lines()
        .find_map(|line| line.split_once("kubectl scim "));
    let (_, command) = command.context("no command is shown")?;
    let mut shown: Vec<&str> = command.split_whitespace().collect();
    shown.push("--yes");
    admin.runs(&shown).await?.well()?;
    for name in [user(0), user(1)] {
        rig.user_is(&name, "Synced", "True", "Created").await?;
    }
    rig.connection_is("Ready", "True", "Connected").await?;
    ensure!(scene.simulator.users().len() == 2);

    // An operator that stands still answers nothing.
    scene.rig.operator.pause()?;
    let waits = [
        "reconcile",
        "scim",
        "-n",
        NAMESPACE,
        "--wait",
        "--timeout",
        "1s",
    ];
    let unanswered = admin.runs(&waits).await?;
    scene.rig.operator.resume()?;
    ensure!(
        unanswered.code == 2 && unanswered.err.contains("has not answered within 1s"),
        "{unanswered:?}"
    );
    Ok(())
}

/// Everybody who is not in step is named, with the command that lets the held go.
async fn is_seen(scene: &Scene, steward: &Person, hash: &str) -> Result<()> {
    let seen = steward.runs(&["status", "scim"]).await?;
    ensure!(seen.code == 1, "{seen:?}");
    for part in [
        "identity/scim",
        "Users invalid (1)",
        "identity/eve  SpecInvalid: spec.addresses[work].country",
        "Users archived by the backend (1)",
        "identity/heidi  ArchivedByBackend",
        "Users held by the guard (3)",
        "Users archived (1)",
        "identity/judy  Requested: spec.active is false",
        &format!("kubectl scim approve scim {hash} -n identity"),
    ] {
        ensure!(seen.out.contains(part), "{part} is missing: {seen:?}");
    }
    // No value of a person, no token, and no colours where no terminal is.
    for part in ["Atlantis", "example.com", support::TOKEN, "\u{1b}["] {
        ensure!(!seen.out.contains(part), "{part} is shown: {seen:?}");
    }
    let data = steward.runs(&["status", "scim", "-o", "json"]).await?;
    let data: Value = serde_json::from_str(&data.out)?;
    ensure!(
        data["users"]["invalid"]["count"] == 1
            && data["users"]["held"]["count"] == 3
            && data["heldPlan"]["hash"] == hash
            && data["isWell"] == false,
        "{data}"
    );
    let few = steward.runs(&["status", "scim", "--limit", "1"]).await?;
    ensure!(few.out.contains("and 2 more; --limit"), "{few:?}");
    let yaml = steward.runs(&["status", "-o", "yaml"]).await?;
    ensure!(
        yaml.code == 1 && yaml.out.contains("isWell: false"),
        "{yaml:?}"
    );
    let line = steward.runs(&["status"]).await?;
    ensure!(
        line.code == 1 && line.out.lines().count() == 2 && line.out.contains("Connected"),
        "{line:?}"
    );
    let nobody = steward.runs(&["status", "nobody"]).await?;
    ensure!(
        nobody.code == 2 && nobody.err.contains("there is no ScimConnection nobody"),
        "{nobody:?}"
    );
    // Wherever others are let in: what may not be read there is told.
    let everywhere = json!({"allowedNamespaces": {"from": "All"}});
    scene.rig.edit_connection(everywhere).await?;
    let part = steward.runs(&["status", "scim"]).await?;
    ensure!(
        part.out.contains("are not shown") && part.out.contains("Users invalid (1)"),
        "{part:?}"
    );
    let admin = Person::of(scene.rig.plane.admin_kubeconfig()).await?;
    let whole = admin.runs(&["status", "scim", "-n", NAMESPACE]).await?;
    ensure!(
        !whole.out.contains("are not shown") && whole.out.contains("Users invalid (1)"),
        "{whole:?}"
    );
    let same = json!({"allowedNamespaces": {"from": "Same"}});
    scene.rig.edit_connection(same).await
}

/// What the operator alone knows is shown where its figures can be read, and only there.
async fn is_figured(scene: &mut Scene, steward: &Person) -> Result<()> {
    let address = scene.rig.operator.http_address(DEADLINE).await?;
    let url = format!("http://{address}/metrics");
    let seen = steward.runs(&["status", "scim", "--metrics", &url]).await?;
    let line = seen.out.lines().find(|line| line.starts_with("Requests"));
    let line = line.context("no line of requests")?;
    let sent: usize = line
        .split_whitespace()
        .nth(1)
        .context("no number")?
        .parse()?;
    ensure!(sent >= 11 && line.contains("throttled"), "{line}");
    let without = steward.runs(&["status", "scim"]).await?;
    ensure!(without.out.contains("--metrics URL"), "{without:?}");
    let gone = ["status", "scim", "--metrics", "http://127.0.0.1:1/metrics"];
    let gone = steward.runs(&gone).await?;
    ensure!(
        gone.code == 1 && gone.err.contains("the figures of --metrics"),
        "{gone:?}"
    );
    Ok(())
}

/// Another plan is refused, a person is asked, and who was shown is who goes.
async fn is_approved(scene: &Scene, steward: &Person, hash: &str) -> Result<()> {
    let wrong = ["approve", "scim", "0123456789abcdef", "--yes"];
    let wrong = steward.runs(&wrong).await?;
    ensure!(
        wrong.code == 1 && wrong.err.contains(&format!("what is held is {hash}")),
        "{wrong:?}"
    );
    let nobody_asked = steward.runs(&["approve", "scim", hash]).await?;
    ensure!(
        nobody_asked.code == 2 && nobody_asked.err.contains("--yes"),
        "{nobody_asked:?}"
    );
    let no = steward.answers(&["approve", "scim"], "n\n").await?;
    ensure!(
        no.code == 1 && no.err.contains("Let 3 users go? [y/N]"),
        "{no:?}"
    );
    let connection = scene.rig.connections().get("scim").await?;
    ensure!(
        connection.metadata.annotations.unwrap_or_default().len() == 1,
        "only the sync was asked for until now"
    );
    ensure!(scene.held(3).await?.hash == hash);

    let yes = steward.answers(&["approve", "scim"], "y\n").await?;
    ensure!(yes.code == 0 && yes.out.contains("is approved"), "{yes:?}");
    scene.gone(0..4).await?;
    wait::wait_for_object(
        scene.rig.connections(),
        "scim",
        "nothing to be held",
        DEADLINE,
        |c: Option<&ScimConnection>| {
            let status = c.and_then(|c| c.status.as_ref());
            status.is_some_and(|s| s.held_plan.is_none())
        },
    )
    .await?;
    let well = steward.runs(&["status", "scim"]).await?;
    ensure!(
        well.code == 0 && well.out.contains("identity/eve"),
        "{well:?}"
    );
    let nothing = steward.runs(&["approve", "scim", hash, "--yes"]).await?;
    ensure!(
        nothing.code == 1 && nothing.err.contains("nothing is held"),
        "{nothing:?}"
    );
    Ok(())
}

/// What changes is one line where no terminal is, and a screen drawn anew where one is; Ctrl-C ends both well.
async fn is_followed(scene: &Scene, steward: &Person) -> Result<()> {
    let mut log = steward.follows(&["status", "scim", "--watch"])?;
    log.await_output("Ready=True Connected", DEADLINE).await?;
    let mut screen = steward.follows_on_terminal(&["status", "scim", "--watch"])?;
    screen.await_output("\u{1b}[H\u{1b}[2J", DEADLINE).await?;
    screen.await_output("Users invalid (1)", DEADLINE).await?;
    // Bold, or a colour, as a terminal shows it.
    screen.await_output("\u{1b}[1m", DEADLINE).await?;
    let suspend = ["suspend", "sconn/scim", "--yes"];
    steward.runs(&suspend).await?.well()?;
    log.await_output("Ready=False Suspended", DEADLINE).await?;
    screen.await_output("suspended", DEADLINE).await?;
    let resume = ["resume", "sconn/scim", "--yes"];
    steward.runs(&resume).await?.well()?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    for followed in [log, screen] {
        let code = followed.interrupted(DEADLINE).await?;
        ensure!(code == Some(0), "ended by Ctrl-C with {code:?}");
    }
    Ok(())
}

/// kubectl runs the plugin, and completes its words by the script of the release.
async fn is_completed(steward: &Person) -> Result<()> {
    let by_kubectl = steward.kubectl(&["scim", "status", "scim"]).await?;
    ensure!(
        by_kubectl.code == 0 && by_kubectl.out.contains("identity/scim"),
        "{by_kubectl:?}"
    );
    for (words, candidate) in [
        (vec!["scim", "appr"], "approve"),
        (vec!["scim", "approve", "s"], "scim"),
        (vec!["scim", "suspend", "su/user-00"], "su/user-007"),
        (vec!["scim", "status", "--wat"], "--watch"),
    ] {
        let mut asked = vec!["__complete"];
        asked.extend(&words);
        let completed = steward.kubectl(&asked).await?;
        ensure!(
            completed.out.lines().any(|line| line == candidate),
            "{words:?}: {completed:?}"
        );
    }
    Ok(())
}
