//! Whatever a server points to, the token goes to the origin that was configured, and nowhere else.

use axum::response::Response;
use serde_json::json;

use super::{CANARY, Server, config, empty, scim};
use crate::scim::ResourceKind::User;
use crate::scim::{
    Client, ConfigError, ErrorClass, ListQuery, ListingOptions, ScimError, list_all,
};

fn pointing(mut response: Response, header: &'static str, there: &str) -> Response {
    let there = there.parse().unwrap();
    response.headers_mut().insert(header, there);
    response
}

#[tokio::test]
async fn no_redirect_is_followed_wherever_it_leads() {
    let elsewhere = Server::start(|_| scim(200, json!({"id": "1"}))).await;
    let off_origin = format!("{}/scim/v2/Users/1", elsewhere.origin);
    for there in [
        "/scim/v2/Users/2",
        "?again",
        "//rebinds.example/",
        "http://169.254.169.254/latest/meta-data/",
        &off_origin,
    ] {
        for status in [300_u16, 301, 302, 303, 307, 308] {
            let location = there.to_owned();
            let home = Server::start(move |_| pointing(empty(status), "location", &location)).await;
            let client = home.client();
            let read = client.get(User, "1").await.unwrap_err();
            let written = client.create(User, &json!({})).await.unwrap_err();
            for error in [read, written] {
                assert_eq!(error, ScimError::OffOrigin { status }, "{there}");
                assert_eq!(error.class(), ErrorClass::Unreachable);
            }
            assert_eq!(home.seen().len(), 2, "{status} to {there} was followed");
        }
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn no_location_and_no_link_of_a_page_is_followed() {
    let elsewhere = Server::start(|_| scim(200, json!({"id": "1"}))).await;
    let there = format!("{}/scim/v2/Users?startIndex=2", elsewhere.origin);
    let link = there.clone();
    let home = Server::start(
        move |seen| match (&*seen.method, seen.parameter("cursor")) {
            ("POST", _) => pointing(empty(201), "location", &link),
            // Every way to point to a next page that is in use somewhere, and a cursor that is a URL.
            (_, None) => pointing(
                scim(
                    200,
                    json!({
                        "totalResults": 2, "Resources": [{"id": "1", "meta": {"location": link}}],
                        "nextCursor": link, "next": link, "nextLink": link, "@odata.nextLink": link
                    }),
                ),
                "link",
                &format!("<{link}>; rel=\"next\""),
            ),
            (_, Some(_)) => scim(200, json!({"totalResults": 2, "Resources": [{"id": "2"}]})),
        },
    )
    .await;
    let client = home.client();
    let created = client.create(User, &json!({})).await.unwrap();
    assert_eq!((created.status, created.resource), (201, None));
    let mut ids = 0;
    let options = ListingOptions::default();
    let listed = list_all(&client, User, &options, |page| {
        ids += page.len();
        std::ops::ControlFlow::Continue(())
    });
    assert!(listed.await.unwrap().complete);
    let seen = home.seen();
    assert_eq!((ids, seen.len()), (2, 3));
    // The cursor is a parameter at home, encoded, and nothing else.
    let asked = seen[2].parameter("cursor").unwrap();
    assert!(asked.starts_with("http%3A%2F%2F127.0.0.1"), "{asked}");
    assert!(
        seen.iter()
            .all(|s| s.header("authorization") == Some(&format!("Bearer {CANARY}")))
    );
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn an_address_of_the_machine_is_refused_however_it_is_spelt() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127%2e0%2e0%2e1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "metadata.google.internal",
    ] {
        let mut config = config(&format!("https://{host}/scim/v2"));
        (config.allow_local, config.insecure) = (false, false);
        let refused = Client::new(config.clone()).map(drop).unwrap_err();
        assert!(
            matches!(refused, ConfigError::AddressRefused),
            "{host}: {refused:?}"
        );
        // It is the address that was the matter, and the flag is what lets it pass.
        config.allow_local = true;
        assert!(Client::new(config).is_ok(), "{host}");
    }
}

#[tokio::test]
async fn plain_http_needs_to_be_allowed_and_is_never_fallen_back_to() {
    let server = Server::start(|_| scim(200, json!({"Resources": []}))).await;
    let mut http = config(&server.origin);
    http.insecure = false;
    let refused = Client::new(http).map(drop).unwrap_err();
    assert!(matches!(refused, ConfigError::Insecure));
    // A server that speaks no TLS gets a ClientHello, and no token.
    let https = config(&server.origin.replace("http://", "https://"));
    let error = Client::new(https)
        .unwrap()
        .list(User, &ListQuery::first(1))
        .await;
    assert!(matches!(error, Err(ScimError::Connect(_))), "{error:?}");
    assert!(server.seen().is_empty());
}
