//! `scim-sim`: the simulator as a process, for demonstrations and for tests from outside.
//!
//! It prints its SCIM base URL as the only line on standard output.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scim_sim::{
    BulkLimits, DEFAULT_TOKEN, Dialect, Faults, ReactivationReply, SimConfig, Simulator,
};

/// A simulator of CybSafe's SCIM 2.0 endpoint, in memory.
#[derive(Debug, Parser)]
#[command(name = "scim-sim")]
struct Arguments {
    /// The address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The environment variable that holds the bearer token.
    #[arg(long, default_value = "SCIM_TOKEN")]
    token_env: String,
    /// The path of the SCIM endpoints.
    #[arg(long, default_value = "/scim/v2")]
    base_path: String,
    /// The most resources on a page.
    #[arg(long, default_value_t = 100)]
    page_cap: usize,
    /// The answer to a POST for an archived user: 200, 201 or 409.
    #[arg(long, default_value = "200", value_parser = reactivation)]
    reactivate_on_create: ReactivationReply,
    /// Offer Bulk.
    #[arg(long)]
    bulk: bool,
    /// Offer entity tags.
    #[arg(long)]
    etag: bool,
    /// DELETE archives users.
    #[arg(long)]
    delete_archives: bool,
    /// Understand externalId in filters.
    #[arg(long)]
    filter_external_id: bool,
    /// Faults to start with, as JSON.
    #[arg(long, value_parser = faults)]
    faults: Option<Faults>,
    /// Also write the base URL to this file, once it is listened on.
    #[arg(long)]
    url_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scim-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    let token = std::env::var(&arguments.token_env).unwrap_or_else(|_| {
        eprintln!(
            "{} is not set; the token is {DEFAULT_TOKEN}",
            arguments.token_env
        );
        DEFAULT_TOKEN.to_owned()
    });
    let simulator = Simulator::start(SimConfig {
        listen: arguments.listen,
        tokens: vec![token],
        base_path: arguments.base_path,
        page_cap: arguments.page_cap,
        dialect: Dialect {
            reactivate_on_create: arguments.reactivate_on_create,
            bulk: arguments.bulk.then(BulkLimits::default),
            etag: arguments.etag,
            delete_archives: arguments.delete_archives,
            filter_external_id: arguments.filter_external_id,
            ..Dialect::default()
        },
        faults: arguments.faults.unwrap_or_default(),
        ..SimConfig::default()
    })
    .await?;
    println!("{}", simulator.base_url());
    if let Some(file) = arguments.url_file {
        std::fs::write(file, simulator.base_url())?;
    }
    simulator.serve().await;
    Ok(())
}

fn reactivation(text: &str) -> Result<ReactivationReply, String> {
    text.parse::<u16>()
        .map_err(|error| error.to_string())?
        .try_into()
}

fn faults(text: &str) -> Result<Faults, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
