//! `make bench`: what the operator costs and how fast it is, beside what the two servers can do at all.
//!
//! Every figure is measured in the run that prints it: the raw rates (`floors`) on the same control plane
//! and the same simulator as the operator. Kubernetes requests are counted by the API server
//! (`apiserver_request_total`), SCIM requests by a recording proxy or by the simulator, memory and CPU by
//! the kernel (`samples`); the operator's own counters are not looked at. The targets are in
//! `docs/performance.md`.

use std::str::FromStr;

use anyhow::{Result, anyhow};

pub mod floors;
pub mod limit;
pub mod replicas;
pub mod rig;
pub mod samples;
pub mod scenes;
pub mod table;

/// The number that a variable of the environment says, or the usual one.
///
/// # Errors
/// When it is no number.
pub fn variable<N: FromStr>(name: &str, usual: N) -> Result<N> {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .map_err(|_| anyhow!("{name}: {text:?} is no number")),
        Err(_) => Ok(usual),
    }
}
