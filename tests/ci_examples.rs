//! The pipelines of docs/cli/ci.md do what they say: their commands run, in the shell that runs them there, with the real
//! plugin, and what talks to a forge is written down instead.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Each test binary uses its own part.
#[path = "docs/markdown.rs"]
mod markdown;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use scim_operator_harness::scratch::Scratch;
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};

const TOKEN: &str = "a-token-of-the-pipeline";

/// The pipelines of the page.
fn pipelines() -> Result<Vec<Value>> {
    let pages = markdown::pages();
    let page = pages.iter().find(|page| page.path.ends_with("cli/ci.md"));
    let fences = page.context("docs/cli/ci.md")?.fences();
    let fences = fences.into_iter().filter(|fence| fence.info == "yaml,ci");
    fences
        .map(|fence| Ok(serde_saphyr::from_str(&fence.text)?))
        .collect()
}

/// The commands of a pipeline, in their order; one shell each on GitHub, and one for all on GitLab.
fn scripts(pipeline: &Value) -> Vec<String> {
    let lines = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match pipeline.pointer("/jobs/scim/steps") {
        Some(steps) => {
            let steps = steps.as_array().into_iter().flatten();
            steps
                .filter_map(|step| step["run"].as_str())
                .map(str::to_owned)
                .collect()
        }
        None => {
            let job = &pipeline["scim"];
            vec![
                [lines(&job["before_script"]), lines(&job["script"])]
                    .concat()
                    .join("\n"),
            ]
        }
    }
}

/// A repository, and the tools that a runner has.
struct Runner {
    scratch: Scratch,
    simulator: Simulator,
}

impl Runner {
    async fn new() -> Result<Self> {
        let scratch = Scratch::create()?;
        let simulator = Simulator::start(SimConfig {
            tokens: vec![TOKEN.into()],
            ..SimConfig::default()
        })
        .await?;
        let runner = Self { scratch, simulator };
        for folder in ["tools", "tmp", "repository", "archive"] {
            std::fs::create_dir(runner.scratch.join(folder))?;
        }
        let plugin = env!("CARGO_BIN_EXE_kubectl-scim");
        runner.tool("kustomize", "exec kubectl kustomize \"${@:2}\"")?;
        // What would go to the forge: the last argument that is a text, or a file of it.
        let log = runner.scratch.join("forge.log");
        for forge in ["gh", "glab"] {
            runner.tool(
                forge,
                &format!(
                    "printf '%s\\n' {forge} \"$@\" >> {}; [ \"$1\" != pr ] || cat \"$5\" >> {}",
                    log.display(),
                    log.display()
                ),
            )?;
        }
        let archive = runner.scratch.join("kubectl-scim.tar.gz");
        runner.tool("curl", &format!("exec cat {}", archive.display()))?;
        std::fs::copy(plugin, runner.scratch.join("archive/kubectl-scim"))?;
        let packed = Command::new("tar")
            .args(["-czf", archive.to_str().unwrap(), "-C"])
            .arg(runner.scratch.join("archive"))
            .arg("kubectl-scim")
            .status()?;
        ensure!(packed.success());
        runner.declare()?;
        Ok(runner)
    }

    fn tool(&self, name: &str, does: &str) -> Result<()> {
        let path = self.scratch.join("tools").join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{does}\n"))?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
        Ok(())
    }

    /// Git in the repository; what it says.
    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(self.repository())
            .output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", told(&output));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// What is declared is merged, and known to the forge.
    fn merge(&self) -> Result<()> {
        let origin = self.scratch.join("origin");
        self.git(&["init", "-q"])?;
        self.git(&["init", "-q", "--bare", origin.to_str().unwrap()])?;
        self.git(&["remote", "add", "origin", origin.to_str().unwrap()])?;
        self.git(&["add", "."])?;
        self.git(&["commit", "-qm", "before"])?;
        self.git(&["push", "-q", "origin", "HEAD:refs/heads/main"])?;
        Ok(())
    }

    /// The change, as it is checked out: one commit.
    fn commit(&self) -> Result<()> {
        self.git(&["reset", "-q", "--soft", "origin/main"])?;
        self.git(&["commit", "-qam", "change"]).map(drop)
    }

    fn repository(&self) -> PathBuf {
        self.scratch.join("repository")
    }

    fn write(&self, name: &str, manifest: &Value) -> Result<()> {
        std::fs::write(self.repository().join(name), manifest.to_string())?;
        Ok(())
    }

    /// A connection and one who has an account are merged, and of a change one comes and that one goes.
    fn declare(&self) -> Result<()> {
        self.write("connection.yaml", &json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection",
            "metadata": {"name": "cybsafe", "namespace": "identity"},
            "spec": {"endpoint": self.simulator.base_url(), "insecure": true, "tokenSecretRef": {"name": "t", "key": "token"}},
        }))?;
        self.person("grace", "GB")?;
        self.person("ada", "GB")?;
        self.builds(&["connection.yaml", "grace.yaml"])?;
        self.simulator.insert_user(json!({
            "userName": "grace@example.com", "externalId": "hr-grace", "active": true,
            "name": {"givenName": "grace", "familyName": "Lovelace"},
        }));
        self.merge()?;
        self.builds(&["connection.yaml", "ada.yaml"])?;
        self.commit()
    }

    fn builds(&self, resources: &[&str]) -> Result<()> {
        self.write(
            "kustomization.yaml",
            &json!({
                "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
                "namespace": "identity", "resources": resources,
            }),
        )
    }

    fn person(&self, name: &str, country: &str) -> Result<()> {
        let address = format!("{name}@example.com");
        self.write(&format!("{name}.yaml"), &json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": name, "namespace": "identity"},
            "spec": {
                "connectionRef": {"name": "cybsafe"}, "userName": address, "externalId": format!("hr-{name}"),
                "name": {"givenName": name, "familyName": "Lovelace"},
                "emails": [{"type": "work", "value": address, "primary": true}],
                "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
                "addresses": [{"type": "work", "country": country}], "preferredLanguage": "en-GB",
            },
        }))
    }

    /// One shell, as runners start it; what an earlier one put into `GITHUB_PATH` is in its PATH.
    fn shell(&self, script: &str) -> Result<Output> {
        let added = self.scratch.join("github-path");
        let mut path = std::fs::read_to_string(&added)
            .unwrap_or_default()
            .replace('\n', ":");
        path += &format!("{}:", self.scratch.join("tools").display());
        path += &std::env::var("PATH")?;
        let run = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
            .current_dir(self.repository())
            .env("PATH", path)
            .env("RUNNER_TEMP", self.scratch.join("tmp"))
            .env("GITHUB_PATH", &added)
            .env("KUBECTL_SCIM_ARCHIVE", "the archive")
            .env("SCIM_TOKEN", TOKEN)
            .env("SCIM_ORIGIN", self.simulator.base_url())
            .env("ALLOW_LOCAL_ENDPOINTS", "true")
            .env("NUMBER", "7")
            .env("CI_MERGE_REQUEST_IID", "7")
            .env(
                "CI_MERGE_REQUEST_DIFF_BASE_SHA",
                self.git(&["rev-parse", "HEAD^"])?,
            )
            .env("KUBECONFIG", "/nowhere")
            .output()?;
        Ok(run)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.scratch.join("forge.log")).unwrap_or_default()
    }
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{:?} {} {}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn sarif(repository: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(repository.join("scim.sarif"))?;
    Ok(serde_json::from_str(&text)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_right_is_commented_with_its_plan() -> Result<()> {
    let pipelines = pipelines()?;
    ensure!(
        pipelines.len() == 2,
        "one for each forge: {}",
        pipelines.len()
    );
    for pipeline in &pipelines {
        let runner = Runner::new().await?;
        let scripts = scripts(pipeline);
        ensure!(!scripts.is_empty(), "{pipeline}");
        for script in scripts {
            let output = runner.shell(&script)?;
            ensure!(output.status.success(), "{script}: {}", told(&output));
        }
        let said = runner.said();
        ensure!(said.contains("SCIM plan"), "{said}");
        ensure!(said.contains("| create | ScimUser identity/ada"), "{said}");
        ensure!(
            said.contains("| archive | ScimUser identity/grace"),
            "{said}"
        );
        ensure!(!said.contains("Lovelace"), "no values: {said}");
        let users = runner.simulator.users();
        ensure!(
            users.len() == 1 && users[0]["active"] == true,
            "a plan writes nothing"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_breaks_a_rule_fails_at_its_line() -> Result<()> {
    for pipeline in &pipelines()? {
        let runner = Runner::new().await?;
        runner.person("ada", "Atlantis")?;
        runner.commit()?;
        let mut failed = None;
        for script in scripts(pipeline) {
            let output = runner.shell(&script)?;
            if !output.status.success() {
                failed = Some((script, output));
                break;
            }
        }
        let (script, output) = failed.context("it passed")?;
        ensure!(script.contains("validate"), "{script}: {}", told(&output));
        ensure!(output.status.code() == Some(1), "{}", told(&output));
        if script.contains("sarif") {
            let found = sarif(&runner.repository())?;
            let results = found["runs"][0]["results"].as_array().context("results")?;
            let at = results.iter().any(|result| {
                let place = &result["locations"][0]["physicalLocation"];
                place["artifactLocation"]["uri"] == "ada.yaml" && result["level"] == "error"
            });
            ensure!(at, "{found}");
        }
        ensure!(
            !told(&output).contains("Atlantis"),
            "no values: {}",
            told(&output)
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_endpoint_does_not_get_the_token() -> Result<()> {
    for pipeline in &pipelines()? {
        let runner = Runner::new().await?;
        let thief = Simulator::start(SimConfig::default()).await?;
        let text = std::fs::read_to_string(runner.repository().join("connection.yaml"))?;
        let text = text.replace(&runner.simulator.base_url(), &thief.base_url());
        std::fs::write(runner.repository().join("connection.yaml"), text)?;
        runner.commit()?;
        let mut outputs = Vec::new();
        for script in scripts(pipeline) {
            outputs.push(runner.shell(&script)?);
        }
        let refused = outputs
            .iter()
            .any(|output| told(output).contains("--origin"));
        ensure!(
            refused,
            "{:?}",
            outputs.iter().map(told).collect::<Vec<_>>()
        );
        ensure!(thief.requests().is_empty(), "it was asked, with the token");
    }
    Ok(())
}
