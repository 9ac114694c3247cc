//! Types that more than one kind uses: references, policies, the plan as status shows it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// The names that objects may have (RFC 1123 subdomain). A reference to any other name can be met by
/// nothing, and the name of a Secret goes into a field selector, where a comma begins another term.
pub(super) const OBJECT_NAME: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The names that namespaces may have (RFC 1123 label).
pub(super) const NAMESPACE_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The ScimConnection that a resource is provisioned through.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRef {
    /// Name of the ScimConnection.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Namespace of the ScimConnection; the resource's own by default. Another namespace must be
    /// let in by the connection's `allowedNamespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_NAME))]
    pub namespace: Option<String>,
}

/// A ScimUser named by another resource.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserRef {
    /// Name of the ScimUser.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Namespace of the ScimUser; the referring resource's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_NAME))]
    pub namespace: Option<String>,
}

/// One key of a Secret in the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Key within the Secret's data; default `token`.
    #[serde(default = "default_token_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn default_token_key() -> String {
    "token".into()
}

/// What becomes of the account when its resource is deleted.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum DeletionPolicy {
    /// Set `active: false`: the account is archived and its history kept.
    Archive,
    /// SCIM DELETE. Irreversible at most backends.
    Delete,
    /// Leave the account as it is and stop managing it.
    Retain,
}

/// Takes over one existing account, named by its id at the backend.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// The `id` that the backend gave the account.
    #[schemars(length(min = 1, max = 256))]
    pub id: String,
}

/// What the operator would do, or has just done, to bring the backend in step.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Noop, Create, Adopt, Update, Reactivate, Archive, Delete, Forget, Hold or Wait.
    #[schemars(length(max = 32))]
    pub action: String,
    /// Names of the attributes that would change; never their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub attributes: Vec<String>,
}

/// The generation that a status speaks of. The API server says -1 where nobody has written a status
/// (`definitions`): no generation at all.
pub(super) fn observed<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let generation = Option::<i64>::deserialize(deserializer)?;
    Ok(generation.filter(|generation| *generation >= 0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::{ScimConnectionStatus, ScimGroupStatus, ScimUserStatus};

    #[test]
    fn what_nobody_has_observed_is_observed_at_no_generation() {
        for (said, read) in [(json!(-1), None), (json!(null), None), (json!(3), Some(3))] {
            let status = json!({"observedGeneration": said});
            let user = serde_json::from_value(status.clone())
                .map(|s: ScimUserStatus| s.observed_generation);
            let group = serde_json::from_value(status.clone())
                .map(|s: ScimGroupStatus| s.observed_generation);
            let connection =
                serde_json::from_value(status).map(|s: ScimConnectionStatus| s.observed_generation);
            assert_eq!(user.ok(), Some(read));
            assert_eq!(group.ok(), Some(read));
            assert_eq!(connection.ok(), Some(read));
        }
    }
}
