//! The election with a Lease that a test answers for, where a real API server would be too well-behaved.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;

const LONGEST_REQUEST: Duration = Duration::from_secs(30);

/// Quick where the tests wait for it; no deadline passes meanwhile.
const TERMS: Terms = Terms {
    lease: Duration::from_secs(60),
    renew_every: Duration::from_millis(200),
    renew_deadline: Duration::from_secs(50),
    longest_request: LONGEST_REQUEST,
};

/// An API server of one lease.
#[derive(Default)]
struct Server {
    lease: Mutex<Value>,
    puts: AtomicUsize,
    asked: Notify,
    /// The first PUTs, so many, meet somebody who was faster.
    conflicts: usize,
    /// A PUT is never answered, and written when the lease was read once more.
    late: bool,
    written_late: Mutex<Option<Value>>,
}

impl Server {
    fn answer(&self, method: &Method, body: &Bytes) -> Option<Response> {
        let mut lease = self.lease.lock().unwrap();
        if method == Method::GET {
            let answer = lease.to_string().into_response();
            if let Some(late) = self.written_late.lock().unwrap().take() {
                *lease = late;
            }
            return Some(answer);
        }
        let put = self.puts.fetch_add(1, Ordering::Relaxed);
        let asked: Value = serde_json::from_slice(body).unwrap();
        let known = lease["metadata"]["resourceVersion"].clone();
        if put < self.conflicts || asked["metadata"]["resourceVersion"] != known {
            let status = json!({"kind": "Status", "status": "Failure", "message": "", "reason": "Conflict", "code": 409});
            return Some((StatusCode::CONFLICT, status.to_string()).into_response());
        }
        let mut next = asked;
        next["metadata"]["resourceVersion"] = json!(format!("{}", put + 2));
        if self.late && next["spec"]["holderIdentity"].is_string() {
            *self.written_late.lock().unwrap() = Some(next);
            self.asked.notify_one();
            return None;
        }
        *lease = next;
        Some(lease.to_string().into_response())
    }

    fn set(&self, holder: Option<&str>) {
        let mut lease = self.lease.lock().unwrap();
        *lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "l", "namespace": "n", "resourceVersion": format!("set-{holder:?}")},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 1},
        });
    }

    fn holder(&self) -> Value {
        self.lease.lock().unwrap()["spec"]["holderIdentity"].clone()
    }
}

/// A candidate before a server of a lease that is free.
async fn candidate(server: Server) -> (Election, Arc<Server>, Fences) {
    server.set(None);
    let server = Arc::new(server);
    let answering = server.clone();
    let router = Router::new().fallback(move |method: Method, body: Bytes| async move {
        match answering.answer(&method, &body) {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let candidacy = Candidacy {
        namespace: "n".into(),
        lease: "l".into(),
        kind: Kind::Replica,
        identity: "me".into(),
        terms: TERMS,
    };
    let fences = Fences::closed();
    let config = Config::new(uri.parse().unwrap());
    let election = Election::new(config, candidacy, fences.clone()).unwrap();
    (election, server, fences)
}

#[tokio::test]
async fn r08_whoever_lost_the_lease_begins_nothing_from_when_its_work_is_told() {
    let (election, server, fences) = candidate(Server::default()).await;
    let fence = fences.of_requests();
    let work = |shutdown: Shutdown| async move {
        assert!(fence.is_open());
        server.set(Some("another"));
        shutdown.await;
        assert!(!fence.is_open(), "its deadline is far, and another leads");
    };
    let lost = election.lead(std::future::pending(), work).await;
    assert_eq!(lost, Err(Lost::NotOurs));
}

#[tokio::test]
async fn what_was_asked_for_in_the_last_moment_is_released_though_it_was_written_after_the_first_look()
 {
    let late = Server {
        late: true,
        ..Server::default()
    };
    let (mut election, server, _) = candidate(late).await;
    election.candidacy.terms.renew_deadline = Duration::from_secs(1);
    let asked = server.clone();
    let stop = async move { asked.asked.notified().await };
    let led = election.lead(stop, |_| async { unreachable!() }).await;
    assert_eq!(led, Ok(()));
    let puts = server.puts.load(Ordering::Relaxed);
    assert_eq!((server.holder(), puts), (Value::Null, 2));
}

#[tokio::test]
async fn a_lease_that_is_not_to_be_had_is_not_asked_for_without_a_pause() {
    let busy = Server {
        conflicts: 3,
        ..Server::default()
    };
    let (election, server, _) = candidate(busy).await;
    let began = Instant::now();
    let led = election.lead(std::future::pending(), |_| async {}).await;
    assert_eq!(led, Ok(()));
    assert!(began.elapsed() >= TERMS.look_every() * 3);
    assert_eq!(server.puts.load(Ordering::Relaxed), 5, "and the release");
}

#[tokio::test(start_paused = true)]
async fn r22_a_drain_that_does_not_end_is_cut_off_whoever_asked_for_it() {
    for (stopped, lost, within, why) in [
        (
            true,
            false,
            LONGEST_REQUEST + TO_TELL,
            "SIGTERM, and a call that hangs",
        ),
        (
            false,
            true,
            LONGEST_REQUEST,
            "the lease is lost: both fences are closed by then",
        ),
        (true, true, LONGEST_REQUEST, "both: the sooner of them"),
    ] {
        let (tell, told) = watch::channel(lost);
        let stop = async move {
            if !stopped {
                std::future::pending::<()>().await;
            }
        };
        let began = Instant::now();
        let work = |_| std::future::pending();
        let drained = drained(work, stop.shared(), told, LONGEST_REQUEST).await;
        assert!(!drained, "{why}");
        assert_eq!(began.elapsed(), within, "{why}");
        drop(tell);
    }
    let (_tell, told) = watch::channel(false);
    let work = |shutdown: Shutdown| shutdown;
    assert!(drained(work, std::future::ready(()).shared(), told, LONGEST_REQUEST).await);
}

/// A keeper that panicked renews no more, and nobody would tell.
#[tokio::test(start_paused = true)]
async fn work_without_a_keeper_ends() {
    let (tell, told) = watch::channel(false);
    drop(tell);
    let never = std::future::pending::<()>().shared();
    let work = |shutdown: Shutdown| shutdown;
    assert!(drained(work, never, told, LONGEST_REQUEST).await);
}

#[tokio::test]
async fn r08_where_the_work_panics_nobody_goes_on_renewing_for_it() {
    let (election, _server, _) = candidate(Server::default()).await;
    let election = Arc::new(election);
    let Answer::Is(lease) = election.lease.read().await else {
        panic!("there is one");
    };
    let won = election.take(Some(*lease)).await.unwrap();
    let work = async |_| panic!("a fault of ours");
    let never = std::future::pending::<()>().shared();
    let held = tokio::spawn(election.clone().hold(won, never, work));
    assert!(held.await.unwrap_err().is_panic());
    // Whoever renews has a share in it.
    for _ in 0..1_000 {
        if Arc::strong_count(&election) == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("somebody goes on");
}
