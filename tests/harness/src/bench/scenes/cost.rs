//! What each change costs in requests.

use anyhow::{Context, Result};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::patience;
use crate::bench::rig::{AT_ONCE, DEADLINE, Rig, at_once, simulator};
use crate::bench::samples::Requests;
use crate::bench::table::Row;
use crate::proxy::RecordingProxy;
use crate::wait;

/// SCIM and Kubernetes requests per create, update and delete, counted by a proxy and by the API server.
/// The operator runs.
///
/// # Errors
/// When it does not come to an end.
pub async fn requests(rig: &Rig, namespace: &str, users: usize) -> Result<Vec<Row>> {
    let backend = simulator().await?;
    let proxy = RecordingProxy::start(&backend.base_url()).await?;
    rig.connect(namespace, &proxy.url(), json!({})).await?;
    let connections = rig.connections(namespace);
    wait::wait_for_condition(connections, "scim", "Ready", "True", None, DEADLINE).await?;
    let mut rows = Vec::new();
    let api = rig.users(namespace);
    for what in ["create", "update", "delete"] {
        let counted = Requests::now(&rig.client).await?;
        let mark = proxy.mark();
        match what {
            "create" => rig.declare(namespace, 0..users).await?,
            "update" => {
                let patch = json!({"spec": {"enterprise": {"department": "Looms"}}});
                at_once(AT_ONCE, 0..users, async |number| {
                    let name = format!("user-{number}");
                    api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                        .await?;
                    Ok(())
                })
                .await?;
            }
            _ => {
                at_once(AT_ONCE, 0..users, async |number| {
                    let name = format!("user-{number}");
                    api.delete(&name, &DeleteParams::default()).await?;
                    Ok(())
                })
                .await?;
            }
        }
        let most = patience(users);
        wait::eventually(&format!("{what} to be over"), most, async || {
            let left = api.list(&Default::default()).await?.items;
            let done = |user: &kube::api::DynamicObject| {
                let status = &user.data["status"];
                let now = user.metadata.generation;
                let ready = wait::condition(user, "Ready");
                status["observedGeneration"].as_i64() == now
                    && ready.is_some_and(|c| {
                        c["status"] == "True" && c["observedGeneration"].as_i64() == now
                    })
            };
            let over = match what {
                "delete" => left.is_empty(),
                _ => left.len() == users && left.iter().all(done),
            };
            Ok(over.then_some(()))
        })
        .await?;
        let after = Requests::now(&rig.client).await?;
        // The administrator's own updates are of the resource itself, as is the taking off of the finalizer.
        let mut writes = after.writes_since(&counted, "scimusers") as f64;
        if what == "update" {
            writes -= users as f64;
        }
        let scim = proxy.since(mark).len() as f64 / users as f64;
        let kubernetes = writes / users as f64;
        rows.push(
            Row::bound(
                &format!("SCIM requests per {what}, {users} users"),
                "1.00 (≤ 1.01)",
                scim,
                "",
                scim <= 1.01,
            )
            .beside(1.0),
        );
        rows.push(
            Row::bound(
                &format!("Kubernetes writes per {what}, {users} users"),
                "1.00",
                kubernetes,
                "",
                kubernetes <= 1.01,
            )
            .beside(1.0),
        );
    }
    Ok(rows)
}

/// PATCHes for a large group that grows. The operator runs.
///
/// # Errors
/// When it does not come to an end.
pub async fn group(rig: &Rig, namespace: &str, members: usize, more: usize) -> Result<Vec<Row>> {
    let backend = simulator().await?;
    rig.connect(namespace, &backend.base_url(), json!({}))
        .await?;
    rig.declare(namespace, 0..members + more).await?;
    rig.in_step(namespace, members + more, patience(members + more))
        .await?;
    let group = |count: usize| {
        let members: Vec<_> = (0..count)
            .map(|number| json!({"userRef": {"name": format!("user-{number}")}}))
            .collect();
        json!({"spec": {"connectionRef": {"name": "scim"}, "displayName": "Engines", "members": members}})
    };
    let groups = rig.groups(namespace);
    let mut object = group(members);
    object["apiVersion"] = "scim-operator.io/v1alpha1".into();
    object["kind"] = "ScimGroup".into();
    object["metadata"] = json!({"name": "engines"});
    groups
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let synced = async |count: usize| -> Result<()> {
        let all = u64::try_from(count)?;
        let whole = |group: Option<&kube::api::DynamicObject>| {
            group.is_some_and(|group| group.data["status"]["members"]["synced"] == all)
        };
        wait::wait_for_object(
            groups.clone(),
            "engines",
            "its members",
            DEADLINE * 3,
            whole,
        )
        .await?;
        Ok(())
    };
    synced(members).await?;
    backend.clear_requests();
    let patch = group(members + more);
    groups
        .patch("engines", &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    synced(members + more).await?;
    let counts = backend.request_counts();
    let patches = counts
        .by_endpoint
        .get("PATCH /Groups/{id}")
        .copied()
        .context("no PATCH of a group was seen")? as f64;
    let floor = more.div_ceil(100) as f64;
    Ok(vec![
        Row::bound(
            &format!("{members}-member group, +{more}"),
            &format!("{floor:.0} PATCHes at 100 a request"),
            patches,
            "PATCHes",
            patches <= floor,
        )
        .beside(floor)
        .noting(format!("{} requests in all", counts.total)),
    ])
}
