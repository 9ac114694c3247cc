//! The arrows of docs/architecture.md, read from every path in every file: lower layers never name
//! higher ones, and the domain stays pure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

/// The longest that a source file may be, in lines.
const LONGEST: usize = 500;

/// A layer, what of ours it may name besides itself, and what of others it may not.
struct Layer {
    name: &'static str,
    may_name: &'static [&'static str],
    must_not_say: &'static [&'static str],
}

const fn layer(
    name: &'static str,
    may_name: &'static [&'static str],
    must_not_say: &'static [&'static str],
) -> Layer {
    Layer {
        name,
        may_name,
        must_not_say,
    }
}

const CLUSTER: &[&str] = &["kube", "k8s_openapi"];

/// What needs a clock, a runtime or a network.
#[rustfmt::skip]
const IMPURE: &[&str] = &[
    "tokio", "futures", "reqwest", "axum", "async", "await",
    "kube::Client", "kube::Api", "kube::api", "kube::client", "kube::runtime",
    "SystemTime", "Instant", "Timestamp::now", "Zoned::now", "Utc::now",
];

/// Of SCIM the domain knows values only: never scim::client, http, limits or listing.
#[rustfmt::skip]
const DOMAIN_MAY: &[&str] = &["api", "scim::path", "scim::patch", "scim::types", "scim::detail", "scim::error"];

const LAYERS: [Layer; 13] = [
    layer("api", &[], IMPURE),
    layer("scim", &[], CLUSTER),
    layer("domain", DOMAIN_MAY, IMPURE),
    layer("directory", &["api", "domain", "scim"], CLUSTER),
    layer("leadership", &[], IMPURE),
    layer(
        "controller",
        &[
            "api",
            "domain",
            "directory",
            "leadership",
            "metrics",
            "scim",
        ],
        &[],
    ),
    layer("http", &["metrics"], &[]),
    layer("metrics", &[], &[]),
    layer("traces", &[], &[]),
    layer("telemetry", &["traces"], &[]),
    layer(
        "cli",
        &["api", "controller", "directory", "domain", "scim"],
        &[],
    ),
    layer(
        "app",
        &["controller", "http", "leadership", "metrics", "telemetry"],
        &[],
    ),
    // main.rs and the bins: the only ones to name app and cli.
    layer("", &["api", "app", "cli"], &[]),
];

/// Calls that write, and the only files of the controller that make them.
#[rustfmt::skip]
const WRITERS: [(&[&str], &[&str]); 2] = [
    // To a backend.
    (
        &[".create(ResourceKind", ".create(kind", ".delete(ResourceKind", ".delete(kind", ".patch(ResourceKind", ".patch(kind", ".replace(ResourceKind", ".replace(kind"],
        &["src/controller/act.rs", "src/controller/group/act.rs", "src/controller/group/write.rs"],
    ),
    // To a status.
    (
        &[".patch_status(", ".replace_status("],
        &["src/controller/status.rs"],
    ),
];

/// What a file writes that is not its to write.
fn writes(path: &str, text: &str) -> Vec<String> {
    let mut code = bare(text);
    code.retain(|c| !c.is_whitespace());
    let mut found = Vec::new();
    for (calls, writers) in WRITERS {
        let theirs = !path.starts_with("src/controller/") || writers.contains(&path);
        if let Some(call) = calls.iter().find(|call| !theirs && code.contains(**call)) {
            found.push(format!("{path}: may not write by {call}"));
        }
    }
    found
}

/// The faults of one file, each as `path: what`.
fn faults(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let own = module.first().map_or("", String::as_str);
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == own) else {
        return vec![format!("{path}: LAYERS knows no layer {own}")];
    };
    let mut found = writes(path, text);
    // A table of cases is read a row at a time; its length hides nothing.
    if !is_of_tests(path) && text.lines().count() > LONGEST {
        found.push(format!("{path}: over {LONGEST} lines"));
    }
    for named in paths(&bare(text)) {
        if let Some(target) = within_the_crate(&named, &module)
            && is_ours(&target)
            && !begins(&target, own)
            && !layer.may_name.iter().any(|may| begins(&target, may))
        {
            found.push(format!("{path}: {own} may not name {target}"));
        }
        if let Some(bad) = layer.must_not_say.iter().find(|bad| says(&named, bad)) {
            found.push(format!("{path}: {own} may not say {bad}"));
        }
    }
    found
}

fn is_of_tests(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

fn is_ours(target: &str) -> bool {
    LAYERS
        .iter()
        .any(|layer| !layer.name.is_empty() && begins(target, layer.name))
}

/// `src/domain/profile/mod.rs` → `[domain, profile]`; the files of the crate's root have no layer.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").unwrap().trim_end_matches(".rs");
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    match module.first().map(String::as_str) {
        Some("main" | "lib" | "bin") => Vec::new(),
        _ => module,
    }
}

/// The path from the crate's root, when it leads there.
fn within_the_crate(named: &str, module: &[String]) -> Option<String> {
    for root in ["crate::", "scim_operator::"] {
        if let Some(target) = named.strip_prefix(root) {
            return Some(target.to_owned());
        }
    }
    let (mut base, mut rest) = (module.to_vec(), named);
    while let Some(above) = rest.strip_prefix("super::") {
        base.pop();
        rest = above;
    }
    (rest.len() < named.len()).then(|| {
        base.push(rest.to_owned());
        base.join("::")
    })
}

/// Whether a path begins with these segments, whole ones.
fn begins(path: &str, segments: &str) -> bool {
    path.strip_prefix(segments)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether a path has these segments, whole ones: a type anywhere, a crate or keyword at its start.
fn says(path: &str, segments: &str) -> bool {
    let anywhere = segments.starts_with(char::is_uppercase);
    let mut starts = path
        .match_indices("::")
        .map(|(at, colons)| at + colons.len());
    begins(path, segments) || anywhere && starts.any(|at| begins(&path[at..], segments))
}

/// Every path and word of code, with the groups of `use` taken apart.
fn paths(code: &str) -> Vec<String> {
    let packed = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let packed = packed.replace(" ::", "::").replace(":: ", "::");
    let (mut found, mut outer) = (Vec::new(), Vec::new());
    let (mut prefix, mut word) = (String::new(), String::new());
    for c in packed.chars().chain([' ']) {
        match c {
            c if c.is_alphanumeric() || "_:*".contains(c) => word.push(c),
            '{' if word.ends_with("::") => {
                let inner = format!("{prefix}{word}");
                outer.push(std::mem::replace(&mut prefix, inner));
                word.clear();
            }
            _ => {
                if !word.trim_matches(':').is_empty() {
                    found.push(format!("{prefix}{}", word.trim_matches(':')));
                }
                word.clear();
                // A block continues no path.
                if c == '{' {
                    outer.push(std::mem::take(&mut prefix));
                } else if c == '}' {
                    prefix = outer.pop().unwrap_or_default();
                }
            }
        }
    }
    found
}

/// The code without comments and without literals of text.
fn bare(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match skipped(rest) {
            0 => {
                code.push(c);
                rest = &rest[c.len_utf8()..];
            }
            length => {
                code.push(' ');
                rest = &rest[length..];
            }
        }
    }
    code
}

/// The length of the comment or literal that the text begins with, else 0.
fn skipped(text: &str) -> usize {
    let up_to = |from: usize, end: &str| {
        text[from..]
            .find(end)
            .map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        up_to(2, "*/")
    } else if text.starts_with("r#\"") {
        up_to(3, "\"#")
    } else if text.starts_with("r\"") {
        up_to(2, "\"")
    } else if text.starts_with('"') {
        end_of_string(text)
    } else if ["'\"'", "'{'", "'}'"].iter().any(|c| text.starts_with(c)) {
        3
    } else if text.starts_with("'\\") {
        // The escaped character itself may be a quote.
        up_to(3, "'")
    } else {
        0
    }
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = true; // The opening quote does not close.
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Path, as `src/…`, and text of every source file.
fn sources() -> Vec<(String, String)> {
    let mut folders = vec![PathBuf::from("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some("rs".as_ref()) {
                let name = path.to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

#[test]
fn arrows_point_down_only_and_the_domain_is_pure() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|(path, text)| faults(path, text))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let sources = sources();
    let mute: Vec<_> = sources
        .iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    assert!(mute.is_empty(), "{mute:?}");
}

#[test]
#[rustfmt::skip] // One case a line.
fn the_check_itself_catches_what_is_forbidden() {
    let long = "\n".repeat(LONGEST + 1);
    for (path, text, why) in [
        ("src/api/x.rs", "use crate::domain::plan;", "upwards"),
        ("src/scim/x.rs", "use crate::api::ScimUser;", "upwards"),
        ("src/scim/x.rs", "use kube::Client;", "SCIM knows no Kubernetes"),
        ("src/domain/x.rs", "use crate::scim::Client;", "a client"),
        ("src/domain/x.rs", "use crate::scim::limits::MAX_PAUSE;", "limits"),
        ("src/domain/x.rs", "let x = crate::scim::listing::all();", "not in a use"),
        ("src/domain/x.rs", "use crate::{api, controller::act};", "in a group"),
        ("src/domain/x.rs", "use crate::{\n  api::{A, B},\n  app,\n};", "in a group of groups"),
        ("src/domain/plan/x.rs", "use super::super::super::directory::Seen;", "by super"),
        ("src/domain/x.rs", "let now = jiff::Timestamp::now();", "a clock"),
        ("src/domain/x.rs", "let now = std::time::Instant::now();", "a clock"),
        ("src/domain/x.rs", "use std::{time::{Duration, SystemTime}};", "a clock in a group"),
        ("src/domain/x.rs", "pub async fn ask() {}", "async"),
        ("src/domain/x.rs", "fn f(x: &kube::Api<u8>) {}", "the cluster"),
        ("src/domain/x.rs", "let c = '\"'; use tokio::spawn;", "after a quote as a character"),
        ("src/domain/x.rs", "let c = '\\''; use tokio::spawn;", "after an escaped quote"),
        ("src/domain/x.rs", "let c = \"\\\"\"; use tokio::spawn;", "after a quote in a string"),
        ("src/directory/mod.rs", "use crate::controller::live;", "upwards"),
        ("src/leadership.rs", "let now = std::time::Instant::now();", "time is passed in"),
        ("src/leadership.rs", "fn f(x: &kube::Api<u8>) {}", "the cluster"),
        ("src/controller/x.rs", "ready\n.client\n.patch(\nResourceKind::User, id)", "only act writes to a backend"),
        ("src/controller/x.rs", "client.delete(kind, id)", "only act writes to a backend"),
        ("src/controller/x.rs", "api.patch_status(name, p, patch)", "only status writes a status"),
        ("src/controller/x.rs", "use crate::app::start;", "only main names app"),
        ("src/http.rs", "fn f() { super::controller::run(); }", "by super, from the root"),
        ("src/bin/x.rs", "use scim_operator::controller::run;", "a bin goes through app or cli"),
        ("src/novelty/x.rs", "", "a layer that nobody placed"),
        ("src/api/x.rs", &long, "too long"),
    ] {
        assert_eq!(faults(path, text).len(), 1, "{why}: {path}: {text}");
    }
}

#[test]
fn a_forbidden_line_is_caught_at_the_end_of_every_file() {
    // No literal or comment of ours may lead the reader astray.
    for (path, text) in sources() {
        let own = module_of(&path);
        if own.is_empty() || own == ["app"] {
            continue;
        }
        let spoiled = format!("{text}\nuse crate::app::start;\n");
        let named = format!("{path}: {} may not name app::start", own[0]);
        assert!(faults(&path, &spoiled).contains(&named), "{path}");
    }
}

#[test]
#[rustfmt::skip] // One case a line.
fn the_check_lets_pass_what_is_allowed() {
    for (path, text) in [
        ("src/domain/x.rs", "use crate::scim::path::AttributePath; // not tokio"),
        ("src/domain/x.rs", "use crate::{api::{A, B}, domain::diff, scim::types};"),
        ("src/domain/x.rs", "/* async */ const WHY: &str = \"crate::app has Instant\";"),
        ("src/domain/x.rs", "use kube::KubeSchema; fn instantiate() {}"),
        ("src/domain/plan/x.rs", "use super::super::names; use super::*;"),
        ("src/directory/mod.rs", "use std::time::Instant; use crate::scim::Client;"),
        ("src/controller/x.rs", "use crate::{directory, domain::plan};"),
        ("src/main.rs", "use scim_operator::app::{Arguments, start};"),
        ("src/lib.rs", "pub mod controller;"),
    ] {
        assert_eq!(faults(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}
