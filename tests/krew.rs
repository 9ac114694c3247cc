//! The plugin as it is released: krew's manifest is well-formed, names our binary, and the scripts fill it from
//! archives that hold it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scim_operator_harness::scratch::Scratch;
use serde_json::Value;

/// Rust's targets, and what krew calls them.
const PLATFORMS: [(&str, &str, &str); 4] = [
    ("x86_64-unknown-linux-musl", "linux", "amd64"),
    ("aarch64-unknown-linux-gnu", "linux", "arm64"),
    ("x86_64-apple-darwin", "darwin", "amd64"),
    ("aarch64-apple-darwin", "darwin", "arm64"),
];

fn manifest(path: &Path) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What krew asks of a manifest (its `internal/index/validation`), and we of ours.
fn faults(manifest: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    expect(
        manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2",
        "apiVersion",
    );
    expect(manifest["kind"] == "Plugin", "kind");
    expect(manifest["metadata"]["name"] == "scim", "name");
    let spec = &manifest["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_filled = !manifest.to_string().contains('@');
    expect(text(&spec["version"]).starts_with('v'), "version");
    let short = text(&spec["shortDescription"]);
    expect(!short.is_empty() && short.len() <= 50, "shortDescription");
    expect(!text(&spec["description"]).is_empty(), "description");
    let platforms = spec["platforms"].as_array().cloned().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for platform in &platforms {
        let labels = &platform["selector"]["matchLabels"];
        let (os, arch) = (text(&labels["os"]), text(&labels["arch"]));
        let name = format!("{os}_{arch}");
        let uri = text(&platform["uri"]);
        expect(uri.ends_with(&format!("_{name}.tar.gz")), "uri");
        let sum = text(&platform["sha256"]);
        let is_sum = sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        expect(
            is_sum || (!is_filled && sum == format!("@SHA256_{name}@")),
            "sha256",
        );
        expect(platform["bin"] == bin(), "bin");
        expect(seen.insert(name), "two of one platform");
    }
    let wanted = PLATFORMS.map(|(_, os, arch)| format!("{os}_{arch}"));
    expect(seen == BTreeSet::from(wanted), "platforms");
    found
}

fn bin() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_kubectl-scim"));
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn run(script: &str, arguments: &[&str], variables: &[(&str, &Path)]) -> Output {
    Command::new(script)
        .args(arguments)
        .env("HOMEPAGE", "https://example.com/scim-operator")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The folder that a script has filled.
fn folder_of(script: &str) -> PathBuf {
    let output = Command::new("bash").arg(script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

#[test]
fn the_manifest_is_well_formed_and_names_our_binary() {
    assert_eq!(bin(), "kubectl-scim");
    let template = manifest(Path::new("release/krew/scim.yaml"));
    assert_eq!(faults(&template), Vec::<String>::new());
}

#[test]
fn the_check_itself_sees_what_is_wrong() {
    for (pointer, value, fault) in [
        ("/kind", "Plugins", "kind"),
        ("/spec/version", "1.0.0", "version"),
        ("/spec/shortDescription", "", "shortDescription"),
        ("/spec/platforms/0/bin", "scim", "bin"),
        ("/spec/platforms/1/sha256", "@SHA256_linux_amd64@", "sha256"),
        ("/spec/platforms/2/uri", "@URL@/x.zip", "uri"),
    ] {
        let mut spoiled = manifest(Path::new("release/krew/scim.yaml"));
        *spoiled.pointer_mut(pointer).unwrap() = value.into();
        assert_eq!(faults(&spoiled), [fault], "{pointer}");
    }
}

#[test]
fn the_scripts_pack_the_binary_and_fill_the_manifest() {
    let scratch = Scratch::create().unwrap();
    let (out, built) = (scratch.join("out"), scratch.join("target"));
    std::fs::create_dir(&out).unwrap();
    // In place of a release build, which takes minutes: what cargo is asked for, and where it would put it.
    let cargo = scratch
        .write(
            "cargo",
            "#!/bin/sh\nset -e\ntest \"$1 $2 $4 $5\" = 'build --release --bin kubectl-scim'\nmkdir -p \"$CARGO_TARGET_DIR/$7/release\"\nprintf '#!/bin/sh\\necho %s\\n' \"$7\" >\"$CARGO_TARGET_DIR/$7/release/kubectl-scim\"\n",
        )
        .unwrap();
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
    let variables = [
        ("OUT", &*out),
        ("CARGO", &*cargo),
        ("CARGO_TARGET_DIR", &*built),
    ];
    let url = "https://example.com/releases/1.2.3";
    let fill = || run("release/krew/fill", &["1.2.3", url], &variables);
    let early = fill();
    let said = String::from_utf8_lossy(&early.stderr);
    assert!(
        !early.status.success() && said.contains("is missing"),
        "{said}"
    );

    let pack = || {
        let mut arguments = vec!["1.2.3"];
        arguments.extend(PLATFORMS.map(|(target, ..)| target));
        let packed = run("release/plugin", &arguments, &variables);
        assert!(packed.status.success(), "{packed:?}");
    };
    pack();
    let archive = |os: &str, arch: &str| out.join(format!("kubectl-scim_1.2.3_{os}_{arch}.tar.gz"));
    for (target, os, arch) in PLATFORMS {
        let unpacked = scratch.join(target);
        std::fs::create_dir(&unpacked).unwrap();
        let tar = Command::new("tar")
            .arg("-xzf")
            .arg(archive(os, arch))
            .arg("-C")
            .arg(&unpacked)
            .status();
        assert!(tar.unwrap().success());
        let ran = Command::new(unpacked.join(bin())).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), target);
        assert!(unpacked.join("kubectl_complete-scim").exists());
    }

    assert!(fill().status.success());
    let filled = std::fs::read_to_string(out.join("scim.yaml")).unwrap();
    assert!(!filled.contains('@'), "{filled}");
    let filled = manifest(&out.join("scim.yaml"));
    assert_eq!(faults(&filled), Vec::<String>::new());
    for platform in filled["spec"]["platforms"].as_array().unwrap() {
        let uri = platform["uri"].as_str().unwrap();
        let name = uri.strip_prefix(&format!("{url}/")).unwrap();
        let bytes = std::fs::read(out.join(name)).unwrap();
        let sum = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(platform["sha256"], sum, "{name}");
    }

    // krew itself takes the manifest and each archive, and what it links runs.
    let krew = folder_of("tests/krew/build").join("krew");
    for (target, os, arch) in PLATFORMS {
        let root = scratch.join(format!("krew-{os}-{arch}"));
        let installed = Command::new(&krew)
            .arg("install")
            .arg(format!("--manifest={}", out.join("scim.yaml").display()))
            .arg(format!("--archive={}", archive(os, arch).display()))
            .envs([("KREW_OS", os), ("KREW_ARCH", arch)])
            .env("KREW_ROOT", &root)
            .output()
            .unwrap();
        assert!(installed.status.success(), "{installed:?}");
        let ran = Command::new(root.join("bin").join(bin())).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), target);
        assert!(root.join("store/scim/v1.2.3/LICENSE").exists());
    }

    // The same binary gives the same archive.
    let before = std::fs::read(archive("linux", "amd64")).unwrap();
    pack();
    assert!(before == std::fs::read(archive("linux", "amd64")).unwrap());
}

#[test]
fn what_is_no_version_and_no_address_is_not_written_into_the_manifest() {
    let scratch = Scratch::create().unwrap();
    let variables = [("OUT", scratch.path())];
    for arguments in [
        ["v1", "https://example.com"],
        ["1.2.3", "http://example.com"],
        ["1.2.3", "https://example.com/\" x: \""],
    ] {
        let refused = run("release/krew/fill", &arguments, &variables);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(!scratch.join("scim.yaml").exists());
    }
}
