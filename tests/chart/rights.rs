//! What the installed chart lets the operator do, and nothing else.

use anyhow::{Result, ensure};
use scim_operator_harness::ControlPlane;

use crate::typed;

/// What the operator's own ServiceAccount is answered, by the real authorizer.
pub async fn are_as_promised(plane: &ControlPlane) -> Result<()> {
    let operator = plane
        .service_account_kubeconfig("scim-system", "scim-operator")
        .await?;
    for (allowed, line, why) in [
        (
            true,
            "get secrets --field-selector=metadata.name=cybsafe-scim -n identity",
            "the token: a list by name, as a watch begins",
        ),
        (
            false,
            "get secret cybsafe-scim -n identity",
            "it is watched, and never asked for otherwise",
        ),
        (true, "get secrets -n team-b", "an entry without names"),
        (
            false,
            "get secrets -n identity",
            "all, where names are given",
        ),
        (
            false,
            "get secrets --field-selector=metadata.name=other -n identity",
            "a name that is not given",
        ),
        (
            false,
            "get secrets --field-selector=metadata.name=cybsafe-scim -n elsewhere",
            "a namespace that is not given",
        ),
        (
            false,
            "get secrets --field-selector=metadata.name=cybsafe-scim -n scim-system",
            "its own, once others are given",
        ),
        (false, "get secrets -A", "the whole cluster"),
        (
            false,
            "delete secret cybsafe-scim -n identity",
            "secrets are only read",
        ),
        (true, "get scimconnections,scimusers -A", "its own kinds"),
        (true, "get namespaces", "allowedNamespaces by label"),
        (true, "annotate scimuser ada -n identity a=b", "finalizers"),
        (
            false,
            "delete scimuser ada -n identity",
            "people are not its to delete",
        ),
        (
            false,
            "create token scim-operator -n scim-system",
            "no tokens of its own making",
        ),
        (
            true,
            "auth can-i create leases -n scim-system",
            "to lead; what is created has no name yet",
        ),
        (
            true,
            "get lease scim-operator -n scim-system",
            "to see who leads",
        ),
        (
            false,
            "get lease other -n scim-system",
            "somebody else's lease",
        ),
        (
            true,
            "get leases -n scim-system",
            "whether others share the connections",
        ),
        (
            false,
            "delete lease scim-operator -n scim-system",
            "a lease is released, not deleted",
        ),
        (
            false,
            "get lease scim-operator -n identity",
            "leases of other namespaces",
        ),
        (false, "get pods -n scim-system", "nothing else"),
    ] {
        let answer = plane.kubectl_as(&operator, &typed(line)).await;
        let refused = |e: &anyhow::Error| format!("{e:#}").contains("orbidden");
        let as_promised = match &answer {
            Ok(_) => allowed,
            Err(error) => !allowed && refused(error),
        };
        ensure!(as_promised, "{line} ({why}): {answer:?}");
    }
    Ok(())
}
