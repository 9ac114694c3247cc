//! `make bench-replicas`: connections that one, two and three replicas share, and what a lost one costs.
//!
//! `BENCH_CONNECTIONS` (10), `BENCH_USERS` (400, of each connection), `BENCH_LATENCY_MS` (20),
//! `BENCH_IN_FLIGHT` (2), `BENCH_REPLICAS` (3), `BENCH_MILLICORES` (100, the CPU limit of each replica; 0 for none).

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use scim_operator_harness::bench::replicas::{Found, Sizes, measure};
use scim_operator_harness::bench::variable;

#[tokio::main]
async fn main() -> Result<()> {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    let latency = variable("BENCH_LATENCY_MS", 20)?;
    let sizes = Sizes {
        connections: variable("BENCH_CONNECTIONS", 10)?,
        users: variable("BENCH_USERS", 400)?,
        latency: Duration::from_millis(latency),
        in_flight: variable("BENCH_IN_FLIGHT", 2)?,
        millicores: variable("BENCH_MILLICORES", 100)?,
    };
    let Found {
        floors,
        rates,
        takeover,
    } = measure(sizes, variable("BENCH_REPLICAS", 3)?).await?;
    let cores = std::thread::available_parallelism()?;
    println!("\n| replicas | users/s | of the connections' limits | of the status-write floor |");
    println!("|---|---|---|---|");
    for (replicas, rate) in &rates {
        println!(
            "| {replicas} | {rate:.0} | {:.2} | {:.2} |",
            rate / sizes.quota(),
            rate / floors.statuses
        );
    }
    println!(
        "\n{cores} cores for the API server, etcd, the backends and all replicas; {} connections of {} users, {} in flight each, answers after {latency} ms.",
        sizes.connections, sizes.users, sizes.in_flight
    );
    println!(
        "Together the connections allow {:.0} users/s; the API server takes {:.0} status writes/s, and a new user costs one.",
        sizes.quota(),
        floors.statuses
    );
    println!(
        "Each replica has {}.",
        match sizes.millicores {
            0 => "as much CPU as it gets".to_owned(),
            limit => format!(
                "{limit} thousandths of a core: a CPU limit, which the chart does not set, so that the replicas and not the API server are what it waits for"
            ),
        }
    );
    println!(
        "After SIGKILL the connections of a replica were others' within {:.1} s (lease 15 s and longest request 30 s).",
        takeover.as_secs_f64()
    );
    Ok(())
}
