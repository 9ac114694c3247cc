//! From a version with older definitions to this one: the definitions are upgraded with the chart, and what was
//! declared stays.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

use super::{CHART, typed};

/// A property of a ScimUser that the older version does not know.
const NEW: &str = "grade";

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The chart as it was before there was that property: of another version, with another definition.
fn older(directory: &Path) -> Result<String> {
    let chart = directory.join("older");
    copy(Path::new(CHART), &chart)?;
    let file = chart.join("files/crds/scim-operator.io_scimusers.yaml");
    let mut definition: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
    let properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let properties = definition.pointer_mut(properties);
    let properties = properties.and_then(Value::as_object_mut);
    let removed = properties.context("no properties")?.remove(NEW);
    removed.context("there is no such property")?;
    std::fs::write(&file, definition.to_string())?;
    let file = chart.join("Chart.yaml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("version: 0.1.0", "version: 0.0.9"))?;
    Ok(chart.display().to_string())
}

async fn get(plane: &ControlPlane, what: &str) -> Result<Value> {
    let line = format!("get {what} -o json");
    Ok(serde_json::from_str(&plane.kubectl(&typed(&line)).await?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_brings_the_new_definitions_and_keeps_what_is_declared() -> Result<()> {
    let plane = ControlPlane::start().await?;
    for namespace in ["scim-system", "identity"] {
        plane.create_namespace(namespace).await?;
    }
    let older = older(plane.directory())?;
    let install = format!("install scim-operator {older} -n scim-system");
    plane.helm(&typed(&install)).await?;
    plane.await_declarations("identity").await?;
    let person = |grade: Value| {
        let mut person = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": "ada", "namespace": "identity"},
            "spec": {"connectionRef": {"name": "cybsafe"}, "userName": "ada@example.com", "city": "York"}
        });
        if !grade.is_null() {
            person["spec"][NEW] = grade;
        }
        person.to_string()
    };
    let apply = typed("apply --validate=strict -f -");
    plane
        .kubectl_with_input(&apply, &person(Value::Null))
        .await?;
    let refused = plane.kubectl_with_input(&apply, &person(json!("7"))).await;
    ensure!(refused.is_err(), "the older version knows {NEW}");
    // As the operator would: what it has written is kept as well.
    let status = r#"patch scimuser ada -n identity --subresource=status --type=merge -p {"status":{"id":"42"}}"#;
    plane.kubectl(&typed(status)).await?;
    let before = get(&plane, "scimuser ada -n identity").await?;
    let definition = "crd scimusers.scim-operator.io";
    let old = get(&plane, definition).await?;

    let upgrade = format!("upgrade scim-operator {CHART} -n scim-system");
    plane.helm(&typed(&upgrade)).await?;
    let new = get(&plane, definition).await?;
    ensure!(
        old["metadata"]["uid"] == new["metadata"]["uid"],
        "it was made anew"
    );
    let chart = &new["metadata"]["labels"]["helm.sh/chart"];
    ensure!(chart == "scim-operator-0.1.0", "{chart}");
    let after = get(&plane, "scimuser ada -n identity").await?;
    ensure!(before == after, "{before}\n{after}");
    plane.await_declarations("identity").await?;
    scim_operator_harness::wait::eventually(
        "the new property to be taken",
        std::time::Duration::from_secs(30),
        async || {
            let taken = plane.kubectl_with_input(&apply, &person(json!("7"))).await;
            Ok(taken.is_ok().then_some(()))
        },
    )
    .await?;
    let after = get(&plane, "scimuser ada -n identity").await?;
    ensure!(
        after["spec"][NEW] == "7" && after["status"]["id"] == "42",
        "{after}"
    );
    ensure!(
        after["metadata"]["uid"] == before["metadata"]["uid"],
        "{after}"
    );

    // Back again: the object is still there, and can be written.
    plane
        .helm(&typed("rollback scim-operator 1 -n scim-system"))
        .await?;
    let back = get(&plane, "scimuser ada -n identity").await?;
    ensure!(
        back["metadata"]["uid"] == before["metadata"]["uid"],
        "{back}"
    );
    ensure!(back["spec"]["city"] == "York", "{back}");
    Ok(())
}
