//! The ways in which lists lie.

use serde_json::{Value, json};

use crate::support::Rig;

async fn rig_of_three() -> Rig {
    let rig = Rig::new().await;
    for name in ["ada", "bob", "eve"] {
        rig.add_user(name).await;
    }
    rig
}

fn shown(page: &Value) -> usize {
    page["Resources"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_truncated_list_promises_more_than_it_gives() {
    let rig = rig_of_three().await;
    rig.fault(|faults| faults.truncate_list = Some(2));
    let page = rig.get("Users").await.body;
    assert_eq!((shown(&page), &page["totalResults"]), (2, &json!(3)));
    let rest = rig.list("Users", &[("startIndex", "3")]).await.body;
    assert_eq!(shown(&rest), 0);
}

#[tokio::test]
async fn a_lying_total_is_the_size_of_the_page() {
    let rig = rig_of_three().await;
    rig.fault(|faults| faults.lying_total = true);
    let page = rig.list("Users", &[("count", "2")]).await.body;
    assert_eq!((shown(&page), &page["totalResults"]), (2, &json!(2)));
}

#[tokio::test]
async fn an_ignored_start_index_repeats_the_first_page() {
    let rig = rig_of_three().await;
    rig.fault(|faults| faults.ignore_start_index = true);
    let page = rig
        .list("Users", &[("startIndex", "3"), ("count", "1")])
        .await
        .body;
    assert_eq!(page["Resources"][0]["userName"], "ada");
}

#[tokio::test]
async fn an_empty_list_hides_everyone_but_not_from_get() {
    let rig = rig_of_three().await;
    rig.fault(|faults| faults.empty_list = true);
    let page = rig.get("Users").await.body;
    assert_eq!(
        (&page["totalResults"], &page["Resources"]),
        (&json!(0), &json!([]))
    );
    rig.fault(|faults| faults.omit_empty_resources = true);
    assert_eq!(rig.get("Users").await.body.get("Resources"), None);
    let id = rig.sim.users()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(rig.get(&format!("Users/{id}")).await.status, 200);
}

#[tokio::test]
async fn an_ignored_filter_lists_everyone() {
    let rig = rig_of_three().await;
    rig.fault(|faults| faults.ignore_filter = true);
    for filter in [r#"userName eq "ada""#, r#"externalId eq "x""#] {
        assert_eq!(
            rig.list("Users", &[("filter", filter)]).await.body["totalResults"],
            3
        );
    }
}

#[tokio::test]
async fn a_case_sensitive_user_name_misses_other_spellings_and_allows_twins() {
    let rig = rig_of_three().await;
    rig.fault(|faults| faults.case_sensitive_user_name = true);
    let filter = [("filter", r#"userName eq "ADA""#)];
    assert_eq!(rig.list("Users", &filter).await.body["totalResults"], 0);
    rig.add_user("ADA").await;
    assert_eq!(rig.list("Users", &filter).await.body["totalResults"], 1);
}
