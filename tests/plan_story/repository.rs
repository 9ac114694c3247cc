//! What is declared, as a repository of one file each.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::NAMESPACE;
use crate::support::scene::Scene;

/// What is declared, one file each.
pub async fn export(scene: &Scene, folder: &Path) -> Result<()> {
    let get = ["get", "scimusers,scimgroups", "-n", NAMESPACE, "-o", "json"];
    let all: Value = serde_json::from_str(&scene.rig.plane.kubectl(&get).await?)?;
    for item in all["items"].as_array().into_iter().flatten() {
        let name = item["metadata"]["name"].as_str().unwrap();
        let manifest = json!({
            "apiVersion": item["apiVersion"], "kind": item["kind"], "spec": item["spec"],
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": item["metadata"]["labels"]},
        });
        write(folder, &manifest)?;
    }
    Ok(())
}

/// The connection, as it would be declared.
pub async fn connection(scene: &Scene) -> Result<Value> {
    let get = [
        "get",
        "scimconnection",
        "scim",
        "-n",
        NAMESPACE,
        "-o",
        "json",
    ];
    let mut connection: Value = serde_json::from_str(&scene.rig.plane.kubectl(&get).await?)?;
    connection["metadata"] = json!({"name": "scim", "namespace": NAMESPACE});
    Ok(connection)
}

/// A connection to there.
pub fn leads_to(endpoint: &str) -> Value {
    json!({
        "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection",
        "metadata": {"name": "scim", "namespace": NAMESPACE},
        "spec": {"endpoint": endpoint, "insecure": true, "tokenSecretRef": {"name": "scim", "key": "token"}},
    })
}

pub fn write(folder: &Path, manifest: &Value) -> Result<()> {
    let name = manifest["metadata"]["name"].as_str().unwrap();
    std::fs::write(folder.join(format!("{name}.json")), manifest.to_string())?;
    Ok(())
}

pub fn read(folder: &Path, name: &str) -> Result<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json")))?;
    Ok(serde_json::from_str(&text)?)
}

pub fn edit(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut manifest = read(folder, name)?;
    change(&mut manifest["spec"]);
    write(folder, &manifest)
}

/// As a GitOps tool that prunes: applies the folder, and deletes these.
pub async fn apply(scene: &Scene, folder: &Path, gone: &[&str]) -> Result<()> {
    let folder = folder.to_str().unwrap();
    let apply = ["apply", "-f", folder, "--server-side", "--force-conflicts"];
    scene.rig.plane.kubectl(&apply).await?;
    for name in gone {
        let delete = ["delete", "scimuser", name, "-n", NAMESPACE, "--wait=false"];
        scene.rig.plane.kubectl(&delete).await?;
    }
    Ok(())
}
