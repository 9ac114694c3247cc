//! A connection that works: its client, and what it was built from.

use std::ops::Deref;
use std::sync::Arc;

use crate::api::connection::{Feature, ScimConnectionSpec};
use crate::controller::index::Key;
use crate::domain::names;
use crate::domain::profile::Profile;
use crate::scim::{Capabilities, Client, Lane};

/// What a user needs of a connection that works.
#[derive(Clone)]
pub struct Ready {
    /// The client, in the lane of whoever uses it.
    pub client: Client,
    /// All the rest.
    pub base: Arc<Base>,
}

impl Ready {
    /// The same, for a pass whose requests stand in this lane.
    pub fn in_lane(&self, lane: Lane) -> Self {
        Self {
            client: self.client.in_lane(lane),
            base: Arc::clone(&self.base),
        }
    }
}

impl Deref for Ready {
    type Target = Base;

    fn deref(&self) -> &Base {
        &self.base
    }
}

/// What a connection that works was built from, and what it can do.
pub struct Base {
    /// The profile with the connection's overrides.
    pub profile: Profile,
    /// The spec that all of this was built from.
    pub spec: ScimConnectionSpec,
    /// The owner mark.
    pub owner_id: String,
    /// Which profile, and which mapping, as `status.profileHash` says it.
    pub profile_hash: String,
    /// Which backend this is, as `Connection::backend` counts.
    pub backend: u64,
    /// Whether PATCH is used.
    pub patch: bool,
    /// Whether ETags are used.
    pub etag: bool,
}

impl Base {
    /// By a spec, and by what the backend says of itself.
    pub fn of(
        key: &Key,
        spec: &ScimConnectionSpec,
        profile: Profile,
        capabilities: &Capabilities,
        backend: u64,
    ) -> Self {
        let mapping = serde_json::json!([spec.profile, spec.attribute_mapping]);
        Self {
            profile,
            spec: spec.clone(),
            owner_id: names::owner_id(spec.owner_id.as_deref(), &key.namespace, &key.name),
            backend,
            profile_hash: names::profile_hash(&mapping.to_string()),
            patch: match spec.dialect.patch {
                Feature::Auto => capabilities.patch,
                Feature::Enabled => true,
                Feature::Disabled => false,
            },
            etag: capabilities.etag,
        }
    }
}
