//! The resources in memory, in the order of their creation.
//!
//! The store keeps documents and indexes; it knows no rule of SCIM.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::schema::Resource;

/// Everything the server knows.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) users: Collection,
    pub(crate) groups: Collection,
    ids_issued: u64,
}

/// A stored resource: the whole document, with `id`, `schemas` and `meta`.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) body: Map<String, Value>,
    /// Counts the changes, for `meta.version`.
    pub(crate) version: u64,
}

impl Row {
    pub(crate) fn id(&self) -> &str {
        self.text("id")
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.body
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Whether a user is active; CybSafe archives whoever is not.
    pub(crate) fn is_active(&self) -> bool {
        self.body.get("active") == Some(&Value::Bool(true))
    }
}

/// Resources of one type.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    rows: BTreeMap<u64, Row>,
    by_id: HashMap<String, u64>,
    by_user_name: HashMap<String, Vec<u64>>,
    inserted: u64,
}

impl Store {
    pub(crate) fn collection(&self, resource: Resource) -> &Collection {
        match resource {
            Resource::User => &self.users,
            Resource::Group => &self.groups,
        }
    }

    pub(crate) fn collection_mut(&mut self, resource: Resource) -> &mut Collection {
        match resource {
            Resource::User => &mut self.users,
            Resource::Group => &mut self.groups,
        }
    }

    /// A fresh id, shaped like a UUID; the same sequence in every simulator.
    pub(crate) fn issue_id(&mut self) -> String {
        self.ids_issued += 1;
        let high = scramble(self.ids_issued);
        let low = scramble(high);
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0xfff,
            low & 0xffff_ffff_ffff
        )
    }
}

impl Collection {
    pub(crate) fn get(&self, id: &str) -> Option<&Row> {
        self.rows.get(self.by_id.get(id)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The users of this name, compared without regard to case.
    pub(crate) fn named(&self, user_name: &str) -> impl Iterator<Item = &Row> {
        let places = self.by_user_name.get(&user_name.to_lowercase());
        places
            .into_iter()
            .flatten()
            .filter_map(|place| self.rows.get(place))
    }

    /// Adds a document that has an id; one with the same id is replaced in its place.
    pub(crate) fn put(&mut self, body: Map<String, Value>) {
        let mut row = Row { body, version: 1 };
        let place = match self.by_id.get(row.id()) {
            Some(place) => *place,
            None => {
                self.inserted += 1;
                self.by_id.insert(row.id().to_owned(), self.inserted);
                self.inserted
            }
        };
        let name = row.text("userName").to_lowercase();
        let old_name = self.rows.get(&place).map(|old| {
            row.version = old.version + 1;
            old.text("userName").to_lowercase()
        });
        if old_name.as_ref() != Some(&name) {
            if let Some(old_name) = old_name {
                self.forget_name(&old_name, place);
            }
            if !name.is_empty() {
                self.by_user_name.entry(name).or_default().push(place);
            }
        }
        self.rows.insert(place, row);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Row> {
        let place = self.by_id.remove(id)?;
        let row = self.rows.remove(&place)?;
        self.forget_name(&row.text("userName").to_lowercase(), place);
        Some(row)
    }

    fn forget_name(&mut self, name: &str, place: u64) {
        if let Some(places) = self.by_user_name.get_mut(name) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.by_user_name.remove(name);
            }
        }
    }
}

/// The finalizer of splitmix64: one-to-one, so ids never repeat.
fn scramble(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(id: &str, name: &str) -> Map<String, Value> {
        json!({"id": id, "userName": name})
            .as_object()
            .unwrap()
            .clone()
    }

    #[test]
    fn a_renamed_user_is_found_by_the_new_name_only_and_keeps_its_place() {
        let mut users = Collection::default();
        users.put(body("1", "Ada"));
        users.put(body("2", "Bob"));
        users.put(body("1", "Eve"));
        assert_eq!(users.named("ADA").count(), 0);
        assert_eq!(users.named("eve").count(), 1);
        assert_eq!(users.iter().map(Row::id).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(users.get("1").unwrap().version, 2);
        users.remove("1");
        assert_eq!((users.named("eve").count(), users.len()), (0, 1));
    }

    #[test]
    fn ids_do_not_repeat() {
        let mut store = Store::default();
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| store.issue_id()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
