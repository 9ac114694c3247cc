//! Children answer to the test that started them, and end with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::bail;
use scim_operator_harness::{
    Operator, operator,
    process::{Process, find_in_path},
    scratch::Scratch,
    wait::eventually,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// A program that says what the operator would, and drains as it does.
fn pretender(scratch: &Scratch, on_sigterm: &str) -> PathBuf {
    let script = format!(
        "#!/bin/sh\n\
         trap '{on_sigterm}' TERM\n\
         echo \"INFO listening address=127.0.0.1:4321 arguments=$*\"\n\
         echo \"kubeconfig=$KUBECONFIG\" >&2\n\
         while :; do sleep 0.02; done\n"
    );
    let path = scratch.write("pretender", script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn an_operator_is_read_terminated_and_killed() {
    let scratch = Scratch::create().unwrap();
    let binary = pretender(&scratch, "echo drained; exit 0");
    let options = operator::Options::new(binary, "/some/kubeconfig").argument("--shards=2");
    let mut operator = Operator::start(&options).unwrap();
    let address = operator.http_address(DEADLINE).await.unwrap();
    assert_eq!(address.to_string(), "127.0.0.1:4321");
    operator
        .await_log("kubeconfig=/some/kubeconfig", DEADLINE)
        .await
        .unwrap();
    let arguments = "arguments=run --http-address 127.0.0.1:0 --allow-local-endpoints --shards=2";
    assert!(operator.log().contains(arguments), "{}", operator.log());
    assert!(operator.terminate(DEADLINE).await.unwrap().success());
    assert!(operator.log().contains("drained"));

    let mut operator = Operator::start(&options).unwrap();
    operator.http_address(DEADLINE).await.unwrap();
    operator.kill9().unwrap();
    let ended = operator
        .await_log("never", DEADLINE)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        ended.contains("signal: 9") && ended.contains("listening"),
        "{ended}"
    );
}

#[tokio::test]
async fn an_operator_that_ignores_sigterm_is_reported_and_killed() {
    let scratch = Scratch::create().unwrap();
    let options = operator::Options::new(pretender(&scratch, "echo no"), "/some/kubeconfig");
    let mut operator = Operator::start(&options).unwrap();
    operator.http_address(DEADLINE).await.unwrap();
    let refused = operator
        .terminate(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("still ran"), "{refused}");
}

#[tokio::test]
async fn a_child_outlives_the_thread_that_asked_for_it() {
    let scratch = Scratch::create().unwrap();
    let log = scratch.join("log");
    let spawn = move || Process::spawn("sleep", Command::new("sleep").arg("60"), &log).unwrap();
    let mut child = std::thread::spawn(spawn).join().unwrap();
    // The signal, were it sent, would come with the end of the thread.
    let status = format!("/proc/{}/status", child.id());
    if find_in_path("setpriv").is_some() && Path::new(&status).exists() {
        eventually("setpriv has become sleep", DEADLINE, async || {
            Ok(fs::read_to_string(&status)?
                .starts_with("Name:\tsleep")
                .then_some(()))
        })
        .await
        .unwrap();
    }
    child.check_running().unwrap();
}

#[tokio::test]
async fn a_control_plane_dies_with_a_killed_parent() {
    if find_in_path("setpriv").is_none() {
        println!("without setpriv, nothing asks the kernel for that");
        return;
    }
    let scratch = Scratch::create().unwrap();
    let command = Command::new(env!("CARGO_BIN_EXE_controlplane"));
    let mut parent = Process::spawn("the plane", &command, &scratch.join("log")).unwrap();
    let kubeconfig = eventually("the plane is ready", Duration::from_secs(60), async || {
        parent.check_running()?;
        let log = parent.log();
        let line = log
            .lines()
            .find_map(|line| line.strip_prefix("export KUBECONFIG="));
        Ok(line.map(PathBuf::from))
    })
    .await
    .unwrap();
    let text = fs::read_to_string(&kubeconfig).unwrap();
    let (_, rest) = text.split_once("https://").unwrap();
    let (address, _) = rest.split_once('"').unwrap();
    assert!(TcpStream::connect(address).is_ok());
    parent.kill().unwrap();
    eventually(
        "the API server is gone",
        DEADLINE,
        async || match TcpStream::connect(address) {
            Ok(_) => bail!("it accepts connections"),
            Err(_) => Ok(Some(())),
        },
    )
    .await
    .unwrap();
    fs::remove_dir_all(kubeconfig.parent().unwrap()).unwrap();
}
