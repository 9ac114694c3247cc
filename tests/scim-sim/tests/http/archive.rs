//! Archiving and coming back, the part of CybSafe that matters most.

use scim_sim::ReactivationReply;
use serde_json::{Value, json};

use crate::support::{Rig, user};

fn archived(name: &str) -> Value {
    let mut body = user(name);
    body["active"] = false.into();
    body
}

#[tokio::test]
async fn a_user_without_active_is_archived() {
    let rig = Rig::new().await;
    let mut body = user("ada@example.com");
    body.as_object_mut().unwrap().remove("active");
    let created = rig.post("Users", &body).await;
    assert_eq!(
        (created.status, &created.body["active"]),
        (201, &json!(false))
    );
    rig.sim.set_active(&created.id(), true);
    let replaced = rig.put(&format!("Users/{}", created.id()), &body).await;
    assert_eq!(
        replaced.body["active"], false,
        "a PUT without active archives"
    );
    rig.sim.set_active(&created.id(), true);
    let removed = json!([{"op": "remove", "path": "active"}]);
    let patched = rig.patch(&format!("Users/{}", created.id()), removed).await;
    assert_eq!(patched.body["active"], false);
}

#[tokio::test]
async fn creating_an_archived_user_reactivates_it_under_its_old_id() {
    for (reply, status) in [
        (ReactivationReply::Ok, 200),
        (ReactivationReply::Created, 201),
    ] {
        let rig = Rig::new().await;
        rig.sim
            .dialect()
            .update(|dialect| dialect.reactivate_on_create = reply);
        let mut first = archived("ada@example.com");
        first["city"] = "London".into();
        let id = rig.post("Users", &first).await.id();
        let mut again = user("ADA@example.com");
        again["office"] = "4th floor".into();
        let back = rig.post("Users", &again).await;
        assert_eq!((back.status, back.id()), (status, id));
        assert!(back.header("location").is_some());
        assert_eq!(back.body["active"], true);
        assert_eq!(
            (&back.body["city"], &back.body["office"]),
            (&json!("London"), &json!("4th floor"))
        );
        assert_eq!(rig.sim.users().len(), 1);
    }
}

#[tokio::test]
async fn a_server_may_refuse_to_reactivate_on_create() {
    let rig = Rig::new().await;
    rig.sim
        .dialect()
        .update(|d| d.reactivate_on_create = ReactivationReply::Conflict);
    let id = rig.post("Users", &archived("ada@example.com")).await.id();
    let refused = rig.post("Users", &user("ada@example.com")).await;
    assert_eq!(refused.refusal(), (409, "uniqueness"));
    assert_eq!(rig.sim.user(&id).unwrap()["active"], false);
}

#[tokio::test]
async fn an_archived_user_that_is_created_as_archived_stays_archived() {
    let rig = Rig::new().await;
    rig.post("Users", &archived("ada@example.com")).await;
    assert_eq!(
        rig.post("Users", &archived("ada@example.com")).await.body["active"],
        false
    );
}

#[tokio::test]
async fn patch_archives_and_reactivates() {
    let rig = Rig::new().await;
    let path = format!("Users/{}", rig.add_user("ada@example.com").await);
    for active in [false, true] {
        let patch = json!([{"op": "replace", "path": "active", "value": active}]);
        assert_eq!(rig.patch(&path, patch).await.body["active"], active);
        assert_eq!(
            rig.get("Users").await.body["totalResults"],
            1,
            "archived users are listed"
        );
    }
}

#[tokio::test]
async fn delete_archives_where_the_dialect_says_so() {
    let rig = Rig::new().await;
    rig.sim
        .dialect()
        .update(|dialect| dialect.delete_archives = true);
    let path = format!("Users/{}", rig.add_user("ada@example.com").await);
    assert_eq!(rig.delete(&path).await.status, 204);
    let found = rig.get(&path).await;
    assert_eq!((found.status, &found.body["active"]), (200, &json!(false)));
}

#[tokio::test]
async fn hidden_archived_users_answer_404_but_can_be_patched_back() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.inactive_users_404 = true);
    let created = rig.post("Users", &archived("ada@example.com")).await;
    let path = format!("Users/{}", created.id());
    assert_eq!(rig.get(&path).await.status, 404);
    assert_eq!(rig.delete(&path).await.status, 404);
    assert_eq!(rig.get("Users").await.body["totalResults"], 0);
    let by_name = rig
        .list("Users", &[("filter", r#"userName eq "ada@example.com""#)])
        .await;
    assert_eq!(by_name.body["totalResults"], 0);
    let back = json!([{"op": "replace", "path": "active", "value": true}]);
    assert_eq!(rig.patch(&path, back).await.status, 200);
    assert_eq!(rig.get(&path).await.status, 200);
}

#[tokio::test]
async fn archived_users_that_refuse_edits_must_be_reactivated_first() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.archived_users_refuse_edits = true);
    let path = format!(
        "Users/{}",
        rig.post("Users", &archived("ada@example.com")).await.id()
    );
    let edit = json!([{"op": "replace", "path": "city", "value": "London"}]);
    assert_eq!(rig.patch(&path, edit.clone()).await.status, 400);
    let back = json!([{"op": "replace", "path": "active", "value": true}]);
    assert_eq!(rig.patch(&path, back).await.status, 200);
    assert_eq!(rig.patch(&path, edit).await.status, 200);
}
