//! What real servers do to members.

use serde_json::{Value, json};

use crate::support::Rig;

/// A group of two users: rig, path, group id, user ids.
async fn group_of_two() -> (Rig, String, String, String) {
    let rig = Rig::new().await;
    let (a, b) = (rig.add_user("a").await, rig.add_user("b").await);
    let id = rig.add_group("g", &[&a, &b]).await;
    (rig, id, a, b)
}

#[tokio::test]
async fn members_can_be_kept_back() {
    let (rig, id, ..) = group_of_two().await;
    rig.fault(|faults| faults.omit_members = true);
    assert_eq!(
        rig.get(&format!("Groups/{id}")).await.body["members"],
        Value::Null
    );
    assert_eq!(
        rig.get("Groups").await.body["Resources"][0]["members"],
        Value::Null
    );
    assert_eq!(rig.members(&id).len(), 2);
}

#[tokio::test]
async fn removal_by_filter_can_be_ignored() {
    let (rig, id, a, _) = group_of_two().await;
    rig.fault(|faults| faults.member_removal_filter_ignored = true);
    let removal = json!([{"op": "remove", "path": format!("members[value eq \"{a}\"]")}]);
    assert_eq!(
        rig.patch(&format!("Groups/{id}"), removal).await.status,
        200
    );
    assert_eq!(rig.members(&id).len(), 2);
}

#[tokio::test]
async fn removal_by_list_can_wipe_the_group() {
    let (rig, id, a, _) = group_of_two().await;
    rig.fault(|faults| faults.value_form_removal_wipes = true);
    let removal = json!([{"op": "remove", "path": "members", "value": [{"value": a}]}]);
    assert_eq!(
        rig.patch(&format!("Groups/{id}"), removal).await.status,
        200
    );
    assert_eq!(rig.members(&id).len(), 0);
}

#[tokio::test]
async fn replacing_members_can_leave_stale_ones() {
    let (rig, id, _, b) = group_of_two().await;
    rig.fault(|faults| faults.replace_members_keeps_stale = true);
    let replace = json!([{"op": "replace", "path": "members", "value": [{"value": b}]}]);
    assert_eq!(
        rig.patch(&format!("Groups/{id}"), replace).await.status,
        200
    );
    assert_eq!(rig.members(&id).len(), 2);
}

#[tokio::test]
async fn member_changes_can_be_capped() {
    let (rig, id, a, b) = group_of_two().await;
    rig.fault(|faults| faults.member_cap = Some(1));
    let both = json!([{"value": a}, {"value": b}]);
    let by_filter =
        |id: &str| json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")});
    for operations in [
        json!([{"op": "add", "path": "members", "value": both}]),
        json!([{"op": "add", "value": {"members": both}}]),
        json!([by_filter(&a), by_filter(&b)]),
    ] {
        assert_eq!(
            rig.patch(&format!("Groups/{id}"), operations).await.status,
            400
        );
    }
    let body = crate::support::group("h", &[&a, &b]);
    assert_eq!(rig.post("Groups", &body).await.status, 400);
    assert_eq!(
        rig.patch(&format!("Groups/{id}"), json!([by_filter(&a)]))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn adding_a_present_member_can_fail() {
    let (rig, id, a, b) = group_of_two().await;
    let c = rig.add_user("c").await;
    rig.sim
        .edit_group(&id, |group| group["members"] = json!([{"value": a}]));
    rig.fault(|faults| faults.readd_member_500 = true);
    let add = |id: &str| json!([{"op": "add", "path": "members", "value": [{"value": id}]}]);
    let path = format!("Groups/{id}");
    assert_eq!(rig.patch(&path, add(&a)).await.status, 500);
    let pathless = json!([{"op": "add", "value": {"members": [{"value": a}]}}]);
    assert_eq!(rig.patch(&path, pathless).await.status, 500);
    assert_eq!(rig.patch(&path, add(&c)).await.status, 200);
    assert!(!rig.members(&id).contains(&b));
}

#[tokio::test]
async fn creating_a_group_can_ignore_its_members() {
    let rig = Rig::new().await;
    let a = rig.add_user("a").await;
    rig.fault(|faults| faults.post_group_ignores_members = true);
    let id = rig.add_group("g", &[&a]).await;
    assert_eq!(rig.members(&id).len(), 0);
}

#[tokio::test]
async fn deleted_users_can_stay_members() {
    let (rig, id, a, _) = group_of_two().await;
    rig.fault(|faults| faults.deleted_users_stay_members = true);
    rig.delete(&format!("Users/{a}")).await;
    assert!(rig.members(&id).contains(&a));
    let rename = json!([{"op": "replace", "path": "displayName", "value": "h"}]);
    assert_eq!(rig.patch(&format!("Groups/{id}"), rename).await.status, 200);
}
