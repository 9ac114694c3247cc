//! What the demo tells: declare, look, correct, gather, drift, rotate, let go.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
use scim_operator_harness::wait::eventually;
use serde_json::{Value, json};

use crate::stage::{DEADLINE, NAMESPACE, Stage, said, show};

/// What the backend accepts at first.
pub const FIRST_TOKEN: &str = "demo-token-one";
const SECOND_TOKEN: &str = "demo-token-two";
const READY: &str = "--for=condition=Ready";
const CONNECTION: &str = "scimconnection/cybsafe";

/// Tells it all, in order.
pub async fn tell(stage: &mut Stage) -> Result<()> {
    declare(stage).await?;
    look(stage).await?;
    correct(stage).await?;
    gather(stage).await?;
    drift(stage).await?;
    rotate(stage).await?;
    let_go(stage).await
}

async fn declare(stage: &mut Stage) -> Result<()> {
    stage.step("A token, and a connection to the backend, which here is a simulator of CybSafe.");
    token(stage, FIRST_TOKEN).await?;
    // No example can know the simulator's port.
    let here =
        json!({"spec": {"endpoint": stage.backend.base_url(), "insecure": true}}).to_string();
    let patch = [
        "patch",
        "--local",
        "-f",
        "examples/demo/connection.yaml",
        "--type=merge",
        "-o=json",
        "-p",
        &here,
    ];
    show("kubectl", &patch);
    let connection = stage.plane.kubectl(&patch).await?;
    let apply = ["apply", "-n", NAMESPACE, "-f", "-"];
    println!("  | kubectl {}", apply.join(" "));
    said(stage.plane.kubectl_with_input(&apply, &connection).await?)?;
    stage.wait(READY, &[CONNECTION]).await?;

    stage.step(
        "Four people: grace, ada whose manager she is, alan who has left, and eve, declared badly.",
    );
    stage.here(&["apply", "-f", "examples/demo/users"]).await?;
    stage
        .wait(READY, &["scimuser/ada", "scimuser/grace", "scimuser/alan"])
        .await?;
    stage
        .wait("--for=condition=Valid=False", &["scimuser/eve"])
        .await
}

async fn look(stage: &mut Stage) -> Result<()> {
    stage.step("What a person sees.");
    counted(
        stage,
        &json!({"desired": 4, "provisioned": 3, "archived": 1, "invalid": 1}),
    )
    .await?;
    stage.here(&["get", "scimconnections,scimusers"]).await?;
    println!("The backend's own view:");
    stage.backend.show().await?;

    stage.step("Why is eve not Ready? Every broken rule at once, by field; the backend never heard of her.");
    ensure!(
        stage.backend.account("eve@example.com").await.is_err(),
        "eve reached the backend"
    );
    let message = stage.condition("scimuser/eve", "Valid").await?;
    for field in [
        "spec.addresses[work].country",
        "spec.name.familyName",
        "spec.preferredLanguage",
    ] {
        ensure!(message.contains(field), "the message does not name {field}");
    }
    let describe = ["describe", "scimuser", "eve", "-n", NAMESPACE];
    let described = stage.plane.kubectl(&describe).await?;
    println!("$ kubectl {} | sed -n '/^Status:/,$p'", describe.join(" "));
    let Some((_, status)) = described.split_once("\nStatus:") else {
        bail!("eve has no status");
    };
    said(format!("Status:{status}")).map(|_| ())
}

async fn correct(stage: &mut Stage) -> Result<()> {
    stage.step("Her declaration is corrected, and she follows by herself.");
    let fix = json!({"spec": {
        "name": {"familyName": "Sample"}, "preferredLanguage": "en-GB",
        "addresses": [{"type": "work", "country": "GB"}]
    }});
    stage
        .here(&[
            "patch",
            "scimuser",
            "eve",
            "--type=merge",
            "-p",
            &fix.to_string(),
        ])
        .await?;
    stage.wait(READY, &["scimuser/eve"]).await?;
    stage.backend.show().await
}

async fn gather(stage: &mut Stage) -> Result<()> {
    const GROUP: &str = "scimgroup/engineering";
    stage.step(
        "A group: everyone who bears the label team=engineering, alan's archived account too.",
    );
    stage.here(&["apply", "-f", "examples/demo/groups"]).await?;
    stage.wait(READY, &[GROUP]).await?;
    stage.here(&["get", "scimgroups"]).await?;
    stage.backend.show_groups().await?;

    stage.step("eve joins by a label. Then somebody empties the group at the backend, and the next sync fills it.");
    stage
        .here(&["label", "scimuser/eve", "team=engineering"])
        .await?;
    let whole = ["ada", "alan", "eve", "grace"].map(|name| format!("{name}@example.com"));
    is_made_of(stage, &whole).await?;
    stage.backend.show_groups().await?;
    stage.backend.empty("Engineering").await?;
    stage.backend.show_groups().await?;
    sync_now(stage).await?;
    is_made_of(stage, &whole).await?;
    stage.backend.show_groups().await?;
    stage.wait(READY, &[GROUP]).await?;
    stage.condition(GROUP, "Synced").await?;
    stage.condition(GROUP, "MembersResolved").await.map(|_| ())
}

async fn is_made_of(stage: &Stage, members: &[String]) -> Result<()> {
    eventually("the group has its members", DEADLINE, async || {
        let found = stage.backend.members("Engineering").await?;
        Ok((found == members).then_some(()))
    })
    .await
}

async fn drift(stage: &mut Stage) -> Result<()> {
    stage.step("Somebody renames ada at the backend, behind the operator's back.");
    stage
        .backend
        .edit(
            "ada@example.com",
            &json!({"name": {"familyName": "Intruder"}}),
        )
        .await?;
    stage.backend.show().await?;

    stage.step("The next sync would find it; asked for now, it finds it now, and puts it right.");
    sync_now(stage).await?;
    let corrected =
        r#"--for=jsonpath={.status.conditions[?(@.type=="Synced")].reason}=DriftCorrected"#;
    stage.wait(corrected, &["scimuser/ada"]).await?;
    stage.condition("scimuser/ada", "Synced").await?;
    let family = stage.backend.account("ada@example.com").await?["name"]["familyName"].clone();
    ensure!(family == "Marlowe", "the drift was not repaired: {family}");
    stage.backend.show().await?;
    // Events are written beside the hot path, so one may come a little later.
    let events = [
        "get",
        "events",
        "-n",
        NAMESPACE,
        "--field-selector=reason=DriftCorrected",
    ];
    eventually("an event tells of the drift", DEADLINE, async || {
        let text = stage.plane.kubectl(&events).await?;
        Ok(text.contains("scimuser/ada").then_some(()))
    })
    .await?;
    stage.kubectl(&events).await.map(|_| ())
}

async fn rotate(stage: &mut Stage) -> Result<()> {
    stage.step("The token is rotated at the backend first, and the connection says what is wrong.");
    stage.condition(CONNECTION, "Authenticated").await?;
    stage.backend.accept_only(SECOND_TOKEN).await?;
    sync_now(stage).await?;
    stage
        .wait("--for=condition=Authenticated=False", &[CONNECTION])
        .await?;
    stage.condition(CONNECTION, "Authenticated").await?;

    stage.step("The Secret gets the new token, and the connection uses it at once: it watches that Secret.");
    let replaced = Instant::now();
    token(stage, SECOND_TOKEN).await?;
    stage
        .wait("--for=condition=Authenticated", &[CONNECTION])
        .await?;
    stage.wait(READY, &[CONNECTION]).await?;
    println!(
        "({} ms from replacing the Secret to Ready)",
        replaced.elapsed().as_millis()
    );
    stage
        .condition(CONNECTION, "Authenticated")
        .await
        .map(|_| ())
}

async fn let_go(stage: &mut Stage) -> Result<()> {
    stage.step("ada is taken out of Git. Her account is archived, not deleted: that is the default policy.");
    stage
        .here(&["delete", "scimuser", "ada", "--timeout=60s"])
        .await?;
    let ada = stage.backend.account("ada@example.com").await?;
    ensure!(ada["active"] == false, "ada's account is still active");
    stage.backend.show().await?;
    counted(
        stage,
        &json!({"desired": 3, "provisioned": 3, "archived": 1, "invalid": 0}),
    )
    .await?;
    stage
        .here(&["get", "scimconnections,scimusers"])
        .await
        .map(|_| ())
}

/// Writes the Secret; its manifest is not shown, since that is how a token should be treated.
async fn token(stage: &Stage, token: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": {"token": token},
        "metadata": {"name": "cybsafe-scim", "namespace": NAMESPACE}
    });
    let apply = ["apply", "-f", "-"];
    println!(
        "$ kubectl {}  # the Secret cybsafe-scim, from standard input",
        apply.join(" ")
    );
    said(
        stage
            .plane
            .kubectl_with_input(&apply, &secret.to_string())
            .await?,
    )
    .map(|_| ())
}

/// Asks for a sync now, in the words of Flux's own contract.
async fn sync_now(stage: &Stage) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let asked = format!("reconcile.fluxcd.io/requestedAt={now}");
    stage
        .here(&["annotate", CONNECTION, &asked, "--overwrite"])
        .await
        .map(|_| ())
}

/// Counts follow the users within a second; a table shown before that would puzzle.
async fn counted(stage: &Stage, expected: &Value) -> Result<()> {
    let get = [
        "get",
        CONNECTION,
        "-n",
        NAMESPACE,
        "-o=jsonpath={.status.users}",
    ];
    eventually("the connection counts its users", DEADLINE, async || {
        let counts: Value = serde_json::from_str(&stage.plane.kubectl(&get).await?)?;
        let expected = expected.as_object().into_iter().flatten();
        for (name, number) in expected {
            ensure!(
                counts[name] == *number,
                "{name} is {}, not {number}: {counts}",
                counts[name]
            );
        }
        Ok(Some(()))
    })
    .await
}
