//! `kubectl scim`: what a change will do, before anything happens, by the operator's own rules.
//!
//! Each subcommand is a module, with its `Arguments` and a `run`. What it found goes to standard output, in the form
//! that was asked for; what it did on the way, and what went wrong, to standard error. Nothing here decides anything
//! about a person: validation, plans and the guard are the operator's (`domain`, `controller::preview`).

pub mod abandon;
pub mod approve;
pub mod backend;
pub mod cluster;
pub mod completion;
pub mod confirm;
pub mod failure;
pub mod import;
pub mod kinds;
pub mod manifests;
pub mod objects;
pub mod paint;
pub mod plan;
pub mod reconcile;
pub mod refused;
pub mod status;
pub mod suspend;
pub mod tame;
pub mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::cluster::Access;
pub use self::failure::Failure;
use self::paint::Colour;

/// See what declared people and groups come to at their SCIM backend, before anything happens.
#[derive(Parser)]
#[command(
    name = "kubectl-scim",
    bin_name = "kubectl scim",
    version,
    propagate_version = true
)]
pub struct Arguments {
    #[command(flatten)]
    access: Access,
    /// Whether what is printed has colours: on a terminal only, unless said.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, env = "SCIM_COLOR")]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Abandon(abandon::Arguments),
    Approve(approve::Arguments),
    #[command(name = "__complete", hide = true)]
    Complete(completion::Words),
    Completion(completion::Arguments),
    Import(Box<import::Arguments>),
    Plan(plan::Arguments),
    Reconcile(reconcile::Arguments),
    Resume(suspend::Resume),
    Status(status::Arguments),
    Suspend(suspend::Suspend),
    Validate(validate::Arguments),
}

/// How a command ended, as its exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// 0: nothing stands in the way.
    Well,
    /// 1: it was found out, and something has to be seen to.
    WithFindings,
}

/// Runs what the command line says. The exit code is 0, 1 where something has to be seen to, and 2 where that could
/// not be found out.
pub async fn run(arguments: Arguments) -> ExitCode {
    // First thing: rustls refuses to guess between providers once two are linked in. A second call changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Arguments {
        access,
        color,
        command,
    } = arguments;
    paint::choose(color);
    let ended = dispatch(&access, command).await;
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::WithFindings) => ExitCode::from(1),
        Err(failure) => {
            anstream::eprintln!(
                "{}error{}: {}",
                paint::BAD.render(),
                paint::BAD.render_reset(),
                tame::tame(&failure.to_string())
            );
            ExitCode::from(2)
        }
    }
}

async fn dispatch(access: &Access, command: Command) -> Result<Ended, Failure> {
    match command {
        Command::Abandon(arguments) => abandon::run(access, arguments).await,
        Command::Approve(arguments) => approve::run(access, arguments).await,
        Command::Complete(words) => completion::complete(Arguments::command(), words).await,
        Command::Completion(arguments) => completion::run(&Arguments::command(), &arguments),
        Command::Import(arguments) => import::run(access, *arguments).await,
        Command::Plan(arguments) => plan::run(access, arguments).await,
        Command::Reconcile(arguments) => reconcile::run(access, arguments).await,
        Command::Resume(arguments) => suspend::resume(access, arguments).await,
        Command::Status(arguments) => status::run(access, arguments).await,
        Command::Suspend(arguments) => suspend::suspend(access, arguments).await,
        Command::Validate(arguments) => validate::run(access, &arguments),
    }
}
