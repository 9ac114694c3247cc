//! Killed at any write of a short life of one person and one group, the operator ends where it would
//! have ended. `make crash-points` does the same at every request of a longer workload.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use scim_operator_harness::crash_points::{
    campaign::campaign,
    lane::Lane,
    selection::{Requests, Selection},
    workload,
};

#[tokio::test(flavor = "multi_thread")]
async fn r01_r04_killed_at_any_write_it_makes_nobody_twice_and_harms_no_stranger() -> Result<()> {
    let selection = Selection {
        requests: Requests::Writes,
        ..Selection::default()
    };
    let binary = env!("CARGO_BIN_EXE_scim-operator");
    let lanes = (0..selection.lanes).map(|_| Lane::start(binary.into()));
    let lanes = try_join_all(lanes).await?;
    let scenarios = [workload::person_in_short(), workload::group_in_short()];
    let report = campaign(&lanes, &scenarios, &selection).await?;
    println!("{report}");
    ensure!(
        report.holds(),
        "{:#?}\n{:#?}",
        report.failures,
        report.logs()
    );
    let total = report.total();
    // What the rig shows is as good as what it reached.
    ensure!(total.converged + total.not_reached == total.runs);
    ensure!(total.converged * 10 >= total.runs * 9, "{report}");
    Ok(())
}
