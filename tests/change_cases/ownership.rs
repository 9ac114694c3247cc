//! Whose account it is, whatever is renamed, moved, claimed or forged.

use crate::support::scene::{Scene, scene, simulator};
use crate::support::{DEADLINE, person, writes_since};
use anyhow::{Result, ensure};
use kube::api::{Api, DeleteParams, PostParams};
use reqwest::Method;
use scim_operator::api::ScimUser;
use scim_operator_harness::proxy::Matcher;
use scim_operator_harness::{RecordingProxy, wait};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_renamed_in_git_keeps_its_account_and_a_retained_one_can_be_named() -> Result<()>
{
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    let id = rig.settled("ada").await?.status.and_then(|s| s.id);
    rig.declare("ada-lovelace", person("ada@example.com"))
        .await?;
    rig.user_is("ada-lovelace", "Valid", "False", "DuplicateUserName")
        .await?;
    rig.delete("ada").await?;
    let user = rig.settled("ada-lovelace").await?;
    ensure!(user.status.and_then(|s| s.id) == id, "another account");
    ensure!(rig.condition("ada-lovelace", "Synced").await?.1 == "Adopted");
    let account = simulator.user_by_name("ada@example.com").expect("there");
    ensure!(
        account["active"] == true
            && account["externalId"] == "scim-operator:identity/scim:identity/ada-lovelace",
        "{account}"
    );
    ensure!(
        writes_since(&proxy, 0) == ["POST", "PATCH", "PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );

    // Retained under another userName, it is taken over by its id.
    rig.edit("ada-lovelace", json!({"deletionPolicy": "Retain"}))
        .await?;
    rig.settled("ada-lovelace").await?;
    rig.delete("ada-lovelace").await?;
    let mut spec = person("countess@example.com");
    spec["adopt"] = json!({"id": id});
    rig.declare("countess", spec).await?;
    rig.settled("countess").await?;
    ensure!(simulator.users().len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_endpoint_is_nobodys_and_comes_back_with_its_endpoint() -> Result<()> {
    let Scene {
        rig,
        simulator: first,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ada", person("ada@example.com")).await?;
    let id = rig
        .settled("ada")
        .await?
        .status
        .and_then(|s| s.id)
        .unwrap_or_default();
    // A stranger of the same id, as with servers that number their accounts.
    let second = simulator().await?;
    let stranger = json!({"userName": "stranger@example.com", "active": true, "name": {"givenName": "A", "familyName": "Stranger"}});
    ensure!(
        second.insert_user(stranger) == id,
        "the simulators number their accounts differently"
    );
    let elsewhere = RecordingProxy::start(&second.base_url()).await?;
    rig.move_to(&elsewhere.url()).await?;
    wait::eventually("ada to have an account there", DEADLINE, async || {
        let user = rig.users().get("ada").await?;
        let now = user.status.unwrap_or_default();
        if now.id.as_ref() == Some(&id) {
            anyhow::bail!("{:?}", now.conditions);
        }
        Ok(Some(()))
    })
    .await?;
    rig.settled("ada").await?;
    ensure!(
        writes_since(&elsewhere, 0) == ["POST"],
        "{:?}",
        writes_since(&elsewhere, 0)
    );
    ensure!(second.user(&id).expect("there")["userName"] == "stranger@example.com");

    // Back again, the mark finds the first account.
    let mark = proxy.mark();
    rig.edit_connection(json!({"endpoint": proxy.url()}))
        .await?;
    wait::eventually(
        "ada to have her first account again",
        DEADLINE,
        async || {
            let user = rig.users().get("ada").await?;
            Ok((user.status.and_then(|s| s.id).as_ref() == Some(&id)).then_some(()))
        },
    )
    .await?;
    ensure!(writes_since(&proxy, mark).is_empty() && first.users().len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r01_also_with_an_external_id_of_ones_own_and_for_a_user_deleted_meanwhile() -> Result<()> {
    let Scene {
        mut rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    for (name, stays) in [("ada", true), ("bob", false)] {
        let mut held = proxy.hold_reply_after_commit(Matcher::new(Method::POST, "/Users"));
        let mut spec = person(&format!("{name}@example.com"));
        spec["externalId"] = json!(format!("hr-{name}"));
        rig.declare(name, spec).await?;
        held.committed().await?;
        rig.operator.kill9()?;
        held.release();
        if !stays {
            rig.users().delete(name, &DeleteParams::default()).await?;
        }
        rig.restart().await?;
        if stays {
            rig.settled(name).await?;
        } else {
            wait::wait_for_absence(rig.users(), name, DEADLINE).await?;
        }
        let account = simulator
            .user_by_name(&format!("{name}@example.com"))
            .expect("created");
        ensure!(account["active"] == stays, "{name}: {account}");
    }
    ensure!(
        writes_since(&proxy, 0) == ["POST", "POST", "PATCH"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_given_up_goes_to_whoever_waits_for_it() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    for name in ["ada", "bob"] {
        rig.declare(name, person(&format!("{name}@example.com")))
            .await?;
        rig.settled(name).await?;
    }
    let renamed = |to: &str| json!({"userName": to, "emails": [{"type": "work", "value": to, "primary": true}]});
    // Declared in Git in one commit, seen in the order that hurts.
    let bobs = "bob@example.com";
    let mut held =
        proxy.hold_reply_after_commit(Matcher::new(Method::PATCH, "/Users").containing("robert"));
    rig.edit("bob", renamed("robert@example.com")).await?;
    held.committed().await?;
    drop(held);
    rig.edit("ada", renamed(bobs)).await?;
    rig.settled("ada").await?;
    rig.settled("bob").await?;
    let names: Vec<Value> = simulator
        .users()
        .iter()
        .map(|u| u["userName"].clone())
        .collect();
    ensure!(
        names.contains(&json!(bobs)) && names.contains(&json!("robert@example.com")),
        "{names:?}"
    );

    // Taken while ada asks, and let go later: no listing is needed in between.
    rig.edit("ada", renamed("robert@example.com")).await?;
    rig.user_is("ada", "Ready", "False", "Conflict").await?;
    rig.edit("bob", renamed("rob@example.com")).await?;
    rig.settled("bob").await?;
    rig.settled("ada").await?;
    ensure!(simulator.user_by_name("robert@example.com").is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_let_in_claims_nobody() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.plane.create_namespace("elsewhere").await?;
    let there: Api<ScimUser> = Api::namespaced(rig.client.clone(), "elsewhere");
    let mut spec = person("ada@example.com");
    spec["connectionRef"]["namespace"] = json!("identity");
    let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": "a"}, "spec": spec});
    there
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let refused = || {
        wait::wait_for_condition(
            there.clone(),
            "a",
            "Valid",
            "False",
            Some("ConnectionNotAllowed"),
            DEADLINE,
        )
    };
    refused().await?;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;

    // Let in, the older claims the person; shut out again, it does not.
    rig.edit_connection(json!({"allowedNamespaces": {"from": "All"}}))
        .await?;
    rig.user_is("ada", "Valid", "False", "DuplicateUserName")
        .await?;
    rig.edit_connection(json!({"allowedNamespaces": {"from": "Same"}}))
        .await?;
    rig.settled("ada").await?;
    refused().await?;
    ensure!(simulator.users().len() == 1 && proxy.count(&Method::POST, "/Users") == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_tenant_can_write_makes_an_account_its_own() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({})).await?;
    rig.declare("ceo", person("ceo@example.com")).await?;
    rig.settled("ceo").await?;
    let old = json!({"userName": "old@example.com", "active": true, "name": {"givenName": "Old", "familyName": "Account"}});
    simulator.insert_user(old);
    rig.sync("listed").await?;
    let mark = proxy.mark();
    // Whoever may write specs and metadata in a namespace that is not even let in.
    rig.plane.create_namespace("elsewhere").await?;
    let there: Api<ScimUser> = Api::namespaced(rig.client.clone(), "elsewhere");
    for (name, user_name, external_id) in [
        (
            "a",
            "x@example.com",
            Some("scim-operator:identity/scim:identity/ceo"),
        ),
        ("b", "old@example.com", None),
        ("c", "ceo@example.com", None),
    ] {
        let mut spec = person(user_name);
        spec["connectionRef"]["namespace"] = json!("identity");
        spec["deletionPolicy"] = json!("Delete");
        if let Some(external_id) = external_id {
            spec["externalId"] = json!(external_id);
        }
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {
            "name": name, "finalizers": ["scim-operator.io/deprovision"],
            "annotations": {"scim-operator.io/creating": "true"}
        }, "spec": spec});
        there
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        there.delete(name, &DeleteParams::default()).await?;
        wait::wait_for_absence(there.clone(), name, DEADLINE).await?;
    }
    ensure!(
        writes_since(&proxy, mark).is_empty() && simulator.users().len() == 2,
        "{:?}",
        writes_since(&proxy, mark)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_is_never_two_peoples() -> Result<()> {
    let Scene {
        rig,
        simulator,
        proxy,
    } = scene(json!({"adoption": {"match": ["UserName"]}})).await?;
    simulator
        .faults()
        .update(|f| f.external_id_not_echoed = true);
    rig.declare("john", person("john@example.com")).await?;
    let first = rig.settled("john").await?.status.and_then(|s| s.id);
    // In one commit the first John gets a number, and another John comes: the second is seen first.
    let mut held =
        proxy.hold_reply_after_commit(Matcher::new(Method::PATCH, "/Users").containing("john1"));
    let one = json!({"userName": "john1@example.com", "emails": [{"type": "work", "value": "john1@example.com", "primary": true}]});
    proxy.fail_next(
        Matcher::new(Method::PATCH, "/Users").containing("john1"),
        500,
    )?;
    rig.edit("john", one).await?;
    rig.declare("john-two", person("john@example.com")).await?;
    held.committed().await?;
    held.release();
    rig.settled("john").await?;
    let second = rig.settled("john-two").await?.status.and_then(|s| s.id);
    ensure!(second.is_some() && first != second, "both have {first:?}");
    ensure!(simulator.users().len() == 2);
    Ok(())
}
