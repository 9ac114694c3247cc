//! What the client sends, to an API server that answers as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::IntoResponse;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PostParams, WatchParams};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;

const WHY: &str = "this process does not hold the lease for this";

/// Nobody listens there: whatever passes the fence fails to connect.
fn nowhere() -> Config {
    Config::new(http::Uri::from_static("http://127.0.0.1:1"))
}

/// An API server that answers everything like that, and one that it is.
async fn answering<A, F>(answer: A) -> Config
where
    A: Fn(Request<Answered>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Answered>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Config::new(uri.parse().unwrap())
}

fn maps(client: Client) -> Api<ConfigMap> {
    Api::namespaced(client, "x")
}

fn open() -> Fences {
    let fences = Fences::closed();
    let minute = Instant::now() + Duration::from_secs(60);
    assert!(fences.report.move_to(minute));
    fences
}

async fn refused(fences: &Fences) -> (String, String) {
    let api = maps(fences.client(nowhere()).unwrap());
    let map = ConfigMap::default();
    let read = api.get("x").await.unwrap_err();
    let written = api.create(&PostParams::default(), &map).await.unwrap_err();
    (format!("{read:?}"), format!("{written:?}"))
}

#[tokio::test]
async fn who_does_not_lead_reads_and_writes_nothing() {
    let fences = Fences::closed();
    let (read, written) = refused(&fences).await;
    assert!(!read.contains(WHY), "{read}");
    assert!(written.contains(WHY), "{written}");
    let fences = open();
    let (_, written) = refused(&fences).await;
    assert!(!written.contains(WHY), "{written}");
    fences.close();
    let (_, written) = refused(&fences).await;
    assert!(written.contains(WHY), "{written}");
    let (_, written) = refused(&Fences::none()).await;
    assert!(!written.contains(WHY), "{written}");
}

/// What kube does by itself, fifteen times and for as long as the server says, would be beneath the fence.
#[tokio::test]
async fn r08_a_write_that_the_api_server_puts_off_is_not_sent_again_by_itself() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let config = answering(move |_| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        let (status, body) = if first {
            (429, r#"{"kind":"Status","code":429}"#)
        } else {
            (200, "{}")
        };
        std::future::ready((code(status), [("retry-after", "0")], body).into_response())
    })
    .await;
    let api = maps(open().client(config).unwrap());
    let written = api
        .create(&PostParams::default(), &ConfigMap::default())
        .await;
    assert!(
        matches!(&written, Err(kube::Error::Api(status)) if status.code == 429),
        "{written:?}"
    );
    assert_eq!(sent.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn r08_a_write_goes_no_further_once_the_fence_has_closed() {
    let fences = open();
    let closing = fences.clone();
    let config = answering(move |_| {
        closing.close();
        std::future::ready("{}".into_response())
    })
    .await;
    let api = maps(fences.client(config).unwrap());
    let map = ConfigMap::default();
    let written = api.create(&PostParams::default(), &map).await.unwrap_err();
    assert!(format!("{written:?}").contains(WHY), "{written:?}");
}

/// An API server that takes requests and answers nothing, or begins to: each call ends in its time, but
/// for a watch, which brings something when there is something.
#[tokio::test]
async fn r24_a_call_that_hangs_ends_and_a_watch_stays() {
    const WITHIN: Duration = Duration::from_millis(50);
    const EVENT: &str = r#"{"type":"DELETED","object":{"metadata":{"name":"gone"}}}"#;
    let happens = Arc::new(Notify::new());
    let told = happens.clone();
    let config = answering(move |request: Request<Answered>| {
        let told = told.clone();
        async move {
            let watches = request.uri().query().unwrap_or_default();
            if watches.contains("watch=true") {
                let event = async move {
                    told.notified().await;
                    Ok::<_, BoxError>(format!("{EVENT}\n"))
                };
                return Answered::from_stream(stream::once(event)).into_response();
            }
            if request.method() == Method::GET {
                // The head and the first bytes come, the rest never does.
                let begun = stream::iter([Ok::<_, BoxError>("{")]).chain(stream::pending());
                return Answered::from_stream(begun).into_response();
            }
            std::future::pending().await
        }
    })
    .await;
    let patience = Patience {
        call: WITHIN,
        list: WITHIN,
        silence: Duration::from_secs(60),
    };
    let api = maps(open().client_within(config, patience).unwrap());
    let mut watch = api
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    let map = ConfigMap::default();
    let calls = [
        api.create(&PostParams::default(), &map).await.map(drop),
        api.get("x").await.map(drop),
        api.list(&ListParams::default()).await.map(drop),
    ];
    for call in calls {
        let why = format!("{:?}", call.unwrap_err());
        assert!(why.contains("did not answer within 50ms"), "{why}");
    }
    happens.notify_one();
    let event = watch.next().await;
    assert!(
        matches!(event, Some(Ok(kube::core::WatchEvent::Deleted(_)))),
        "{event:?}"
    );
}

#[tokio::test]
async fn r24_a_watch_on_a_connection_that_died_ends_as_well() {
    let config = answering(|_| async { Answered::from_stream(pending()).into_response() }).await;
    let patience = Patience {
        silence: Duration::from_millis(50),
        ..Patience::default()
    };
    let api = maps(open().client_within(config, patience).unwrap());
    let watch = api.watch(&WatchParams::default(), "0").await;
    let end = match watch {
        Ok(watch) => watch.boxed().next().await.map(|event| event.map(drop)),
        Err(error) => Some(Err(error)),
    };
    assert!(!matches!(end, Some(Ok(()))), "{end:?}");
}

#[test]
fn each_kind_of_request_has_its_patience() {
    let patience = Patience::default();
    for (method, uri, expected) in [
        (Method::PATCH, "/x/status?&fieldManager=y", Some(CALL)),
        (Method::POST, "/x?", Some(CALL)),
        (Method::GET, "/x/y", Some(CALL)),
        (Method::GET, "/x?&limit=500", Some(LIST)),
        (Method::GET, "/x?", Some(LIST)),
        (Method::GET, "/x?&watch=true&timeoutSeconds=290", None),
        (Method::GET, "/x?&fieldSelector=watch%3Dtrue", Some(LIST)),
    ] {
        let request = Request::builder().method(&method).uri(uri);
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(patience.with(&request), expected, "{method} {uri}");
    }
}

fn code(status: u16) -> http::StatusCode {
    http::StatusCode::from_u16(status).unwrap()
}

fn pending() -> impl futures::Stream<Item = Result<&'static str, BoxError>> {
    stream::pending()
}
