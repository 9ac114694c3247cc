//! Faults below SCIM: throttling, failures, lost replies, replies that are no good.

use std::time::{Duration, Instant};

use reqwest::Method;
use scim_sim::{FailNext, FailReads};
use serde_json::{Value, json};

use crate::support::{Rig, scim, user};

#[tokio::test]
async fn throttling_counts_down_and_says_when_to_come_back() {
    let rig = Rig::new().await;
    for retry_after in ["7", "Wed, 21 Oct 2026 07:28:00 GMT"] {
        rig.fault(|faults| {
            faults.throttle_next = 1;
            faults.retry_after = Some(retry_after.to_owned());
        });
        let refused = rig.get("Users").await;
        assert_eq!(refused.refusal(), (429, ""));
        assert_eq!(refused.header("retry-after"), Some(retry_after));
        assert_eq!(rig.get("Users").await.status, 200);
        assert_eq!(rig.sim.faults().get().throttle_next, 0);
    }
}

#[tokio::test]
async fn a_throttled_write_may_be_applied() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.throttle_next = 1);
    assert_eq!(rig.post("Users", &user("ada")).await.status, 429);
    assert!(rig.sim.user_by_name("ada").is_none());
    rig.fault(|faults| {
        faults.throttle_next = 1;
        faults.throttle_applied = true;
    });
    assert_eq!(rig.post("Users", &user("ada")).await.status, 429);
    assert!(rig.sim.user_by_name("ada").is_some());
}

#[tokio::test]
async fn a_rate_limit_refuses_what_exceeds_it() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.rate_limit_per_second = Some(5));
    let mut refused = 0;
    for _ in 0..30 {
        refused += u32::from(rig.get("Users").await.status == 429);
    }
    assert!(refused > 0);
    rig.sim.faults().reset();
    assert_eq!(rig.get("Users").await.status, 200);
}

#[tokio::test]
async fn failing_writes_may_be_applied_and_reads_are_spared() {
    let rig = Rig::new().await;
    for (status, applied) in [(503, false), (500, true)] {
        rig.fault(|faults| {
            faults.fail_next = FailNext {
                n: 1,
                status,
                applied,
            }
        });
        assert_eq!(rig.get("Users").await.status, 200);
        assert_eq!(
            rig.post("Users", &user("ada")).await.refusal(),
            (status, "")
        );
        assert_eq!(rig.sim.user_by_name("ada").is_some(), applied);
    }
}

#[tokio::test]
async fn reads_can_fail_while_writes_work() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.fail_reads_next = FailReads { n: 1, status: 502 });
    assert_eq!(rig.post("Users", &user("ada")).await.status, 201);
    assert_eq!(rig.get("Users").await.status, 502);
    assert_eq!(rig.get("Users").await.status, 200);
}

#[tokio::test]
async fn a_reply_can_get_lost_after_the_work() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.drop_reply_after_commit = 1);
    let lost = scim(rig.request(Method::POST, "Users"), &user("ada"))
        .send()
        .await;
    assert!(lost.is_err());
    assert!(rig.sim.user_by_name("ada").is_some());
    assert_eq!(rig.sim.requests()[0].status, 0);
    assert_eq!(rig.post("Users", &user("bob")).await.status, 201);
}

#[tokio::test]
async fn the_server_can_be_away() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("Users").await.status, 200);
    rig.sim.set_reachable(false);
    assert!(rig.request(Method::GET, "Users").send().await.is_err());
    rig.sim.set_reachable(true);
    assert_eq!(rig.get("Users").await.status, 200);
}

#[tokio::test]
async fn a_request_can_hang_and_is_not_applied() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.hang = true);
    let request = scim(rig.request(Method::POST, "Users"), &user("ada"));
    let hung = request.timeout(Duration::from_millis(200)).send().await;
    assert!(hung.unwrap_err().is_timeout());
    assert!(rig.sim.users().is_empty());
    rig.sim.faults().reset();
    assert_eq!(rig.get("Users").await.status, 200);
}

#[tokio::test]
async fn latency_delays_every_reply() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.latency_ms = 50);
    let asked = Instant::now();
    rig.get("Users").await;
    assert!(asked.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn every_token_can_be_refused() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.unauthorized = true);
    assert_eq!(rig.get("Users").await.refusal(), (401, ""));
}

#[tokio::test]
async fn a_login_page_can_answer_everything() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.not_scim = true);
    for path in ["Users", "ServiceProviderConfig"] {
        let page = rig.request(Method::GET, path).send().await.unwrap();
        assert_eq!(
            (page.status().as_u16(), &page.headers()["content-type"]),
            (200, &"text/html".parse().unwrap())
        );
        assert!(page.text().await.unwrap().starts_with("<!doctype html>"));
    }
}

#[tokio::test]
async fn a_giant_reply_is_as_big_as_asked_and_well_formed() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.giant_reply_mib = Some(3));
    let body = rig
        .request(Method::GET, "Users")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(body.len() > 3 * 1_048_576);
    let page: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(page["totalResults"], 1);
    assert_eq!(
        rig.post("Users", &user("ada")).await.status,
        201,
        "writes are spared"
    );
}

#[tokio::test]
async fn a_slow_reply_comes_byte_by_byte() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.slow_drip_ms = Some(2));
    let asked = Instant::now();
    let page = rig.get("Users").await;
    assert_eq!(page.body["totalResults"], 0);
    assert!(asked.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn media_types_can_be_refused_or_missing() {
    let rig = Rig::new().await;
    rig.fault(|faults| {
        faults.refuse_scim_json = true;
        faults.no_content_type = true;
    });
    assert_eq!(rig.post("Users", &user("ada")).await.status, 415);
    let json = rig.request(Method::POST, "Users").json(&user("ada"));
    let created = rig.send(json).await;
    assert_eq!(
        (created.status, created.header("content-type")),
        (201, None)
    );
}

#[tokio::test]
async fn large_bodies_can_be_refused() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.max_body_bytes = Some(50));
    assert_eq!(rig.post("Users", &user("ada")).await.refusal(), (413, ""));
}

#[test]
fn switches_are_read_from_json_and_misspelled_ones_refused() {
    let read = |value: Value| serde_json::from_value::<scim_sim::Faults>(value);
    let faults = read(json!({"fail_next": {"n": 2}, "drop_attribute": ["city"]})).unwrap();
    assert_eq!((faults.fail_next.n, faults.fail_next.status), (2, 500));
    assert!(read(json!({"thorttle_next": 1})).is_err());
}
