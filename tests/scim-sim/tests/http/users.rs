//! Create, read, replace and delete users, with CybSafe's rules.

use reqwest::Method;
use scim_sim::PREFERRED_LANGUAGES;
use serde_json::{Value, json};

use crate::support::{ENTERPRISE, Rig, USER, answer, scim, user};

#[tokio::test]
async fn a_user_is_created_read_replaced_and_deleted() {
    let rig = Rig::new().await;
    let created = rig.post("Users", &user("ada@example.com")).await;
    let id = created.id();
    assert_eq!(created.status, 201);
    assert_eq!(
        created.header("content-type"),
        Some("application/scim+json")
    );
    let location = format!("{}Users/{id}", rig.sim.base_url());
    assert_eq!(created.header("location"), Some(location.as_str()));
    assert_eq!(created.body["meta"]["location"], location);
    assert_eq!(created.body["meta"]["resourceType"], "User");
    assert_eq!(created.body["meta"]["version"], Value::Null);

    let path = format!("Users/{id}");
    assert_eq!(rig.get(&path).await.body, created.body);

    let mut changed = user("ada@example.com");
    changed["locale"] = "en-GB".into();
    changed["id"] = "mine".into();
    let replaced = rig.put(&path, &changed).await;
    assert_eq!(
        (replaced.status, &replaced.body["locale"]),
        (200, &json!("en-GB"))
    );
    assert_eq!(replaced.id(), id);
    assert_eq!(
        replaced.body["meta"]["created"],
        created.body["meta"]["created"]
    );
    let replaced = rig.put(&path, &user("ada@example.com")).await;
    assert_eq!(
        replaced.body["locale"],
        Value::Null,
        "PUT clears what it does not mention"
    );

    assert_eq!(rig.delete(&path).await.status, 204);
    assert_eq!(rig.get(&path).await.refusal(), (404, ""));
    assert_eq!(rig.delete(&path).await.refusal(), (404, ""));
    assert_eq!(rig.get("Users").await.body["totalResults"], 0);
    assert_eq!(
        rig.post("Users", &user("ada@example.com")).await.status,
        201
    );
}

#[tokio::test]
async fn every_required_attribute_is_named_when_it_is_missing_or_wrong() {
    let rig = Rig::new().await;
    let existing = rig.add_user("other@example.com").await;
    let email = "emails[type eq \"work\"].value";
    let country = "addresses[type eq \"work\"].country";
    for (pointer, value, path) in [
        ("/userName", Value::Null, "userName"),
        ("/userName", json!(" "), "userName"),
        ("/name/givenName", Value::Null, "name.givenName"),
        ("/name/familyName", Value::Null, "name.familyName"),
        ("/name", Value::Null, "name.givenName"),
        ("/emails", json!([]), email),
        ("/emails/0/type", json!("home"), email),
        ("/emails/0/type", Value::Null, email),
        ("/emails/0/value", json!("nobody"), email),
        (
            "/emails/0/primary",
            json!(false),
            "emails[type eq \"work\"].primary",
        ),
        ("/addresses", Value::Null, country),
        ("/addresses/0/country", json!("GBR"), country),
        ("/addresses/0/country", json!("gb"), country),
        ("/preferredLanguage", Value::Null, "preferredLanguage"),
        ("/preferredLanguage", json!("en-GB"), "preferredLanguage"),
        ("/preferredLanguage", json!("EN"), "preferredLanguage"),
        ("/active", json!("True"), "active"),
    ] {
        let mut body = user("ada@example.com");
        *body.pointer_mut(pointer).unwrap() = value;
        let put = format!("Users/{existing}");
        for answer in [rig.post("Users", &body).await, rig.put(&put, &body).await] {
            assert_eq!(answer.refusal(), (400, "invalidValue"), "{pointer}");
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.starts_with(path), "{pointer}: {detail}");
        }
    }
    assert_eq!(rig.sim.users().len(), 1);
}

#[tokio::test]
async fn exactly_the_documented_languages_are_accepted() {
    let rig = Rig::new().await;
    assert_eq!(PREFERRED_LANGUAGES.len(), 18);
    for language in PREFERRED_LANGUAGES {
        let mut body = user(language);
        body["preferredLanguage"] = (*language).into();
        assert_eq!(rig.post("Users", &body).await.status, 201, "{language}");
    }
}

#[tokio::test]
async fn what_cybsafe_does_not_capture_is_dropped_silently() {
    let rig = Rig::new().await;
    let mut body = user("ada@example.com");
    body["schemas"] = json!([USER, ENTERPRISE, "urn:example:extra"]);
    body["nickName"] = "Ada".into();
    body["urn:example:extra"] = json!({"shoeSize": 40});
    body["city"] = "London".into();
    body["addresses"][0]["locality"] = "London".into();
    body["phoneNumbers"] = json!([{"type": "fax", "value": "1"}, {"type": "mobile", "value": "2"}]);
    body[ENTERPRISE] = json!({"department": "R&D", "costCenter": "7", "manager": {"value": "m", "displayName": "M"}});
    let created = rig.post("Users", &body).await;
    assert_eq!(created.status, 201);
    let stored = created.body;
    assert_eq!(stored["schemas"], json!([USER, ENTERPRISE]));
    assert_eq!(stored["city"], "London");
    assert_eq!(
        (&stored["nickName"], &stored["urn:example:extra"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        stored["addresses"],
        json!([{"type": "work", "country": "GB"}])
    );
    assert_eq!(
        stored["phoneNumbers"],
        json!([{"type": "mobile", "value": "2"}])
    );
    assert_eq!(
        stored[ENTERPRISE],
        json!({"department": "R&D", "manager": {"value": "m"}})
    );
}

#[tokio::test]
async fn schemas_must_name_what_is_used() {
    let rig = Rig::new().await;
    let mut body = user("ada@example.com");
    body[ENTERPRISE] = json!({"department": "R&D"});
    assert_eq!(
        rig.post("Users", &body).await.refusal(),
        (400, "invalidSyntax")
    );
    body["schemas"] = json!([ENTERPRISE]);
    assert_eq!(
        rig.post("Users", &body).await.refusal(),
        (400, "invalidSyntax")
    );
}

#[tokio::test]
async fn user_names_are_unique_whatever_their_case() {
    let rig = Rig::new().await;
    let ada = rig.add_user("ada@example.com").await;
    let bob = rig.add_user("bob@example.com").await;
    let taken = user("ADA@example.com");
    assert_eq!(
        rig.post("Users", &taken).await.refusal(),
        (409, "uniqueness")
    );
    assert_eq!(
        rig.put(&format!("Users/{bob}"), &taken).await.refusal(),
        (409, "uniqueness")
    );
    let rename = json!([{"op": "replace", "path": "userName", "value": "Ada@Example.com"}]);
    let refused = rig.patch(&format!("Users/{bob}"), rename.clone()).await;
    assert_eq!(refused.refusal(), (409, "uniqueness"));
    assert_eq!(
        rig.patch(&format!("Users/{ada}"), rename).await.status,
        200,
        "its own name"
    );
}

#[tokio::test]
async fn the_token_is_required_on_everything_and_can_be_rotated() {
    let rig = Rig::new().await;
    for path in ["Users", "ServiceProviderConfig", "Nothing"] {
        let url = format!("{}{path}", rig.sim.base_url());
        for request in [
            rig.client.get(&url),
            rig.client.get(&url).bearer_auth("wrong"),
        ] {
            let refused = rig.send(request).await;
            assert_eq!(refused.refusal(), (401, ""));
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
    }
    rig.sim.set_token("fresh");
    assert_eq!(rig.get("Users").await.status, 401);
    let request = rig
        .client
        .get(format!("{}Users", rig.sim.base_url()))
        .bearer_auth("fresh");
    assert_eq!(rig.send(request).await.status, 200);
    assert_eq!(rig.sim.tokens(), ["fresh"]);
}

#[tokio::test]
async fn other_media_types_and_other_bodies_are_refused() {
    let rig = Rig::new().await;
    let post = || rig.request(Method::POST, "Users");
    let body = user("ada@example.com").to_string();
    let plain = post()
        .header("content-type", "text/plain")
        .body(body.clone());
    assert_eq!(rig.send(plain).await.refusal(), (415, ""));
    assert_eq!(rig.send(post().body(body)).await.refusal(), (415, ""));
    let broken = post()
        .header("content-type", "application/scim+json")
        .body("{");
    assert_eq!(rig.send(broken).await.refusal(), (400, "invalidSyntax"));
    let json = post().json(&user("ada@example.com"));
    assert_eq!(rig.send(json).await.status, 201);
    assert_eq!(
        rig.send(scim(rig.request(Method::PUT, "Users"), &json!({})))
            .await
            .status,
        405
    );
    assert_eq!(rig.get("Nothing").await.status, 404);
    let outside = rig
        .client
        .get(format!("http://{}/", rig.sim.address()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer(outside).await.status, 404);
}

#[tokio::test]
async fn entity_tags_guard_where_the_dialect_has_them() {
    let rig = Rig::new().await;
    rig.sim.dialect().update(|dialect| dialect.etag = true);
    let created = rig.post("Users", &user("ada@example.com")).await;
    let path = format!("Users/{}", created.id());
    assert_eq!(created.header("etag"), Some("W/\"1\""));
    assert_eq!(created.body["meta"]["version"], "W/\"1\"");
    let known = rig
        .request(Method::GET, &path)
        .header("if-none-match", "W/\"1\"");
    assert_eq!(rig.send(known).await.status, 304);
    let put = |tag: &str| {
        let mut body = user("ada@example.com");
        body["city"] = tag.into();
        scim(
            rig.request(Method::PUT, &path).header("if-match", tag),
            &body,
        )
    };
    assert_eq!(
        rig.send(put("W/\"1\"")).await.header("etag"),
        Some("W/\"2\"")
    );
    assert_eq!(rig.send(put("W/\"1\"")).await.refusal(), (412, ""));
    assert_eq!(rig.send(put("*")).await.status, 200);
}
