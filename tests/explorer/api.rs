//! The API server's face: lists, watches and patches of what `cluster` has, with what goes wrong.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response};
use kube::client::Body as Sent;
use serde_json::{Value, json};

use super::cluster::{Change, Place, Refusal};
use super::faults::Mode;
use super::world::World;

/// Half of what a request usually takes.
const HALF: Duration = Duration::from_millis(4);
/// How long an event usually takes to arrive.
const EVENT: Duration = Duration::from_millis(4);
/// How late a late event is.
const LATE: Duration = Duration::from_secs(3);
/// How many changes a stale listing lacks.
const STALE: u64 = 4;

/// The server; each clone is the same.
#[derive(Clone)]
pub struct ApiServer(pub Arc<World>);

type Answer = Result<Response<Body>, std::io::Error>;

impl tower::Service<Request<Sent>> for ApiServer {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        Box::pin(answer(self.0.clone(), request))
    }
}

/// What a request is about.
struct Asked {
    plural: String,
    namespace: String,
    name: Option<String>,
    status: bool,
}

impl Asked {
    fn of(path: &str) -> Self {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        parts.drain(..if parts[0] == "api" { 2 } else { 3 });
        let namespace = if parts.len() > 2 && parts[0] == "namespaces" {
            let namespace = parts[1].to_owned();
            parts.drain(..2);
            namespace
        } else {
            String::new()
        };
        let rest: Vec<&str> = parts.iter().skip(1).copied().collect();
        Self {
            plural: parts[0].to_owned(),
            namespace,
            name: rest.first().map(|name| (*name).to_owned()),
            status: rest.get(1) == Some(&"status"),
        }
    }
}

async fn answer(world: Arc<World>, request: Request<Sent>) -> Answer {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let body: Value = match body.collect_bytes().await {
        Ok(bytes) if !bytes.is_empty() => serde_json::from_slice(&bytes).unwrap(),
        _ => Value::Null,
    };
    match (&parts.method, &asked.name) {
        // Events of Kubernetes are taken as they are: nothing hangs on them.
        _ if asked.plural == "events" => {
            world.notes().event(&body);
            reply(201, &body)
        }
        (&Method::GET, None) if parameter("watch").is_some() => {
            let from = parameter("resourceVersion").and_then(|text| text.parse().ok());
            watch(world, asked.plural, from.unwrap_or(0)).await
        }
        (&Method::GET, None) => list(world, asked.plural).await,
        (&Method::GET, Some(name)) => {
            let place = Place::new(&asked.plural, &asked.namespace, name);
            let (_, half) = world
                .meet(&format!("k8s GET {} {name}", asked.plural), HALF)
                .await;
            tokio::time::sleep(half).await;
            match world.cluster(|cluster| cluster.get(&place)) {
                Some(object) => reply(200, &object),
                None => failure(404, "NotFound"),
            }
        }
        (&Method::PATCH, Some(name)) => {
            let place = Place::new(&asked.plural, &asked.namespace, name);
            patch(world, place, asked.status, body).await
        }
        (method, _) => panic!("nobody taught the API server {method} {}", parts.uri),
    }
}

async fn list(world: Arc<World>, plural: String) -> Answer {
    let (mode, half) = world.meet(&format!("k8s LIST {plural}"), HALF).await;
    if mode == Some(Mode::Fail) {
        return failure(500, "InternalError");
    }
    let (items, version) = world.cluster(|cluster| match mode {
        Some(Mode::Stale) => {
            let version = cluster.version().saturating_sub(STALE);
            (cluster.all_at(&plural, version), version)
        }
        _ => (cluster.all(&plural), cluster.version()),
    });
    tokio::time::sleep(half).await;
    let items: Vec<&Value> = items.iter().map(|item| &**item).collect();
    let metadata = json!({"resourceVersion": version.to_string()});
    reply(
        200,
        &json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}),
    )
}

async fn patch(world: Arc<World>, place: Place, status: bool, body: Value) -> Answer {
    let Place {
        plural,
        namespace,
        name,
    } = &place;
    let part = if status { "/status" } else { "" };
    let what = format!("k8s PATCH {plural} {namespace}/{name}{part}");
    let (mode, half) = world.meet(&what, HALF).await;
    match mode {
        Some(Mode::Fail) => return failure(500, "InternalError"),
        Some(Mode::Conflict) => return failure(409, "Conflict"),
        _ => {}
    }
    let before = world.cluster(|cluster| cluster.get(&place));
    let patched = world.cluster(|cluster| cluster.patch(&place, status, &body));
    world.notes().patched(&world, &place, before, &patched);
    match mode {
        Some(Mode::CrashAfter) => world.crash().await,
        Some(Mode::Lost) => return Err(std::io::ErrorKind::ConnectionReset.into()),
        _ => tokio::time::sleep(half).await,
    }
    match patched {
        Ok(object) => reply(200, &object),
        Err(Refusal::NotFound) => failure(404, "NotFound"),
        Err(Refusal::Conflict) => failure(409, "Conflict"),
    }
}

async fn watch(world: Arc<World>, plural: String, from: u64) -> Answer {
    let (mode, _) = world.meet(&format!("k8s WATCH {plural}"), HALF).await;
    match mode {
        Some(Mode::Fail) => return failure(500, "InternalError"),
        Some(Mode::Gone) => return failure(410, "Expired"),
        _ => {}
    }
    let changed = world.changes();
    let start = Some((world, plural, from, changed));
    let lines = futures::stream::unfold(start, |state| async move {
        let (world, plural, after, mut changed) = state?;
        loop {
            changed.borrow_and_update();
            let next = world.cluster(|cluster| cluster.next(&plural, after));
            let Some(change) = next else {
                changed.changed().await.ok()?;
                continue;
            };
            let (line, goes_on) = tell(&world, &change).await?;
            let state = goes_on.then_some((world, plural, change.version, changed));
            return Some((Ok::<_, Infallible>(line), state));
        }
    });
    Ok(Response::new(Body::from_stream(lines)))
}

/// One line of a watch, and whether it goes on; `None` when it ends without a word.
async fn tell(world: &World, change: &Change) -> Option<(Vec<u8>, bool)> {
    let Change {
        place,
        what,
        object,
        version: _,
    } = change;
    let point = format!(
        "event {what} {} {}/{}",
        place.plural, place.namespace, place.name
    );
    let (mode, half) = world.meet(&point, EVENT).await;
    match mode {
        Some(Mode::Close) => return None,
        Some(Mode::Gone) => {
            let status = status(410, "Expired");
            return Some((line("ERROR", &status), false));
        }
        Some(Mode::Delay) => tokio::time::sleep(LATE).await,
        _ => tokio::time::sleep(half).await,
    }
    Some((line(what, object), true))
}

fn line(what: &str, object: &Value) -> Vec<u8> {
    let mut line = serde_json::to_vec(&json!({"type": what, "object": object})).unwrap();
    line.push(b'\n');
    line
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": reason,
    })
}

fn failure(code: u16, reason: &str) -> Answer {
    reply(code, &status(code, reason))
}

fn reply(code: u16, body: &Value) -> Answer {
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap()));
    *response.status_mut() = code.try_into().unwrap();
    Ok(response)
}
