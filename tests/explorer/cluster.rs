//! The objects of a cluster in memory, as an API server keeps them: versions, generations, finalizers,
//! and everything that ever changed, in order. How they are asked for is in `api`.

use std::collections::BTreeMap;
use std::sync::Arc;

use scim_operator::api::FINALIZER;
use serde_json::{Map, Value, json};

use super::rig::setting;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The plural of its kind.
    pub plural: String,
    /// Its namespace; empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Place {
    pub fn new(plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            plural: plural.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// One change, as a watch tells it.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub place: Place,
    pub what: &'static str,
    pub object: Arc<Value>,
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound,
    Conflict,
}

/// Whether the admission policy of the chart sets the finalizer of the object of this number: of every other
/// one, as if it came and went, or with `EXPLORER_POLICY` 0 of none, 1 of all.
fn is_in_force(number: u64) -> bool {
    match setting("EXPLORER_POLICY") {
        Some(always) => always == 1,
        None => number.is_multiple_of(2),
    }
}

/// Everything in a cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    objects: BTreeMap<Place, Arc<Value>>,
    log: Vec<Change>,
    version: u64,
    uids: u64,
}

impl Cluster {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, place: &Place) -> Option<Arc<Value>> {
        self.objects.get(place).cloned()
    }

    /// All objects of a kind.
    pub fn all(&self, plural: &str) -> Vec<Arc<Value>> {
        let found = self.objects.iter();
        let found = found.filter(|(place, _)| place.plural == plural);
        found.map(|(_, object)| object.clone()).collect()
    }

    /// All objects of a kind as they were at a version.
    pub fn all_at(&self, plural: &str, version: u64) -> Vec<Arc<Value>> {
        let mut objects = BTreeMap::new();
        let changes = self.log.iter().filter(|c| c.version <= version);
        for change in changes.filter(|c| c.place.plural == plural) {
            if change.what == "DELETED" {
                objects.remove(&change.place);
            } else {
                objects.insert(change.place.clone(), change.object.clone());
            }
        }
        objects.into_values().collect()
    }

    /// The first change of a kind after a version.
    pub fn next(&self, plural: &str, after: u64) -> Option<Change> {
        let from = self.log.partition_point(|c| c.version <= after);
        let mut later = self.log[from..].iter();
        later.find(|c| c.place.plural == plural).cloned()
    }

    /// How often an object of that name was declared.
    pub fn lives(&self, place: &Place) -> usize {
        let added = self.log.iter().filter(|c| c.what == "ADDED");
        added.filter(|c| c.place == *place).count()
    }

    /// The spec that an object, by its uid, had in one of its generations.
    pub fn spec_of(&self, uid: &Value, generation: &Value) -> Option<Value> {
        let of = |c: &&Change| {
            c.object["metadata"]["uid"] == *uid && c.object["metadata"]["generation"] == *generation
        };
        let change = self.log.iter().find(of)?;
        Some(change.object["spec"].clone())
    }

    /// Declares an object, as `kubectl create` does.
    pub fn create(&mut self, place: Place, mut object: Value) {
        assert!(!self.objects.contains_key(&place), "{place:?} is there");
        self.uids += 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(place.name);
        if !place.namespace.is_empty() {
            metadata["namespace"] = json!(place.namespace);
        }
        metadata["uid"] = json!(format!("uid-{}", self.uids));
        metadata["generation"] = json!(1);
        // The order of creation decides who claims a person: one a second.
        let (minute, second) = (self.uids / 60, self.uids % 60);
        metadata["creationTimestamp"] = json!(format!("2026-01-01T00:{minute:02}:{second:02}Z"));
        let governed = matches!(&*place.plural, "scimusers" | "scimgroups");
        if governed && is_in_force(self.uids) {
            metadata["finalizers"] = json!([FINALIZER]);
        }
        self.put(place, object, "ADDED");
    }

    /// Edits an object, as `kubectl edit` does; false when it is not there.
    pub fn edit(&mut self, place: &Place, edit: impl FnOnce(&mut Value)) -> bool {
        let Some(old) = self.get(place) else {
            return false;
        };
        let mut new = (*old).clone();
        edit(&mut new);
        self.replace(place, &old, new);
        true
    }

    /// Deletes an object, as `kubectl delete` does: at once, or when its finalizers are gone.
    pub fn delete(&mut self, place: &Place) -> bool {
        let Some(old) = self.get(place) else {
            return false;
        };
        if old["metadata"]["deletionTimestamp"].is_string() {
            return true;
        }
        let mut new = (*old).clone();
        new["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
        let generation = new["metadata"]["generation"].as_u64().unwrap() + 1;
        new["metadata"]["generation"] = json!(generation);
        self.replace(place, &old, new);
        true
    }

    /// A JSON merge patch (RFC 7396) of an object or of its status, with the conditions it names.
    pub fn patch(
        &mut self,
        place: &Place,
        status: bool,
        patch: &Value,
    ) -> Result<Arc<Value>, Refusal> {
        let old = self.get(place).ok_or(Refusal::NotFound)?;
        for name in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][name];
            if !wanted.is_null() && *wanted != old["metadata"][name] {
                return Err(Refusal::Conflict);
            }
        }
        let mut merged = (*old).clone();
        merge(&mut merged, patch);
        let mut new = (*old).clone();
        if status {
            new["status"] = merged["status"].take();
        } else {
            let old_status = new["status"].take();
            new = merged;
            new["status"] = old_status;
        }
        if new["status"].is_null() {
            new.as_object_mut().unwrap().remove("status");
        }
        self.replace(place, &old, new);
        Ok(self.get(place).unwrap_or(old))
    }

    fn replace(&mut self, place: &Place, old: &Arc<Value>, mut new: Value) {
        for name in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
            if name != "generation" || new["metadata"]["deletionTimestamp"].is_null() {
                new["metadata"][name] = old["metadata"][name].clone();
            }
        }
        // What changes nothing is no change: nobody is told.
        if new == **old {
            return;
        }
        if new["spec"] != old["spec"] {
            let generation = new["metadata"]["generation"].as_u64().unwrap() + 1;
            new["metadata"]["generation"] = json!(generation);
        }
        let held = new["metadata"]["finalizers"].as_array();
        let free = held.is_none_or(Vec::is_empty);
        if free && new["metadata"]["deletionTimestamp"].is_string() {
            self.objects.remove(place);
            self.record(place.clone(), new, "DELETED");
        } else {
            self.put(place.clone(), new, "MODIFIED");
        }
    }

    fn put(&mut self, place: Place, object: Value, what: &'static str) {
        let object = self.record(place.clone(), object, what);
        self.objects.insert(place, object);
    }

    fn record(&mut self, place: Place, mut object: Value, what: &'static str) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.log.push(Change {
            version: self.version,
            place,
            what,
            object: object.clone(),
        });
        object
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
