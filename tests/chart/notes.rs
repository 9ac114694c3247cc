//! What the chart says once it is installed: its commands are ones that work.

use anyhow::{Context as _, Result, ensure};
use scim_operator_harness::ControlPlane;

use super::{CHART, typed};

/// Does what the notes say, as far as the API server would let it.
pub async fn are_true(plane: &ControlPlane, notes: &str) -> Result<()> {
    let create = "kubectl create secret generic ";
    let create = notes
        .lines()
        .find_map(|line| line.trim().strip_prefix(create));
    let create = create.context("nothing is said of the token")?;
    let file = plane.directory().join("token");
    std::fs::write(&file, "t")?;
    let create = create.replace("=FILE", &format!("={}", file.display()));
    // It is there already, since the test needs it earlier.
    let create = format!("create secret generic {create} --dry-run=client -o yaml");
    let secret = plane.kubectl(&typed(&create)).await?;
    let apply = typed("apply --dry-run=server -f -");
    plane.kubectl_with_input(&apply, &secret).await?;

    let (_, rest) = notes.split_once("<<'YAML'\n").context("no connection")?;
    let (connection, rest) = rest.split_once("YAML\n").context("no end of it")?;
    let said = plane.kubectl_with_input(&apply, connection).await?;
    ensure!(
        said.contains("scimconnection.scim-operator.io/cybsafe created"),
        "{said}"
    );
    let get = rest
        .lines()
        .find_map(|line| line.trim().strip_prefix("kubectl get "));
    let get = get.context("nothing is said of looking")?;
    plane.kubectl(&typed(&format!("get {get}"))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn they_say_what_is_watched_and_read() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    for (values, says, hides) in [
        (
            "",
            &[
                "It watches all namespaces. Install one per cluster",
                "reads tokens and CA bundles of these namespaces, and of no others:\n  - scim-system\n",
                "--namespace scim-system --from-file",
            ][..],
            "crds.install=false",
        ),
        (
            "--set watchNamespaces={a,b} --set crds.install=false",
            &[
                "It watches these namespaces, and no others: a, b.",
                "It may read no Secret yet",
                "namespace: a}",
                "The CustomResourceDefinitions were not installed",
            ],
            "all namespaces",
        ),
        (
            "--set secretAccess[0].namespace=a,secretAccess[0].names={x,y},secretAccess[1].namespace=b",
            &["  - a, only: x, y\n  - b\n", "in one of them", "{name: x}"],
            "no Secret yet",
        ),
    ] {
        let line = format!("install x {CHART} -n scim-system --dry-run=client {values}");
        let told = plane.helm(&typed(&line)).await?;
        let (_, notes) = told.split_once("NOTES:").context("no notes")?;
        for words in says {
            ensure!(
                notes.contains(words),
                "{values}: {words:?} is not in {notes}"
            );
        }
        ensure!(!notes.contains(hides), "{values}: {hides:?} is in {notes}");
    }
    Ok(())
}
