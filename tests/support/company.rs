//! A company that is in step, and what can befall it.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use scim_operator::api::ScimConnection;
use scim_operator::api::connection::HeldPlan;
use scim_operator_harness::wait;
use serde_json::json;

use super::DEADLINE;
pub use super::scene::Scene;
use super::scene::stage_with;

/// A company of so many people, all in step.
pub async fn company(people: usize) -> Result<Scene> {
    company_with(people, &[]).await
}

/// The same, with these variables of the operator.
pub async fn company_with(people: usize, variables: &[(&str, String)]) -> Result<Scene> {
    let scene = stage_with(variables).await?;
    scene.connect(json!({})).await?;
    let names: Vec<String> = (0..people).map(person).collect();
    scene.rig.declare_all(&names, json!({})).await?;
    for name in &names {
        scene.rig.settled(name).await?;
    }
    Ok(scene)
}

/// The name of a person.
pub fn person(number: usize) -> String {
    format!("user-{number:03}")
}

impl Scene {
    pub fn archived(&self) -> usize {
        let users = self.simulator.users();
        users.iter().filter(|user| user["active"] == false).count()
    }

    /// Waits until the connection shows a plan of so many.
    pub async fn held(&self, count: u32) -> Result<HeldPlan> {
        let what = format!("a plan of {count} to be held");
        let connection = wait::wait_for_object(
            self.rig.connections(),
            "scim",
            &what,
            DEADLINE,
            |c: Option<&ScimConnection>| {
                let status = c.and_then(|c| c.status.as_ref());
                status
                    .and_then(|s| s.held_plan.as_ref())
                    .is_some_and(|plan| plan.count == count)
            },
        );
        let connection = self.rig.told(connection.await)?;
        let status = connection.and_then(|c| c.status).unwrap_or_default();
        ensure!(
            status
                .conditions
                .iter()
                .any(|c| { c.type_ == "DeprovisioningHeld" && c.status == "True" }),
            "{:?}",
            status.conditions
        );
        Ok(status.held_plan.unwrap_or_default())
    }

    pub async fn archives(&self, count: usize) -> Result<()> {
        wait::eventually("so many to be archived", DEADLINE, async || {
            Ok((self.archived() == count).then_some(()))
        })
        .await
    }

    pub async fn approve(&self, hash: &str) -> Result<()> {
        self.rig.approve(hash).await
    }

    pub async fn delete(&self, numbers: impl Iterator<Item = usize>) -> Result<()> {
        for number in numbers {
            let users = self.rig.users();
            users
                .delete(&person(number), &DeleteParams::default())
                .await?;
        }
        Ok(())
    }

    pub async fn gone(&self, numbers: impl Iterator<Item = usize>) -> Result<()> {
        for number in numbers {
            let name = person(number);
            self.rig
                .told(wait::wait_for_absence(self.rig.users(), &name, DEADLINE).await)?;
        }
        Ok(())
    }
}
