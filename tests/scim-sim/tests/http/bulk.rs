//! Bulk (RFC 7644 §3.7).

use scim_sim::{BulkLimits, BulkStatus, FailNext};
use serde_json::{Value, json};

use crate::support::{Rig, group, user};

fn bulk(operations: &Value, fail_on_errors: Option<u64>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "failOnErrors": fail_on_errors, "Operations": operations,
    })
}

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.sim
        .dialect()
        .update(|dialect| dialect.bulk = Some(BulkLimits::default()));
    rig
}

#[tokio::test]
async fn bulk_is_off_unless_switched_on() {
    let rig = Rig::new().await;
    assert_eq!(rig.post("Bulk", &bulk(&json!([]), None)).await.status, 501);
}

#[tokio::test]
async fn each_operation_has_its_own_result() {
    let rig = rig().await;
    let old = rig.add_user("old").await;
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "city", "value": "Oslo"}],
    });
    let answer = rig
        .post("Bulk", &bulk(&json!([
            {"method": "POST", "path": "/Users", "bulkId": "u", "data": user("ada")},
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": group("g", &["bulkId:u"])},
            {"method": "PATCH", "path": "/Users/bulkId:u", "data": patch},
            {"method": "POST", "path": "/Users", "bulkId": "twin", "data": user("ADA")},
            {"method": "DELETE", "path": format!("/Users/{old}")},
            {"method": "POST", "path": "/Users", "data": user("eve")},
        ]), None))
        .await;
    assert_eq!(answer.status, 200);
    let results = answer.body["Operations"].as_array().unwrap();
    let statuses: Vec<_> = results
        .iter()
        .map(|result| result["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["201", "201", "200", "409", "204", "400"]);
    let ada = rig.sim.user_by_name("ada").unwrap();
    assert_eq!(ada["city"], "Oslo");
    assert_eq!(
        (&results[0]["bulkId"], &results[0]["location"]),
        (&json!("u"), &ada["meta"]["location"])
    );
    assert_eq!(rig.sim.groups()[0]["members"][0]["value"], ada["id"]);
    assert_eq!(results[3]["response"]["scimType"], "uniqueness");
    assert!(rig.sim.user(&old).is_none());
}

#[tokio::test]
async fn fail_on_errors_stops_and_limits_are_enforced() {
    let rig = rig().await;
    let create = |bulk_id: &str, name: &str| json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": user(name)});
    let operations = json!([create("1", "a"), create("2", "a"), create("3", "b")]);
    let answer = rig.post("Bulk", &bulk(&operations, Some(1))).await;
    assert_eq!(answer.body["Operations"].as_array().unwrap().len(), 2);
    assert!(rig.sim.user_by_name("b").is_none());
    for limits in [
        BulkLimits {
            max_operations: 2,
            ..BulkLimits::default()
        },
        BulkLimits {
            max_payload_size: 100,
            ..BulkLimits::default()
        },
    ] {
        rig.sim
            .dialect()
            .update(|dialect| dialect.bulk = Some(limits));
        assert_eq!(
            rig.post("Bulk", &bulk(&operations, None)).await.refusal(),
            (413, "")
        );
    }
    let other = json!({"schemas": [], "Operations": []});
    assert_eq!(
        rig.post("Bulk", &other).await.refusal(),
        (400, "invalidSyntax")
    );
}

#[tokio::test]
async fn a_bulk_id_that_is_there_twice_refuses_the_whole() {
    let rig = rig().await;
    let create = |name: &str| json!({"method": "POST", "path": "/Users", "bulkId": "same", "data": user(name)});
    let operations = json!([create("a"), create("b")]);
    assert_eq!(
        rig.post("Bulk", &bulk(&operations, None)).await.refusal(),
        (400, "invalidValue")
    );
    assert!(rig.sim.users().is_empty());
}

#[tokio::test]
async fn results_get_lost_fail_and_change_their_form_by_switches() {
    let rig = rig().await;
    let create = |name: &str| json!({"method": "POST", "path": "/Users", "bulkId": name, "data": user(name)});
    let three =
        |from: u8| json!([0, 1, 2].map(|n| create(&char::from(b'a' + 3 * from + n).to_string())));
    rig.fault(|f| {
        f.bulk_loses_result = 1;
        f.bulk_fail_last = FailNext {
            n: 1,
            status: 500,
            applied: true,
        };
        f.bulk_reversed = true;
    });
    let answer = rig.post("Bulk", &bulk(&three(0), None)).await;
    let results = answer.body["Operations"].as_array().unwrap();
    let told: Vec<_> = results
        .iter()
        .map(|r| (r["bulkId"].as_str().unwrap(), r["status"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("c", "500"), ("b", "201")]);
    assert_eq!(rig.sim.users().len(), 3, "all of them were carried out");

    rig.fault(|f| {
        *f = scim_sim::Faults {
            bulk_fail_last: FailNext {
                n: 1,
                status: 400,
                applied: false,
            },
            bulk_status: BulkStatus::Number,
            ..Default::default()
        }
    });
    rig.sim.dialect().update(|d| d.bulk_shows_resources = true);
    let answer = rig.post("Bulk", &bulk(&three(1), None)).await;
    let results = &answer.body["Operations"];
    assert_eq!(
        (&results[0]["status"], &results[2]["status"]),
        (&json!(201), &json!(400))
    );
    assert_eq!(results[0]["response"]["userName"], "d");
    assert!(rig.sim.user_by_name("f").is_none(), "not carried out");

    rig.fault(|f| f.bulk_status = BulkStatus::Object);
    let answer = rig.post("Bulk", &bulk(&three(2), None)).await;
    assert_eq!(answer.body["Operations"][0]["status"]["code"], "201");
    rig.fault(|f| f.bulk_refused = Some(404));
    assert_eq!(rig.post("Bulk", &bulk(&three(3), None)).await.status, 404);
    assert_eq!(rig.sim.users().len(), 8);
}
