//! What the two servers do at most, asked by nobody but this process.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition,
};
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::rig::{AT_ONCE, DEADLINE, Rig, TOKEN, api, at_once, simulator, user};
use crate::wait;

/// The group of a kind that is just like ScimUser, but nobody's: what the floor is measured by is nothing for
/// the operator to watch, or to write to.
pub const GROUP: &str = "floor.scim-operator.io";
/// The namespace of its objects.
const NAMESPACE: &str = "floor";

/// How many requests are tried at a time; the best counts.
const CONCURRENCIES: [usize; 3] = [16, 48, 128];

/// The raw rates, in requests a second, each the best of those measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floors {
    /// SCIM POSTs of a user to the simulator.
    pub posts: f64,
    /// Merge patches of a user's status.
    pub statuses: f64,
}

impl Floors {
    /// What bounds a converge: each user costs one of both.
    pub fn least(&self) -> f64 {
        self.posts.min(self.statuses)
    }

    /// The better of two measurements.
    #[must_use]
    pub fn or(self, other: Floors) -> Self {
        Self {
            posts: self.posts.max(other.posts),
            statuses: self.statuses.max(other.statuses),
        }
    }
}

/// Declares so many users of a kind that nobody watches, with the schema and the rules of ScimUser.
///
/// # Errors
/// When a request fails.
pub async fn prepare(rig: &Rig, users: usize) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    let mut definition = definitions.get("scimusers.scim-operator.io").await?;
    let name = format!("scimusers.{GROUP}");
    definition.metadata = ObjectMeta {
        name: Some(name.clone()),
        ..ObjectMeta::default()
    };
    definition.spec.group = GROUP.to_owned();
    definition.status = None;
    definitions
        .create(&PostParams::default(), &definition)
        .await?;
    wait::eventually("the kind of the floor", DEADLINE, async || {
        let status = definitions.get(&name).await?.status;
        let conditions = status.and_then(|s| s.conditions).unwrap_or_default();
        let there = |c: &_| is_true(c, "Established");
        Ok(conditions.iter().any(there).then_some(()))
    })
    .await?;
    rig.plane.create_namespace(NAMESPACE).await?;
    let api = kind(rig);
    at_once(AT_ONCE, 0..users, async |number| {
        let mut user = user(&format!("user-{number}"));
        user["apiVersion"] = format!("{GROUP}/v1alpha1").into();
        // As the admission policy has it.
        user["metadata"]["finalizers"] = json!(["scim-operator.io/deprovision"]);
        let user = serde_json::from_value(user)?;
        let created = api.create(&PostParams::default(), &user).await;
        created.map(drop).context("a user of the floor")
    })
    .await
}

fn is_true(condition: &CustomResourceDefinitionCondition, kind: &str) -> bool {
    condition.type_ == kind && condition.status == "True"
}

fn kind(rig: &Rig) -> Api<DynamicObject> {
    api(&rig.client, GROUP, NAMESPACE, "ScimUser", "scimusers")
}

/// Measures with so many users, prepared before.
///
/// # Errors
/// When a request fails.
pub async fn measure(rig: &Rig, users: usize, turn: &str) -> Result<Floors> {
    let mut floors = Floors::default();
    for concurrency in CONCURRENCIES {
        let posts = posts(users, concurrency).await?;
        let statuses = statuses(rig, users, concurrency, turn).await?;
        eprintln!(
            "floor, {concurrency} in flight: {posts:.0} POSTs/s, {statuses:.0} status writes/s"
        );
        floors = floors.or(Floors { posts, statuses });
    }
    Ok(floors)
}

async fn posts(users: usize, concurrency: usize) -> Result<f64> {
    let simulator = simulator().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}Users", simulator.base_url());
    let begun = Instant::now();
    at_once(concurrency, 0..users, async |number| {
        let body = body(number);
        let request = http
            .post(&url)
            .bearer_auth(TOKEN)
            .header("content-type", "application/scim+json")
            .body(body.to_string());
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 201, "{status}: {text}");
        Ok(())
    })
    .await?;
    Ok(users as f64 / begun.elapsed().as_secs_f64())
}

fn body(number: usize) -> Value {
    let address = format!("raw-{number}@example.com");
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
        "externalId": format!("scim-operator:bench/scim:bench/raw-{number}"),
        "userName": address, "active": true,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": address, "primary": true}],
        "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en_gb",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Engines", "employeeNumber": "1815"}
    })
}

async fn statuses(rig: &Rig, users: usize, concurrency: usize, turn: &str) -> Result<f64> {
    let api = kind(rig);
    let begun = Instant::now();
    at_once(concurrency, 0..users, async |number| {
        let status = status(number, concurrency, turn);
        let patch = Patch::Merge(&status);
        let name = format!("user-{number}");
        api.patch_status(&name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    })
    .await?;
    Ok(users as f64 / begun.elapsed().as_secs_f64())
}

/// As large as what the operator writes of a user that it has just created.
fn status(number: usize, concurrency: usize, turn: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
    };
    json!({"status": {
        "id": format!("{turn}-{concurrency}-{number}"), "observedGeneration": 1, "syncedGeneration": 1,
        "endpointHash": "0123456789abcdef", "profileHash": "0123456789abcdef",
        "managedAttributes": ["active", "addresses", "department", "emails", "employeeNumber", "externalId", "familyName", "givenName", "preferredLanguage", "userName"],
        "conditions": [
            condition("Ready", "Synced", "provisioned"),
            condition("Valid", "Accepted", "every rule of the profile is met"),
            condition("Synced", "Created", "the account was created"),
            condition("Archived", "Active", "the account is active"),
        ]
    }})
}
