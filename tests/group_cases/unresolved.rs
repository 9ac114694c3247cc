//! Members without an account: the others are applied, these are named, and nobody is removed until
//! all are known.

use anyhow::{Result, ensure};
use kube::api::{Api, PostParams};
use scim_operator::api::group::MemberCounts;
use scim_operator::api::{ScimGroup, ScimUser};
use scim_operator_harness::wait;
use serde_json::{Value, json};

use crate::support::groups::{address, group_writes_since, members};
use crate::support::{DEADLINE, person};
use crate::{labelled, numbered, scene};

fn counts(group: &ScimGroup) -> MemberCounts {
    let status = group.status.as_ref();
    status.and_then(|s| s.members).unwrap_or_default()
}

fn unresolved(group: ScimGroup) -> Vec<String> {
    group.status.map(|s| s.unresolved).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn r19_of_fifty_members_three_are_missing_and_nobody_is_removed_until_they_come() -> Result<()>
{
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    let (there, late) = (numbered("there", 0..47), numbered("late", 0..3));
    scene.people(&there, json!({})).await?;
    let all: Vec<&String> = there.iter().chain(&late).collect();
    let spec = json!({"displayName": "Crew", "members": members(&all)});
    rig.declare_group("crew", spec).await?;
    rig.group_is("crew", "MembersResolved", "False", "MembersNotFound")
        .await?;
    scene.has("Crew", &there).await?;
    let group = rig.group_looked_at("crew", "created").await?;
    ensure!(
        counts(&group)
            == MemberCounts {
                desired: 50,
                synced: 47,
                pending: 3,
                ..MemberCounts::default()
            },
        "{:?}",
        counts(&group)
    );
    let names = [
        "identity/late-0000",
        "identity/late-0001",
        "identity/late-0002",
    ];
    ensure!(unresolved(group) == names);
    let said = rig.group_condition("crew", "MembersResolved").await?.2;
    ensure!(
        said == format!(
            "3 of 50 members have no account: not declared: {}",
            names.join(", ")
        ),
        "{said}"
    );
    let ready = rig.group_condition("crew", "Ready").await?;
    ensure!(ready.0 == "False" && ready.1 == "Pending", "{ready:?}");
    let writes = group_writes_since(&scene.proxy, 0);
    ensure!(writes == ["POST", "PATCH"], "{writes:?}");

    // An outsider's member is one too many, or one of the three under an id that nobody knows yet.
    let stranger = scene.stranger();
    scene.put_in("Crew", &stranger)?;
    let mark = scene.proxy.mark();
    rig.sync("a-stranger-came").await?;
    rig.group_looked_at("crew", "a-stranger-came").await?;
    let mut with_stranger = there.clone();
    with_stranger.push("stranger".into());
    scene.has("Crew", &with_stranger).await?;
    ensure!(group_writes_since(&scene.proxy, mark).is_empty());

    // They are added as they come, without a listing; then it is known who is one too many.
    let mark = scene.proxy.mark();
    rig.declare_all(&late, json!({})).await?;
    scene.has("Crew", &all).await?;
    let group = rig.group_settled("crew").await?;
    ensure!(
        counts(&group)
            == MemberCounts {
                desired: 50,
                synced: 50,
                ..MemberCounts::default()
            },
        "{:?}",
        counts(&group)
    );
    ensure!(unresolved(group).is_empty());
    let requests = scene.proxy.since(mark);
    let listings: Vec<&String> = requests
        .iter()
        .map(|r| &r.path_and_query)
        .filter(|path| path.contains("startIndex"))
        .collect();
    ensure!(listings.is_empty(), "they waited for {listings:?}");

    // Ten are named, the others counted.
    let ghosts = numbered("ghost", 0..12);
    let all: Vec<&String> = there.iter().chain(&ghosts).collect();
    rig.edit_group("crew", json!({"members": members(&all)}))
        .await?;
    let group = rig
        .group_is("crew", "MembersResolved", "False", "MembersNotFound")
        .await?;
    ensure!(counts(&group).pending == 12, "{:?}", counts(&group));
    let named: Vec<String> = ghosts[..10]
        .iter()
        .map(|name| format!("identity/{name}"))
        .collect();
    ensure!(unresolved(group) == named);
    let said = rig.group_condition("crew", "MembersResolved").await?.2;
    ensure!(said.ends_with("identity/ghost-0009 and 2 more"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_member_stays_and_an_invalid_one_is_named() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    scene.people(&["ada", "bob"], json!({})).await?;
    let spec = json!({"displayName": "Crew", "members": members(&["ada", "bob"])});
    rig.declare_group("crew", spec).await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob"]).await?;

    let mark = scene.proxy.mark();
    rig.edit("ada", json!({"active": false})).await?;
    rig.user_is("ada", "Archived", "True", "Requested").await?;
    let group = rig
        .group_when("crew", "the archived member to be counted", |group| {
            counts(group).archived == 1
        })
        .await?;
    ensure!(
        counts(&group)
            == MemberCounts {
                desired: 2,
                synced: 2,
                archived: 1,
                ..MemberCounts::default()
            },
        "{:?}",
        counts(&group)
    );
    rig.group_settled("crew").await?;
    ensure!(group_writes_since(&scene.proxy, mark).is_empty());
    scene.has("Crew", &["ada", "bob"]).await?;

    // Without an account, an invalid member is named; it is no reason to leave the others out.
    let mut spec = person(&address("eve"));
    spec["preferredLanguage"] = json!("en-XX");
    rig.declare("eve", spec).await?;
    rig.user_is("eve", "Valid", "False", "SpecInvalid").await?;
    rig.edit_group("crew", json!({"members": members(&["ada", "bob", "eve"])}))
        .await?;
    let group = rig
        .group_is("crew", "MembersResolved", "False", "MembersInvalid")
        .await?;
    ensure!(
        (
            counts(&group).desired,
            counts(&group).invalid,
            counts(&group).pending
        ) == (3, 1, 0),
        "{:?}",
        counts(&group)
    );
    ensure!(unresolved(group) == ["identity/eve"]);
    let said = rig.group_condition("crew", "MembersResolved").await?.2;
    ensure!(
        said == "1 of 3 members have no account: invalid: identity/eve",
        "{said}"
    );
    rig.group_is("crew", "Ready", "False", "Pending").await?;

    // Mended, eve is a member; invalid once more, she stays one, since the account is there.
    rig.edit("eve", json!({"preferredLanguage": "en-GB"}))
        .await?;
    scene.has("Crew", &["ada", "bob", "eve"]).await?;
    rig.group_settled("crew").await?;
    rig.edit("eve", json!({"preferredLanguage": "en-XX"}))
        .await?;
    rig.user_is("eve", "Valid", "False", "SpecInvalid").await?;
    let group = rig
        .group_when("crew", "the invalid member to be counted", |group| {
            counts(group).invalid == 1
        })
        .await?;
    ensure!(counts(&group).synced == 3, "{:?}", counts(&group));
    rig.group_looked_at("crew", "invalid-again").await?;
    rig.group_settled("crew").await?;
    scene.has("Crew", &["ada", "bob", "eve"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_namespace_needs_to_be_let_in() -> Result<()> {
    let scene = scene(json!({})).await?;
    let rig = &scene.rig;
    rig.plane.create_namespace("team").await?;
    let client = rig.client.clone();
    let (users, groups): (Api<ScimUser>, Api<ScimGroup>) = (
        Api::namespaced(client.clone(), "team"),
        Api::namespaced(client, "team"),
    );
    let elsewhere = json!({"name": "scim", "namespace": "identity"});
    let object = |kind: &str, name: &str, mut spec: Value| {
        spec["connectionRef"] = elsewhere.clone();
        json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "labels": {"crew": "yes"}}, "spec": spec
        })
    };
    let tim = object("ScimUser", "tim", person(&address("tim")));
    let create = PostParams::default();
    users.create(&create, &serde_json::from_value(tim)?).await?;
    let theirs = json!({"displayName": "Theirs", "members": members(&["tim"])});
    let theirs = object("ScimGroup", "theirs", theirs);
    groups
        .create(&create, &serde_json::from_value(theirs)?)
        .await?;
    scene.people(&["ada"], json!({"crew": "yes"})).await?;
    let named =
        json!([{"userRef": {"name": "ada"}}, {"userRef": {"name": "tim", "namespace": "team"}}]);
    rig.declare_group("named", json!({"displayName": "Named", "members": named}))
        .await?;
    let selector = labelled("crew", "yes");
    rig.declare_group(
        "chosen",
        json!({"displayName": "Chosen", "memberSelector": selector}),
    )
    .await?;

    // Not let in: whoever is named is missed, whoever would be selected is not even seen.
    let group = rig
        .group_when("named", "the stranger to be missed", |group| {
            let resolved = wait::condition(group, "MembersResolved");
            resolved.is_some_and(|c| c["status"] == "False") && counts(group).synced == 1
        })
        .await?;
    ensure!(unresolved(group) == ["team/tim"]);
    scene.has("Named", &["ada"]).await?;
    rig.group_settled("chosen").await?;
    scene.has("Chosen", &["ada"]).await?;
    let not_allowed = wait::wait_for_condition(
        groups.clone(),
        "theirs",
        "Valid",
        "False",
        Some("ConnectionNotAllowed"),
        DEADLINE,
    );
    not_allowed.await?;
    ensure!(scene.simulator.groups().len() == 2);

    rig.edit_connection(json!({"allowedNamespaces": {"from": "All"}}))
        .await?;
    scene.has("Named", &["ada", "tim"]).await?;
    scene.has("Chosen", &["ada", "tim"]).await?;
    scene.has("Theirs", &["tim"]).await?;
    rig.group_settled("named").await?;
    let theirs =
        wait::wait_for_condition(groups, "theirs", "Ready", "True", Some("Synced"), DEADLINE);
    theirs.await?;
    Ok(())
}
