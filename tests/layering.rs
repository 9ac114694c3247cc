//! The arrows of docs/architecture.md, read from the `use` lines of every file: lower layers never
//! import higher ones, and the domain stays pure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// Layer, and what of ours it may import.
const LAYERS: [(&str, &[&str]); 8] = [
    ("api", &[]),
    ("scim", &[]),
    (
        "domain",
        &["api", "scim::path", "scim::patch", "scim::types"],
    ),
    ("directory", &["api", "domain", "scim"]),
    ("controller", &["api", "domain", "directory", "scim"]),
    ("http", &[]),
    ("app", &["controller", "http"]),
    ("", &["api", "app"]), // main.rs and the bins
];

/// What the pure core must not mention.
const IMPURE: [&str; 10] = [
    "tokio",
    "reqwest",
    "async fn",
    ".await",
    "kube::Client",
    "kube::Api",
    "kube::api",
    "Timestamp::now",
    "SystemTime",
    "Instant",
];

const LONGEST: usize = 500;

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn layer_of(path: &Path) -> String {
    let first = path
        .strip_prefix("src")
        .unwrap()
        .components()
        .next()
        .unwrap();
    let name = first.as_os_str().to_str().unwrap().trim_end_matches(".rs");
    match name {
        "main" | "bin" | "lib" => String::new(),
        other => other.to_owned(),
    }
}

/// The forbidden things in one file.
fn faults(path: &Path, text: &str) -> Vec<String> {
    let layer = layer_of(path);
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![format!(
            "{}: the layer {layer} is not in the list",
            path.display()
        )];
    };
    let mut found = Vec::new();
    // A table of cases is read a row at a time; its length hides nothing.
    let cases = path.ends_with("tests.rs");
    if !cases && text.lines().count() > LONGEST {
        found.push(format!("{}: over {LONGEST} lines", path.display()));
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let place = format!("{}:{}", path.display(), number + 1);
        for prefix in ["crate::", "scim_operator::"] {
            for (at, _) in code.match_indices(prefix) {
                let target = &code[at + prefix.len()..];
                let ours = LAYERS
                    .iter()
                    .any(|(name, _)| !name.is_empty() && word(target, name));
                let fine = word(target, &layer) || allowed.iter().any(|a| word(target, a));
                if ours && !fine {
                    found.push(format!("{place}: {layer} may not import {target}"));
                }
            }
        }
        if layer == "domain" {
            found.extend(
                IMPURE
                    .iter()
                    .filter(|bad| code.contains(*bad))
                    .map(|bad| format!("{place}: the domain is pure, {bad} is not")),
            );
        }
    }
    found
}

fn word(text: &str, name: &str) -> bool {
    !name.is_empty()
        && text
            .strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn arrows_point_down_only_and_the_domain_is_pure() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| faults(path, &std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mute: Vec<_> = files
        .iter()
        .filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//! "))
        .collect();
    assert!(mute.is_empty(), "{mute:?}");
}

#[test]
fn the_check_itself_catches_what_is_forbidden() {
    for (path, line) in [
        ("src/domain/x.rs", "use crate::scim::Client;"),
        ("src/domain/x.rs", "let now = jiff::Timestamp::now();"),
        ("src/api/x.rs", "use crate::domain::plan;"),
        ("src/scim/x.rs", "use crate::api::ScimUser;"),
        ("src/directory/mod.rs", "use crate::controller::live;"),
        ("src/controller/x.rs", "use crate::app::start;"),
    ] {
        assert_eq!(faults(Path::new(path), line).len(), 1, "{path}: {line}");
    }
    assert!(
        faults(
            Path::new("src/domain/x.rs"),
            "use crate::scim::path::AttributePath; // not tokio"
        )
        .is_empty()
    );
}
