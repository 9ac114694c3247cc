//! The reconciler of ScimGroup.

pub mod index;

use std::sync::Arc;

use kube::runtime::controller::Action;

use crate::api::ScimGroup;
use crate::controller::context::Context;

/// Nothing yet.
///
/// # Errors
/// None yet.
pub async fn reconcile(_: Arc<ScimGroup>, _: Arc<Context>) -> Result<Action, kube::Error> {
    Ok(Action::await_change())
}

/// How long to wait after an error.
pub fn on_error(_: Arc<ScimGroup>, _: &kube::Error, _: Arc<Context>) -> Action {
    Action::await_change()
}
