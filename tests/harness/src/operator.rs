//! The real operator binary as a child process, outside of the cluster.
//!
//! What the harness relies on: the first line logged with `listening` in it
//! names, after that word, the address of the HTTP endpoints, and `/readyz` and
//! `/metrics` are served there.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::{process::Process, scratch::Scratch, wait::eventually};

/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary: `env!("CARGO_BIN_EXE_scim-operator")` in the operator's tests.
    pub binary: PathBuf,
    /// As whom it talks to the cluster.
    pub kubeconfig: PathBuf,
    /// Arguments after the usual ones.
    pub arguments: Vec<String>,
    /// Whether SCIM endpoints may be on this machine, as those of tests are.
    pub local_endpoints: bool,
    /// Variables over the usual ones; `RUST_LOG` is not set unless here, so that what ships is what runs.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// Without further arguments or variables.
    pub fn new(binary: impl Into<PathBuf>, kubeconfig: impl Into<PathBuf>) -> Options {
        Options {
            binary: binary.into(),
            kubeconfig: kubeconfig.into(),
            arguments: Vec::new(),
            local_endpoints: true,
            environment: Vec::new(),
        }
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Options {
        self.arguments.push(argument.into());
        self
    }

    /// As it ships: endpoints on this machine are refused.
    pub fn without_local_endpoints(mut self) -> Options {
        self.local_endpoints = false;
        self
    }

    /// Sets a variable.
    pub fn variable(mut self, key: impl Into<String>, value: impl Into<String>) -> Options {
        self.environment.push((key.into(), value.into()));
        self
    }
}

/// A running operator; killed when dropped.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    http: reqwest::Client,
    _scratch: Scratch,
}

impl Operator {
    /// Starts it, without waiting for anything.
    pub fn start(options: &Options) -> Result<Operator> {
        static STARTED: AtomicUsize = AtomicUsize::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::create()?;
        let mut command = Command::new(&options.binary);
        command
            .args(["run", "--http-address", "127.0.0.1:0"])
            .args(options.local_endpoints.then_some("--allow-local-endpoints"))
            .args(&options.arguments)
            .env("KUBECONFIG", &options.kubeconfig)
            .env_remove("RUST_LOG")
            .env("LOG_FORMAT", "text")
            .env("NO_COLOR", "1")
            // One alone, also where the tests themselves run in a cluster.
            .env("LEADER_ELECT", "false")
            .envs(options.environment.iter().map(|(key, value)| (key, value)));
        let log = scratch.join(format!("operator-{number}.log"));
        let process = Process::spawn("the operator", &command, &log)?;
        crate::controlplane::install_crypto_provider();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        Ok(Operator {
            process,
            http,
            _scratch: scratch,
        })
    }

    /// The file with its standard output and standard error.
    pub fn log_path(&self) -> &Path {
        self.process.log_path()
    }

    /// All that it logged until now.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line that contains `needle` and returns the first.
    pub async fn await_log(&mut self, needle: &str, deadline: Duration) -> Result<String> {
        let what = format!("the operator logs {needle:?}");
        let process = &mut self.process;
        eventually(&what, deadline, async || {
            let log = process.log();
            if let Some(line) = log.lines().find(|line| line.contains(needle)) {
                return Ok(Some(Ok(line.to_owned())));
            }
            if let Err(ended) = process.check_running() {
                return Ok(Some(Err(ended)));
            }
            bail!("{}", process.log_tail())
        })
        .await?
    }

    /// Where it serves probes and figures.
    pub async fn http_address(&mut self, deadline: Duration) -> Result<SocketAddr> {
        let line = self.await_log("listening", deadline).await?;
        let (_, after) = line.split_once("listening").unwrap_or_default();
        after
            .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
            .find_map(|word| word.trim_matches(':').parse::<SocketAddr>().ok())
            .with_context(|| format!("no address in {line:?}"))
    }

    /// Waits until it says that it is ready.
    pub async fn await_ready(&mut self, deadline: Duration) -> Result<()> {
        let address = self.http_address(deadline).await?;
        eventually("the operator is ready", deadline, async || {
            if let Err(ended) = self.process.check_running() {
                return Ok(Some(Err(ended)));
            }
            self.get(address, "/readyz").await?;
            Ok(Some(Ok(())))
        })
        .await?
    }

    /// Its figures, in the text format of Prometheus.
    pub async fn metrics(&mut self) -> Result<String> {
        let address = self.http_address(Duration::from_secs(5)).await?;
        self.get(address, "/metrics").await
    }

    /// Kills it with SIGKILL, as a lost node does.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Stops it where it is (SIGSTOP), as a paused machine does, clock aside.
    pub fn pause(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Waits until it has ended by itself.
    pub async fn await_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let process = &mut self.process;
        eventually("the operator ends", deadline, async || {
            let status = process.exited()?;
            if status.is_none() {
                bail!("{}", process.log_tail());
            }
            Ok(status)
        })
        .await
    }

    /// Sends SIGTERM and waits until it has drained; see [`Process::terminate`].
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.process.terminate(deadline).await
    }

    async fn get(&self, address: SocketAddr, path: &str) -> Result<String> {
        let url = format!("http://{address}{path}");
        let reply = self.http.get(url).send().await?;
        let status = reply.status();
        let text = reply.text().await?;
        if !status.is_success() {
            bail!("{path} answered {status}: {text}");
        }
        Ok(text)
    }
}
