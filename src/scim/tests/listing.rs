//! Listings against servers that page in every way seen.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::response::Response;
use serde_json::{Value, json};

use super::{Seen, Server, empty, scim};
use crate::scim::ResourceKind::User;
use crate::scim::types::id_of;
use crate::scim::{Listing, ListingOptions, ScimError, list_all};

/// Lists, and answers the ids in the order of their delivery.
async fn list(
    server: &Server,
    options: &ListingOptions,
) -> Result<(Listing, Vec<String>), ScimError> {
    let mut ids = Vec::new();
    let listing = list_all(&server.client(), User, options, |page| {
        ids.extend(page.iter().filter_map(id_of));
        ControlFlow::Continue(())
    })
    .await?;
    assert_eq!(listing.received, ids.len() as u64);
    assert_eq!(listing.complete, listing.reason.is_none());
    Ok((listing, ids))
}

fn by(page_size: u32) -> ListingOptions {
    ListingOptions {
        page_size,
        ..ListingOptions::default()
    }
}

fn start_of(seen: &Seen) -> usize {
    seen.parameter("startIndex")
        .map_or(1, |text| text.parse().unwrap())
}

fn count_of(seen: &Seen) -> usize {
    seen.parameter("count").unwrap().parse().unwrap()
}

fn users(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(|id| json!({"id": id.to_string()})).collect()
}

fn page(total: usize, resources: Vec<Value>) -> Response {
    scim(200, json!({"totalResults": total, "Resources": resources}))
}

/// What a well-behaved server with `size` users and a cap answers.
fn honest(seen: &Seen, size: usize, cap: usize) -> Vec<Value> {
    let from = start_of(seen) - 1;
    users(from.min(size)..(from + count_of(seen).min(cap)).min(size))
}

fn all(size: usize) -> Vec<String> {
    (0..size).map(|id| id.to_string()).collect()
}

#[tokio::test]
async fn collections_of_every_size_are_listed_without_a_wasted_request() {
    let cases = [
        (0, 1, "empty"),
        (7, 1, "one short page"),
        (10, 2, "a full page that is all: one more to be sure"),
        (25, 3, "a short last page"),
        (30, 3, "a full last page"),
    ];
    for (size, requests, why) in cases {
        let server = Server::start(move |seen| page(size, honest(seen, size, 1000))).await;
        let (listing, ids) = list(&server, &by(10)).await.unwrap();
        assert!(listing.complete, "{why}: {listing:?}");
        assert_eq!(ids, all(size), "{why}");
        assert_eq!(server.seen().len(), requests, "{why}");
        assert_eq!(listing.total, Some(size as u64), "{why}");
    }
}

#[tokio::test]
async fn a_cap_below_the_count_is_accepted() {
    let server = Server::start(|seen| page(25, honest(seen, 25, 4))).await;
    let (listing, ids) = list(&server, &by(100)).await.unwrap();
    assert!(listing.complete);
    assert_eq!(ids, all(25));
}

#[tokio::test]
async fn pages_that_overlap_or_repeat_are_delivered_once() {
    // Every page starts one earlier than asked for.
    let server = Server::start(|seen| {
        let from = (start_of(seen) - 1).saturating_sub(1);
        page(25, users(from..(from + 10).min(25)))
    })
    .await;
    let (listing, ids) = list(&server, &by(10)).await.unwrap();
    assert!(listing.complete, "{listing:?}");
    assert_eq!(ids, all(25));
}

#[tokio::test]
async fn a_page_past_the_end_that_still_has_items_ends_the_listing() {
    let server = Server::start(|seen| {
        let resources = match honest(seen, 20, 10) {
            none if none.is_empty() => users(10..20),
            some => some,
        };
        page(20, resources)
    })
    .await;
    let (listing, ids) = list(&server, &by(10)).await.unwrap();
    assert!(listing.complete);
    assert_eq!(ids, all(20));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn an_ignored_start_index_is_noticed() {
    for (total, complete, why) in [(10, true, "it was all"), (25, false, "there is more")] {
        let server = Server::start(move |_| page(total, users(0..10))).await;
        let (listing, ids) = list(&server, &by(10)).await.unwrap();
        assert_eq!(listing.complete, complete, "{why}: {listing:?}");
        assert_eq!(ids, all(10));
        assert_eq!(server.seen().len(), 2, "{why}");
    }
}

#[tokio::test]
async fn a_total_that_is_the_size_of_the_page_is_found_out() {
    type Total = fn(usize, usize) -> usize;
    let totals: [(Total, &str, bool); 2] = [
        (|_, length| length, "the length of each page", false),
        (
            |from, length| from + length,
            "as far as the page goes",
            true,
        ),
    ];
    for (total, why, complete) in totals {
        let server = Server::start(move |seen| {
            let resources = honest(seen, 250, 100);
            page(total(start_of(seen) - 1, resources.len()), resources)
        })
        .await;
        // Asked for more than the cap, so that no page is full by our count.
        let (listing, ids) = list(&server, &by(200)).await.unwrap();
        assert_eq!(ids, all(250), "{why}");
        assert_eq!(listing.complete, complete, "{why}: {listing:?}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_to_look_behind_the_end_is_complete() {
    let server = Server::start(|seen| match honest(seen, 10, 10) {
        none if none.is_empty() => scim(400, json!({"scimType": "invalidValue"})),
        some => page(10, some),
    })
    .await;
    assert!(list(&server, &by(10)).await.unwrap().0.complete);
}

#[tokio::test]
async fn an_empty_page_behind_the_end_says_nothing_of_the_total() {
    let server = Server::start(|seen| match honest(seen, 10, 10) {
        none if none.is_empty() => page(0, none),
        some => page(10, some),
    })
    .await;
    let (listing, _) = list(&server, &by(10)).await.unwrap();
    assert_eq!((listing.complete, listing.total), (true, Some(10)));
}

#[tokio::test]
async fn a_listing_can_run_on_any_thread() {
    let server = Server::start(|seen| page(3, honest(seen, 3, 10))).await;
    let client = server.client();
    let task = tokio::spawn(async move {
        let mut count = 0;
        let options = ListingOptions::default();
        let counted = list_all(&client, User, &options, |page| {
            count += page.len();
            ControlFlow::Continue(())
        });
        counted.await.map(|_| count)
    });
    assert_eq!(task.await.unwrap(), Ok(3));
}

#[tokio::test]
async fn a_total_that_disagrees_makes_the_listing_incomplete() {
    let cases: [(usize, usize, &str); 2] = [
        (12, 10, "fewer resources came than totalResults says"),
        (0, 7, "more resources came than totalResults says"),
    ];
    for (total, size, reason) in cases {
        let server = Server::start(move |seen| page(total, honest(seen, size, 10))).await;
        let (listing, _) = list(&server, &by(10)).await.unwrap();
        assert_eq!(listing.reason, Some(reason));
    }
}

#[tokio::test]
async fn r21_a_deletion_meanwhile_makes_the_listing_incomplete_and_a_creation_does_not() {
    // One user of the first page goes: the others move up, and one is missed.
    let server = Server::start(|seen| match start_of(seen) {
        1 => page(25, users(0..10)),
        11 => page(24, users(11..21)),
        _ => page(24, users(21..25)),
    })
    .await;
    let (listing, _) = list(&server, &by(10)).await.unwrap();
    assert_eq!(
        listing.reason,
        Some("totalResults shrank during the listing")
    );
    let server = Server::start(|seen| match start_of(seen) {
        1 => page(25, users(0..10)),
        _ => page(26, honest(seen, 26, 10)),
    })
    .await;
    assert!(list(&server, &by(10)).await.unwrap().0.complete);
}

#[tokio::test]
async fn without_a_total_only_an_end_is_an_end() {
    let server = Server::start(|seen| scim(200, json!({"Resources": honest(seen, 13, 10)}))).await;
    let (listing, ids) = list(&server, &by(10)).await.unwrap();
    assert!(listing.complete);
    assert_eq!(ids, all(13));
    let server = Server::start(|_| scim(200, json!({"Resources": users(0..10)}))).await;
    let (listing, _) = list(&server, &by(10)).await.unwrap();
    assert_eq!(
        listing.reason,
        Some("without totalResults, the server repeats its pages")
    );
}

#[tokio::test]
async fn missing_resources_are_none_and_nameless_ones_are_noticed() {
    let server = Server::start(|_| scim(200, json!({"totalResults": 0}))).await;
    assert!(list(&server, &by(10)).await.unwrap().0.complete);
    let server = Server::start(|_| page(2, vec![json!({"id": 1}), json!({"userName": "x"})])).await;
    let (listing, ids) = list(&server, &by(10)).await.unwrap();
    let reason = "a resource has no id, or one that is longer than 1024 bytes";
    assert_eq!(listing.reason, Some(reason));
    assert_eq!(ids, ["1"]);
}

#[tokio::test]
async fn the_number_of_pages_is_bounded() {
    // A directory without end.
    let server = Server::start(|seen| {
        let from = start_of(seen) - 1;
        page(1_000_000, users(from..from + 10))
    })
    .await;
    let options = ListingOptions {
        max_pages: 3,
        ..by(10)
    };
    let (listing, ids) = list(&server, &options).await.unwrap();
    assert_eq!(listing.reason, Some("the limit of pages was reached"));
    assert_eq!((listing.pages, ids.len(), server.seen().len()), (3, 30, 3));
}

/// A page by cursor; the cursor is the place it goes on from.
fn cursor_page(seen: &Seen, size: usize) -> Response {
    let from = seen
        .parameter("cursor")
        .filter(|c| !c.is_empty())
        .map_or(0, |c| c.parse().unwrap());
    let to = (from + 10).min(size);
    let mut body = json!({"totalResults": size, "Resources": users(from..to)});
    if to < size {
        body["nextCursor"] = json!(to.to_string());
    }
    scim(200, body)
}

#[tokio::test]
async fn cursors_are_followed_asked_for_or_not() {
    for cursor in [true, false] {
        let server = Server::start(|seen| cursor_page(seen, 25)).await;
        let (listing, ids) = list(&server, &ListingOptions { cursor, ..by(10) })
            .await
            .unwrap();
        assert!(listing.complete, "{listing:?}");
        assert_eq!(ids, all(25));
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn a_server_without_cursors_is_paged_by_index_instead() {
    let server = Server::start(|seen| page(25, honest(seen, 25, 10))).await;
    let (listing, ids) = list(
        &server,
        &ListingOptions {
            cursor: true,
            ..by(10)
        },
    )
    .await
    .unwrap();
    assert!(listing.complete, "{listing:?}");
    assert_eq!(ids, all(25));
}

#[tokio::test]
async fn an_expired_cursor_starts_the_listing_over_once() {
    for (expiries, ok) in [(1, true), (2, false)] {
        let left = AtomicU32::new(expiries);
        let server = Server::start(move |seen| {
            let expired = seen.parameter("cursor") == Some("20")
                && left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok();
            match expired {
                true => scim(400, json!({"scimType": "expiredCursor", "status": "400"})),
                false => cursor_page(seen, 25),
            }
        })
        .await;
        let result = list(
            &server,
            &ListingOptions {
                cursor: true,
                ..by(10)
            },
        )
        .await;
        match result {
            Ok((listing, ids)) => {
                assert!(ok && listing.complete);
                assert_eq!(ids, all(25), "nobody is delivered twice");
            }
            Err(error) => assert!(!ok, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_cursor_that_comes_back_ends_the_listing() {
    let server =
        Server::start(|_| scim(200, json!({"Resources": users(0..10), "nextCursor": "x"}))).await;
    let (listing, _) = list(&server, &by(10)).await.unwrap();
    assert_eq!(listing.reason, Some("the server repeats a cursor"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn r16_a_page_that_is_too_large_is_asked_for_in_halves() {
    let server = Server::start(|seen| match count_of(seen) {
        large if large > 5 => scim(400, json!({"scimType": "tooMany"})),
        _ => page(12, honest(seen, 12, 5)),
    })
    .await;
    let (listing, ids) = list(&server, &by(20)).await.unwrap();
    assert!(listing.complete);
    assert_eq!(ids, all(12));
}

#[tokio::test]
async fn a_page_is_asked_for_again_after_trouble_that_passes() {
    for status in [429, 502] {
        let left = AtomicU32::new(1);
        let server = Server::start(move |seen| {
            let trouble = start_of(seen) == 11
                && left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok();
            if trouble {
                empty(status)
            } else {
                page(25, honest(seen, 25, 10))
            }
        })
        .await;
        let (listing, ids) = list(&server, &by(10)).await.unwrap();
        assert!(listing.complete);
        assert_eq!(ids, all(25));
        assert_eq!(server.seen().len(), 4);
    }
}

#[tokio::test]
async fn trouble_that_does_not_pass_is_the_callers() {
    let server = Server::start(|_| empty(401)).await;
    assert!(matches!(
        list(&server, &by(10)).await,
        Err(ScimError::Unauthorized)
    ));
    assert_eq!(server.seen().len(), 1);
}
