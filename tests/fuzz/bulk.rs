//! Answers to Bulk (RFC 7644 §3.7): any JSON at all, and right answers with results that are moved,
//! doubled, dropped and spoiled. Whatever comes, each create ends with one outcome, nobody gets the
//! account of another, and no error says what the server said.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use proptest::prelude::*;
use proptest::sample::Index;
use scim_operator::scim::discovery::Bulk;
use scim_operator::scim::{Client, ClientConfig, Created, ResourceKind, ScimError, Wire};
use serde_json::{Value, json};

use super::config;
use super::replies::{TOKEN, discreet, on_virtual_time};
use super::schema::{json as any_json, spoil};

/// What is done to a right answer, in this order.
#[derive(Clone, Debug)]
struct Damage {
    order: Vec<Index>,
    doubled: Option<Index>,
    dropped: Option<Index>,
    /// One is said to be where another is.
    confused: Option<(Index, Index)>,
    spoiled: Option<(Index, u8, Value)>,
    whole: Option<Value>,
    status: u16,
}

fn damage() -> impl Strategy<Value = Damage> {
    let moved = (
        prop::collection::vec(any::<Index>(), 0..4),
        prop::option::weighted(0.3, any::<Index>()),
        prop::option::weighted(0.3, any::<Index>()),
        prop::option::weighted(0.3, any::<(Index, Index)>()),
    );
    let spoiled = prop::option::weighted(0.5, (any::<Index>(), 0u8..6, any_json()));
    let whole = prop::option::weighted(0.1, any_json());
    let status = prop_oneof![8 => Just(200u16), 1 => 200u16..600];
    (moved, spoiled, whole, status).prop_map(
        |((order, doubled, dropped, confused), spoiled, whole, status)| Damage {
            order,
            doubled,
            dropped,
            confused,
            spoiled,
            whole,
            status,
        },
    )
}

/// The answer to a request, damaged.
fn answer(request: &Value, damage: &Damage) -> Value {
    let result = |operation: &Value| {
        let id = operation["data"]["userName"].as_str().unwrap();
        json!({"method": "POST", "bulkId": operation["bulkId"], "status": "201", "version": "W/\"1\"",
            "location": format!("https://backend.example/scim/v2/Users/{id}")})
    };
    let operations = request["Operations"].as_array().unwrap();
    let mut results: Vec<Value> = operations.iter().map(result).collect();
    for place in &damage.order {
        let moved = results.remove(place.index(results.len()));
        results.push(moved);
    }
    if let Some(place) = &damage.doubled {
        results.push(results[place.index(results.len())].clone());
    }
    if let Some(place) = &damage.dropped {
        results.remove(place.index(results.len()));
    }
    if let Some((one, other)) = &damage.confused
        && !results.is_empty()
    {
        let there = results[other.index(results.len())]["location"].clone();
        let one = one.index(results.len());
        results[one]["location"] = there;
    }
    let mut answer = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"], "Operations": results});
    if let Some((place, how, other)) = &damage.spoiled {
        spoil(&mut answer, place, *how, other.clone());
    }
    damage.whole.clone().unwrap_or(answer)
}

/// Everything that was asked and answered by Bulk: whose each bulkId is, and the answers.
#[derive(Default)]
struct Told {
    names: BTreeMap<String, String>,
    answers: Vec<Value>,
}

/// A client of one slot, whose Bulk requests are answered with these damages, over and over.
fn client_of(damages: Vec<Damage>) -> (Client, Arc<Mutex<Told>>) {
    let told: Arc<Mutex<Told>> = Arc::default();
    let notes = told.clone();
    let mut config = ClientConfig::new("https://backend.example/scim/v2/", TOKEN.into());
    config.limits.requests_per_second = 10_000;
    config.limits.max_in_flight = 1;
    config.wire = Wire::in_memory(move |request| {
        let body = request.body().and_then(|body| body.as_bytes());
        let body: Value = serde_json::from_slice(body.unwrap_or_default()).unwrap();
        let (status, answer) = if request.url().path().ends_with("/Bulk") {
            let mut notes = notes.lock().unwrap();
            let damage = &damages[notes.answers.len() % damages.len()];
            for operation in body["Operations"].as_array().unwrap() {
                let text = |field: &Value| field.as_str().unwrap().to_owned();
                let name = text(&operation["data"]["userName"]);
                let known = notes.names.insert(text(&operation["bulkId"]), name.clone());
                // Sent again after a refusal of the whole, it is still its own.
                assert!(known.is_none_or(|known| known == name), "a bulkId twice");
            }
            let answer = answer(&body, damage);
            notes.answers.push(answer.clone());
            (damage.status, answer)
        } else {
            (201, json!({"id": body["userName"]}))
        };
        let mut response = http::Response::new(answer.to_string());
        *response.status_mut() = status.try_into().unwrap();
        Box::pin(async move {
            // So that others come while it is on its way.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            Ok(response.into())
        })
    });
    let client = Client::new(config).unwrap();
    let offered = Bulk {
        max_operations: Some(4),
        max_payload_size: None,
    };
    client.use_bulk(Some(offered), "ns/scim");
    (client, told)
}

fn id_of(created: &Created) -> Option<String> {
    let shown = created.resource.as_ref().map(|resource| &resource["id"]);
    match shown {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => created.located.as_ref().map(|located| located.id.clone()),
    }
}

/// Whether a result that bears one of these bulkIds, in any spelling, says this id anywhere.
fn says(answers: &[Value], bulk_ids: &HashSet<&String>, id: &str) -> bool {
    let encoded = |text: &str| text.contains(id) || text.contains('%');
    let results = answers.iter().flat_map(|answer| {
        let object = answer.as_object();
        let of = object.into_iter().flat_map(|object| object.values());
        of.filter_map(Value::as_array).flatten()
    });
    results
        .filter(|result| {
            let bulk_id = result.as_object().and_then(|object| {
                let mut named = object.iter();
                named.find(|(name, _)| name.eq_ignore_ascii_case("bulkId"))
            });
            bulk_id.is_some_and(|(_, value)| match value {
                Value::String(text) => bulk_ids.contains(text),
                Value::Number(number) => bulk_ids.contains(&number.to_string()),
                _ => false,
            })
        })
        .any(|result| encoded(&result.to_string()))
}

proptest! {
    #![proptest_config(config(file!()))]

    /// R16, R20: each create ends with one outcome, which is its own.
    #[test]
    fn r20_whatever_is_answered_to_bulk_each_create_has_one_outcome_and_it_is_its_own(
        damages in prop::collection::vec(damage(), 1..4), users in 1usize..14,
    ) {
        let (client, told) = client_of(damages);
        let bodies: Vec<Value> = (0..users).map(|n| json!({"userName": format!("user-{n}"), "externalId": format!("mark-{n}")})).collect();
        let outcomes: Vec<Result<Created, ScimError>> = on_virtual_time(async {
            let creates = bodies.iter().map(|body| client.create(ResourceKind::User, body));
            // The longest pause that a server can impose, for each request that could be made.
            let longest = std::time::Duration::from_secs(300 * 40);
            tokio::time::timeout(longest, join_all(creates)).await.expect("each of them ends")
        });
        let told = told.lock().unwrap();
        let mut ids = HashSet::new();
        for (number, outcome) in outcomes.iter().enumerate() {
            let name = format!("user-{number}");
            match outcome {
                Err(error) => discreet(error)?,
                Ok(created) => {
                    let Some(id) = id_of(created) else { continue };
                    prop_assert!(ids.insert(id.clone()), "{} is given twice", id);
                    let own: HashSet<&String> = told.names.iter().filter(|(_, whose)| **whose == name).map(|(bulk_id, _)| bulk_id).collect();
                    prop_assert!(id == name || says(&told.answers, &own, &id), "{} got {}", name, id);
                }
            }
        }
    }
}
