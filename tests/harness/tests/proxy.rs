//! The proxy records what it forwards, in order, and misbehaves as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    http::{Method, StatusCode, header},
    response::IntoResponse,
};
use scim_operator_harness::{
    RecordingProxy,
    proxy::{Canned, Matcher, fingerprint},
    wait::eventually,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A backend that echoes, redirects at `/scim/moved`, and counts.
async fn backend() -> (String, Arc<AtomicUsize>) {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = served.clone();
    let app = Router::new().fallback(move |method: Method, uri: axum::http::Uri, body: Bytes| {
        let counter = counter.clone();
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            if uri.path() == "/scim/moved" {
                return (StatusCode::FOUND, [(header::LOCATION, "/scim/Users")]).into_response();
            }
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            json!({"method": method.as_str(), "uri": uri.to_string(), "body": body})
                .to_string()
                .into_response()
        }
    });
    (serve(app).await, served)
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}/scim/")
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(5)).build().unwrap()
}

async fn started() -> (RecordingProxy, Arc<AtomicUsize>, reqwest::Client) {
    let (url, served) = backend().await;
    let proxy = RecordingProxy::start(&url).await.unwrap();
    (proxy, served, client())
}

#[tokio::test]
async fn requests_are_forwarded_and_recorded_in_order() {
    let (proxy, _, client) = started().await;
    let users = format!("{}/Users", proxy.url());
    let posted = client
        .post(&users)
        .bearer_auth("s3cret")
        .json(&json!({"userName": "a"}));
    let reply: Value = posted.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        reply,
        json!({"method": "POST", "uri": "/scim/Users", "body": {"userName": "a"}})
    );
    let mark = proxy.mark();
    client
        .get(format!("{users}?startIndex=1&count=2"))
        .send()
        .await
        .unwrap();
    let moved = client
        .get(format!("{}/moved", proxy.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(moved.status(), 302);

    let [first] = proxy.writes().try_into().unwrap();
    assert_eq!((first.n, first.status), (1, Some(200)));
    assert_eq!(first.request_body().unwrap()["userName"], "a");
    assert_eq!(first.response_body().unwrap(), reply);
    let kept = first.request_headers[header::AUTHORIZATION]
        .to_str()
        .unwrap();
    assert_eq!(kept, fingerprint(b"Bearer s3cret"));
    assert!(!format!("{first:?}").contains("s3cret"));
    let later: Vec<_> = proxy
        .since(mark)
        .iter()
        .map(|r| r.path_and_query.clone())
        .collect();
    assert_eq!(later, ["/Users?startIndex=1&count=2", "/moved"]);
    assert_eq!(proxy.count(&Method::GET, "/Users"), 1);

    let file = tempfile::NamedTempFile::new().unwrap();
    proxy.dump_jsonl(file.path()).unwrap();
    let dump = std::fs::read_to_string(file.path()).unwrap();
    let line: Value = serde_json::from_str(dump.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["method"], &line["path"]),
        (&json!("POST"), &json!("/Users"))
    );

    proxy.clear();
    client.get(&users).send().await.unwrap();
    assert_eq!(proxy.requests()[0].n, 4);
}

#[tokio::test]
async fn a_held_reply_is_committed_and_never_sent() {
    let (proxy, served, client) = started().await;
    let matcher = Matcher::new(Method::POST, "/Users").containing("\"b\"");
    let mut held = proxy.hold_reply_after_commit(matcher);
    let post = |name: &str| {
        let request = client.post(format!("{}/Users", proxy.url()));
        request.json(&json!({"userName": name})).send()
    };
    assert!(post("a").await.is_ok());
    let waiting = tokio::spawn(post("b"));
    let record = held.committed().await.unwrap();
    assert_eq!((record.n, record.status), (2, Some(200)));
    assert_eq!(served.load(Ordering::SeqCst), 2);
    assert!(!waiting.is_finished());
    held.release();
    assert!(
        waiting.await.unwrap().is_err(),
        "the connection closed without a reply"
    );
    assert!(post("b").await.is_ok(), "a fault is met once");
}

#[tokio::test]
async fn injected_failures_do_not_reach_the_backend() {
    let (proxy, served, client) = started().await;
    let busy = Canned::error(429)
        .unwrap()
        .header("retry-after", "7")
        .unwrap();
    proxy.reply_next(Matcher::any(), busy);
    proxy
        .fail_next(Matcher::new(Method::GET, "/Groups"), 503)
        .unwrap();
    let reply = client
        .get(format!("{}/Users", proxy.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 429);
    assert_eq!(reply.headers()["retry-after"], "7");
    let reply = client
        .get(format!("{}/Groups", proxy.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 503);
    assert_eq!(served.load(Ordering::SeqCst), 0);
    assert!(
        proxy
            .requests()
            .iter()
            .all(|r| !r.answered_by_backend && r.status.is_some())
    );
    assert_eq!(proxy.clear_faults(), 0);
}

#[tokio::test]
async fn a_standing_fault_meets_every_request_until_it_is_cleared() {
    let (proxy, served, client) = started().await;
    let users = format!("{}/Users", proxy.url());
    let get = async || client.get(&users).send().await.unwrap().status().as_u16();
    proxy.reply_always(
        Matcher::new(Method::GET, "/Users"),
        Canned::error(401).unwrap(),
    );
    let groups = client.get(format!("{}/Groups", proxy.url()));
    assert_eq!(groups.send().await.unwrap().status(), 200);
    assert_eq!([get().await, get().await, get().await], [401; 3]);
    assert_eq!(served.load(Ordering::SeqCst), 1);
    assert_eq!(proxy.clear_faults(), 1);
    assert_eq!(get().await, 200);
}

#[tokio::test]
async fn an_outage_closes_connections_and_is_recorded() {
    let (proxy, served, client) = started().await;
    let get = || client.get(format!("{}/Users", proxy.url())).send();
    assert!(get().await.is_ok());
    proxy.set_down(true);
    assert!(get().await.is_err());
    assert_eq!(served.load(Ordering::SeqCst), 1);
    assert_eq!(proxy.requests().last().unwrap().status, None);
    proxy.set_down(false);
    assert!(get().await.is_ok());
    let (other, served) = backend().await;
    proxy.set_upstream(&other);
    assert!(get().await.is_ok());
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_neither_its_request_nor_the_record() {
    let (arrived, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gates = (arrived.clone(), finish.clone());
    let app = Router::new().fallback(move || {
        let (arrived, finish) = gates.clone();
        async move {
            arrived.notify_one();
            finish.notified().await;
            "committed"
        }
    });
    let proxy = RecordingProxy::start(&serve(app).await).await.unwrap();
    let waiting = tokio::spawn(client().post(format!("{}/Users", proxy.url())).send());
    arrived.notified().await;
    waiting.abort();
    finish.notify_one();
    eventually(
        "the answer is recorded",
        Duration::from_secs(5),
        async || Ok(proxy.requests()[0].answered_by_backend.then_some(())),
    )
    .await
    .unwrap();
}

/// Prints a figure; the bound is loose, for a machine that does other things.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_requests_are_recorded_without_loss() {
    const CALLERS: usize = 16;
    const EACH: usize = 250;
    let (proxy, served, client) = started().await;
    let started = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (client, url) = (client.clone(), format!("{}/Users", proxy.url()));
        tokio::spawn(async move {
            for _ in 0..EACH {
                let reply = client.post(&url).json(&json!({"userName": "a"})).send();
                reply.await.unwrap().bytes().await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let (total, elapsed) = (CALLERS * EACH, started.elapsed());
    println!("{total} requests in {elapsed:?}");
    assert_eq!(served.load(Ordering::SeqCst), total);
    assert_eq!(proxy.writes().len(), total);
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}
