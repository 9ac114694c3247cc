//! Asks `tests/gitops/health` what Flux and Argo CD make of objects: it is built
//! of their own libraries and interpreter. And has the definitions of theirs.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::tools::built_by;

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../gitops/build");
const DEFINITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../gitops/definitions");

/// What the tools say of one object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Health {
    /// By kstatus alone: Current, InProgress, Failed or Terminating.
    pub kstatus: String,
    /// By the `healthCheckExprs` of a Kustomization, where one is of its kind.
    pub flux: String,
    /// By Argo CD's health script: Healthy, Progressing, Degraded or Suspended.
    pub argo: String,
    /// The script's message.
    pub message: String,
}

/// Judges objects by name. `scripts` are Lua by kind; `expressions` the items of `healthCheckExprs`.
///
/// # Errors
/// When the program cannot be built, a script or an expression does not run, or a
/// script returns what Argo CD does not know.
pub async fn health(
    objects: &BTreeMap<String, Value>,
    scripts: &BTreeMap<String, String>,
    expressions: &Value,
) -> Result<BTreeMap<String, Health>> {
    let question = json!({"objects": objects, "scripts": scripts, "expressions": expressions});
    Ok(serde_json::from_slice(&ask(&question).await?)?)
}

/// The folder with the CustomResourceDefinitions of Flux, Argo CD, External Secrets and Sealed Secrets whose objects
/// the docs show; fetched where they are missing.
///
/// # Errors
/// When they cannot be fetched, or are not what is pinned.
pub async fn definitions() -> Result<PathBuf> {
    built_by(DEFINITIONS).await
}

async fn ask(input: &Value) -> Result<Vec<u8>> {
    let mut child = Command::new(program().await?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("running tests/gitops/health")?;
    let mut stdin = child.stdin.take().context("it has no standard input")?;
    let write = async move {
        // A program that has failed reads no more, and says why.
        stdin.write_all(input.to_string().as_bytes()).await.ok();
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), write);
    let output = output?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(output.stdout)
}

/// The program, built where it is missing.
async fn program() -> Result<PathBuf> {
    let folder = built_by(BUILD).await?;
    Ok(folder.join("health"))
}
