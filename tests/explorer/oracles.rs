//! What must hold whatever went wrong: noted on the way, and looked at in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Method;
use scim_operator::api::{ScimConnection, ScimGroup, ScimUser};
use serde_json::{Value, json};

use super::cluster::{Place, Refusal};
use super::world::World;

/// What every mark of ours begins with.
const MARK: &str = "scim-operator:";

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// What is noted on the way.
#[derive(Debug, Default)]
pub struct Notes {
    /// Requests to the backend that change something.
    pub remote_writes: u64,
    /// Writes to the API server, but for what a connection writes of each listing.
    pub writes: Vec<String>,
    /// Accounts that were archived or deleted, as often as they were.
    pub deprovisioned: u32,
    /// Accounts and groups that somebody else has changed, and the operator not since.
    pub edited: BTreeSet<String>,
    /// So many may be, by the guard and by approval.
    pub allowed: u32,
    /// What must not have happened.
    pub wrong: BTreeSet<String>,
}

impl Notes {
    /// A Kubernetes Event was published.
    pub fn event(&mut self, event: &Value) {
        self.writes.push(format!("event {}", event["reason"]));
    }

    /// A request reached the backend, which had `before`.
    pub fn asked(&mut self, world: &World, method: &Method, before: (Vec<Value>, Vec<Value>)) {
        if method == Method::GET {
            return;
        }
        self.remote_writes += 1;
        let now = world.remote();
        for (before, now) in [(&before.0, &now.0), (&before.1, &now.1)] {
            let now: BTreeMap<_, _> = now.iter().map(|r| (r["id"].as_str().unwrap(), r)).collect();
            let changed = before.iter().filter(|old| {
                now.get(old["id"].as_str().unwrap())
                    .is_none_or(|new| new != old)
            });
            for old in changed {
                let id = old["id"].as_str().unwrap();
                self.edited.remove(id);
                if !is_ours(old) {
                    self.wrong
                        .insert(format!("touched what is not ours: {old}"));
                }
                let active = |r: &Value| r["active"] == json!(true);
                if active(old) && now.get(id).is_none_or(|new| !active(new)) {
                    self.deprovisioned += 1;
                }
            }
        }
        for all in [&now.0, &now.1] {
            for (mark, count) in marks(all) {
                if count > 1 {
                    self.wrong.insert(format!("{count} of {mark}"));
                }
            }
        }
    }

    /// The API server took a patch, of what was `before`.
    pub fn patched(
        &mut self,
        world: &World,
        place: &Place,
        before: Option<Arc<Value>>,
        patched: &Result<Arc<Value>, Refusal>,
    ) {
        let (Some(before), Ok(now)) = (before, patched) else {
            return;
        };
        // A connection tells of every listing; nobody else says a thing twice.
        if place.plural != "scimconnections" || unheartbeaten(&before) != unheartbeaten(now) {
            self.writes.push(format!("{} {}", place.plural, place.name));
        }
        if place.plural == "scimusers"
            && before.get("status") != now.get("status")
            && condition(now, "Ready")["status"] == json!("True")
            && let Err(why) = self.confirmed(world, now)
        {
            self.wrong
                .insert(format!("{} is Ready though {why}", place.name));
        }
    }

    /// Whether the backend has what a user's status calls ready.
    fn confirmed(&self, world: &World, user: &Value) -> Result<(), String> {
        let status = &user["status"];
        let id = status["id"].as_str().ok_or("it has no id")?;
        if self.edited.contains(id) {
            return Ok(());
        }
        let uid = &user["metadata"]["uid"];
        let spec = world.cluster(|cluster| cluster.spec_of(uid, &status["observedGeneration"]));
        let account = world.sim.user(id).ok_or("there is no account")?;
        equals(
            world,
            &account,
            user,
            &spec.ok_or("there is no such generation")?,
        )
    }
}

/// An object without what changes at every listing, and its versions.
fn unheartbeaten(object: &Value) -> Value {
    let mut object = object.clone();
    object["status"]["lastFullSync"] = Value::Null;
    object["metadata"]["resourceVersion"] = Value::Null;
    object
}

fn is_ours(resource: &Value) -> bool {
    let mark = resource["externalId"].as_str();
    mark.is_some_and(|mark| mark.starts_with(MARK))
}

/// Every mark of ours, and how many have it.
fn marks(resources: &[Value]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for resource in resources.iter().filter(|resource| is_ours(resource)) {
        *counts
            .entry(resource["externalId"].as_str().unwrap())
            .or_default() += 1;
    }
    counts
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|c| c["type"] == json!(kind)));
    found.unwrap_or(&Value::Null)
}

/// Whether an account is what a spec says.
fn equals(world: &World, account: &Value, user: &Value, spec: &Value) -> Result<(), String> {
    // What an account was given by a resource that is gone is nobody's to clear: what that had set is
    // known to nobody.
    let place = Place::new(
        "scimusers",
        "team",
        user["metadata"]["name"].as_str().unwrap(),
    );
    let heir = world.cluster(|cluster| cluster.lives(&place)) > 1;
    let work = |emails: &Value| emails.as_array().map(|all| all[0]["value"].clone());
    let active = spec.get("active").cloned().unwrap_or(json!(true));
    for (what, seen, wanted) in [
        ("userName", account.get("userName"), spec.get("userName")),
        ("active", account.get("active"), Some(&active)),
        ("office", account.get("office"), spec.get("office")),
        ("grade", account.get("grade"), spec.get("grade")),
        ("name", account.get("name"), spec.get("name")),
        (
            "emails",
            work(&account["emails"]).as_ref(),
            work(&spec["emails"]).as_ref(),
        ),
    ] {
        if seen != wanted && !(wanted.is_none() && heir) {
            return Err(format!("{what} is {seen:?}, not {wanted:?}"));
        }
    }
    Ok(())
}

/// What is wrong in the end: every resource stands for one account, or group, that is what its spec
/// says; nothing else of ours is active; every resource is ready.
pub fn in_the_end(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let (users, groups) = world.remote();
    let mut marks_declared = BTreeSet::new();
    let mut ids = BTreeMap::new();
    for user in world.cluster(|cluster| cluster.all("scimusers")) {
        if let Err(error) = serde_json::from_value::<ScimUser>((*user).clone()) {
            wrong.push(format!("a user cannot be read: {error}"));
        }
        let name = user["metadata"]["name"].as_str().unwrap();
        let found = marked(&users, name, &mut marks_declared);
        match found.as_slice() {
            [account] => {
                ids.insert(name.to_owned(), account["id"].clone());
                if let Err(why) = equals(world, account, &user, &user["spec"]) {
                    wrong.push(format!("{name}: {why}"));
                }
                if account["id"] != user["status"]["id"] {
                    wrong.push(format!("{name}: another id is recorded"));
                }
            }
            many => wrong.push(format!("{name} has {} accounts", many.len())),
        }
        let chief = user.pointer("/spec/enterprise/manager/userRef/name");
        let (chief, waits) = match chief.and_then(Value::as_str) {
            Some(chief) => {
                let mark = json!(format!("{MARK}team/hr:team/{chief}"));
                let place = Place::new("scimusers", "team", chief);
                let there = world.cluster(|cluster| cluster.get(&place)).is_some();
                let found = users.iter().find(|user| user["externalId"] == mark);
                (found.filter(|_| there).map(|user| &user["id"]), !there)
            }
            None => (None, false),
        };
        if let (Some(chief), [account]) = (chief, found.as_slice())
            && account[ENTERPRISE]["manager"]["value"] != *chief
        {
            wrong.push(format!("{name} has another manager"));
        }
        // While the manager is nobody, that is told.
        wrong.extend(unready(&user).filter(|_| !waits));
    }
    for group in world.cluster(|cluster| cluster.all("scimgroups")) {
        if let Err(error) = serde_json::from_value::<ScimGroup>((*group).clone()) {
            wrong.push(format!("a group cannot be read: {error}"));
        }
        let name = group["metadata"]["name"].as_str().unwrap();
        let found = marked(&groups, name, &mut marks_declared);
        let [remote] = found.as_slice() else {
            wrong.push(format!("group {name} exists {} times", found.len()));
            continue;
        };
        if remote["displayName"] != group["spec"]["displayName"] {
            wrong.push(format!("group {name} has another name"));
        }
        let declared = group["spec"]["members"].as_array().into_iter().flatten();
        let found = declared.map(|member| ids.get(member["userRef"]["name"].as_str().unwrap()));
        let found: Vec<Option<String>> = found.map(|id| id.map(Value::to_string)).collect();
        // While one is named whom nobody declares, nobody is removed, and that is told.
        let whole = found.iter().all(Option::is_some);
        let declared: BTreeSet<String> = found.into_iter().flatten().collect();
        let there = remote["members"].as_array().into_iter().flatten();
        let there: Vec<String> = there.map(|member| member["value"].to_string()).collect();
        let once: BTreeSet<String> = there.iter().cloned().collect();
        let short = !once.is_superset(&declared) || (whole && once != declared);
        if short || there.len() != once.len() {
            wrong.push(format!("group {name} has {there:?}, not {declared:?}"));
        }
        wrong.extend(unready(&group).filter(|_| whole));
    }
    for connection in world.cluster(|cluster| cluster.all("scimconnections")) {
        if let Err(error) = serde_json::from_value::<ScimConnection>((*connection).clone()) {
            wrong.push(format!("a connection cannot be read: {error}"));
        }
        wrong.extend(unready(&connection));
    }
    let stray =
        |r: &&Value| is_ours(r) && !marks_declared.contains(r["externalId"].as_str().unwrap());
    for account in users.iter().filter(stray) {
        if account["active"] != json!(false) {
            wrong.push(format!("a leaver is in: {}", account["externalId"]));
        }
    }
    for group in groups.iter().filter(stray) {
        wrong.push(format!(
            "a group outlived its resource: {}",
            group["externalId"]
        ));
    }
    wrong
}

fn marked<'a>(all: &'a [Value], name: &str, declared: &mut BTreeSet<String>) -> Vec<&'a Value> {
    let mark = format!("{MARK}team/hr:team/{name}");
    let found = all.iter().filter(|r| r["externalId"] == json!(mark));
    let found = found.collect();
    declared.insert(mark);
    found
}

fn unready(object: &Value) -> Option<String> {
    let name = &object["metadata"]["name"];
    let ready = condition(object, "Ready");
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Some(format!("{name} is still there: {ready}"));
    }
    if ready["status"] != json!("True") {
        return Some(format!("{name} is not ready: {ready}"));
    }
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        return Some(format!("{name} speaks of an old generation"));
    }
    None
}

/// What a run ends with, without what differs from run to run: ids, versions, times, and by what way
/// somebody came into step.
pub fn image(world: &World) -> Value {
    let (users, groups) = world.remote();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for resource in users.iter().chain(&groups) {
        let name = resource["externalId"]
            .as_str()
            .or(resource["userName"].as_str());
        names.insert(
            resource["id"].as_str().unwrap().into(),
            name.or(resource["displayName"].as_str()).unwrap().into(),
        );
    }
    let plain = |value: &Value| {
        let mut value = value.clone();
        strip(&mut value, &names);
        value
    };
    let mut remote: Vec<Value> = users.iter().chain(&groups).map(plain).collect();
    remote.sort_by_key(Value::to_string);
    let declared: Vec<Value> = ["scimusers", "scimgroups"]
        .iter()
        .flat_map(|plural| world.cluster(|cluster| cluster.all(plural)))
        .map(|object| plain(&object))
        .collect();
    json!({"remote": remote, "declared": declared})
}

fn strip(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(object) => {
            for name in [
                "meta",
                "resourceVersion",
                "uid",
                "lastTransitionTime",
                "creationTimestamp",
                "$ref",
                "lastHandledReconcileAt",
            ] {
                object.remove(name);
            }
            if object.get("type") == Some(&json!("Synced")) {
                object.remove("reason");
                object.remove("message");
            }
            object.values_mut().for_each(|inner| strip(inner, names));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|inner| strip(inner, names));
            if items.iter().all(|item| item.get("value").is_some()) {
                items.sort_by_key(Value::to_string);
            }
        }
        Value::String(text) => {
            if let Some(name) = names.get(text) {
                *text = name.clone();
            }
        }
        _ => {}
    }
}
