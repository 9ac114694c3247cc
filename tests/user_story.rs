//! One person's whole life, on every backend alike: created, changed, renamed, archived, reactivated,
//! edited outside, deleted. Each step asserts the backend, the conditions and the number of requests;
//! afterwards every body that was sent is judged by scim2-models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use scim_operator_harness::RecordingProxy;
use scim_operator_harness::judge::judge;
use scim_operator_harness::servers::ThirdParty;
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};
use support::{Backend, Rig, TOKEN, person, writes_since};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

#[tokio::test(flavor = "multi_thread")]
async fn a_life_on_the_cybsafe_simulator() -> Result<()> {
    let simulator = Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?;
    life(&simulator.base_url(), "CybSafe").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_on_scim2_server() -> Result<()> {
    let server = ThirdParty::scim2_server(TOKEN).await?;
    life(server.base_url(), "RFC7643").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_on_scimmy() -> Result<()> {
    let server = ThirdParty::scimmy(TOKEN).await?;
    life(server.base_url(), "RFC7643").await
}

async fn life(base: &str, profile: &str) -> Result<()> {
    let rig = Rig::start().await?;
    let proxy = RecordingProxy::start(base).await?;
    let backend = Backend::new(base, TOKEN);
    rig.set_token(TOKEN).await?;
    rig.connect(&proxy.url(), json!({"profile": profile}))
        .await?;
    rig.connection_is("Ready", "True", "Connected").await?;

    // Created: one POST, and the backend has what was declared.
    let mark = proxy.mark();
    rig.declare("ada", person("Ada@example.com")).await?;
    let user = rig.settled("ada").await?;
    ensure!(
        writes_since(&proxy, mark) == ["POST"],
        "create took {:?}",
        writes_since(&proxy, mark)
    );
    let account = backend.user("ada@example.com").await?;
    ensure!(
        account["name"]["givenName"] == "Ada"
            && account["active"] == true
            && account[ENTERPRISE]["department"] == "Engines",
        "{account}"
    );
    ensure!(
        account["externalId"] == "scim-operator:identity/scim:identity/ada",
        "{account}"
    );
    ensure!(rig.condition("ada", "Synced").await?.1 == "Created");
    ensure!(rig.condition("ada", "Archived").await?.1 == "Active");
    ensure!(user.status.as_ref().and_then(|s| s.id.as_deref()) == account["id"].as_str());
    let id = account["id"].as_str().unwrap_or_default().to_owned();

    // Updated, renamed, cleared: one PATCH each.
    for (step, spec, check) in [
        (
            "update",
            json!({"enterprise": {"department": "Analysis"}}),
            (|a| a[ENTERPRISE]["department"] == "Analysis") as fn(&Value) -> bool,
        ),
        ("rename", json!({"userName": "ada.king@example.com"}), |a| {
            a["userName"] == "ada.king@example.com"
        }),
        ("clear", json!({"phoneNumbers": null}), |a| {
            a["phoneNumbers"].as_array().is_none_or(Vec::is_empty)
        }),
        (
            "set again",
            json!({"phoneNumbers": [{"type": "mobile", "value": "+447700900456"}]}),
            |a| {
                a["phoneNumbers"][0]["value"] == "+447700900456"
                    && a["phoneNumbers"][0]["type"] == "mobile"
            },
        ),
    ] {
        let mark = proxy.mark();
        rig.edit("ada", spec).await?;
        rig.settled("ada").await?;
        ensure!(
            writes_since(&proxy, mark) == ["PATCH"],
            "{step} took {:?}",
            writes_since(&proxy, mark)
        );
        ensure!(
            rig.condition("ada", "Synced").await?.1 == "Updated",
            "{step}"
        );
        let account = backend
            .users()
            .await?
            .into_iter()
            .find(|u| u["id"] == id.as_str())
            .unwrap_or_default();
        ensure!(check(&account), "{step}: {account}");
    }

    // Archived and reactivated.
    for (active, reason) in [(false, "Requested"), (true, "Active")] {
        let mark = proxy.mark();
        rig.edit("ada", json!({"active": active})).await?;
        rig.user_is(
            "ada",
            "Archived",
            if active { "False" } else { "True" },
            reason,
        )
        .await?;
        rig.settled("ada").await?;
        ensure!(writes_since(&proxy, mark) == ["PATCH"]);
        ensure!(backend.user("ada.king@example.com").await?["active"] == active);
    }

    // Edited outside: the next sync finds it, and one PATCH puts it right. An attribute that the
    // spec never mentioned is left as the outsider set it.
    backend.patch(&id, json!([{"op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "Poaching"}, {"op": "add", "path": "locale", "value": "it-IT"}])).await?;
    let mark = proxy.mark();
    rig.sync("drift").await?;
    rig.user_is("ada", "Synced", "True", "DriftCorrected")
        .await?;
    ensure!(writes_since(&proxy, mark) == ["PATCH"]);
    let account = backend.user("ada.king@example.com").await?;
    ensure!(
        account[ENTERPRISE]["department"] == "Analysis" && account["locale"] == "it-IT",
        "{account}"
    );

    // Archived outside: reactivated.
    backend
        .patch(
            &id,
            json!([{"op": "replace", "path": "active", "value": false}]),
        )
        .await?;
    let mark = proxy.mark();
    rig.sync("archived-outside").await?;
    support_eventually_active(&backend).await?;
    rig.settled("ada").await?;
    ensure!(writes_since(&proxy, mark) == ["PATCH"]);

    // Deleted outside: made anew.
    backend.remove(&id).await?;
    let mark = proxy.mark();
    rig.sync("deleted-outside").await?;
    rig.user_is("ada", "Synced", "True", "Created").await?;
    ensure!(writes_since(&proxy, mark) == ["POST"]);
    let id = backend.user("ada.king@example.com").await?["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();

    // In step: three syncs cost no write, neither here nor there.
    let (mark, version) = (proxy.mark(), rig.version("ada").await?);
    for stamp in ["steady-1", "steady-2", "steady-3"] {
        rig.sync(stamp).await?;
    }
    ensure!(
        writes_since(&proxy, mark).is_empty(),
        "{:?}",
        writes_since(&proxy, mark)
    );
    let reads: Vec<String> = proxy
        .since(mark)
        .iter()
        .map(|r| r.path_and_query.clone())
        .collect();
    ensure!(
        reads.iter().all(|p| p.starts_with("/Users?")),
        "only listings are expected: {reads:?}"
    );
    ensure!(
        rig.version("ada").await? == version,
        "a user in step was written to"
    );

    // Deleted: archived by default; by explicit policy deleted.
    let mark = proxy.mark();
    rig.delete("ada").await?;
    ensure!(writes_since(&proxy, mark) == ["PATCH"]);
    ensure!(backend.user("ada.king@example.com").await?["active"] == false);

    // Declared again: the archived account is ours by its externalId, and is reactivated.
    let mark = proxy.mark();
    rig.declare("ada", person("ada.king@example.com")).await?;
    let again = rig.settled("ada").await?;
    ensure!(
        writes_since(&proxy, mark) == ["PATCH"],
        "{:?}",
        writes_since(&proxy, mark)
    );
    ensure!(again.status.and_then(|s| s.id).as_deref() == Some(&*id));
    rig.edit("ada", json!({"deletionPolicy": "Delete"})).await?;
    rig.settled("ada").await?;
    let mark = proxy.mark();
    rig.delete("ada").await?;
    ensure!(
        writes_since(&proxy, mark) == ["DELETE"],
        "{:?}",
        writes_since(&proxy, mark)
    );
    ensure!(backend.user("ada.king@example.com").await.is_err());

    let dump = rig.plane.directory().join("bodies.jsonl");
    proxy.dump_jsonl(&dump)?;
    judge(&dump, base, TOKEN).await?.into_result()?;
    let log = rig.operator.log();
    ensure!(
        !log.contains(TOKEN) && !log.contains("example.com"),
        "the log holds the token or personal data"
    );
    Ok(())
}

async fn support_eventually_active(backend: &Backend) -> Result<()> {
    scim_operator_harness::wait::eventually(
        "the account to be active again",
        support::DEADLINE,
        async || {
            let account = backend.user("ada.king@example.com").await?;
            Ok((account["active"] == true).then_some(()))
        },
    )
    .await
}
