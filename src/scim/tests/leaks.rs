//! Nothing the operator prints repeats the token, the server or a person.

use std::error::Error;
use std::fmt::Debug;

use serde_json::json;
use tokio::net::TcpListener;

use super::{CANARY, Server, config, reply, scim};
use crate::scim::ResourceKind::User;
use crate::scim::{Client, ListQuery, Patch, SafeDetail, ScimError};

const PERSON: &str = "ada@example.com";

/// Everything that could be printed of an error, down to its causes.
fn printed(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("{error} {error:?} {error:#?}\n"));
        cause = error.source();
    }
    text
}

fn assert_clean(text: &str) {
    for secret in [CANARY, PERSON, "ada%40", "Grace", "12345678"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn no_error_repeats_the_token_the_request_or_the_reply() {
    let said = format!("{PERSON} {CANARY} Grace 12345678");
    for status in [
        200, 301, 400, 401, 403, 404, 405, 409, 412, 413, 415, 418, 429, 500, 501, 503,
    ] {
        let mut bodies =
            vec![json!({"detail": said, "scimType": said, "status": said}).to_string()];
        if matches!(status, 200 | 404) {
            bodies.push(said.clone());
            bodies.push(format!("<html>{said}"));
        }
        for body in bodies {
            let server =
                Server::start(move |_| reply(status, "application/json", body.clone())).await;
            let person = json!({"userName": PERSON});
            // A client each, as a 429 pauses the one that met it.
            let results: [Option<ScimError>; 4] = [
                server.client().list(User, &ListQuery::first(1)).await.err(),
                server.client().find(User, "userName", PERSON).await.err(),
                server.client().create(User, &person).await.err(),
                server
                    .client()
                    .patch(User, PERSON, &Patch::default(), None)
                    .await
                    .err(),
            ];
            for error in results.iter().flatten() {
                assert_clean(&printed(error));
            }
        }
    }
}

#[tokio::test]
async fn no_transport_error_repeats_the_token_or_the_filter() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closing = tokio::spawn(async move { drop(listener.accept().await) });
    let client = Client::new(config(&format!("http://{address}"))).unwrap();
    // The first meets a server that hangs up, the second none at all.
    for _ in 0..2 {
        let error = client.find(User, "userName", PERSON).await.unwrap_err();
        assert_clean(&printed(&error));
    }
    closing.await.unwrap();
}

#[test]
fn no_configuration_prints_its_token() {
    let config = config(&format!("https://ada:{CANARY}@a.example/?{CANARY}"));
    assert_clean(&format!("{config:?} {config:#?}"));
    assert_clean(&printed(&Client::new(config).unwrap_err()));
    let client = Client::new(super::config("https://a.example/")).unwrap();
    fn debug(value: &impl Debug) -> String {
        format!("{value:?} {value:#?}")
    }
    assert_clean(&debug(&client));
}

#[tokio::test]
async fn a_refusal_names_its_type_and_the_attributes_and_nothing_else() {
    let cases = [
        (
            json!({"scimType": "invalidValue", "detail": "emails[0].value 'ada@example.com' and PreferredLanguage are wrong for Grace"}),
            "the server rejected the request (status 400): invalidValue (emails, preferredLanguage)",
        ),
        (
            json!({"detail": ["Title too long"]}),
            "the server rejected the request (status 400): (title)",
        ),
        (
            json!({"scimType": "tooMany"}),
            "the server rejected the request (status 400): tooMany",
        ),
        (
            json!({"error": {"message": "no"}}),
            "the server rejected the request (status 400)",
        ),
        (
            json!({"schemas": ["urn:x:Error"], "detail": "entitle me"}),
            "the server rejected the request (status 400)",
        ),
    ];
    for (body, message) in cases {
        let server = Server::start(move |_| scim(400, body.clone())).await;
        let error = server.client().create(User, &json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_huge_explanation_is_searched_in_part() {
    let detail = SafeDetail::of(Some(&json!({"a": "x ".repeat(1_000_000), "b": "emails"})));
    assert!(detail.attributes.is_empty());
}
