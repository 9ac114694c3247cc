//! The demo's stage: numbered steps, real commands shown with their real output, and the cleaning up.

use std::time::Duration;

use anyhow::{Result, anyhow};
use scim_operator_harness::ControlPlane;

use crate::backend::Backend;

/// Where people are declared.
pub const NAMESPACE: &str = "identity";
/// Where the chart is installed.
pub const SYSTEM: &str = "scim-system";
/// The longest that a step may take.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What the story plays on.
pub struct Stage {
    /// The cluster.
    pub plane: ControlPlane,
    /// The backend, as its own administrator sees it.
    pub backend: Backend,
    existing_cluster: bool,
    steps: u32,
    namespace: bool,
    release: bool,
}

impl Stage {
    /// Nothing is installed yet.
    pub fn new(plane: ControlPlane, base_url: &str) -> Result<Stage> {
        Ok(Stage {
            plane,
            backend: Backend::new(base_url)?,
            existing_cluster: std::env::var("SCIM_OPERATOR_USE_KUBECONFIG").is_ok_and(|v| v == "1"),
            steps: 0,
            namespace: false,
            release: false,
        })
    }

    /// Whether the cluster was there before us, and is there after us.
    pub fn is_existing_cluster(&self) -> bool {
        self.existing_cluster
    }

    /// The namespace is ours to delete.
    pub fn created_namespace(&mut self) {
        self.namespace = true;
    }

    /// The release is ours to uninstall.
    pub fn installed(&mut self) {
        self.release = true;
    }

    /// Begins a step.
    pub fn step(&mut self, what: &str) {
        self.steps += 1;
        println!("\n{}. {what}", self.steps);
    }

    /// Runs and shows `kubectl`.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        show("kubectl", arguments);
        said(self.plane.kubectl(arguments).await?)
    }

    /// Runs and shows `helm`.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        show("helm", arguments);
        said(self.plane.helm(arguments).await?)
    }

    /// Runs and shows `kubectl -n identity`.
    pub async fn here(&self, arguments: &[&str]) -> Result<String> {
        let arguments = [arguments, &["-n", NAMESPACE]].concat();
        self.kubectl(&arguments).await
    }

    /// Runs and shows `kubectl wait` on something in the namespace.
    pub async fn wait(&self, what: &str, resources: &[&str]) -> Result<()> {
        let seconds = format!("--timeout={}s", DEADLINE.as_secs());
        let arguments = [&["wait", what, &seconds], resources].concat();
        self.here(&arguments).await.map(|_| ())
    }

    /// Shows one condition: status, reason, message.
    pub async fn condition(&self, resource: &str, condition: &str) -> Result<String> {
        let one = format!(".status.conditions[?(@.type==\"{condition}\")]");
        let path = format!("-o=jsonpath={{{one}.status}} {{{one}.reason}}: {{{one}.message}}");
        self.here(&["get", resource, &path]).await
    }

    /// On a cluster that stays: takes back what was declared, while the operator can let it go.
    pub async fn undeclare(&mut self) -> Result<()> {
        if !self.existing_cluster || !self.namespace {
            return Ok(());
        }
        self.step("The cluster stays, so what was declared in it is taken back first.");
        let users = self
            .here(&["delete", "scimusers", "--all", "--timeout=60s"])
            .await;
        let connections = self
            .here(&["delete", "scimconnections", "--all", "--timeout=60s"])
            .await;
        users.and(connections).map(|_| ())
    }

    /// On a cluster that stays: takes back what was installed. Another one goes as a whole.
    pub async fn clear(&mut self) -> Result<()> {
        if !self.existing_cluster {
            return Ok(());
        }
        let mut failed = Vec::new();
        if self.release {
            failed.extend(
                self.helm(&["uninstall", "scim-operator", "-n", SYSTEM])
                    .await
                    .err(),
            );
            failed.extend(
                self.kubectl(&["delete", "namespace", SYSTEM, "--wait=false"])
                    .await
                    .err(),
            );
        }
        if self.namespace {
            failed.extend(
                self.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])
                    .await
                    .err(),
            );
        }
        failed
            .into_iter()
            .next()
            .map_or(Ok(()), |error| Err(anyhow!(error)))
    }
}

/// Shows a command so that it can be pasted into a shell.
pub fn show(program: &str, arguments: &[&str]) {
    let quoted = arguments.iter().map(|argument| {
        let plain = |c: char| c.is_alphanumeric() || "-_=./,:@".contains(c);
        match argument.chars().all(plain) {
            true => (*argument).to_owned(),
            false => format!("'{argument}'"),
        }
    });
    println!("$ {program} {}", quoted.collect::<Vec<_>>().join(" "));
}

/// Shows what a command said.
pub fn said(text: String) -> Result<String> {
    println!("{}", text.trim_end());
    Ok(text)
}
