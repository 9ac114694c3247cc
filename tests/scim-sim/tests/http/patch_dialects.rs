//! What servers do differently about PATCH.

use serde_json::{Value, json};

use crate::support::Rig;

#[tokio::test]
async fn a_removal_without_a_match_fails_where_the_dialect_is_strict() {
    let rig = Rig::new().await;
    rig.sim
        .dialect()
        .update(|dialect| dialect.remove_without_match_fails = true);
    let path = format!("Users/{}", rig.add_user("ada@example.com").await);
    let removal = json!([{"op": "remove", "path": "phoneNumbers[type eq \"mobile\"]"}]);
    assert_eq!(rig.patch(&path, removal).await.refusal(), (400, "noTarget"));
}

#[tokio::test]
async fn a_patch_may_be_answered_204_and_one_that_changes_nothing_leaves_no_trace() {
    let rig = Rig::new().await;
    rig.sim
        .dialect()
        .update(|dialect| dialect.patch_no_content = true);
    let id = rig.add_user("ada@example.com").await;
    let before = rig.sim.user(&id);
    let same = json!([{"op": "replace", "path": "preferredLanguage", "value": "en_gb"}]);
    let patched = rig.patch(&format!("Users/{id}"), same).await;
    assert_eq!((patched.status, patched.body), (204, Value::Null));
    assert_eq!(rig.sim.user(&id), before);
}

#[tokio::test]
async fn patch_can_be_missing_or_demand_a_path() {
    let rig = Rig::new().await;
    let path = format!("Users/{}", rig.add_user("ada@example.com").await);
    let pathless = json!([{"op": "replace", "value": {"city": "Oslo"}}]);
    rig.fault(|faults| faults.patch_requires_path = true);
    assert_eq!(rig.patch(&path, pathless.clone()).await.status, 400);
    rig.sim.faults().reset();
    assert_eq!(rig.patch(&path, pathless.clone()).await.status, 200);
    for status in [501, 405] {
        rig.fault(|faults| faults.no_patch = Some(status));
        assert_eq!(
            rig.patch(&path, pathless.clone()).await.refusal(),
            (status, "")
        );
        let config = rig.get("ServiceProviderConfig").await.body;
        assert_eq!(config["patch"]["supported"], false);
    }
}
