//! What a backend was seen to have of one group.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::identity::Sighted;
use crate::domain::sighting::Sighting;
use crate::scim::types;

/// One group as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedGroup {
    /// The backend's id.
    pub id: String,
    /// The mark on it, if it is returned.
    pub external_id: Option<String>,
    /// Its name as shown to people.
    pub display_name: Option<String>,
    /// The version for `If-Match`, if it is returned.
    pub version: Option<String>,
    /// What changes with the group: its version, else when it was last modified.
    pub stamp: Option<String>,
    /// The ids of its members, nested groups left out; `None` where nobody looked.
    pub members: Option<BTreeSet<String>>,
}

impl ObservedGroup {
    /// Reads a SCIM Group (RFC 7643 §4.2); `None` without an id.
    ///
    /// With `with_members`, the reply is one that shows members where there are any, such as that
    /// to a GET: none shown is nobody (RFC 7643 §2.5). Without, members were not asked for
    /// (`excludedAttributes=members`): only a list that somebody is on tells anything.
    ///
    /// Members are read leniently: a number is an id, an entry without `value` is nobody. Nested
    /// groups are left out, since they are not declared by us: whoever is not in `members` cannot
    /// be taken for one too many and removed.
    pub fn read(resource: &Value, with_members: bool) -> Option<Self> {
        let version = types::version_of(resource);
        // A time in whole seconds proves nothing: an outsider's change may fall into the same second.
        let precise = |time: &&str| time.contains('.');
        let stamp = version.or_else(|| types::last_modified_of(resource).filter(precise));
        let entries = match types::member(resource, "members") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(entries)) => entries.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let users = entries.iter().filter(|entry| !is_group(entry));
        Some(Self {
            id: types::id_of(resource)?,
            external_id: types::external_id_of(resource).map(str::to_owned),
            display_name: types::display_name_of(resource).map(str::to_owned),
            version: version.map(str::to_owned),
            stamp: stamp.map(str::to_owned),
            members: (with_members || !entries.is_empty())
                .then(|| users.filter_map(id_of_member).collect()),
        })
    }

    /// Whether the members changed and the stamp did not, between this sighting and a later one.
    /// The stamps of such a backend prove nothing: it counts only changes of the group's own
    /// attributes, or its clock is too coarse. Sightings are to be kept without `stamp` from then
    /// on, which costs one GET a group and listing.
    pub fn stamp_missed_the_members(&self, later: &Self) -> bool {
        self.id == later.id
            && self.stamp.is_some()
            && self.stamp == later.stamp
            && self.members.is_some()
            && later.members.is_some()
            && self.members != later.members
    }
}

impl Sighted for ObservedGroup {
    fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }

    fn name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }
}

impl Sighting for ObservedGroup {
    fn id(&self) -> &str {
        &self.id
    }

    /// None: a group has no attributes that a backend may take without ever returning them, but
    /// for `externalId` and `members`, whose return is learned apart.
    fn attributes(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// A later sighting whose members nobody knows is never the same: somebody has to look. Stamps
    /// do not count by themselves: they decide what is carried over, and where both show members,
    /// these say more.
    fn same_state(&self, later: &Self) -> bool {
        let Self {
            id,
            external_id,
            display_name,
            version: _,
            stamp: _,
            members,
        } = self;
        later.members.is_some()
            && *id == later.id
            && *external_id == later.external_id
            && *display_name == later.display_name
            && *members == later.members
    }

    /// Keeps the members that were known where the stamp proves that nothing changed: a group is
    /// listed without its members, and one GET each would be as many requests as there are groups.
    fn carry(&mut self, known: &Self) {
        if self.members.is_none() && self.stamp.is_some() && self.stamp == known.stamp {
            self.members.clone_from(&known.members);
        }
    }
}

/// The id of a member: the `value` of an entry, or the entry itself.
pub(super) fn id_of_member(entry: &Value) -> Option<String> {
    let value = match entry {
        Value::Object(_) => types::member(entry, "value")?,
        plain => plain,
    };
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// Whether a member is a group: by its `type`, or, where the server gives none, by its `$ref`.
pub(super) fn is_group(entry: &Value) -> bool {
    let text = |name| types::member(entry, name).and_then(Value::as_str);
    match (text("type"), text("$ref")) {
        (Some(kind), _) => kind.eq_ignore_ascii_case("Group"),
        (None, Some(reference)) => reference.split('/').any(|part| part == "Groups"),
        (None, None) => false,
    }
}
