//! What the kernel says of a process, and the API server of its requests.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use hyper::Request;
use kube::Client;

/// Ticks a second in `/proc/<pid>/stat`: USER_HZ, 100 wherever Linux shows it to programs.
const TICKS: f64 = 100.0;

/// CPU seconds that a process has used, its threads included.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold anything; utime and stime are the 14th and 15th field.
    let (_, after) = stat.rsplit_once(')').context("a stat without a name")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |field: usize| -> Result<f64> {
        let text = fields.get(field - 3).context("a short stat")?;
        Ok(text.parse()?)
    };
    Ok((ticks(14)? + ticks(15)?) / TICKS)
}

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident: f64,
    /// The most that was ever resident.
    pub peak: f64,
}

/// What memory a process uses.
///
/// # Errors
/// When there is no such process.
pub fn memory(process: u32) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let of = |name: &str| -> Result<f64> {
        let line = status.lines().find(|line| line.starts_with(name));
        let kibibytes = line
            .and_then(|line| line.split_whitespace().nth(1))
            .with_context(|| format!("no {name} in the status of a process"))?;
        Ok(kibibytes.parse::<f64>()? / 1024.0)
    };
    Ok(Memory {
        resident: of("VmRSS:")?,
        peak: of("VmHWM:")?,
    })
}

/// How many requests of each kind the API server has answered, by `verb resource/subresource`.
#[derive(Clone, Debug, Default)]
pub struct Requests(BTreeMap<String, u64>);

impl Requests {
    /// Asks the API server.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn now(client: &Client) -> Result<Self> {
        let text = client
            .request_text(Request::get("/metrics").body(Vec::new())?)
            .await?;
        let mut counts = BTreeMap::new();
        let lines = text.lines();
        for line in lines.filter(|line| line.starts_with("apiserver_request_total{")) {
            let Some((labels, count)) = line.rsplit_once('}') else {
                continue;
            };
            let label = |name: &str| {
                let (_, after) = labels.split_once(&format!("{name}=\""))?;
                after.split_once('"').map(|(value, _)| value)
            };
            // A kind like ours, by which the floor is measured, is not ours.
            if label("group") == Some(super::floors::GROUP) {
                continue;
            }
            let resource = label("resource").unwrap_or_default();
            let subresource = label("subresource").unwrap_or_default();
            let verb = label("verb").unwrap_or_default();
            let count = count.trim().parse::<f64>()? as u64;
            *counts
                .entry(format!("{verb} {resource}/{subresource}"))
                .or_default() += count;
        }
        Ok(Self(counts))
    }

    /// How many writes by PATCH, PUT or APPLY came since, to resources whose name begins so. Creations and
    /// deletions are the administrator's, not the operator's.
    pub fn writes_since(&self, before: &Requests, resources: &str) -> u64 {
        self.since(before, &["PATCH ", "PUT ", "APPLY "], resources)
    }

    /// The same for any request but the opening of watches.
    pub fn all_since(&self, before: &Requests, resources: &str) -> u64 {
        let verbs = [
            "PATCH ", "PUT ", "APPLY ", "POST ", "DELETE ", "GET ", "LIST ",
        ];
        self.since(before, &verbs, resources)
    }

    fn since(&self, before: &Requests, verbs: &[&str], resources: &str) -> u64 {
        let is = |key: &str| {
            verbs.iter().any(|verb| {
                key.strip_prefix(verb)
                    .is_some_and(|resource| resource.starts_with(resources))
            })
        };
        let now = self.0.iter().filter(|(key, _)| is(key));
        now.map(|(key, count)| count - before.0.get(key).copied().unwrap_or(0))
            .sum()
    }
}

/// The value below which so many percent of these lie; they are put in order.
pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
