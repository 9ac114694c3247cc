//! A real Prometheus that scrapes what a test names, and `promtool`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{process::Process, scratch::Scratch, tools::built_by, wait::eventually};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../prometheus/build");

/// It is up within a second; a loaded machine may take longer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The directory with `prometheus` and `promtool`, built where they are missing: minutes at first, milliseconds
/// later.
pub async fn tools() -> Result<PathBuf> {
    built_by(BUILD).await
}

/// Runs `promtool` in a directory; what it printed, and whether it was content.
pub async fn promtool(directory: &Path, arguments: &[&str]) -> Result<(bool, String)> {
    let output = tokio::process::Command::new(tools().await?.join("promtool"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), printed))
}

/// The labels that the Prometheus operator gives each target of a ServiceMonitor, beside `job` and `instance`. A
/// figure's own label of such a name would be moved out of the way, and no alert find it.
pub const TARGET_LABELS: [&str; 5] = ["namespace", "pod", "service", "container", "endpoint"];

fn target_labels() -> Value {
    let of = |label: &&str| ((*label).to_owned(), Value::from(format!("the-{label}")));
    Value::Object(TARGET_LABELS.iter().map(of).collect())
}

/// A running Prometheus; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    http: reqwest::Client,
    // Before the directory that holds its data: fields are dropped in order.
    _process: Process,
    _scratch: Scratch,
}

impl Prometheus {
    /// Starts one that scrapes this address every second, and knows the rules of these files.
    pub async fn scraping(target: SocketAddr, rules: &[&Path]) -> Result<Prometheus> {
        crate::controlplane::install_crypto_provider();
        let scratch = Scratch::create()?;
        // JSON is YAML.
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": rules,
            "scrape_configs": [{
                "job_name": "scim-operator",
                "static_configs": [{"targets": [target.to_string()], "labels": target_labels()}],
            }],
        });
        let file = scratch.join("prometheus.yml");
        std::fs::write(&file, config.to_string())?;
        let mut command = Command::new(tools().await?.join("prometheus"));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                scratch.join("data").display()
            ))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"]);
        let log = scratch.join("prometheus.log");
        let mut process = Process::spawn("prometheus", &command, &log)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let address = eventually("prometheus", READY_WITHIN, async || {
            if let Err(ended) = process.check_running() {
                return Ok(Some(Err(ended)));
            }
            let Some(address) = listening(&process.log()) else {
                bail!("it has not said where it listens");
            };
            let ready = http.get(format!("http://{address}/-/ready")).send().await?;
            Ok(ready.status().is_success().then_some(Ok(address)))
        })
        .await??;
        Ok(Prometheus {
            address,
            http,
            _process: process,
            _scratch: scratch,
        })
    }

    /// What an expression comes to now: a vector, each element with `metric` and `value`.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.ask("query", &[("query", expression)]).await?;
        let vector = answer["data"]["result"].as_array().cloned();
        vector.with_context(|| format!("no vector: {answer}"))
    }

    /// What an expression came to over a time, each element with `metric` and `values`.
    pub async fn query_range(
        &self,
        expression: &str,
        start: f64,
        end: f64,
        step: f64,
    ) -> Result<Vec<Value>> {
        let (start, end, step) = (start.to_string(), end.to_string(), step.to_string());
        let parameters = [
            ("query", expression),
            ("start", &start),
            ("end", &end),
            ("step", &step),
        ];
        let answer = self.ask("query_range", &parameters).await?;
        let matrix = answer["data"]["result"].as_array().cloned();
        matrix.with_context(|| format!("no matrix: {answer}"))
    }

    /// How the last scrape went: an error, in words, or nothing.
    pub async fn scrape_error(&self) -> Result<Option<String>> {
        let answer = self.ask("targets", &[]).await?;
        let target = &answer["data"]["activeTargets"][0];
        match target["health"].as_str() {
            Some("up") => Ok(None),
            Some("down") => Ok(Some(target["lastError"].to_string())),
            _ => bail!("not scraped yet"),
        }
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let url = format!("http://{}/api/v1/{what}", self.address);
        let answer: Value = self
            .http
            .get(url)
            .query(parameters)
            .send()
            .await?
            .json()
            .await?;
        if answer["status"] != "success" {
            bail!("{what} {parameters:?}: {answer}");
        }
        Ok(answer)
    }
}

/// Where it listens, once its log says so.
fn listening(log: &str) -> Option<SocketAddr> {
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| {
        line["msg"]
            .as_str()
            .is_some_and(|msg| msg.starts_with("Listening on"))
    })?;
    line["address"].as_str()?.parse().ok()
}
