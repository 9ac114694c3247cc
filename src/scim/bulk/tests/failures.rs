//! What goes wrong with a request as a whole: refused, lost, too large, too slow, given up.

use super::*;

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
