//! The rules of the transport: origin, media types, bounds, what a failure
//! says about the request.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{CANARY, Server, config, empty, reply, scim, sent};
use crate::scim::ResourceKind::User;
use crate::scim::endpoint::Endpoint;
use crate::scim::http::{Call, MAX_REPLY, Transport};
use crate::scim::limits::Lane;
use crate::scim::{Cause, Client, ConfigError, ErrorClass, ListQuery, ScimError};

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_stays_at_home() {
    let elsewhere = Server::start(|_| scim(200, json!({"id": "1"}))).await;
    let there = elsewhere.origin.clone();
    for status in [301_u16, 302, 303, 307, 308] {
        let location = format!("{there}/scim/v2/Users/1");
        let home = Server::start(move |_| {
            let mut response = empty(status);
            response
                .headers_mut()
                .insert("location", location.parse().unwrap());
            response
        })
        .await;
        let error = home.client().get(User, "1").await.unwrap_err();
        assert!(
            matches!(error, ScimError::OffOrigin { status: s } if s == status),
            "{error:?}"
        );
        assert_eq!(error.class(), ErrorClass::Unreachable);
        assert!(
            home.client()
                .create(User, &json!({}))
                .await
                .unwrap_err()
                .possibly_applied()
        );
        assert_eq!(
            home.seen()[0].header("authorization"),
            Some(&*format!("Bearer {CANARY}"))
        );
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_refused_media_type_is_replaced_once_and_remembered() {
    let server = Server::start(|seen| match seen.header("content-type") {
        Some("application/scim+json") => empty(415),
        _ => scim(201, json!({"id": "1"})),
    })
    .await;
    let client = server.client();
    for _ in 0..2 {
        assert_eq!(
            client
                .create(User, &json!({"userName": "ada"}))
                .await
                .unwrap()
                .status,
            201
        );
    }
    let types: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.header("content-type").unwrap().to_owned())
        .collect();
    assert_eq!(
        types,
        [
            "application/scim+json",
            "application/json",
            "application/json"
        ]
    );
    assert_eq!(sent(&client), 3);
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.json() == json!({"userName": "ada"}))
    );
}

#[tokio::test]
async fn a_server_that_refuses_both_media_types_is_asked_twice_and_no_more() {
    let server = Server::start(|_| empty(415)).await;
    let error = server.client().create(User, &json!({})).await.unwrap_err();
    assert!(matches!(error, ScimError::BadRequest { status: 415, .. }));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn requests_say_who_asks_and_what_is_understood() {
    let server = Server::start(|_| reply(200, "text/plain", r#"{"id": "1"}"#)).await;
    server.client().get(User, "a/b").await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.target, "/scim/v2/Users/a%2Fb");
    assert_eq!(
        seen.header("accept"),
        Some("application/scim+json, application/json")
    );
    assert!(
        seen.header("user-agent")
            .unwrap()
            .starts_with("scim-operator/")
    );
    assert_eq!(seen.header("content-type"), None);
    assert_eq!(seen.header("referer"), None);
}

#[tokio::test]
async fn web_pages_and_other_texts_are_not_scim() {
    let page = "<!doctype html><title>Log in</title>";
    let cases: [(&str, &str); 4] = [
        ("text/html", page),
        ("application/json", page),
        ("text/plain", "OK"),
        ("application/json", ""),
    ];
    for (media, body) in cases {
        let server = Server::start(move |_| reply(200, media, body)).await;
        let error = server
            .client()
            .list(User, &ListQuery::first(10))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ScimError::NotScim { .. }),
            "{media} {body}: {error:?}"
        );
        assert_eq!(error.class(), ErrorClass::Unreachable);
    }
}

#[tokio::test]
async fn compressed_replies_are_read() {
    let bytes = gzip_stored(br#"{"id": "1"}"#);
    let server = Server::start(move |_| gzipped(bytes.clone())).await;
    assert_eq!(
        server.client().get(User, "1").await.unwrap(),
        json!({"id": "1"})
    );
    assert!(
        server.seen()[0]
            .header("accept-encoding")
            .unwrap()
            .contains("gzip")
    );
}

#[tokio::test]
async fn r16_a_bomb_is_bounded_after_decompression() {
    let bytes = gzip_repeating(4 * MAX_REPLY);
    assert!(bytes.len() < MAX_REPLY / 16);
    let server = Server::start(move |_| gzipped(bytes.clone())).await;
    let error = server.client().get(User, "1").await.unwrap_err();
    assert!(matches!(error, ScimError::ReplyTooLarge), "{error:?}");
}

#[tokio::test]
async fn an_unanswered_request_was_possibly_applied() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut config = config(&endpoint);
    config.request_timeout = Duration::from_millis(100);
    // The listener's backlog accepts the connection; nobody ever answers.
    let error = Client::new(config)
        .unwrap()
        .create(User, &json!({}))
        .await
        .unwrap_err();
    assert!(matches!(error, ScimError::Timeout), "{error:?}");
    assert!(error.possibly_applied());
    assert_eq!(error.class(), ErrorClass::Transient);
}

#[tokio::test]
async fn a_lost_reply_was_possibly_applied() {
    for half in [
        &b""[..],
        b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"id\":",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(half).await.unwrap();
        });
        let client = Client::new(config(&endpoint)).unwrap();
        let error = client.create(User, &json!({})).await.unwrap_err();
        assert_eq!(error, ScimError::ReplyLost(Cause::Closed));
        assert!(error.possibly_applied());
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_connection_applied_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(config(&endpoint)).unwrap();
    let error = client.create(User, &json!({})).await.unwrap_err();
    assert_eq!(error, ScimError::Connect(Cause::Refused));
    assert!(!error.possibly_applied());
    assert_eq!(error.class(), ErrorClass::Unreachable);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_applied_nothing() {
    let client = Client::new(config("http://nobody.invalid/")).unwrap();
    let error = client.create(User, &json!({})).await.unwrap_err();
    // A resolver that is slow to say so runs into the time for connecting.
    assert!(
        matches!(
            error,
            ScimError::Connect(Cause::Name | Cause::ConnectTimeout)
        ),
        "{error:?}"
    );
    assert!(!error.possibly_applied());
}

#[tokio::test]
async fn local_addresses_are_refused_by_literal_and_by_name() {
    let server = Server::start(|_| scim(200, json!({"id": "1"}))).await;
    let mut literal = config(&server.origin);
    literal.allow_local = false;
    assert!(matches!(
        Client::new(literal),
        Err(ConfigError::AddressRefused)
    ));
    // A name passes construction where the endpoint is checked leniently; the
    // resolver refuses it all the same.
    let mut named = config("http://localhost:9/");
    named.allow_local = false;
    let endpoint = Endpoint::parse(&named.endpoint, true, true).unwrap();
    let transport = Transport::new(&named, &endpoint).unwrap();
    let call = Call::bare(
        crate::scim::Operation::Get,
        endpoint.url("Users", &[]).unwrap(),
        Lane::Fresh,
    );
    let error = transport.send(&call).await.unwrap_err();
    assert_eq!(error, ScimError::AddressRefused);
    assert!(!error.possibly_applied());
    assert!(server.seen().is_empty());
}

#[test]
fn what_cannot_be_a_token_or_a_bundle_is_refused() {
    for token in ["", "a b", "line\n", "é"] {
        let mut config = config("https://a.example/");
        config.token = secrecy::SecretString::from(token);
        assert!(
            matches!(Client::new(config), Err(ConfigError::TokenMalformed)),
            "{token:?}"
        );
    }
    for pem in [
        &b""[..],
        b"no pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let mut config = config("https://a.example/");
        config.ca_pem = Some(pem.to_vec());
        let error = Client::new(config).map(drop).unwrap_err();
        assert!(
            matches!(error, ConfigError::CaBundle(_) | ConfigError::Tls(_)),
            "{error:?}"
        );
    }
}

fn gzipped(bytes: Vec<u8>) -> Response {
    Response::builder()
        .header("content-type", "application/scim+json")
        .header("content-encoding", "gzip")
        .body(Body::from(bytes))
        .unwrap()
}

const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A gzip member of one stored block (RFC 1951 §3.2.4, RFC 1952).
fn gzip_stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut out = GZIP_HEADER.to_vec();
    out.push(1);
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(data);
    let crc = !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    });
    out.extend(crc.to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

/// A gzip member of at least `length` spaces by fixed Huffman codes
/// (RFC 1951 §3.2.6): one literal, then repeats of 258 at distance 1. Its
/// checksum is missing: nobody should read that far.
fn gzip_repeating(length: usize) -> Vec<u8> {
    let mut bits: Vec<u8> = vec![1, 1, 0];
    bits.extend(code(0x30 + u32::from(b' '), 8));
    for _ in 0..length / 258 + 1 {
        bits.extend(code(0b1100_0101, 8));
        bits.extend(code(0, 5));
    }
    bits.extend(code(0, 7));
    let mut out = GZIP_HEADER.to_vec();
    out.extend(bits.chunks(8).map(|byte| {
        byte.iter()
            .enumerate()
            .fold(0, |sum, (place, bit)| sum | (bit << place))
    }));
    out
}

fn code(value: u32, length: u32) -> impl Iterator<Item = u8> {
    (0..length)
        .rev()
        .map(move |place| ((value >> place) & 1) as u8)
}
