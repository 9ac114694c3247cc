//! `approve`: says to a held plan, by its hash, that it is meant.
//!
//! What is approved is what was shown: the hash is compared before and after a person was asked, and the annotation
//! goes to that version of the connection or to none.

use std::time::Duration;

use anstream::{eprintln, println};
use clap::Args;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::cluster::{Access, Cluster};
use super::confirm::{Word, confirmed};
use super::kinds::Target;
use super::tame::tame;
use super::{Ended, Failure, objects, paint};
use crate::api::connection::{HeldPlan, MissingAccounts, Mode};
use crate::api::{ANNOTATION_APPROVE_PLAN, ScimConnectionSpec, ScimConnectionStatus};

const EXAMPLES: &str = "Examples:
  # What is held, and whether it is meant
  kubectl scim approve cybsafe -n identity

  # Exactly this plan, as `kubectl scim status` printed it, from a script
  kubectl scim approve cybsafe 0f5c9a7be1d20344 -n identity --yes

Exit code: 0 approved; 1 nothing is held, or another plan, or the answer was no; 2 not found out.";

/// For how long the operator may take to forget the approval of before.
const FORGETS: Duration = Duration::from_secs(60);

/// Approve a held plan, and no other
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The NAME of a connection
    #[arg(value_name = "CONNECTION", value_parser = Target::connection)]
    connection: Target,
    /// The plan's hash, as status has it; without one it is the plan that is shown
    #[arg(value_name = "HASH")]
    hash: Option<String>,
    /// Does not ask; which plan has to be said then, since nobody has seen it
    #[arg(long, short, requires = "hash")]
    yes: bool,
}

/// Shows what is held, asks, and approves it.
///
/// # Errors
/// When the connection is not there or may not be changed, or nobody can be asked.
pub async fn run(access: &Access, arguments: Arguments) -> Result<Ended, Failure> {
    let Arguments {
        connection: target,
        hash,
        yes,
    } = arguments;
    let cluster = access.cluster().await?;
    let object = objects::get(&cluster, &target).await?;
    let all = waiting(&object)?;
    let waits = match chosen(&all, hash.as_deref()) {
        Ok(waits) => waits,
        Err(why) => {
            eprintln!("{target}: {why}: nothing was approved");
            return Ok(Ended::WithFindings);
        }
    };
    eprintln!("{target}: {}", waits.told());
    if let Some(note) = stands_still(&object)? {
        eprintln!("{}: {note}", paint::in_style(paint::CAUTION, "note"));
    }
    if !confirmed(&waits.question(), Word::Yes, yes)? {
        eprintln!("nothing was approved");
        return Ok(Ended::WithFindings);
    }
    match write_down(&cluster, &target, waits.hash()).await? {
        Wrote::Approved => println!("{target}: {} is approved", waits.hash()),
        Wrote::Before => {
            println!(
                "{target}: {} was approved already; the operator has not answered yet",
                waits.hash()
            );
        }
        Wrote::Another(why) => {
            eprintln!("{target}: meanwhile {why}: nothing was approved");
            return Ok(Ended::WithFindings);
        }
    }
    Ok(Ended::Well)
}

/// What waits for a person.
#[derive(Clone, Debug, PartialEq)]
enum Waits {
    /// People are to go.
    Leavers(HeldPlan),
    /// Recorded accounts are not at the backend.
    Missing(MissingAccounts),
}

impl Waits {
    fn hash(&self) -> &str {
        match self {
            Self::Leavers(plan) => &plan.hash,
            Self::Missing(missing) => &missing.hash,
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Leavers(HeldPlan { hash, count, users }) => {
                let mut told = format!(
                    "{} would be archived or deleted (plan {hash}):",
                    people(*count)
                );
                for user in users {
                    told.push_str(&format!("\n  {}", tame(user)));
                }
                let more = usize::try_from(*count).unwrap_or(usize::MAX);
                let more = more.saturating_sub(users.len());
                if more > 0 {
                    told.push_str(&format!("\n  and {more} more"));
                }
                told
            }
            Self::Missing(MissingAccounts { hash, count, .. }) => format!(
                "{count} accounts that were recorded are not at this backend (plan {hash}): another tenant, a token that sees less, or a backend that was reset. Approved, they are made anew, and people may be deprovisioned again"
            ),
        }
    }

    fn question(&self) -> String {
        match self {
            Self::Leavers(plan) => format!("Let {} go?", people(plan.count)),
            Self::Missing(missing) => format!("Make {} accounts anew?", missing.count),
        }
    }
}

/// A number of people, in words.
fn people(count: u32) -> String {
    match count {
        1 => "1 user".into(),
        count => format!("{count} users"),
    }
}

fn part<T: serde::de::DeserializeOwned>(
    object: &DynamicObject,
    field: &str,
) -> Result<Option<T>, Failure> {
    let part = object.data.get(field).cloned().filter(|v| !v.is_null());
    // What does not fit is not repeated.
    part.map(serde_json::from_value)
        .transpose()
        .map_err(|_| Failure::new(format!("the connection's {field} is of another version")))
}

/// What of a connection waits for a person; what has to be seen to first comes first.
fn waiting(object: &DynamicObject) -> Result<Vec<Waits>, Failure> {
    let status: ScimConnectionStatus = part(object, "status")?.unwrap_or_default();
    let missing = status.missing_accounts.filter(|missing| !missing.approved);
    let missing = missing.map(Waits::Missing);
    Ok(missing
        .into_iter()
        .chain(status.held_plan.map(Waits::Leavers))
        .collect())
}

/// Which of them is meant.
fn chosen<'a>(all: &'a [Waits], hash: Option<&str>) -> Result<&'a Waits, String> {
    let Some(first) = all.first() else {
        return Err("nothing is held".into());
    };
    let Some(hash) = hash else {
        return Ok(first);
    };
    all.iter()
        .find(|waits| waits.hash() == hash)
        .ok_or_else(|| {
            let held: Vec<_> = all.iter().map(Waits::hash).collect();
            format!("what is held is {}, and not {hash}", held.join(" and "))
        })
}

/// Why nothing comes of an approval for now.
fn stands_still(object: &DynamicObject) -> Result<Option<&'static str>, Failure> {
    let spec: Option<ScimConnectionSpec> = part(object, "spec")?;
    Ok(spec.and_then(|spec| {
        if spec.suspend {
            Some("the connection is suspended: nothing comes of it before it is resumed")
        } else if spec.mode == Mode::DryRun {
            Some("the connection is in mode DryRun: nothing comes of it before that ends")
        } else {
            None
        }
    }))
}

/// What became of the annotation.
enum Wrote {
    Approved,
    /// It is there, and was not answered yet.
    Before,
    /// Something else is held by now, or nothing.
    Another(String),
}

/// What is to be written for a hash, by what the connection says now.
#[derive(Debug, PartialEq)]
enum Step {
    Approve,
    /// It was approved before, and the same people came together again: an approval works once, and so the one of
    /// before has to go first. With whether the annotation is still there.
    Forget(bool),
    Nothing,
    Another(String),
}

fn step(object: &DynamicObject, hash: &str) -> Result<Step, Failure> {
    if let Err(why) = chosen(&waiting(object)?, Some(hash)) {
        return Ok(Step::Another(why));
    }
    let status: ScimConnectionStatus = part(object, "status")?.unwrap_or_default();
    let annotation = object.annotations().get(ANNOTATION_APPROVE_PLAN);
    Ok(if status.approved_plan.as_deref() == Some(hash) {
        Step::Forget(annotation.is_some())
    } else if annotation.is_some_and(|said| said == hash) {
        Step::Nothing
    } else {
        Step::Approve
    })
}

async fn write_down(cluster: &Cluster, target: &Target, hash: &str) -> Result<Wrote, Failure> {
    let annotation =
        |value: Value| json!({"metadata": {"annotations": {ANNOTATION_APPROVE_PLAN: value}}});
    let until = tokio::time::Instant::now() + FORGETS;
    loop {
        let object = objects::get(cluster, target).await?;
        match step(&object, hash)? {
            Step::Another(why) => return Ok(Wrote::Another(why)),
            Step::Nothing => return Ok(Wrote::Before),
            Step::Approve => {
                let change = annotation(json!(hash));
                let wrote = objects::merge(cluster, target, &object, change).await?;
                if wrote.is_some() {
                    return Ok(Wrote::Approved);
                }
            }
            Step::Forget(true) => {
                objects::merge(cluster, target, &object, annotation(Value::Null)).await?;
            }
            Step::Forget(false) => tokio::time::sleep(Duration::from_millis(250)).await,
        }
        if tokio::time::Instant::now() > until {
            return Err(Failure::new(format!(
                "{target}: the operator has not answered within {}s: nothing was approved",
                FORGETS.as_secs()
            )));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connection(annotation: Option<&str>, status: Value) -> DynamicObject {
        let mut object =
            json!({"metadata": {"name": "scim", "annotations": {}}, "spec": {}, "status": status});
        if let Some(annotation) = annotation {
            object["metadata"]["annotations"][ANNOTATION_APPROVE_PLAN] = json!(annotation);
        }
        serde_json::from_value(object).unwrap()
    }

    fn both() -> Value {
        json!({
            "heldPlan": {"hash": "aaaa", "count": 12, "users": ["identity/ada", "identity/grace"]},
            "missingAccounts": {"hash": "bbbb", "count": 20, "approved": false}
        })
    }

    #[test]
    fn what_has_to_be_seen_to_first_is_meant_where_no_hash_is_said() {
        let all = waiting(&connection(None, both())).unwrap();
        assert_eq!(chosen(&all, None).unwrap().hash(), "bbbb");
        assert_eq!(chosen(&all, Some("aaaa")).unwrap().hash(), "aaaa");
        let mut approved = both();
        approved["missingAccounts"]["approved"] = json!(true);
        let all = waiting(&connection(None, approved)).unwrap();
        assert_eq!(chosen(&all, None).unwrap().hash(), "aaaa");
    }

    #[test]
    fn another_plan_is_refused_by_name_and_nothing_held_as_well() {
        let all = waiting(&connection(None, both())).unwrap();
        let why = chosen(&all, Some("cccc")).unwrap_err();
        assert_eq!(why, "what is held is bbbb and aaaa, and not cccc");
        let none = waiting(&connection(None, json!({}))).unwrap();
        assert_eq!(chosen(&none, Some("cccc")).unwrap_err(), "nothing is held");
        assert_eq!(chosen(&none, None).unwrap_err(), "nothing is held");
    }

    #[test]
    fn an_approval_is_written_once_and_one_of_before_is_forgotten_first() {
        let mut again = both();
        again["approvedPlan"] = json!("aaaa");
        for (annotation, status, expected, why) in [
            (None, both(), Step::Approve, "never said"),
            (Some("older"), both(), Step::Approve, "said of another"),
            (Some("aaaa"), both(), Step::Nothing, "said, not answered"),
            (
                Some("aaaa"),
                again.clone(),
                Step::Forget(true),
                "the same people again",
            ),
            (None, again, Step::Forget(false), "not forgotten yet"),
            (
                None,
                json!({}),
                Step::Another("nothing is held".into()),
                "gone meanwhile",
            ),
        ] {
            let object = connection(annotation, status);
            assert_eq!(step(&object, "aaaa").unwrap(), expected, "{why}");
        }
    }

    #[test]
    fn what_is_approved_is_told_with_its_names() {
        let all = waiting(&connection(None, both())).unwrap();
        let told: Vec<_> = all.iter().map(Waits::told).collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
