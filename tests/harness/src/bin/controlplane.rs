//! Starts a control plane for a person: prints how to reach it, runs until
//! Ctrl-C or SIGTERM.
//!
//! `cargo run -p scim-operator-harness --bin controlplane`, and in another shell
//! the two lines that it prints.

use anyhow::Result;
use scim_operator_harness::ControlPlane;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<()> {
    let plane = ControlPlane::start().await?;
    println!("export KUBECONFIG={}", plane.admin_kubeconfig().display());
    println!("export PATH={}", plane.path()?.display());
    eprintln!("The control plane is ready. Ctrl-C stops it.");
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}
