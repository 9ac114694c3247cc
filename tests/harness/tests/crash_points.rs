//! The fronts of the crash points number what comes by either, and strike when they are told to: before
//! the upstream hears of it, after it has answered, after the answer is out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Uri, response::IntoResponse};
use futures::stream;
use hyper::StatusCode;
use scim_operator_harness::{
    crash_points::{
        front::{Behind, Front},
        journal::{Journal, Mode, Side},
    },
    wait::eventually,
};

const DEADLINE: Duration = Duration::from_secs(10);

/// An upstream that counts, and whose watches give one line and never end.
struct Upstream {
    url: String,
    served: Arc<AtomicUsize>,
}

async fn upstream() -> Upstream {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = served.clone();
    let app = Router::new().fallback(move |uri: Uri| {
        let counter = counter.clone();
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            if uri.query() == Some("watch=true") {
                let line = stream::iter([anyhow::Ok("one event\n")]);
                let lines = futures::StreamExt::chain(line, stream::pending());
                return Body::from_stream(lines).into_response();
            }
            StatusCode::CREATED.into_response()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Upstream { url, served }
}

struct Scene {
    journal: Arc<Journal>,
    struck: Arc<AtomicUsize>,
    upstream: Upstream,
    fronts: [Front; 2],
    client: reqwest::Client,
}

async fn scene(order: Option<(usize, Mode)>) -> Scene {
    let upstream = upstream().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let journal = Arc::new(Journal::new(order));
    let struck = Arc::new(AtomicUsize::new(0));
    let front = async |side| {
        let struck = struck.clone();
        let behind = Behind {
            side,
            upstream: upstream.url.clone(),
            client: client.clone(),
            journal: journal.clone(),
            strike: Arc::new(move || {
                struck.fetch_add(1, Ordering::SeqCst);
            }),
            witness: Arc::new(|_, _| None),
        };
        Front::start(behind, None).await.unwrap()
    };
    let fronts = [front(Side::Kubernetes).await, front(Side::Backend).await];
    Scene {
        journal,
        struck,
        upstream,
        fronts,
        client,
    }
}

impl Scene {
    async fn ask(&self, front: usize, path: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("http://{}{path}", self.fronts[front].authority());
        self.client.post(url).body("{}").send().await
    }

    /// How often it has struck, and how often the upstream was asked.
    fn counts(&self) -> (usize, usize) {
        let served = self.upstream.served.load(Ordering::SeqCst);
        (self.struck.load(Ordering::SeqCst), served)
    }
}

#[tokio::test]
async fn one_counter_numbers_both_sides() {
    let scene = scene(None).await;
    for (front, path) in [(0, "/api/v1/namespaces"), (1, "/Users"), (0, "/version")] {
        assert_eq!(scene.ask(front, path).await.unwrap().status(), 201);
    }
    let all = scene.journal.since(0);
    let shapes: Vec<(usize, String, Option<u16>)> = all
        .iter()
        .map(|a| (a.number, a.shape(), a.status))
        .collect();
    assert_eq!(
        shapes,
        [
            (1, "POST namespaces".to_owned(), Some(201)),
            (2, "POST /Users".to_owned(), Some(201)),
            (3, "POST version".to_owned(), Some(201)),
        ]
    );
    scene.journal.rests(Duration::ZERO, DEADLINE).await.unwrap();
    assert_eq!(scene.counts(), (0, 3));
}

#[tokio::test]
async fn each_mode_strikes_where_it_says() {
    for (mode, answered, served) in [
        (Mode::BeforeForward, false, 1),
        (Mode::AfterCommit, false, 2),
        (Mode::AfterReply, true, 2),
    ] {
        let scene = scene(Some((2, mode))).await;
        assert_eq!(scene.ask(1, "/Users").await.unwrap().status(), 201);
        assert_eq!(scene.counts(), (0, 1), "not yet");
        let second = scene.ask(0, "/version").await;
        assert_eq!(second.is_ok(), answered, "{mode:?}");
        let struck = eventually("the strike", DEADLINE, async || {
            Ok((scene.counts().0 == 1).then_some(()))
        });
        struck.await.unwrap();
        assert_eq!(scene.counts(), (1, served), "{mode:?}");
        assert_eq!(scene.journal.struck().as_deref(), Some("POST version"));
        assert_eq!(scene.ask(1, "/Users").await.unwrap().status(), 201);
        assert_eq!(scene.counts(), (1, served + 1), "once");
        scene.journal.rests(Duration::ZERO, DEADLINE).await.unwrap();
    }
}

#[tokio::test]
async fn a_watch_streams_and_is_no_answer_that_is_waited_for() {
    for order in [None, Some((1, Mode::AfterReply))] {
        let scene = scene(order).await;
        let mut watch = scene.ask(0, "/api/v1/namespaces?watch=true").await.unwrap();
        assert_eq!(watch.chunk().await.unwrap().unwrap(), "one event\n");
        scene.journal.rests(Duration::ZERO, DEADLINE).await.unwrap();
        assert_eq!(scene.counts().0, usize::from(order.is_some()));
    }
}
