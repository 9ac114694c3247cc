//! Replies that never end, or that unfold: each costs bounded memory and time, and the error names the bound.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::{Server, config, reply, scim};
use crate::scim::ResourceKind::User;
use crate::scim::http::MAX_REPLY;
use crate::scim::{Client, ListQuery, Listing, ListingOptions, ScimError, list_all};

/// The limit of time of these tests' requests, and what nothing here may take.
const TIMEOUT: Duration = Duration::from_millis(500);
const FAR_LONGER: Duration = Duration::from_secs(20);

/// A server that reads a request, says `first`, and then `more` over and over, with that pause, until nobody
/// listens any more.
async fn endless(first: &'static str, more: Vec<u8>, pause: Option<Duration>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.request_timeout = TIMEOUT;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let more = more.clone();
            tokio::spawn(async move { say(stream, first, &more, pause).await });
        }
    });
    Client::new(config).unwrap()
}

async fn say(mut stream: TcpStream, first: &str, more: &[u8], pause: Option<Duration>) {
    let mut request = [0; 4096];
    let read = stream.read(&mut request).await;
    let mut said = read.is_ok() && stream.write_all(first.as_bytes()).await.is_ok();
    while said {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        said = stream.write_all(more).await.is_ok();
    }
}

async fn error_of(client: Client) -> ScimError {
    let begun = Instant::now();
    let error = client.get(User, "1").await.unwrap_err();
    assert!(begun.elapsed() < FAR_LONGER, "{:?}", begun.elapsed());
    error
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/scim+json\r\n";

#[tokio::test]
async fn r16_a_body_without_end_is_left_at_the_bound_which_the_error_names() {
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let first = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let error = error_of(endless(first, chunk, None).await).await;
    assert_eq!(error, ScimError::ReplyTooLarge);
    let said = error.to_string();
    assert!(
        said.contains("16 MiB") && said.contains("128 MiB"),
        "{said}"
    );
}

#[tokio::test]
async fn r16_a_reply_that_unfolds_in_memory_is_too_large() {
    let server = Server::start(|_| {
        let body = format!("[{}0]", r#"{"":0},"#.repeat(2 * 1024 * 1024));
        assert!(body.len() < MAX_REPLY);
        reply(200, "application/scim+json", body)
    })
    .await;
    assert_eq!(error_of(server.client()).await, ScimError::ReplyTooLarge);
}

#[tokio::test]
async fn a_refusal_stays_one_however_large_its_explanation_is() {
    let server = Server::start(|_| reply(401, "text/html", vec![b' '; 2 * MAX_REPLY])).await;
    assert_eq!(error_of(server.client()).await, ScimError::Unauthorized);
}

#[tokio::test]
async fn r16_a_reply_that_drips_is_cut_off_when_its_time_is_over() {
    let drip = Some(Duration::from_millis(20));
    let heads = [
        // The body drips; the headers do; nothing but what precedes an answer comes.
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
            b" ".to_vec(),
        ),
        (OK, b"x-a: b\r\n".to_vec()),
        ("", b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec()),
    ];
    for (first, more) in heads {
        let error = error_of(endless(first, more, drip).await).await;
        assert_eq!(error, ScimError::Timeout, "{first:?}");
    }
}

#[tokio::test]
async fn headers_without_end_are_not_read_to_the_end_of_the_time() {
    for more in [
        &b"x-a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"[..],
        &[b'a'; 4096],
    ] {
        let error = error_of(endless(OK, more.to_vec(), None).await).await;
        assert!(matches!(error, ScimError::ReplyLost(_)), "{error:?}");
    }
}

#[tokio::test]
async fn json_nested_too_deeply_is_no_json() {
    let deep = "[".repeat(100_000);
    let server = Server::start(move |_| reply(200, "application/scim+json", deep.clone())).await;
    let client = server.client();
    let error = client.list(User, &ListQuery::first(1)).await.unwrap_err();
    assert!(matches!(error, ScimError::NotScim { .. }), "{error:?}");
}

/// Lists what the server answers to the page of that number, counted from 0.
async fn listed(
    options: ListingOptions,
    answer: fn(usize) -> serde_json::Value,
) -> (Listing, usize) {
    let pages = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| {
        scim(
            200,
            answer(pages.fetch_add(1, std::sync::atomic::Ordering::SeqCst)),
        )
    })
    .await;
    let client = server.client();
    let listing = list_all(&client, User, &options, |_| ControlFlow::Continue(()));
    (listing.await.unwrap(), server.seen().len())
}

/// Ten users that nobody has seen before, of a million.
fn ten(page: usize) -> Vec<serde_json::Value> {
    (0..10)
        .map(|n| json!({"id": format!("{page}-{n}")}))
        .collect()
}

#[tokio::test]
async fn a_listing_without_end_ends_at_each_of_its_bounds_and_says_at_which() {
    let usual = ListingOptions::default;
    let endless = |page| json!({"totalResults": 1_000_000, "Resources": ten(page)});
    for (options, reason, pages) in [
        (
            ListingOptions {
                max_resources: 35,
                ..usual()
            },
            "the limit of resources was reached",
            4,
        ),
        (
            ListingOptions {
                max_time: Duration::ZERO,
                ..usual()
            },
            "the limit of time was reached",
            0,
        ),
        (
            ListingOptions {
                max_pages: 2,
                ..usual()
            },
            "the limit of pages was reached",
            2,
        ),
    ] {
        let (listing, asked) = listed(options, endless).await;
        assert_eq!((listing.reason, asked), (Some(reason), pages));
        assert!(!listing.complete);
    }
    let most = usual();
    assert!(most.max_resources <= 1_000_000 && most.max_pages <= 10_000);
    // As slow as may be configured, every page is asked for; and it ends.
    assert!(most.max_time >= Duration::from_secs(2 * most.max_pages as u64));
    assert!(most.max_time <= Duration::from_secs(86_400));
}

#[tokio::test]
async fn a_million_that_are_only_claimed_cost_a_request() {
    let (listing, asked) = listed(
        ListingOptions::default(),
        |_| json!({"totalResults": 1_000_000, "Resources": []}),
    )
    .await;
    assert_eq!(asked, 1);
    assert_eq!(
        listing.reason,
        Some("fewer resources came than totalResults says")
    );
}

#[tokio::test]
async fn cursors_that_go_in_a_ring_or_grow_end_the_listing() {
    let ring =
        |page: usize| json!({"Resources": ten(page), "nextCursor": format!("c{}", page % 3)});
    let (listing, asked) = listed(ListingOptions::default(), ring).await;
    assert_eq!(
        (listing.reason, asked),
        (Some("the server repeats a cursor"), 4)
    );
    let (listing, asked) = listed(
        ListingOptions::default(),
        |page| json!({"Resources": ten(page), "nextCursor": "c".repeat(4097)}),
    )
    .await;
    assert_eq!(
        (listing.reason, asked),
        (Some("a cursor is longer than 4096 bytes"), 1)
    );
}

#[tokio::test]
async fn whoever_takes_the_pages_may_end_the_listing() {
    let page = |_: &_| scim(200, json!({"totalResults": 30, "Resources": ten(0)}));
    let server = Server::start(page).await;
    let full = |_| ControlFlow::Break("there is no more room");
    let (client, options) = (server.client(), ListingOptions::default());
    let listing = list_all(&client, User, &options, full).await;
    assert_eq!(listing.unwrap().reason, Some("there is no more room"));
    assert_eq!(server.seen().len(), 1);
}
