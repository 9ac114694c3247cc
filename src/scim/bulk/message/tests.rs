//! What answers to Bulk say of each operation, in every form that servers give them.

use serde_json::{Value, json};

use super::*;
use crate::scim::detail::ScimType;

fn operations(names: &[&str]) -> Vec<Value> {
    let operation = |name: &&str| {
        let data = json!({"userName": name, "externalId": format!("mark-{name}")});
        create(ResourceKind::User, name, &data)
    };
    names.iter().map(operation).collect()
}

/// What an answer says of `a` and `b`.
fn read_answer(answer: &Value) -> Option<Vec<Option<Outcome>>> {
    let operations = operations(&["a", "b"]);
    outcomes(answer, &operations.iter().collect::<Vec<_>>())
}

fn results(results: Value) -> Vec<Option<Outcome>> {
    let answer = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"], "Operations": results});
    read_answer(&answer).unwrap()
}

fn created(bulk_id: &str, id: &str) -> Value {
    json!({"method": "POST", "bulkId": bulk_id, "status": "201", "location": format!("https://a.example/v2/Users/{id}")})
}

/// The id of a success, the status of a refusal, or nothing.
fn told(outcome: &Option<Outcome>) -> String {
    match outcome {
        None => "nothing".to_owned(),
        Some(Ok(created)) => created.id().unwrap_or_else(|| "no id".to_owned()),
        Some(Err(error)) => format!("{:?}", error.class()),
    }
}

fn both(answers: Value) -> (String, String) {
    let outcomes = results(answers);
    (told(&outcomes[0]), told(&outcomes[1]))
}

#[test]
fn the_request_is_what_rfc_7644_says_and_sets_no_fail_on_errors() {
    let operations = operations(&["a"]);
    let request = Request::of(operations.iter().collect());
    assert_eq!(
        serde_json::to_value(&request).unwrap(),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [{"method": "POST", "path": "/Users", "bulkId": "a", "data": {"userName": "a", "externalId": "mark-a"}}],
        })
    );
    let empty = size_of(&Request::of(Vec::new()));
    assert_eq!(
        size_of(&request),
        empty + size_of(&operations[0]),
        "the size of a request is that of its parts"
    );
}

#[test]
fn each_operation_gets_the_result_that_bears_its_bulk_id() {
    let cases = [
        (
            json!([created("a", "1"), created("b", "2")]),
            ("1", "2"),
            "in order",
        ),
        (
            json!([created("b", "2"), created("a", "1")]),
            ("1", "2"),
            "in any order",
        ),
        (
            json!([created("b", "2")]),
            ("nothing", "2"),
            "one is missing",
        ),
        (
            json!([created("a", "1"), created("a", "9"), created("b", "2")]),
            ("nothing", "2"),
            "two results for one operation",
        ),
        (
            json!([created("a", "1"), created("c", "3"), created("b", "2")]),
            ("1", "2"),
            "nobody asked for c",
        ),
        (
            json!([created("a", "1"), created("b", "1")]),
            ("nothing", "nothing"),
            "one id for two",
        ),
        (
            json!([null, 7, "b", [], {}, created("a", "1")]),
            ("1", "nothing"),
            "what is no result is none",
        ),
        (
            json!([{"BULKID": "a", "Status": 201, "LOCATION": "/Users/1"}, created("b", "2")]),
            ("1", "2"),
            "names in any case",
        ),
    ];
    for (answers, expected, why) in cases {
        let (a, b) = both(answers);
        assert_eq!((&*a, &*b), expected, "{why}");
    }
}

#[test]
fn an_answer_that_speaks_of_none_of_them_is_no_answer() {
    for answer in [
        json!({}),
        json!([]),
        json!(null),
        json!("created"),
        json!({"Operations": null}),
        json!({"Operations": []}),
        json!({"Operations": [created("x", "1")]}),
        json!({"Operations": [{"status": "201", "location": "/Users/1"}, {"status": "201", "location": "/Users/2"}]}),
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "200"}),
        json!({"Resources": [], "totalResults": 0}),
    ] {
        assert_eq!(read_answer(&answer), None, "{answer}");
    }
}

#[test]
fn a_status_is_read_in_every_form_that_servers_give_it() {
    for (status, expected, why) in [
        (json!("201"), "1", "RFC 7644"),
        (json!(201), "1", "a number"),
        (json!("201 Created"), "1", "with its phrase"),
        (json!({"code": "201"}), "1", "an object, as of SCIM 1.1"),
        (json!({"code": 201, "description": "x"}), "1", "the same"),
        (json!("2010"), "nothing", "no status"),
        (json!("20"), "nothing", "no status"),
        (json!(""), "nothing", "no status"),
        (json!(-201), "nothing", "no status"),
        (json!(201.5), "nothing", "no status"),
        (json!(66_000), "nothing", "no status"),
        (json!({"code": {"code": 201}}), "nothing", "no status"),
        (json!(true), "nothing", "no status"),
        (json!(null), "nothing", "no status"),
        (json!("409"), "Conflict", "a refusal with a location"),
        (json!(429), "RateLimited", "throttled"),
        (json!("503"), "Transient", "it failed"),
        (json!("401"), "Authentication", "the token"),
        (json!("404"), "Rejected", "no such collection"),
    ] {
        let mut result = created("a", "1");
        result["status"] = status;
        let (a, b) = both(json!([result, created("b", "2")]));
        assert_eq!((&*a, &*b), (expected, "2"), "{why}");
    }
}

#[test]
fn a_refusal_is_read_as_that_of_a_single_request() {
    let error = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "400",
        "scimType": "uniqueness", "detail": "userName ada@example.com is taken",
    });
    let refused = json!({"bulkId": "a", "status": "400", "response": error});
    let outcomes = results(json!([refused, created("b", "2")]));
    let Some(Err(error)) = &outcomes[0] else {
        panic!("{:?}", outcomes[0]);
    };
    assert!(matches!(error, ScimError::Conflict { .. }));
    assert_eq!(error.scim_type(), Some(ScimType::Uniqueness));
    assert!(!error.to_string().contains("ada") && error.to_string().contains("userName"));
}

#[test]
fn the_id_is_that_of_the_resource_or_of_the_location_and_is_not_invented() {
    for (location, expected, why) in [
        (json!("https://a.example/v2/Users/1"), "1", "absolute"),
        (json!("/v2/Users/1/"), "1", "relative"),
        (json!("Users/1?x=y#z"), "1", "of a reference the path"),
        (json!("/users/1"), "1", "in another case"),
        (json!("/Users/ada%40x%2Fy"), "ada@x/y", "decoded"),
        (json!("/Users/ada@x"), "ada@x", "not encoded"),
        (json!("/Users/%zz"), "no id", "malformed"),
        (json!("/Users/%4"), "no id", "malformed"),
        (json!("/Users/%ff"), "no id", "no text"),
        (json!("/Users/"), "no id", "the collection"),
        (json!("/Users/.."), "no id", "no id that could be used"),
        (json!("/Groups/1"), "no id", "of another collection"),
        (json!("1"), "no id", "no location"),
        (json!(""), "no id", "no location"),
        (json!(7), "no id", "no location"),
        (json!(null), "no id", "no location"),
    ] {
        let mut result = created("a", "1");
        result["location"] = location;
        let (a, _) = both(json!([result, created("b", "2")]));
        assert_eq!(a, expected, "{why}");
    }
    let mut shown = created("a", "1");
    shown["response"] = json!({"id": "7", "userName": "a"});
    assert_eq!(both(json!([shown, created("b", "2")])).0, "7");
    let mut versioned = created("a", "1");
    versioned["version"] = json!("W/\"3\"");
    let outcomes = results(json!([versioned, created("b", "2")]));
    let Some(Ok(created)) = &outcomes[0] else {
        panic!("{:?}", outcomes[0]);
    };
    let located = created.located.as_ref().unwrap();
    assert_eq!(located.version.as_deref(), Some("W/\"3\""));
    assert_eq!((created.status, &created.resource), (201, &None));
}

#[test]
fn a_resource_that_bears_the_mark_of_another_operation_is_given_to_nobody() {
    let shown = |bulk_id: &str, id: &str, mark: &str| {
        let mut result = created(bulk_id, id);
        result["response"] = json!({"id": id, "externalId": mark});
        result
    };
    for (a, b, expected, why) in [
        ("mark-a", "mark-b", ("1", "2"), "each its own"),
        ("mark-b", "mark-a", ("nothing", "nothing"), "mixed up"),
        ("mark-b", "mark-b", ("nothing", "2"), "one is another's"),
        ("theirs", "mark-b", ("1", "2"), "the server writes its own"),
    ] {
        let (a, b) = both(json!([shown("a", "1", a), shown("b", "2", b)]));
        assert_eq!((&*a, &*b), expected, "{why}");
    }
}
