//! Replies that differ from what was stored, and values stored otherwise than they were sent.

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, Rig, USER, user};

/// A full user, created, and its path.
async fn full_user(rig: &Rig) -> String {
    let mut body = user("Ada@Example.com");
    body["schemas"] = json!([USER, ENTERPRISE]);
    body["externalId"] = "ext".into();
    body["city"] = "London".into();
    body[ENTERPRISE] = json!({"department": "R&D", "division": "D"});
    let created = rig.post("Users", &body).await;
    assert_eq!(created.status, 201);
    format!("Users/{}", created.id())
}

#[tokio::test]
async fn external_id_can_be_kept_back() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.external_id_not_echoed = true);
    let path = full_user(&rig).await;
    assert_eq!(rig.get(&path).await.body["externalId"], Value::Null);
    assert_eq!(
        rig.get("Users").await.body["Resources"][0]["externalId"],
        Value::Null
    );
    assert_eq!(
        rig.sim.users()[0]["externalId"],
        "ext",
        "it is stored all the same"
    );
}

#[tokio::test]
async fn attributes_can_be_accepted_and_never_returned() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.drop_attribute = ["CITY", "department"].map(str::to_owned).into());
    let path = full_user(&rig).await;
    let found = rig.get(&path).await.body;
    assert_eq!(
        (&found["city"], &found[ENTERPRISE]),
        (&Value::Null, &json!({"division": "D"}))
    );
    assert_eq!(rig.sim.users()[0]["city"], "London");
}

#[tokio::test]
async fn booleans_can_be_strings() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.stringly_booleans = true);
    let path = full_user(&rig).await;
    let found = rig.get(&path).await.body;
    assert_eq!(
        (&found["active"], &found["emails"][0]["primary"]),
        (&json!("True"), &json!("True"))
    );
    rig.sim.set_active(found["id"].as_str().unwrap(), false);
    assert_eq!(rig.get(&path).await.body["active"], "False");
}

#[tokio::test]
async fn types_can_be_wrong() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.wrong_types = true);
    let path = full_user(&rig).await;
    let found = rig.get(&path).await.body;
    assert_eq!(
        (&found["active"], &found["meta"]),
        (&json!(1), &json!("none"))
    );
    assert_eq!(found["emails"]["value"], "ada@example.com");
    assert_eq!(rig.get("Users").await.body["totalResults"], "1");
}

#[tokio::test]
async fn user_name_can_be_lowered() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.lowercase_user_name = true);
    let path = full_user(&rig).await;
    assert_eq!(rig.get(&path).await.body["userName"], "ada@example.com");
    let rename = json!([{"op": "replace", "path": "userName", "value": "EVE"}]);
    assert_eq!(rig.patch(&path, rename).await.body["userName"], "eve");
}

#[tokio::test]
async fn put_can_be_partial() {
    let rig = Rig::new().await;
    let path = full_user(&rig).await;
    rig.fault(|faults| faults.put_is_partial = true);
    assert_eq!(
        rig.put(&path, &user("ada@example.com")).await.body["city"],
        "London"
    );
}

#[tokio::test]
async fn duplicates_can_be_answered_in_other_ways() {
    let rig = Rig::new().await;
    rig.add_user("ada").await;
    for status in [400, 403, 409] {
        rig.fault(|faults| faults.conflict_status = Some(status));
        assert_eq!(
            rig.post("Users", &user("ada")).await.refusal(),
            (status, "")
        );
    }
}
