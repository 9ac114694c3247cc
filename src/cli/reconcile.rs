//! `reconcile`: has the operator look again now, and says what came of it.

use std::time::Duration;

use anstream::{eprintln, println};
use clap::Args;
use futures::{TryStreamExt, future};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use super::cluster::{Access, Cluster};
use super::confirm::confirmed_at_a_terminal;
use super::kinds::{Seen, Target};
use super::refused::Asked;
use super::tame::tame;
use super::{Ended, Failure, objects, paint};
use crate::api::{ANNOTATION_RECONCILE_AT, ConditionType};
use crate::domain::names;

const EXAMPLES: &str = "Examples:
  # The backend is listed now, and whoever is not in step is looked at again
  kubectl scim reconcile cybsafe -n identity

  # Two people and a group, and wait until it is known what came of it
  kubectl scim reconcile su/ada su/grace sg/engineering -n identity --wait --timeout 2m

Exit code: 0 asked, or with --wait ready; 1 not ready, or the answer was no; 2 not asked, or no answer in time.";

/// Have the operator look at objects again now
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// KIND/NAME, or the NAME of a connection
    #[arg(required = true, value_name = "KIND/NAME", value_parser = Target::or_connection)]
    targets: Vec<Target>,
    /// Does not ask; nor is asked where standard input is no terminal
    #[arg(long, short)]
    yes: bool,
    /// Waits until the operator has answered, and says what came of it
    #[arg(long)]
    wait: bool,
    /// For how long at most, such as 90s or 1h30m
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration, requires = "wait")]
    timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = names::duration_seconds(text);
    let seconds = seconds.ok_or("a duration is said as 90s, 5m or 1h30m")?;
    Ok(Duration::from_secs(seconds))
}

/// Asks, and waits where that is wanted.
///
/// # Errors
/// When an object is not there or may not be changed, or when the operator does not answer in time.
pub async fn run(access: &Access, arguments: Arguments) -> Result<Ended, Failure> {
    let Arguments {
        targets,
        yes,
        wait,
        timeout,
    } = arguments;
    let cluster = access.cluster().await?;
    let named: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let question = format!(
        "{}: whatever differs from what is declared is set right at the backend, as far as the guard allows. Reconcile now?",
        named.join(", ")
    );
    if !confirmed_at_a_terminal(&question, yes)? {
        eprintln!("nothing was done");
        return Ok(Ended::WithFindings);
    }
    let stamp = jiff::Timestamp::now().to_string();
    for target in &targets {
        let annotation = json!({"metadata": {"annotations": {ANNOTATION_RECONCILE_AT: stamp}}});
        objects::change(&cluster, target, |_| Ok(Some(annotation.clone()))).await?;
        eprintln!("{target}: asked");
    }
    if !wait {
        return Ok(Ended::Well);
    }
    let waits = targets
        .iter()
        .map(|target| answer(&cluster, target, &stamp, timeout));
    let mut ended = Ended::Well;
    for (target, answer) in targets.iter().zip(future::join_all(waits).await) {
        let answer = answer?;
        println!("{target}: {}", answer.line());
        if !answer.is_well() {
            ended = Ended::WithFindings;
        }
    }
    Ok(ended)
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// It is deleted, and gone.
    Gone,
    /// `Ready`, as it is then.
    Ready(Box<Condition>),
    /// It was looked at, and the time was over before anything was decided.
    Undecided(Option<Box<Condition>>),
}

impl Answer {
    fn is_well(&self) -> bool {
        match self {
            Self::Gone => true,
            Self::Ready(ready) => ready.status == "True",
            Self::Undecided(_) => false,
        }
    }

    fn line(&self) -> String {
        let condition = |ready: &Condition| {
            let Condition {
                status,
                reason,
                message,
                ..
            } = ready;
            tame(&format!("Ready={status} {reason}: {message}"))
        };
        match self {
            Self::Gone => "gone".into(),
            Self::Ready(ready) if self.is_well() => paint::in_style(paint::GOOD, condition(ready)),
            Self::Ready(ready) => paint::in_style(paint::BAD, condition(ready)),
            Self::Undecided(ready) => {
                let so_far = ready.as_ref().map(|ready| condition(ready));
                let so_far = so_far.unwrap_or_else(|| "no condition yet".into());
                paint::in_style(paint::CAUTION, format!("still under way: {so_far}"))
            }
        }
    }
}

/// Waits for the answer to the request of that stamp.
async fn answer(
    cluster: &Cluster,
    target: &Target,
    stamp: &str,
    timeout: Duration,
) -> Result<Answer, Failure> {
    let api = objects::seen(cluster, target);
    let mut looked_at = None;
    let watch = async {
        let states = watcher::watch_object(api, &target.name).default_backoff();
        let mut states = std::pin::pin!(states);
        loop {
            match states.try_next().await {
                Ok(Some(Some(seen))) => {
                    if !is_answered(&seen, stamp) {
                        continue;
                    }
                    looked_at = Some(ready(&seen));
                    if let Some(decided) = decided(&seen) {
                        return Ok(Answer::Ready(Box::new(decided)));
                    }
                }
                Ok(Some(None)) => return Ok(Answer::Gone),
                Ok(None) => return Err(Failure::new(format!("{target}: the watch ended"))),
                Err(error) => {
                    let asked = Asked {
                        verb: "watch",
                        resource: &target.kind.resource,
                        namespace: Some(&cluster.namespace),
                    };
                    if let Some(failure) = asked.watch_failed(&error) {
                        return Err(failure);
                    }
                }
            }
        }
    };
    let ended = tokio::time::timeout(timeout, watch).await;
    match (ended, looked_at) {
        (Ok(answer), _) => answer,
        (Err(_), Some(so_far)) => Ok(Answer::Undecided(so_far.map(Box::new))),
        (Err(_), None) => Err(Failure::new(format!(
            "{target}: the operator has not answered within {}s: does it run, and does it watch the namespace {}?",
            timeout.as_secs(),
            cluster.namespace
        ))),
    }
}

/// Whether the status answers the request. Flux's own annotation, where there is one, stands behind it.
fn is_answered(seen: &Seen, stamp: &str) -> bool {
    let answered = seen.status.as_ref();
    let answered = answered.and_then(|s| s.last_handled_reconcile_at.as_deref());
    let rest = answered.and_then(|answered| answered.strip_prefix(stamp));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn ready(seen: &Seen) -> Option<Condition> {
    condition(seen, ConditionType::Ready)
}

fn condition(seen: &Seen, kind: ConditionType) -> Option<Condition> {
    let all = &seen.status.as_ref()?.conditions;
    all.iter().find(|c| c.type_ == kind.as_str()).cloned()
}

/// `Ready`, if it speaks of this spec and nothing is under way any more.
fn decided(seen: &Seen) -> Option<Condition> {
    let ready = ready(seen)?;
    let is_of_this_spec = ready.observed_generation == seen.metadata.generation;
    let is_moving = condition(seen, ConditionType::Reconciling).is_some_and(|c| c.status == "True");
    (is_of_this_spec && !is_moving && ready.status != "Unknown").then_some(ready)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn seen(conditions: Value, answered: &str) -> Seen {
        let object = json!({
            "metadata": {"name": "ada", "generation": 2},
            "spec": {},
            "status": {"lastHandledReconcileAt": answered, "conditions": conditions}
        });
        serde_json::from_value(object).unwrap()
    }

    fn one(kind: &str, status: &str, generation: i64) -> Value {
        json!({"type": kind, "status": status, "reason": "Synced", "message": "", "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn ready_is_decided_when_it_speaks_of_this_spec_and_nothing_moves() {
        for (conditions, is_decided, why) in [
            (json!([one("Ready", "True", 2)]), true, "ready"),
            (
                json!([one("Ready", "False", 2)]),
                true,
                "and where it is not",
            ),
            (json!([one("Ready", "True", 1)]), false, "of an older spec"),
            (json!([one("Ready", "Unknown", 2)]), false, "nobody knows"),
            (
                json!([one("Ready", "False", 2), one("Reconciling", "True", 2)]),
                false,
                "under way",
            ),
            (json!([]), false, "nobody has looked"),
        ] {
            assert_eq!(
                decided(&seen(conditions, "")).is_some(),
                is_decided,
                "{why}"
            );
        }
    }

    #[test]
    fn an_answer_is_of_the_request_that_was_made() {
        for (answered, is_answer) in [
            ("2026-01-01T00:00:00Z", true),
            ("2026-01-01T00:00:00Z/flux", true),
            ("2026-01-01T00:00:00Z9", false),
            ("earlier", false),
            ("", false),
        ] {
            let seen = seen(json!([]), answered);
            assert_eq!(
                is_answered(&seen, "2026-01-01T00:00:00Z"),
                is_answer,
                "{answered}"
            );
        }
    }

    #[test]
    fn durations_are_those_of_the_api() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("5").is_err());
    }
}
