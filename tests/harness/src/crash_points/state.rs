//! The end of a run, with everything taken out that may differ between two runs of the same story: ids,
//! times, versions, ports, and the word for what was done last.

use std::collections::BTreeMap;

use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Map, Value, json};

use super::scenario::{CANARY, CONNECTION, SCIM};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct EndState {
    whole: Value,
    /// What the operator has learned of the backend by what it did there. One that was killed in the
    /// middle need not have learned it yet, and will when it next has to know.
    learned: Value,
}

/// Where that is.
const LEARNED: [&str; 3] = ["externalId", "memberRemoval", "members"];

/// What normalisation leaves out of statuses. The endpoint is a port, and its hash as good as random; the
/// hashes of plans are of uids.
const LEFT_OUT: [&str; 6] = [
    "lastTransitionTime",
    "lastFullSync",
    "lastHandledReconcileAt",
    "endpointHash",
    "approvedPlan",
    "hash",
];

impl EndState {
    /// Of accounts and groups that are no stranger's, and of everything declared, by kind.
    pub fn new(
        accounts: &[Value],
        groups: &[Value],
        objects: &BTreeMap<&'static str, Vec<DynamicObject>>,
    ) -> EndState {
        let names = names(accounts, groups);
        let tidy = |all: &[Value], by: &str| -> Value {
            let mut tidy: Vec<Value> = all.iter().map(|one| remote(one, &names)).collect();
            tidy.sort_by_key(|one| one[by].to_string());
            Value::Array(tidy)
        };
        let objects: Map<String, Value> = objects
            .iter()
            .map(|(kind, all)| {
                let all = all.iter().map(|one| (one.name_any(), local(one, &names)));
                ((*kind).to_owned(), Value::Object(all.collect()))
            })
            .collect();
        let mut whole = json!({
            "accounts": tidy(accounts, "userName"),
            "groups": tidy(groups, "displayName"),
            "objects": objects,
        });
        let learned = learned(&mut whole);
        EndState { whole, learned }
    }

    /// Whether two runs came to the same, but for what was learned.
    pub fn is_like(&self, other: &EndState) -> bool {
        self.whole == other.whole
    }

    /// Where two differ, a line each, no more than a screen of them. Personal values are not shown.
    pub fn differences(&self, other: &EndState) -> Vec<String> {
        let mut found = Vec::new();
        differences("", &self.whole, &other.whole, &mut found);
        found.truncate(20);
        found
    }

    /// Where two differ in what was learned.
    pub fn lessons(&self, other: &EndState) -> Vec<String> {
        let mut found = Vec::new();
        differences("", &self.learned, &other.learned, &mut found);
        found
    }
}

/// Takes what was learned of the backend out of the status of the connection.
fn learned(whole: &mut Value) -> Value {
    let at = format!("/objects/{CONNECTION}/{SCIM}/status/capabilities");
    let Some(Value::Object(capabilities)) = whole.pointer_mut(&at) else {
        return Value::Null;
    };
    let taken = LEARNED.map(|name| (name.to_owned(), capabilities.remove(name)));
    let taken = taken.map(|(name, value)| (name, value.unwrap_or_default()));
    Value::Object(taken.into_iter().collect())
}

/// Where one status of a resource differs from the next, a line each, without personal values.
pub fn changes(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differences("", &before["status"], &after["status"], &mut found);
    found.truncate(20);
    found
}

/// What stands for an id.
fn names(accounts: &[Value], groups: &[Value]) -> BTreeMap<String, String> {
    let named = |all: &[Value], by: &str| -> Vec<(String, String)> {
        all.iter()
            .filter_map(|one| {
                let id = one["id"].as_str()?.to_owned();
                Some((id, format!("id of {}", one[by].as_str().unwrap_or("?"))))
            })
            .collect()
    };
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    names.extend(named(accounts, "userName"));
    names.extend(named(groups, "displayName"));
    names
}

fn remote(resource: &Value, names: &BTreeMap<String, String>) -> Value {
    let mut resource = replaced(resource, names);
    if let Value::Object(fields) = &mut resource {
        fields.remove("meta");
    }
    resource
}

/// With names for ids, members in order, and no addresses.
fn replaced(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(names.get(text).unwrap_or(text).clone()),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| replaced(item, names)).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| *name != "$ref");
            let kept = kept.map(|(name, value)| (name.clone(), replaced(value, names)));
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

fn local(object: &DynamicObject, names: &BTreeMap<String, String>) -> Value {
    json!({
        "going": object.metadata.deletion_timestamp.is_some(),
        "finalizers": object.finalizers(),
        "status": status(&object.data["status"], names),
    })
}

/// A status without what may differ; its conditions by type. `Synced=True` says what was done last, which
/// a crash may split in two or leave to be found done: that it is True is compared, the word for it is not.
pub fn status(status: &Value, names: &BTreeMap<String, String>) -> Value {
    let mut status = replaced(&without(status), names);
    if let Some(Value::Array(conditions)) = status.get("conditions") {
        let mut by_type = Map::new();
        for condition in conditions {
            let mut condition = condition.clone();
            if condition["type"] == "Synced" && condition["status"] == "True" {
                condition["reason"] = Value::Null;
                condition["message"] = Value::Null;
            }
            let kind = condition["type"].as_str().unwrap_or_default();
            by_type.insert(kind.to_owned(), condition);
        }
        status["conditions"] = Value::Object(by_type);
    }
    if let Some(Value::Array(spent)) = status.get("deprovisioned") {
        // Kept by the minute, which may be over in the middle of a run.
        let spent: u64 = spent.iter().filter_map(|s| s["count"].as_u64()).sum();
        status["deprovisioned"] = json!(spent);
    }
    status
}

fn without(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
            let kept = kept.map(|(name, value)| (name.clone(), without(value)));
            Value::Object(kept.collect())
        }
        Value::Array(items) => items.iter().map(without).collect(),
        other => other.clone(),
    }
}

fn differences(at: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (one, other) = (one.get(name), other.get(name));
                let at = format!("{at}/{name}");
                differences(
                    &at,
                    one.unwrap_or(&Value::Null),
                    other.unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{at}/{index}"), one, other, found);
            }
        }
        (one, other) if one != other => {
            found.push(format!("{at}: {} instead of {}", shown(other), shown(one)));
        }
        _ => {}
    }
}

/// A value as it may be printed.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Array(items) => format!("{} items", items.len()),
        other => other.to_string(),
    };
    if text.contains(CANARY) {
        return "a personal value".to_owned();
    }
    text.chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(account: Value) -> EndState {
        EndState::new(&[account], &[], &BTreeMap::new())
    }

    #[test]
    fn ids_and_times_are_no_difference_and_values_are() {
        let account = |id: &str, when: &str, title: &str| {
            let meta = json!({"lastModified": when});
            state(json!({"id": id, "userName": "canary-ada", "meta": meta, "title": title}))
        };
        let one = account("17", "today", "Countess");
        assert!(one.is_like(&account("18", "tomorrow", "Countess")));
        let other = account("17", "today", "Engineer");
        assert_eq!(
            one.differences(&other),
            [r#"/accounts/0/title: "Engineer" instead of "Countess""#]
        );
        let nobody = EndState::new(&[], &[], &BTreeMap::new());
        assert_eq!(
            one.differences(&nobody),
            ["/accounts: 0 items instead of 1 items"]
        );
    }

    #[test]
    fn a_personal_value_is_never_printed() {
        let account = |name: &str| state(json!({"id": "1", "userName": name}));
        let found = account("canary-ada").differences(&account("canary-bob"));
        assert!(!found.is_empty() && found.iter().all(|line| !line.contains(CANARY)));
    }

    #[test]
    fn the_word_for_what_was_done_is_no_difference_and_a_condition_is() {
        let with = |reason: &str, ready: &str| {
            let names = BTreeMap::new();
            let conditions = json!([
                {"type": "Synced", "status": "True", "reason": reason, "message": reason},
                {"type": "Ready", "status": ready, "reason": "Synced", "lastTransitionTime": reason}
            ]);
            status(&json!({"conditions": conditions}), &names)
        };
        assert_eq!(with("Created", "True"), with("UpToDate", "True"));
        assert_ne!(with("Created", "True"), with("Created", "False"));
    }
}
