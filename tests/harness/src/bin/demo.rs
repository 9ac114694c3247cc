//! `make demo`: the operator's main job, narrated. Every command is the real one, and what follows it
//! is its real output. It ends with an error when a step does not come true, and cleans up.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use scim_operator_harness::operator::Options;
use scim_operator_harness::servers::ThirdParty;
use scim_operator_harness::{ControlPlane, Operator};

use stage::{DEADLINE, NAMESPACE, SYSTEM, Stage};

#[path = "../demo/backend.rs"]
mod backend;
#[path = "../demo/stage.rs"]
mod stage;
#[path = "../demo/story.rs"]
mod story;

#[tokio::main]
async fn main() -> Result<()> {
    // Charts and examples are named as a person at the top of the repository names them.
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    println!("People declared in Kubernetes are provisioned in a SCIM backend, and kept in step.");
    let simulator = ThirdParty::simulator(&beside("scim-sim")?, story::FIRST_TOKEN).await?;
    let plane = ControlPlane::start().await?;
    let mut stage = Stage::new(plane, simulator.base_url())?;
    let played = play(&mut stage).await;
    // What went wrong first is what is reported.
    played.and(stage.clear().await)?;
    println!("\nDone. Everything that was started is stopped.");
    Ok(())
}

/// Installs, starts the operator, tells the story, and stops the operator whatever came of it.
async fn play(stage: &mut Stage) -> Result<()> {
    install(stage).await?;
    let mut operator = start(stage).await?;
    let told = async {
        operator.await_ready(DEADLINE).await?;
        story::tell(stage).await
    }
    .await;
    if let Err(error) = &told {
        println!("\nThis did not come true: {error:#}\nThe operator's last words:");
        println!("{}", last_lines(&operator.log(), 20));
    }
    // While the operator still runs: its finalizers hold what was declared.
    let undeclared = stage.undeclare().await;
    stage.step("The end: the operator finishes what is in flight and stops.");
    let pid = operator.id();
    let ended = operator.terminate(DEADLINE).await;
    told.and(undeclared)?;
    println!("$ kill -TERM {pid}\n({})", ended?);
    Ok(())
}

async fn install(stage: &mut Stage) -> Result<()> {
    stage.step("A real API server is up. Helm installs the chart: CRDs, rights, Deployment.");
    // Not apply: a namespace that somebody else uses is none of ours.
    stage
        .kubectl(&["create", "-f", "examples/demo/namespace.yaml"])
        .await?;
    stage.created_namespace();
    let access =
        format!(r#"secretAccess=[{{"namespace":"{NAMESPACE}","names":["cybsafe-scim"]}}]"#);
    let install = [
        "install",
        "scim-operator",
        "charts/scim-operator",
        "-n",
        SYSTEM,
        "--create-namespace",
        "--set-json",
        &access,
    ];
    stage.helm(&install).await?;
    stage.installed();
    stage.plane.await_declarations(NAMESPACE).await?;
    if stage.is_existing_cluster() {
        stage.step(
            "On a cluster with nodes the Deployment rests: the operator is to be this build's.",
        );
        stage
            .kubectl(&[
                "scale",
                "deployment",
                "scim-operator",
                "-n",
                SYSTEM,
                "--replicas=0",
            ])
            .await?;
    }
    Ok(())
}

async fn start(stage: &mut Stage) -> Result<Operator> {
    stage.step("The operator runs as a process, with the rights of the chart's ServiceAccount and no others.");
    let kubeconfig = stage
        .plane
        .service_account_kubeconfig(SYSTEM, "scim-operator")
        .await?;
    println!("$ scim-operator run --http-address 127.0.0.1:0 --allow-local-endpoints");
    let mut operator = Operator::start(&Options::new(beside("scim-operator")?, &kubeconfig))?;
    operator.await_ready(DEADLINE).await?;
    println!("{}", operator.log().trim_end());
    Ok(operator)
}

/// A binary of this build.
fn beside(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let binary = this
        .parent()
        .context("the demo lies in no folder")?
        .join(name);
    ensure!(
        binary.exists(),
        "{} is not built; `make demo` builds it",
        binary.display()
    );
    Ok(binary)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
