//! A client that says plainly what was answered, and bodies that are valid.

use reqwest::{Client, Method};
use scim_sim::{DEFAULT_TOKEN, Faults, SimConfig, Simulator};
use serde_json::{Value, json};

pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

pub struct Rig {
    pub sim: Simulator,
    pub client: Client,
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and scimType of a refusal; its status must be told twice alike (RFC 7644 §3.12).
    pub fn refusal(&self) -> (u16, &str) {
        assert_eq!(
            self.body["status"],
            self.status.to_string(),
            "{}",
            self.body
        );
        assert_eq!(
            self.body["schemas"][0],
            "urn:ietf:params:scim:api:messages:2.0:Error"
        );
        (self.status, self.body["scimType"].as_str().unwrap_or(""))
    }
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub async fn with(config: SimConfig) -> Self {
        let sim = Simulator::start(config).await.unwrap();
        Self {
            sim,
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn fault(&self, change: impl FnOnce(&mut Faults)) {
        self.sim.faults().update(change);
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.sim.base_url()))
            .bearer_auth(DEFAULT_TOKEN)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        answer(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn list(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::GET, path).query(query))
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(scim(self.request(Method::POST, path), body))
            .await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(scim(self.request(Method::PUT, path), body)).await
    }

    pub async fn patch(&self, path: &str, operations: Value) -> Answer {
        let body = json!({"schemas": [PATCH], "Operations": operations});
        self.send(scim(self.request(Method::PATCH, path), &body))
            .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Creates a valid, active user and returns its id.
    pub async fn add_user(&self, name: &str) -> String {
        let created = self.post("Users", &user(name)).await;
        assert_eq!(created.status, 201, "{}", created.body);
        created.id()
    }

    pub async fn add_group(&self, name: &str, members: &[&str]) -> String {
        let created = self.post("Groups", &group(name, members)).await;
        assert_eq!(created.status, 201, "{}", created.body);
        created.id()
    }

    /// The members of a group as the server has them.
    pub fn members(&self, id: &str) -> Vec<String> {
        let group = self.sim.group(id).unwrap();
        let members = group["members"].as_array().cloned().unwrap_or_default();
        members
            .iter()
            .map(|member| member["value"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub async fn answer(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

pub fn scim(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request
        .header("content-type", "application/scim+json")
        .body(body.to_string())
}

/// A user with everything CybSafe requires.
pub fn user(name: &str) -> Value {
    json!({
        "schemas": [USER],
        "userName": name,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": "ada@example.com", "primary": true}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en_gb",
        "active": true,
    })
}

pub fn group(name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    json!({"schemas": [GROUP], "displayName": name, "members": members})
}
