//! `make bench`: every row of the targets in `docs/performance.md`, with its floor, in one run.
//!
//! `BENCH_USERS` (10000), `BENCH_MANY` (100000; 0 leaves memory and restart out), `BENCH_EDITS` (300),
//! `BENCH_ONLY` (converge,cost,latency,quota,group,many), `BENCH_JSON` (where the figures go as JSON).
//! Ends with an error when something failed, not when a target is missed: the table says that.

use std::path::Path;

use anyhow::Result;
use scim_operator_harness::bench::rig::{DEADLINE, Rig};
use scim_operator_harness::bench::scenes::{self, Sizes};
use scim_operator_harness::bench::table::{Row, markdown};
use scim_operator_harness::bench::variable;
use serde_json::json;

const SCENES: [&str; 6] = ["converge", "cost", "latency", "quota", "group", "many"];

#[tokio::main]
async fn main() -> Result<()> {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    let users = variable("BENCH_USERS", 10_000)?;
    let sizes = Sizes {
        users,
        many: variable("BENCH_MANY", 100_000)?,
        floor: users.clamp(500, 3000),
        edits: variable("BENCH_EDITS", 300)?,
    };
    let only = std::env::var("BENCH_ONLY").unwrap_or_else(|_| SCENES.join(","));
    let only: Vec<&str> = only.split(',').collect();
    let wanted = |scene: &str| only.contains(&scene);
    let mut rows = Vec::new();
    if wanted("converge") {
        let rig = Rig::start(&["bench"]).await?;
        let (found, mut operator, backend) = scenes::converge(&rig, "bench", &sizes).await?;
        say(&mut rows, found);
        let found = scenes::steady(&rig, "bench", &sizes, &operator, &backend).await?;
        say(&mut rows, found);
        let found = scenes::during_repair(&rig, "bench", &sizes, &backend).await?;
        say(&mut rows, found);
        operator.terminate(DEADLINE).await?;
    }
    if ["cost", "latency", "quota", "group"]
        .into_iter()
        .any(wanted)
    {
        let rig = Rig::start(&["cost", "latency", "quota", "group"]).await?;
        let mut operator = rig.operator()?;
        operator.await_ready(DEADLINE).await?;
        if wanted("latency") {
            say(&mut rows, scenes::idle(&rig, "latency", &sizes).await?);
        }
        if wanted("cost") {
            say(&mut rows, scenes::requests(&rig, "cost", 1000).await?);
        }
        if wanted("quota") {
            say(&mut rows, scenes::quota(&rig, "quota", 20_000).await?);
        }
        if wanted("group") {
            let (members, more) = (sizes.users / 2, sizes.users / 20);
            say(
                &mut rows,
                scenes::group(&rig, "group", members, more).await?,
            );
        }
        operator.terminate(DEADLINE).await?;
    }
    if wanted("many") && sizes.many > 0 {
        let rig = Rig::start(&["many"]).await?;
        say(
            &mut rows,
            scenes::restart_and_memory(&rig, "many", &sizes).await?,
        );
    }
    println!("\n{}", markdown(&rows));
    let met = rows.iter().filter(|row| row.met).count();
    println!("{met} of {} targets met", rows.len());
    let path = std::env::var("BENCH_JSON").unwrap_or_else(|_| "target/bench.json".into());
    let cores = std::thread::available_parallelism()?.get();
    let all = json!({"users": sizes.users, "many": sizes.many, "cores": cores, "rows": rows});
    std::fs::write(&path, serde_json::to_string_pretty(&all)?)?;
    println!("{path} has the figures");
    Ok(())
}

/// Prints what was found as soon as it is.
fn say(rows: &mut Vec<Row>, found: Vec<Row>) {
    for row in &found {
        let Row {
            what,
            ours,
            unit,
            ratio,
            met,
            note,
            ..
        } = row;
        let ratio = ratio.map_or_else(String::new, |ratio| format!(", {ratio:.2} of the floor"));
        let met = if *met { "" } else { " (target missed)" };
        eprintln!("{what}: {ours:.3} {unit}{ratio}{met}; {note}");
    }
    rows.extend(found);
}
