//! The backend as its own administrator sees it: the simulator's `/_sim/`, which knows no operator.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The simulator's administrative side.
pub struct Backend {
    http: reqwest::Client,
    admin: String,
    base_url: String,
}

impl Backend {
    /// Of the simulator with that SCIM base URL.
    pub fn new(base_url: &str) -> Result<Backend> {
        let origin = base_url.split("/scim/").next().unwrap_or(base_url);
        Ok(Backend {
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(10))
                .build()?,
            admin: format!("{origin}/_sim"),
            base_url: base_url.to_owned(),
        })
    }

    /// Where it speaks SCIM.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Every account, as it is stored.
    pub async fn accounts(&self) -> Result<Vec<Value>> {
        let url = format!("{}/users", self.admin);
        let reply = self.http.get(url).send().await?.error_for_status()?;
        Ok(reply.json().await?)
    }

    /// The one account of that userName.
    pub async fn account(&self, user_name: &str) -> Result<Value> {
        let accounts = self.accounts().await?;
        let found = accounts
            .into_iter()
            .find(|account| account["userName"] == user_name);
        found.with_context(|| format!("the backend has no {user_name}"))
    }

    /// Changes an account, as somebody would in the backend's own pages.
    pub async fn edit(&self, user_name: &str, change: &Value) -> Result<()> {
        let account = self.account(user_name).await?;
        let id = account["id"].as_str().context("an account without id")?;
        let url = format!("{}/users/{id}", self.admin);
        println!("> PATCH /_sim/users/{id} {change}");
        self.http
            .patch(url)
            .json(change)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Every group, as it is stored.
    pub async fn groups(&self) -> Result<Vec<Value>> {
        let url = format!("{}/groups", self.admin);
        let reply = self.http.get(url).send().await?.error_for_status()?;
        Ok(reply.json().await?)
    }

    /// The userNames of a group's members, sorted.
    pub async fn members(&self, display_name: &str) -> Result<Vec<String>> {
        let accounts = self.accounts().await?;
        let groups = self.groups().await?;
        let group = groups.iter().find(|g| g["displayName"] == display_name);
        let group = group.with_context(|| format!("the backend has no group {display_name}"))?;
        let members = group["members"].as_array().into_iter().flatten();
        let named = members.map(|member| {
            let account = accounts.iter().find(|a| a["id"] == member["value"]);
            account
                .map_or("nobody", |a| text(&a["userName"]))
                .to_owned()
        });
        let mut named: Vec<String> = named.collect();
        named.sort();
        Ok(named)
    }

    /// Empties a group, as somebody would in the backend's own pages.
    pub async fn empty(&self, display_name: &str) -> Result<()> {
        let groups = self.groups().await?;
        let group = groups.iter().find(|g| g["displayName"] == display_name);
        let id = group.and_then(|g| g["id"].as_str());
        let id = id.with_context(|| format!("the backend has no group {display_name}"))?;
        let url = format!("{}/groups/{id}", self.admin);
        let change = json!({"members": []});
        println!("> PATCH /_sim/groups/{id} {change}");
        self.http
            .patch(url)
            .json(&change)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Shows every group as a line.
    pub async fn show_groups(&self) -> Result<()> {
        println!("> GET /_sim/groups");
        println!("{:<19} MEMBERS", "DISPLAYNAME");
        for group in self.groups().await? {
            let name = text(&group["displayName"]);
            println!("{name:<19} {}", self.members(name).await?.join(", "));
        }
        Ok(())
    }

    /// From now on, only that token is accepted.
    pub async fn accept_only(&self, token: &str) -> Result<()> {
        println!("> PUT /_sim/token (the old one is refused from now on)");
        let url = format!("{}/token", self.admin);
        let body = json!({"token": token});
        self.http
            .put(url)
            .json(&body)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Shows every account as a line.
    pub async fn show(&self) -> Result<()> {
        println!("> GET /_sim/users");
        println!(
            "{:<19} {:<7} {:<15} {:<8} {:<9} MANAGER",
            "USERNAME", "ACTIVE", "NAME", "COUNTRY", "LANGUAGE"
        );
        let accounts = self.accounts().await?;
        for account in &accounts {
            let name = format!(
                "{} {}",
                text(&account["name"]["givenName"]),
                text(&account["name"]["familyName"])
            );
            println!(
                "{:<19} {:<7} {name:<15} {:<8} {:<9} {}",
                text(&account["userName"]),
                account["active"].to_string(),
                text(&account["addresses"][0]["country"]),
                text(&account["preferredLanguage"]),
                manager(account, &accounts),
            );
        }
        Ok(())
    }
}

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The userName of an account's manager.
fn manager<'a>(account: &Value, accounts: &'a [Value]) -> &'a str {
    let id = match &account[ENTERPRISE]["manager"] {
        Value::Object(manager) => manager.get("value"),
        other => Some(other),
    };
    let found = accounts.iter().find(|other| id == Some(&other["id"]));
    found.map_or("-", |manager| text(&manager["userName"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
