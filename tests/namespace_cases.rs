//! An operator that is told which namespaces to watch, with the rights that the chart gives it then: it works
//! there, sees nothing elsewhere, and takes nothing that it does not see for gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use scim_operator::api::{ScimConnection, ScimUser, ScimUserStatus};
use scim_operator_harness::{ControlPlane, wait};
use scim_sim::Simulator;
use serde_json::{Value, json};
use support::{Backend, DEADLINE, NAMESPACE, Rig, TOKEN, merge, person, scene};

/// A namespace that is watched as well.
const TEAM: &str = "team";
/// One that is not.
const ELSEWHERE: &str = "elsewhere";
/// What an operator that watches the two is told.
const BOTH: &str = "identity,team";

struct Place {
    rig: Rig,
    simulator: Simulator,
}

impl Place {
    /// A chart and an operator that watch these namespaces, with commas; all where there are none.
    async fn watching(namespaces: &str) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        for namespace in [TEAM, ELSEWHERE] {
            plane.create_namespace(namespace).await?;
        }
        let values = Self::values(namespaces);
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let rig = Rig::start_on(plane, &values, &variables(namespaces)).await?;
        let simulator = scene::simulator().await?;
        rig.set_token(TOKEN).await?;
        Ok(Self { rig, simulator })
    }

    fn values(namespaces: &str) -> Vec<String> {
        let watched: Vec<&str> = namespaces.split(',').filter(|n| !n.is_empty()).collect();
        let mut access = vec![json!({"namespace": NAMESPACE})];
        if watched.is_empty() {
            access.push(json!({"namespace": ELSEWHERE}));
        }
        vec![
            "--set-json".to_owned(),
            format!("secretAccess={}", json!(access)),
            "--set-json".to_owned(),
            format!("watchNamespaces={}", json!(watched)),
        ]
    }

    /// The chart and the operator watch these from now on.
    async fn watches(&mut self, namespaces: &str) -> Result<()> {
        let values = Self::values(namespaces);
        let mut upgrade = vec!["upgrade", "scim-operator", "charts/scim-operator"];
        upgrade.extend(["--namespace", "scim-system"]);
        upgrade.extend(values.iter().map(String::as_str));
        self.rig.operator.terminate(DEADLINE).await?;
        self.rig.plane.helm(&upgrade).await?;
        self.rig.operator = Rig::operator(&self.rig.plane, &variables(namespaces)).await?;
        Ok(())
    }

    /// A connection that lets all namespaces in.
    async fn connect(&self) -> Result<()> {
        let all = json!({"allowedNamespaces": {"from": "All"}});
        self.rig.connect(&self.simulator.base_url(), all).await?;
        self.rig.connection_is("Ready", "True", "Connected").await?;
        Ok(())
    }

    async fn declare(&self, namespace: &str, name: &str, spec: Value) -> Result<()> {
        let mut whole = person(&format!("{name}@example.com"));
        whole["connectionRef"]["namespace"] = NAMESPACE.into();
        merge(&mut whole, spec);
        let user = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": name, "namespace": namespace, "labels": {"all": "yes"}}, "spec": whole});
        self.apply(&user).await
    }

    async fn apply(&self, object: &Value) -> Result<()> {
        let apply = ["apply", "-f", "-"];
        let input = object.to_string();
        self.rig.plane.kubectl_with_input(&apply, &input).await?;
        Ok(())
    }

    fn users_of(&self, namespace: &str) -> kube::Api<ScimUser> {
        kube::Api::namespaced(self.rig.client.clone(), namespace)
    }

    async fn is(&self, namespace: &str, name: &str, kind: &str, reason: &str) -> Result<String> {
        let status = if reason == "Synced" { "True" } else { "False" };
        let users = self.users_of(namespace);
        let reason = Some(reason);
        let user = wait::wait_for_condition(users, name, kind, status, reason, DEADLINE).await;
        let user = self.rig.told(user)?;
        let conditions = user.status.map(|s| s.conditions).unwrap_or_default();
        let found = conditions.into_iter().find(|c| c.type_ == kind);
        Ok(found.map(|c| c.message).unwrap_or_default())
    }

    async fn settled(&self, namespace: &str, name: &str) -> Result<()> {
        self.is(namespace, name, "Ready", "Synced").await.map(drop)
    }

    async fn kubectl(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.rig.plane.kubectl(&words).await
    }

    /// Whoever claims that name waits, though the connection would let an account be taken over by it.
    async fn nobody_gets(&self, user_name: &str) -> Result<()> {
        let adoption = json!({"adoption": {"match": ["UserName"]}});
        self.rig.edit_connection(adoption).await?;
        self.rig.connection_is("Ready", "True", "Connected").await?;
        self.rig.declare("usurper", person(user_name)).await?;
        let told = self.is(NAMESPACE, "usurper", "Synced", "OwnedByOther");
        told.await.map(drop)
    }

    fn backend(&self) -> Backend {
        Backend::new(&self.simulator.base_url(), TOKEN)
    }

    fn accounts(&self) -> Vec<String> {
        let users = self.simulator.users();
        let mut names: Vec<String> = users
            .iter()
            .filter_map(|user| Some(user["userName"].as_str()?.split('@').next()?.to_owned()))
            .collect();
        names.sort();
        names
    }
}

fn variables(namespaces: &str) -> Vec<(&'static str, String)> {
    vec![
        ("WATCH_NAMESPACES", namespaces.to_owned()),
        ("SCOPE_GRACE_SECONDS", "2".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_where_it_watches_is_provisioned_and_who_is_elsewhere_is_not_even_read() -> Result<()>
{
    let place = Place::watching(BOTH).await?;
    place.connect().await?;
    place.declare(ELSEWHERE, "eve", json!({})).await?;
    place.declare(NAMESPACE, "ada", json!({})).await?;
    place.declare(TEAM, "bob", json!({})).await?;
    let group = json!({"displayName": "All", "memberSelector": {"matchLabels": {"all": "yes"}},
        "members": [{"userRef": {"name": "eve", "namespace": ELSEWHERE}}]});
    place.rig.declare_group("all", group).await?;
    for (namespace, name) in [(NAMESPACE, "ada"), (TEAM, "bob")] {
        place.settled(namespace, name).await?;
    }
    let group = place
        .rig
        .group_is("all", "MembersResolved", "False", "MembersNotFound")
        .await?;
    let status = group.status.unwrap_or_default();
    let told = serde_json::to_string(&status.conditions)?;
    ensure!(told.contains("not watched: elsewhere/eve"), "{told}");
    place.backend().group_has("All", &["ada", "bob"]).await?;
    ensure!(place.accounts() == ["ada", "bob"], "{:?}", place.accounts());

    // Nothing was ever done with who is elsewhere, and nobody keeps it: no policy has put a finalizer on.
    let eve = place.users_of(ELSEWHERE).get("eve").await?;
    // What the API server says of an object that nobody has looked at, and no more.
    ensure!(eve.status == Some(ScimUserStatus::default()), "{eve:?}");
    ensure!(eve.metadata.finalizers.is_none(), "{eve:?}");
    place
        .kubectl("delete scimuser eve -n elsewhere --timeout=30s")
        .await?;

    let operator = place
        .rig
        .plane
        .service_account_kubeconfig("scim-system", "scim-operator")
        .await?;
    let as_operator = "--as=system:serviceaccount:scim-system:scim-operator";
    for (allowed, what) in [
        (true, "list scimusers -n identity"),
        (true, "watch scimconnections -n team"),
        (true, "patch scimgroups -n team"),
        (true, "get namespace/team"),
        (false, "list scimusers -n elsewhere"),
        (false, "get scimconnections -n elsewhere"),
        (false, "patch scimusers -n elsewhere"),
        (false, "list scimusers -A"),
        (false, "list namespaces"),
        (false, "get namespace/elsewhere"),
        (false, "create events.events.k8s.io -n elsewhere"),
        (true, "create events.events.k8s.io -n default"),
    ] {
        let line = format!("auth can-i {what} {as_operator}");
        let answer = place.kubectl(&line).await;
        ensure!(answer.is_ok() == allowed, "{what}: {answer:?}");
    }
    let get = ["get", "scimusers", "--namespace", ELSEWHERE];
    let answer = place.rig.plane.kubectl_as(&operator, &get).await;
    let refused = |e: &anyhow::Error| format!("{e:#}").contains("orbidden");
    ensure!(answer.as_ref().is_err_and(refused), "{answer:?}");

    // Each namespace is followed by itself, and what goes is seen to go.
    place.declare(TEAM, "dan", json!({})).await?;
    place.settled(TEAM, "dan").await?;
    place
        .kubectl("delete scimuser bob -n team --wait=false")
        .await?;
    wait::wait_for_absence(place.users_of(TEAM), "bob", DEADLINE).await?;
    let all = ["ada", "bob", "dan"];
    place.backend().group_has("All", &all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_watches_no_more_is_not_gone() -> Result<()> {
    let mut place = Place::watching("").await?;
    place.connect().await?;
    // The connection of one is elsewhere, another is so itself.
    let copy = "get secret scim -n identity -o json";
    let mut secret: Value = serde_json::from_str(&place.kubectl(copy).await?)?;
    secret["metadata"] = json!({"name": "scim", "namespace": ELSEWHERE});
    place.apply(&secret).await?;
    let connections: kube::Api<ScimConnection> =
        kube::Api::namespaced(place.rig.client.clone(), NAMESPACE);
    let mut far: Value = serde_json::to_value(connections.get("scim").await?)?;
    far["metadata"] = json!({"name": "far", "namespace": ELSEWHERE});
    far["status"] = json!(null);
    place.apply(&far).await?;
    let by_far = json!({"connectionRef": {"name": "far", "namespace": ELSEWHERE}});
    place.declare(NAMESPACE, "ada", by_far.clone()).await?;
    place.declare(ELSEWHERE, "eve", json!({})).await?;
    place.settled(NAMESPACE, "ada").await?;
    place.settled(ELSEWHERE, "eve").await?;
    for name in ["ann", "dan"] {
        place.declare(NAMESPACE, name, json!({})).await?;
        place.settled(NAMESPACE, name).await?;
    }
    let accounts = place.accounts();
    ensure!(accounts == ["ada", "ann", "dan", "eve"], "{accounts:?}");
    let everybody =
        json!({"displayName": "All", "memberSelector": {"matchLabels": {"all": "yes"}}});
    place.rig.declare_group("all", everybody).await?;
    place
        .backend()
        .group_has("All", &["ann", "dan", "eve"])
        .await?;

    place.watches(NAMESPACE).await?;
    let told = place
        .is(NAMESPACE, "ada", "Valid", "ConnectionNotWatched")
        .await?;
    ensure!(
        told.contains("does not watch the namespace elsewhere"),
        "{told}"
    );
    // Nobody knows any more whether eve is chosen: she stays in the group, which goes on losing whoever is not.
    place.kubectl("label scimuser dan -n identity all-").await?;
    place.backend().group_has("All", &["ann", "eve"]).await?;
    place.rig.group_settled("all").await?;
    // Whose resource is not seen has not lost it: nobody else gets that account, by no policy.
    place.nobody_gets("eve@example.com").await?;
    // Nor is a connection gone that is not seen: its leaver's account may be there still.
    place
        .kubectl("delete scimuser ada -n identity --wait=false")
        .await?;
    let told = place
        .is(NAMESPACE, "ada", "Ready", "ConnectionNotReady")
        .await?;
    ensure!(told.contains("does not watch the namespace"), "{told}");
    // Of two nothing is recorded. One goes without anybody, as long as nobody has put the finalizer back.
    for name in ["old", "new"] {
        place.declare(NAMESPACE, name, by_far.clone()).await?;
        place
            .is(NAMESPACE, name, "Valid", "ConnectionNotWatched")
            .await?;
    }
    let bind = r#"patch scimuser old -n identity --type=merge -p {"metadata":{"finalizers":["scim-operator.io/deprovision"]}}"#;
    place.kubectl(bind).await?;
    place.watches(NAMESPACE).await?;
    for name in ["old", "new"] {
        let delete = format!("delete scimuser {name} -n identity --wait=false");
        place.kubectl(&delete).await?;
    }
    wait::wait_for_absence(place.users_of(NAMESPACE), "new", DEADLINE).await?;
    let told = place
        .is(NAMESPACE, "old", "Ready", "ConnectionNotReady")
        .await?;
    ensure!(told.contains("cannot tell"), "{told}");

    // A person lets them go, or the namespace is watched again.
    place
        .kubectl("annotate scimuser old -n identity scim-operator.io/abandon=true")
        .await?;
    wait::wait_for_absence(place.users_of(NAMESPACE), "old", DEADLINE).await?;
    ensure!(place.users_of(NAMESPACE).get_opt("ada").await?.is_some());
    let accounts = place.simulator.users();
    let active = accounts.iter().all(|account| account["active"] == true);
    ensure!(accounts.len() == 4 && active, "{accounts:?}");
    place.watches("").await?;
    wait::wait_for_absence(place.users_of(NAMESPACE), "ada", DEADLINE).await?;
    let ada = place.simulator.user_by_name("ada@example.com");
    ensure!(ada.is_some_and(|ada| ada["active"] == false));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_watched_namespace_that_takes_our_rights_with_it_says_so_and_stops_nobody_else()
-> Result<()> {
    let mut place = Place::watching(BOTH).await?;
    place.connect().await?;
    place.declare(TEAM, "bob", json!({})).await?;
    place.settled(TEAM, "bob").await?;
    let everybody =
        json!({"displayName": "All", "memberSelector": {"matchLabels": {"all": "yes"}}});
    place.rig.declare_group("all", everybody).await?;
    place.backend().group_has("All", &["bob"]).await?;
    // As the namespace controller does it: role bindings go at once, what has a finalizer later.
    place.kubectl("delete namespace team --wait=false").await?;
    place
        .kubectl("delete rolebinding scim-operator -n team")
        .await?;
    wait::eventually("the right to be gone", DEADLINE, async || {
        let ask = "auth can-i patch scimusers -n team --as=system:serviceaccount:scim-system:scim-operator";
        Ok(place.kubectl(ask).await.is_err().then_some(()))
    })
    .await?;
    place
        .kubectl("delete scimuser bob -n team --wait=false")
        .await?;
    let told = wait::eventually("the event", DEADLINE, async || {
        let events = place
            .kubectl("get events.events.k8s.io -n default -o json")
            .await?;
        let events: Value = serde_json::from_str(&events)?;
        let told = events["items"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|event| {
                event["regarding"]["kind"] == "Namespace"
                    && event["regarding"]["name"] == TEAM
                    && event["reason"] == "Stuck"
            });
        Ok(told.then_some(()))
    });
    place.rig.told(told.await)?;
    // After a start the namespace cannot be listed any more.
    place.rig.operator.terminate(DEADLINE).await?;
    place.rig.operator = Rig::operator(&place.rig.plane, &variables(BOTH)).await?;
    place.declare(NAMESPACE, "ada", json!({})).await?;
    place.settled(NAMESPACE, "ada").await?;
    // Who is there yet, and not seen, loses neither the group nor the account.
    place.backend().group_has("All", &["ada", "bob"]).await?;
    place.nobody_gets("bob@example.com").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_may_not_be_listed_is_named_by_a_figure_and_nothing_is_done_meanwhile()
-> Result<()> {
    let mut place = Place::watching(BOTH).await?;
    place.connect().await?;
    place.declare(NAMESPACE, "ada", json!({})).await?;
    place.declare(TEAM, "bob", json!({})).await?;
    place.settled(NAMESPACE, "ada").await?;
    place.settled(TEAM, "bob").await?;
    let unlisted = |figures: String| {
        let lines = figures
            .lines()
            .filter(|l| l.starts_with("scim_operator_unlisted{"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let figures = place.rig.operator.metrics().await?;
    ensure!(unlisted(figures.clone()).is_empty(), "{figures}");

    // Somebody takes the Role's binding away while no operator runs; the namespace stays.
    place.rig.operator.terminate(DEADLINE).await?;
    let bound = place
        .kubectl("get rolebinding scim-operator -n team -o json")
        .await?;
    let mut bound: Value = serde_json::from_str(&bound)?;
    place
        .kubectl("delete rolebinding scim-operator -n team")
        .await?;
    place.rig.operator = Rig::operator(&place.rig.plane, &variables(BOTH)).await?;
    let mark = place.simulator.requests().len();
    place.declare(NAMESPACE, "eve", json!({})).await?;
    let of_all = ["ScimConnection", "ScimGroup", "ScimUser"].map(|kind| {
        format!(r#"scim_operator_unlisted{{kind="{kind}",watched_namespace="team"}} 1.0"#)
    });
    wait::eventually("the figure to name it", DEADLINE, async || {
        let found = unlisted(place.rig.operator.metrics().await?);
        ensure!(of_all.iter().all(|one| found.contains(one)), "{found:?}");
        Ok(Some(()))
    })
    .await?;
    ensure!(
        place.simulator.requests().len() == mark,
        "the backend was asked"
    );
    ensure!(place.accounts() == ["ada", "bob"], "{:?}", place.accounts());

    // With the right back it goes on where it was.
    bound["metadata"] = json!({"name": "scim-operator", "namespace": TEAM});
    place.apply(&bound).await?;
    place.settled(NAMESPACE, "eve").await?;
    ensure!(place.accounts() == ["ada", "bob", "eve"]);
    wait::eventually("the figure to end", DEADLINE, async || {
        let found = unlisted(place.rig.operator.metrics().await?);
        Ok(found.is_empty().then_some(()))
    })
    .await
}
