//! The status of a `ScimConnection`: what was seen of the backend, and what waits for a person.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::observed;

/// What was last seen of the backend.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimConnectionStatus {
    /// The generation that the conditions speak of.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "observed"
    )]
    pub observed_generation: Option<i64>,
    /// Which backend `capabilities` speaks of: a hash of the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub endpoint_hash: Option<String>,
    /// What the backend says it can do, and what was learned of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<CapabilitiesStatus>,
    /// Users by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UserCounts>,
    /// Groups by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupCounts>,
    /// Deprovisioning that waits for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_plan: Option<HeldPlan>,
    /// Accounts that the backend lacks, where they are more than the guard lets go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_accounts: Option<MissingAccounts>,
    /// The hash of the plan that was approved last: an approval works once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub approved_plan: Option<String>,
    /// How many accounts were archived or deleted, and when, within the guard's window: written down
    /// before it is done, so that a restart spends nothing twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub deprovisioned: Vec<Deprovisioned>,
    /// Who was let go by the guard and is not known to have gone, each as a hash: a restart neither counts
    /// them again nor has them approved again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10000), inner(length(max = 64)))]
    pub under_way: Vec<String>,
    /// When the last complete listing ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_full_sync: Option<Time>,
    /// The reconcile request that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Ready, Authenticated, Reachable, DirectoryComplete, and others when they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What a backend can do.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilitiesStatus {
    /// A ServiceProviderConfig was found.
    pub discovered: bool,
    /// PATCH is used.
    pub patch: bool,
    /// Bulk is offered.
    pub bulk: bool,
    /// Filters are offered.
    pub filter: bool,
    /// ETags are offered.
    pub etag: bool,
    /// Whether the backend returns `externalId`: Echoed, NotEchoed or Unknown.
    #[schemars(length(max = 16))]
    pub external_id: String,
    /// How a member is removed from a group, as learned by reading back: Filter, Value, Broken
    /// (neither removes one member and no other) or Unknown.
    #[serde(default = "unknown")]
    #[schemars(length(max = 16))]
    pub member_removal: String,
    /// Whether the backend returns the members of a group: Returned, NotReturned or Unknown.
    #[serde(default = "unknown")]
    #[schemars(length(max = 16))]
    pub members: String,
}

fn unknown() -> String {
    "Unknown".into()
}

/// Users by state.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserCounts {
    /// ScimUsers that name this connection.
    pub desired: u32,
    /// Of these, those that have an account, archived ones included.
    pub provisioned: u32,
    /// Of these, those whose account is archived.
    pub archived: u32,
    /// ScimUsers that break a rule.
    pub invalid: u32,
    /// ScimUsers that are neither in step nor invalid: conflicts, failures, waiting.
    pub failing: u32,
    /// Accounts at the backend that no ScimUser declares.
    pub unmanaged: u32,
}

/// Groups by state.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupCounts {
    /// ScimGroups that name this connection.
    pub desired: u32,
    /// Of these, those that exist at the backend.
    pub provisioned: u32,
    /// ScimGroups that break a rule.
    pub invalid: u32,
    /// ScimGroups that are neither in step nor invalid.
    pub failing: u32,
    /// Groups at the backend that no ScimGroup declares.
    pub unmanaged: u32,
}

/// Deprovisioning that waits for approval.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldPlan {
    /// What `scim-operator.io/approve-plan` has to say.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// How many accounts the plan deprovisions.
    pub count: u32,
    /// The first ten of the ScimUsers, as `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub users: Vec<String>,
}

/// Accounts that were recorded, and that the backend does not have any more, or not at this endpoint.
/// Nothing is made anew and nobody is deprovisioned until they are there again, or it is approved.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MissingAccounts {
    /// What `scim-operator.io/approve-plan` has to say.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// How many are missing.
    pub count: u32,
    /// A person has said that it is so: they are made anew.
    #[serde(default)]
    pub approved: bool,
}

/// How many accounts went at about one time.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deprovisioned {
    /// When, to a sixtieth of the window.
    pub at: Time,
    /// How many.
    pub count: u32,
}
