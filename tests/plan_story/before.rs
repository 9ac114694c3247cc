//! What a change comes to without a cluster, by what was declared before: the same as with the cluster in which that was
//! applied.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use scim_operator_harness::scratch::Scratch;
use serde_json::{Value, json};

use super::plan;
use super::repository::{edit, export, leads_to, read, write};
use crate::support::company::{company, person};
use crate::support::plugin::{self, out, steps, told};
use crate::support::scene::Scene;
use crate::support::{NAMESPACE, TOKEN, writes_since};

/// A repository before a change, and with it.
struct Change {
    _scratch: Scratch,
    before: PathBuf,
    after: PathBuf,
}

impl Change {
    async fn new(scene: &Scene) -> Result<Self> {
        let scratch = Scratch::create()?;
        let (before, after) = (scratch.join("before"), scratch.join("after"));
        for folder in [&before, &after] {
            std::fs::create_dir(folder)?;
            export(scene, folder).await?;
            write(folder, &leads_to(&scene.proxy.url()))?;
        }
        Ok(Self {
            _scratch: scratch,
            before,
            after,
        })
    }

    fn removes(&self, name: &str) -> Result<()> {
        Ok(std::fs::remove_file(
            self.after.join(format!("{name}.json")),
        )?)
    }

    fn run(&self, scene: &Scene, form: &str) -> Result<std::process::Output> {
        let (before, after) = (self.before.to_str(), self.after.to_str());
        let origin = scene.proxy.url();
        let arguments = [
            "plan",
            after.unwrap(),
            "--without-cluster",
            "--before",
            before.unwrap(),
            "--origin",
            &origin,
            "-o",
            form,
        ];
        plugin::scim(Path::new("/nowhere"), &arguments, &[("SCIM_TOKEN", TOKEN)])
    }

    fn plan(&self, scene: &Scene) -> Result<(Value, i32)> {
        let output = self.run(scene, "json")?;
        let mut found: Value =
            serde_json::from_str(&out(&output)).with_context(|| told(&output))?;
        ensure!(found["notes"] == json!([]), "{found}");
        let code = output.status.code().unwrap_or(-1);
        Ok((found["connections"][0].take(), code))
    }

    async fn plan_with_the_cluster(&self, scene: &Scene) -> Result<(Value, i32)> {
        plan(scene, &[self.after.to_str().unwrap(), "--prune"]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_comes_to_the_same_with_and_without_the_cluster() -> Result<()> {
    let scene = company(12).await?;
    let rig = &scene.rig;
    let label = ["label", "scimusers", "--all", "-n", NAMESPACE, "all=yes"];
    rig.plane.kubectl(&label).await?;
    let everybody =
        json!({"displayName": "All", "memberSelector": {"matchLabels": {"all": "yes"}}});
    rig.declare_group("all", everybody).await?;
    rig.declare_group(
        "some",
        json!({"displayName": "Some", "externalId": "hr-some",
        "members": [{"userRef": {"name": person(6)}}, {"userRef": {"name": person(7)}}]}),
    )
    .await?;
    // Whoever has an externalId of their own bears no mark; some have what the change takes away again.
    for number in [5, 6, 7] {
        let own = json!({"externalId": format!("hr-{number}"), "enterprise": {"department": "Poetry", "manager": {"userRef": {"name": person(8)}}}});
        rig.edit(&person(number), own).await?;
    }
    for number in 0..12 {
        rig.settled(&person(number)).await?;
    }
    for group in ["all", "some"] {
        rig.group_settled(group).await?;
    }
    rig.sync("before the change").await?;

    let change = Change::new(&scene).await?;
    let mark = scene.proxy.requests().len();
    let (found, code) = change.plan(&scene)?;
    ensure!(steps(&found).is_empty() && code == 0, "{code} {found}");
    ensure!(found["undeclared"] == json!([]), "{found}");
    let listings = |from: usize| {
        let all = scene.proxy.requests();
        let listings = all[from..].iter().filter(|request| {
            request.method == "GET" && request.path_and_query.contains("/Users?")
        });
        listings.count()
    };
    ensure!(listings(mark) == 1, "{} listings of users", listings(mark));

    let after = &change.after;
    edit(after, &person(1), |spec| {
        spec["enterprise"] = json!({"department": "Analysis"})
    })?;
    edit(after, &person(3), |spec| spec["active"] = json!(false))?;
    edit(after, &person(4), |spec| {
        spec["addresses"] = json!([{"type": "work", "country": "Atlantis"}])
    })?;
    edit(after, &person(5), |spec| {
        spec.as_object_mut().unwrap().remove("enterprise");
    })?;
    change.removes(&person(0))?;
    change.removes(&person(6))?;
    for (old, new) in [(9, "renamed"), (10, "new")] {
        let mut manifest = read(after, &person(old))?;
        manifest["metadata"]["name"] = json!(new);
        if new == "new" {
            manifest["spec"]["userName"] = json!("new@example.com");
        } else {
            change.removes(&person(old))?;
        }
        write(after, &manifest)?;
    }
    change.removes("some")?;
    let (known, known_code) = change.plan_with_the_cluster(&scene).await?;
    let (found, code) = change.plan(&scene)?;
    let lines = steps(&found);
    ensure!(
        lines == steps(&known),
        "{lines:#?}\nwith the cluster:\n{:#?}",
        steps(&known)
    );
    ensure!(code == 1 && known_code == 1, "{code} {known_code}");
    for expected in [
        "archive ScimUser/user-000 active",
        "archive ScimUser/user-006 active",
        "update ScimUser/user-005 department,manager",
        "adopt ScimUser/renamed active,externalId",
        "delete ScimGroup/some",
    ] {
        ensure!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{expected}: {lines:#?}"
        );
    }
    // Here a label that is dropped goes, as it does by the hand of whoever set it.
    let mut unlabelled = read(after, &person(11))?;
    unlabelled["metadata"]["labels"] = json!({});
    write(after, &unlabelled)?;
    let (found, _) = change.plan(&scene)?;
    let expected = "update ScimGroup/all +[identity/new] -[identity/user-000,identity/user-006,identity/user-011]";
    ensure!(
        steps(&found).iter().any(|line| line == expected),
        "{:#?}",
        steps(&found)
    );
    let writes = writes_since(&scene.proxy, mark);
    ensure!(writes.is_empty(), "it wrote: {writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_without_the_change_is_told_apart() -> Result<()> {
    let scene = company(12).await?;
    let change = Change::new(&scene).await?;
    for folder in [&change.before, &change.after] {
        edit(folder, &person(1), |spec| {
            spec["addresses"] = json!([{"type": "work", "country": "Atlantis"}])
        })?;
    }
    let account = scene
        .simulator
        .user_by_name("user-002@example.com")
        .context("nobody")?;
    let id = account["id"].as_str().context("no id")?;
    scene
        .simulator
        .edit_user(id, |user| user["name"]["familyName"] = json!("Byron"));
    edit(&change.after, &person(3), |spec| {
        spec["name"]["familyName"] = json!("Hopper")
    })?;
    let (found, code) = change.plan(&scene)?;
    ensure!(code == 0, "what is invalid was so before: {found}");
    let due = json!({"users": {"invalid": 1, "repair": 1}, "groups": {}});
    ensure!(found["due"] == due, "{found}");
    ensure!(
        found["users"] == json!({"update": 1, "nothing": 9}),
        "{found}"
    );
    for form in ["human", "markdown"] {
        let shown = out(&change.run(&scene, form)?);
        ensure!(
            shown.contains("Due without this change as well: Users 1 to repair, 1 invalid"),
            "{shown}"
        );
        ensure!(
            shown.contains("user-003") && !shown.contains("user-002"),
            "{shown}"
        );
    }

    // Nobody of the namespace is left; the guard sees to that, and gives no hash that only the cluster could have made.
    for number in 0..12 {
        change.removes(&person(number))?;
    }
    let (found, code) = change.plan(&scene)?;
    ensure!(
        code == 1 && found["users"] == json!({"archive": 5, "hold": 7}),
        "{found}"
    );
    ensure!(
        found["held"]["count"] == 7 && found["held"]["hash"].is_null(),
        "{found}"
    );
    let shown = out(&change.run(&scene, "human")?);
    ensure!(
        shown.contains("Guard: 7 users would be archived or deleted beyond spec.deprovisionGuard; once that is applied"),
        "{shown}"
    );
    ensure!(!shown.contains("approve-plan"), "{shown}");
    Ok(())
}
