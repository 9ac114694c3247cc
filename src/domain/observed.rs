//! What a backend was seen to have of one account: the part of its resource that a profile speaks of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identity::Sighted;
use super::profile::Profile;
use super::sighting::Sighting;
use crate::scim::path::AttributePath;
use crate::scim::types;

/// One account as last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// The elements among them with a sub-attribute that the profile does not speak of, such as
    /// `addresses[type eq "work"].formatted`: removing one whole would take what is not ours.
    pub extra: BTreeSet<String>,
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
        // `type` says which element it is, and `primary` alone says nothing.
        let mut known: BTreeMap<String, (AttributePath, Vec<&str>)> = BTreeMap::new();
        for (name, attribute) in profile.iter() {
            if let Some(value) = attribute.path.read(resource) {
                seen.attributes.insert(name.to_owned(), value.clone());
            }
            let container = attribute.path.container();
            if container.selector.is_some() && container.element_exists(resource) {
                let (_, subs) = known
                    .entry(container.to_string())
                    .or_insert_with(|| (container, vec!["type", "primary"]));
                subs.extend(attribute.path.sub.as_deref());
            }
        }
        for (key, (container, subs)) in known {
            if container.holds_more_than(&subs, resource) {
                seen.extra.insert(key.clone());
            }
            seen.elements.insert(key);
        }
        if let Some(active) = seen.active {
            seen.attributes.insert("active".into(), Value::Bool(active));
        }
        Some(seen)
    }

    /// An account that was made of this body, and not shown: what was sent, the mark only where marks
    /// come back. Until the next listing tells.
    pub fn assumed(
        sent: &Value,
        id: &str,
        version: Option<String>,
        echoes_marks: bool,
        profile: &Profile,
    ) -> Option<Self> {
        let mut resource = sent.clone();
        let members = resource.as_object_mut()?;
        members.insert("id".into(), id.into());
        if !echoes_marks {
            members.remove("externalId");
        }
        let mut assumed = Self::read(&resource, profile)?;
        assumed.version = version;
        Some(assumed)
    }
}

impl Sighted for Observed {
    fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }

    fn name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }
}

impl Sighting for Observed {
    fn id(&self) -> &str {
        &self.id
    }

    fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().map(String::as_str)
    }

    /// Versions do not count, nor does what the profile does not speak of: it only words a later
    /// removal, and is no reason to look at a person again.
    fn same_state(&self, other: &Self) -> bool {
        let Self {
            id,
            external_id,
            user_name,
            active,
            version: _,
            attributes,
            elements,
            extra: _,
        } = self;
        *id == other.id
            && *external_id == other.external_id
            && *user_name == other.user_name
            && *active == other.active
            && *attributes == other.attributes
            && *elements == other.elements
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
