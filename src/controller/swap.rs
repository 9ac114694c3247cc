//! userNames that change hands: whoever wants one that is left is woken, and of those that go round in a
//! circle one steps aside.

use crate::controller::act::{self, Applied};
use crate::controller::index::{Index, Key};
use crate::controller::live::{Connection, Ready};
use crate::controller::observe;
use crate::controller::user::Pass;
use crate::domain::diff::Change;
use crate::domain::names::fold_name;
use crate::domain::observed::Observed;
use crate::domain::swap::{aside, steps_aside};
use crate::domain::validate::Desired;

/// Why an account has a name that nobody declared.
pub const SWAPPING: &str = "userNames of several ScimUsers go round in a circle: this account has a name aside until its own is free";

/// Whether the account has stepped aside.
pub fn is_aside(pass: &Pass<'_>, desired: &Desired, account: &Observed) -> bool {
    account.user_name == Some(aside(&desired.user_name, &pass.uid))
}

/// Whether this user is the one that steps aside, of those whose names go round in a circle. Where it is
/// another, that one is woken: it may have looked before the circle was whole.
pub fn is_due(pass: &Pass<'_>, connection: &Connection) -> bool {
    let holder = |key: &Key| observe::holder_of_wanted(pass, connection, key);
    match steps_aside(&pass.key, holder) {
        Some(first) if first == pass.key => true,
        Some(first) => {
            pass.context.wake_users([first]);
            false
        }
        None => false,
    }
}

/// Leaves the account's name to whoever wants it, before its own is free.
pub async fn step_aside(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
    account: &Observed,
) -> Applied {
    let name = aside(&desired.user_name, &pass.uid);
    let Some(attribute) = ready.profile.get("userName") else {
        return Applied::Waiting(SWAPPING);
    };
    let change = Change {
        attribute: "userName".into(),
        path: attribute.path.clone(),
        unseen: false,
        to: Some(name.clone().into()),
    };
    let mut meanwhile = desired.clone();
    meanwhile.user_name = name;
    match act::update(connection, ready, &meanwhile, account, &[change]).await {
        Ok(after) => {
            wake_claimants(pass, connection, account, &after);
            Applied::Waiting(SWAPPING)
        }
        Err(error) => Applied::Failed(error),
    }
}

/// Wakes whoever wants the userName that a change has left to others.
pub fn wake_claimants(
    pass: &Pass<'_>,
    connection: &Connection,
    before: &Observed,
    after: &Observed,
) {
    if let Some(freed) = freed_name(before, after) {
        let claimants = |index: &mut Index| index.claimants(&connection.key, freed);
        pass.context.wake_users(pass.context.index(claimants));
    }
}

/// The userName that a change has left to others.
fn freed_name<'a>(before: &'a Observed, after: &Observed) -> Option<&'a str> {
    let old = before.user_name.as_deref()?;
    let new = after.user_name.as_deref()?;
    (fold_name(old) != fold_name(new)).then_some(old)
}
