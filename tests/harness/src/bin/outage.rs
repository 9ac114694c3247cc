//! `make outage`: what an outage with work pending costs a backend, and how soon everybody is in step
//! when it is over (R18). Measured beside a converge of as many from nothing in the same run.
//!
//! `OUTAGE_SECONDS` (600), `OUTAGE_USERS` (1000), `OUTAGE_RATE` (requests a second that the connection
//! may send, 50). Ends with an error when more than one request a second was sent during the outage, or
//! when the recovery took more than 1.2 times as long as the cold converge.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use scim_operator_harness::bench::variable;
use scim_operator_harness::operator::Options;
use scim_operator_harness::proxy::{Canned, Matcher};
use scim_operator_harness::servers::ThirdParty;
use scim_operator_harness::wait;
use scim_operator_harness::{ControlPlane, Operator, RecordingProxy};
use serde_json::{Value, json};

const TOKEN: &str = "outage-token";
const SYSTEM: &str = "scim-system";
const DEADLINE: Duration = Duration::from_secs(60);

struct Sizes {
    seconds: u64,
    users: usize,
    rate: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Outage {
    Down,
    WritesFail,
}

#[tokio::main]
async fn main() -> Result<()> {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    let sizes = Sizes {
        seconds: variable("OUTAGE_SECONDS", 600)?,
        users: variable("OUTAGE_USERS", 1000)?,
        rate: variable("OUTAGE_RATE", 50)?,
    };
    let plane = ControlPlane::start().await?;
    plane.create_namespace(SYSTEM).await?;
    let namespaces = ["cold", "down", "writes"];
    for namespace in namespaces {
        plane.create_namespace(namespace).await?;
    }
    let access: Vec<Value> = namespaces
        .iter()
        .map(|namespace| json!({"namespace": namespace, "names": []}))
        .collect();
    let access = format!("secretAccess={}", Value::from(access));
    let install = [
        "install",
        "scim-operator",
        "charts/scim-operator",
        "-n",
        SYSTEM,
        "--set-json",
        &access,
    ];
    plane.helm(&install).await?;
    plane.await_declarations(SYSTEM).await?;
    let kubeconfig = plane
        .service_account_kubeconfig(SYSTEM, "scim-operator")
        .await?;
    let mut operator = Operator::start(&Options::new(beside("scim-operator")?, &kubeconfig))?;
    operator.await_ready(DEADLINE).await?;

    let cold = converge(&plane, "cold", &sizes, None).await?;
    println!(
        "cold converge of {} users: {:.1} s",
        sizes.users,
        cold.recovered.as_secs_f64()
    );
    let mut failed = Vec::new();
    for (namespace, outage, what) in [
        ("down", Outage::Down, "the backend is down"),
        ("writes", Outage::WritesFail, "every write is answered 503"),
    ] {
        let run = converge(&plane, namespace, &sizes, Some(outage)).await?;
        let rate = run.during as f64 / sizes.seconds as f64;
        let ratio = run.recovered.as_secs_f64() / cold.recovered.as_secs_f64();
        println!(
            "{what} for {} s with {} users pending: {} requests during it ({rate:.2} a second, at most {} in one), in step {:.1} s after it, {ratio:.2} of the cold converge",
            sizes.seconds,
            sizes.users,
            run.during,
            run.busiest,
            run.recovered.as_secs_f64()
        );
        if rate > 1.0 || ratio > 1.2 {
            failed.push(what);
        }
    }
    let ended = operator.terminate(DEADLINE).await?;
    ensure!(ended.success(), "the operator ended with {ended}");
    ensure!(
        failed.is_empty(),
        "beyond the target (1 request a second, 1.2): {failed:?}"
    );
    Ok(())
}

struct Run {
    during: usize,
    busiest: usize,
    recovered: Duration,
}

/// Declares everybody, through an outage where there is one, and waits until all are in step.
async fn converge(
    plane: &ControlPlane,
    namespace: &str,
    sizes: &Sizes,
    outage: Option<Outage>,
) -> Result<Run> {
    let simulator = ThirdParty::simulator(&beside("scim-sim")?, TOKEN).await?;
    let proxy = RecordingProxy::start(simulator.base_url()).await?;
    let client = plane.admin_client().await?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "scim", "namespace": namespace}, "stringData": {"token": TOKEN}});
    plane
        .kubectl_with_input(&["apply", "-f", "-"], &secret.to_string())
        .await?;
    let connections = api(&client, namespace, "ScimConnection", "scimconnections");
    let connection = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "scim"}, "spec": {
        "endpoint": proxy.url(), "insecure": true, "tokenSecretRef": {"name": "scim"},
        "limits": {"requestsPerSecond": sizes.rate, "maxInFlight": 8}, "sync": {"interval": "1h"}}});
    connections
        .create(&PostParams::default(), &serde_json::from_value(connection)?)
        .await?;
    wait::wait_for_condition(connections.clone(), "scim", "Ready", "True", None, DEADLINE).await?;
    let users = api(&client, namespace, "ScimUser", "scimusers");
    let mark = proxy.mark();
    match outage {
        None => {}
        Some(Outage::Down) => proxy.set_down(true),
        Some(Outage::WritesFail) => {
            let writes = Matcher::new(reqwest::Method::POST, "/Users");
            proxy.reply_always(writes, Canned::error(503)?);
        }
    }
    let begun = Instant::now();
    declare(&users, sizes.users).await?;
    let mut run = Run {
        during: 0,
        busiest: 0,
        recovered: Duration::ZERO,
    };
    let over = match outage {
        None => begun,
        Some(kind) => {
            tokio::time::sleep_until((begun + Duration::from_secs(sizes.seconds)).into()).await;
            let seen = proxy.since(mark);
            run.during = seen.len();
            let mut seconds: BTreeMap<u64, usize> = BTreeMap::new();
            for request in &seen {
                *seconds
                    .entry(request.arrived.duration_since(begun).as_secs())
                    .or_default() += 1;
            }
            run.busiest = seconds.values().copied().max().unwrap_or(0);
            match kind {
                Outage::Down => proxy.set_down(false),
                Outage::WritesFail => drop(proxy.clear_faults()),
            }
            Instant::now()
        }
    };
    let all = u64::try_from(sizes.users)?;
    let in_step = |connection: Option<&DynamicObject>| {
        let users = connection.map(|c| c.data["status"]["users"].clone());
        users.is_some_and(|users| users["provisioned"] == all && users["failing"] == 0)
    };
    let what = "everybody to be in step";
    wait::wait_for_object(connections, "scim", what, DEADLINE * 20, in_step).await?;
    run.recovered = over.elapsed();
    Ok(run)
}

async fn declare(users: &Api<DynamicObject>, count: usize) -> Result<()> {
    let created = (0..count).map(async |number| -> Result<()> {
        let name = format!("user-{number}");
        let address = format!("{name}@example.com");
        let user = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser", "metadata": {"name": name}, "spec": {
            "connectionRef": {"name": "scim"}, "userName": address,
            "name": {"givenName": "Ada", "familyName": "Lovelace"},
            "emails": [{"type": "work", "value": address, "primary": true}],
            "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en-GB"}});
        users
            .create(&PostParams::default(), &serde_json::from_value(user)?)
            .await?;
        Ok(())
    });
    futures::stream::iter(created)
        .buffer_unordered(16)
        .try_collect()
        .await
}

fn api(client: &kube::Client, namespace: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("scim-operator.io", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// A binary of this build.
fn beside(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let binary = this.parent().context("in no folder")?.join(name);
    ensure!(binary.exists(), "{} is not built", binary.display());
    Ok(binary)
}
