//! Which failures open the circuit of a connection, and which answers close it.

use std::time::Duration;

use crate::controller::context::Context;
use crate::controller::live::Connection;
use crate::domain::circuit::WITHIN;
use crate::scim::{ErrorClass, ScimError};

/// What a failed request says about the backend, for the circuit of its connection.
pub fn count(context: &Context, connection: &Connection, uid: &str, error: &ScimError) {
    let news = match error.class() {
        // An answer that means something.
        _ if *error == ScimError::PreconditionFailed => connection.worked(),
        ErrorClass::Conflict | ErrorClass::Rejected | ErrorClass::Unsupported => {
            connection.worked()
        }
        ErrorClass::Transient => {
            let hung = matches!(error.itself(), ScimError::Timeout);
            let patience = if hung {
                3 * context.options.longest_request
            } else {
                Duration::ZERO
            };
            // A request that carried many and got lost is one that failed.
            let request = error.request().map(|number| format!("request {number}"));
            connection.failed_for(request.as_deref().unwrap_or(uid), WITHIN + patience)
        }
        // Of one that does not answer at all the connection's own probe tells.
        ErrorClass::Unreachable
        | ErrorClass::Closed
        | ErrorClass::Authentication
        | ErrorClass::RateLimited
        | ErrorClass::Gone => false,
    };
    if news {
        context.wake_connection(&connection.key);
    }
}
