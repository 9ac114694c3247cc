//! `make crash-points`: kills the operator at every request of the canonical workload, in three ways, and
//! says what came of it. `CRASH_POINTS=writes` takes fewer requests, `ONLY=groups:17:after-commit` one
//! point; `SHARD=1/4`, `FROM=100` and `LANES=2` share the work out.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use scim_operator_harness::crash_points::{
    campaign::campaign, lane::Lane, selection::Selection, workload::workload,
};

#[tokio::main]
async fn main() -> ExitCode {
    match enumerate().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crash-points: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held.
async fn enumerate() -> Result<bool> {
    let selection = Selection::from_environment()?;
    let this = std::env::current_exe()?;
    let built = this.parent().context("this binary lies in no folder")?;
    let binary = built.join("scim-operator");
    ensure!(
        binary.exists(),
        "{} is not built; `make crash-points` builds it",
        binary.display()
    );
    let lanes = (0..selection.lanes).map(|_| Lane::start(binary.clone()));
    let lanes = try_join_all(lanes).await?;
    let report = campaign(&lanes, &workload(), &selection).await?;
    println!();
    for failure in &report.failures {
        println!("{failure}");
    }
    println!("{report}");
    report.keep(built.parent().unwrap_or(built))?;
    Ok(report.holds())
}
