//! Which creates go together, and what becomes of each, by a backend in memory that answers when told.
//! What goes wrong with a request as a whole is in `failures`.

mod failures;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::scim::{Client, ClientConfig, ErrorClass, Fence, Limits, Wire};

type Seen = Arc<Mutex<Vec<(String, Value)>>>;

/// A client with one slot, and a backend that answers one request a permit.
struct Stage {
    client: Client,
    seen: Seen,
    gate: Arc<Semaphore>,
}

const ONE_SLOT: Limits = Limits {
    requests_per_second: 10_000,
    max_in_flight: 1,
};

fn offer(operations: u32) -> Option<discovery::Bulk> {
    Some(discovery::Bulk {
        max_operations: Some(operations),
        max_payload_size: None,
    })
}

fn stage(
    limits: Limits,
    answer: impl Fn(&str, &Value) -> Result<(u16, Value), ScimError> + Send + Sync + 'static,
) -> Stage {
    staged(limits, Fence::none(), answer)
}

fn staged(
    limits: Limits,
    fence: Fence,
    answer: impl Fn(&str, &Value) -> Result<(u16, Value), ScimError> + Send + Sync + 'static,
) -> Stage {
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let mut config = ClientConfig::new("https://a.example/v2/", SecretString::from("token"));
    config.limits = limits;
    config.fence = fence;
    let (log, entry, answer) = (seen.clone(), gate.clone(), Arc::new(answer));
    config.wire = Wire::in_memory(move |request| {
        let body = request.body().and_then(|body| body.as_bytes());
        let body: Value = serde_json::from_slice(body.unwrap_or_default()).unwrap();
        let path = request.url().path().trim_start_matches("/v2").to_owned();
        log.lock().unwrap().push((path.clone(), body.clone()));
        let (entry, answer) = (entry.clone(), answer.clone());
        Box::pin(async move {
            entry.acquire().await.unwrap().forget();
            let (status, body) = answer(&path, &body)?;
            let mut response = http::Response::new(body.to_string());
            *response.status_mut() = status.try_into().unwrap();
            Ok(response.into())
        })
    });
    let client = Client::new(config).unwrap();
    Stage { client, seen, gate }
}

impl Stage {
    /// Begins to create users of these numbers, and waits until each of them waits for something.
    async fn begin(&self, numbers: std::ops::Range<u32>) -> Vec<JoinHandle<Outcome>> {
        let mut begun = Vec::new();
        for number in numbers {
            let client = self.client.clone();
            let body = json!({"userName": number.to_string()});
            begun.push(tokio::spawn(async move {
                client.create(ResourceKind::User, &body).await
            }));
        }
        everybody_waits().await;
        begun
    }

    fn let_through(&self) {
        self.gate.add_permits(1000);
    }

    /// How many each request carried; 0 for a plain POST.
    fn requests(&self) -> Vec<usize> {
        let seen = self.seen.lock().unwrap();
        let carried = |(path, body): &(String, Value)| match path.as_str() {
            "/Users" => 0,
            _ => body["Operations"].as_array().unwrap().len(),
        };
        seen.iter().map(carried).collect()
    }
}

/// On virtual time, which goes on only where nothing else does.
async fn everybody_waits() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn outcomes_of(begun: Vec<JoinHandle<Outcome>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for task in begun {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// The id of a user is its name, so that nobody can have another's unseen.
fn works(path: &str, body: &Value) -> Result<(u16, Value), ScimError> {
    if path == "/Users" {
        return Ok((201, json!({"id": body["userName"]})));
    }
    let result = |operation: &Value| {
        let name = operation["data"]["userName"].as_str().unwrap();
        json!({"method": "POST", "bulkId": operation["bulkId"], "status": "201", "location": format!("/v2/Users/{name}")})
    };
    let operations = body["Operations"].as_array().unwrap();
    let results: Vec<Value> = operations.iter().map(result).collect();
    Ok((200, json!({"Operations": results})))
}

/// The same, with an edit of the results of a Bulk request.
fn works_but(
    edit: impl Fn(&mut Vec<Value>),
) -> impl Fn(&str, &Value) -> Result<(u16, Value), ScimError> {
    move |path, body| {
        let (status, mut answer) = works(path, body)?;
        if let Some(results) = answer["Operations"].as_array_mut() {
            edit(results);
        }
        Ok((status, answer))
    }
}

fn id(outcome: &Outcome) -> Option<String> {
    let created = outcome.as_ref().ok()?;
    let shown = created
        .resource
        .as_ref()
        .and_then(crate::scim::types::id_of);
    shown.or_else(|| Some(created.located.as_ref()?.id.clone()))
}

fn assert_everybody_has_its_own(outcomes: &[Outcome]) {
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(
            id(outcome),
            Some(number.to_string()),
            "{number}: {outcome:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_goes_at_once_alone_and_those_who_wait_go_together() {
    let stage = stage(ONE_SLOT, works);
    stage.client.use_bulk(offer(3), "ns/scim");
    let begun = stage.begin(0..9).await;
    assert_eq!(stage.requests(), [0], "nobody waits to be taken along");
    stage.let_through();
    assert_everybody_has_its_own(&outcomes_of(begun).await);
    assert_eq!(stage.requests(), [0, 3, 3, 2]);
    assert_eq!(
        crate::scim::tests::sent(&stage.client),
        4,
        "one request, however many it carries"
    );
}

#[tokio::test(start_paused = true)]
async fn one_request_is_one_token_of_the_rate() {
    let slow = Limits {
        requests_per_second: 1,
        max_in_flight: 4,
    };
    let stage = stage(slow, works);
    stage.let_through();
    stage.client.use_bulk(offer(10), "ns/scim");
    let began = tokio::time::Instant::now();
    let begun = stage.begin(0..21).await;
    assert_everybody_has_its_own(&outcomes_of(begun).await);
    assert_eq!(stage.requests(), [0, 10, 10]);
    let took = began.elapsed().as_millis();
    assert!((1_900..2_200).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_on_its_way_with_another_uses_up_no_turn_of_its_own() {
    let slow = Limits {
        requests_per_second: 1,
        max_in_flight: 4,
    };
    let stage = stage(slow, works);
    stage.client.use_bulk(offer(10), "ns/scim");
    let mut begun = stage.begin(0..11).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(stage.requests(), [0, 10], "on their way, not answered");
    begun.extend(stage.begin(11..12).await);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(
        stage.requests(),
        [0, 10, 0],
        "the next turn is that of the next"
    );
    stage.let_through();
    assert_everybody_has_its_own(&outcomes_of(begun).await);
}

#[tokio::test(start_paused = true)]
async fn each_goes_alone_where_nobody_has_to_wait_or_bulk_is_not_used() {
    let wide = Limits {
        max_in_flight: 16,
        ..ONE_SLOT
    };
    let one = discovery::Bulk {
        max_operations: Some(1),
        max_payload_size: None,
    };
    for (limits, offered, why) in [
        (wide, offer(10), "there is a slot for each"),
        (ONE_SLOT, None, "Bulk is not offered"),
        (ONE_SLOT, Some(one), "one operation is none more"),
    ] {
        let stage = stage(limits, works);
        stage.client.use_bulk(offered, "ns/scim");
        let begun = stage.begin(0..8).await;
        stage.let_through();
        assert_everybody_has_its_own(&outcomes_of(begun).await);
        assert_eq!(stage.requests(), [0; 8], "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_no_larger_than_the_backend_takes() {
    let limit = 400;
    let stage = stage(ONE_SLOT, works);
    let small = discovery::Bulk {
        max_operations: Some(100),
        max_payload_size: Some(limit),
    };
    stage.client.use_bulk(Some(small), "ns/scim");
    let begun = stage.begin(0..10).await;
    stage.let_through();
    assert_everybody_has_its_own(&outcomes_of(begun).await);
    let seen = stage.seen.lock().unwrap();
    let sizes: Vec<usize> = seen
        .iter()
        .map(|(_, body)| body.to_string().len())
        .collect();
    let operation = message::size_of(&seen[1].1["Operations"][0]);
    assert!(
        sizes.iter().all(|size| *size as u64 <= limit),
        "no fuller: {sizes:?}"
    );
    let full = |size: &usize| size + operation + 1 > limit as usize;
    assert!(
        sizes.len() > 3 && sizes[1..sizes.len() - 1].iter().all(full),
        "full: {sizes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn r20_each_operation_comes_to_what_its_own_result_says() {
    let stage = stage(
        ONE_SLOT,
        works_but(|results| {
            results[1] = json!({"bulkId": results[1]["bulkId"], "status": "409", "response": {"scimType": "uniqueness"}});
            results.remove(3);
            results.reverse();
        }),
    );
    stage.client.use_bulk(offer(10), "ns/scim");
    let begun = stage.begin(0..6).await;
    stage.let_through();
    let outcomes = outcomes_of(begun).await;
    assert_eq!(stage.requests(), [0, 5], "no blind replay");
    for (number, outcome) in outcomes.iter().enumerate() {
        match (number, outcome) {
            (2, Err(error)) => {
                assert_eq!(
                    (error.class(), error.request()),
                    (ErrorClass::Conflict, None)
                );
            }
            (4, Err(error)) => {
                assert_eq!(*error.itself(), ScimError::Unanswered);
                assert!(error.possibly_applied(), "it has to be looked for");
            }
            (_, outcome) => assert_eq!(id(outcome), Some(number.to_string())),
        }
    }
}
