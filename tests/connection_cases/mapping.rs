//! `attributeMapping`: where attributes live at a backend that has its own places for them.

use anyhow::{Result, bail, ensure};
use scim_operator_harness::RecordingProxy;
use scim_operator_harness::servers::ThirdParty;
use scim_operator_harness::wait::{self, eventually};
use serde_json::{Value, json};

use crate::message;
use crate::support::{Backend, DEADLINE, Rig, TOKEN, person, writes_since};

const HR: &str = "urn:example:params:scim:schemas:extension:hr:2.0:User";

/// The schema of an extension that a backend of a company may have.
fn hr_schema() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": HR, "name": "HR", "description": "What HR keeps.",
        "attributes": [{"name": "grade", "type": "string", "multiValued": false, "description": "The pay grade.", "required": false,
            "caseExact": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none"}]
    })
}

/// scim2-server with that extension: it refuses attributes that it does not know, so that a mapping
/// that was not obeyed cannot pass unseen.
async fn company_server() -> Result<ThirdParty> {
    ThirdParty::scim2_server_with_extension(TOKEN, &hr_schema()).await
}

fn mapping(city: &str) -> Value {
    json!([
        {"attribute": "city", "path": city},
        {"attribute": "grade", "path": format!("{HR}:grade")}
    ])
}

fn locality(account: &Value) -> &Value {
    &account["addresses"][0]["locality"]
}

fn grade(account: &Value) -> &Value {
    &account[HR]["grade"]
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_attributes_live_where_the_connection_says() -> Result<()> {
    const LOCALITY: &str = r#"addresses[type eq "work"].locality"#;
    let rig = Rig::start().await?;
    let server = company_server().await?;
    let proxy = RecordingProxy::start(server.base_url()).await?;
    let backend = Backend::new(server.base_url(), TOKEN);
    rig.set_token(TOKEN).await?;
    rig.connect(
        &proxy.url(),
        json!({"profile": "CybSafe", "attributeMapping": mapping(LOCALITY)}),
    )
    .await?;
    rig.connection_is("Ready", "True", "Connected").await?;

    let mut spec = person("ada@example.com");
    spec["city"] = json!("London");
    spec["grade"] = json!("7");
    rig.declare("ada", spec).await?;
    rig.settled("ada").await?;
    ensure!(
        writes_since(&proxy, 0) == ["POST"],
        "{:?}",
        writes_since(&proxy, 0)
    );
    let account = backend.user("ada@example.com").await?;
    ensure!(
        locality(&account) == "London" && grade(&account) == "7",
        "{account}"
    );
    ensure!(
        account["addresses"][0]["country"] == "GB" && account["city"].is_null(),
        "{account}"
    );
    let id = account["id"].as_str().unwrap_or_default().to_owned();

    // Changed, cleared one after the other, set anew: one PATCH each. The rest of the address stays
    // when its locality goes, and the extension comes back after its only value went.
    type Check = fn(&Value) -> bool;
    let steps: [(&str, Value, Check); 4] = [
        ("change", json!({"city": "Paris", "grade": "8"}), |a| {
            locality(a) == "Paris" && grade(a) == "8"
        }),
        ("clear city", json!({"city": null}), |a| {
            locality(a).is_null() && a["addresses"][0]["country"] == "GB" && grade(a) == "8"
        }),
        ("clear grade", json!({"grade": null}), |a| {
            grade(a).is_null()
        }),
        ("set again", json!({"city": "Turin", "grade": "9"}), |a| {
            locality(a) == "Turin" && grade(a) == "9"
        }),
    ];
    for (step, spec, check) in steps {
        let mark = proxy.mark();
        rig.edit("ada", spec).await?;
        rig.settled("ada").await?;
        ensure!(
            writes_since(&proxy, mark) == ["PATCH"],
            "{step} took {:?}",
            writes_since(&proxy, mark)
        );
        let account = backend.user("ada@example.com").await?;
        ensure!(check(&account), "{step}: {account}");
    }

    // Edited and removed outside: both are put right by one PATCH, and then it is quiet.
    let drift = json!([
        {"op": "replace", "path": LOCALITY, "value": "Elsewhere"},
        {"op": "remove", "path": format!("{HR}:grade")}
    ]);
    backend.patch(&id, drift).await?;
    let mark = proxy.mark();
    rig.sync("drift").await?;
    rig.user_is("ada", "Synced", "True", "DriftCorrected")
        .await?;
    rig.sync("quiet").await?;
    ensure!(
        writes_since(&proxy, mark) == ["PATCH"],
        "{:?}",
        writes_since(&proxy, mark)
    );
    let account = backend.user("ada@example.com").await?;
    ensure!(
        locality(&account) == "Turin" && grade(&account) == "9",
        "{account}"
    );

    // Unusable mappings: the connection says which entry and why, and sends nothing meanwhile.
    let (mark, version) = (proxy.mark(), rig.version("ada").await?);
    for (broken, said) in [
        (
            mapping("addresses[work].locality"),
            "spec.attributeMapping[city].path: at position 10: the only filter accepted is `[type eq \"…\"]`",
        ),
        (
            json!([{"attribute": "shoeSize", "path": "title"}]),
            "spec.attributeMapping[shoeSize]: no such attribute",
        ),
        (
            json!([{"attribute": "userName", "path": "title"}]),
            "spec.attributeMapping[userName]: this attribute cannot be mapped elsewhere",
        ),
        (
            mapping("name.givenName"),
            "spec.attributeMapping[city].path: name.givenName is written there already",
        ),
    ] {
        rig.edit_connection(json!({"attributeMapping": broken}))
            .await?;
        let connection = rig.connection_is("Ready", "False", "SpecInvalid").await?;
        for kind in ["Ready", "Valid", "Stalled"] {
            let found = message(&connection, kind);
            ensure!(found.starts_with(said), "{kind}: {found}");
        }
    }
    ensure!(
        rig.version("ada").await? == version,
        "a user in step was written to while the mapping was unusable"
    );
    rig.edit("ada", json!({"grade": "10"})).await?;
    rig.user_is("ada", "Ready", "False", "ConnectionNotReady")
        .await?;
    ensure!(
        proxy.since(mark).is_empty(),
        "requests by an unusable mapping"
    );

    // Mended: what was edited meanwhile gets through, and no complaint is left.
    rig.edit_connection(json!({"attributeMapping": mapping(LOCALITY)}))
        .await?;
    let connection = rig.connection_is("Ready", "True", "Connected").await?;
    for kind in ["Valid", "Stalled"] {
        let left = wait::condition(&connection, kind);
        ensure!(
            left.as_ref()
                .is_none_or(|c| (c["status"] == "True") == (kind == "Valid")),
            "{left:?}"
        );
    }
    rig.settled("ada").await?;
    ensure!(
        writes_since(&proxy, mark) == ["PATCH"],
        "{:?}",
        writes_since(&proxy, mark)
    );
    ensure!(grade(&backend.user("ada@example.com").await?) == "10");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mapping_moves_what_users_have_already() -> Result<()> {
    let mut rig = Rig::start().await?;
    let server = company_server().await?;
    let proxy = RecordingProxy::start(server.base_url()).await?;
    let backend = Backend::new(server.base_url(), TOKEN);
    rig.set_token(TOKEN).await?;
    let at = |path: &str| json!({"profile": "CybSafe", "attributeMapping": mapping(path)});
    rig.connect(&proxy.url(), at(r#"addresses[type eq "work"].locality"#))
        .await?;
    let mut spec = person("ada@example.com");
    spec["city"] = json!("London");
    rig.declare("ada", spec).await?;
    rig.settled("ada").await?;

    // The mapping was wrong, and is put right: nobody edits every user for that. Once while the
    // operator runs, and once while it does not.
    for (sub, running) in [("region", true), ("postalCode", false)] {
        let mark = proxy.mark();
        if !running {
            rig.operator.kill9()?;
        }
        rig.edit_connection(at(&format!(r#"addresses[type eq "work"].{sub}"#)))
            .await?;
        if !running {
            rig.restart().await?;
        }
        rig.connection_is("Ready", "True", "Connected").await?;
        eventually("the city where it is mapped to now", DEADLINE, async || {
            let account = backend.user("ada@example.com").await?;
            if account["addresses"][0][sub] == "London" {
                return Ok(Some(()));
            }
            bail!("running: {running}, {}", account["addresses"])
        })
        .await?;
        rig.settled("ada").await?;
        rig.sync(sub).await?;
        ensure!(
            writes_since(&proxy, mark) == ["PATCH"],
            "{sub}: {:?}",
            writes_since(&proxy, mark)
        );
    }
    Ok(())
}
