//! Which creates go together, and what becomes of them, by a backend in memory that answers when told.

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
        stage.client.request_count(),
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
    for size in &sizes[1..sizes.len() - 1] {
        assert!(
            *size as u64 <= limit && size + operation + 1 > limit as usize,
            "{sizes:?}: full, and no fuller"
        );
    }
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

#[tokio::test(start_paused = true)]
async fn r20_a_request_that_fails_as_a_whole_is_one_failure_of_each() {
    for (answer, class, applied, why) in [
        (
            Err(ScimError::ReplyLost(Cause::Closed)),
            ErrorClass::Transient,
            true,
            "cut",
        ),
        (
            Err(ScimError::Timeout),
            ErrorClass::Transient,
            true,
            "no answer in time",
        ),
        (Ok((500, json!({}))), ErrorClass::Transient, true, "500"),
        (Ok((429, json!({}))), ErrorClass::RateLimited, true, "429"),
        (
            Ok((401, json!({}))),
            ErrorClass::Authentication,
            false,
            "the token",
        ),
        (
            Err(ScimError::Connect(Cause::Refused)),
            ErrorClass::Unreachable,
            false,
            "nothing was sent",
        ),
    ] {
        let whole = answer.clone();
        let stage = stage(ONE_SLOT, move |path, body| match path {
            "/Users" => works(path, body),
            _ => whole.clone(),
        });
        stage.client.use_bulk(offer(10), "ns/scim");
        let begun = stage.begin(0..5).await;
        stage.let_through();
        let outcomes = outcomes_of(begun).await;
        assert_eq!(stage.requests(), [0, 4], "{why}: sent once");
        let failures: Vec<&ScimError> = outcomes[1..]
            .iter()
            .map(|outcome| outcome.as_ref().unwrap_err())
            .collect();
        for error in &failures {
            assert_eq!(error.class(), class, "{why}");
            assert_eq!(error.possibly_applied(), applied, "{why}");
            assert!(error.request().is_some(), "{why}");
            assert_eq!(
                error.request(),
                failures[0].request(),
                "{why}: one and the same"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_do_what_it_offers_is_asked_once_and_nothing_is_lost() {
    for status in [403, 404, 405, 501] {
        let stage = stage(ONE_SLOT, move |path, body| match path {
            "/Users" => works(path, body),
            _ => Ok((status, json!({}))),
        });
        stage.client.use_bulk(offer(3), "ns/scim");
        let begun = stage.begin(0..7).await;
        stage.let_through();
        assert_everybody_has_its_own(&outcomes_of(begun).await);
        assert_eq!(stage.requests(), [0, 3, 0, 0, 0, 0, 0, 0], "{status}");
        let later = stage.begin(0..4).await;
        assert_everybody_has_its_own(&outcomes_of(later).await);
        assert_eq!(stage.requests()[8..], [0; 4], "{status}: it is remembered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_finds_nothing_to_create_at_in_bulk_is_asked_singly() {
    for (status, all, expected, why) in [
        (
            404,
            true,
            &[0, 6, 0, 0, 0, 0, 0, 0][..],
            "another path is meant",
        ),
        (501, true, &[0, 6, 0, 0, 0, 0, 0, 0], "no POST in Bulk"),
        (400, true, &[0, 6], "each of them is refused, and says so"),
        (404, false, &[0, 6], "one of them alone says so"),
    ] {
        let stage = stage(
            ONE_SLOT,
            works_but(move |results| {
                let some = if all { results.len() } else { 1 };
                for result in &mut results[..some] {
                    *result = json!({"bulkId": result["bulkId"], "status": status.to_string()});
                }
            }),
        );
        stage.client.use_bulk(offer(10), "ns/scim");
        let begun = stage.begin(0..7).await;
        stage.let_through();
        let outcomes = outcomes_of(begun).await;
        assert_eq!(stage.requests(), expected, "{why}");
        assert_eq!(outcomes[1].is_ok(), expected.len() > 2, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_to_bulk_leaves_its_creates_in_doubt_and_the_next_go_alone() {
    for (status, answer) in [
        (200, json!({"id": "1"})),
        (200, json!([])),
        (204, json!("")),
        (400, json!({"scimType": "invalidSyntax"})),
        (409, json!({})),
        (302, json!({})),
    ] {
        let said = answer.clone();
        let stage = stage(ONE_SLOT, move |path, body| match path {
            "/Users" => works(path, body),
            _ => Ok((status, said.clone())),
        });
        stage.client.use_bulk(offer(3), "ns/scim");
        let begun = stage.begin(0..6).await;
        stage.let_through();
        let outcomes = outcomes_of(begun).await;
        assert_eq!(stage.requests(), [0, 3, 0, 0], "{status} {answer}");
        for outcome in &outcomes[1..4] {
            let error = outcome.as_ref().unwrap_err();
            assert!(error.possibly_applied(), "{status} {answer}: {error:?}");
        }
        assert_eq!(id(&outcomes[5]), Some("5".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_sent_again_in_halves() {
    let stage = stage(ONE_SLOT, |path, body| {
        let carried = body["Operations"].as_array().map_or(0, Vec::len);
        if carried > 3 {
            Ok((413, json!({})))
        } else {
            works(path, body)
        }
    });
    stage.client.use_bulk(offer(100), "ns/scim");
    let begun = stage.begin(0..9).await;
    stage.let_through();
    assert_everybody_has_its_own(&outcomes_of(begun).await);
    assert_eq!(stage.requests(), [0, 8, 4, 2, 2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_followed_by_smaller_ones_that_grow_again() {
    let stage = stage(ONE_SLOT, |path, body| {
        let carried = body["Operations"].as_array().map_or(0, Vec::len);
        if carried > 6 {
            Err(ScimError::Timeout)
        } else {
            works(path, body)
        }
    });
    stage.client.use_bulk(offer(100), "ns/scim");
    let begun = stage.begin(0..9).await;
    stage.gate.add_permits(2);
    let outcomes = outcomes_of(begun).await;
    let late = |outcome: &Outcome| {
        let error = outcome.as_ref().unwrap_err();
        *error.itself() == ScimError::Timeout
    };
    assert!(outcomes[1..].iter().all(late), "{outcomes:?}");
    let begun = stage.begin(0..19).await;
    stage.let_through();
    assert_everybody_has_its_own(&outcomes_of(begun).await);
    assert_eq!(stage.requests(), [0, 8, 0, 4, 5, 6, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_operation_pauses_the_connection_and_is_in_doubt() {
    let stage = stage(
        ONE_SLOT,
        works_but(|results| {
            results[0] = json!({"bulkId": results[0]["bulkId"], "status": 429});
        }),
    );
    stage.client.use_bulk(offer(10), "ns/scim");
    let begun = stage.begin(0..4).await;
    stage.let_through();
    let outcomes = outcomes_of(begun).await;
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!(error.class(), ErrorClass::RateLimited);
    assert!(error.possibly_applied());
    assert!(stage.client.paused_for().is_some());
    assert_eq!(id(&outcomes[2]), Some("2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn r08_r22_whoever_waits_is_sent_away_when_the_client_is_closed_or_the_fence_is() {
    let stage = stage(ONE_SLOT, works);
    stage.client.use_bulk(offer(10), "ns/scim");
    let begun = stage.begin(0..5).await;
    stage.client.close();
    everybody_waits().await;
    stage.let_through();
    let outcomes = outcomes_of(begun).await;
    assert_eq!(id(&outcomes[0]), Some("0".to_owned()), "it was in flight");
    let closed = |outcome: &Outcome| *outcome == Err(ScimError::Closed);
    assert!(outcomes[1..].iter().all(closed), "{outcomes:?}");
    assert_eq!(stage.requests(), [0]);

    let fence = Fence::not_yet();
    fence.move_to(tokio::time::Instant::now() + Duration::from_secs(10));
    let stage = staged(ONE_SLOT, fence.clone(), works);
    stage.client.use_bulk(offer(10), "ns/scim");
    let begun = stage.begin(0..5).await;
    fence.close();
    stage.let_through();
    let outcomes = outcomes_of(begun).await;
    assert!(outcomes[1..].iter().all(closed), "{outcomes:?}");
    assert_eq!(stage.requests(), [0], "looked at when the request goes");
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_while_it_waits_is_not_sent_and_a_carrier_that_does_leaves_doubt() {
    let stage = stage(ONE_SLOT, works);
    stage.client.use_bulk(offer(10), "ns/scim");
    let mut begun = stage.begin(0..6).await;
    begun.remove(3).abort();
    everybody_waits().await;
    stage.gate.add_permits(1);
    everybody_waits().await;
    assert_eq!(stage.requests(), [0, 4], "one has given up");
    // The first in line carries the others.
    begun.remove(1).abort();
    everybody_waits().await;
    stage.let_through();
    let outcomes = outcomes_of(begun).await;
    for outcome in &outcomes[1..] {
        let error = outcome.as_ref().unwrap_err();
        assert!(error.possibly_applied(), "{error:?}");
    }
    let later = stage.begin(0..3).await;
    assert_everybody_has_its_own(&outcomes_of(later).await);
}
