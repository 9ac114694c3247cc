//! What the tests of groups share: ScimGroups as an administrator writes them, users with labels, and
//! the members of a group as the backend has them, by the names of people.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use scim_operator::api::{ScimConnection, ScimGroup, ScimUser};
use scim_operator_harness::{RecordingProxy, wait};
use serde_json::{Value, json};

use super::{Backend, DEADLINE, NAMESPACE, Rig, person};

/// How many objects are created at once, where there are many.
const AT_ONCE: usize = 16;

impl Rig {
    pub fn groups(&self) -> Api<ScimGroup> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// A group of the connection `scim`; `spec` is its displayName and what else differs.
    pub async fn declare_group(&self, name: &str, spec: Value) -> Result<ScimGroup> {
        let mut whole = json!({"connectionRef": {"name": "scim"}});
        super::merge(&mut whole, spec);
        let object = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimGroup", "metadata": {"name": name}, "spec": whole});
        Ok(self
            .groups()
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?)
    }

    /// Merges into the spec of a group; a list is replaced as a whole.
    pub async fn edit_group(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.groups()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    pub async fn group_is(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        reason: &str,
    ) -> Result<ScimGroup> {
        let reason = Some(reason);
        self.told(
            wait::wait_for_condition(self.groups(), name, kind, status, reason, DEADLINE).await,
        )
    }

    /// Waits until the whole status speaks of the newest spec.
    pub async fn group_settled(&self, name: &str) -> Result<ScimGroup> {
        self.group_is(name, "Ready", "True", "Synced").await
    }

    /// Waits until the group, as it is stored, meets an expectation.
    pub async fn group_when(
        &self,
        name: &str,
        what: &str,
        is_met: impl Fn(&ScimGroup) -> bool,
    ) -> Result<ScimGroup> {
        let found = wait::wait_for_object(
            self.groups(),
            name,
            what,
            DEADLINE,
            |group: Option<&ScimGroup>| group.is_some_and(&is_met),
        );
        self.told(found.await)?
            .with_context(|| format!("{name} does not exist"))
    }

    /// Asks for a look at a group now and waits until it was taken: what the group was going to
    /// write because of what came before is written by then.
    pub async fn group_looked_at(&self, name: &str, stamp: &str) -> Result<ScimGroup> {
        let patch = json!({"metadata": {"annotations": {"scim-operator.io/reconcile-at": stamp}}});
        self.groups()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        self.group_when(name, "the request for a look to be answered", |group| {
            let status = group.status.as_ref();
            status.and_then(|s| s.last_handled_reconcile_at.as_deref()) == Some(stamp)
        })
        .await
    }

    pub async fn group_condition(
        &self,
        name: &str,
        kind: &str,
    ) -> Result<(String, String, String)> {
        let group = self.groups().get(name).await?;
        let found = wait::condition(&group, kind)
            .with_context(|| format!("{name} has no condition {kind}"))?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Ok((text("status"), text("reason"), text("message")))
    }

    pub async fn delete_group(&self, name: &str) -> Result<()> {
        self.groups().delete(name, &DeleteParams::default()).await?;
        self.told(wait::wait_for_absence(self.groups(), name, DEADLINE).await)
    }

    pub async fn group_version(&self, name: &str) -> Result<String> {
        let group = self.groups().get(name).await?;
        Ok(group.resource_version().unwrap_or_default())
    }

    /// A valid person, who is called by the name of the resource, with labels.
    pub async fn declare_labelled(&self, name: &str, labels: Value) -> Result<ScimUser> {
        let object = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": name, "labels": labels}, "spec": person(&address(name))
        });
        Ok(self
            .users()
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?)
    }

    /// Many of them, several at once.
    pub async fn declare_all<S: AsRef<str>>(&self, names: &[S], labels: Value) -> Result<()> {
        let created = names.iter().map(async |name| {
            self.declare_labelled(name.as_ref(), labels.clone())
                .await
                .map(drop)
        });
        futures::stream::iter(created)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Sets labels of a user; `null` takes one off.
    pub async fn label(&self, name: &str, labels: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        self.users()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Waits until that many users of the connection have accounts.
    pub async fn provisioned(&self, count: u32) -> Result<()> {
        let what = format!("{count} users to have accounts");
        let patience = DEADLINE * (1 + count / 500);
        let found = wait::wait_for_object(
            self.connections(),
            "scim",
            &what,
            patience,
            |connection: Option<&ScimConnection>| {
                let status = connection.and_then(|c| c.status.as_ref());
                status
                    .and_then(|s| s.users)
                    .is_some_and(|u| u.provisioned == count)
            },
        );
        self.told(found.await.map(drop))
    }
}

impl Backend {
    pub async fn groups(&self) -> Result<Vec<Value>> {
        self.listed("Groups").await
    }

    /// The one group of that name.
    pub async fn group(&self, display_name: &str) -> Result<Value> {
        one_named(self.groups().await?, display_name)
    }

    /// Changes a group as somebody else would.
    pub async fn patch_group(&self, id: &str, operations: Value) -> Result<()> {
        self.patch_at(&format!("Groups/{id}"), operations).await
    }

    pub async fn remove_group(&self, id: &str) -> Result<()> {
        self.remove_at(&format!("Groups/{id}")).await
    }

    /// Waits until the group of that name has these people, each once, and nobody else.
    pub async fn group_has(&self, display_name: &str, expected: &[&str]) -> Result<()> {
        let what = format!("{display_name} to have {expected:?}");
        wait::eventually(&what, DEADLINE, async || {
            let (groups, users) = (self.groups().await?, self.users().await?);
            let people = people_in(groups, &users, display_name)?;
            if people != expected {
                bail!("it has {people:?}");
            }
            Ok(Some(()))
        })
        .await
    }
}

/// The userName of the person who is called so.
pub fn address(name: &str) -> String {
    format!("{name}@example.com")
}

/// `spec.members` with these users.
pub fn members<S: AsRef<str>>(names: &[S]) -> Value {
    let entry = |name: &S| json!({"userRef": {"name": name.as_ref()}});
    names.iter().map(entry).collect()
}

/// Who is in the one group of that name, sorted: each by the name before the `@`, as often as it is
/// listed. An id that is no account's stands for itself.
pub fn people_in(groups: Vec<Value>, users: &[Value], display_name: &str) -> Result<Vec<String>> {
    let names: HashMap<&str, &str> = users
        .iter()
        .filter_map(|user| {
            let name = user["userName"].as_str()?;
            Some((
                user["id"].as_str()?,
                name.split_once('@').map_or(name, |(name, _)| name),
            ))
        })
        .collect();
    let group = one_named(groups, display_name)?;
    let listed = group["members"].as_array().into_iter().flatten();
    let ids = listed.filter_map(|member| member["value"].as_str());
    let mut people: Vec<String> = ids
        .map(|id| (*names.get(id).unwrap_or(&id)).to_owned())
        .collect();
    people.sort();
    Ok(people)
}

fn one_named(groups: Vec<Value>, display_name: &str) -> Result<Value> {
    let found: Vec<Value> = groups
        .into_iter()
        .filter(|group| group["displayName"] == display_name)
        .collect();
    match <[Value; 1]>::try_from(found) {
        Ok([group]) => Ok(group),
        Err(found) => bail!("{} groups are named {display_name}", found.len()),
    }
}

/// The methods of the writes to groups since `mark`, in order.
pub fn group_writes_since(proxy: &RecordingProxy, mark: usize) -> Vec<String> {
    proxy
        .since(mark)
        .iter()
        .filter(|r| r.is_write() && r.path_and_query.starts_with("/Groups"))
        .map(|r| r.method.to_string())
        .collect()
}
