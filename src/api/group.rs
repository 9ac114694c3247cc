//! `ScimGroup`: one group and its members (RFC 7643 §4.2).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{Adopt, ConnectionRef, DeletionPolicy, PlanStatus, UserRef, observed};
use super::selector::LabelSelector;

/// One group, provisioned as a SCIM Group.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "scim-operator.io",
    version = "v1alpha1",
    kind = "ScimGroup",
    namespaced,
    status = "ScimGroupStatus",
    shortname = "sg",
    category = "scim",
    derive = "PartialEq",
    selectable = ".spec.displayName",
    selectable = ".spec.connectionRef.name",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Members",
        type_ = "integer",
        json_path = ".status.members.synced"
    ),
    printcolumn(
        name = "Pending",
        type_ = "integer",
        json_path = ".status.members.pending"
    ),
    printcolumn(
        name = "Connection",
        type_ = "string",
        json_path = ".spec.connectionRef.name"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "DisplayName",
        type_ = "string",
        json_path = ".spec.displayName",
        priority = 1
    ),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", priority = 1),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.action",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ScimGroupSpec {
    /// The connection to provision through. Immutable.
    #[x_kube(validation = ("self == oldSelf", "connectionRef is immutable"))]
    pub connection_ref: ConnectionRef,
    /// The group's name as shown to people.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^\S(.*\S)?$"))]
    pub display_name: String,
    /// Our mark on the group. Default `scim-operator:<ownerId>:<namespace>/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = ("!self.matches('^[0-9]+$')", "externalId must not be a bare number: servers have taken such for their own ids"))]
    pub external_id: Option<String>,
    /// Members by name; one that is named twice is one member.
    // The schema cannot keep a repeated member out, so the controller has to count it once: CEL
    // cannot compare ten thousand members with each other within its budget; a map list wants its
    // keys beside each other, not within `userRef`; and a set of objects passes the schema's
    // validation only for server-side apply to refuse every write of the object. Nor would any of
    // these see that a member with its own namespace and one without are the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10000))]
    pub members: Vec<Member>,
    /// Members by the labels of ScimUsers. An empty selector selects nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_selector: Option<LabelSelector>,
    /// `Exact` removes members that are not declared; `AddOnly` never removes.
    #[serde(default)]
    pub membership: Membership,
    /// What becomes of the group when this resource is deleted. Default: `Delete` for a group that we created, `Retain` for one that was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<GroupDeletionPolicy>,
    /// Leaves the group alone until false again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Takes over one existing group by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

/// One member.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The member's ScimUser.
    pub user_ref: UserRef,
}

/// Whether members that are not declared are removed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Membership {
    /// The group has the declared members and no others.
    #[default]
    Exact,
    /// Declared members are added; nobody is removed.
    AddOnly,
}

/// What becomes of a group; groups have no archived state.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum GroupDeletionPolicy {
    /// SCIM DELETE.
    Delete,
    /// Leave the group and stop managing it.
    Retain,
}

impl From<GroupDeletionPolicy> for DeletionPolicy {
    fn from(policy: GroupDeletionPolicy) -> Self {
        match policy {
            GroupDeletionPolicy::Delete => Self::Delete,
            GroupDeletionPolicy::Retain => Self::Retain,
        }
    }
}

/// What is known of the group.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimGroupStatus {
    /// The group's id at the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which backend the id belongs to: a hash of the connection's endpoint. At another endpoint the
    /// id may be a stranger's, and is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub endpoint_hash: Option<String>,
    /// Written before a create whose group could not be recognised by `externalId`: a hash of the
    /// displayName that it was begun by. Gone once the outcome is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub creating: Option<String>,
    /// The generation that the conditions speak of.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "observed"
    )]
    pub observed_generation: Option<i64>,
    /// The generation that the group was last brought in step with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_generation: Option<i64>,
    /// The group existed before and was taken over; it is retained by default when this resource is
    /// deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Members by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<MemberCounts>,
    /// Up to ten members that have no account yet, as `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub unresolved: Vec<String>,
    /// Ids of the members, kept only where the backend does not return members, since nobody else
    /// could tell who was added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10000), inner(length(max = 256)))]
    pub applied_members: Vec<String>,
    /// What is still to be done; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The reconcile request that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Ready, Valid, Synced, MembersResolved; Reconciling and Stalled when True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Members by state.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberCounts {
    /// Members declared.
    pub desired: u32,
    /// Members that the group has.
    pub synced: u32,
    /// Members that have no account yet.
    pub pending: u32,
    /// Members whose ScimUser is invalid.
    pub invalid: u32,
    /// Members whose account is archived.
    pub archived: u32,
}
