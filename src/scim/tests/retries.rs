//! What the statuses that ask for patience do to the connection.

use std::time::Duration;

use serde_json::json;

use super::{Server, empty, scim};
use crate::scim::ResourceKind::User;
use crate::scim::{ErrorClass, ScimError};

#[tokio::test]
async fn a_throttled_request_pauses_the_whole_connection() {
    let server = Server::start(|_| {
        let mut response = empty(429);
        response
            .headers_mut()
            .insert("retry-after", "120".parse().unwrap());
        response
    })
    .await;
    let client = server.client();
    let error = client.create(User, &json!({})).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert!(
        error.possibly_applied(),
        "some servers apply what they throttle"
    );
    assert!(client.paused_for().unwrap() > Duration::from_secs(110));
    assert_eq!(client.tally().pauses.get(), 1);
    let next = tokio::time::timeout(Duration::from_millis(50), client.get(User, "1")).await;
    assert!(next.is_err());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_unavailable_server_pauses_the_connection_only_where_it_asks() {
    let server = Server::start(|seen| {
        let mut response = empty(503);
        if seen.method == "POST" {
            response
                .headers_mut()
                .insert("retry-after", "120".parse().unwrap());
        }
        response
    })
    .await;
    let client = server.client();
    let error = client.get(User, "1").await.unwrap_err();
    assert!(matches!(
        error,
        ScimError::Server {
            status: 503,
            retry_after: None
        }
    ));
    assert_eq!(client.paused_for(), None);
    let error = client.create(User, &json!({})).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(error.possibly_applied());
    assert!(client.paused_for().is_some());
}

#[tokio::test]
async fn every_status_has_a_class() {
    let server = Server::start(|seen| {
        let status = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        scim(status, json!({}))
    })
    .await;
    let cases = [
        (400, ErrorClass::Rejected),
        (401, ErrorClass::Authentication),
        (403, ErrorClass::Rejected),
        (404, ErrorClass::Gone),
        (405, ErrorClass::Unsupported),
        (408, ErrorClass::Transient),
        (409, ErrorClass::Conflict),
        (410, ErrorClass::Gone),
        (412, ErrorClass::Transient),
        (413, ErrorClass::Rejected),
        (422, ErrorClass::Rejected),
        (500, ErrorClass::Transient),
        (501, ErrorClass::Unsupported),
        (502, ErrorClass::Transient),
    ];
    for (status, class) in cases {
        let error = server
            .client()
            .get(User, &status.to_string())
            .await
            .unwrap_err();
        assert_eq!(error.class(), class, "{status}");
    }
}
