//! `status`: how a connection is, on one screen; who of its users and groups is not in step, and what waits for whom.
//!
//! Everything is read from the API server, but for what the operator alone knows, which its figures tell. Whether
//! somebody is in step is the operator's to say: here its conditions are repeated.

pub mod facts;
mod figures;
mod findings;
mod gather;
mod screen;
mod watch;

use std::io::IsTerminal;

use anstream::{eprintln, print};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use self::facts::Facts;
use super::cluster::{Access, Cluster};
use super::kinds::Target;
use super::{Ended, Failure, paint};

const EXAMPLES: &str = "Examples:
  # Each connection of this namespace on a line
  kubectl scim status -n identity

  # One connection, and who of it is not in step
  kubectl scim status cybsafe -n identity

  # The same, for as long as somebody looks
  kubectl scim status cybsafe -n identity --watch

  # For a script
  kubectl scim status -A -o json

Exit code: 0 every connection is ready and nothing is held, 1 not so, 2 not found out. With --watch 0, by Ctrl-C.";

/// Show how a connection is, what is held, and who is not in step
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The NAME of a connection; without one, a line for each
    #[arg(value_name = "CONNECTION", value_parser = Target::connection)]
    connection: Option<Target>,
    /// The connections of all namespaces
    #[arg(long, short = 'A', conflicts_with = "connection")]
    all_namespaces: bool,
    /// So many people of each kind of trouble are named
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
    /// Print what is known as data
    #[arg(long, short, value_enum, conflicts_with = "watch")]
    output: Option<Output>,
    /// Follow what changes, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// The operator's figures, such as http://localhost:8080/metrics behind a port-forward
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
}

/// Forms of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Finds out, and shows it.
///
/// # Errors
/// When something may not be read, or is not there.
pub async fn run(access: &Access, arguments: Arguments) -> Result<Ended, Failure> {
    let cluster = access.cluster().await?;
    if arguments.watch {
        let in_place = std::io::stdout().is_terminal();
        return watch::follow(&cluster, &arguments, in_place).await;
    }
    let now = Timestamp::now();
    let mut all = found(&cluster, &arguments, now).await?;
    if let Some(url) = &arguments.metrics {
        match figures::fetch(url).await {
            Ok(text) => {
                for facts in &mut all {
                    facts.requests = figures::of(&text, &facts.key());
                    if facts.requests.is_none() && arguments.connection.is_some() {
                        warn(
                            "the replica of --metrics does not work on this connection; another one may",
                        );
                    }
                }
            }
            Err(failure) => warn(&failure.to_string()),
        }
    }
    match (&*all, arguments.output, &arguments.connection) {
        ([facts], Some(output), Some(_)) => print!("{}", data(facts, output)?),
        (all, Some(output), _) => print!("{}", data(all, output)?),
        ([facts], None, Some(_)) => print!("{}", screen::screen(facts, now)),
        (all, None, _) => print!("{}", screen::table(all, now)),
    }
    Ok(match all.iter().all(|facts| facts.is_well) {
        true => Ended::Well,
        false => Ended::WithFindings,
    })
}

async fn found(
    cluster: &Cluster,
    arguments: &Arguments,
    now: Timestamp,
) -> Result<Vec<Facts>, Failure> {
    if let Some(target) = &arguments.connection {
        let object = gather::connection(cluster, &target.name).await?;
        return Ok(vec![
            gather::facts(cluster, &object, now, arguments.limit).await?,
        ]);
    }
    let namespace = (!arguments.all_namespaces).then_some(&*cluster.namespace);
    let objects = gather::connections(cluster, namespace).await?;
    if objects.is_empty() {
        // No good news: a namespace that is misspelt has none either.
        return Err(Failure::new(match namespace {
            Some(namespace) => {
                format!("there is no ScimConnection in the namespace {namespace}; -A looks in all")
            }
            None => "there is no ScimConnection in any namespace".to_owned(),
        }));
    }
    Ok(objects
        .iter()
        .map(|object| Facts::of(object, now))
        .collect())
}

fn warn(what: &str) {
    eprintln!("{}: {what}", paint::in_style(paint::CAUTION, "warning"));
}

fn data<T: Serialize + ?Sized>(facts: &T, output: Output) -> Result<String, Failure> {
    match output {
        Output::Json => serde_json::to_string_pretty(facts)
            .map(|text| text + "\n")
            .map_err(|e| Failure::of("writing JSON", e)),
        Output::Yaml => serde_saphyr::to_string(&facts).map_err(|e| Failure::of("writing YAML", e)),
    }
}
