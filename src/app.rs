//! The composition root: flags, logs, client, probes, controllers, shutdown.

use std::net::SocketAddr;

use clap::{Parser, Subcommand, ValueEnum};
use kube::Client;
use tracing_subscriber::EnvFilter;

use crate::controller::context::Options;
use crate::controller::run::run;
use crate::http::{self, Readiness};

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
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

/// Runs what the command line says.
///
/// # Errors
/// When the operator cannot start: no cluster configuration, or the probe address is taken.
pub async fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Command::Run(arguments) = arguments.command;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    match arguments.log_format {
        LogFormat::Json => logs.json().init(),
        LogFormat::Text => logs.with_ansi(false).init(),
    }
    let readiness = Readiness::default();
    let bound = http::serve(arguments.http_address, readiness.clone()).await?;
    tracing::info!("listening {bound}");
    let client = Client::try_default().await?;
    let version = client.apiserver_version().await?;
    tracing::info!(
        kubernetes = version.git_version,
        operator = env!("CARGO_PKG_VERSION"),
        "started"
    );
    readiness.set();
    let options = Options {
        allow_local_endpoints: arguments.allow_local_endpoints,
        use_system_proxy: arguments.use_system_proxy,
    };
    run(client, options, asked_to_stop()).await;
    tracing::info!("stopped");
    Ok(())
}

async fn asked_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
    tracing::info!("asked to stop; requests in flight are finished first");
}
