//! A connection whose endpoint changes: what was known of the old backend says nothing of the new one.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use scim_operator_harness::RecordingProxy;
use scim_operator_harness::proxy::Recorded;
use scim_operator_harness::wait::eventually;
use scim_sim::Simulator;
use serde_json::{Value, json};

use crate::simulator;
use crate::support::{DEADLINE, Rig, TOKEN, person, writes_since};

/// Two backends, and ada in step at the first.
struct Move {
    rig: Rig,
    old: Simulator,
    old_proxy: RecordingProxy,
    new: Simulator,
    new_proxy: RecordingProxy,
    /// Ada's id at the old backend.
    id: String,
}

impl Move {
    /// With `strangers` accounts at the old backend before ada's, so that its ids are ahead of the
    /// new one's: servers number their accounts alike, and the simulator does.
    async fn start(strangers: usize) -> Result<Move> {
        let rig = Rig::start().await?;
        let (old, new) = (simulator().await?, simulator().await?);
        for number in 0..strangers {
            old.insert_user(stranger(number));
        }
        let old_proxy = RecordingProxy::start(&old.base_url()).await?;
        let new_proxy = RecordingProxy::start(&new.base_url()).await?;
        rig.set_token(TOKEN).await?;
        rig.connect(&old_proxy.url(), json!({})).await?;
        rig.declare("ada", person("ada@example.com")).await?;
        let user = rig.settled("ada").await?;
        let id = user.status.and_then(|s| s.id).unwrap_or_default();
        Ok(Move {
            rig,
            old,
            old_proxy,
            new,
            new_proxy,
            id,
        })
    }

    /// Points the connection to the new backend and waits until ada has an account there.
    async fn happens(&self) -> Result<()> {
        let Move {
            rig,
            new,
            new_proxy,
            ..
        } = self;
        rig.move_to(&new_proxy.url()).await?;
        rig.connection_is("Ready", "True", "Connected").await?;
        eventually("ada at the new backend", DEADLINE, async || {
            if new.user_by_name("ada@example.com").is_some() {
                return Ok(Some(()));
            }
            bail!("the new backend heard {:?}", lines(new_proxy, 0))
        })
        .await
    }
}

fn stranger(number: usize) -> Value {
    json!({
        "userName": format!("stranger-{number}@example.com"), "active": true,
        "name": {"givenName": "Some", "familyName": "Body"}
    })
}

/// Method, path and status of every request since `mark`.
fn lines(proxy: &RecordingProxy, mark: usize) -> Vec<String> {
    let seen = proxy.since(mark);
    let line = |r: &Arc<Recorded>| format!("{} {} {:?}", r.method, r.path_and_query, r.status);
    seen.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_moves_has_no_more_to_do_with_the_old_backend() -> Result<()> {
    let scene = Move::start(1).await?;
    // Whatever the old backend were asked now, it would answer when the new one has long been listed.
    scene.old.faults().update(|f| f.latency_ms = 2000);
    let mark = scene.old_proxy.mark();
    scene.happens().await?;
    scene.rig.settled("ada").await?;
    ensure!(
        writes_since(&scene.new_proxy, 0) == ["POST"],
        "{:?}",
        lines(&scene.new_proxy, 0)
    );
    ensure!(
        lines(&scene.old_proxy, mark).is_empty(),
        "the old backend was asked after the move: {:?}",
        lines(&scene.old_proxy, mark)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_the_old_backend_means_nobody_at_the_new_one() -> Result<()> {
    let scene = Move::start(0).await?;
    let before = scene.new.insert_user(stranger(0));
    ensure!(before == scene.id, "the ids are not alike any more");
    let before = scene.new.user(&scene.id);
    scene.happens().await?;
    ensure!(
        scene.new.user(&scene.id) == before,
        "a stranger's account was taken over: {:?}",
        lines(&scene.new_proxy, 0)
    );
    ensure!(
        scene.new.users().len() == 2 && writes_since(&scene.new_proxy, 0) == ["POST"],
        "{:?}",
        lines(&scene.new_proxy, 0)
    );
    Ok(())
}
