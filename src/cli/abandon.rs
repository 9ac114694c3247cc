//! `abandon`: lets a deleted object go whose account cannot be, or is not to be, parted with.

use anstream::{eprintln, println};
use clap::Args;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::json;

use super::cluster::Access;
use super::confirm::{Word, confirmed};
use super::kinds::{Kind, Target, text};
use super::{Ended, Failure, objects};
use crate::api::{ANNOTATION_ABANDON, FINALIZER};

const EXAMPLES: &str = "Examples:
  # Ada's resource was deleted and waits, since its backend is gone for good
  kubectl scim abandon su/ada -n identity

  # The same from a script
  kubectl scim abandon su/ada -n identity --yes

Exit code: 0 abandoned, 1 not, since it is not being deleted or the answer was no, 2 not found out.";

/// Let a deleted object go, and leave its account as it is
///
/// Whoever it stands for keeps the account at the backend, active as it is, and nobody manages it any more.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// KIND/NAME, such as scimuser/ada
    #[arg(value_name = "KIND/NAME")]
    target: Target,
    /// Also where it is not being deleted: when it is, later, its account will stay as it is
    #[arg(long)]
    force: bool,
    /// Does not ask
    #[arg(long, short)]
    yes: bool,
}

/// Says what it means, asks, and abandons.
///
/// # Errors
/// When the object is not there or may not be changed, or nobody can be asked.
pub async fn run(access: &Access, arguments: Arguments) -> Result<Ended, Failure> {
    let Arguments { target, force, yes } = arguments;
    let cluster = access.cluster().await?;
    let object = objects::get(&cluster, &target).await?;
    let is_deleted = match state(&object) {
        State::Abandoned => {
            println!("{target}: was abandoned already");
            return Ok(Ended::Well);
        }
        State::Deleted => true,
        State::Alive if force => false,
        State::Alive => {
            eprintln!(
                "{target} is not being deleted: nothing was done. Delete it first; --force has its account left as it is when that comes"
            );
            return Ok(Ended::WithFindings);
        }
    };
    eprintln!("{}", meaning(&target, &object, is_deleted));
    if !confirmed("Abandon it?", Word::Exactly(&target.name), yes)? {
        eprintln!("nothing was done");
        return Ok(Ended::WithFindings);
    }
    let uid = object.uid();
    objects::change(&cluster, &target, |now| {
        // Who was asked was asked of this one.
        if now.uid() != uid || (is_deleted && state(now) == State::Alive) {
            return Err(Failure::new(format!(
                "{target} is another one by now: nothing was done"
            )));
        }
        let annotation = json!({"metadata": {"annotations": {ANNOTATION_ABANDON: "true"}}});
        Ok(Some(annotation))
    })
    .await?;
    println!("{target}: abandoned");
    Ok(Ended::Well)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nobody deletes it.
    Alive,
    /// It is being deleted, and waits.
    Deleted,
    /// A person has said it already.
    Abandoned,
}

fn state(object: &DynamicObject) -> State {
    let said = object.annotations().get(ANNOTATION_ABANDON);
    if said.is_some_and(|value| value == "true") {
        State::Abandoned
    } else if object.metadata.deletion_timestamp.is_some() {
        State::Deleted
    } else {
        State::Alive
    }
}

/// What abandoning it comes to, in a sentence or two.
fn meaning(target: &Target, object: &DynamicObject, is_deleted: bool) -> String {
    let when = if is_deleted {
        "it goes now"
    } else {
        "when it is deleted, it goes at once"
    };
    if target.kind.is(&Kind::connection()) {
        return format!(
            "{target}: {when}. Whoever needs this connection keeps the account at the backend AS IT IS, and nobody can part with it by this connection any more."
        );
    }
    let (what, id) = if target.kind.is(&Kind::group()) {
        ("group", text(object, "/status/id"))
    } else {
        ("account", text(object, "/status/id"))
    };
    let there = match id {
        "" if !object.finalizers().iter().any(|f| f == FINALIZER) => {
            format!("Nothing was begun for it: there is no {what} to leave.")
        }
        "" => format!(
            "A {what}, if there is one at the backend, stays AS IT IS: it is neither archived nor deleted, and nobody manages it any more."
        ),
        id => format!(
            "The {what} {id} at the backend stays AS IT IS: it is neither archived nor deleted, and nobody manages it any more."
        ),
    };
    format!("{target}: {when}. {there}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn object(metadata: Value) -> DynamicObject {
        let object = json!({"metadata": metadata, "spec": {}, "status": {"id": "42"}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn only_what_is_deleted_waits_to_be_let_go() {
        for (metadata, expected) in [
            (json!({"name": "ada"}), State::Alive),
            (
                json!({"name": "ada", "deletionTimestamp": "2026-01-01T00:00:00Z"}),
                State::Deleted,
            ),
            (
                json!({"name": "ada", "annotations": {ANNOTATION_ABANDON: "true"}}),
                State::Abandoned,
            ),
            (
                json!({"name": "ada", "annotations": {ANNOTATION_ABANDON: "false"}}),
                State::Alive,
            ),
        ] {
            assert_eq!(state(&object(metadata.clone())), expected, "{metadata}");
        }
    }

    #[test]
    fn it_is_said_plainly_that_the_account_stays() {
        let bound = object(json!({"name": "ada", "finalizers": [FINALIZER]}));
        for (target, of) in [
            ("su/ada", "account 42"),
            ("sg/ada", "group 42"),
            ("sconn/ada", "account"),
        ] {
            let said = meaning(&target.parse().unwrap(), &bound, true);
            assert!(said.contains("AS IT IS") && said.contains(of), "{said}");
        }
        let later = meaning(&"su/ada".parse().unwrap(), &bound, false);
        assert!(later.contains("when it is deleted"), "{later}");
    }
}
