//! `ScimConnection`: one SCIM backend and the policies by which it is driven.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::connection_status::{
    CapabilitiesStatus, Deprovisioned, GroupCounts, HeldPlan, MissingAccounts,
    ScimConnectionStatus, UserCounts,
};

use super::common::{DeletionPolicy, OBJECT_NAME, SecretKeyRef};
use super::selector::LabelSelector;

/// One SCIM 2.0 backend: where it is, how to sign in, and what may be done to it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "scim-operator.io",
    version = "v1alpha1",
    kind = "ScimConnection",
    namespaced,
    status = "ScimConnectionStatus",
    shortname = "sconn",
    category = "scim",
    derive = "PartialEq",
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
    printcolumn(name = "Profile", type_ = "string", json_path = ".spec.profile"),
    printcolumn(
        name = "Users",
        type_ = "integer",
        json_path = ".status.users.provisioned"
    ),
    printcolumn(
        name = "Invalid",
        type_ = "integer",
        json_path = ".status.users.invalid"
    ),
    printcolumn(
        name = "Archived",
        type_ = "integer",
        json_path = ".status.users.archived"
    ),
    printcolumn(name = "Held", type_ = "integer", json_path = ".status.heldPlan.count"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".spec.endpoint",
        priority = 1
    ),
    printcolumn(
        name = "Last Sync",
        type_ = "date",
        json_path = ".status.lastFullSync",
        priority = 1
    )
)]
#[x_kube(
    validation = ("self.endpoint.startsWith('https://') || (has(self.insecure) && self.insecure)", "endpoint must be an https URL; plain http needs insecure: true"),
    validation = ("has(oldSelf.ownerId) == has(self.ownerId)", "ownerId is immutable: it can be neither added nor removed"),
)]
#[serde(rename_all = "camelCase")]
pub struct ScimConnectionSpec {
    /// Base URL of the SCIM service, with or without the trailing slash.
    #[schemars(length(min = 8, max = 2048), regex(pattern = ENDPOINT))]
    #[x_kube(validation = ("isURL(self) && (url(self).getPort() == '' || (int(url(self).getPort()) >= 1 && int(url(self).getPort()) <= 65535))", "endpoint must be a URL; its port, where it names one, is from 1 to 65535"))]
    pub endpoint: String,
    /// The Secret with the bearer token; always in this namespace. Watched: a new token is used at once.
    pub token_secret_ref: SecretKeyRef,
    /// Certificates, in PEM, that are trusted besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CaBundleRef>,
    /// Allows plain http. The token then travels in clear text; a condition says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Which attributes exist, which are required, and the rules for their values.
    #[serde(default)]
    pub profile: Profile,
    /// Overrides where an attribute is written, by the profile's name for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["attribute".into()]))]
    pub attribute_mapping: Vec<AttributeMapping>,
    /// Marks the accounts that this connection owns, inside their `externalId`. Default `<namespace>/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_./]*$")
    )]
    #[x_kube(validation = ("self == oldSelf", "ownerId is immutable"))]
    pub owner_id: Option<String>,
    /// Namespaces whose resources may use this connection.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// `Enforce` writes to the backend; `DryRun` only shows the plans in status.
    #[serde(default)]
    pub mode: Mode,
    /// Stops every request to the backend.
    #[serde(default)]
    pub suspend: bool,
    /// Which existing accounts and groups may be taken over.
    #[serde(default)]
    pub adoption: Adoption,
    /// What becomes of an account when its resource is deleted; a resource may say otherwise.
    #[serde(default = "archive")]
    pub deletion_policy: DeletionPolicy,
    /// How many accounts may be archived or deleted before a human is asked.
    #[serde(default)]
    pub deprovision_guard: DeprovisionGuard,
    /// When the backend is listed to find what changed outside.
    #[serde(default)]
    pub sync: Sync,
    /// How hard the backend may be driven.
    #[serde(default)]
    pub limits: Limits,
    /// How this server bends the RFCs, where discovery does not tell.
    #[serde(default)]
    pub dialect: Dialect,
}

/// Scheme, host and port, path, in the characters of RFC 3986: neither credentials, which a spec must
/// not hold, nor a query or fragment, to which no path can be joined, nor a backslash, which some
/// parsers read as a slash, so that the token would go to another host than the one that was read.
/// An IPv6 host is only sketched: CEL's `isIP` is not in every Kubernetes that the chart supports, and
/// the client refuses what is none.
const ENDPOINT: &str = r"^https?://(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?)*\.?)(:[0-9]{1,5})?(/[-a-zA-Z0-9._~!$&'()*+,;=:@%/]*)?$";

/// Durations as `duration_seconds` and CEL's `duration` both read them; the range is a rule apart.
/// That rule is spelt out as the schema has it: `KubeSchema` knows no defaults of a whole struct.
const DURATION: &str = r"^([0-9]{1,5}(h|m|s))+$";

fn archive() -> DeletionPolicy {
    DeletionPolicy::Archive
}

/// A key of a ConfigMap or Secret in this namespace that holds PEM certificates.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundleRef {
    /// `ConfigMap` or `Secret`.
    #[serde(default)]
    pub kind: CaBundleKind,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Key within its data; default `ca.crt`.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".into()
}

/// The kind of object that holds a CA bundle.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum CaBundleKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A table of attributes and rules.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, JsonSchema)]
pub enum Profile {
    /// What CybSafe documents.
    #[default]
    CybSafe,
    /// RFC 7643's User and Enterprise User.
    RFC7643,
}

/// Where one attribute is written.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttributeMapping {
    /// The profile's name of the attribute, for example `city`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z][a-zA-Z0-9.]*$"))]
    pub attribute: String,
    /// A SCIM path: `attr`, `attr.sub`, `attr[type eq "work"].sub`, with a schema URN before it where needed.
    #[schemars(length(min = 1, max = 256))]
    pub path: String,
}

/// Whose resources may use a connection; the shape of Gateway API's `allowedRoutes.namespaces`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[x_kube(validation = ("(self.from == 'Selector') == has(self.selector)", "selector goes with from: Selector, and only with it"))]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// `Same`, `All` or `Selector`.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces, with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum NamespacesFrom {
    /// The connection's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Those whose labels match.
    Selector,
}

/// Whether the backend is written to.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Mode {
    /// Plans are carried out.
    #[default]
    Enforce,
    /// Plans are shown in status; nothing is written to the backend.
    DryRun,
}

/// Which existing accounts and groups may be taken over without naming their id.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// `ExternalId`: an account or group whose externalId equals the spec's. `UserName`: an account with the same userName. `DisplayName`: a group with the same displayName, ignoring case. Default none.
    #[serde(default)]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub r#match: Vec<AdoptionMatch>,
}

/// By what an existing account is recognised.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AdoptionMatch {
    /// Equal `externalId`.
    ExternalId,
    /// Equal `userName`, ignoring case.
    UserName,
    /// A group with the same displayName, ignoring case.
    DisplayName,
}

/// The brake on mass deprovisioning.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeprovisionGuard {
    /// Share of the provisioned users, in percent, that may go within the window.
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: u32,
    /// This many may always go within the window.
    #[schemars(range(min = 0, max = 100000))]
    pub minimum: u32,
    /// Length of the rolling window, such as `1h`; from `1m` to `168h`.
    #[schemars(
        length(max = 16),
        regex(pattern = DURATION),
        extend("x-kubernetes-validations" = [{
            "rule": "duration(self) >= duration('1m') && duration(self) <= duration('168h')",
            "message": "deprovisionGuard.window must be from 1m to 168h",
        }])
    )]
    pub window: String,
}

impl Default for DeprovisionGuard {
    fn default() -> Self {
        Self {
            max_percent: 10,
            minimum: 5,
            window: "1h".into(),
        }
    }
}

/// When the backend is listed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sync {
    /// Time between two listings, such as `30m`; from `10s` to `24h`.
    #[schemars(
        length(max = 16),
        regex(pattern = DURATION),
        extend("x-kubernetes-validations" = [{
            "rule": "duration(self) >= duration('10s') && duration(self) <= duration('24h')",
            "message": "sync.interval must be from 10s to 24h",
        }])
    )]
    pub interval: String,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            interval: "30m".into(),
        }
    }
}

/// How hard the backend may be driven.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Requests a second.
    #[schemars(range(min = 1, max = 10000))]
    pub requests_per_second: u32,
    /// Requests in flight at once.
    #[schemars(range(min = 1, max = 64))]
    pub max_in_flight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 10,
            max_in_flight: 2,
        }
    }
}

/// How a server bends the RFCs. `Auto` trusts discovery and what is learned on the way.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Dialect {
    /// Whether PATCH is used; `Disabled` falls back to GET, merge, PUT for users. A group is never
    /// replaced whole, so that groups need PATCH.
    pub patch: Feature,
    /// Whether creates of users that wait for a limit go together in one request (RFC 7644 §3.7). `Auto`:
    /// where the backend offers more than one operation a request. One that offers Bulk, or is said to
    /// have it, and refuses it gets single requests.
    pub bulk: Feature,
    /// Resources a page that are asked for; the server may give fewer.
    #[schemars(range(min = 1, max = 1000))]
    pub page_size: u32,
    /// Member changes in one PATCH of a group.
    #[schemars(range(min = 1, max = 1000))]
    pub members_per_request: u32,
    /// How one member is removed from a group.
    pub member_removal: MemberRemoval,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            patch: Feature::Auto,
            bulk: Feature::Auto,
            page_size: 100,
            members_per_request: 100,
            member_removal: MemberRemoval::Auto,
        }
    }
}

/// Whether an optional part of SCIM is used.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Feature {
    /// As discovery says.
    #[default]
    Auto,
    /// Used whatever discovery says.
    Enabled,
    /// Never used.
    Disabled,
}

/// How one member is removed from a group.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum MemberRemoval {
    /// Learned by reading back the first removal.
    #[default]
    Auto,
    /// `remove members[value eq "…"]` (RFC 7644 §3.5.2.2).
    Filter,
    /// `remove members` with a value list, as some servers want it.
    Value,
}
