//! The way to the backend: the simulator's own code behind the client's wire, with what goes wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use reqwest::Response;
use scim_operator::scim::{Cause, ScimError, Wire};
use serde_json::Value;

use super::faults::Mode;
use super::world::World;

/// Half of what a request usually takes.
const HALF: Duration = Duration::from_millis(25);
/// The longest that the client waits.
pub const LONGEST: Duration = Duration::from_secs(30);

/// The wire to the world's backend.
pub fn wire(world: &Arc<World>) -> Wire {
    let world = world.clone();
    Wire::in_memory(move |request| Box::pin(carry(world.clone(), request)))
}

async fn carry(world: Arc<World>, request: reqwest::Request) -> Result<Response, ScimError> {
    let (what, body) = name(&world, &request);
    let (mode, half) = world.meet(&what, HALF).await;
    match mode {
        Some(Mode::Fail) => return Ok(refusal(500)),
        Some(Mode::Throttle) => return Ok(refusal(429)),
        Some(Mode::Unauthorized) => return Ok(refusal(401)),
        Some(Mode::Timeout) => {
            tokio::time::sleep(LONGEST).await;
            return Err(ScimError::Timeout);
        }
        _ => {}
    }
    let before = world.remote();
    let mut asked = http::Request::builder()
        .method(request.method())
        .uri(request.url().as_str());
    *asked.headers_mut().unwrap() = request.headers().clone();
    let answer = world
        .sim
        .answer(asked.body(Body::from(body)).unwrap())
        .await;
    let answer = answer.unwrap();
    world.notes().asked(&world, request.method(), before);
    match mode {
        Some(Mode::CrashAfter) => world.crash().await,
        Some(Mode::FailDone) => return Ok(refusal(500)),
        Some(Mode::Lost) => return Err(ScimError::ReplyLost(Cause::Closed)),
        Some(Mode::TimeoutDone) => {
            tokio::time::sleep(LONGEST).await;
            return Err(ScimError::Timeout);
        }
        _ => tokio::time::sleep(half).await,
    }
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Ok(http::Response::from_parts(parts, bytes.to_vec()).into())
}

fn refusal(status: u16) -> Response {
    let body = format!(
        r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"{status}"}}"#
    );
    let mut response = http::Response::new(body);
    *response.status_mut() = status.try_into().unwrap();
    response.into()
}

/// The request by who it is about, and its body. Ids are given in the order of creation, which faults
/// change; the mark on an account stays.
fn name(world: &World, request: &reqwest::Request) -> (String, Vec<u8>) {
    let body = request.body().and_then(reqwest::Body::as_bytes);
    let body = body.unwrap_or_default().to_vec();
    let path = request.url().path().trim_start_matches("/scim/v2/");
    let whom = |resource: &Value| {
        let mark = resource["externalId"].as_str();
        let mark = mark.and_then(|mark| mark.rsplit(':').next());
        let name = resource["userName"]
            .as_str()
            .or(resource["displayName"].as_str());
        mark.or(name).unwrap_or("?").to_owned()
    };
    let about = match path.split_once('/') {
        Some((kind, id)) => {
            let found = match kind {
                "Users" => world.sim.user(id),
                _ => world.sim.group(id),
            };
            let who = found.as_ref().map_or_else(|| "nobody".to_owned(), whom);
            format!("{kind} {who}")
        }
        None if !body.is_empty() => {
            let resource: Value = serde_json::from_slice(&body).unwrap();
            format!("{path} {}", whom(&resource))
        }
        None if request.url().query().is_some_and(|q| q.contains("filter=")) => {
            format!("{path} by filter")
        }
        None => path.to_owned(),
    };
    (format!("scim {} {about}", request.method()), body)
}
