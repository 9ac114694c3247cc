//! A backend that lists well and refuses to write: the user's own trouble, and nobody else's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::StreamExt;
use kube::runtime::watcher::watch_object;
use reqwest::Method;
use scim_operator_harness::RecordingProxy;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::wait::{self, eventually};
use scim_sim::Simulator;
use serde_json::json;

use crate::simulator;
use crate::support::{DEADLINE, Rig, TOKEN, person};

/// One state of the connection.
struct Entry {
    /// The sync that it had answered last.
    stamp: Option<String>,
    /// Status and reason of `Ready`.
    ready: String,
}

/// Every state that the connection went through, since a condition that flapped looks steady after.
struct Diary {
    entries: Arc<Mutex<Vec<Entry>>>,
    task: tokio::task::AbortHandle,
}

impl Diary {
    fn start(rig: &Rig) -> Diary {
        let entries = Arc::new(Mutex::new(Vec::new()));
        let (writer, api) = (entries.clone(), rig.connections());
        let task = tokio::spawn(async move {
            let mut states = std::pin::pin!(watch_object(api, "scim"));
            while let Some(state) = states.next().await {
                let Ok(Some(connection)) = state else {
                    continue;
                };
                let ready = wait::condition(&connection, "Ready").unwrap_or_default();
                let text = |field: &str| ready[field].as_str().unwrap_or("?");
                let ready = format!("{}/{}", text("status"), text("reason"));
                let stamp = connection.status.and_then(|s| s.last_handled_reconcile_at);
                writer.lock().unwrap().push(Entry { stamp, ready });
            }
        });
        Diary {
            entries,
            task: task.abort_handle(),
        }
    }

    /// Asks for one more listing and returns all that was seen until its answer.
    async fn until(&self, rig: &Rig, stamp: &str) -> Result<Vec<String>> {
        rig.sync(stamp).await?;
        eventually("the diary to be complete", DEADLINE, async || {
            let entries = self.entries.lock().unwrap();
            let complete = entries.iter().any(|e| e.stamp.as_deref() == Some(stamp));
            Ok(complete.then(|| entries.iter().map(|e| e.ready.clone()).collect()))
        })
        .await
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A backend that lists well and answers every POST of a user with `refusal`.
struct ReadOnly {
    rig: Rig,
    simulator: Simulator,
    proxy: RecordingProxy,
}

impl ReadOnly {
    /// One user, ada, is in step from before.
    async fn start(refusal: Canned) -> Result<ReadOnly> {
        let rig = Rig::start().await?;
        let simulator = simulator().await?;
        let proxy = RecordingProxy::start(&simulator.base_url()).await?;
        rig.set_token(TOKEN).await?;
        rig.connect(&proxy.url(), json!({})).await?;
        rig.connection_is("Ready", "True", "Connected").await?;
        rig.declare("ada", person("ada@example.com")).await?;
        rig.settled("ada").await?;
        proxy.reply_always(Matcher::new(Method::POST, "/Users"), refusal);
        Ok(ReadOnly {
            rig,
            simulator,
            proxy,
        })
    }
}

fn refused_token() -> Result<Canned> {
    Canned::error(401)
}

fn web_page() -> Result<Canned> {
    Canned::raw(200, "text/html", "<!doctype html><title>Sign in</title>")
}

/// The whole story: eve's POST is refused again and again, more rarely each time, and nobody else
/// notices; the refusal ends, and eve is provisioned.
async fn only_the_refused_user_waits(refusal: Canned) -> Result<()> {
    let ReadOnly {
        rig,
        simulator,
        proxy,
    } = ReadOnly::start(refusal).await?;
    let diary = Diary::start(&rig);
    let mark = proxy.mark();
    rig.declare("eve", person("eve@example.com")).await?;
    let posts = eventually("eve to be tried four times", DEADLINE, async || {
        let seen = proxy.since(mark);
        let posts: Vec<_> = seen.into_iter().filter(|r| r.is_write()).collect();
        ensure!(posts.len() >= 4, "{} tries", posts.len());
        Ok(Some(posts))
    })
    .await?;
    let gaps: Vec<Duration> = posts
        .windows(2)
        .map(|pair| pair[1].arrived - pair[0].arrived)
        .collect();
    println!("between the tries: {gaps:?}");
    // Waits double from a second, of which half at least is waited; a busy machine only adds to it.
    // The first gap has a test of its own.
    for (gap, least) in gaps.iter().zip([0, 1000, 2000]) {
        ensure!(
            *gap >= Duration::from_millis(least),
            "tried again too soon: {gaps:?}"
        );
    }

    // Every refusal makes the connection look once; it is not stuck in looking.
    let seen = proxy.since(mark);
    let listings = seen
        .iter()
        .filter(|r| r.method == Method::GET && r.path_and_query.contains("startIndex="))
        .count();
    println!("{} tries, {listings} listings", posts.len());
    ensure!(
        (1..=posts.len() + 1).contains(&listings),
        "{listings} listings for {} refusals",
        posts.len()
    );

    // Others get through meanwhile.
    rig.edit("ada", json!({"enterprise": {"department": "Analysis"}}))
        .await?;
    rig.settled("ada").await?;
    let ada = simulator.user_by_name("ada@example.com").expect("there");
    let enterprise = &ada["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"];
    ensure!(enterprise["department"] == "Analysis", "{ada}");
    ensure!(simulator.users().len() == 1);

    // The refusal ends: nobody has to do anything.
    ensure!(proxy.clear_faults() == 1, "the refusal ended too early");
    rig.settled("eve").await?;
    ensure!(simulator.users().len() == 2);
    let states = diary.until(&rig, "the end").await?;
    ensure!(
        states.iter().all(|ready| ready == "True/Connected"),
        "the connection flapped: {states:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_refused_for_one_write_stops_that_user_only() -> Result<()> {
    only_the_refused_user_waits(refused_token()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_in_answer_to_one_write_stops_that_user_only() -> Result<()> {
    only_the_refused_user_waits(web_page()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_is_not_sent_again_at_once() -> Result<()> {
    let ReadOnly {
        rig,
        simulator: _backend,
        proxy,
    } = ReadOnly::start(refused_token()?).await?;
    let mark = proxy.mark();
    rig.declare("eve", person("eve@example.com")).await?;
    let posts = eventually("eve to be tried twice", DEADLINE, async || {
        let seen = proxy.since(mark);
        let posts: Vec<_> = seen.into_iter().filter(|r| r.is_write()).collect();
        Ok((posts.len() >= 2).then_some(posts))
    })
    .await?;
    let gap = posts[1].arrived - posts[0].arrived;
    ensure!(
        gap >= Duration::from_millis(500),
        "tried again after {gap:?}: the operator's own finalizer woke the user"
    );
    Ok(())
}

/// The connection is well, so that only eve's own status can tell what holds her up.
async fn the_refused_user_says_why(refusal: Canned, why: &str) -> Result<()> {
    let ReadOnly {
        rig,
        simulator: _backend,
        proxy,
    } = ReadOnly::start(refusal).await?;
    let mark = proxy.mark();
    rig.declare("eve", person("eve@example.com")).await?;
    eventually("eve to be tried", DEADLINE, async || {
        let tried = proxy.since(mark).iter().any(|r| r.is_write());
        Ok(tried.then_some(()))
    })
    .await?;
    let what = format!("Ready=False because {why}");
    wait::wait_for_object(rig.users(), "eve", &what, DEADLINE, |user| {
        user.and_then(|user| wait::condition(user, "Ready"))
            .is_some_and(|ready| {
                let message = ready["message"].as_str().unwrap_or_default();
                ready["status"] == "False" && message.contains(why)
            })
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_token_is_refused_says_so() -> Result<()> {
    the_refused_user_says_why(refused_token()?, "the server refused the token").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_answered_by_a_web_page_says_so() -> Result<()> {
    let why = "the answer is not SCIM: the answer is a web page";
    the_refused_user_says_why(web_page()?, why).await
}
