//! Replies of a backend: any status, headers and bytes, through the client's own code. Each request ends
//! in bounded time with an answer or an error, and no error says what the server said.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use scim_operator::scim::{
    AttributePath, Client, ClientConfig, ListQuery, ListingOptions, Patch, PatchOp, ResourceKind,
    ScimError, Start, Wire, list_all,
};
use serde_json::{Value, json};

use super::config;
use super::schema::{json as any_json, spoil};

/// What no error may repeat.
const SECRET: &str = "secret-7f3a";
pub const TOKEN: &str = "token-91c2";
/// The longest that a server may have us wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
struct Scripted {
    status: u16,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

/// A client of a server that answers by script, over and over, and the requests that it got.
fn client_of(script: Vec<Scripted>) -> (Client, Arc<Mutex<Vec<reqwest::Url>>>) {
    let asked: Arc<Mutex<Vec<reqwest::Url>>> = Arc::default();
    let (noted, next) = (asked.clone(), AtomicUsize::new(0));
    let mut config = ClientConfig::new("https://backend.example/scim/v2/", TOKEN.into());
    config.limits.requests_per_second = 10_000;
    config.wire = Wire::in_memory(move |request| {
        noted.lock().unwrap().push(request.url().clone());
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Scripted {
            status,
            headers,
            body,
        } = script[index % script.len()].clone();
        let mut response = http::Response::new(body);
        *response.status_mut() = status.try_into().unwrap();
        for (name, value) in headers {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        Box::pin(std::future::ready(Ok(response.into())))
    });
    (Client::new(config).unwrap(), asked)
}

pub fn on_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(work)
}

fn user() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "1", "externalId": SECRET,
        "userName": SECRET, "active": true, "meta": {"version": "W/\"1\"", "lastModified": "2026-01-01T00:00:00.5Z"},
        "emails": [{"type": "work", "value": SECRET, "primary": true}],
    })
}

fn documents() -> impl Strategy<Value = Value> {
    let group = json!({"id": "g", "displayName": SECRET, "members": [{"value": "1", "$ref": "../Users/1"}, {"value": "2", "type": "Group"}]});
    let page = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 2, "startIndex": 1, "itemsPerPage": 2, "Resources": [user(), group]});
    let error = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "409", "scimType": "uniqueness", "detail": format!("userName {SECRET} is taken")});
    let offers = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"], "patch": {"supported": true}, "bulk": {"supported": true, "maxOperations": 10, "maxPayloadSize": 1000}, "filter": {"supported": true, "maxResults": 100}, "etag": {"supported": true}});
    let types = json!([{"id": "User", "endpoint": "/Users", "schema": SECRET, "schemaExtensions": [{"schema": SECRET, "required": true}]}]);
    let whole = select(vec![
        user(),
        group.clone(),
        page,
        error,
        offers,
        types,
        json!([user()]),
    ]);
    let spoiled = (whole, any::<Index>(), 0u8..6, any_json());
    let spoiled = spoiled.prop_map(|(mut document, place, how, other)| {
        spoil(&mut document, &place, how, other);
        document
    });
    prop_oneof![4 => spoiled, 1 => any_json()]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let text = documents().prop_map(|document| document.to_string().into_bytes());
    let damaged =
        (text, any::<Index>(), any::<u8>(), 0u8..8).prop_map(|(mut bytes, place, byte, how)| {
            let at = place.index(bytes.len());
            match how {
                0 => bytes.truncate(at),
                1 => bytes[at] = byte,
                2 => bytes.insert(at, byte),
                3 => bytes.splice(..0, [0xef, 0xbb, 0xbf]).for_each(drop),
                // A key twice, and one of many that nests deeper than anybody reads.
                4 => bytes
                    .splice(1.min(at)..1.min(at), *br#""id":"twice","id":7,"#)
                    .for_each(drop),
                5 => bytes.splice(..0, vec![b'['; 100_000]).for_each(drop),
                _ => {}
            }
            bytes
        });
    prop_oneof![
        8 => damaged,
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => Just(format!("<html>{SECRET}</html>").into_bytes()),
        1 => Just(format!(r#"{{"id": {}1}}"#, "9".repeat(5000)).into_bytes()),
    ]
}

fn scripted() -> impl Strategy<Value = Scripted> {
    let status = prop_oneof![
        select(
            &[
                200u16, 201, 202, 204, 400, 401, 403, 404, 409, 412, 413, 415, 429, 500, 501, 503
            ][..]
        ),
        200u16..600,
    ];
    let wait = prop_oneof![
        select(
            &[
                "",
                "0",
                "-1",
                "7",
                "1e300",
                "NaN",
                "inf",
                "99999999999999999999999",
                "784111777",
                "784111777000",
                "soon",
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Fri, 31 Dec 9999 23:59:59 GMT",
                "Mon, 99 Foo 0000 99:99:99 GMT"
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
    ];
    let media = select(
        &[
            "application/scim+json",
            "application/json",
            "text/html",
            "",
            "\u{fc}",
            "application/xml; charset=utf-16",
        ][..],
    );
    let name = select(
        &[
            "retry-after",
            "x-ratelimit-reset",
            "x-rate-limit-reset",
            "ratelimit-reset",
            "date",
        ][..],
    );
    let waits = prop::collection::vec((name, wait), 0..3);
    (status, media, waits, bytes()).prop_map(|(status, media, mut headers, body)| {
        headers.push(("content-type", media.as_bytes().to_vec()));
        Scripted {
            status,
            headers,
            body,
        }
    })
}

/// What every error keeps to itself, and how long it has anybody wait.
pub fn discreet(error: &ScimError) -> Result<(), TestCaseError> {
    for text in [format!("{error}"), format!("{error:?}")] {
        prop_assert!(!text.contains(SECRET), "{}", text);
        prop_assert!(!text.contains(TOKEN), "{}", text);
        prop_assert!(!text.contains("backend.example"), "{}", text);
    }
    if let Some(wait) = error.retry_after() {
        prop_assert!(wait <= LONGEST_PAUSE, "R17: {:?}", wait);
    }
    let _ = (error.class(), error.possibly_applied(), error.scim_type());
    Ok(())
}

proptest! {
    #![proptest_config(config(file!()))]

    /// R16, R17: whatever comes, each request ends, soon, and says nothing of what came.
    #[test]
    fn r16_r17_whatever_a_backend_answers_each_request_ends(script in prop::collection::vec(scripted(), 1..4)) {
        let (client, asked) = client_of(script);
        let patch = Patch(vec![PatchOp::Replace { path: "active".into(), value: json!(false) }]);
        let (kind, version) = (ResourceKind::User, Some("W/\"\n"));
        on_virtual_time(async {
            let began = tokio::time::Instant::now();
            let mut errors = Vec::new();
            errors.extend(client.list(kind, &ListQuery::first(10)).await.err());
            errors.extend(client.get(kind, "1").await.err());
            errors.extend(client.create(kind, &user()).await.err());
            errors.extend(client.patch(kind, "1", &patch, version).await.err());
            errors.extend(client.replace(kind, "1", &user(), None).await.err());
            errors.extend(client.delete(kind, "1").await.err());
            errors.extend(client.find(kind, "userName", "ada").await.err());
            let _ = client.discover().await;
            errors.iter().try_for_each(discreet)?;
            let requests = asked.lock().unwrap().len() as u32;
            prop_assert!(requests <= 24, "{} requests", requests);
            prop_assert!(began.elapsed() <= LONGEST_PAUSE * requests);
            Ok(())
        })?;
    }

    /// R16, R21: a listing ends, whatever the pages say of themselves; nobody is delivered twice; and one
    /// that calls itself complete has as many as the server last said.
    #[test]
    fn r21_a_listing_ends_and_is_complete_only_where_the_counts_agree(
        pages in prop::collection::vec((prop::collection::vec(0u8..12, 0..6), prop::option::of(0u64..14), prop::option::of(0u8..3), any::<u64>()), 1..8),
        spoils in prop::option::of((any::<Index>(), 0u8..6, any_json(), any::<Index>())),
        cursor: bool,
        page_size in 0u32..5,
    ) {
        let mut documents: Vec<Value> = pages.iter().map(|(ids, total, next, start)| {
            let resources: Vec<Value> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
            let mut page = json!({"Resources": resources, "startIndex": start, "itemsPerPage": start});
            if let Some(total) = total { page["totalResults"] = json!(total); }
            if let Some(next) = next { page["nextCursor"] = json!(next.to_string()); }
            page
        }).collect();
        if let Some((place, how, other, which)) = spoils {
            let which = which.index(documents.len());
            spoil(&mut documents[which], &place, how, other);
        }
        let script = documents.into_iter().map(|page| Scripted { status: 200, headers: vec![], body: page.to_string().into_bytes() });
        let (client, _) = client_of(script.collect());
        let options = ListingOptions { page_size, cursor, max_pages: 50, ..ListingOptions::default() };
        let (mut ids, mut twice) = (HashSet::new(), false);
        let listed = on_virtual_time(list_all(&client, ResourceKind::User, &options, |resources| {
            for resource in resources {
                twice |= !ids.insert(resource["id"].to_string());
            }
            ControlFlow::Continue(())
        }));
        prop_assert!(!twice);
        match listed {
            Ok(listing) => {
                prop_assert!(listing.pages <= 50);
                prop_assert_eq!(listing.received, ids.len() as u64);
                prop_assert_eq!(listing.complete, listing.reason.is_none());
                if listing.complete {
                    prop_assert!(listing.total.is_none_or(|total| total == listing.received));
                }
            }
            Err(error) => discreet(&error)?,
        }
    }

    /// An id stays one segment, and a value stays within its filter, whatever is in them.
    #[test]
    fn nothing_leaves_its_place_in_a_url(id in r"\PC{0,24}|[./%?#&]{0,6}", value in r#"\PC{0,24}|["\\&=+ ]{0,8}"#) {
        let ok = Scripted { status: 200, headers: vec![], body: br#"{"Resources":[],"totalResults":0,"id":"1"}"#.to_vec() };
        let (client, asked) = client_of(vec![ok]);
        on_virtual_time(async {
            let got = client.get(ResourceKind::User, &id).await;
            prop_assert_eq!(got.is_err(), matches!(&*id, "" | "." | ".."));
            let _ = client.find(ResourceKind::User, "userName", &value).await;
            let page = ListQuery { start: Start::Cursor(Some(value.clone())), ..ListQuery::first(1) };
            let _ = client.list(ResourceKind::User, &page).await;
            Ok(())
        })?;
        let asked = asked.lock().unwrap();
        let (urls, list) = asked.split_at(asked.len() - 1);
        let (by_id, find) = urls.split_at(urls.len() - 1);
        for url in by_id {
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!(&segments[..3], &["scim", "v2", "Users"]);
            prop_assert_eq!(segments.len(), 4);
            prop_assert!(url.query().is_none() && url.fragment().is_none());
        }
        let filter: Vec<String> = find[0].query_pairs().filter(|(name, _)| name == "filter").map(|(_, value)| value.into_owned()).collect();
        prop_assert_eq!(filter.len(), 1);
        let literal: String = serde_json::from_str(filter[0].strip_prefix("userName eq ").unwrap()).unwrap();
        prop_assert_eq!(literal, value.clone());
        let cursor: Vec<String> = list[0].query_pairs().filter(|(name, _)| name == "cursor").map(|(_, value)| value.into_owned()).collect();
        prop_assert_eq!(cursor, vec![value]);
    }

    /// Reading, writing and clearing at any path, in any document.
    #[test]
    fn any_path_works_on_any_document(
        text in r#"(emails|members|manager|name|meta)(\[type eq "(work|home)"\])?(\.(value|primary|type))?|\PC{0,20}"#,
        mut document in documents(), value in any_json(),
    ) {
        if let Ok(path) = text.parse::<AttributePath>() {
            let _ = path.read(&document).cloned();
            path.write(&mut document, value);
            path.clear(&mut document);
            if document.is_object() {
                prop_assert!(path.read(&document).is_none(), "{}", document);
            }
        }
    }
}
