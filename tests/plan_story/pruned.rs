//! Who would be pruned, and what stays that a manifest does not name.

use anyhow::{Result, ensure};
use scim_operator_harness::scratch::Scratch;
use serde_json::json;

use super::plan;
use super::repository::{connection, write};
use crate::support::company::{self, company};
use crate::support::plugin::steps;
use crate::support::{NAMESPACE, person as person_spec};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_pruned_is_said_by_labels_and_by_the_annotations_of_the_tools() -> Result<()> {
    let scene = company(5).await?;
    let person = company::person;
    let kubectl = async |words: &[&str]| scene.rig.plane.kubectl(words).await;
    for number in 0..4 {
        let label = [
            "label",
            "scimuser",
            &person(number),
            "-n",
            NAMESPACE,
            "of=people",
        ];
        kubectl(&label).await?;
    }
    for (number, annotation) in [
        (2, "kustomize.toolkit.fluxcd.io/prune=Disabled"),
        (
            3,
            "argocd.argoproj.io/sync-options=Validate=false, Prune=false",
        ),
    ] {
        let annotate = [
            "annotate",
            "scimuser",
            &person(number),
            "-n",
            NAMESPACE,
            annotation,
        ];
        kubectl(&annotate).await?;
    }
    let scratch = Scratch::create()?;
    write(scratch.path(), &connection(&scene).await?)?;
    let path = scratch.path().to_str().unwrap();
    let (found, _) = plan(&scene, &[path, "--prune"]).await?;
    ensure!(
        steps(&found).is_empty(),
        "nobody is named in the namespace: {found}"
    );
    let by_label = [path, "--prune", "--prune-selector", "of=people"];
    let (found, code) = plan(&scene, &by_label).await?;
    let expected = [
        "archive ScimUser/user-000 active",
        "archive ScimUser/user-001 active",
    ];
    ensure!(steps(&found) == expected && code == 0, "{code} {found}");
    let by_another = [path, "--prune", "--prune-selector", "of=people,and=more"];
    let (found, _) = plan(&scene, &by_another).await?;
    ensure!(steps(&found).is_empty(), "{found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_a_namespace_that_its_manifest_does_not_name_stay() -> Result<()> {
    let scene = company(1).await?;
    let by_labels = json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"scim": "yes"}}}});
    scene.rig.edit_connection(by_labels).await?;
    scene
        .rig
        .plane
        .kubectl(&["create", "namespace", "hr"])
        .await?;
    let label = ["label", "namespace", "hr", "scim=yes", "keep=no"];
    scene.rig.plane.kubectl(&label).await?;
    let scratch = Scratch::create()?;
    let folder = scratch.path();
    let mut somebody = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
        "metadata": {"name": "ada", "namespace": "hr"}, "spec": person_spec("ada@example.com")});
    somebody["spec"]["connectionRef"] = json!({"name": "scim", "namespace": NAMESPACE});
    write(folder, &somebody)?;
    write(
        folder,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hr", "labels": {"keep": "yes"}}}),
    )?;
    let (found, code) = plan(&scene, &[folder.to_str().unwrap()]).await?;
    let lines = steps(&found);
    ensure!(
        lines.len() == 1 && lines[0].starts_with("create ScimUser/ada ") && code == 0,
        "{code} {found}"
    );
    Ok(())
}
