//! Groups and their members.

use serde_json::json;

use crate::support::{Rig, group};

#[tokio::test]
async fn a_group_lives_and_its_name_need_not_be_unique() {
    let rig = Rig::new().await;
    let ada = rig.add_user("ada").await;
    let created = rig
        .post("Groups", &group("Engineering", &[&ada, &ada]))
        .await;
    assert_eq!(created.status, 201);
    assert_eq!(
        created.body["members"],
        json!([{"value": ada}]),
        "duplicates are dropped"
    );
    rig.add_group("Engineering", &[]).await;
    let path = format!("Groups/{}", created.id());
    assert_eq!(
        rig.put(&path, &group("Ops", &[])).await.body["displayName"],
        "Ops"
    );
    assert_eq!(rig.members(&created.id()), [""; 0]);
    let nameless = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]});
    assert_eq!(
        rig.post("Groups", &nameless).await.refusal(),
        (400, "invalidValue")
    );
    assert_eq!(rig.delete(&path).await.status, 204);
    assert_eq!(rig.get(&path).await.status, 404);
}

#[tokio::test]
async fn members_are_added_removed_and_replaced() {
    let rig = Rig::new().await;
    let (a, b, c) = (
        rig.add_user("a").await,
        rig.add_user("b").await,
        rig.add_user("c").await,
    );
    let id = rig.add_group("g", &[&a]).await;
    let path = format!("Groups/{id}");
    let value = |ids: &[&String]| -> serde_json::Value {
        ids.iter().map(|id| json!({"value": id})).collect()
    };
    for (why, operation, expected) in [
        (
            "add, one present",
            json!({"op": "add", "path": "members", "value": value(&[&a, &b, &b])}),
            vec![&a, &b],
        ),
        (
            "add one",
            json!({"op": "Add", "path": "members", "value": {"value": c}}),
            vec![&a, &b, &c],
        ),
        (
            "by filter",
            json!({"op": "remove", "path": format!("members[value eq \"{b}\"]")}),
            vec![&a, &c],
        ),
        (
            "by filter, absent",
            json!({"op": "remove", "path": format!("members[value eq \"{b}\"]")}),
            vec![&a, &c],
        ),
        (
            "by list",
            json!({"op": "remove", "path": "members", "value": value(&[&a, &b])}),
            vec![&c],
        ),
        (
            "replace",
            json!({"op": "replace", "path": "members", "value": value(&[&a, &b])}),
            vec![&a, &b],
        ),
        (
            "without a path",
            json!({"op": "add", "value": {"members": value(&[&c])}}),
            vec![&a, &b, &c],
        ),
        (
            "everyone",
            json!({"op": "remove", "path": "members"}),
            vec![],
        ),
    ] {
        let patched = rig.patch(&path, json!([operation])).await;
        assert_eq!(patched.status, 200, "{why}: {}", patched.body);
        assert_eq!(
            rig.members(&id).iter().collect::<Vec<_>>(),
            expected,
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_member_must_be_a_user_and_leaves_with_it() {
    let rig = Rig::new().await;
    let (a, b) = (rig.add_user("a").await, rig.add_user("b").await);
    let id = rig.add_group("g", &[&a, &b]).await;
    let unknown = group("h", &["nobody"]);
    assert_eq!(
        rig.post("Groups", &unknown).await.refusal(),
        (400, "invalidValue")
    );
    let add = json!([{"op": "add", "path": "members", "value": [{"value": "nobody"}]}]);
    let refused = rig.patch(&format!("Groups/{id}"), add).await;
    assert_eq!(refused.refusal(), (400, "invalidValue"));
    rig.delete(&format!("Users/{a}")).await;
    assert_eq!(rig.members(&id), std::slice::from_ref(&b));
    rig.sim.remove_user(&b);
    assert_eq!(rig.members(&id), [""; 0]);
}

#[tokio::test]
async fn groups_are_found_by_name_and_member() {
    let rig = Rig::new().await;
    let a = rig.add_user("a").await;
    rig.add_group("Engineering", &[&a]).await;
    rig.add_group("Ops", &[]).await;
    for (filter, matches) in [
        (r#"displayName eq "engineering""#.to_owned(), 1),
        (format!("members.value eq \"{a}\""), 1),
        (
            format!("members.value eq \"{a}\" and displayName eq \"Ops\""),
            0,
        ),
    ] {
        let found = rig.list("Groups", &[("filter", &filter)]).await;
        assert_eq!(found.body["totalResults"], matches, "{filter}");
    }
    let refused = rig
        .list("Groups", &[("filter", r#"userName eq "a""#)])
        .await;
    assert_eq!(refused.refusal(), (400, "invalidFilter"));
}
