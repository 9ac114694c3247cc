//! The discovery documents tell the truth.

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, GROUP, Rig, USER};

#[tokio::test]
async fn the_configuration_follows_the_switches() {
    let rig = Rig::new().await;
    let config = rig.get("ServiceProviderConfig").await.body;
    assert_eq!(config["patch"]["supported"], true);
    assert_eq!(
        config["filter"],
        json!({"supported": true, "maxResults": 100})
    );
    assert_eq!(
        (&config["bulk"]["supported"], &config["etag"]["supported"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        config["authenticationSchemes"][0]["type"],
        "oauthbearertoken"
    );
    rig.sim.dialect().update(|dialect| {
        dialect.etag = true;
        dialect.bulk = Some(scim_sim::BulkLimits {
            max_operations: 3,
            max_payload_size: 9,
        });
    });
    let config = rig.get("ServiceProviderConfig").await.body;
    assert_eq!(config["etag"]["supported"], true);
    assert_eq!(
        config["bulk"],
        json!({"supported": true, "maxOperations": 3, "maxPayloadSize": 9})
    );
}

#[tokio::test]
async fn resource_types_and_schemas_are_listed_and_read_one_by_one() {
    let rig = Rig::new().await;
    let types = rig.get("ResourceTypes").await.body;
    assert_eq!(types["totalResults"], 2);
    let user = rig.get("ResourceTypes/User").await.body;
    assert_eq!(user, types["Resources"][0]);
    assert_eq!(
        user["schemaExtensions"],
        json!([{"schema": ENTERPRISE, "required": false}])
    );
    let schemas = rig.get("Schemas").await.body;
    assert_eq!(schemas["totalResults"], 3);
    for (at, urn) in [USER, ENTERPRISE, GROUP].iter().enumerate() {
        let schema = rig.get(&format!("Schemas/{urn}")).await.body;
        assert_eq!(schema, schemas["Resources"][at]);
        assert_eq!(schema["id"], *urn);
    }
    assert_eq!(rig.get("Schemas/urn:nothing").await.status, 404);
    assert_eq!(
        rig.list("Schemas", &[("filter", "id pr")]).await.status,
        403
    );
}

#[tokio::test]
async fn the_schemas_name_what_cybsafe_captures_and_nothing_else() {
    let rig = Rig::new().await;
    let attributes = async |urn: &str| {
        let schema = rig.get(&format!("Schemas/{urn}")).await.body;
        schema["attributes"].as_array().unwrap().clone()
    };
    let names = |attributes: &[Value]| -> Vec<String> {
        attributes
            .iter()
            .map(|found| found["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let user = attributes(USER).await;
    assert_eq!(
        names(&user),
        [
            "userName",
            "name",
            "emails",
            "addresses",
            "preferredLanguage",
            "active",
            "phoneNumbers",
            "locale",
            "employeeType",
            "city",
            "office",
            "businessUnit",
            "grade",
        ]
    );
    assert_eq!(user[0]["caseExact"], false);
    assert_eq!(user[0]["uniqueness"], "server");
    assert_eq!(user[4]["canonicalValues"].as_array().unwrap().len(), 18);
    assert_eq!(
        names(&attributes(ENTERPRISE).await),
        [
            "employeeNumber",
            "department",
            "division",
            "organization",
            "manager"
        ]
    );
    assert_eq!(names(&attributes(GROUP).await), ["displayName", "members"]);
}

#[tokio::test]
async fn discovery_can_be_missing() {
    let rig = Rig::new().await;
    rig.fault(|faults| faults.no_discovery = true);
    for path in ["ServiceProviderConfig", "ResourceTypes", "Schemas"] {
        assert_eq!(rig.get(path).await.refusal(), (404, ""));
    }
    assert_eq!(rig.get("Users").await.status, 200);
}
