//! The release recipe, as far as it needs neither a registry nor a builder of images: what its scripts make, from a
//! digest that is made up. Signing is watched through a `cosign` that only writes down what it is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use scim_operator_harness::ControlPlane;
use scim_operator_harness::scratch::Scratch;
use serde_json::Value;

/// The platforms of the image, as the scripts and as Rust call them.
const PLATFORMS: [(&str, &str, &str); 2] = [
    ("linux/amd64", "linux-amd64", "x86_64-unknown-linux-gnu"),
    ("linux/arm64", "linux-arm64", "aarch64-unknown-linux-gnu"),
];

fn digest() -> String {
    format!("sha256:{}", "0b".repeat(32))
}

/// Runs one of the scripts, with its results in a folder of its own.
fn release(out: &Path, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let script = Path::new("release").join(script);
    let mut command = Command::new(script);
    command.args(arguments).env("RELEASE_OUT", out);
    for inherited in ["IMAGE", "PLATFORMS", "COSIGN_KEY", "SOURCE_DATE_EPOCH"] {
        command.env_remove(inherited);
    }
    command.envs(variables.iter().copied());
    command.output().unwrap()
}

fn is_fine(output: &Output) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_packaged_with_the_digest_of_the_image() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let scratch = Scratch::create()?;
    scratch.write("digest", format!("{}\n", digest()))?;
    let path = scratch.join("scim-operator-9.8.7.tgz");
    let archive = path.to_str().context("the path is no text")?;
    for (image, variables) in [
        ("ghcr.io/scim-operator/scim-operator", &[][..]),
        (
            "registry.example.com/mirror/scim-operator",
            &[("IMAGE", "registry.example.com/mirror/scim-operator")][..],
        ),
    ] {
        is_fine(&release(scratch.path(), "chart", &["9.8.7"], variables))?;
        plane.helm(&["lint", "--strict", archive]).await?;
        let rendered = plane.helm(&["template", "scim-operator", archive]).await?;
        let images = rendered
            .lines()
            .filter_map(|l| l.trim().strip_prefix("image: "));
        let images: Vec<_> = images.collect();
        ensure!(images == [format!("{image}@{}", digest())], "{images:?}");
        let chart = plane.helm(&["show", "chart", archive]).await?;
        for line in ["version: 9.8.7", "appVersion: 9.8.7"] {
            ensure!(chart.lines().any(|l| l == line), "{line} is not in {chart}");
        }
        // And nothing else of what the chart's tests have seen has changed.
        let values = plane.helm(&["show", "values", archive]).await?;
        let expected = read("charts/scim-operator/values.yaml")
            .replace("  digest: \"\"\n", &format!("  digest: \"{}\"\n", digest()))
            .replace(
                "  repository: ghcr.io/scim-operator/scim-operator\n",
                &format!("  repository: {image}\n"),
            );
        ensure!(values.trim_end() == expected.trim_end(), "{values}");
    }
    Ok(())
}

#[test]
fn without_a_digest_nothing_is_packaged_and_nothing_signed() -> Result<()> {
    for wrong in [
        None,
        Some(String::new()),
        Some("latest".to_owned()),
        Some(digest()[..70].to_owned()),
        Some(format!("sha512:{}", "0b".repeat(32))),
    ] {
        let scratch = Scratch::create()?;
        if let Some(wrong) = &wrong {
            scratch.write("digest", wrong.clone())?;
        }
        for (_, name, _) in PLATFORMS {
            scratch.write(&format!("scim-operator-{name}.cdx.json"), "{}")?;
        }
        let asked = cosign(&scratch)?;
        let path = [("PATH", asked.as_str())];
        for (script, argument) in [("chart", "9.8.7"), ("sign", "registry.example.com/x")] {
            let refused = release(scratch.path(), script, &[argument], &path);
            ensure!(!refused.status.success(), "{script} took {wrong:?}");
        }
        ensure!(
            !scratch.join("scim-operator-9.8.7.tgz").exists(),
            "{wrong:?}"
        );
        ensure!(!scratch.join("asked").exists(), "{wrong:?}");
    }
    Ok(())
}

/// A `PATH` with a `cosign` that writes its arguments into the file `asked`, one call a line.
fn cosign(scratch: &Scratch) -> Result<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = scratch.join("bin");
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("cosign");
    let asked = scratch.join("asked");
    std::fs::write(
        &program,
        format!("#!/bin/sh\necho \"$@\" >>'{}'\n", asked.display()),
    )?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(format!("{}:{}", folder.display(), std::env::var("PATH")?))
}

#[test]
fn what_is_signed_and_attested_is_named_by_digest() -> Result<()> {
    let scratch = Scratch::create()?;
    scratch.write("digest", digest())?;
    let path = cosign(&scratch)?;
    let image = "registry.example.com/scim-operator";
    let mut variables = vec![("PATH", path.as_str()), ("COSIGN_KEY", "cosign.key")];

    let (_, first, _) = PLATFORMS[0];
    scratch.write(&format!("scim-operator-{first}.cdx.json"), "{}")?;
    let refused = release(scratch.path(), "sign", &[image], &variables);
    ensure!(!refused.status.success(), "one of two SBOMs is missing");
    ensure!(!scratch.join("asked").exists(), "it signed all the same");

    let (_, second, _) = PLATFORMS[1];
    scratch.write(&format!("scim-operator-{second}.cdx.json"), "{}")?;
    is_fine(&release(scratch.path(), "sign", &[image], &variables))?;
    let key = "--key cosign.key ";
    let of = |name: &str| scratch.join(format!("scim-operator-{name}.cdx.json"));
    let expected = |key: &str| {
        let by_digest = format!("{image}@{}", digest());
        let attest = |name| {
            let sbom = of(name);
            let sbom = sbom.display();
            format!("attest --yes {key}--type cyclonedx --predicate {sbom} {by_digest}\n")
        };
        let sign = format!("sign --yes {key}{by_digest}\n");
        sign + &attest(first) + &attest(second)
    };
    let asked = std::fs::read_to_string(scratch.join("asked"))?;
    ensure!(asked == expected(key), "{asked}");

    variables.pop();
    std::fs::remove_file(scratch.join("asked"))?;
    is_fine(&release(scratch.path(), "sign", &[image], &variables))?;
    let asked = std::fs::read_to_string(scratch.join("asked"))?;
    ensure!(asked == expected(""), "{asked}");
    Ok(())
}

/// Crates by name and version, such as `kube 5.0.0`.
type Crates = BTreeSet<String>;

/// What Cargo links into the operator for a target, by the resolver that builds with; but for the operator itself.
fn linked(target: &str, features: &[&str]) -> Result<Crates> {
    let tree = "tree --locked --package scim-operator --edges normal,no-proc-macro --prefix none";
    let told = Command::new(env!("CARGO"))
        .args(tree.split(' '))
        .args(["--format", "{p}", "--target", target])
        .args(features)
        .output()?;
    is_fine(&told)?;
    let told = String::from_utf8(told.stdout)?;
    let crates = told.lines().filter_map(|line| line.split_once(" v"));
    let crates = crates.filter(|(name, _)| *name != "scim-operator");
    let first = |rest: &str| rest.split(' ').next().unwrap_or_default().to_owned();
    Ok(crates
        .map(|(name, rest)| format!("{name} {}", first(rest)))
        .collect())
}

fn named(document: &Value) -> Crates {
    let parts = document["components"].as_array().into_iter().flatten();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    parts
        .map(|part| format!("{} {}", word(&part["name"]), word(&part["version"])))
        .collect()
}

/// The crates whose code is in a binary, as its paths of sources tell.
fn in_binary(path: &str) -> Result<Crates> {
    let bytes = std::fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found = Crates::new();
    for (at, marker) in text.match_indices("/registry/src/") {
        // Behind it the registry's folder, and the crate's; a path ends with its string.
        let rest = text[at + marker.len()..].chars().take(200);
        let rest: String = rest.take_while(|c| c.is_ascii_graphic()).collect();
        let folder = rest.split('/').nth(1).unwrap_or_default();
        let mut hyphens = folder.match_indices('-').map(|(at, _)| at);
        let is_version = |at: &usize| folder[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        if let Some(at) = hyphens.find(is_version) {
            found.insert(format!("{} {}", &folder[..at], &folder[at + 1..]));
        }
    }
    Ok(found)
}

#[test]
fn an_sbom_names_what_the_binary_is_linked_from_on_each_platform() -> Result<()> {
    let (scratch, again) = (Scratch::create()?, Scratch::create()?);
    is_fine(&release(scratch.path(), "sbom", &[], &[]))?;
    is_fine(&release(again.path(), "sbom", &[], &[]))?;
    for (_, name, target) in PLATFORMS {
        let file = format!("scim-operator-{name}.cdx.json");
        let text = std::fs::read_to_string(scratch.join(&file))?;
        let same = std::fs::read_to_string(again.join(&file))?;
        ensure!(text == same, "{name}: another time, another document");
        let home = std::env::var("HOME")?;
        for place in [env!("CARGO_MANIFEST_DIR"), "/tmp/", &home] {
            ensure!(
                !text.contains(place),
                "{name} tells where it was made: {place}"
            );
        }

        let document: Value = serde_json::from_str(&text)?;
        let of = &document["metadata"];
        ensure!(document["bomFormat"] == "CycloneDX" && document["specVersion"] == "1.5");
        ensure!(of["component"]["name"] == "scim-operator", "{of}");
        ensure!(of["properties"][0]["value"] == target, "{of}");
        let named = named(&document);
        let expected = linked(target, &["--no-default-features"])?;
        let differ: Vec<_> = named.symmetric_difference(&expected).collect();
        ensure!(differ.is_empty(), "{name}: {differ:?}");
        let has = |crate_: &str| named.iter().any(|n| n.starts_with(&format!("{crate_} ")));
        for needed in [
            "kube",
            "reqwest",
            "rustls",
            "aws-lc-sys",
            "tikv-jemallocator",
        ] {
            ensure!(has(needed), "{name} lacks {needed}");
        }
        // Of the command line tool, of what only builds, of what nothing switches on, of tests.
        for other in [
            "clap_complete",
            "indicatif",
            "serde_derive",
            "syn",
            "cc",
            "ring",
            "proptest",
        ] {
            ensure!(!has(other), "{name} has {other}");
        }
        // Every part of the graph is a part that is named, so that no reader of it stumbles.
        let refs: BTreeSet<_> = document["components"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| &c["bom-ref"])
            .map(Value::to_string)
            .collect();
        let of_graph = document["dependencies"].as_array().context("no graph")?;
        ensure!(
            of_graph.len() == refs.len() + 1,
            "{name}: {} of {}",
            of_graph.len(),
            refs.len()
        );
        for on in of_graph
            .iter()
            .flat_map(|entry| entry["dependsOn"].as_array().into_iter().flatten())
        {
            ensure!(refs.contains(&on.to_string()), "{name} does not name {on}");
        }
    }
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn whatever_is_found_in_the_operator_s_binary_is_in_its_sbom() -> Result<()> {
    let scratch = Scratch::create()?;
    is_fine(&release(scratch.path(), "sbom", &[], &[]))?;
    let arch = std::env::consts::ARCH;
    let here = PLATFORMS
        .iter()
        .find(|(.., target)| target.starts_with(arch));
    let (_, name, target) = here.context("the image is not built for this machine")?;
    let text = std::fs::read_to_string(scratch.join(format!("scim-operator-{name}.cdx.json")))?;
    let named = named(&serde_json::from_str(&text)?);
    // This binary is built with the tool's features, which the one of the image is not.
    let of_tool: Crates = &linked(target, &[])? - &linked(target, &["--no-default-features"])?;
    let found = in_binary(env!("CARGO_BIN_EXE_scim-operator"))?;
    ensure!(found.len() > 100, "only {found:?}");
    let missing: Vec<_> = found
        .iter()
        .filter(|c| !named.contains(*c) && !of_tool.contains(*c))
        .collect();
    ensure!(missing.is_empty(), "{missing:?}");
    Ok(())
}

#[test]
fn image_and_sbom_are_of_the_same_platforms_and_features() {
    let default = PLATFORMS.map(|(platform, ..)| platform).join(",");
    for script in ["image", "sbom", "sign"] {
        let text = read(&format!("release/{script}"));
        let line = format!("platforms=${{PLATFORMS:-{default}}}\n");
        assert!(text.contains(&line), "release/{script} has other platforms");
    }
    let dockerfile = read("Dockerfile");
    let builds = dockerfile.lines().filter(|l| l.contains("cargo build"));
    let builds: Vec<_> = builds.map(|l| l.trim().trim_end_matches(" \\")).collect();
    let expected = "cargo build --release --locked --no-default-features --bin scim-operator";
    assert_eq!(builds, [expected]);
}
