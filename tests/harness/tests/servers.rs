//! The third-party servers answer as SCIM servers do, and the judge tells good
//! requests from bad ones. The first run installs them, which needs the package
//! registries.

use anyhow::{Result, ensure};
use reqwest::{Client, Method, StatusCode};
use scim_operator_harness::{
    RecordingProxy,
    judge::{JudgeReport, judge},
    scratch::Scratch,
    servers::ThirdParty,
};
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

#[tokio::test]
async fn scim2_server_keeps_users_and_ends_with_its_value() -> Result<()> {
    let server = ThirdParty::scim2_server("a token").await?;
    // It answers a change with 204 and no body.
    keeps_users_and_ends_with_its_value(server, StatusCode::NO_CONTENT).await
}

#[tokio::test]
async fn scimmy_keeps_users_and_ends_with_its_value() -> Result<()> {
    let server = ThirdParty::scimmy("a token").await?;
    // It answers a change with the resource.
    keeps_users_and_ends_with_its_value(server, StatusCode::OK).await
}

async fn keeps_users_and_ends_with_its_value(
    server: ThirdParty,
    patched: StatusCode,
) -> Result<()> {
    let proxy = RecordingProxy::start(server.base_url()).await?;
    let caller = Caller::new(&proxy.url(), server.token())?;
    let ada = json!({"schemas": [USER], "userName": "ada@example.org", "externalId": "1"});

    let (status, created) = caller.send(Method::POST, "/Users", Some(&ada)).await?;
    ensure!(status == StatusCode::CREATED, "{status}: {created}");
    let path = format!("/Users/{}", created["id"].as_str().unwrap_or_default());
    let (status, _) = caller.send(Method::POST, "/Users", Some(&ada)).await?;
    ensure!(status == StatusCode::CONFLICT, "a second one: {status}");

    let change = patch(json!([{"op": "replace", "path": "active", "value": false}]));
    let (status, answer) = caller.send(Method::PATCH, &path, Some(&change)).await?;
    ensure!(status == patched, "{status}: {answer}");
    let (status, found) = caller.send(Method::GET, &path, None).await?;
    ensure!(status == StatusCode::OK, "{status}: {found}");
    ensure!(found["active"] == false && found["externalId"] == "1");
    let (_, listed) = caller.send(Method::GET, "/Users?count=10", None).await?;
    ensure!(listed["totalResults"] == 1, "{listed}");

    let (status, _) = caller.send(Method::DELETE, &path, None).await?;
    ensure!(status == StatusCode::NO_CONTENT, "{status}");
    let (status, _) = caller.send(Method::GET, &path, None).await?;
    ensure!(status == StatusCode::NOT_FOUND, "{status}");

    let stranger = Caller::new(server.base_url(), "another token")?;
    let (status, _) = stranger.send(Method::GET, "/Users", None).await?;
    ensure!(status == StatusCode::UNAUTHORIZED, "{status}");

    // What we have just sent is what the server's own schemas describe.
    let scratch = Scratch::create()?;
    let dump = scratch.join("requests.jsonl");
    proxy.dump_jsonl(&dump)?;
    let report = judge(&dump, server.base_url(), server.token()).await?;
    ensure!(report.into_result()? == 3);

    let direct = Caller::new(server.base_url(), server.token())?;
    drop(server);
    ensure!(direct.send(Method::GET, "/Users", None).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_judge_accepts_what_the_rfcs_describe() -> Result<()> {
    let server = ThirdParty::scim2_server("a token").await?;
    let full = json!({
        "schemas": [USER, ENTERPRISE],
        "userName": "ada@example.org",
        "externalId": "1",
        "active": true,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"value": "ada@example.org", "type": "work", "primary": true}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en-GB",
        ENTERPRISE: {"department": "Engines", "manager": {"value": "2"}},
    });
    let cleared = json!({"schemas": [USER], "userName": "ada@example.org", "title": null});
    let group = json!({"schemas": [GROUP], "displayName": "Engines", "members": [{"value": "1"}]});
    let changes = patch(json!([
        {"op": "replace", "path": "name.givenName", "value": "Augusta"},
        {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "a@example.org"},
        {"op": "add", "path": "phoneNumbers", "value": [{"value": "+44 1", "type": "mobile"}]},
        {"op": "remove", "path": "addresses[type eq \"work\"]"},
        {"op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "Looms"},
        {"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": {"value": "3"}},
        {"op": "remove", "path": "externalId"},
    ]));
    let members = patch(json!([
        {"op": "add", "path": "members", "value": [{"value": "1"}]},
        {"op": "remove", "path": "members[value eq \"2\"]"},
    ]));
    let listed = patch(json!([{"op": "remove", "path": "members", "value": [{"value": "2"}]}]));

    let requests = [
        ("POST", "/Users", full),
        ("PUT", "/Users/1", cleared),
        ("POST", "/Groups", group),
        ("PATCH", "/Users/1", changes),
        ("PATCH", "/Groups/1", members),
        ("PATCH", "/Groups/1", listed),
        ("GET", "/Users", Value::Null),
        ("DELETE", "/Users/1", Value::Null),
    ];
    ensure!(judged(&server, &requests).await?.into_result()? == 6);
    Ok(())
}

#[tokio::test]
async fn the_judge_refuses_what_breaks_a_rule() -> Result<()> {
    let user = |body: Value| ("POST", "/Users", body);
    let change = |operation: Value| ("PATCH", "/Users/1", patch(json!([operation])));
    let ada = "ada@example.org";
    let cases = [
        (
            "userName is missing",
            "'userName' is required",
            user(json!({"schemas": [USER], "displayName": "Ada"})),
        ),
        (
            "an attribute is unknown",
            "city",
            user(json!({"schemas": [USER], "userName": ada, "city": "London"})),
        ),
        (
            "a boolean is a string",
            "active: a JSON boolean",
            user(json!({"schemas": [USER], "userName": ada, "active": "true"})),
        ),
        (
            "a boolean is a string further down",
            "emails[0].primary: a JSON boolean",
            user(
                json!({"schemas": [USER], "userName": ada, "emails": [{"value": ada, "primary": "True"}]}),
            ),
        ),
        (
            "an extension is used and not listed",
            "schemas lists",
            user(json!({"schemas": [USER], "userName": ada, ENTERPRISE: {"department": "Looms"}})),
        ),
        (
            "an extension is listed and not used",
            "schemas lists",
            user(json!({"schemas": [USER, ENTERPRISE], "userName": ada})),
        ),
        (
            "a PATCH has no schemas",
            "no list of schemas",
            (
                "PATCH",
                "/Users/1",
                json!({"Operations": [{"op": "remove", "path": "title"}]}),
            ),
        ),
        (
            "op is not in lower case",
            "op is 'Replace'",
            change(json!({"op": "Replace", "path": "title", "value": "Countess"})),
        ),
        (
            "remove carries a value",
            "carries a value",
            change(json!({"op": "remove", "path": "title", "value": "Countess"})),
        ),
        (
            "a PATCH sets a boolean to a string",
            "active: a JSON boolean",
            change(json!({"op": "replace", "path": "active", "value": "False"})),
        ),
        (
            "an operation has no path",
            "no path",
            change(json!({"op": "replace", "value": {"title": "Countess"}})),
        ),
        (
            "replace has no value",
            "carries no value",
            change(json!({"op": "replace", "path": "title"})),
        ),
        (
            "a path is unknown",
            "no such attribute",
            change(json!({"op": "replace", "path": "city", "value": "London"})),
        ),
        (
            "manager is a bare id",
            "a JSON object",
            change(json!({"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": "2"})),
        ),
        ("there is no body", "not a JSON object", user(Value::Null)),
    ];

    let server = ThirdParty::scimmy("a token").await?;
    let requests: Vec<_> = cases
        .iter()
        .map(|(_, _, request)| request.clone())
        .collect();
    let report = judged(&server, &requests).await?;
    ensure!(
        report.judged == cases.len() && report.failed == cases.len(),
        "{report:#?}"
    );
    for (index, (why, violation, _)) in cases.iter().enumerate() {
        let line = format!("line {}: ", index + 1);
        let mut found = report.violations.iter().filter(|v| v.starts_with(&line));
        ensure!(found.any(|v| v.contains(violation)), "{why}: {report:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_judge_says_when_it_cannot_judge() -> Result<()> {
    let server = ThirdParty::scim2_server("a token").await?;
    ensure!(judged(&server, &[]).await?.into_result().is_err());

    let scratch = Scratch::create()?;
    let dump = scratch.write("requests.jsonl", "")?;
    let refused = judge(&dump, server.base_url(), "another token").await;
    ensure!(refused.is_err(), "{refused:?}");
    Ok(())
}

async fn judged(server: &ThirdParty, requests: &[(&str, &str, Value)]) -> Result<JudgeReport> {
    let lines: Vec<String> = requests
        .iter()
        .map(|(method, path, body)| {
            json!({"method": method, "path": path, "body": body}).to_string()
        })
        .collect();
    let scratch = Scratch::create()?;
    let dump = scratch.write("requests.jsonl", lines.join("\n"))?;
    judge(&dump, server.base_url(), server.token()).await
}

fn patch(operations: Value) -> Value {
    json!({"schemas": [PATCH], "Operations": operations})
}

struct Caller {
    client: Client,
    base_url: String,
    token: String,
}

impl Caller {
    fn new(base_url: &str, token: &str) -> Result<Caller> {
        Ok(Caller {
            client: Client::builder().no_proxy().build()?,
            base_url: base_url.to_owned(),
            token: token.to_owned(),
        })
    }

    /// The status, and the body as JSON (`null` when there is none).
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base_url))
            .bearer_auth(&self.token)
            .header("content-type", "application/scim+json");
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}
