//! What is done to the operator, each with the rows that come of it.

mod cost;
mod latency;
mod many;
mod quota;
mod whole;

use std::time::Duration;

pub use cost::{group, requests};
pub use latency::{during_repair, idle};
pub use many::restart_and_memory;
pub use quota::quota;
pub use whole::{converge, steady};

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Users that are converged, checked and repaired.
    pub users: usize,
    /// Users for memory and restart.
    pub many: usize,
    /// Users by which a raw rate is measured.
    pub floor: usize,
    /// Single edits whose latency is taken.
    pub edits: usize,
}

/// How long the whole of so many users may take, before the run is given up: ten times the target.
fn patience(users: usize) -> Duration {
    Duration::from_secs(60 + users as u64 * 60 / 1000)
}

/// The pages of a listing.
fn pages(users: usize, page: usize) -> usize {
    users.div_ceil(page)
}
