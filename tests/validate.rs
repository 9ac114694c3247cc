//! `kubectl scim validate` as it is run: what it prints, where, and by which exit code.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use scim_operator_harness::scratch::Scratch;
use serde_json::Value;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-scim"))
        .current_dir(folder)
        .arg("validate")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that reads no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let ended = child.wait_with_output().unwrap();
    Ran {
        code: ended.status.code(),
        out: String::from_utf8(ended.stdout).unwrap(),
        err: String::from_utf8(ended.stderr).unwrap(),
    }
}

const CONNECTION: &str = "\
apiVersion: scim-operator.io/v1alpha1
kind: ScimConnection
metadata: {name: cybsafe}
spec:
  endpoint: https://app.cybsafe.com/scim/v2/
  tokenSecretRef: {name: token}
";

const ADA: &str = "\
apiVersion: scim-operator.io/v1alpha1
kind: ScimUser
metadata: {name: ada}
spec:
  connectionRef: {name: cybsafe}
  userName: ada@example.com
  name: {givenName: Ada, familyName: Marlowe}
  emails:
    - {type: work, value: ada@example.com, primary: true}
  addresses:
    - {type: work, country: GB}
  preferredLanguage: en-GB
";

/// A repository with one connection and one person, and another with the same connection beside it.
fn repository() -> Scratch {
    let scratch = Scratch::create().unwrap();
    for (file, text) in [
        ("repo/connection.yaml", CONNECTION),
        ("repo/users/ada.yaml", ADA),
        ("platform/connection.yaml", CONNECTION),
    ] {
        let path = scratch.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    scratch
}

#[test]
fn a_finding_stands_on_the_line_of_its_field_and_fails() {
    let scratch = repository();
    let bad = ADA.replace("value: ada@", "value: ada@@");
    std::fs::write(
        scratch.join("repo/users/bad.yaml"),
        format!(
            "# two\n---\n{}---\n{bad}",
            CONNECTION.replace("cybsafe}", "other}")
        ),
    )
    .unwrap();
    let ran = run(&scratch.join("repo"), &["users/bad.yaml"], "");
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    let expected = "users/bad.yaml
    14  warning  ScimUser default/ada spec.connectionRef: ScimConnection default/cybsafe is not among the manifests  reference/connection
    15  warning  ScimUser default/ada spec.userName: differs from spec.emails[work].value: CybSafe may keep two accounts or miss mail  profile/advice
    18  error    ScimUser default/ada spec.emails[0].value: must match ^[^\\s@]+@[^\\s@]+$  schema/pattern

1 error, 2 warnings in 2 objects
";
    assert_eq!(ran.out, expected);
    assert_eq!(ran.err, "");
}

#[test]
fn warnings_fail_where_that_is_asked_for() {
    let scratch = repository();
    let folder = scratch.join("repo");
    let users = |more: &[&str]| run(&folder, &[&["users"], more].concat(), "").code;
    assert_eq!(users(&[]), Some(0), "the connection is not among them");
    assert_eq!(users(&["--strict"]), Some(1));
    assert_eq!(users(&["--complete"]), Some(1));
    assert_eq!(
        users(&["--complete", "--strict", "--connection", "connection.yaml"]),
        Some(0)
    );
}

#[test]
fn standard_input_has_lines_too_and_each_form_says_the_same() {
    let scratch = repository();
    let text = format!("{CONNECTION}---\n{}", ADA.replace("en-GB", "xx-XX"));
    let json = run(&scratch.join("repo"), &["-", "-o", "json"], &text);
    let document: Value = serde_json::from_str(&json.out).unwrap();
    let finding = &document["findings"][0];
    assert_eq!(finding["line"], 19, "{document}");
    assert_eq!(finding["rule"], "profile/value");
    assert_eq!(document["totals"]["errors"], 1);
    let sarif = run(&scratch.join("repo"), &["-", "-o", "sarif"], &text);
    let document: Value = serde_json::from_str(&sarif.out).unwrap();
    let result = &document["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "profile/value");
    assert_eq!(
        result["locations"][0]["physicalLocation"]["region"]["startLine"],
        19
    );
    assert_eq!((json.code, sarif.code), (Some(1), Some(1)));
}

#[test]
fn what_cannot_be_found_out_is_neither_good_nor_bad() {
    let scratch = repository();
    std::fs::write(
        scratch.join("repo/other.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
    )
    .unwrap();
    for (arguments, says) in [
        (["nowhere"], "nowhere"),
        (["other.yaml"], "no object of scim-operator.io"),
    ] {
        let ran = run(&scratch.join("repo"), &arguments, "");
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(says) && ran.out.is_empty(), "{}", ran.err);
    }
}

#[test]
fn our_own_examples_are_in_order_and_a_kustomization_is_noted() {
    let ran = run(Path::new("."), &["examples/gitops"], "");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(
        ran.err.contains("examples/gitops has a kustomization"),
        "{}",
        ran.err
    );
    let demo = run(Path::new("."), &["examples/demo", "-o", "json"], "");
    let document: Value = serde_json::from_str(&demo.out).unwrap();
    let errors = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["severity"] == "error");
    let files: Vec<_> = errors.map(|f| f["file"].as_str().unwrap()).collect();
    assert_eq!(
        files, ["examples/demo/users/eve.yaml"; 3],
        "she is there to show violations"
    );
}

#[test]
fn each_example_of_the_help_works() {
    let scratch = repository();
    let help = run(Path::new("."), &["--help"], "").out;
    let lines = help.lines().filter_map(|line| {
        line.split_once("kubectl scim validate ")
            .map(|(_, rest)| rest)
    });
    let mut seen = 0;
    for line in lines.filter(|line| !line.starts_with('[')) {
        seen += 1;
        let arguments: Vec<_> = line
            .split(" >")
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ran = run(
            &scratch.join("repo"),
            &arguments,
            &format!("{CONNECTION}---\n{ADA}"),
        );
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.out, ran.err);
    }
    assert_eq!(seen, 4, "{help}");
}
