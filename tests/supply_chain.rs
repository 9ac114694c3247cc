//! What we depend on, as `cargo metadata` tells it: from where, under which licence, and nothing that `deny.toml` bans.
//! The lists are those of `deny.toml`, so that `make audit`, which reads the licence texts too, judges by the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

fn lists() -> toml::Table {
    let text = std::fs::read_to_string("deny.toml").unwrap();
    text.parse().unwrap()
}

/// Every package of what is built for the systems of `deny.toml`, tests included; ours have no source.
fn packages() -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for target in lists()["graph"]["targets"].as_array().unwrap() {
        let told = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--locked",
                "--format-version=1",
                "--filter-platform",
            ])
            .arg(target.as_str().unwrap())
            .output()
            .unwrap();
        assert!(
            told.status.success(),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let new = told["packages"].as_array().unwrap().iter();
        found.extend(
            new.filter(|package| !found.contains(package))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    let foreign = found
        .iter()
        .filter(|package| !package["source"].is_null())
        .count();
    assert!(
        foreign > 200 && found.len() - foreign == 3,
        "{foreign} of {}",
        found.len()
    );
    found
}

/// What is wrong with where a package is from, and with its licence.
fn faults(package: &Value, allowed: &BTreeSet<String>) -> Vec<String> {
    let name = format!("{} {}", package["name"], package["version"]);
    let mut found = Vec::new();
    let source = package["source"].as_str();
    if source
        .is_some_and(|s| !s.starts_with("registry+https://github.com/rust-lang/crates.io-index"))
    {
        found.push(format!("{name} is from {source:?}"));
    }
    let licence = package["license"].as_str().unwrap_or_default();
    let is_allowed = Expression::parse_mode(licence, ParseMode::LAX).is_ok_and(|expression| {
        expression.evaluate(|requirement| allowed.contains(&requirement.to_string()))
    });
    if !is_allowed {
        found.push(format!("{name} is under {licence:?}"));
    }
    found
}

fn words(table: &toml::Value) -> BTreeSet<String> {
    let list = table.as_array().unwrap().iter();
    list.map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_dependency_is_of_the_registry_under_a_licence_that_is_allowed() {
    let allowed = words(&lists()["licenses"]["allow"]);
    let found: Vec<_> = packages()
        .iter()
        .flat_map(|p| faults(p, &allowed))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn what_is_banned_is_not_there() {
    let lists = lists();
    let banned = lists["bans"]["deny"].as_array().unwrap();
    let banned: Vec<_> = banned
        .iter()
        .map(|b| b["crate"].as_str().unwrap())
        .collect();
    assert!(banned.contains(&"fancy-regex"), "{banned:?}");
    let packages = packages();
    let found = packages
        .iter()
        .find(|p| banned.contains(&p["name"].as_str().unwrap()));
    assert!(found.is_none(), "{}", found.unwrap()["name"]);
}

#[test]
fn the_check_itself_catches_what_is_forbidden() {
    let allowed = words(&lists()["licenses"]["allow"]);
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    for (source, licence, faulty) in [
        (registry, "MIT OR Apache-2.0", 0),
        (registry, "MIT/Apache-2.0", 0),
        (registry, "MIT OR GPL-3.0-only", 0),
        (registry, "MIT AND GPL-3.0-only", 1),
        (registry, "AGPL-3.0-or-later", 1),
        (registry, "", 1),
        ("git+https://example.com/x", "MIT", 1),
        ("registry+https://example.com/index", "MIT", 1),
    ] {
        let package =
            serde_json::json!({"name": "x", "version": "1", "source": source, "license": licence});
        assert_eq!(
            faults(&package, &allowed).len(),
            faulty,
            "{source} {licence}"
        );
    }
}
