//! What is in the way of a whole connection, as conditions, and how long that is waited out.

use std::time::Duration;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::controller::context::jitter;
use crate::domain::conditions::Verdict;
use crate::domain::retry::backoff;
use crate::scim::{ErrorClass, ScimError};

/// The longest pause before something that waits for a person is looked at again.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The same for what passes by itself: an outage that is over is to be noticed soon, and one request in
/// so long is nothing to a backend that comes up.
const LONGEST_OUTAGE_WAIT: Duration = Duration::from_secs(4);

/// Why a run ended early: the conditions that say so.
pub type Trouble = Vec<Verdict>;

/// How long to wait after so many failures.
pub fn pause(failures: u32, reason: Reason) -> Duration {
    let passes = matches!(reason, Reason::Unreachable | Reason::CircuitOpen);
    let longest = if passes {
        LONGEST_OUTAGE_WAIT
    } else {
        LONGEST_WAIT
    };
    backoff(failures.saturating_sub(1), longest, jitter())
}

/// Many writes in a row failed, though the backend can be listed.
pub fn circuit_open() -> Trouble {
    let why = "requests of many resources fail one after the other although the backend can be listed; they are held back, and one is tried every few seconds";
    vec![Verdict::no(C::Reachable, Reason::CircuitOpen, why)]
}

/// The conditions that an error of the whole connection means.
pub fn trouble(error: &ScimError) -> Trouble {
    if *error == ScimError::Closed {
        return Vec::new();
    }
    vec![match error {
        ScimError::Unauthorized => {
            Verdict::no(C::Authenticated, Reason::Unauthorized, error.to_string())
        }
        ScimError::Forbidden { .. } => Verdict::no(
            C::Authenticated,
            Reason::Unauthorized,
            "the token may not list users",
        ),
        ScimError::NotScim { .. } | ScimError::OffOrigin { .. } => {
            Verdict::no(C::Reachable, Reason::NotScim, error.to_string())
        }
        ScimError::AddressRefused => {
            Verdict::no(C::Reachable, Reason::EndpointRefused, error.to_string())
        }
        _ if error.class() == ErrorClass::RateLimited => {
            Verdict::no(C::Reachable, Reason::RateLimited, error.to_string())
        }
        _ => Verdict::no(C::Reachable, Reason::Unreachable, error.to_string()),
    }]
}
