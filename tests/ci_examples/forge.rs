//! A repository at a forge, with a change that is asked for, and what a runner checks out of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// Git in a folder; what it says.
fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The forge, and somebody's clone of its repository.
pub struct Forge {
    origin: PathBuf,
    clone: PathBuf,
    /// Where the change began.
    pub base: String,
    /// What it goes into, which has moved on since.
    pub target: String,
}

impl Forge {
    /// A repository in which Grace is declared, and a change by which Ada comes and Grace goes. Meanwhile somebody
    /// else's change was merged, by which Zoe came.
    pub fn new(folder: &Path, endpoint: &str) -> Result<Self> {
        let mut forge = Self {
            origin: folder.join("origin"),
            clone: folder.join("clone"),
            base: String::new(),
            target: String::new(),
        };
        std::fs::create_dir_all(&forge.clone)?;
        git(folder, &["init", "-q", "--bare", "origin"])?;
        // As forges allow it.
        git(
            &forge.origin,
            &["config", "uploadpack.allowAnySHA1InWant", "true"],
        )?;
        git(&forge.clone, &["init", "-q"])?;
        git(&forge.clone, &["remote", "add", "origin", &forge.url()])?;
        forge.leads_to(endpoint)?;
        for name in ["grace", "ada", "zoe"] {
            forge.person(name, "GB")?;
        }
        forge.builds(&["connection.yaml", "grace.yaml"])?;
        forge.base = forge.commit("before", &[])?;
        forge.builds(&["connection.yaml", "grace.yaml", "zoe.yaml"])?;
        forge.target = forge.commit("zoe", &[&forge.base])?;
        git(
            &forge.clone,
            &[
                "push",
                "-q",
                "origin",
                &format!("{}:refs/heads/main", forge.target),
            ],
        )?;
        forge.builds(&["connection.yaml", "ada.yaml", "zoe.yaml"])?;
        Ok(forge)
    }

    fn url(&self) -> String {
        // Of a path alone Git makes no shallow clone.
        format!("file://{}", self.origin.display())
    }

    /// A commit of all that lies in the clone.
    fn commit(&self, message: &str, parents: &[&str]) -> Result<String> {
        git(&self.clone, &["add", "-A"])?;
        let tree = git(&self.clone, &["write-tree"])?;
        let parents = parents.iter().flat_map(|parent| ["-p", parent]);
        let arguments: Vec<&str> = ["commit-tree", &tree, "-m", message]
            .into_iter()
            .chain(parents)
            .collect();
        git(&self.clone, &arguments)
    }

    /// Checks out what the change comes to once it is merged, or the change as it is, with so many commits before it.
    pub fn check_out(&self, into: &Path, merged: bool, depth: u64) -> Result<()> {
        let head = if merged {
            let change = self.commit("change", &[&self.base])?;
            self.commit("merge", &[&self.target, &change])?
        } else {
            self.builds(&["connection.yaml", "ada.yaml"])?;
            self.commit("change", &[&self.base])?
        };
        let to = format!("{head}:refs/heads/head");
        git(&self.clone, &["push", "-qf", "origin", &to])?;
        std::fs::create_dir(into)?;
        git(into, &["init", "-q"])?;
        git(into, &["remote", "add", "origin", &self.url()])?;
        let depth = format!("--depth={depth}");
        git(into, &["fetch", "-q", &depth, "origin", "head"])?;
        git(into, &["checkout", "-q", "FETCH_HEAD"]).map(drop)
    }

    fn write(&self, name: &str, manifest: &Value) -> Result<()> {
        Ok(std::fs::write(self.clone.join(name), manifest.to_string())?)
    }

    /// The connection is at this endpoint.
    pub fn leads_to(&self, endpoint: &str) -> Result<()> {
        let connection = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection",
            "metadata": {"name": "cybsafe", "namespace": "identity"},
            "spec": {"endpoint": endpoint, "insecure": true, "tokenSecretRef": {"name": "t", "key": "token"}},
        });
        self.write("connection.yaml", &connection)
    }

    fn builds(&self, resources: &[&str]) -> Result<()> {
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "namespace": "identity", "resources": resources,
        });
        self.write("kustomization.yaml", &kustomization)
    }

    /// Somebody lives there.
    pub fn person(&self, name: &str, country: &str) -> Result<()> {
        let address = format!("{name}@example.com");
        let person = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": name, "namespace": "identity"},
            "spec": {
                "connectionRef": {"name": "cybsafe"}, "userName": address, "externalId": format!("hr-{name}"),
                "name": {"givenName": name, "familyName": "Lovelace"},
                "emails": [{"type": "work", "value": address, "primary": true}],
                "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
                "addresses": [{"type": "work", "country": country}], "preferredLanguage": "en-GB",
            },
        });
        self.write(&format!("{name}.yaml"), &person)
    }
}
