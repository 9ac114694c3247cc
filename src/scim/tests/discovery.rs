//! Discovery: every shape seen, and none of them fatal.

use serde_json::{Value, json};

use super::{Server, empty, reply, scim};
use crate::scim::discovery::{Bulk, Schemas};
use crate::scim::{Capabilities, ErrorClass};

#[tokio::test]
async fn a_full_server_is_read() {
    let server = Server::start(|seen| match seen.target.rsplit('/').next().unwrap() {
        "ServiceProviderConfig" => scim(
            200,
            json!({
                "patch": {"supported": true},
                "bulk": {"supported": true, "maxOperations": 1000, "maxPayloadSize": 1_048_576},
                "filter": {"supported": true, "maxResults": 200},
                "etag": {"supported": true}, "sort": {"supported": true},
                "pagination": {"cursor": true, "index": true},
            }),
        ),
        "ResourceTypes" => scim(
            200,
            json!({"Resources": [{"name": "User"}, {"name": "Group"}]}),
        ),
        _ => scim(200, json!({"Resources": schemas()})),
    })
    .await;
    let found = server.client().discover().await;
    assert!(found.found && found.error.is_none());
    assert_eq!(
        found.capabilities,
        Capabilities {
            patch: true,
            bulk: Some(Bulk {
                max_operations: Some(1000),
                max_payload_size: Some(1_048_576)
            }),
            etag: true,
            filter: true,
            filter_max_results: Some(200),
            sort: true,
            cursor_paging: true,
        }
    );
    assert_eq!(found.resource_types.unwrap(), ["User", "Group"]);
    assert!(found.schemas.is_some());
}

#[test]
fn odd_configurations_are_read_with_the_defaults() {
    let cases = [
        (json!({}), Capabilities::default(), "nothing said"),
        (
            json!({"filter": {"supported": true, "maxResults": 0}, "bulk": {"supported": false, "maxOperations": 9}}),
            Capabilities::default(),
            "zero results is unknown, a denied bulk is none",
        ),
        (
            json!({"patch": {"supported": "False"}, "etag": true, "Bulk": {"supported": "true"}}),
            Capabilities {
                patch: false,
                etag: true,
                bulk: Some(Bulk::default()),
                ..Capabilities::default()
            },
            "strings, bare booleans, other case",
        ),
    ];
    for (config, expected, why) in cases {
        assert_eq!(Capabilities::of(&config), expected, "{why}");
    }
}

#[tokio::test]
async fn no_discovery_at_all_gives_the_defaults() {
    for body in ["", "<html>"] {
        let server = Server::start(move |_| reply(404, "text/html", body)).await;
        let found = server.client().discover().await;
        assert!(!found.found);
        assert_eq!(found.capabilities, Capabilities::default());
        assert_eq!(found.resource_types, None);
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn discovery_stops_where_the_next_request_would_fail_the_same_way() {
    let server = Server::start(|_| empty(401)).await;
    let found = server.client().discover().await;
    assert_eq!(found.error.unwrap().class(), ErrorClass::Authentication);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn resource_types_need_be_no_list() {
    for types in [json!([{"name": "User"}]), json!({"name": "User"})] {
        let server = Server::start(move |seen| match seen.target.ends_with("ResourceTypes") {
            true => scim(200, types.clone()),
            false => empty(500),
        })
        .await;
        // A 500 for the first is taken for trouble: nothing further is asked.
        assert!(server.client().discover().await.resource_types.is_none());
        let document = server.client().document("ResourceTypes").await.unwrap();
        assert_eq!(super::super::discovery::names(document).unwrap(), ["User"]);
    }
}

#[test]
fn the_facts_of_an_attribute_are_found_by_its_path() {
    let schemas = Schemas::of(json!({"Resources": schemas()})).unwrap();
    let fact = |path: &str| schemas.attribute(&path.parse().unwrap());
    assert!(!fact("userName").unwrap().case_exact);
    assert!(fact("USERNAME").unwrap().required);
    assert!(fact("externalId").unwrap().case_exact);
    assert!(!fact("password").unwrap().readable);
    assert!(!fact("groups").unwrap().writable);
    assert!(fact(r#"emails[type eq "work"].value"#).unwrap().immutable);
    assert!(fact("urn:x:ext:2.0:Extra:grade").is_some());
    assert!(fact("grade").is_none());
    assert_eq!(Schemas::of(json!({"message": "no"})), None);
}

fn schemas() -> Value {
    json!([
        {"id": "urn:ietf:params:scim:schemas:core:2.0:User", "attributes": [
            {"name": "userName", "required": true, "caseExact": false},
            {"name": "externalId", "caseExact": "true"},
            {"name": "password", "mutability": "writeOnly", "returned": "never"},
            {"name": "groups", "mutability": "readOnly", "multiValued": true},
            {"name": "emails", "multiValued": true, "subAttributes": [
                {"name": "value", "mutability": "immutable"}]},
            {"noName": true},
        ]},
        {"id": "urn:x:ext:2.0:Extra", "attributes": [{"name": "grade"}]},
    ])
}
