//! `suspend` and `resume`: leaves objects alone, and takes them up again.

use std::collections::BTreeMap;

use anstream::{eprintln, println};
use clap::Args;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::json;

use super::cluster::Access;
use super::confirm::{Word, confirmed};
use super::kinds::{Kind, Target};
use super::{Ended, Failure, objects, paint};

const SUSPEND: &str = "Examples:
  # No request is sent to this backend any more
  kubectl scim suspend sconn/cybsafe -n identity

  # These two accounts stay as they are, whatever is declared
  kubectl scim suspend su/ada su/grace -n identity --yes

Exit code: 0 suspended, 1 the answer was no, 2 it could not be done.";

const RESUME: &str = "Examples:
  # The connection works again
  kubectl scim resume sconn/cybsafe -n identity

  # So do these two
  kubectl scim resume su/ada su/grace -n identity --yes

Exit code: 0 resumed, 1 the answer was no, 2 it could not be done.";

/// Leave objects alone until they are resumed
#[derive(Args)]
#[command(after_help = SUSPEND)]
pub struct Suspend {
    #[command(flatten)]
    which: Which,
}

/// Take up again what was suspended
#[derive(Args)]
#[command(after_help = RESUME)]
pub struct Resume {
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
struct Which {
    /// KIND/NAME, such as scimuser/ada
    #[arg(required = true, value_name = "KIND/NAME")]
    targets: Vec<Target>,
    /// Does not ask
    #[arg(long, short)]
    yes: bool,
}

/// Suspends.
///
/// # Errors
/// When an object is not there or may not be changed, or nobody can be asked.
pub async fn suspend(access: &Access, arguments: Suspend) -> Result<Ended, Failure> {
    set(access, arguments.which, true).await
}

/// Resumes.
///
/// # Errors
/// When an object is not there or may not be changed, or nobody can be asked.
pub async fn resume(access: &Access, arguments: Resume) -> Result<Ended, Failure> {
    set(access, arguments.which, false).await
}

async fn set(access: &Access, which: Which, suspend: bool) -> Result<Ended, Failure> {
    let Which { targets, yes } = which;
    let cluster = access.cluster().await?;
    let (done, question) = if suspend {
        ("suspended", "Suspend?")
    } else {
        ("resumed", "Resume?")
    };
    let mut asked = Vec::new();
    for target in targets {
        let object = objects::get(&cluster, &target).await?;
        if is_suspended(&object) == suspend {
            println!("{target}: was {done} already");
        } else {
            asked.push(target);
        }
    }
    if asked.is_empty() {
        return Ok(Ended::Well);
    }
    if !yes {
        let told = |target: &Target| eprintln!("{target}: {}", meaning(target, suspend));
        asked.iter().for_each(told);
    }
    if !confirmed(question, Word::Yes, yes)? {
        eprintln!("nothing was done");
        return Ok(Ended::WithFindings);
    }
    for target in &asked {
        let changed = objects::change(&cluster, target, |object| {
            let is_so = is_suspended(object) == suspend;
            Ok((!is_so).then(|| json!({"spec": {"suspend": suspend}})))
        });
        match changed.await? {
            Some(object) => {
                println!("{target}: {done}");
                if let Some(owner) = manager(object.labels(), object.annotations()) {
                    eprintln!(
                        "{}: {target} is managed by {owner}, which will undo this: say spec.suspend: {suspend} in Git",
                        paint::in_style(paint::CAUTION, "warning")
                    );
                }
            }
            None => println!("{target}: was {done} already"),
        }
    }
    Ok(Ended::Well)
}

/// What it comes to.
fn meaning(target: &Target, suspend: bool) -> &'static str {
    let is_connection = target.kind.is(&Kind::connection());
    match (is_connection, suspend) {
        (true, true) => {
            "its backend gets no request any more; whoever leaves keeps their access until it is resumed"
        }
        (true, false) => {
            "its backend is brought in step with what is declared by now, as far as the guard allows"
        }
        (false, true) => {
            "it stays at the backend as it is, whatever is declared, until it is resumed"
        }
        (false, false) => "it is brought in step with what is declared by now",
    }
}

fn is_suspended(object: &DynamicObject) -> bool {
    let said = object.data.pointer("/spec/suspend");
    said.and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// Who would set an object right again by what Git says, where it bears such a mark.
fn manager(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Option<String> {
    if let Some(name) = labels.get("kustomize.toolkit.fluxcd.io/name") {
        return Some(format!("Flux's Kustomization {name}"));
    }
    if let Some(name) = labels.get("helm.toolkit.fluxcd.io/name") {
        return Some(format!("Flux's HelmRelease {name}"));
    }
    if let Some(id) = annotations.get("argocd.argoproj.io/tracking-id") {
        // APPLICATION:GROUP/KIND:NAMESPACE/NAME
        let application = id.split(':').next().unwrap_or_default();
        return Some(format!("Argo CD's Application {application}"));
    }
    // Argo CD's older mark is a label that others set as well; who that is, another label says.
    let instance = labels.get("app.kubernetes.io/instance")?;
    let by = labels.get("app.kubernetes.io/managed-by")?;
    Some(format!("{by} ({instance})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_would_undo_it_is_named() {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let instance = ("app.kubernetes.io/instance", "people");
        for (labels, annotations, named) in [
            (
                map(&[("kustomize.toolkit.fluxcd.io/name", "people")]),
                map(&[]),
                Some("Flux's Kustomization people"),
            ),
            (
                map(&[("helm.toolkit.fluxcd.io/name", "people")]),
                map(&[]),
                Some("Flux's HelmRelease people"),
            ),
            (
                map(&[]),
                map(&[(
                    "argocd.argoproj.io/tracking-id",
                    "people:scim-operator.io/ScimUser:identity/ada",
                )]),
                Some("Argo CD's Application people"),
            ),
            (
                map(&[instance, ("app.kubernetes.io/managed-by", "Helm")]),
                map(&[]),
                Some("Helm (people)"),
            ),
            (map(&[instance]), map(&[]), None),
            (map(&[]), map(&[]), None),
        ] {
            assert_eq!(manager(&labels, &annotations).as_deref(), named);
        }
    }
}
