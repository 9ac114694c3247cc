//! What a failed request means for its resource, and how long to wait before trying again. Jitter comes
//! in as a number, so that this stays pure.

use std::time::Duration;

use crate::api::conditions::Reason;
use crate::scim::error::ErrorClass;

/// What a failed request means for the resource that it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing was sent, and nothing is to be said: look again at once.
    LookAgain,
    /// The connection looks, and reports. Where it finds nothing wrong it is this resource's own trouble,
    /// `told` from the second time on and tried again ever more rarely.
    AskConnection {
        /// Whether the resource says so as well.
        told: bool,
    },
    /// Told, with this reason for `Synced`, and tried again ever more rarely.
    TryAgain(Reason),
    /// Somebody else has it: told, and tried again when something changes.
    Taken,
    /// The backend will not have it: told, and tried again when something changes.
    Refused,
}

/// Decides, in one place for every kind; `failures` counts those in a row before this one.
pub fn consequence(class: ErrorClass, failures: u32) -> Consequence {
    match class {
        ErrorClass::Closed => Consequence::LookAgain,
        ErrorClass::Authentication | ErrorClass::Unreachable => {
            Consequence::AskConnection { told: failures > 0 }
        }
        ErrorClass::RateLimited => Consequence::TryAgain(Reason::RateLimited),
        ErrorClass::Transient | ErrorClass::Gone => Consequence::TryAgain(Reason::RequestFailed),
        ErrorClass::Conflict => Consequence::Taken,
        ErrorClass::Rejected | ErrorClass::Unsupported => Consequence::Refused,
    }
}

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
    fn every_class_of_error_has_a_consequence() {
        use Consequence::{AskConnection, LookAgain, Refused, Taken, TryAgain};
        for (class, failures, expected, why) in [
            (
                ErrorClass::Closed,
                3,
                LookAgain,
                "another configuration came",
            ),
            (
                ErrorClass::Authentication,
                0,
                AskConnection { told: false },
                "everybody's, most likely",
            ),
            (
                ErrorClass::Authentication,
                1,
                AskConnection { told: true },
                "this resource's alone",
            ),
            (
                ErrorClass::Unreachable,
                0,
                AskConnection { told: false },
                "everybody's, most likely",
            ),
            (
                ErrorClass::RateLimited,
                0,
                TryAgain(Reason::RateLimited),
                "it says when",
            ),
            (
                ErrorClass::Transient,
                0,
                TryAgain(Reason::RequestFailed),
                "it passes",
            ),
            (
                ErrorClass::Gone,
                0,
                TryAgain(Reason::RequestFailed),
                "made anew",
            ),
            (
                ErrorClass::Conflict,
                0,
                Taken,
                "a person, or a change there, helps",
            ),
            (
                ErrorClass::Rejected,
                0,
                Refused,
                "the same again is refused again",
            ),
            (
                ErrorClass::Unsupported,
                9,
                Refused,
                "the same again is refused again",
            ),
        ] {
            assert_eq!(consequence(class, failures), expected, "{class:?}: {why}");
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread() {
        let cap = Duration::from_secs(60);
        assert_eq!(backoff(0, cap, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(3, cap, 1.0), Duration::from_secs(8));
        assert_eq!(backoff(3, cap, 0.0), Duration::from_secs(4));
        assert_eq!(backoff(40, cap, 1.0), cap);
    }
}
