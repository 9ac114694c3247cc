//! What a backend was seen to have of one account: the part of its resource that a profile speaks of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::profile::Profile;
use crate::scim::types;

/// One account as last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The backend's id.
    pub id: String,
    /// The mark on it, if it is returned.
    pub external_id: Option<String>,
    /// The name the person signs in with.
    pub user_name: Option<String>,
    /// Whether it is active, if it is returned.
    pub active: Option<bool>,
    /// The version for `If-Match`, if it is returned.
    pub version: Option<String>,
    /// The value at each path of the profile that has one, by attribute name.
    pub attributes: BTreeMap<String, Value>,
    /// Elements that exist (`emails[type eq "work"]`), since an absent one cannot be patched into.
    pub elements: BTreeSet<String>,
}

impl Observed {
    /// Reads a SCIM User as far as `profile` speaks of it; `None` without an id.
    pub fn read(resource: &Value, profile: &Profile) -> Option<Self> {
        let mut seen = Self {
            id: types::id_of(resource)?,
            external_id: types::external_id_of(resource).map(str::to_owned),
            user_name: types::user_name_of(resource).map(str::to_owned),
            active: types::active_of(resource),
            version: types::version_of(resource).map(str::to_owned),
            ..Self::default()
        };
        for (name, attribute) in profile.iter() {
            if let Some(value) = attribute.path.read(resource) {
                seen.attributes.insert(name.to_owned(), value.clone());
            }
            let container = attribute.path.container();
            if container.selector.is_some() && container.element_exists(resource) {
                seen.elements.insert(container.to_string());
            }
        }
        if let Some(active) = seen.active {
            seen.attributes.insert("active".into(), Value::Bool(active));
        }
        Some(seen)
    }

    /// Whether two sightings tell the same story; versions do not count.
    pub fn same_state(&self, other: &Self) -> bool {
        let Self {
            id,
            external_id,
            user_name,
            active,
            version: _,
            attributes,
            elements,
        } = self;
        *id == other.id
            && *external_id == other.external_id
            && *user_name == other.user_name
            && *active == other.active
            && *attributes == other.attributes
            && *elements == other.elements
    }
}
