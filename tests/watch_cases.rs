//! What can happen to a watch: it is dropped and what it missed is compacted away, or it shows an object
//! that cannot be read, or the schema changes under it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use scim_operator::api::ScimConnection;
use scim_operator_harness::wait;
use serde_json::{Value, json};
use support::company::{Scene, company, person};
use support::{DEADLINE, NAMESPACE, writes_since};

const CRD: &str = "scimusers.scim-operator.io";

impl Scene {
    /// The schema of a property of a user's spec, as the API server has it now, is replaced.
    async fn redefine(&self, property: &str, schema: Value) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.rig.client.clone());
        let path = format!(
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{property}"
        );
        let operation = if schema.is_null() {
            json!([{"op": "remove", "path": path}])
        } else {
            json!([{"op": "add", "path": path, "value": schema}])
        };
        let patch: Patch<()> = Patch::Json(serde_json::from_value(operation)?);
        definitions
            .patch(CRD, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Waits until the API server takes, or refuses, a manifest, since a new schema takes a moment.
    async fn applies(&self, manifest: &Value, taken: bool) -> Result<()> {
        let what = format!("the API server to say {taken} to a manifest");
        wait::eventually(&what, DEADLINE, async || {
            let input = manifest.to_string();
            let dry = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
            let result = self.rig.plane.kubectl_with_input(&dry, &input).await;
            Ok((result.is_ok() == taken).then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r07_what_a_dropped_watch_missed_is_caught_though_its_past_is_gone() -> Result<()> {
    let mut scene = company(4).await?;
    let users = scene.rig.users();
    scene.rig.operator.pause()?;
    scene
        .rig
        .edit(&person(0), json!({"enterprise": {"department": "Looms"}}))
        .await?;
    users.delete(&person(1), &DeleteParams::default()).await?;
    // This one is gone for good before anybody looks again.
    users.delete(&person(2), &DeleteParams::default()).await?;
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    users
        .patch(&person(2), &PatchParams::default(), &none)
        .await?;
    wait::wait_for_absence(users, &person(2), DEADLINE).await?;
    scene
        .rig
        .declare("new", support::person("new@example.com"))
        .await?;
    // A new API server remembers no event of before: "too old resource version".
    scene.rig.plane.restart_apiserver().await?;
    scene.rig.operator.resume()?;
    scene.rig.settled("new").await?;
    scene.gone(1..2).await?;
    scene.rig.settled(&person(0)).await?;
    let there = scene.simulator.user_by_name("user-000@example.com");
    let there = there.unwrap_or_default().to_string();
    ensure!(there.contains("Looms"), "{there}");
    let counted = wait::wait_for_object(
        scene.rig.connections(),
        "scim",
        "three users to be counted",
        DEADLINE,
        |c: Option<&ScimConnection>| {
            let users = c.and_then(|c| c.status.as_ref()).and_then(|s| s.users);
            users.is_some_and(|users| users.desired == 3)
        },
    );
    scene.rig.told(counted.await)?;
    ensure!(scene.archived() == 1, "absence deprovisions nobody");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_an_object_that_cannot_be_read_says_so_and_stops_nobody() -> Result<()> {
    let mut scene = company(2).await?;
    let labels = json!({"team": "engines"});
    scene.rig.label(&person(1), labels.clone()).await?;
    let group = json!({"displayName": "Engines", "memberSelector": {"matchLabels": labels}});
    scene.rig.declare_group("engines", group).await?;
    scene.rig.group_settled("engines").await?;
    let mark = scene.proxy.mark();
    scene
        .redefine(
            "city",
            json!({"x-kubernetes-preserve-unknown-fields": true}),
        )
        .await?;
    let strange = |name: &str, user_name: &str| {
        let mut spec = support::person(user_name);
        spec["city"] = json!({"of": "another version"});
        json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
    };
    let poison = strange("poison", "poison@example.com");
    scene.applies(&poison, true).await?;
    let apply = async |object: &Value| {
        let input = object.to_string();
        let applied = scene
            .rig
            .plane
            .kubectl_with_input(&["apply", "-f", "-"], &input);
        applied.await.map(drop)
    };
    apply(&poison).await?;
    // One that was fine, and is edited into something that is not.
    apply(&strange(&person(1), "user-001@example.com")).await?;
    let told = async |name: &str| {
        wait::eventually("it to say so", DEADLINE, async || {
            let get = [
                "get",
                "scimuser",
                name,
                "--namespace",
                NAMESPACE,
                "--output=jsonpath={.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type==\"Ready\")].message}",
            ];
            let said = scene.rig.plane.kubectl(&get).await?;
            // Of this generation, or whoever waits (kstatus) takes it for work under way.
            let words: Vec<&str> = said.splitn(3, ' ').collect();
            Ok(matches!(words[..], [now, observed, message] if now == observed
                && message.contains("not readable by this version"))
            .then_some(()))
        })
        .await
    };
    told("poison").await?;
    told(&person(1)).await?;
    // Neither now nor after a start does it stop anybody.
    scene
        .rig
        .edit(&person(0), json!({"enterprise": {"department": "Looms"}}))
        .await?;
    scene.rig.settled(&person(0)).await?;
    scene.rig.operator.terminate(DEADLINE).await?;
    scene.rig.restart().await?;
    scene
        .rig
        .declare("new", support::person("new@example.com"))
        .await?;
    scene.rig.settled("new").await?;
    // It is not gone: nobody takes its account, and it is out of no group.
    scene
        .rig
        .declare("usurper", support::person("user-001@example.com"))
        .await?;
    scene
        .rig
        .user_is("usurper", "Ready", "False", "Conflict")
        .await?;
    scene.rig.group_looked_at("engines", "afterwards").await?;
    let groups = scene.simulator.groups();
    let members = groups[0]["members"].as_array().map(Vec::len);
    ensure!(members == Some(1), "{groups:?}");
    let wrote = writes_since(&scene.proxy, mark);
    ensure!(wrote == ["PATCH", "POST"], "{wrote:?}");
    let log = scene.rig.operator.log();
    ensure!(!log.contains("another version\""), "a value was logged");
    // Nobody knows what to do with one that is deleted, until a person says so.
    let kubectl = async |words: &[&str]| {
        let name = person(1);
        let all = [words, &["scimuser", &*name, "--namespace", NAMESPACE]].concat();
        scene.rig.plane.kubectl(&all).await
    };
    kubectl(&["delete", "--wait=false"]).await?;
    ensure!(
        kubectl(&["get", "--output=name"])
            .await?
            .contains(&person(1))
    );
    let abandon = "scim-operator.io/abandon=true";
    let annotate = [
        "annotate",
        "scimuser",
        &person(1),
        abandon,
        "--namespace",
        NAMESPACE,
    ];
    scene.rig.plane.kubectl(&annotate).await?;
    wait::eventually("it to be let go", DEADLINE, async || {
        let there = kubectl(&["get", "--output=name", "--ignore-not-found"]).await?;
        Ok(there.trim().is_empty().then_some(()))
    })
    .await?;
    ensure!(scene.archived() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r23_a_schema_that_is_upgraded_and_downgraded_writes_nothing() -> Result<()> {
    let mut scene = company(3).await?;
    let mark = scene.proxy.mark();
    let mut newer = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
        "metadata": {"name": person(0), "namespace": NAMESPACE},
        "spec": support::person("user-000@example.com")});
    newer["spec"]["pronouns"] = "she".into();
    scene
        .redefine("pronouns", json!({"type": "string"}))
        .await?;
    scene.applies(&newer, true).await?;
    let input = newer.to_string();
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    scene.rig.plane.kubectl_with_input(&apply, &input).await?;
    scene.rig.settled(&person(0)).await?;
    scene.rig.operator.terminate(DEADLINE).await?;
    scene.rig.restart().await?;
    scene.rig.sync("upgraded").await?;
    scene.redefine("pronouns", Value::Null).await?;
    scene.applies(&newer, false).await?;
    scene.rig.sync("downgraded").await?;
    for number in 0..3 {
        scene.rig.settled(&person(number)).await?;
    }
    let wrote = writes_since(&scene.proxy, mark);
    ensure!(wrote.is_empty(), "{wrote:?}");
    Ok(())
}
