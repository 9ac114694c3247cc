//! The composition root: flags, logs, client, probes, controllers, shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use futures::FutureExt;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};

use crate::controller::asked::Asked;
use crate::controller::context::Options;
use crate::controller::election::{Candidacy, Election, Fences, Kind, lease};
use crate::controller::refusal::told;
use crate::controller::run::run;
use crate::controller::spread::Seat;
use crate::controller::watched::Watched;
use crate::http::{self, Readiness};
use crate::leadership::Terms;
use crate::metrics::Metrics;
use crate::telemetry::{self, LogFormat};

/// How long the first answer of the API server may take before it is asked again, and the pause before.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Where Kubernetes tells a pod its namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Keeps people and groups, declared as Kubernetes resources, in step with a SCIM 2.0 backend.
#[derive(Parser)]
#[command(version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator.
    Run(RunArguments),
}

#[derive(Parser)]
struct RunArguments {
    /// Where the probes are served.
    #[arg(long, env = "HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    /// Allows loopback, link-local and metadata addresses as SCIM endpoints. For tests.
    #[arg(long, env = "ALLOW_LOCAL_ENDPOINTS")]
    allow_local_endpoints: bool,
    /// Sends SCIM requests through the proxy that the environment names.
    #[arg(long, env = "USE_SYSTEM_PROXY")]
    use_system_proxy: bool,
    /// The form of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// Seconds that a SCIM request may take, from connecting to the last byte.
    #[arg(long, env = "REQUEST_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    request_timeout_seconds: u64,
    /// Seconds that users and groups which are deleted with their namespace, or with their kind, may hold
    /// that up while they cannot be deprovisioned. After that they go, and their accounts stay as they are.
    #[arg(long, env = "SCOPE_GRACE_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    scope_grace_seconds: u64,
    /// Watches this namespace, and no others; may be said several times, or once with commas. Where it is not
    /// said: all namespaces of the cluster.
    #[arg(long = "watch-namespace", env = "WATCH_NAMESPACES", value_name = "NAMESPACE", value_delimiter = ',', value_parser = namespace)]
    watch_namespaces: Vec<String>,
    #[command(flatten)]
    election: ElectionArguments,
}

/// The name of a namespace, as Kubernetes allows it; nothing stands for none.
fn namespace(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = name.len() <= 63
        && name.chars().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_name {
        Ok(name.to_owned())
    } else {
        Err("not the name of a namespace".to_owned())
    }
}

#[derive(Args)]
struct ElectionArguments {
    /// Whether to write only while holding a Lease, so that replicas take turns. Where it is not said:
    /// yes in a cluster, no outside.
    #[arg(long, env = "LEADER_ELECT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// The name of the Lease.
    #[arg(long, env = "LEASE_NAME", default_value = "scim-operator")]
    lease_name: String,
    /// Seconds that a renewal is good for.
    #[arg(long, env = "LEASE_SECONDS", default_value_t = 15)]
    lease_seconds: u64,
    /// Seconds between renewals.
    #[arg(long, env = "RENEW_SECONDS", default_value_t = 5)]
    renew_seconds: u64,
    /// Seconds after its last renewal when a leader stops by itself; fewer than the lease has.
    #[arg(long, env = "RENEW_DEADLINE_SECONDS", default_value_t = 10)]
    renew_deadline_seconds: u64,
    /// The namespace of the Lease; default: the pod's.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Shares the connections among the replicas, by a Lease each, instead of one replica working on all.
    #[arg(long, env = "SPREAD_CONNECTIONS", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    spread_connections: bool,
    /// The pod's name, by which people know the holder.
    #[arg(long, env = "POD_NAME", default_value = "scim-operator")]
    pod_name: String,
}

impl ElectionArguments {
    /// As what to stand for election, if at all.
    fn candidacy(self, longest_request: Duration) -> Result<Option<Candidacy>, StartError> {
        let Self {
            leader_elect,
            lease_name,
            lease_seconds,
            renew_seconds,
            renew_deadline_seconds,
            lease_namespace,
            spread_connections,
            pod_name,
        } = self;
        if spread_connections && leader_elect == Some(false) {
            return Err(StartError::SharesWithNobody);
        }
        let leader_elect = leader_elect.or(spread_connections.then_some(true));
        let namespace = lease_namespace.or_else(|| {
            let own = std::fs::read_to_string(OWN_NAMESPACE).ok()?;
            Some(own.trim().to_owned())
        });
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let namespace = match (leader_elect, namespace) {
            (Some(false), _) | (None, None) => return Ok(None),
            (Some(true), None) => return Err(StartError::NoNamespace),
            (_, Some(namespace)) => namespace,
        };
        let terms = Terms {
            lease: Duration::from_secs(lease_seconds),
            renew_every: Duration::from_secs(renew_seconds),
            renew_deadline: Duration::from_secs(renew_deadline_seconds),
            longest_request,
        };
        Ok(Some(Candidacy {
            namespace,
            lease: lease_name,
            kind: if spread_connections {
                Kind::Nobodys
            } else {
                Kind::Leader
            },
            // A container that is started again is another, though its pod is the same: what it
            // held before may still be at work at the backend.
            identity: format!("{pod_name}_{:016x}", fastrand::u64(..)),
            terms: terms.checked()?,
        }))
    }
}

/// Why the operator cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("--leader-elect needs --lease-namespace or POD_NAMESPACE outside of a cluster")]
    NoNamespace,
    #[error("--spread-connections is by Leases: --leader-elect=false cannot be said with it")]
    SharesWithNobody,
    #[error("the durations of the lease do not fit together")]
    Terms(#[from] crate::leadership::TermsError),
}

/// Runs what the command line says.
///
/// # Errors
/// When the operator cannot start: no cluster configuration, or the probe address is taken. When it lost
/// the lease by which it led: it has stopped, and wants to be started anew.
pub async fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Command::Run(arguments) = arguments.command;
    let telemetry = telemetry::start(arguments.log_format, arguments.use_system_proxy);
    let came = operate(arguments).await;
    telemetry.end().await;
    came
}

async fn operate(arguments: RunArguments) -> Result<(), Box<dyn std::error::Error>> {
    // First of all: a process that is told to stop before it listens for that is killed on the spot.
    let stop = asked_to_stop()?.shared();
    let longest_request = Duration::from_secs(arguments.request_timeout_seconds);
    let candidacy = arguments.election.candidacy(longest_request)?;
    let named = arguments.watch_namespaces.into_iter();
    let watched = Watched::these(named.filter(|name| !name.is_empty()));
    let only: Vec<&str> = watched.names().collect();
    if !only.is_empty() {
        tracing::info!(namespaces = ?only, "watching these namespaces, and no others");
    }
    let readiness = Readiness::default();
    let metrics = Metrics::default();
    let asked = Asked::default();
    metrics.register(
        "kubernetes_requests",
        "Requests to the API server, but for those about leases, by method and status code; 0 where no answer came",
        asked.family(),
    );
    let bound = http::serve(arguments.http_address, readiness.clone(), metrics.clone()).await?;
    tracing::info!("listening {bound}");
    let config = Config::infer().await?;
    let (candidacy, seat) = match candidacy {
        Some(candidacy) if candidacy.kind == Kind::Nobodys => {
            let leases = lease::client(config.clone(), &candidacy.terms)?;
            let api = Fences::none().counting(&asked).client(config.clone())?;
            let seat = Seat {
                leases,
                api,
                candidacy,
            };
            (None, Some(seat))
        }
        candidacy => (candidacy, None),
    };
    let fences = match (&candidacy, &seat) {
        (None, None) => Fences::none(),
        // Not before the lease is won; and never, where each share has fences of its own.
        _ => Fences::closed(),
    }
    .counting(&asked);
    let client = fences.client(config.clone())?;
    let version = tokio::select! {
        version = first_answer(&client) => version,
        () = stop.clone() => return Ok(()),
    };
    tracing::info!(
        kubernetes = version,
        operator = env!("CARGO_PKG_VERSION"),
        "started"
    );
    // A standby is ready as well: an update that waits for the new pod would else wait for ever, since
    // the old one leads until it is told to stop.
    readiness.set();
    let options = Options {
        allow_local_endpoints: arguments.allow_local_endpoints,
        use_system_proxy: arguments.use_system_proxy,
        longest_request,
        fence: fences.of_requests(),
        seat: seat.clone(),
        scope_grace: Duration::from_secs(arguments.scope_grace_seconds),
        metrics,
        watched,
        wire: Default::default(),
    };
    match candidacy {
        Some(candidacy) => {
            let election = Election::new(config, candidacy, fences)?;
            let work = |shutdown| run(client, options, shutdown);
            election.lead(stop, work).await?;
        }
        None if seat.is_some() => {
            tracing::info!("sharing the connections with other replicas");
            run(client, options, stop).await;
        }
        None => {
            tracing::info!("no leader election: this has to be the only operator that runs");
            run(client, options, stop).await;
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// The version of the API server, once it answers: ending instead would leave the pod in the kubelet's
/// growing pauses long after an outage is over.
async fn first_answer(client: &Client) -> String {
    loop {
        match tokio::time::timeout(FIRST_ANSWER, client.apiserver_version()).await {
            Ok(Ok(version)) => return version.git_version,
            Ok(Err(error)) => {
                tracing::warn!(error = told(&error), "the API server refuses to answer")
            }
            Err(_) => tracing::warn!("the API server does not answer"),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Ends when the process is asked to stop. Both signals are listened for from here on, and not from the first look.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("asked to stop; requests in flight are finished first");
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn watched(flags: &[&str]) -> Option<Vec<String>> {
        let line = ["scim-operator", "run"].iter().chain(flags);
        let arguments = Arguments::try_parse_from(line).ok()?;
        let Command::Run(arguments) = arguments.command;
        Some(arguments.watch_namespaces)
    }

    #[test]
    fn namespaces_are_said_one_by_one_or_with_commas_and_are_names() {
        let both = Some(vec!["a".to_owned(), "b-2".to_owned()]);
        assert_eq!(
            watched(&["--watch-namespace=a", "--watch-namespace=b-2"]),
            both
        );
        assert_eq!(watched(&["--watch-namespace=a, b-2"]), both);
        assert_eq!(watched(&[]), Some(Vec::new()));
        let long = "a".repeat(64);
        for bad in ["*", "A", "a/b", "-a", "a-", "a.b", &long] {
            assert_eq!(watched(&["--watch-namespace", bad]), None, "{bad}");
        }
    }
}
