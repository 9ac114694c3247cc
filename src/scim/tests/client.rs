//! The requests: what is sent, and what is made of the replies.

use serde_json::{Value, json};

use super::{Server, config, empty, reply, scim};
use crate::scim::ResourceKind::{Group, User};
use crate::scim::{Client, ListQuery, Patch, PatchOp, ScimError, ScimType, Start};

#[tokio::test]
async fn every_success_of_a_create_is_told_apart() {
    let cases: [(u16, &str, Option<Value>); 7] = [
        (201, r#"{"id": "1"}"#, Some(json!({"id": "1"}))),
        (
            200,
            r#"{"id": 7, "active": true}"#,
            Some(json!({"id": 7, "active": true})),
        ),
        (201, "", None),
        (202, "accepted", None),
        (204, "", None),
        (200, r#"{"message": "done"}"#, None),
        (201, "[]", None),
    ];
    for (status, body, resource) in cases {
        let server = Server::start(move |_| reply(status, "application/json", body)).await;
        let created = server
            .client()
            .create(User, &json!({"userName": "ada"}))
            .await
            .unwrap();
        assert_eq!(
            (created.status, created.resource),
            (status, resource),
            "{body}"
        );
        assert_eq!(server.seen()[0].method, "POST");
        assert_eq!(server.seen()[0].target, "/scim/v2/Users");
    }
}

#[tokio::test]
async fn a_page_instead_of_a_reply_leaves_a_create_in_doubt() {
    let server = Server::start(|_| reply(200, "text/html", "<html>")).await;
    let error = server.client().create(User, &json!({})).await.unwrap_err();
    assert!(matches!(error, ScimError::NotScim { .. }) && error.possibly_applied());
}

#[tokio::test]
async fn a_patch_carries_its_condition_and_answers_the_new_state() {
    let server = Server::start(|seen| match seen.header("if-match") {
        Some("W/\"1\"") => scim(200, json!({"id": "1", "active": false})),
        Some("\"bare\"") => empty(204),
        None => empty(204),
        Some(_) => empty(412),
    })
    .await;
    let client = server.client();
    let patch = Patch(vec![PatchOp::Replace {
        path: "active".into(),
        value: json!(false),
    }]);
    let state = client
        .patch(User, "1", &patch, Some("W/\"1\""))
        .await
        .unwrap();
    assert_eq!(state, Some(json!({"id": "1", "active": false})));
    assert_eq!(
        client.patch(User, "1", &patch, Some("bare")).await.unwrap(),
        None
    );
    assert_eq!(client.patch(User, "1", &patch, None).await.unwrap(), None);
    let error = client
        .patch(User, "1", &patch, Some("W/\"0\""))
        .await
        .unwrap_err();
    assert!(matches!(error, ScimError::PreconditionFailed));
    let seen = &server.seen()[0];
    assert_eq!(seen.method, "PATCH");
    assert_eq!(
        seen.json(),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "active", "value": false}],
        })
    );
}

#[tokio::test]
async fn a_replace_is_a_put_of_the_whole_body() {
    let server = Server::start(|seen| scim(200, seen.json())).await;
    let body = json!({"id": "g", "displayName": "Staff"});
    assert_eq!(
        server
            .client()
            .replace(Group, "g", &body, None)
            .await
            .unwrap(),
        Some(body)
    );
    assert_eq!(server.seen()[0].method, "PUT");
    assert_eq!(server.seen()[0].target, "/scim/v2/Groups/g");
}

#[tokio::test]
async fn deleting_what_is_gone_succeeds_unless_a_gateway_says_so() {
    let cases: [(u16, &str, bool); 6] = [
        (204, "", true),
        (200, r#"{"id": "1"}"#, true),
        (404, r#"{"status": 404}"#, true),
        (404, "", true),
        (404, "default backend - 404", false),
        (404, "<html>", false),
    ];
    for (status, body, ok) in cases {
        let server = Server::start(move |_| reply(status, "text/plain", body)).await;
        let result = server.client().delete(User, "1").await;
        assert_eq!(result.is_ok(), ok, "{status} {body}");
    }
}

#[tokio::test]
async fn an_id_that_would_address_the_collection_is_never_sent() {
    let server = Server::start(|_| empty(204)).await;
    for id in ["", ".", ".."] {
        let error = server.client().delete(User, id).await.unwrap_err();
        assert!(matches!(error, ScimError::UnusableId));
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_lookup_is_quoted_escaped_and_encoded() {
    let server =
        Server::start(|_| scim(200, json!({"totalResults": 1, "Resources": [{"id": 1}]}))).await;
    let found = server
        .client()
        .find(User, "userName", r#"a"b\c&d+é"#)
        .await
        .unwrap();
    assert_eq!(found, [json!({"id": 1})]);
    assert_eq!(
        server.seen()[0].parameter("filter"),
        Some("userName%20eq%20%22a%5C%22b%5C%5Cc%26d%2B%C3%A9%22")
    );
}

#[tokio::test]
async fn a_lookup_without_a_match_is_empty_in_every_form() {
    let cases: [(u16, Value); 3] = [
        (200, json!({"totalResults": 0})),
        (200, json!([])),
        (404, json!({"status": "404"})),
    ];
    for (status, body) in cases {
        let server = Server::start(move |_| scim(status, body.clone())).await;
        assert!(
            server
                .client()
                .find(User, "userName", "ada")
                .await
                .unwrap()
                .is_empty()
        );
    }
    let server = Server::start(|_| scim(400, json!({"scimType": "invalidFilter"}))).await;
    let error = server
        .client()
        .find(User, "externalId", "x")
        .await
        .unwrap_err();
    assert_eq!(error.scim_type(), Some(ScimType::InvalidFilter));
}

#[tokio::test]
async fn a_lookup_by_post_falls_back_once_and_remembers() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => empty(405),
        _ => scim(200, json!({"Resources": []})),
    })
    .await;
    let mut config = config(&server.origin);
    config.search_by_post = true;
    let client = Client::new(config).unwrap();
    client.find(User, "userName", "ada").await.unwrap();
    client.find(User, "userName", "ada").await.unwrap();
    let methods: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.method.clone())
        .collect();
    assert_eq!(methods, ["POST", "GET", "GET"]);
    assert_eq!(server.seen()[0].target, "/Users/.search");
    assert_eq!(server.seen()[0].json()["filter"], r#"userName eq "ada""#);
}

#[tokio::test]
async fn a_page_is_asked_for_by_index_or_cursor_with_the_attributes_wanted() {
    let server = Server::start(|_| scim(200, json!({"totalResults": 0}))).await;
    let client = server.client();
    let mut query = ListQuery::first(50);
    client.list(Group, &query).await.unwrap();
    query.excluded = vec!["members".into()];
    query.start = Start::Cursor(None);
    client.list(Group, &query).await.unwrap();
    query.attributes = vec!["id".into(), "userName".into()];
    query.start = Start::Cursor(Some("a=b".into()));
    client.list(User, &query).await.unwrap();
    let targets: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.target.clone())
        .collect();
    assert_eq!(
        targets,
        [
            "/scim/v2/Groups?startIndex=1&count=50",
            "/scim/v2/Groups?cursor=&count=50&excludedAttributes=members",
            "/scim/v2/Users?cursor=a%3Db&count=50&attributes=id%2CuserName",
        ]
    );
}

#[tokio::test]
async fn a_missing_collection_is_no_empty_one() {
    let server = Server::start(|_| scim(404, json!({}))).await;
    let client = server.client();
    let users = client.list(User, &ListQuery::first(1)).await.unwrap_err();
    assert!(matches!(users, ScimError::NotScim { .. }));
    let groups = client.list(Group, &ListQuery::first(1)).await.unwrap_err();
    assert!(matches!(groups, ScimError::NotImplemented));
    let create = client.create(User, &json!({})).await.unwrap_err();
    assert!(matches!(create, ScimError::BadRequest { status: 404, .. }));
}

#[tokio::test]
async fn duplicates_are_conflicts_also_with_status_400() {
    let cases = [
        (409, json!({}), true),
        (
            400,
            json!({"scimType": "Uniqueness", "detail": ["userName"]}),
            true,
        ),
        (400, json!({"scimType": "invalidValue"}), false),
    ];
    for (status, body, conflict) in cases {
        let server = Server::start(move |_| scim(status, body.clone())).await;
        let error = server.client().create(User, &json!({})).await.unwrap_err();
        assert_eq!(
            matches!(error, ScimError::Conflict { .. }),
            conflict,
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_may_only_read_sends_no_change_and_every_question() {
    use crate::scim::discovery::Bulk;
    let server = Server::start(|_| scim(200, json!({"id": "1", "Resources": []}))).await;
    let mut config = config(&format!("{}/scim/v2/", server.origin));
    config.read_only = true;
    config.search_by_post = true;
    let client = Client::new(config).unwrap();
    let patch = Patch(vec![PatchOp::Remove {
        path: "title".into(),
    }]);
    for kind in [User, Group] {
        let refused = [
            client.create(kind, &json!({})).await.unwrap_err(),
            client.patch(kind, "1", &patch, None).await.unwrap_err(),
            client
                .replace(kind, "1", &json!({}), None)
                .await
                .unwrap_err(),
            client.delete(kind, "1").await.unwrap_err(),
            // An id that looks like a search is still an id.
            client
                .patch(kind, "x/.search", &patch, None)
                .await
                .unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error, ScimError::ReadOnly);
            assert!(!error.possibly_applied());
        }
    }
    client.use_bulk(Some(Bulk::default()), "identity/scim");
    let bulk = client.create(User, &json!({"userName": "ada"})).await;
    assert!(bulk.is_err(), "{bulk:?}");
    assert!(server.seen().is_empty(), "{:?}", server.seen());

    client.get(User, "1").await.unwrap();
    client.find(User, "userName", "ada").await.unwrap();
    client.list(Group, &ListQuery::first(1)).await.unwrap();
    let methods: Vec<_> = server.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["GET", "POST", "GET"]);
}

#[tokio::test]
async fn a_filter_is_passed_on_and_is_one_parameter() {
    let server = Server::start(|_| scim(200, json!({"Resources": []}))).await;
    let query = ListQuery {
        filter: Some(r#"userName sw "a&b""#.into()),
        ..ListQuery::first(10)
    };
    server.client().list(User, &query).await.unwrap();
    assert_eq!(
        server.seen()[0].target,
        "/scim/v2/Users?startIndex=1&count=10&filter=userName%20sw%20%22a%26b%22"
    );
}
