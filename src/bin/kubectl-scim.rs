//! `kubectl scim`: see, plan and import before anything happens. `cli` is all of it.

use std::process::ExitCode;

use clap::Parser;
use scim_operator::cli::{Arguments, run};

#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse()).await
}
