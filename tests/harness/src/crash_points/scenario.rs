//! What a scenario is: steps, each an act of somebody and what is awaited before the next.

use scim_sim::Simulator;
use serde_json::{Map, Value, json};

/// Kinds by the names that Kubernetes has for them.
pub const USER: &str = "ScimUser";
/// See [`USER`].
pub const GROUP: &str = "ScimGroup";
/// See [`USER`].
pub const CONNECTION: &str = "ScimConnection";
/// The one connection of every scenario.
pub const SCIM: &str = "scim";

/// In every personal value and every token, and in nothing else: where it turns up, something leaked.
pub const CANARY: &str = "canary";
/// The token that is valid at first.
pub const TOKEN: &str = "canary-token-first";

/// A small story, played from an empty namespace and a backend with strangers in it.
pub struct Scenario {
    /// A word.
    pub name: &'static str,
    /// Merged into the connection's spec.
    pub connection: Value,
    /// What is the matter with the backend, and who is there to be taken over.
    pub backend: fn(&Simulator),
    /// Users and groups whose spec is never valid: they have nothing at the backend.
    pub nowhere: &'static [&'static str],
    /// Groups that were there before and were taken over: deleted, they stay at the backend.
    pub retained: &'static [&'static str],
    /// What happens.
    pub steps: Vec<Step>,
}

/// One step.
pub struct Step {
    /// What somebody does.
    pub act: Act,
    /// What is awaited before the next step.
    pub until: Vec<Until>,
}

/// What somebody does.
pub enum Act {
    /// Declares a user or a group.
    Declare {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: &'static str,
        /// Its labels.
        labels: Value,
        /// Its spec; the connection is added.
        spec: Value,
    },
    /// Merges into a spec.
    Edit {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: &'static str,
        /// The change, as a JSON merge patch.
        spec: Value,
    },
    /// Deletes.
    Delete {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// Approves the plan that the connection's guard holds.
    Approve,
    /// Writes another token into the Secret.
    Token(&'static str),
    /// Does something at the backend, past the operator.
    AtBackend(fn(&Simulator)),
}

/// What is awaited.
pub enum Until {
    /// A condition with that status and reason, of the newest generation.
    Is {
        /// The kind of the object.
        kind: &'static str,
        /// Its name.
        name: &'static str,
        /// Type, status and reason.
        condition: [&'static str; 3],
    },
    /// The connection's guard holds a plan of so many.
    Held(u32),
    /// A group has so many members.
    Members {
        /// Its name.
        name: &'static str,
        /// How many are in step.
        count: u32,
    },
    /// The object is gone.
    Gone {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The backend has answered a request with that token.
    InUse(&'static str),
}

impl Step {
    /// Adds something to wait for.
    pub fn until(mut self, until: Until) -> Step {
        self.until.push(until);
        self
    }

    /// Adds a condition to wait for.
    pub fn is(self, kind: &'static str, name: &'static str, condition: [&'static str; 3]) -> Step {
        self.until(Until::Is {
            kind,
            name,
            condition,
        })
    }

    /// Waits until everything is as declared.
    pub fn ready(self, kind: &'static str, name: &'static str) -> Step {
        self.is(kind, name, ["Ready", "True", "Synced"])
    }
}

/// Somebody declares a user or a group.
pub fn declare(kind: &'static str, name: &'static str, spec: Value) -> Step {
    labelled(kind, name, json!({}), spec)
}

/// The same, with labels.
pub fn labelled(kind: &'static str, name: &'static str, labels: Value, spec: Value) -> Step {
    step(Act::Declare {
        kind,
        name,
        labels,
        spec,
    })
}

/// Somebody changes a spec.
pub fn edit(kind: &'static str, name: &'static str, spec: Value) -> Step {
    step(Act::Edit { kind, name, spec })
}

/// Somebody deletes, and it goes.
pub fn delete(kind: &'static str, name: &'static str) -> Step {
    step(Act::Delete { kind, name }).until(Until::Gone { kind, name })
}

/// Somebody deletes, and it does not go yet.
pub fn ask_to_delete(kind: &'static str, name: &'static str) -> Step {
    step(Act::Delete { kind, name })
}

/// Somebody looks at what is held, and approves it.
pub fn approve() -> Step {
    step(Act::Approve)
}

/// The Secret gets another token.
pub fn token(token: &'static str) -> Step {
    step(Act::Token(token))
}

/// Something happens at the backend.
pub fn at_backend(what: fn(&Simulator)) -> Step {
    step(Act::AtBackend(what))
}

fn step(act: Act) -> Step {
    Step {
        act,
        until: Vec::new(),
    }
}

/// A valid person of that name, whose every personal value bears the canary.
pub fn person(name: &str, extra: Value) -> Value {
    let address = format!("{CANARY}-{name}@example.com");
    let mut spec = json!({
        "userName": address,
        "name": {"givenName": format!("{CANARY}-given-{name}"), "familyName": format!("{CANARY}-family-{name}")},
        "emails": [{"type": "work", "value": address, "primary": true}],
        "phoneNumbers": [{"type": "mobile", "value": format!("+44{CANARY}{}", name.len())}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en-GB",
        "enterprise": {"department": "Engines"}
    });
    merge(&mut spec, &extra);
    spec
}

/// `spec.members` with these users.
pub fn members(names: &[&str]) -> Value {
    let entry = |name: &&str| json!({"userRef": {"name": name}});
    names.iter().map(entry).collect()
}

/// A JSON merge patch (RFC 7396), as the API server does it.
pub fn merge(into: &mut Value, from: &Value) {
    let Value::Object(from) = from else {
        *into = from.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(into) = into else {
        return;
    };
    for (key, value) in from {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key).or_insert(Value::Null), value);
        }
    }
}
