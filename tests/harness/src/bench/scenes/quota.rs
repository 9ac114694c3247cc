//! A backend that allows fewer requests a second than the connection may send.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::patience;
use crate::bench::rig::{Rig, simulator};
use crate::bench::table::Row;

/// What the backend allows within a second.
const ALLOWED: u32 = 100;

/// How much of the backend's quota is used, and how much is refused. The operator runs.
///
/// # Errors
/// When it does not come to an end.
pub async fn quota(rig: &Rig, namespace: &str, users: usize) -> Result<Vec<Row>> {
    let backend = simulator().await?;
    backend.faults().update(|faults| {
        faults.rate_limit_per_second = Some(ALLOWED);
        faults.retry_after = Some("1".into());
    });
    // What the connection may send is what the administrator believes, and is twice what is true.
    let limits = json!({"limits": {"requestsPerSecond": 2 * ALLOWED, "maxInFlight": 16}});
    rig.declare(namespace, 0..users).await?;
    let begun = Instant::now();
    rig.connect(namespace, &backend.base_url(), limits).await?;
    rig.in_step(namespace, users, patience(users) * 3).await?;
    let took = begun.elapsed().as_secs_f64();
    let counts = backend.request_counts();
    let refused = counts.by_status.get(&429).copied().unwrap_or(0);
    let served = (counts.total - refused) as f64;
    let used = served / took;
    let allowed = f64::from(ALLOWED);
    let rejected = refused as f64 * 100.0 / counts.total as f64;
    Ok(vec![
        Row::bound(
            "use of the quota under 429",
            "≥ 95 %",
            used,
            "requests/s",
            used >= 0.95 * allowed,
        )
        .beside(allowed)
        .noting(format!(
            "the connection may send {} a second; {users} users in {took:.1} s",
            2 * ALLOWED
        )),
        Row::bound(
            "rejected under 429",
            "≤ 1 %",
            rejected,
            "%",
            rejected <= 1.0,
        )
        .noting(format!("{refused} of {}", counts.total)),
    ])
}
