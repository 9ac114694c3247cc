//! `kubectl scim import` as it is called: the ways to a backend, what is asked for by flags, and what is refused, in
//! which words. That what it writes is taken over without a write is `import_story.rs`.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
#[path = "import_cases/told.rs"]
mod told;

use std::path::Path;
use std::process::Output;

use anyhow::{Result, ensure};
use http::Method;
use scim_operator_harness::certs::Authority;
use scim_operator_harness::scratch::Scratch;
use scim_operator_harness::{ControlPlane, RecordingProxy, TlsFront};
use scim_sim::Simulator;
use serde_json::{Value, json};
use support::plugin::{err as said, scim};
use support::scene::simulator;
use support::{TOKEN, merge};

const NAMESPACE: &str = "import-cases";

fn import(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let all = [&["import"], arguments].concat();
    // As it ships, unless a case says otherwise.
    let variables = [&[("ALLOW_LOCAL_ENDPOINTS", "false")], variables].concat();
    scim(Path::new("/dev/null"), &all, &variables).unwrap()
}

/// A connection as a file; `spec` is merged into it.
fn connection(scratch: &Scratch, name: &str, spec: Value) -> Result<String> {
    let mut object = json!({
        "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection",
        "metadata": {"name": "scim", "namespace": NAMESPACE},
        "spec": {"endpoint": "https://scim.example.com/v2", "tokenSecretRef": {"name": "scim"}},
    });
    merge(&mut object["spec"], spec);
    Ok(scratch
        .write(name, object.to_string())?
        .display()
        .to_string())
}

#[test]
fn what_cannot_be_found_out_is_told_in_words_and_without_a_value() -> Result<()> {
    let scratch = Scratch::create()?;
    let good = connection(&scratch, "good.yaml", json!({}))?;
    let text = std::fs::read_to_string(&good)?;
    let file = |name: &str, text: &str| -> Result<String> {
        Ok(scratch.write(name, text)?.display().to_string())
    };
    let two = file("two.yaml", &format!("{text}\n---\n{text}"))?;
    let none = file(
        "none.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n",
    )?;
    let broken = connection(
        &scratch,
        "broken.yaml",
        json!({"endpoint": {"secretly": "x"}}),
    )?;
    let local = connection(
        &scratch,
        "local.yaml",
        json!({"endpoint": "https://127.0.0.1:1/"}),
    )?;
    let plain = connection(
        &scratch,
        "plain.yaml",
        json!({"endpoint": "http://scim.example.com/"}),
    )?;
    let trusting = connection(
        &scratch,
        "ca.yaml",
        json!({"caBundleRef": {"name": "corp-ca"}}),
    )?;
    let mapped = connection(
        &scratch,
        "mapped.yaml",
        json!({"attributeMapping": [{"attribute": "shoeSize", "path": "x"}]}),
    )?;
    let token = ("SCIM_TOKEN", TOKEN);
    for (file, token, expected) in [
        (&good, None, "SCIM_TOKEN is not set"),
        (
            &good,
            Some(("SCIM_TOKEN", "two words-canary")),
            "SCIM_TOKEN is not a bearer token",
        ),
        (&two, Some(token), "a second ScimConnection"),
        (&none, Some(token), "there is no ScimConnection"),
        (
            &broken,
            Some(token),
            "is no ScimConnection as its definition has it",
        ),
        (
            &local,
            Some(token),
            "loopback, link-local or metadata address",
        ),
        (&plain, Some(token), "is http, which has to be allowed"),
        (&trusting, Some(token), "--ca-file has to say"),
        (
            &mapped,
            Some(token),
            "attributeMapping[shoeSize]: no such attribute",
        ),
        (
            &scratch.join("absent.yaml").display().to_string(),
            Some(token),
            "absent.yaml",
        ),
    ] {
        let output = import(
            &["--connection-file", file, "--one-file", "-"],
            &Vec::from_iter(token),
        );
        let told = said(&output);
        ensure!(
            output.status.code() == Some(2) && told.contains(expected),
            "{expected}: {told}"
        );
        ensure!(
            !told.contains("secretly") && !told.contains("canary"),
            "{told}"
        );
    }
    // Nor is there a cluster here.
    let output = import(&["--connection", "scim", "--one-file", "-"], &[]);
    ensure!(output.status.code() == Some(2), "{}", said(&output));
    // Exactly one backend, and exactly one place to write to.
    for arguments in [
        &["--one-file", "-"][..],
        &["--connection", "scim"],
        &[
            "--connection",
            "scim",
            "--connection-file",
            &good,
            "--one-file",
            "-",
        ],
        &[
            "--connection",
            "scim",
            "--one-file",
            "-",
            "--output-dir",
            "x",
        ],
    ] {
        let output = import(arguments, &[]);
        ensure!(
            output.status.code() == Some(2) && said(&output).contains("Usage:"),
            "{arguments:?}"
        );
    }
    Ok(())
}

/// Twelve people, two of them archived, and a group of all.
async fn a_few() -> Result<Simulator> {
    let simulator = simulator().await?;
    let ids: Vec<String> = (0..12)
        .map(|number| {
            let name = format!(
                "{}-{number}@example.com",
                if number < 5 { "ada" } else { "bea" }
            );
            simulator.insert_user(json!({
                "externalId": format!("hr-{number}"), "userName": name, "active": number % 6 != 1,
                "name": {"givenName": "A", "familyName": "B"},
                "emails": [{"type": "work", "value": name, "primary": true}],
                "addresses": [{"type": "work", "country": "GB"}], "preferredLanguage": "en",
            }))
        })
        .collect();
    let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
    simulator
        .insert_group(json!({"displayName": "All", "externalId": "hr-all", "members": members}));
    Ok(simulator)
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_say_who_is_written_also_where_the_backend_ignores_filters() -> Result<()> {
    let simulator = a_few().await?;
    let scratch = Scratch::create()?;
    let file = connection(
        &scratch,
        "connection.yaml",
        json!({"endpoint": simulator.base_url(), "insecure": true, "limits": {"requestsPerSecond": 1000}}),
    )?;
    let report = scratch.join("report.json");
    let path = report.display().to_string();
    let run = |more: &[&str]| -> Result<(Output, Value, String)> {
        let mut arguments = vec![
            "--connection-file",
            &file,
            "--one-file",
            "-",
            "--report",
            &path,
        ];
        arguments.extend(more);
        let variables = [("SCIM_TOKEN", TOKEN), ("ALLOW_LOCAL_ENDPOINTS", "true")];
        let output = import(&arguments, &variables);
        let text = String::from_utf8(output.stdout.clone())?;
        let report = std::fs::read_to_string(&report).unwrap_or_else(|_| "null".into());
        Ok((output, serde_json::from_str(&report)?, text))
    };
    let count = |text: &str, what: &str| text.matches(what).count();

    // Everybody but the archived, and the group, which lets nobody go.
    let (output, told, text) = run(&[])?;
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    ensure!(count(&text, "kind: ScimUser") == 10 && count(&text, "kind: ScimGroup") == 1);
    ensure!(text.contains("membership: AddOnly"), "{text}");
    ensure!(told["users"]["byReason"]["Archived"] == 2, "{told}");
    let ids: Vec<&Value> = told["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["id"])
        .collect();
    ensure!(
        ids.len() == 3 && ids.iter().all(|id| id.is_string()),
        "{told}"
    );

    // With the archived the group is exact.
    let (_, told, text) = run(&["--include-archived"])?;
    ensure!(
        count(&text, "active: false") == 2 && !text.contains("AddOnly"),
        "{text}"
    );
    ensure!(
        told["users"]["inStep"] == 12 && told["groups"]["inStep"] == 1,
        "{told}"
    );

    // The simulator understands `eq` alone, as CybSafe documents it: what it refuses, or ignores, is evaluated here.
    let (_, told, text) = run(&[
        "--only",
        "users",
        "--filter",
        r#"userName eq "ADA-0@example.com""#,
    ])?;
    ensure!(
        count(&text, "kind: ScimUser") == 1 && told["users"]["notMatching"] == 0,
        "{told}"
    );
    for ignored in [false, true] {
        simulator.faults().update(|f| f.ignore_filter = ignored);
        let (output, told, text) = run(&[
            "--only",
            "users",
            "--include-archived",
            "--filter",
            r#"userName sw "ADA-""#,
        ])?;
        ensure!(count(&text, "kind: ScimUser") == 5, "{ignored}: {text}");
        ensure!(told["users"]["notMatching"] == 7, "{told}");
        ensure!(
            said(&output).contains("do not match the filter") == ignored,
            "{}",
            said(&output)
        );
        ensure!(
            said(&output).contains("the backend refused the filter") != ignored,
            "{}",
            said(&output)
        );
    }
    let other = ["--only", "users", "--filter", r#"not (userName sw "ada")"#];
    let (output, _, _) = run(&other)?;
    ensure!(
        said(&output).contains("the backend's to understand"),
        "{}",
        said(&output)
    );
    simulator.faults().reset();
    let (output, _, text) = run(&other)?;
    ensure!(output.status.code() == Some(2) && text.is_empty(), "{text}");
    ensure!(
        said(&output).contains("the filter of accounts"),
        "{}",
        said(&output)
    );

    let (output, _, text) = run(&[
        "--only",
        "users",
        "--limit",
        "3",
        "--include-archived",
        "--name-from",
        "externalId",
    ])?;
    ensure!(
        count(&text, "kind: ScimUser") == 3 && text.contains("name: hr-0"),
        "{text}"
    );
    ensure!(
        said(&output).contains("--limit was reached"),
        "{}",
        said(&output)
    );
    let (_, _, text) = run(&["--only", "groups"])?;
    ensure!(
        count(&text, "kind: ScimUser\n") == 0 && count(&text, "kind: ScimGroup") == 1,
        "{text}"
    );
    ensure!(count(&text, "userRef:") == 10, "{text}");

    // Another namespace is named, and whoever would not be let in is told.
    let (output, _, text) = run(&["--only", "users", "--namespace-to", "team-a"])?;
    ensure!(
        count(&text, "namespace: team-a") == 10
            && count(&text, &format!("namespace: {NAMESPACE}")) == 10,
        "{text}"
    );
    ensure!(
        said(&output).contains("allowedNamespaces"),
        "{}",
        said(&output)
    );

    // A policy that lets nobody be taken over leaves everybody waiting, and so it is said.
    let (output, told, text) = run(&["--only", "users", "--adopt", "policy"])?;
    ensure!(
        output.status.code() == Some(1) && !text.contains("adopt:"),
        "{text}"
    );
    ensure!(
        told["users"]["byReason"]["WouldWait"] == 10
            && told["entries"][0]["about"] == "AdoptionRequired",
        "{told}"
    );

    // A listing that is cut short is no whole import.
    simulator.faults().update(|f| f.truncate_list = Some(4));
    let (output, told, _) = run(&["--only", "users"])?;
    ensure!(
        output.status.code() == Some(1) && told["users"]["incompleteBecause"].is_string(),
        "{told}"
    );
    simulator.faults().reset();

    // A token that is refused, and a filter that is, end it, and nothing is printed.
    simulator.set_token("another");
    let (output, _, text) = run(&[])?;
    ensure!(output.status.code() == Some(2) && text.is_empty(), "{text}");
    ensure!(said(&output).contains("refused the token") && !said(&output).contains(TOKEN));
    ensure!(
        simulator
            .requests()
            .iter()
            .all(|r| r.method == Method::GET.as_str()),
        "something was written"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_the_cluster_is_read_with_its_secret_and_its_authority() -> Result<()> {
    let plane = ControlPlane::start().await?;
    plane
        .kubectl(&["apply", "--server-side", "-f", "crds"])
        .await?;
    plane.await_declarations("default").await?;
    plane.create_namespace(NAMESPACE).await?;
    let simulator = a_few().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    let authority = Authority::named("the company's authority")?;
    let front = TlsFront::start(proxy.address(), &authority.server()?).await?;
    let apply = async |kind: &str, name: &str, api: &str, rest: Value| -> Result<()> {
        let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}});
        merge(&mut object, rest);
        plane
            .kubectl_with_input(&["apply", "-f", "-"], &object.to_string())
            .await?;
        Ok(())
    };
    let spec = json!({
        "endpoint": front.url(), "tokenSecretRef": {"name": "scim"}, "limits": {"requestsPerSecond": 1000},
        "caBundleRef": {"name": "corp-ca"},
    });
    let kubeconfig = plane.admin_kubeconfig().display().to_string();
    let run = |more: &[&str], token: Option<&str>| {
        let mut arguments = vec![
            "--kubeconfig",
            &kubeconfig,
            "-n",
            NAMESPACE,
            "--connection",
            "scim",
            "--one-file",
            "-",
        ];
        arguments.extend(more);
        let mut variables = vec![("ALLOW_LOCAL_ENDPOINTS", "true")];
        variables.extend(token.map(|token| ("SCIM_TOKEN", token)));
        import(&arguments, &variables)
    };
    let refused = |expected: &str| -> Result<()> {
        let output = run(&[], None);
        let told = said(&output);
        ensure!(
            output.status.code() == Some(2) && told.contains(expected),
            "{expected}: {told}"
        );
        ensure!(!told.contains(TOKEN), "{told}");
        Ok(())
    };
    // One thing after the other is put right.
    refused("ScimConnection import-cases/scim does not exist")?;
    apply(
        "ScimConnection",
        "scim",
        "scim-operator.io/v1alpha1",
        json!({"spec": spec}),
    )
    .await?;
    refused("Secret import-cases/scim does not exist")?;
    apply(
        "Secret",
        "scim",
        "v1",
        json!({"stringData": {"other": TOKEN}}),
    )
    .await?;
    refused("Secret import-cases/scim has no key token")?;
    apply(
        "Secret",
        "scim",
        "v1",
        json!({"stringData": {"token": format!("{TOKEN} and more")}}),
    )
    .await?;
    refused("is not a bearer token")?;
    // One newline at the end is none of the token.
    apply(
        "Secret",
        "scim",
        "v1",
        json!({"stringData": {"token": format!("{TOKEN}\n")}}),
    )
    .await?;
    refused("ConfigMap import-cases/corp-ca does not exist")?;
    apply(
        "ConfigMap",
        "corp-ca",
        "v1",
        json!({"data": {"other": "x"}}),
    )
    .await?;
    refused("ConfigMap import-cases/corp-ca has no key ca.crt")?;
    let stranger = Authority::named("somebody else's authority")?;
    apply(
        "ConfigMap",
        "corp-ca",
        "v1",
        json!({"data": {"ca.crt": stranger.certificate}}),
    )
    .await?;
    refused("its certificate is of an authority that is not trusted")?;
    apply(
        "ConfigMap",
        "corp-ca",
        "v1",
        json!({"data": {"ca.crt": authority.certificate}}),
    )
    .await?;
    let output = run(&[], None);
    ensure!(output.status.code() == Some(0), "{}", said(&output));
    ensure!(
        String::from_utf8(output.stdout.clone())?
            .matches("kind: ScimUser")
            .count()
            == 10
    );
    // The variable goes before the Secret, and a file before the bundle.
    ensure!(said(&run(&[], Some("another"))).contains("refused the token"));
    let scratch = Scratch::create()?;
    let file = scratch
        .write("ca.pem", &stranger.certificate)?
        .display()
        .to_string();
    ensure!(said(&run(&["--ca-file", &file], None)).contains("not trusted"));
    ensure!(
        proxy.since(0).iter().all(|request| !request.is_write()),
        "something was written"
    );
    Ok(())
}
