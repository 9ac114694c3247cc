//! One group's whole life, on every backend alike: created with members, changed, renamed, edited
//! outside, followed as people move, leave and come back, deleted. Each step asserts the backend, the
//! conditions and the number of requests; afterwards every body that was sent is judged by
//! scim2-models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use scim_operator::api::group::MemberCounts;
use scim_operator_harness::RecordingProxy;
use scim_operator_harness::judge::judge;
use scim_operator_harness::servers::ThirdParty;
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};
use support::groups::{address, group_writes_since, members};
use support::{Backend, Rig, TOKEN, writes_since};

#[tokio::test(flavor = "multi_thread")]
async fn a_life_on_the_cybsafe_simulator() -> Result<()> {
    let simulator = Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?;
    life(&simulator.base_url(), "CybSafe").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_on_scim2_server() -> Result<()> {
    let server = ThirdParty::scim2_server(TOKEN).await?;
    life(server.base_url(), "RFC7643").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_on_scimmy() -> Result<()> {
    let server = ThirdParty::scimmy(TOKEN).await?;
    life(server.base_url(), "RFC7643").await
}

struct Story {
    rig: Rig,
    proxy: RecordingProxy,
    backend: Backend,
}

async fn life(base: &str, profile: &str) -> Result<()> {
    let mut story = Story {
        rig: Rig::start().await?,
        proxy: RecordingProxy::start(base).await?,
        backend: Backend::new(base, TOKEN),
    };
    story.begins(profile).await?;
    story.is_created_with_members().await?;
    story.is_changed().await?;
    story.is_put_right().await?;
    story.exchanges_members_with_another().await?;
    story.loses_whoever_is_deleted().await?;
    story.follows_whoever_gets_another_account().await?;
    story.is_left_alone_while_in_step().await?;
    story.outlives_the_operator().await?;
    story.is_made_anew().await?;
    story.ends().await?;

    let dump = story.rig.plane.directory().join("bodies.jsonl");
    story.proxy.dump_jsonl(&dump)?;
    judge(&dump, base, TOKEN).await?.into_result()?;
    let log = story.rig.operator.log();
    ensure!(
        !log.contains(TOKEN) && !log.contains("example.com"),
        "the log holds the token or personal data"
    );
    Ok(())
}

impl Story {
    /// Four people are there before any group is.
    async fn begins(&self, profile: &str) -> Result<()> {
        self.rig.set_token(TOKEN).await?;
        self.rig
            .connect(&self.proxy.url(), json!({"profile": profile}))
            .await?;
        self.rig.connection_is("Ready", "True", "Connected").await?;
        for (name, team) in [
            ("ada", "red"),
            ("bob", "red"),
            ("cid", "blue"),
            ("dan", "blue"),
        ] {
            self.rig
                .declare_labelled(name, json!({"team": team}))
                .await?;
            self.rig.settled(name).await?;
        }
        Ok(())
    }

    /// One POST, and one PATCH for all members.
    async fn is_created_with_members(&self) -> Result<()> {
        let mark = self.proxy.mark();
        let spec = json!({"displayName": "Crew", "members": members(&["ada", "bob"])});
        self.rig.declare_group("crew", spec).await?;
        let group = self.rig.group_settled("crew").await?;
        self.cost("create", mark, &["POST", "PATCH"])?;
        self.backend.group_has("Crew", &["ada", "bob"]).await?;
        let there = self.backend.group("Crew").await?;
        ensure!(
            there["externalId"] == "scim-operator:identity/scim:identity/crew",
            "{there}"
        );
        let status = group.status.unwrap_or_default();
        ensure!(status.id.as_deref() == there["id"].as_str());
        ensure!(
            status.members
                == Some(MemberCounts {
                    desired: 2,
                    synced: 2,
                    ..MemberCounts::default()
                }),
            "{:?}",
            status.members
        );
        ensure!(status.unresolved.is_empty() && status.plan.is_none());
        for (kind, reason) in [
            ("Synced", "Created"),
            ("Valid", "Accepted"),
            ("MembersResolved", "AllResolved"),
        ] {
            let found = self.rig.group_condition("crew", kind).await?;
            ensure!(found.0 == "True" && found.1 == reason, "{kind}: {found:?}");
        }
        Ok(())
    }

    /// One PATCH a change, with what changed and nothing else.
    async fn is_changed(&self) -> Result<()> {
        for (step, spec, name, people) in [
            (
                "a member more",
                json!({"members": members(&["ada", "bob", "cid"])}),
                "Crew",
                &["ada", "bob", "cid"][..],
            ),
            (
                "a member fewer",
                json!({"members": members(&["ada", "cid"])}),
                "Crew",
                &["ada", "cid"],
            ),
            (
                "another name",
                json!({"displayName": "Flight crew"}),
                "Flight crew",
                &["ada", "cid"],
            ),
        ] {
            let mark = self.proxy.mark();
            self.rig.edit_group("crew", spec).await?;
            self.rig.group_settled("crew").await?;
            self.cost(step, mark, &["PATCH"])?;
            let synced = self.rig.group_condition("crew", "Synced").await?;
            ensure!(synced.1 == "Updated", "{step}: {synced:?}");
            self.backend.group_has(name, people).await?;
        }

        // Whoever is named twice is one member.
        let mark = self.proxy.mark();
        let twice = json!({"members": members(&["ada", "cid", "ada"])});
        self.rig.edit_group("crew", twice).await?;
        let group = self.rig.group_settled("crew").await?;
        self.cost("a member named twice", mark, &[])?;
        let counts = group.status.and_then(|s| s.members).unwrap_or_default();
        ensure!((counts.desired, counts.synced) == (2, 2), "{counts:?}");
        Ok(())
    }

    /// Edited outside: the next sync finds it, and one PATCH puts it right.
    async fn is_put_right(&self) -> Result<()> {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": address("stranger"),
            "active": true, "name": {"givenName": "A", "familyName": "Stranger"},
            "emails": [{"type": "work", "value": address("stranger"), "primary": true}],
            "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en_gb"
        });
        let stranger = id(&self.backend.create(body).await?);
        let ada = id(&self.backend.user(&address("ada")).await?);
        let crew = id(&self.backend.group("Flight crew").await?);
        for (step, operation) in [
            (
                "a-stranger-came",
                json!({"op": "add", "path": "members", "value": [{"value": stranger}]}),
            ),
            (
                "ada-was-taken-out",
                json!({"op": "remove", "path": format!("members[value eq \"{ada}\"]")}),
            ),
            (
                "another-name-was-given",
                json!({"op": "replace", "path": "displayName", "value": "Pirates"}),
            ),
        ] {
            self.backend.patch_group(&crew, json!([operation])).await?;
            let mark = self.proxy.mark();
            self.rig.sync(step).await?;
            self.backend
                .group_has("Flight crew", &["ada", "cid"])
                .await?;
            self.rig.group_looked_at("crew", step).await?;
            self.cost(step, mark, &["PATCH"])?;
        }
        self.rig
            .group_is("crew", "Ready", "True", "Synced")
            .await
            .map(drop)
    }

    /// Relabelled, a user moves from one selector group to another: one PATCH each.
    async fn exchanges_members_with_another(&self) -> Result<()> {
        for (name, display_name, people) in [
            ("red", "Red", ["ada", "bob"]),
            ("blue", "Blue", ["cid", "dan"]),
        ] {
            let selector = json!({"matchLabels": {"team": name}});
            let spec = json!({"displayName": display_name, "memberSelector": selector});
            self.rig.declare_group(name, spec).await?;
            self.rig.group_settled(name).await?;
            self.backend.group_has(display_name, &people).await?;
        }
        let mark = self.proxy.mark();
        self.rig.label("bob", json!({"team": "blue"})).await?;
        self.backend
            .group_has("Blue", &["bob", "cid", "dan"])
            .await?;
        self.backend.group_has("Red", &["ada"]).await?;
        for name in ["red", "blue"] {
            self.rig.group_looked_at(name, "moved").await?;
        }
        let mut paths = self.paths_written_since(mark);
        let mut expected = Vec::new();
        for name in ["Red", "Blue"] {
            let id = id(&self.backend.group(name).await?);
            expected.push(format!("PATCH /Groups/{id}"));
        }
        paths.sort();
        expected.sort();
        ensure!(paths == expected, "the move took {paths:?}");
        Ok(())
    }

    /// The account is archived, not deleted, so that the backend itself takes nobody out.
    async fn loses_whoever_is_deleted(&self) -> Result<()> {
        let mark = self.proxy.mark();
        self.rig.delete("dan").await?;
        self.backend.group_has("Blue", &["bob", "cid"]).await?;
        self.rig.group_looked_at("blue", "dan-is-deleted").await?;
        self.cost("a deleted user", mark, &["PATCH"])?;
        ensure!(self.backend.user(&address("dan")).await?["active"] == false);
        let blue = self.rig.group_settled("blue").await?;
        let counts = blue.status.and_then(|s| s.members).unwrap_or_default();
        ensure!(
            counts
                == MemberCounts {
                    desired: 2,
                    synced: 2,
                    ..MemberCounts::default()
                },
            "{counts:?}"
        );
        Ok(())
    }

    /// An account that was deleted outside is made anew, under another id: the group gets the new one
    /// and loses the old one, which some servers keep in it.
    async fn follows_whoever_gets_another_account(&self) -> Result<()> {
        let before = id(&self.backend.user(&address("cid")).await?);
        self.backend.remove(&before).await?;
        let mark = self.proxy.mark();
        self.rig.sync("cid-is-gone").await?;
        self.rig.user_is("cid", "Synced", "True", "Created").await?;
        self.backend
            .group_has("Flight crew", &["ada", "cid"])
            .await?;
        self.backend.group_has("Blue", &["bob", "cid"]).await?;
        ensure!(id(&self.backend.user(&address("cid")).await?) != before);
        for name in ["crew", "blue"] {
            self.rig.group_looked_at(name, "cid-is-back").await?;
        }
        let writes = group_writes_since(&self.proxy, mark);
        ensure!(
            writes.iter().all(|method| method == "PATCH") && writes.len() <= 4,
            "two groups, one member gone and one come: {writes:?}"
        );
        Ok(())
    }

    /// In step: three syncs cost no write, neither here nor there, and no reading of members.
    async fn is_left_alone_while_in_step(&self) -> Result<()> {
        // A write that was answered without a body is verified by the next listing, once.
        self.rig.sync("steady-0").await?;
        for name in ["crew", "red", "blue"] {
            self.rig.group_looked_at(name, "steady-0").await?;
        }
        let mark = self.proxy.mark();
        let mut before = Vec::new();
        for name in ["crew", "red", "blue"] {
            before.push(self.rig.group_version(name).await?);
        }
        for stamp in ["steady-1", "steady-2", "steady-3"] {
            self.rig.sync(stamp).await?;
        }
        let mut after = Vec::new();
        for name in ["crew", "red", "blue"] {
            after.push(self.rig.group_version(name).await?);
        }
        ensure!(before == after, "a group in step was written to");
        ensure!(
            writes_since(&self.proxy, mark).is_empty(),
            "{:?}",
            self.paths_written_since(mark)
        );
        let reads: Vec<String> = self
            .proxy
            .since(mark)
            .iter()
            .map(|r| r.path_and_query.clone())
            .collect();
        let cheap = |path: &String| {
            path.starts_with("/Users?")
                || (path.starts_with("/Groups?") && path.contains("excludedAttributes=members"))
        };
        ensure!(
            reads.iter().all(cheap),
            "only listings without members are expected: {reads:?}"
        );
        Ok(())
    }

    /// An operator that starts again finds everything in step.
    async fn outlives_the_operator(&mut self) -> Result<()> {
        self.rig.operator.kill9()?;
        let mark = self.proxy.mark();
        self.rig.restart().await?;
        self.rig.sync("restarted").await?;
        for name in ["crew", "red", "blue"] {
            self.rig.group_looked_at(name, "restarted").await?;
            self.rig.group_settled(name).await?;
        }
        ensure!(
            writes_since(&self.proxy, mark).is_empty(),
            "a restart wrote {:?}",
            self.paths_written_since(mark)
        );
        Ok(())
    }

    /// Deleted outside.
    async fn is_made_anew(&self) -> Result<()> {
        let before = id(&self.backend.group("Blue").await?);
        self.backend.remove_group(&before).await?;
        let mark = self.proxy.mark();
        self.rig.sync("blue-is-gone").await?;
        self.backend.group_has("Blue", &["bob", "cid"]).await?;
        self.rig.group_looked_at("blue", "blue-is-back").await?;
        self.rig.group_settled("blue").await?;
        self.cost("made anew", mark, &["POST", "PATCH"])
    }

    /// Our own groups are deleted by default, and retained where the spec says so: declared again, a
    /// retained one is ours by its mark.
    async fn ends(&self) -> Result<()> {
        let mark = self.proxy.mark();
        self.rig.delete_group("crew").await?;
        self.cost("delete", mark, &["DELETE"])?;
        ensure!(self.backend.group("Flight crew").await.is_err());

        let retain = json!({"deletionPolicy": "Retain"});
        self.rig.edit_group("red", retain).await?;
        self.rig.group_settled("red").await?;
        let before = id(&self.backend.group("Red").await?);
        let mark = self.proxy.mark();
        self.rig.delete_group("red").await?;
        let selector = json!({"matchLabels": {"team": "red"}});
        let spec = json!({"displayName": "Red", "memberSelector": selector});
        self.rig.declare_group("red", spec).await?;
        let group = self.rig.group_settled("red").await?;
        self.cost("retain and declare again", mark, &[])?;
        self.backend.group_has("Red", &["ada"]).await?;
        let now = group.status.and_then(|s| s.id);
        ensure!(now.as_deref() == Some(&*before), "{now:?} is another group");
        Ok(())
    }

    /// What was written to groups since `mark` is exactly this.
    fn cost(&self, step: &str, mark: usize, expected: &[&str]) -> Result<()> {
        let writes = group_writes_since(&self.proxy, mark);
        ensure!(
            writes == expected,
            "{step} took {:?}, not {expected:?}",
            self.paths_written_since(mark)
        );
        Ok(())
    }

    fn paths_written_since(&self, mark: usize) -> Vec<String> {
        let requests = self.proxy.since(mark);
        let writes = requests.iter().filter(|r| r.is_write());
        writes
            .map(|r| format!("{} {}", r.method, r.path_and_query))
            .collect()
    }
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_default().to_owned()
}
