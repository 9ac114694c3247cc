//! A hundred thousand users: how long a restart takes, and how much memory they need.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Sizes, patience};
use crate::bench::rig::{DEADLINE, Rig, simulator};
use crate::bench::samples::{Requests, memory};
use crate::bench::table::Row;

/// After a start, nothing has to have been written for so long.
const QUIET: Duration = Duration::from_secs(5);

/// Converges them, ends the operator, starts it anew, and looks at it when it is in step.
///
/// # Errors
/// When it does not come to an end.
pub async fn restart_and_memory(rig: &Rig, namespace: &str, sizes: &Sizes) -> Result<Vec<Row>> {
    let backend = simulator().await?;
    let many = sizes.many;
    rig.declare(namespace, 0..many).await?;
    let spec = json!({"dialect": {"pageSize": 1000}});
    rig.connect(namespace, &backend.base_url(), spec).await?;
    let begun = Instant::now();
    let mut operator = rig.operator()?;
    rig.in_step(namespace, many, patience(many)).await?;
    let converged = begun.elapsed().as_secs_f64();
    let first = memory(operator.id())?;
    eprintln!("{many} users in step after {converged:.0} s: {first:?}");
    operator.terminate(DEADLINE).await?;

    let counted = Requests::now(&rig.client).await?;
    backend.clear_requests();
    let begun = Instant::now();
    let mut operator = rig.operator()?;
    let looked_at = format!("every user was looked at connection={namespace}/scim");
    operator.await_log(&looked_at, patience(many)).await?;
    let took = begun.elapsed().as_secs_f64();
    tokio::time::sleep(QUIET).await;
    let requests = Requests::now(&rig.client).await?;
    let writes = requests.writes_since(&counted, "scimusers")
        + requests.writes_since(&counted, "scimgroups");
    let of_the_connection = requests.writes_since(&counted, "scimconnections");
    let counts = backend.request_counts();
    let posts = counts.by_endpoint.iter();
    let posts: u64 = posts
        .filter(|(endpoint, _)| !endpoint.starts_with("GET "))
        .map(|(_, count)| count)
        .sum();
    let now = memory(operator.id())?;
    let ratio = now.peak / now.resident;
    operator.terminate(DEADLINE).await?;
    Ok(vec![
        Row::bound(
            &format!("restart, {many} in step: writes"),
            "0",
            (writes + posts) as f64,
            "writes",
            writes + posts == 0,
        )
        .noting(format!(
            "of users and groups, and at the backend; {of_the_connection} of the connection, whose lastFullSync is another"
        )),
        Row::bound(
            &format!("restart, {many} in step: steady after"),
            "≤ 10 s",
            took,
            "s",
            took <= 10.0,
        )
        .noting(format!("{} GETs", counts.total - posts)),
        Row::bound(
            &format!("resident memory, {many} users"),
            "≤ 200 MiB",
            now.resident,
            "MiB",
            now.resident <= 200.0,
        )
        .noting(format!(
            "after the restart; {:.0} MiB after the converge, peak {:.0}",
            first.resident, first.peak
        )),
        Row::bound(
            &format!("peak memory ÷ steady, {many} users"),
            "≤ 1.5",
            ratio,
            "",
            ratio <= 1.5,
        )
        .noting(format!("peak {:.0} MiB", now.peak)),
    ])
}
