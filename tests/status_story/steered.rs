//! Who steers: suspends and resumes, has it looked at again, abandons; and who may not.

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use scim_operator::api::ScimUser;
use serde_json::{Value, json};

use super::person::{Person, Ran};
use crate::support;
use crate::support::company::{Scene, person as user};

/// Suspended and resumed, with a warning where Git would undo it; looked at again, and waited for.
pub async fn is_steered(scene: &Scene, steward: &Person) -> Result<()> {
    // Whatever changes what becomes of people is asked about.
    let unasked = steward.runs(&["suspend", "sconn/scim"]).await?;
    ensure!(
        unasked.code == 2
            && unasked.err.contains("keeps their access")
            && unasked.err.contains("--yes"),
        "{unasked:?}"
    );
    let declined = steward.answers(&["suspend", "sconn/scim"], "n\n").await?;
    ensure!(
        declined.code == 1 && declined.err.contains("nothing was done"),
        "{declined:?}"
    );
    let seen = steward.runs(&["status", "scim"]).await?;
    ensure!(!seen.out.contains("suspended"), "{seen:?}");
    let suspended = steward.runs(&["suspend", "sconn/scim", "--yes"]).await?;
    ensure!(
        suspended.code == 0 && suspended.err.is_empty(),
        "{suspended:?}"
    );
    scene
        .rig
        .connection_is("Ready", "False", "Suspended")
        .await?;
    let seen = steward.runs(&["status", "scim"]).await?;
    ensure!(seen.code == 1 && seen.out.contains("suspended"), "{seen:?}");
    let again = steward.runs(&["suspend", "scimconnections/scim"]).await?;
    ensure!(again.out.contains("already"), "{again:?}");
    let resumed = steward
        .answers(&["resume", "sconn/scim"], "y\n")
        .await?
        .well()?;
    ensure!(
        resumed.err.contains("as far as the guard allows"),
        "{resumed:?}"
    );
    let declined = steward.answers(&["reconcile", "scim"], "n\n").await?;
    ensure!(
        declined.code == 1
            && declined.err.contains("Reconcile now?")
            && declined.err.contains("nothing was done"),
        "{declined:?}"
    );
    let agreed = steward
        .answers(&["reconcile", "scim"], "y\n")
        .await?
        .well()?;
    ensure!(agreed.err.contains(": asked"), "{agreed:?}");
    let waited = ["reconcile", "scim", "--wait"];
    let waited = steward.runs(&waited).await?.well()?;
    ensure!(waited.out.contains("Ready=True Connected"), "{waited:?}");

    let labels = json!({"kustomize.toolkit.fluxcd.io/name": "people"});
    scene.rig.label(&user(5), labels).await?;
    let target = format!("su/{}", user(5));
    let suspend = ["suspend", &target, "--yes"];
    let warned = steward.runs(&suspend).await?.well()?;
    ensure!(
        warned.err.contains("Flux's Kustomization people"),
        "{warned:?}"
    );
    scene
        .rig
        .user_is(&user(5), "Ready", "False", "Suspended")
        .await?;

    let both = ["reconcile", "su/user-006", "scimuser/user-007", "--wait"];
    let both = steward.runs(&both).await?.well()?;
    ensure!(both.out.matches("Ready=True").count() == 2, "{both:?}");
    let invalid = steward.runs(&["reconcile", "su/eve", "--wait"]).await?;
    ensure!(
        invalid.code == 1 && invalid.out.contains("Ready=False Invalid"),
        "{invalid:?}"
    );
    Ok(())
}

/// A deletion that waits goes, and the account stays as it is.
pub async fn is_abandoned(scene: &Scene, steward: &Person) -> Result<()> {
    let name = user(5);
    let target = format!("su/{name}");
    let alive = steward.runs(&["abandon", &target, "--yes"]).await?;
    ensure!(
        alive.code == 1 && alive.err.contains("not being deleted"),
        "{alive:?}"
    );
    let users = scene.rig.users();
    users.delete(&name, &DeleteParams::default()).await?;
    let declined = steward.answers(&["abandon", &target], "yes\n").await?;
    ensure!(
        declined.code == 1 && declined.err.contains("AS IT IS"),
        "{declined:?}"
    );
    let there: Option<ScimUser> = users.get_opt(&name).await?;
    ensure!(there.is_some(), "it went without the word");
    let done = steward
        .answers(&["abandon", &target], &format!("{name}\n"))
        .await?;
    ensure!(done.code == 0 && done.out.contains("abandoned"), "{done:?}");
    scene.gone(5..6).await?;
    let account = scene.simulator.user_by_name("user-005@example.com");
    let account = account.context("the account is gone")?;
    ensure!(account["active"] == true, "{account}");
    Ok(())
}

/// Whoever lacks a right is told which.
pub async fn without_rights(scene: &Scene) -> Result<()> {
    let plane = &scene.rig.plane;
    let viewer = Person::with_role(plane, "viewer", Some("scim-viewer")).await?;
    viewer.runs(&["status", "scim"]).await?.well()?;
    // Whoever may read alone, and has a token, may plan.
    let token = [
        ("SCIM_TOKEN", support::TOKEN),
        ("ALLOW_LOCAL_ENDPOINTS", "true"),
    ];
    let planned = viewer.runs_with(&["plan", "-o", "json"], &token).await?;
    let plan: Value = serde_json::from_str(&planned.out).context(format!("{planned:?}"))?;
    ensure!(
        plan["connections"][0]["accounts"].as_u64() > Some(0),
        "{plan}"
    );
    for command in [
        vec!["reconcile", "scim"],
        vec!["suspend", "su/user-006", "--yes"],
        vec!["abandon", "su/user-006", "--force", "--yes"],
    ] {
        let refused = viewer.runs(&command).await?;
        ensure!(
            refused.code == 2 && refused.err.contains("you may not patch scim"),
            "{command:?}: {refused:?}"
        );
    }
    let stranger = Person::with_role(plane, "stranger", None).await?;
    for (command, right) in [
        (
            vec!["status"],
            "list scimconnections.scim-operator.io in the namespace identity",
        ),
        (
            vec!["status", "-A"],
            "list scimconnections.scim-operator.io in all namespaces",
        ),
        (
            vec!["status", "scim"],
            "get scimconnections.scim-operator.io in the namespace identity",
        ),
        (
            vec!["approve", "scim"],
            "get scimconnections.scim-operator.io in the namespace identity",
        ),
        (
            vec!["resume", "sg/x"],
            "get scimgroups.scim-operator.io in the namespace identity",
        ),
    ] {
        let Ran { code, err, .. } = stranger.runs(&command).await?;
        ensure!(
            code == 2 && err.contains(&format!("you may not {right}")),
            "{command:?}: {code} {err}"
        );
    }
    Ok(())
}
