//! The finalizer that an admission policy sets at creation is no proof that anything was begun: whoever never had
//! an account goes without a look at the backend, and whoever may have one does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

#[path = "policy_cases/records.rs"]
mod records;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use reqwest::Method;
use scim_operator::api::{FINALIZER, ScimUser, ScimUserStatus};
use scim_operator_harness::bench::samples::Requests;
use scim_operator_harness::proxy::{Held, Matcher};
use scim_operator_harness::wait;
use serde_json::{Value, json};
use support::scene::{Scene, scene, stage};
use support::{DEADLINE, NAMESPACE, Rig, person, writes_since};

fn is_bound(user: &ScimUser) -> bool {
    user.finalizers() == [FINALIZER]
}

fn user(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}

fn ada() -> Value {
    person("ada@example.com")
}

/// A person whom no profile accepts.
fn nobody() -> Value {
    let mut spec = ada();
    spec["emails"] = json!([]);
    spec["addresses"] = json!([]);
    spec
}

impl Scene {
    /// Waits until the API server does, or does not, set the finalizer: it hears of policies by a watch.
    async fn policy_is(&self, there: bool) -> Result<()> {
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let probe: ScimUser = serde_json::from_value(user("probe", ada()))?;
        let users = self.rig.users();
        wait::eventually("the policy to be in force, or gone", DEADLINE, async || {
            let made = users.create(&dry_run, &probe).await?;
            Ok((is_bound(&made) == there).then_some(()))
        })
        .await
    }

    async fn stop_operator(&mut self) -> Result<()> {
        self.rig.operator.kill9()?;
        self.rig.operator.await_exit(DEADLINE).await.map(drop)
    }

    /// Declares a user, whom the policy binds.
    async fn declare_bound(&self, name: &str, spec: Value) -> Result<()> {
        let made = self.rig.declare(name, spec).await?;
        ensure!(is_bound(&made), "{:?}", made.metadata);
        Ok(())
    }

    /// Declares `ada` once the operator has learned that externalId comes back, so that nothing is written ahead;
    /// her account is created, and nobody has the answer yet.
    async fn created_and_unanswered(&self) -> Result<Held> {
        self.rig
            .declare("first", person("first@example.com"))
            .await?;
        self.rig.settled("first").await?;
        let mut held = self
            .proxy
            .hold_reply_after_commit(Matcher::new(Method::POST, "/Users"));
        self.declare_bound("ada", ada()).await?;
        held.committed().await?;
        Ok(held)
    }

    async fn ask_to_delete(&self, name: &str) -> Result<()> {
        let users = self.rig.users();
        users.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn is_gone(&self, name: &str) -> Result<()> {
        let gone = wait::wait_for_absence(self.rig.users(), name, DEADLINE).await;
        self.rig.told(gone)
    }

    async fn is_free(&self, name: &str) -> Result<()> {
        let free = |user: Option<&ScimUser>| user.is_some_and(|user| user.finalizers().is_empty());
        let users = self.rig.users();
        let free = wait::wait_for_object(users, name, "no finalizer", DEADLINE, free).await;
        self.rig.told(free.map(drop))
    }

    fn nothing_was_written(&self) -> Result<()> {
        let written = writes_since(&self.proxy, 0);
        let accounts = self.simulator.users();
        ensure!(written.is_empty() && accounts.is_empty(), "{written:?}");
        Ok(())
    }
}

async fn governed(extra: Value) -> Result<Scene> {
    let scene = scene(extra).await?;
    scene.policy_is(true).await?;
    Ok(scene)
}

async fn writes_of(rig: &Rig, names: &[&str]) -> Result<u64> {
    let before = Requests::now(&rig.client).await?;
    for name in names {
        let address = format!("{name}@example.com");
        rig.declare(name, person(&address)).await?;
    }
    for name in names {
        rig.settled(name).await?;
    }
    // What was going to be written because of that is written once a listing after it is answered.
    rig.sync(names[0]).await?;
    let after = Requests::now(&rig.client).await?;
    Ok(after.writes_since(&before, "scimusers"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_is_one_write_with_the_policy_and_two_without() -> Result<()> {
    let scene = governed(json!({})).await?;
    // The first account teaches that the backend returns externalId.
    scene
        .rig
        .declare("first", person("first@example.com"))
        .await?;
    scene.rig.settled("first").await?;
    let with = writes_of(&scene.rig, &["a", "b", "c"]).await?;
    ensure!(with == 3, "{with} writes for three users");
    // Somebody takes the policy away while all of this runs.
    for kind in ["mutatingadmissionpolicy", "mutatingadmissionpolicybinding"] {
        let kubectl = ["delete", kind, "scim-operator-finalizer"];
        scene.rig.plane.kubectl(&kubectl).await?;
    }
    scene.policy_is(false).await?;
    let without = writes_of(&scene.rig, &["d", "e", "f"]).await?;
    ensure!(without == 6, "{without} writes for three users");
    for name in ["a", "d"] {
        ensure!(is_bound(&scene.rig.users().get(name).await?), "{name}");
        scene.rig.delete(name).await?;
    }
    let users = scene.simulator.users();
    let archived = users.iter().filter(|user| user["active"] == false);
    ensure!(archived.count() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finalizer_is_set_once_and_is_no_drift() -> Result<()> {
    let mut scene = governed(json!({})).await?;
    scene.stop_operator().await?;
    let plane = &scene.rig.plane;
    for (name, apply) in [
        ("client", &["apply", "-f", "-"][..]),
        ("server", &["apply", "--server-side", "-f", "-"]),
        ("created", &["create", "-f", "-"]),
    ] {
        let mut manifest = user(name, ada());
        plane
            .kubectl_with_input(apply, &manifest.to_string())
            .await?;
        let made = scene.rig.users().get(name).await?;
        ensure!(is_bound(&made), "{name}: {:?}", made.metadata);
        if apply[0] != "apply" {
            continue;
        }
        // The default of a status that nobody has written is stored with the next write, once.
        plane
            .kubectl_with_input(apply, &manifest.to_string())
            .await?;
        let made = scene.rig.users().get(name).await?;
        plane
            .kubectl_with_input(apply, &manifest.to_string())
            .await?;
        let again = scene.rig.users().get(name).await?;
        ensure!(
            again.resource_version() == made.resource_version(),
            "{name}"
        );
        // An exit code of 1 says that there is a difference.
        let mut diff = apply.to_vec();
        diff[0] = "diff";
        plane
            .kubectl_with_input(&diff, &manifest.to_string())
            .await?;
        manifest["spec"]["city"] = "York".into();
        plane
            .kubectl_with_input(apply, &manifest.to_string())
            .await?;
        let edited = scene.rig.users().get(name).await?;
        ensure!(is_bound(&edited), "{name}: the next apply took it off");
    }
    for (name, own) in [
        ("ours", json!([FINALIZER])),
        ("others", json!(["example.com/a", "example.com/b"])),
        ("none", json!([])),
    ] {
        let mut object = user(name, ada());
        object["metadata"]["finalizers"] = own.clone();
        plane
            .kubectl_with_input(&["create", "-f", "-"], &object.to_string())
            .await?;
        let made = scene.rig.users().get(name).await?;
        let mut expected: Vec<String> = serde_json::from_value(own)?;
        expected.retain(|finalizer| finalizer != FINALIZER);
        expected.push(FINALIZER.to_owned());
        ensure!(made.finalizers() == expected, "{:?}", made.finalizers());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_and_went_before_the_operator_saw_it_leaves_nothing() -> Result<()> {
    let mut scene = governed(json!({})).await?;
    scene.stop_operator().await?;
    scene.declare_bound("ada", ada()).await?;
    scene
        .rig
        .declare_group("engines", json!({"displayName": "Engines"}))
        .await?;
    scene.ask_to_delete("ada").await?;
    let groups = scene.rig.groups();
    groups.delete("engines", &DeleteParams::default()).await?;
    ensure!(
        scene.rig.users().get_opt("ada").await?.is_some(),
        "it waits"
    );
    scene.rig.restart().await?;
    scene.is_gone("ada").await?;
    scene
        .rig
        .told(wait::wait_for_absence(groups, "engines", DEADLINE).await)?;
    scene.nothing_was_written()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_have_been_created_by_an_earlier_process_is_looked_for() -> Result<()> {
    let mut scene = governed(json!({"deletionPolicy": "Delete"})).await?;
    let held = scene.created_and_unanswered().await?;
    scene.stop_operator().await?;
    held.release();
    scene.ask_to_delete("ada").await?;
    let left = scene.rig.users().get("ada").await?;
    ensure!(
        left.status.clone().unwrap_or_default() == ScimUserStatus::default(),
        "nothing is recorded: {:?}",
        left.status
    );
    ensure!(scene.simulator.users().len() == 2);
    // Nor is it let go while nobody can be asked.
    scene.proxy.set_down(true);
    scene.rig.restart().await?;
    scene
        .rig
        .user_is("ada", "Ready", "False", "ConnectionNotReady")
        .await?;
    scene.proxy.set_down(false);
    scene.is_gone("ada").await?;
    ensure!(scene.simulator.users().len() == 1, "a leaver was left in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_while_the_create_is_in_flight_it_is_taken_back() -> Result<()> {
    let scene = governed(json!({"deletionPolicy": "Delete"})).await?;
    let mut held = scene
        .proxy
        .hold_reply_after_commit(Matcher::new(Method::POST, "/Users"));
    scene.declare_bound("ada", ada()).await?;
    held.committed().await?;
    scene.ask_to_delete("ada").await?;
    held.release();
    scene.is_gone("ada").await?;
    ensure!(scene.simulator.users().is_empty(), "a leaver was left in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_to_be_created_is_free_and_goes_without_an_operator() -> Result<()> {
    let mut scene = governed(json!({})).await?;
    scene.declare_bound("invalid", nobody()).await?;
    let mut suspended = ada();
    suspended["suspend"] = true.into();
    scene.declare_bound("suspended", suspended).await?;
    scene
        .rig
        .user_is("invalid", "Valid", "False", "SpecInvalid")
        .await?;
    for name in ["invalid", "suspended"] {
        scene.is_free(name).await?;
    }
    let mut group = json!({"displayName": "Engines"});
    group["suspend"] = true.into();
    scene.rig.declare_group("engines", group).await?;
    scene
        .rig
        .group_when("engines", "no finalizer", |group| {
            group.finalizers().is_empty()
        })
        .await?;
    scene.stop_operator().await?;
    for name in ["invalid", "suspended"] {
        scene.rig.delete(name).await?;
    }
    scene.rig.delete_group("engines").await?;
    scene.nothing_was_written()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_user_that_is_mended_is_bound_again_and_a_finalizer_put_back_stays() -> Result<()>
{
    let scene = governed(json!({})).await?;
    scene.declare_bound("ada", nobody()).await?;
    scene.is_free("ada").await?;
    let put_back = json!({"metadata": {"finalizers": [FINALIZER]}}).to_string();
    let patch = [
        "patch",
        "scimuser",
        "ada",
        "-n",
        NAMESPACE,
        "--type=merge",
        "-p",
        &put_back,
    ];
    scene.rig.plane.kubectl(&patch).await?;
    scene.rig.sync("afterwards").await?;
    ensure!(
        is_bound(&scene.rig.users().get("ada").await?),
        "it was fought over"
    );
    let spec = ada();
    let mended = json!({"emails": spec["emails"], "addresses": spec["addresses"]});
    scene.rig.edit("ada", mended).await?;
    let user = scene.rig.settled("ada").await?;
    ensure!(is_bound(&user));
    scene.rig.delete("ada").await?;
    ensure!(scene.simulator.users()[0]["active"] == false);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_nobody_is_kept() -> Result<()> {
    let mut scene = stage().await?;
    scene.policy_is(true).await?;
    scene.declare_bound("seen", ada()).await?;
    scene
        .declare_bound("inherited", person("bob@example.com"))
        .await?;
    for name in ["seen", "inherited"] {
        scene
            .rig
            .user_is(name, "Valid", "False", "ConnectionNotFound")
            .await?;
    }
    scene.ask_to_delete("seen").await?;
    scene.is_gone("seen").await?;
    scene.stop_operator().await?;
    scene.ask_to_delete("inherited").await?;
    scene.rig.restart().await?;
    scene.is_gone("inherited").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_never_ready_keeps_nobody() -> Result<()> {
    let mut scene = stage().await?;
    scene.policy_is(true).await?;
    scene.proxy.set_down(true);
    scene.rig.connect(&scene.proxy.url(), json!({})).await?;
    scene.declare_bound("ada", ada()).await?;
    scene
        .declare_bound("bob", person("bob@example.com"))
        .await?;
    for name in ["ada", "bob"] {
        scene
            .rig
            .user_is(name, "Ready", "False", "ConnectionNotReady")
            .await?;
    }
    scene.stop_operator().await?;
    scene.rig.restart().await?;
    scene.ask_to_delete("ada").await?;
    scene.is_gone("ada").await?;
    // Nor does who is still there keep the connection.
    let connections = scene.rig.connections();
    connections.delete("scim", &DeleteParams::default()).await?;
    let gone = wait::wait_for_absence(connections, "scim", DEADLINE).await;
    scene.rig.told(gone)?;
    scene.ask_to_delete("bob").await?;
    scene.is_gone("bob").await?;
    scene.nothing_was_written()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_keeps_nobody() -> Result<()> {
    let mut scene = stage().await?;
    scene.policy_is(true).await?;
    let url = scene.proxy.url();
    scene.rig.connect(&url, json!({"mode": "DryRun"})).await?;
    // Only of whom it has not found there does the operator know that nothing was begun.
    scene.rig.connection_is("Ready", "True", "DryRun").await?;
    scene.declare_bound("ada", ada()).await?;
    scene.rig.user_is("ada", "Ready", "False", "DryRun").await?;
    scene.is_free("ada").await?;
    scene.rig.delete("ada").await?;
    // Of these nobody knows whether they were seen.
    scene.stop_operator().await?;
    let mut suspended = person("bob@example.com");
    suspended["suspend"] = true.into();
    scene.declare_bound("bob", suspended).await?;
    scene
        .declare_bound("eve", person("eve@example.com"))
        .await?;
    for name in ["bob", "eve"] {
        scene.ask_to_delete(name).await?;
    }
    scene.rig.restart().await?;
    for name in ["bob", "eve"] {
        scene.is_gone(name).await?;
    }
    scene.nothing_was_written()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_and_a_suspension_keep_whoever_has_an_account_that_is_not_recorded() -> Result<()>
{
    let mut scene = governed(json!({"deletionPolicy": "Delete"})).await?;
    let held = scene.created_and_unanswered().await?;
    scene.stop_operator().await?;
    held.release();
    scene.rig.edit_connection(json!({"mode": "DryRun"})).await?;
    scene.ask_to_delete("ada").await?;
    scene.rig.restart().await?;
    scene.rig.user_is("ada", "Ready", "False", "DryRun").await?;
    scene.rig.edit("ada", json!({"suspend": true})).await?;
    scene
        .rig
        .edit_connection(json!({"mode": "Enforce"}))
        .await?;
    scene
        .rig
        .user_is("ada", "Ready", "False", "Suspended")
        .await?;
    scene.rig.sync("looked at").await?;
    ensure!(
        scene.simulator.users().len() == 2,
        "it was to be left alone"
    );
    scene.rig.edit("ada", json!({"suspend": false})).await?;
    scene.is_gone("ada").await?;
    ensure!(scene.simulator.users().len() == 1, "a leaver was left in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_let_in_keeps_nobody() -> Result<()> {
    let scene = governed(json!({})).await?;
    scene.rig.plane.create_namespace("elsewhere").await?;
    let users: kube::Api<ScimUser> = kube::Api::namespaced(scene.rig.client.clone(), "elsewhere");
    let mut object = user("ada", ada());
    object["metadata"]["namespace"] = "elsewhere".into();
    object["spec"]["connectionRef"]["namespace"] = NAMESPACE.into();
    let made = users
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    ensure!(is_bound(&made));
    let why = Some("ConnectionNotAllowed");
    let told = wait::wait_for_condition(users.clone(), "ada", "Valid", "False", why, DEADLINE);
    scene.rig.told(told.await)?;
    scene.proxy.set_down(true);
    users.delete("ada", &DeleteParams::default()).await?;
    let gone = wait::wait_for_absence(users, "ada", DEADLINE).await;
    scene.rig.told(gone)?;
    scene.nothing_was_written()
}
