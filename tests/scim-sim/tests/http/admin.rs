//! The admin endpoint and the binary.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Rig, answer, user};

async fn admin(rig: &Rig, method: Method, path: &str, body: Value) -> Answer {
    let request = rig
        .client
        .request(method, format!("{}{path}", rig.sim.admin_url()));
    answer(request.json(&body).send().await.unwrap()).await
}

#[tokio::test]
async fn the_backend_is_seen_and_changed_from_outside() {
    let rig = Rig::new().await;
    let id = rig.add_user("ada").await;
    let users = admin(&rig, Method::GET, "users", Value::Null).await;
    assert_eq!(
        (users.status, &users.body[0]["userName"]),
        (200, &json!("ada"))
    );
    assert_eq!(
        admin(&rig, Method::GET, "groups", Value::Null).await.body,
        json!([])
    );
    let log = admin(&rig, Method::GET, "requests", Value::Null).await.body;
    assert_eq!(
        (&log["counts"]["total"], &log["requests"][0]["path"]),
        (&json!(1), &json!("/Users"))
    );

    let patch = json!({"active": false, "name": {"givenName": "Eve"}, "preferredLanguage": null});
    let edited = admin(&rig, Method::PATCH, &format!("users/{id}"), patch)
        .await
        .body;
    assert_eq!(
        edited["name"],
        json!({"givenName": "Eve", "familyName": "Lovelace"})
    );
    assert_eq!(
        (&edited["active"], &edited["preferredLanguage"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(rig.get(&format!("Users/{id}")).await.body, edited);

    assert_eq!(
        admin(&rig, Method::DELETE, &format!("users/{id}"), Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(
        admin(&rig, Method::DELETE, &format!("users/{id}"), Value::Null)
            .await
            .status,
        404
    );
    assert_eq!(rig.get(&format!("Users/{id}")).await.status, 404);
    let inserted = admin(&rig, Method::POST, "users", json!({"userName": "bob"})).await;
    assert_eq!(
        rig.sim.user_by_name("bob").unwrap()["id"],
        inserted.body["id"]
    );
    assert_eq!(
        admin(&rig, Method::DELETE, "requests", Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(rig.sim.request_counts().total, 0);
    assert_eq!(
        admin(&rig, Method::GET, "nothing", Value::Null)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn switches_and_tokens_are_set_from_outside() {
    let rig = Rig::new().await;
    assert_eq!(
        admin(&rig, Method::POST, "faults", json!({"throttle_next": 1}))
            .await
            .status,
        200
    );
    assert_eq!(rig.get("Users").await.status, 429);
    assert_eq!(
        admin(&rig, Method::POST, "faults", json!({"typo": 1}))
            .await
            .status,
        400
    );
    let dialect = json!({"reactivate_on_create": 409, "bulk": {"max_operations": 2}});
    let dialect = admin(&rig, Method::POST, "dialect", dialect).await.body;
    assert_eq!(
        (
            &dialect["reactivate_on_create"],
            &dialect["bulk"]["max_operations"]
        ),
        (&json!(409), &json!(2))
    );
    let wrong = json!({"reactivate_on_create": 204});
    assert_eq!(
        admin(&rig, Method::POST, "dialect", wrong).await.status,
        400
    );
    assert_eq!(
        admin(&rig, Method::PUT, "token", json!({"token": "fresh"}))
            .await
            .status,
        200
    );
    assert_eq!(rig.get("Users").await.status, 401);
    assert_eq!(rig.sim.tokens(), ["fresh"]);
}

#[tokio::test]
async fn the_binary_prints_its_base_url_and_takes_its_token_from_the_environment() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scim-sim"))
        .args([
            "--token-env",
            "THE_TOKEN",
            "--base-path",
            "/v2",
            "--page-cap",
            "7",
        ])
        .env("THE_TOKEN", "from-env")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut base_url = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut base_url)
        .unwrap();
    let base_url = base_url.trim();
    assert!(
        base_url.starts_with("http://127.0.0.1:") && base_url.ends_with("/v2/"),
        "{base_url}"
    );
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = client
        .post(format!("{base_url}Users"))
        .bearer_auth("from-env")
        .json(&user("ada"));
    let created = answer(post.send().await.unwrap()).await;
    let config = client
        .get(format!("{base_url}ServiceProviderConfig"))
        .bearer_auth("from-env");
    let config = answer(config.send().await.unwrap()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(created.status, 201);
    assert_eq!(config.body["filter"]["maxResults"], 7);
}
