//! Accounts and groups that are nobody's here: who touches them has done harm.

use scim_sim::Simulator;
use serde_json::{Value, json};

/// What they had at the beginning.
pub struct Strangers {
    users: Vec<Value>,
    groups: Vec<Value>,
}

impl Strangers {
    /// Puts them into an empty backend. Some are called almost as our people and groups are, one bears
    /// the mark of another operator's resource of the same name, one is archived.
    pub fn move_in(simulator: &Simulator) -> Strangers {
        let account = |name: &str, extra: Value| {
            let mut account = json!({
                "userName": name, "active": true,
                "name": {"givenName": "canary-given", "familyName": "canary-family"},
                "emails": [{"type": "work", "value": name, "primary": true}],
                "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en_gb"
            });
            super::scenario::merge(&mut account, &extra);
            simulator.insert_user(account)
        };
        let first = account("canary-ada@example.com.au", json!({}));
        let mark = "scim-operator:other/scim:identity/ada";
        account("canary-ad@example.com", json!({"externalId": mark}));
        account(
            "canary-bobby@example.com",
            json!({"active": false, "externalId": "hr-00421"}),
        );
        let members = json!([{"value": first, "type": "User"}]);
        simulator.insert_group(json!({"displayName": "Engineers (old)", "members": members}));
        let mark = "scim-operator:other/scim:identity/engineers";
        simulator.insert_group(json!({"displayName": "Engineer", "externalId": mark}));
        Strangers {
            users: simulator.users(),
            groups: simulator.groups(),
        }
    }

    /// Whether that id is of one of them.
    pub fn have(&self, id: &str) -> bool {
        self.users
            .iter()
            .chain(&self.groups)
            .any(|one| one["id"] == id)
    }

    /// The ids of those that are not what they were.
    pub fn changed(&self, simulator: &Simulator) -> Vec<String> {
        let text = |value: &Value| value["id"].as_str().unwrap_or_default().to_owned();
        let users = self
            .users
            .iter()
            .filter(|one| simulator.user(&text(one)).as_ref() != Some(one));
        let groups = self
            .groups
            .iter()
            .filter(|one| simulator.group(&text(one)).as_ref() != Some(one));
        users.chain(groups).map(text).collect()
    }
}
