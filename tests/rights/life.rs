//! A short life, in which everything happens that the operator needs a right for.

use anyhow::Result;
use scim_operator_harness::certs::Authority;
use scim_operator_harness::{RecordingProxy, TlsFront, wait};
use serde_json::{Value, json};

use crate::support::groups::members;
use crate::support::{DEADLINE, NAMESPACE, Rig, TOKEN, person, scene};

/// What is declared, changed, deprovisioned, misread and ended; the operator ends with it.
pub async fn is_lived(rig: &mut Rig) -> Result<()> {
    let simulator = scene::simulator().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    let authority = Authority::named("the company's authority")?;
    let front = TlsFront::start(proxy.address(), &authority.server()?).await?;
    rig.set_token(TOKEN).await?;
    rig.keep(
        "ConfigMap",
        "corporate-ca",
        "ca.crt",
        &authority.certificate,
    )
    .await?;
    let bundle =
        json!({"insecure": false, "caBundleRef": {"name": "corporate-ca", "key": "ca.crt"}});
    let connect = async |rig: &Rig| {
        rig.connect(&front.url(), bundle.clone()).await?;
        rig.connection_is("Ready", "True", "Connected").await
    };
    connect(rig).await?;
    people_come_change_and_go(rig).await?;
    some_cannot_be_read(rig).await?;
    a_connection_is_abandoned(rig).await?;
    connect(rig).await?;
    rig.settled("ada").await?;
    // What cannot be deprovisioned any more is told at the Namespace.
    proxy.set_down(true);
    the_namespace_ends(rig).await?;
    rig.operator.terminate(DEADLINE).await?;
    Ok(())
}

async fn people_come_change_and_go(rig: &Rig) -> Result<()> {
    for name in ["ada", "eve", "bob"] {
        let spec = person(&format!("{name}@example.com"));
        rig.declare(name, spec).await?;
    }
    for name in ["ada", "eve", "bob"] {
        rig.settled(name).await?;
    }
    // The second event of a kind about one object is counted up, not made.
    for department in ["Looms", "Cards", "Wheels"] {
        let spec = json!({"enterprise": {"department": department}});
        rig.edit("ada", spec).await?;
        rig.settled("ada").await?;
    }
    let spec = json!({"displayName": "Engines", "members": members(&["ada"])});
    rig.declare_group("engines", spec).await?;
    rig.group_settled("engines").await?;
    // Whether its namespace or its kind ends is asked before a group is deleted.
    rig.delete_group("engines").await?;
    rig.delete("eve").await
}

/// One user and one group that another version has written.
async fn some_cannot_be_read(rig: &Rig) -> Result<()> {
    for (plural, property, kind, mut spec) in [
        (
            "scimusers",
            "city",
            "ScimUser",
            person("poison@example.com"),
        ),
        (
            "scimgroups",
            "externalId",
            "ScimGroup",
            json!({"connectionRef": {"name": "scim"}, "displayName": "Poison"}),
        ),
    ] {
        let path = format!(
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{property}"
        );
        let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
        let patch = json!([{"op": "add", "path": path, "value": anything}]).to_string();
        let definition = format!("{plural}.scim-operator.io");
        let redefine = [
            "patch",
            "crd",
            &definition,
            "--type=json",
            "--patch",
            &patch,
        ];
        rig.plane.kubectl(&redefine).await?;
        spec[property] = json!({"of": "another version"});
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": "poison", "namespace": NAMESPACE}, "spec": spec});
        // The new schema takes a moment.
        wait::eventually("the API server to take it", DEADLINE, async || {
            let apply = ["apply", "--validate=strict", "-f", "-"];
            let input = object.to_string();
            let made = rig.plane.kubectl_with_input(&apply, &input).await;
            Ok(made.is_ok().then_some(()))
        })
        .await?;
        says(rig, plural, "not readable by this version").await?;
    }
    Ok(())
}

/// Waits until the object named poison says so in its condition Ready.
async fn says(rig: &Rig, plural: &str, words: &str) -> Result<()> {
    let what = format!("one of the {plural} to say {words:?}");
    let told = wait::eventually(&what, DEADLINE, async || {
        let message = "--output=jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
        let get = ["get", plural, "poison", "--namespace", NAMESPACE, message];
        let said = rig.plane.kubectl(&get).await?;
        Ok(said.contains(words).then_some(()))
    });
    rig.told(told.await)
}

/// Whoever is deleted afterwards has the API server itself asked for the connection.
async fn a_connection_is_abandoned(rig: &Rig) -> Result<()> {
    let abandon = "scim-operator.io/abandon=true";
    let run = async |line: &[&str]| -> Result<String> {
        let line = [line, &["--namespace", NAMESPACE]].concat();
        rig.plane.kubectl(&line).await
    };
    run(&["annotate", "scimconnection", "scim", abandon]).await?;
    run(&["delete", "scimconnection", "scim", "--wait=false"]).await?;
    rig.told(wait::wait_for_absence(rig.connections(), "scim", DEADLINE).await)?;
    run(&["delete", "scimuser", "bob", "--wait=false"]).await?;
    rig.user_is("bob", "Ready", "False", "ConnectionNotReady")
        .await?;
    run(&["annotate", "scimuser", "bob", abandon]).await?;
    rig.told(wait::wait_for_absence(rig.users(), "bob", DEADLINE).await)
}

async fn the_namespace_ends(rig: &Rig) -> Result<()> {
    let ends = |object: &'static str| {
        let mut line = vec!["delete", "--wait=false"];
        line.extend(object.split(' '));
        line
    };
    rig.plane.kubectl(&ends("namespace identity")).await?;
    for object in [
        "secret scim",
        "scimconnection scim",
        "scimuser ada",
        "scimuser poison",
        "scimgroup poison",
    ] {
        let line = [ends(object), vec!["--namespace", NAMESPACE]].concat();
        rig.plane.kubectl(&line).await?;
    }
    rig.told(wait::wait_for_absence(rig.users(), "ada", DEADLINE).await)?;
    let told = wait::eventually("the Namespace to be told, twice", DEADLINE, async || {
        let get = ["get", "events.events.k8s.io", "-n", "default", "-o", "json"];
        let events: Value = serde_json::from_str(&rig.plane.kubectl(&get).await?)?;
        let twice = events["items"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|event| {
                event["regarding"]["kind"] == "Namespace"
                    && event["series"]["count"].as_u64() > Some(1)
            });
        Ok(twice.then_some(()))
    });
    rig.told(told.await)
}
