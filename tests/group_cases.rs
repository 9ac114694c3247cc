//! The cases of groups that are not everyday life: servers that bend the rules of membership, crowds,
//! members without an account, groups that were there before, crashes, plans that are only shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "group_cases/crowd.rs"]
mod crowd;
#[path = "group_cases/dialects.rs"]
mod dialects;
#[path = "group_cases/identity.rs"]
mod identity;
#[path = "group_cases/membership.rs"]
mod membership;
#[path = "group_cases/plans.rs"]
mod plans;
#[path = "group_cases/refused.rs"]
mod refused;
mod support;
#[path = "group_cases/unresolved.rs"]
mod unresolved;

use anyhow::{Result, bail, ensure};
use scim_operator_harness::proxy::Recorded;
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};
use std::sync::Arc;
use support::groups::{address, people_in};
use support::{DEADLINE, Rig, TOKEN};

/// The simulator CybSafe behind the proxy, and an operator.
struct Scene {
    rig: Rig,
    simulator: Simulator,
    proxy: RecordingProxy,
}

/// Everything but the connection.
async fn stage(config: SimConfig) -> Result<Scene> {
    let rig = Rig::start().await?;
    let simulator = Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..config
    })
    .await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    rig.set_token(TOKEN).await?;
    Ok(Scene {
        rig,
        simulator,
        proxy,
    })
}

/// A scene with a connection that works; `extra` is merged into its spec.
async fn scene_on(config: SimConfig, extra: Value) -> Result<Scene> {
    let scene = stage(config).await?;
    scene.rig.connect(&scene.proxy.url(), extra).await?;
    scene
        .rig
        .connection_is("Ready", "True", "Connected")
        .await?;
    Ok(scene)
}

async fn scene(extra: Value) -> Result<Scene> {
    scene_on(SimConfig::default(), extra).await
}

impl Scene {
    /// Declares people with labels and waits for their accounts.
    async fn people<S: AsRef<str>>(&self, names: &[S], labels: Value) -> Result<()> {
        self.rig.declare_all(names, labels).await?;
        for name in names {
            self.rig.settled(name.as_ref()).await?;
        }
        Ok(())
    }

    /// Who is in the one group of that name, as the backend itself has it.
    fn people_in(&self, display_name: &str) -> Result<Vec<String>> {
        let (groups, users) = (self.simulator.groups(), self.simulator.users());
        people_in(groups, &users, display_name)
    }

    /// Waits until the group of that name has these people, each once, and nobody else.
    async fn has<S: AsRef<str>>(&self, display_name: &str, expected: &[S]) -> Result<()> {
        let mut expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
        expected.sort_unstable();
        let what = format!(
            "{display_name} to have exactly its {} people",
            expected.len()
        );
        let found = wait::eventually(&what, DEADLINE, async || {
            let people = self.people_in(display_name)?;
            if people != expected {
                let more = people.iter().filter(|name| !expected.contains(&&***name));
                let fewer = expected
                    .iter()
                    .filter(|name| !people.iter().any(|there| there == *name));
                bail!(
                    "of its {} members these are too many {:?}, and these are missing {:?}",
                    people.len(),
                    more.take(10).collect::<Vec<_>>(),
                    fewer.take(10).collect::<Vec<_>>()
                );
            }
            Ok(Some(()))
        });
        self.rig.told(found.await)
    }

    /// The backend's id of a person.
    fn id_of(&self, name: &str) -> String {
        let account = self.simulator.user_by_name(&address(name));
        text(&account.unwrap_or_default(), "id")
    }

    /// The one group of that name.
    fn group(&self, display_name: &str) -> Result<Value> {
        let mut groups = self.simulator.groups();
        groups.retain(|group| group["displayName"] == display_name);
        ensure!(
            groups.len() == 1,
            "{} are named {display_name}",
            groups.len()
        );
        Ok(groups.remove(0))
    }

    /// Puts somebody into a group behind everybody's back.
    fn put_in(&self, display_name: &str, user: &str) -> Result<()> {
        let edited = self.edit_members(display_name, |members| {
            members.push(json!({"value": user}));
        })?;
        ensure!(edited, "there is no group {display_name} to edit");
        Ok(())
    }

    /// Takes somebody out of a group behind everybody's back.
    fn take_out(&self, display_name: &str, user: &str) -> Result<()> {
        let edited = self.edit_members(display_name, |members| {
            members.retain(|member| member["value"] != user);
        })?;
        ensure!(edited, "there is no group {display_name} to edit");
        Ok(())
    }

    fn edit_members(&self, display_name: &str, edit: impl FnOnce(&mut Vec<Value>)) -> Result<bool> {
        let id = text(&self.group(display_name)?, "id");
        Ok(self.simulator.edit_group(&id, |group| {
            let mut members = group["members"].as_array().cloned().unwrap_or_default();
            edit(&mut members);
            group["members"] = members.into();
        }))
    }

    /// An account that nobody declares; its id.
    fn stranger(&self) -> String {
        self.simulator
            .insert_user(json!({"userName": address("stranger"), "active": true}))
    }

    /// The PATCHes of groups since `mark`.
    fn patches_since(&self, mark: usize) -> Vec<Arc<Recorded>> {
        let mut requests = self.proxy.since(mark);
        requests.retain(|r| r.method == "PATCH" && r.path_and_query.starts_with("/Groups/"));
        requests
    }

    /// The operations on members that were asked for since `mark`, as `op path` each.
    fn member_operations_since(&self, mark: usize) -> Vec<(String, String)> {
        let bodies = self.patches_since(mark);
        let bodies = bodies.iter().filter_map(|r| r.request_body());
        bodies
            .flat_map(|body| body["Operations"].as_array().cloned().unwrap_or_default())
            .map(|op| (text(&op, "op").to_lowercase(), text(&op, "path")))
            .filter(|(_, path)| path.starts_with("members"))
            .collect()
    }

    /// Three syncs that cost no write, neither here nor there.
    async fn rests(&self, group: &str) -> Result<()> {
        // A write that was answered without a body is verified by the next listing, once.
        self.rig.sync("rest-0").await?;
        self.rig.group_looked_at(group, "rest-0").await?;
        let (mark, version) = (self.proxy.mark(), self.rig.group_version(group).await?);
        for stamp in ["rest-1", "rest-2", "rest-3"] {
            self.rig.sync(stamp).await?;
        }
        ensure!(
            self.rig.group_version(group).await? == version,
            "a group in step was written to"
        );
        self.rig.group_looked_at(group, "rest-3").await?;
        let writes = support::writes_since(&self.proxy, mark);
        ensure!(writes.is_empty(), "three steady syncs wrote {writes:?}");
        Ok(())
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// A selector of one label.
fn labelled(key: &str, value: &str) -> Value {
    json!({"matchLabels": {(key): value}})
}

/// Names with numbers, so that they sort as they count.
fn numbered(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{prefix}-{n:04}")).collect()
}
