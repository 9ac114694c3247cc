//! What people do while things go wrong: steps, each done at once, and how long it is quiet after each.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::cluster::Place;
use super::life::{Script, settle};
use super::world::World;

const TEAM: &str = "team";
const API: &str = "scim-operator.io/v1alpha1";
const ENDPOINT: &str = "http://backend.example/scim/v2/";

/// Longer than two listings, so that whatever a listing puts right is put right.
const HEALING: Duration = Duration::from_secs(5 * 60);

/// One thing that somebody does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Declares a user.
    User(&'static str, Value),
    /// Merges into a user's spec.
    EditUser(&'static str, Value),
    /// Deletes a user.
    DropUser(&'static str),
    /// Declares a user that has our finalizer already, and deletes it.
    Leaver(&'static str),
    /// Declares a group of these members.
    Group(&'static str, Vec<&'static str>),
    /// Gives a group other members.
    Members(&'static str, Vec<&'static str>),
    /// Merges into a group's spec.
    EditGroup(&'static str, Value),
    /// Deletes a group.
    DropGroup(&'static str),
    /// Gives the connection another token, here and there.
    Rotate(&'static str),
    /// Somebody changes an account at the backend.
    Drift(&'static str, Value),
    /// Somebody deletes an account at the backend.
    Vanish(&'static str),
    /// Somebody puts a stranger into a group at the backend.
    Intrude(&'static str),
    /// Approves what the guard holds.
    Approve,
    /// Nothing but time passes.
    Nothing,
}

/// A script of steps, that is played from where it was left.
pub struct Story {
    pub steps: Vec<(Step, Duration)>,
    /// The guard's minimum; there is no percentage.
    pub guard: u32,
    next: usize,
    stage: Stage,
}

#[derive(PartialEq)]
enum Stage {
    Acts,
    Heals,
    Rests,
    Done,
}

impl Story {
    pub fn new(steps: Vec<(Step, Duration)>, guard: u32) -> Self {
        Self {
            steps,
            guard,
            next: 0,
            stage: Stage::Acts,
        }
    }
}

/// Whom nobody declares.
pub const FOREIGN: &str = "stranger@example.com";

impl Script for Story {
    async fn play(&mut self, world: &Arc<World>) {
        if self.stage == Stage::Acts {
            match self.next.checked_sub(1) {
                None => begin(world, self.guard),
                // Killed while this one was under way.
                Some(last) => wait(world, self.steps[last].1).await,
            }
            while self.next < self.steps.len() {
                let (step, quiet) = self.steps[self.next].clone();
                make_room(world, &step).await;
                act(world, &step);
                self.next += 1;
                wait(world, quiet).await;
            }
            self.stage = Stage::Heals;
        }
        if self.stage == Stage::Heals {
            world.fate().calm = true;
            sleep(HEALING).await;
            self.stage = Stage::Rests;
            let mut fate = world.fate();
            fate.rested = fate.trace.len();
            drop(fate);
            let mut notes = world.notes();
            (notes.remote_writes, notes.writes) = (0, Vec::new());
        }
        if self.stage == Stage::Rests {
            sleep(HEALING).await;
            self.stage = Stage::Done;
            let mut notes = world.notes();
            if notes.remote_writes > 0 || !notes.writes.is_empty() {
                let why = format!(
                    "written in rest: {} to the backend, {:?}",
                    notes.remote_writes, notes.writes
                );
                notes.wrong.insert(why);
            }
        }
    }
}

/// Who declares something anew tries until the old one is gone.
async fn make_room(world: &World, step: &Step) {
    let place = match step {
        Step::User(name, _) => Place::new("scimusers", TEAM, name),
        Step::Group(name, _) => Place::new("scimgroups", TEAM, name),
        _ => return,
    };
    let mut changes = world.changes();
    let going = || {
        let there = world.cluster(|cluster| cluster.get(&place));
        there.is_some_and(|there| there["metadata"]["deletionTimestamp"].is_string())
    };
    let gone = async {
        while going() {
            let _ = changes.changed().await;
        }
    };
    // One that is suspended goes only when it is not any more.
    let _ = tokio::time::timeout(Duration::from_secs(120), gone).await;
}

async fn wait(world: &World, quiet: Duration) {
    if quiet < Duration::from_secs(5) {
        sleep(quiet).await;
    } else {
        settle(world, quiet, Duration::from_secs(1200)).await;
    }
}

fn begin(world: &World, guard: u32) {
    let one_at_a_time = world.sim.dialect().get().bulk.is_some();
    let in_flight = if one_at_a_time { 1 } else { 8 };
    world.notes().allowed = guard;
    let stranger = json!({
        "userName": FOREIGN, "active": true, "externalId": "hr-1", "office": "Leeds",
        "emails": [{"type": "work", "value": FOREIGN, "primary": true}],
    });
    let id = world.sim.insert_user(stranger);
    world
        .sim
        .insert_group(json!({"displayName": "Theirs", "members": [{"value": id}]}));
    world.cluster(|cluster| {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace"});
        cluster.create(Place::new("namespaces", "", TEAM), namespace);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": base64("scim-sim-token")}});
        cluster.create(Place::new("secrets", TEAM, "hr"), secret);
        let connection = json!({"apiVersion": API, "kind": "ScimConnection", "spec": {
            "endpoint": ENDPOINT, "insecure": true, "tokenSecretRef": {"name": "hr"},
            "limits": {"requestsPerSecond": 1000, "maxInFlight": in_flight}, "sync": {"interval": "2m"},
            "deprovisionGuard": {"maxPercent": 0, "minimum": guard},
        }});
        cluster.create(Place::new("scimconnections", TEAM, "hr"), connection);
    });
}

fn act(world: &World, step: &Step) {
    let user = |name: &str| Place::new("scimusers", TEAM, name);
    let group = |name: &str| Place::new("scimgroups", TEAM, name);
    let account = |name: &str| {
        // Whom nobody declares any more is nobody's to put right.
        let declared = world.cluster(|cluster| cluster.get(&user(name)))?;
        if declared["metadata"]["deletionTimestamp"].is_string() {
            return None;
        }
        let mark = json!(format!("scim-operator:team/hr:team/{name}"));
        let users = world.sim.users();
        let found = users.into_iter().find(|user| user["externalId"] == mark);
        found.map(|user| user["id"].as_str().unwrap().to_owned())
    };
    match step {
        Step::User(name, extra) => {
            let mut spec = person(name);
            merge(&mut spec, extra);
            declare(world, user(name), "ScimUser", spec);
        }
        Step::Leaver(name) => {
            declare(world, user(name), "ScimUser", person(name));
            world.cluster(|cluster| {
                let finalizers = json!([scim_operator::api::FINALIZER]);
                cluster.edit(&user(name), |user| {
                    user["metadata"]["finalizers"] = finalizers
                });
                cluster.delete(&user(name))
            });
        }
        Step::Group(name, members) => {
            let spec = json!({"connectionRef": {"name": "hr"}, "displayName": name, "members": entries(members)});
            declare(world, group(name), "ScimGroup", spec);
        }
        Step::EditUser(name, change) => edit(world, &user(name), change),
        Step::EditGroup(name, change) => edit(world, &group(name), change),
        Step::Members(name, members) => {
            edit(world, &group(name), &json!({"members": entries(members)}));
        }
        Step::DropUser(name) => drop(world.cluster(|cluster| cluster.delete(&user(name)))),
        Step::DropGroup(name) => drop(world.cluster(|cluster| cluster.delete(&group(name)))),
        Step::Rotate(token) => {
            world.sim.set_token(*token);
            world.cluster(|cluster| {
                cluster.edit(&Place::new("secrets", TEAM, "hr"), |secret| {
                    secret["data"]["token"] = json!(base64(token));
                })
            });
        }
        Step::Drift(name, change) => {
            if let Some(id) = account(name) {
                world.notes().edited.insert(id.clone());
                world.sim.edit_user(&id, |user| merge(user, change));
            }
        }
        Step::Vanish(name) => {
            if let Some(id) = account(name) {
                world.notes().edited.insert(id.clone());
                world.sim.remove_user(&id);
            }
        }
        Step::Intrude(name) => {
            let groups = world.sim.groups();
            let found = groups
                .iter()
                .find(|group| group["displayName"] == json!(name));
            if let Some(id) = found.and_then(|group| group["id"].as_str()) {
                let stranger = world.sim.user_by_name(FOREIGN).unwrap()["id"].clone();
                world.sim.edit_group(id, |group| {
                    let mut members = group["members"].as_array().cloned().unwrap_or_default();
                    if members.iter().all(|member| member["value"] != stranger) {
                        members.push(json!({"value": stranger}));
                    }
                    group["members"] = json!(members);
                });
            }
        }
        Step::Approve => world.cluster(|cluster| {
            let place = Place::new("scimconnections", TEAM, "hr");
            let plan = cluster.get(&place).unwrap()["status"]["heldPlan"].clone();
            if let (Some(hash), Some(count)) = (plan["hash"].as_str(), plan["count"].as_u64()) {
                world.notes().allowed += u32::try_from(count).unwrap();
                cluster.edit(&place, |connection| {
                    let annotations = &mut connection["metadata"]["annotations"];
                    annotations["scim-operator.io/approve-plan"] = json!(hash);
                });
            }
        }),
        Step::Nothing => {}
    }
}

fn declare(world: &World, place: Place, kind: &str, spec: Value) {
    world.cluster(|cluster| {
        if cluster.get(&place).is_none() {
            cluster.create(
                place,
                json!({"apiVersion": API, "kind": kind, "spec": spec}),
            );
        }
    });
}

fn edit(world: &World, place: &Place, change: &Value) {
    world.cluster(|cluster| cluster.edit(place, |object| merge(&mut object["spec"], change)));
}

fn entries(names: &[&str]) -> Value {
    let entry = |name: &&str| json!({"userRef": {"name": name}});
    names.iter().map(entry).collect()
}

fn person(name: &str) -> Value {
    let mail = format!("{name}@example.com");
    json!({
        "connectionRef": {"name": "hr"}, "userName": mail,
        "name": {"givenName": name, "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": mail}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en-GB",
    })
}

fn merge(target: &mut Value, change: &Value) {
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            target[name] = value.clone();
        }
    }
}

/// RFC 4648, as the data of a Secret is written.
fn base64(text: &str) -> Value {
    let bytes = k8s_openapi::ByteString(text.as_bytes().to_vec());
    serde_json::to_value(bytes).unwrap()
}
