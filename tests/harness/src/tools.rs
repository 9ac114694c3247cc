//! Runs the build of the pinned binaries, and the clients `kubectl` and `helm`.
//!
//! Both clients keep what they learned of an API server by its address in the
//! home directory. Ports come back with other contents, so each plane gives
//! them directories of its own.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    components::START_DEADLINE, controlplane::ControlPlane, process::find_in_path,
    scratch::Scratch, wait::eventually,
};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../controlplane/build");

/// The directory that a script of ours has filled, whose path is the one line of its output. What is there already
/// takes milliseconds.
pub(crate) async fn built_by(script: &str) -> Result<PathBuf> {
    let output = Command::new("bash")
        .arg(script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {script}"))?;
    if !output.status.success() {
        bail!("{script} failed ({})", output.status);
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

/// The directory with the pinned `kubectl` and `helm`, built where they are missing.
///
/// # Errors
/// When they cannot be built.
pub async fn clients() -> Result<PathBuf> {
    built_by(BUILD).await
}

/// The directory of built binaries, and the environment that clients run in.
#[derive(Debug)]
pub(crate) struct Tools {
    built: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Tools {
    /// Builds what is missing: minutes at first, milliseconds later.
    pub async fn obtain(scratch: &Scratch) -> Result<Tools> {
        let built = built_by(BUILD).await?;
        let environment = vec![
            ("KUBECACHEDIR", scratch.join("kube-cache")),
            ("HELM_CACHE_HOME", scratch.join("helm-cache")),
            ("HELM_CONFIG_HOME", scratch.join("helm-config")),
            ("HELM_DATA_HOME", scratch.join("helm-data")),
        ];
        Ok(Tools { built, environment })
    }

    /// The built binary of that name, else the one in `PATH`.
    pub fn binary(&self, name: &str) -> PathBuf {
        let built = self.built.join(name);
        match built.exists() {
            true => built,
            false => find_in_path(name).unwrap_or_else(|| PathBuf::from(name)),
        }
    }

    async fn run(
        &self,
        name: &str,
        kubeconfig: &Path,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Result<String> {
        let mut command = Command::new(self.binary(name));
        command
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let what = || format!("{name} {}", arguments.join(" "));
        let mut child = command.spawn().with_context(what)?;
        let stdin = child.stdin.take();
        let write = async {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // A client that rejects its arguments does not read its input.
                stdin.write_all(input.as_bytes()).await.ok();
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output.with_context(what)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} ({}): {}", what(), output.status, said.trim_end());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl ControlPlane {
    /// Runs `kubectl` as the administrator and returns its standard output; an
    /// error carries what it wrote to standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let admin = self.admin_kubeconfig();
        self.tools.run("kubectl", admin, arguments, None).await
    }

    /// Runs `kubectl` with `input` as its standard input, as in
    /// `kubectl_with_input(&["apply", "-f", "-"], manifest)`.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let admin = self.admin_kubeconfig();
        let input = Some(input);
        self.tools.run("kubectl", admin, arguments, input).await
    }

    /// Runs `kubectl` as the user of another kubeconfig.
    pub async fn kubectl_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
        self.tools.run("kubectl", kubeconfig, arguments, None).await
    }

    /// Runs `helm` as the administrator.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let admin = self.admin_kubeconfig();
        self.tools.run("helm", admin, arguments, None).await
    }

    /// Applies the definitions of a folder, and waits until the API server serves all that there are.
    pub async fn define(&self, folder: &str) -> Result<()> {
        self.kubectl(&["apply", "--server-side", "-f", folder])
            .await?;
        let established = "--for=condition=Established";
        let wait = ["wait", established, "--timeout=30s", "crd", "--all"];
        self.kubectl(&wait).await?;
        Ok(())
    }

    /// Waits, after the chart was installed, until users can be declared in a namespace as they can from then
    /// on. For some seconds after it has got the definitions an API server has no schema for the admission
    /// policy, and answers 503; before it has seen the policy it does without.
    pub async fn await_declarations(&self, namespace: &str) -> Result<()> {
        let kind = "mutatingadmissionpolicies.v1.admissionregistration.k8s.io";
        let policies = self.kubectl(&["get", kind, "-o", "name"]).await;
        let governed = policies.is_ok_and(|names| names.contains("scim-operator"));
        let probe = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": "probe", "namespace": namespace},
            "spec": {"connectionRef": {"name": "probe"}, "userName": "probe@example.com"}
        });
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        eventually("users can be declared", START_DEADLINE, async || {
            let made = self.kubectl_with_input(&create, &probe.to_string()).await?;
            let made: Value = serde_json::from_str(&made)?;
            let bound = made["metadata"]["finalizers"].is_array();
            Ok((bound || !governed).then_some(()))
        })
        .await
    }

    /// A `PATH` on which scripts find the binaries of this plane first.
    pub fn path(&self) -> Result<std::ffi::OsString> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let first = std::iter::once(self.tools.built.clone());
        let rest = std::env::split_paths(OsStr::new(&inherited));
        Ok(std::env::join_paths(first.chain(rest))?)
    }
}
