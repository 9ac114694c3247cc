//! `suspend` and `resume`: leaves objects alone, and takes them up again.

use std::collections::BTreeMap;

use anstream::{eprintln, println};
use clap::Args;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::json;

use super::cluster::Access;
use super::kinds::Target;
use super::{Ended, Failure, objects, paint};

const SUSPEND: &str = "Examples:
  # No request is sent to this backend any more
  kubectl scim suspend sconn/cybsafe -n identity

  # These two accounts stay as they are, whatever is declared
  kubectl scim suspend su/ada su/grace -n identity

Exit code: 0 suspended, 2 not.";

const RESUME: &str = "Examples:
  # The connection works again
  kubectl scim resume sconn/cybsafe -n identity

  # So do these two
  kubectl scim resume su/ada su/grace -n identity

Exit code: 0 resumed, 2 not.";

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
}

/// Suspends.
///
/// # Errors
/// When an object is not there, or may not be changed.
pub async fn suspend(access: &Access, arguments: Suspend) -> Result<Ended, Failure> {
    set(access, &arguments.which.targets, true).await
}

/// Resumes.
///
/// # Errors
/// When an object is not there, or may not be changed.
pub async fn resume(access: &Access, arguments: Resume) -> Result<Ended, Failure> {
    set(access, &arguments.which.targets, false).await
}

async fn set(access: &Access, targets: &[Target], suspend: bool) -> Result<Ended, Failure> {
    let cluster = access.cluster().await?;
    let done = if suspend { "suspended" } else { "resumed" };
    for target in targets {
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
