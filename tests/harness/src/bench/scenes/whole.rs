//! Thousands of users from nothing, and then nothing to do.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::api::DynamicObject;

use super::{Sizes, pages, patience};
use crate::Operator;
use crate::bench::floors::{self, Floors};
use crate::bench::rig::{Rig, simulator};
use crate::bench::samples::{Requests, cpu_seconds, memory};
use crate::bench::table::Row;
use crate::wait;

/// How long an idle operator is watched.
const IDLE: Duration = Duration::from_secs(20);
/// The page of the connection.
const PAGE: usize = 1000;

/// Everybody is declared before the operator starts; the clock runs from its start until the connection
/// counts all of them. The floors are measured before and after, and the better ones count.
///
/// # Errors
/// When it does not come to an end.
pub async fn converge(
    rig: &Rig,
    namespace: &str,
    sizes: &Sizes,
) -> Result<(Vec<Row>, Operator, scim_sim::Simulator)> {
    floors::prepare(rig, sizes.floor).await?;
    let before = floors::measure(rig, sizes.floor, "before").await?;
    let backend = simulator().await?;
    let declared = Instant::now();
    rig.declare(namespace, 0..sizes.users).await?;
    let declared = sizes.users as f64 / declared.elapsed().as_secs_f64();
    eprintln!("declared {} users, {declared:.0}/s", sizes.users);
    rig.connect(
        namespace,
        &backend.base_url(),
        serde_json::json!({"dialect": {"pageSize": PAGE}}),
    )
    .await?;
    let counted = Requests::now(&rig.client).await?;
    let begun = Instant::now();
    let operator = rig.operator()?;
    rig.in_step(namespace, sizes.users, patience(sizes.users))
        .await?;
    // Counted is who came out well, whose status may still be on its way.
    let all = sizes.users as u64;
    wait::eventually("the last statuses", patience(sizes.users), async || {
        let now = Requests::now(&rig.client).await?;
        Ok((now.writes_since(&counted, "scimusers") >= all).then_some(()))
    })
    .await?;
    let took = begun.elapsed().as_secs_f64();
    let users = rig.users(namespace).list(&Default::default()).await?;
    let ready = |user: &&DynamicObject| {
        wait::condition(*user, "Ready").is_some_and(|c| c["status"] == "True")
    };
    let ready = users.iter().filter(ready).count();
    ensure!(ready == sizes.users, "{ready} of {} are Ready", sizes.users);
    let requests = Requests::now(&rig.client).await?;
    let cpu = cpu_seconds(operator.id())?;
    let peak = memory(operator.id())?.peak;
    let writes = requests.writes_since(&counted, "scimusers");
    let after = floors::measure(rig, sizes.floor, "after").await?;
    let floors: Floors = before.or(after);
    let rate = sizes.users as f64 / took;
    let ratio = rate / floors.least();
    let posts = backend.request_counts().by_endpoint;
    let posts = posts.get("POST /Users").copied().unwrap_or(0) as f64;
    let writes_each = writes as f64 / sizes.users as f64;
    let users = sizes.users;
    let seconds = 60.0 * (users as f64 / 10_000.0).max(1.0);
    let rows = vec![
        Row::bound(
            &format!("converge {users} users ÷ min(raw POST rate, raw status-write rate)"),
            "≥ 0.80",
            rate,
            "users/s",
            ratio >= 0.80,
        )
        .beside(floors.least())
        .noting(format!(
            "raw: {:.0} POSTs/s, {:.0} status writes/s; {:.2} CPU ms a user; peak {peak:.0} MiB",
            floors.posts,
            floors.statuses,
            cpu * 1000.0 / users as f64
        )),
        Row::bound(
            &format!("{users} users, whole"),
            &format!("≤ {seconds:.0} s"),
            took,
            "s",
            took <= seconds,
        )
        .noting("from the start of the process"),
        Row::bound(
            "SCIM POSTs per create",
            "1.00",
            posts / users as f64,
            "",
            posts as u64 == users as u64,
        )
        .beside(1.0),
        Row::bound(
            "Kubernetes writes per create",
            "1.00 with the admission policy, 2.00 without",
            writes_each,
            "",
            writes_each <= 1.01,
        )
        .beside(1.0)
        .noting("by the API server's own count; the chart's admission policy sets the finalizer"),
    ];
    Ok((rows, operator, backend))
}

/// What it costs when nothing is to be done: watched for a while, and listed once.
///
/// # Errors
/// When a listing does not come to an end.
pub async fn steady(
    rig: &Rig,
    namespace: &str,
    sizes: &Sizes,
    operator: &Operator,
    backend: &scim_sim::Simulator,
) -> Result<Vec<Row>> {
    let before = cpu_seconds(operator.id())?;
    tokio::time::sleep(IDLE).await;
    let millicores = (cpu_seconds(operator.id())? - before) * 1000.0 / IDLE.as_secs_f64();

    backend.clear_requests();
    let counted = Requests::now(&rig.client).await?;
    let before = cpu_seconds(operator.id())?;
    rig.sync(namespace, "steady").await?;
    let cpu = cpu_seconds(operator.id())? - before;
    let requests = Requests::now(&rig.client).await?;
    let about_users =
        requests.all_since(&counted, "scimusers") + requests.all_since(&counted, "scimgroups");
    let counts = backend.request_counts();
    let gets = counts.by_endpoint.get("GET /Users").copied().unwrap_or(0);
    let others = counts.total - gets;
    let pages = pages(sizes.users, PAGE) as f64;
    let users = sizes.users;
    Ok(vec![
        Row::bound(
            &format!("CPU, idle, {users} users"),
            "≤ 5 millicores",
            millicores,
            "millicores",
            millicores <= 5.0,
        ),
        Row::bound(
            &format!("drift check, {users} in step: GETs"),
            "⌈users/page⌉",
            gets as f64,
            "GETs",
            gets as f64 <= pages,
        )
        .beside(pages)
        .noting(format!("pages of {PAGE}; {others} other requests")),
        Row::bound(
            &format!("drift check, {users} in step: Kubernetes requests about users"),
            "0",
            about_users as f64,
            "requests",
            about_users == 0,
        ),
        Row::bound(
            &format!("drift check, {users} in step: CPU"),
            "≤ 1 s",
            cpu,
            "s",
            cpu <= 1.0,
        ),
    ])
}
