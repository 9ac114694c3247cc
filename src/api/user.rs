//! `ScimUser`: one person, as SCIM's User resource spells it (RFC 7643 §4.1, §4.3).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{Adopt, ConnectionRef, DeletionPolicy, PlanStatus, UserRef, observed};

/// One person, provisioned as a SCIM User.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "scim-operator.io",
    version = "v1alpha1",
    kind = "ScimUser",
    namespaced,
    status = "ScimUserStatus",
    shortname = "su",
    category = "scim",
    derive = "PartialEq",
    selectable = ".spec.userName",
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
        name = "Archived",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Archived\")].status"
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
        name = "UserName",
        type_ = "string",
        json_path = ".spec.userName",
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
pub struct ScimUserSpec {
    /// The connection to provision through. Immutable: moving a person is deleting and declaring anew.
    #[x_kube(validation = ("self == oldSelf", "connectionRef is immutable"))]
    pub connection_ref: ConnectionRef,
    /// The name the person signs in with; unique at the backend, usually the primary work e-mail address.
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^\S(.*\S)?$"))]
    pub user_name: String,
    /// Our mark on the account. Default `scim-operator:<ownerId>:<namespace>/<name>`; set it only to match accounts that carry another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = ("!self.matches('^[0-9]+$')", "externalId must not be a bare number: servers have taken such for their own ids"))]
    pub external_id: Option<String>,
    /// `false` keeps the account, archived.
    #[serde(default = "yes")]
    pub active: bool,
    /// The parts of the person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The name as shown to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub display_name: Option<String>,
    /// Job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub title: Option<String>,
    /// E-mail addresses, one a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["type".into()]),
        validation = ("self.filter(e, has(e.primary) && e.primary).size() <= 1", "at most one e-mail address may be primary")
    )]
    pub emails: Vec<Email>,
    /// Telephone numbers, one a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub phone_numbers: Vec<PhoneNumber>,
    /// Postal addresses, one a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub addresses: Vec<Address>,
    /// Language tag, such as `en-GB`; sent as the profile spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 35))]
    pub preferred_language: Option<String>,
    /// Default location for localizing, such as `en-GB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 35))]
    pub locale: Option<String>,
    /// The Enterprise User extension (RFC 7643 §4.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enterprise: Option<Enterprise>,
    /// Kind of employment, such as `Contractor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub employee_type: Option<String>,
    /// City of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub city: Option<String>,
    /// Office.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub office: Option<String>,
    /// Business unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub business_unit: Option<String>,
    /// Grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub grade: Option<String>,
    /// What becomes of the account when this resource is deleted; default: as the connection says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Leaves the account alone until false again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Takes over one existing account by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// From this moment on the account is archived; RFC 3339, such as `2027-01-31T18:00:00Z`.
    // Text, not a time: the API server stores dates that no parser takes (an offset of +99:99), and
    // one object that cannot be decoded would stop the watch of all (R15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), extend("format" = "date-time"))]
    pub valid_until: Option<String>,
}

fn yes() -> bool {
    true
}

/// The parts of a name (RFC 7643 §4.1.1).
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Name {
    /// First name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub given_name: Option<String>,
    /// Last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub family_name: Option<String>,
}

/// Types of e-mail and postal addresses (RFC 7643 §4.1.2).
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AddressType {
    /// At work.
    Work,
    /// At home.
    Home,
    /// Elsewhere.
    Other,
}

/// Types of telephone numbers (RFC 7643 §4.1.2).
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PhoneType {
    /// At work.
    Work,
    /// At home.
    Home,
    /// Mobile.
    Mobile,
    /// Fax.
    Fax,
    /// Pager.
    Pager,
    /// Another.
    Other,
}

/// One e-mail address.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// `work`, `home` or `other`.
    pub r#type: AddressType,
    /// The address.
    #[schemars(length(min = 3, max = 320), regex(pattern = r"^[^\s@]+@[^\s@]+$"))]
    pub value: String,
    /// Whether it is the preferred one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
}

/// One telephone number.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhoneNumber {
    /// `work`, `home`, `mobile`, `fax`, `pager` or `other`.
    pub r#type: PhoneType,
    /// The number, best in the form `+447700900123`.
    #[schemars(length(min = 2, max = 64))]
    pub value: String,
}

/// One postal address.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// `work`, `home` or `other`.
    pub r#type: AddressType,
    /// Street and house number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub street_address: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub locality: Option<String>,
    /// State or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub region: Option<String>,
    /// Post code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub postal_code: Option<String>,
    /// Country, ISO 3166-1 alpha-2, such as `GB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub country: Option<String>,
}

/// The Enterprise User extension (RFC 7643 §4.3).
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enterprise {
    /// The employer's number for the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub employee_number: Option<String>,
    /// Department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub department: Option<String>,
    /// Division.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub division: Option<String>,
    /// Organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub organization: Option<String>,
    /// The person's manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

/// A manager, by ScimUser or by the id at the backend.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = ("has(self.userRef) != has(self.value)", "exactly one of userRef and value must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Manager {
    /// The manager's ScimUser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_ref: Option<UserRef>,
    /// The manager's id at the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub value: Option<String>,
}

/// What is known of the person's account.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimUserStatus {
    /// The account's id at the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which backend the id belongs to: a hash of the connection's endpoint. At another endpoint the
    /// id may be a stranger's, and is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub endpoint_hash: Option<String>,
    /// Written before a create whose account could not be recognised by `externalId`: a hash of the
    /// userName that it was begun by. Gone once the outcome is recorded.
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
    /// The generation that the account was last brought in step with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_generation: Option<i64>,
    /// The profile and mapping that the account was last brought in step by, hashed: another one
    /// means that every attribute is written where it belongs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub profile_hash: Option<String>,
    /// Names of the attributes that this resource has set at the backend. Taking one of them out
    /// of the spec clears it there; what was never here is not ours and is not touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub managed_attributes: Vec<String>,
    /// Attributes that the backend keeps in a spelling of its own, each with a hash of what was sent
    /// and what came back: as long as both stay, nothing is written again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 64,
        "additionalProperties" = {"type": "string", "maxLength": 64}
    ))]
    pub respelled: BTreeMap<String, String>,
    /// What is still to be done; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The reconcile request that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Ready, Valid, Synced, Archived; Reconciling and Stalled when True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
