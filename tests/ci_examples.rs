//! The pipelines of docs/cli/ci.md do what they say: their commands run, in the shell that runs them there, with the real
//! plugin, and what talks to a forge is written down instead.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "ci_examples/forge.rs"]
mod forge;
#[allow(dead_code)] // Each test binary uses its own part.
#[path = "docs/markdown.rs"]
mod markdown;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use forge::Forge;
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

/// The commands of one shell, and whether the token is in its environment.
struct Script {
    text: String,
    has_token: bool,
}

/// The commands of a pipeline, in their order; one shell each on GitHub, and one for all on GitLab, where a variable of
/// the project is in all of them.
fn scripts(pipeline: &Value) -> Vec<Script> {
    let lines = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match pipeline.pointer("/jobs/scim/steps") {
        Some(steps) => {
            let of_job = pipeline["jobs"]["scim"]["env"]["SCIM_TOKEN"].is_string();
            let steps = steps.as_array().into_iter().flatten();
            let script = |step: &Value| {
                Some(Script {
                    text: step["run"].as_str()?.to_owned(),
                    has_token: of_job || step["env"]["SCIM_TOKEN"].is_string(),
                })
            };
            steps.filter_map(script).collect()
        }
        None => {
            let job = &pipeline["scim"];
            let text = [lines(&job["before_script"]), lines(&job["script"])].concat();
            vec![Script {
                text: text.join("\n"),
                has_token: true,
            }]
        }
    }
}

/// How many commits are checked out: what the page says on GitHub, and one on GitLab, where a project may say so.
fn depth(pipeline: &Value) -> u64 {
    let steps = pipeline
        .pointer("/jobs/scim/steps")
        .and_then(Value::as_array);
    let mut steps = steps.into_iter().flatten();
    let said = steps.find_map(|step| step["with"]["fetch-depth"].as_u64());
    said.unwrap_or(1)
}

/// What is checked out: GitHub has merged it ahead, and GitLab has where a project wants it.
fn ways(pipeline: &Value) -> &'static [bool] {
    if pipeline.get("jobs").is_some() {
        &[true]
    } else {
        &[true, false]
    }
}

/// A repository, and the tools that a runner has.
struct Runner {
    scratch: Scratch,
    simulator: Simulator,
    forge: Forge,
    clients: PathBuf,
}

impl Runner {
    async fn new() -> Result<Self> {
        let scratch = Scratch::create()?;
        let simulator = Simulator::start(SimConfig {
            tokens: vec![TOKEN.into()],
            ..SimConfig::default()
        })
        .await?;
        for name in ["grace", "zoe"] {
            simulator.insert_user(json!({
                "userName": format!("{name}@example.com"), "externalId": format!("hr-{name}"), "active": true,
                "name": {"givenName": name, "familyName": "Lovelace"},
                "emails": [{"type": "work", "value": format!("{name}@example.com"), "primary": true}],
                "phoneNumbers": [{"type": "mobile", "value": "+447700900123"}],
                "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en-GB",
            }));
        }
        let forge = Forge::new(scratch.path(), &simulator.base_url())?;
        let runner = Self {
            scratch,
            simulator,
            forge,
            clients: scim_operator_harness::tools::clients().await?,
        };
        for folder in ["tools", "tmp", "archive"] {
            std::fs::create_dir(runner.scratch.join(folder))?;
        }
        let plugin = env!("CARGO_BIN_EXE_kubectl-scim");
        // What it builds is of whoever asks for the change.
        runner.tool(
            "kustomize",
            "[ -z \"${SCIM_TOKEN:-}\" ] || { echo 'it sees the token' >&2; exit 9; }\nexec kubectl kustomize \"${@:2}\"",
        )?;
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
        Ok(runner)
    }

    fn tool(&self, name: &str, does: &str) -> Result<()> {
        let path = self.scratch.join("tools").join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{does}\n"))?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
        Ok(())
    }

    fn repository(&self) -> PathBuf {
        self.scratch.join("repository")
    }

    /// Every command of a pipeline, up to one that fails; of the change once merged, or of its branch.
    fn run(&self, pipeline: &Value, merged: bool) -> Result<Vec<(String, Output)>> {
        let depth = depth(pipeline);
        self.forge.check_out(&self.repository(), merged, depth)?;
        let mut outputs = Vec::new();
        for script in scripts(pipeline) {
            let output = self.shell(&script, merged)?;
            let is_well = output.status.success();
            outputs.push((script.text, output));
            if !is_well {
                break;
            }
        }
        ensure!(!outputs.is_empty(), "{pipeline}");
        Ok(outputs)
    }

    /// One shell, as runners start it; what an earlier one put into `GITHUB_PATH` is in its PATH.
    fn shell(&self, script: &Script, merged: bool) -> Result<Output> {
        let added = self.scratch.join("github-path");
        let mut path = std::fs::read_to_string(&added)
            .unwrap_or_default()
            .replace('\n', ":");
        path += &format!("{}:", self.scratch.join("tools").display());
        path += &format!("{}:", self.clients.display());
        path += &std::env::var("PATH")?;
        let target = if merged { &*self.forge.target } else { "" };
        let token = script.has_token.then_some(("SCIM_TOKEN", TOKEN));
        let run = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c"])
            .arg(&script.text)
            .current_dir(self.repository())
            .env("PATH", path)
            .env("RUNNER_TEMP", self.scratch.join("tmp"))
            .env("GITHUB_PATH", &added)
            .env("KUBECTL_SCIM_ARCHIVE", "the archive")
            .env_remove("SCIM_TOKEN")
            .envs(token)
            .env("SCIM_ORIGIN", self.simulator.base_url())
            .env("ALLOW_LOCAL_ENDPOINTS", "true")
            .env("NUMBER", "7")
            .env("CI_MERGE_REQUEST_IID", "7")
            .env("CI_MERGE_REQUEST_DIFF_BASE_SHA", &self.forge.base)
            .env("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", target)
            .env("TMPDIR", self.scratch.join("tmp"))
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
    let all = pipelines
        .iter()
        .flat_map(|pipeline| ways(pipeline).iter().map(move |way| (pipeline, *way)));
    for (pipeline, merged) in all {
        let runner = Runner::new().await?;
        for (script, output) in runner.run(pipeline, merged)? {
            ensure!(output.status.success(), "{script}: {}", told(&output));
        }
        let said = runner.said();
        ensure!(said.contains("SCIM plan"), "{said}");
        ensure!(said.contains("| create | ScimUser identity/ada"), "{said}");
        ensure!(
            said.contains("| archive | ScimUser identity/grace"),
            "{said}"
        );
        ensure!(
            !said.contains("zoe"),
            "what others have merged is not of this change: {said}"
        );
        ensure!(!said.contains("Lovelace"), "no values: {said}");
        let users = runner.simulator.users();
        let is_as_before = users.len() == 2 && users.iter().all(|user| user["active"] == true);
        ensure!(is_as_before, "a plan writes nothing");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_breaks_a_rule_fails_at_its_line() -> Result<()> {
    for pipeline in &pipelines()? {
        let runner = Runner::new().await?;
        runner.forge.person("ada", "Atlantis")?;
        let (script, output) = runner.run(pipeline, true)?.pop().context("nothing ran")?;
        ensure!(!output.status.success(), "it passed");
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
        runner.forge.leads_to(&thief.base_url())?;
        let (script, output) = runner.run(pipeline, true)?.pop().context("nothing ran")?;
        ensure!(
            told(&output).contains("at none of the origins that --origin allows"),
            "{script}: {}",
            told(&output)
        );
        ensure!(thief.requests().is_empty(), "it was asked, with the token");
    }
    Ok(())
}
