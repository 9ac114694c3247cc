//! How long to wait before trying again. Jitter comes in as a number, so that this stays pure.

use std::time::Duration;

/// The wait before try `attempt` (from 0): doubling from one second, at most `cap`, of which between
/// half and all is waited as `jitter` (0 to 1) says, so that many do not return together.
pub fn backoff(attempt: u32, cap: Duration, jitter: f64) -> Duration {
    let full = Duration::from_secs(1u64 << attempt.min(16)).min(cap);
    full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread() {
        let cap = Duration::from_secs(60);
        assert_eq!(backoff(0, cap, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(3, cap, 1.0), Duration::from_secs(8));
        assert_eq!(backoff(3, cap, 0.0), Duration::from_secs(4));
        assert_eq!(backoff(40, cap, 1.0), cap);
    }
}
