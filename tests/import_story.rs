//! A team begins with what it has, and goes on: five hundred people and some groups, made by somebody else, are imported by the
//! built plugin, applied by kubectl, and taken over by the operator, and the backend is written to by nobody. What is changed then is planned exactly, and done exactly.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use kube::api::ListParams;
use scim_operator::api::{ScimGroup, ScimUser};
use scim_operator_harness::scratch::Scratch;
use scim_operator_harness::servers::ThirdParty;
use scim_operator_harness::{RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};
use support::plugin::{self, err as said, scim, steps};
use support::{Backend, DEADLINE, NAMESPACE, Rig, TOKEN, writes_since};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PEOPLE: usize = 500;
const GROUPS: usize = 5;
const AT_ONCE: usize = 8;

/// Texts that YAML, of one version or the other, may take for something else.
const ODD: [&str; 12] = [
    "No",
    "y",
    "Null",
    "~",
    "0123",
    "1e3",
    "12:30:45",
    "1_000",
    "- a: b #c",
    "'\"\\",
    "Zoë 李",
    "=",
];

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_people_on_the_cybsafe_simulator_are_adopted_without_a_write() -> Result<()> {
    let simulator = Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        page_cap: 1000,
        ..SimConfig::default()
    })
    .await?;
    story(&simulator.base_url(), "CybSafe").await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_people_on_scim2_server_are_adopted_without_a_write() -> Result<()> {
    let server = ThirdParty::scim2_server(TOKEN).await?;
    story(server.base_url(), "RFC7643").await
}

/// One person as another provisioner has made it.
fn somebody(number: usize, manager: Option<&str>) -> Value {
    let user_name = format!("person.{number:03}@example.com");
    let mut enterprise =
        json!({"department": ODD[number % ODD.len()], "employeeNumber": format!("{number:05}")});
    if let Some(id) = manager {
        enterprise["manager"] = json!({"value": id});
    }
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "externalId": format!("hr-{number}"), "userName": user_name, "active": true,
        "name": {"givenName": ODD[(number / 2) % ODD.len()], "familyName": format!("Nō {number}")},
        "emails": [{"type": "work", "value": user_name, "primary": true}],
        "phoneNumbers": [{"type": "mobile", "value": format!("+4477009{number:05}")}],
        "addresses": [{"type": "work", "country": if number.is_multiple_of(3) { "NO" } else { "GB" }}],
        "preferredLanguage": "en-us",
        (ENTERPRISE): enterprise,
    })
}

async fn posted(backend: &Backend, endpoint: &str, body: Value) -> Result<String> {
    let request = backend
        .http
        .post(format!("{}/{endpoint}", backend.base))
        .bearer_auth(&backend.token)
        .header("content-type", "application/scim+json");
    let reply = request.body(body.to_string()).send().await?;
    let status = reply.status();
    let made: Value = reply.json().await?;
    ensure!(status.is_success(), "POST was answered {status}: {made}");
    Ok(made["id"].as_str().context("no id")?.to_owned())
}

/// Five hundred people, each with the first as manager, and groups of them; answers who is in which group, by numbers.
async fn a_company(backend: &Backend) -> Result<()> {
    let first = posted(backend, "Users", somebody(0, None)).await?;
    let manager = first.as_str();
    let more = futures::stream::iter(1..PEOPLE)
        .map(|number| posted(backend, "Users", somebody(number, Some(manager))))
        .buffered(AT_ONCE);
    let mut ids = vec![first.clone()];
    ids.extend(more.try_collect::<Vec<_>>().await?);
    for group in 0..GROUPS {
        let members = ids.iter().skip(group).step_by(GROUPS + group);
        let members: Vec<Value> = members.map(|id| json!({"value": id})).collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": format!("Team {group}"),
            "externalId": format!("hr-team-{group}"), "members": members,
        });
        posted(backend, "Groups", body).await?;
    }
    Ok(())
}

/// By the cluster's connection and Secret.
fn import(rig: &Rig, arguments: &[&str]) -> Result<Output> {
    let by_cluster = ["import", "-n", NAMESPACE, "--connection", "scim"];
    let all = [&by_cluster, arguments].concat();
    scim(rig.plane.admin_kubeconfig(), &all, &[])
}

/// Every file of a folder.
fn files(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for sub in ["", "users", "groups"] {
        for entry in std::fs::read_dir(folder.join(sub))? {
            let path = entry?.path();
            if path.is_file() {
                let name = path.strip_prefix(folder)?.display().to_string();
                found.insert(name, std::fs::read_to_string(&path)?);
            }
        }
    }
    Ok(found)
}

/// What the backend has, but for what it says of its own.
async fn state(backend: &Backend) -> Result<Vec<Value>> {
    let mut all = backend.users().await?;
    all.extend(backend.groups().await?);
    ensure!(
        all.len() >= PEOPLE + GROUPS,
        "the backend shows {}",
        all.len()
    );
    all.sort_by_key(|one| one["id"].to_string());
    Ok(all)
}

async fn story(base: &str, profile: &str) -> Result<()> {
    let rig = Rig::start().await?;
    let proxy = RecordingProxy::start(base).await?;
    let backend = Backend::new(base, TOKEN);
    a_company(&backend).await?;
    rig.set_token(TOKEN).await?;
    rig.connect(&proxy.url(), json!({"profile": profile}))
        .await?;
    rig.connection_is("Ready", "True", "Connected").await?;
    let before = state(&backend).await?;
    let scratch = Scratch::create()?;
    let beginning = proxy.mark();

    // By the cluster's connection and Secret: everybody is written, and nothing has to be seen to.
    let people = scratch.join("people");
    let report = scratch.join("report.json");
    let into = people.display().to_string();
    let told = report.display().to_string();
    let by_cluster = ["--output-dir", &into, "--report", &told];
    let output = import(&rig, &by_cluster)?;
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&report)?)?;
    ensure!(
        whole["users"]["inStep"] == PEOPLE
            && whole["groups"]["inStep"] == GROUPS
            && whole["entries"] == json!([]),
        "{whole}"
    );
    let written = files(&people)?;
    ensure!(
        written.len() == PEOPLE + GROUPS + 1,
        "{} files",
        written.len()
    );
    ensure!(
        !said(&output).contains('@') && !said(&output).contains(TOKEN),
        "a value was said: {}",
        said(&output)
    );

    // By a file and a variable, without a cluster: the same to the letter. A second time nothing is overwritten.
    let connection = json!({
        "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection",
        "metadata": {"name": "scim", "namespace": NAMESPACE},
        "spec": {"endpoint": proxy.url(), "insecure": true, "tokenSecretRef": {"name": "scim"}, "profile": profile,
            "limits": {"requestsPerSecond": 2000}},
    });
    let file = scratch.write("connection.yaml", connection.to_string())?;
    let (file, again) = (file.display().to_string(), scratch.join("again"));
    let into_again = again.display().to_string();
    let by_file = [
        "import",
        "--connection-file",
        &file,
        "--output-dir",
        &into_again,
    ];
    let output = scim(Path::new("/nowhere"), &by_file, &[("SCIM_TOKEN", TOKEN)])?;
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    ensure!(files(&again)? == written, "two ways, two outcomes");
    let output = scim(Path::new("/nowhere"), &by_file, &[("SCIM_TOKEN", TOKEN)])?;
    ensure!(
        output.status.code() == Some(2) && said(&output).contains("--force"),
        "{}",
        said(&output)
    );
    let output = scim(Path::new("/nowhere"), &by_file, &[])?;
    ensure!(
        output.status.code() == Some(2) && said(&output).contains("SCIM_TOKEN"),
        "{}",
        said(&output)
    );
    ensure!(
        writes_since(&proxy, beginning).is_empty(),
        "import wrote to the backend"
    );

    // What import foretells the operator's planner does as well: all would be taken over, and nothing changed.
    let (plan, code) = plugin::plan(rig.plane.admin_kubeconfig(), &[&into])?;
    ensure!(code == 0, "{plan}");
    ensure!(
        plan["users"] == json!({"adopt": PEOPLE}),
        "{}",
        plan["users"]
    );
    ensure!(
        plan["groups"] == json!({"adopt": GROUPS}),
        "{}",
        plan["groups"]
    );
    let changing = steps(&plan);
    let changing = changing.iter().find(|line| {
        let mut words = line.split(' ');
        !(words.next() == Some("adopt") && words.nth(1).is_none_or(|more| more == "+[]"))
    });
    ensure!(changing.is_none(), "{changing:?}");

    // Applied: all are taken over, and nobody wrote anything to the backend.
    rig.plane.kubectl(&["apply", "-k", &into]).await?;
    adopted(&rig).await?;
    ensure!(
        writes_since(&proxy, beginning).is_empty(),
        "{:?}",
        writes_since(&proxy, beginning)
    );
    let users = rig.users().list(&ListParams::default()).await?.items;
    ensure!(users.iter().all(|user| {
        let id = user.status.as_ref().and_then(|s| s.id.clone());
        id.is_some() && id == user.spec.adopt.as_ref().map(|adopt| adopt.id.clone())
    }));

    // Nor later: a listing finds everything in step, managers and members resolved by then.
    rig.sync("after the import").await?;
    adopted(&rig).await?;
    ensure!(
        writes_since(&proxy, beginning).is_empty(),
        "{:?}",
        writes_since(&proxy, beginning)
    );
    ensure!(
        state(&backend).await? == before,
        "the backend is not what it was"
    );

    changed(&rig, &proxy, &backend, &people).await?;

    // A second import finds everybody declared, and writes nobody twice.
    let second = scratch.join("second.yaml").display().to_string();
    let output = import(&rig, &["--one-file", &second])?;
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    // Whoever was taken out is archived by now, and so left out as well.
    let declared = PEOPLE - 1;
    ensure!(
        said(&output).contains(&format!("DeclaredAlready: {declared}")),
        "{}",
        said(&output)
    );

    // Whoever bears no mark is given one: one write, which the report and the manifest have told.
    let mut stranger = somebody(PEOPLE, None);
    stranger.as_object_mut().unwrap().remove("externalId");
    posted(&backend, "Users", stranger).await?;
    let filter = format!("userName eq \"PERSON.{PEOPLE}@example.com\"");
    let output = import(
        &rig,
        &["--only", "users", "--filter", &filter, "--one-file", "-"],
    )?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    let manifest = String::from_utf8(output.stdout.clone())?;
    ensure!(
        manifest.starts_with(
            "# When it is taken over, the operator writes to the backend: externalId."
        ),
        "{manifest}"
    );
    ensure!(
        said(&output).contains("1 have no externalId"),
        "{}",
        said(&output)
    );
    rig.sync("before the stranger").await?;
    let mark = proxy.mark();
    rig.plane
        .kubectl_with_input(&["apply", "-f", "-"], &manifest)
        .await?;
    rig.user_is("person-500", "Synced", "True", "Adopted")
        .await?;
    ensure!(
        writes_since(&proxy, mark) == ["PATCH"],
        "{:?}",
        writes_since(&proxy, mark)
    );
    Ok(())
}

/// What `plan` says of a folder, of which everything that is not there any more is pruned.
fn planned(rig: &Rig, folder: &Path) -> Result<Vec<String>> {
    let folder = folder.display().to_string();
    let (plan, code) = plugin::plan(rig.plane.admin_kubeconfig(), &[&folder, "--prune"])?;
    ensure!(code == 0, "{plan}");
    Ok(steps(&plan))
}

/// Whoever is in no group.
const LONER: usize = 497;

/// Nothing is planned of what was imported; of three edits and one who is taken out, exactly that; and applied, the
/// backend differs by exactly that.
async fn changed(
    rig: &Rig,
    proxy: &RecordingProxy,
    backend: &Backend,
    folder: &Path,
) -> Result<()> {
    let nothing = planned(rig, folder)?;
    ensure!(nothing.is_empty(), "{nothing:?}");
    let edit = |number: usize, change: fn(&mut Value)| -> Result<()> {
        let file = folder.join(format!("users/person-{number:03}.yaml"));
        let mut manifest: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
        change(&mut manifest["spec"]);
        std::fs::write(&file, manifest.to_string())?;
        Ok(())
    };
    edit(1, |spec| {
        spec["enterprise"]["department"] = json!("Analysis")
    })?;
    edit(2, |spec| spec["name"]["familyName"] = json!("Byron"))?;
    edit(3, |spec| spec["active"] = json!(false))?;
    let gone = format!("users/person-{LONER}.yaml");
    std::fs::remove_file(folder.join(&gone))?;
    let list = folder.join("kustomization.yaml");
    let kept = std::fs::read_to_string(&list)?;
    let kept: Vec<&str> = kept.lines().filter(|line| !line.contains(&gone)).collect();
    std::fs::write(&list, kept.join("\n"))?;
    let found = planned(rig, folder)?;
    let expected = [
        "update ScimUser/person-001 department".to_owned(),
        "update ScimUser/person-002 name.familyName".to_owned(),
        "archive ScimUser/person-003 active".to_owned(),
        format!("archive ScimUser/person-{LONER} active"),
    ];
    ensure!(found == expected, "{found:?}");

    let before = by_name(backend).await?;
    let mark = proxy.mark();
    rig.plane
        .kubectl(&["apply", "-k", &folder.display().to_string()])
        .await?;
    let name = format!("person-{LONER}");
    let delete = ["delete", "scimuser", &name, "-n", NAMESPACE, "--wait=false"];
    rig.plane.kubectl(&delete).await?;
    wait::wait_for_absence(rig.users(), &name, DEADLINE).await?;
    for number in 1..=3 {
        rig.settled(&format!("person-{number:03}")).await?;
    }
    let writes = writes_since(proxy, mark);
    ensure!(writes == ["PATCH"; 4], "{writes:?}");
    let mut wanted = before;
    let mut set = |number: usize, pointer: &str, value: Value| {
        let one = wanted.get_mut(&format!("person.{number:03}@example.com"));
        *one.unwrap().pointer_mut(pointer).unwrap() = value;
    };
    let department = format!("/{}/department", ENTERPRISE.replace('/', "~1"));
    set(1, &department, json!("Analysis"));
    set(2, "/name/familyName", json!("Byron"));
    set(3, "/active", json!(false));
    set(LONER, "/active", json!(false));
    let now = by_name(backend).await?;
    for (name, one) in &wanted {
        ensure!(
            now.get(name) == Some(one),
            "{name}: {:?} {one}",
            now.get(name)
        );
    }
    ensure!(now.len() == wanted.len());
    let nothing = planned(rig, folder)?;
    ensure!(nothing.is_empty(), "{nothing:?}");
    Ok(())
}

/// The accounts by userName, without what the backend says of its own writes.
async fn by_name(backend: &Backend) -> Result<BTreeMap<String, Value>> {
    let users = backend.users().await?.into_iter();
    let named = users.map(|mut user| {
        user.as_object_mut().unwrap().remove("meta");
        (
            user["userName"].as_str().unwrap_or_default().to_owned(),
            user,
        )
    });
    Ok(named.collect())
}

/// Waits until every user and group is ready.
async fn adopted(rig: &Rig) -> Result<()> {
    let ready = |value: Option<Value>| value.is_some_and(|c| c["status"] == "True");
    let all = wait::eventually("all to be ready", DEADLINE * 2, async || {
        let users = rig.users().list(&ListParams::default()).await?.items;
        let groups = rig.groups().list(&ListParams::default()).await?.items;
        let is_ready = |user: &ScimUser| ready(wait::condition(user, "Ready"));
        let group_is_ready = |group: &ScimGroup| {
            ready(wait::condition(group, "Ready"))
                && ready(wait::condition(group, "MembersResolved"))
        };
        let open: Vec<String> = users
            .iter()
            .filter(|user| !is_ready(user))
            .map(|user| user.name_any())
            .chain(
                groups
                    .iter()
                    .filter(|group| !group_is_ready(group))
                    .map(|group| group.name_any()),
            )
            .collect();
        let there = users.len() == PEOPLE && groups.len() == GROUPS;
        Ok((there && open.is_empty()).then_some(()))
    });
    rig.told(all.await)
}
