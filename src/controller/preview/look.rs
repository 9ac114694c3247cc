//! What one look at a resource came to.

use crate::controller::counts::Whose;
use crate::controller::index::Key;
use crate::controller::outcome;
use crate::controller::preview::{Action, Changed, Members, Step};
use crate::controller::trouble::{Trouble, trouble};
use crate::scim::ScimError;

/// Where there is no status that says whose an account is, or a group.
pub(super) const WHOSE: &str = "the backend has one of this name or externalId; only the cluster knows whether it belongs to this resource, and goes with it";

/// What one look came to, and what of it only its kind has.
pub(super) struct Look<F> {
    pub action: Action,
    pub changes: Vec<Changed>,
    pub members: Members,
    pub why: Option<String>,
    pub found: F,
}

impl<F: Default> Look<F> {
    pub fn at(action: Action) -> Self {
        Self {
            action,
            changes: Vec::new(),
            members: Members::default(),
            why: None,
            found: F::default(),
        }
    }

    pub fn because(action: Action, why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..Self::at(action)
        }
    }

    /// After such an error this one waits.
    ///
    /// # Errors
    /// Where all of the connection would.
    pub fn failed(error: &ScimError) -> Result<Self, Trouble> {
        if outcome::is_the_connections(error) {
            return Err(trouble(error));
        }
        Ok(Self::because(Action::Wait, error.to_string()))
    }

    /// As the step of the resource that was looked at.
    pub fn step(self, whose: Whose, key: &Key) -> Step {
        Step {
            whose,
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            action: self.action,
            changes: self.changes,
            members: self.members,
            why: self.why,
            is_due: false,
        }
    }
}
