//! Lists, filters, paging, projections and `.search`.

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, Rig};

fn names(page: &Value) -> Vec<&str> {
    let resources = page["Resources"].as_array().unwrap();
    resources
        .iter()
        .map(|user| user["userName"].as_str().unwrap())
        .collect()
}

async fn rig_of(users: usize) -> Rig {
    let rig = Rig::new().await;
    for at in 0..users {
        rig.add_user(&format!("u{at}@example.com")).await;
    }
    rig
}

#[tokio::test]
async fn pages_follow_the_order_of_creation() {
    let rig = rig_of(5).await;
    for (query, expected, start) in [
        (vec![], vec!["u0", "u1", "u2", "u3", "u4"], 1),
        (
            vec![("startIndex", "2"), ("count", "2")],
            vec!["u1", "u2"],
            2,
        ),
        (vec![("startIndex", "5"), ("count", "2")], vec!["u4"], 5),
        (vec![("startIndex", "6")], vec![], 6),
        (vec![("startIndex", "-3"), ("count", "1")], vec!["u0"], 1),
        (vec![("count", "0")], vec![], 1),
        (vec![("count", "-1")], vec![], 1),
    ] {
        let page = rig.list("Users", &query).await.body;
        let found: Vec<_> = names(&page)
            .iter()
            .map(|name| name.split('@').next().unwrap())
            .collect();
        assert_eq!(found, expected, "{query:?}");
        assert_eq!(
            page["schemas"],
            json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"])
        );
        assert_eq!(page["totalResults"], 5, "{query:?}");
        assert_eq!(page["startIndex"], start, "{query:?}");
        assert_eq!(page["itemsPerPage"], expected.len(), "{query:?}");
    }
    let refused = rig.list("Users", &[("count", "many")]).await;
    assert_eq!(refused.refusal(), (400, "invalidValue"));
}

#[tokio::test]
async fn pages_are_capped() {
    let rig = rig_of(101).await;
    for query in [vec![], vec![("count", "1000")]] {
        let page = rig.list("Users", &query).await.body;
        assert_eq!(
            (&page["itemsPerPage"], &page["totalResults"]),
            (&json!(100), &json!(101))
        );
    }
}

#[tokio::test]
async fn filters_match_and_others_are_refused() {
    let rig = rig_of(3).await;
    let id = rig.sim.user_by_name("U1@EXAMPLE.COM").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    rig.sim
        .edit_user(&id, |user| user["externalId"] = "Ext".into());
    for (filter, matches) in [
        (r#"userName eq "U1@example.com""#.to_owned(), 1),
        (
            format!(r#"userName eq "u1@example.com" and id eq "{id}""#),
            1,
        ),
        (
            format!(r#"id eq "{id}" and userName eq "u2@example.com""#),
            0,
        ),
        (r#"userName eq "nobody \"x\"""#.to_owned(), 0),
    ] {
        let found = rig.list("Users", &[("filter", &filter)]).await;
        assert_eq!(found.status, 200, "{filter}");
        assert_eq!(found.body["totalResults"], matches, "{filter}");
        assert_eq!(
            found.body["Resources"].as_array().unwrap().len(),
            matches,
            "{filter}"
        );
    }
    for filter in [
        r#"userName sw "u""#,
        r#"active eq true"#,
        "userName",
        r#"externalId eq "Ext""#,
    ] {
        let refused = rig.list("Users", &[("filter", filter)]).await;
        assert_eq!(refused.refusal(), (400, "invalidFilter"), "{filter}");
    }
    rig.sim
        .dialect()
        .update(|dialect| dialect.filter_external_id = true);
    for (filter, matches) in [(r#"externalId eq "Ext""#, 1), (r#"externalId eq "ext""#, 0)] {
        let found = rig.list("Users", &[("filter", filter)]).await;
        assert_eq!(found.body["totalResults"], matches, "{filter}");
    }
}

#[tokio::test]
async fn attributes_are_selected_and_excluded() {
    let rig = rig_of(1).await;
    let only = rig
        .list("Users", &[("attributes", "userName,active")])
        .await
        .body;
    let keys: Vec<_> = only["Resources"][0]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys.len(), 4, "id, schemas and the two: {keys:?}");
    let id = only["Resources"][0]["id"].as_str().unwrap();
    let without = rig
        .list(&format!("Users/{id}"), &[("excludedAttributes", "meta,id")])
        .await
        .body;
    assert_eq!(
        (&without["meta"], &without["id"]),
        (&Value::Null, &json!(id))
    );
    let both = [("attributes", "id"), ("excludedAttributes", "meta")];
    assert_eq!(
        rig.list("Users", &both).await.refusal(),
        (400, "invalidValue")
    );
    let department = format!("{ENTERPRISE}:department");
    let patch = json!([{"op": "add", "path": department, "value": "R&D"}]);
    let path = format!("Users/{id}?attributes={department}");
    assert_eq!(
        rig.patch(&path, patch).await.body[ENTERPRISE],
        json!({"department": "R&D"})
    );
}

#[tokio::test]
async fn search_takes_the_query_in_the_body() {
    let rig = rig_of(3).await;
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "userName eq \"u2@example.com\"",
        "attributes": ["userName"], "startIndex": 1, "count": 10,
    });
    let found = rig.post("Users/.search", &search).await;
    assert_eq!(
        (found.status, names(&found.body)),
        (200, vec!["u2@example.com"])
    );
    assert_eq!(found.body["Resources"][0]["emails"], Value::Null);
    assert_eq!(
        rig.post("Users/.search", &json!({})).await.refusal(),
        (400, "invalidSyntax")
    );
    let counts = rig.sim.request_counts();
    assert_eq!(counts.by_endpoint["POST /Users/.search"], 2);
}

#[tokio::test]
async fn requests_are_logged_and_counted() {
    let rig = rig_of(2).await;
    let id = rig.sim.users()[0]["id"].as_str().unwrap().to_owned();
    rig.sim.clear_requests();
    rig.list("Users", &[("count", "1")]).await;
    rig.delete(&format!("Users/{id}")).await;
    let log = rig.sim.requests();
    assert_eq!(
        (log[0].method.as_str(), log[0].path.as_str()),
        ("GET", "/Users")
    );
    assert_eq!((log[0].query.as_str(), log[0].status), ("count=1", 200));
    assert_eq!(
        (log[1].path.clone(), log[1].status),
        (format!("/Users/{id}"), 204)
    );
    let counts = rig.sim.request_counts();
    assert_eq!(
        (counts.total, counts.by_endpoint["DELETE /Users/{id}"]),
        (2, 1)
    );
}

#[tokio::test]
async fn ids_that_need_encoding_are_found() {
    let rig = Rig::new().await;
    let id = rig
        .sim
        .insert_user(json!({"id": "a/b c@d", "userName": "odd", "active": true}));
    assert_eq!(id, "a/b c@d");
    let found = rig.get("Users/a%2Fb%20c@d").await;
    assert_eq!(found.body["id"], id);
    let location = format!("{}Users/a%2Fb%20c@d", rig.sim.base_url());
    assert_eq!(found.body["meta"]["location"], location);
}
