//! `docs/security.md` names a test for each requirement: this holds the page to what there is. Here are also the
//! few requirements that the source itself shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// The rows of the table: requirement, how it is met, tests.
fn rows(page: &str) -> Vec<[&str; 3]> {
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.trim_matches('|').split(" | ").map(str::trim).collect()
    };
    let (_, table) = page.split_once("## Requirements").unwrap();
    let table: &'static str = table.to_owned().leak();
    table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Requirement"))
        .filter_map(|line| <[&str; 3]>::try_from(cells(line)).ok())
        .collect()
}

/// What is wrong with the tests that one cell names: each is `path` or `path: name, name`, parted by semicolons.
fn faults(cell: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for part in cell.split("; ") {
        let part = part.replace('`', "");
        let (path, names) = part.split_once(": ").unwrap_or((&part, ""));
        let Some(text) = read(path) else {
            found.push(format!("there is no {path}"));
            continue;
        };
        for name in names.split(", ").filter(|name| !name.is_empty()) {
            let is_test = text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
                let before = text[..at].trim_end().trim_end_matches("async").trim_end();
                let attributes = &before[before.rfind(['}', ';', '{']).map_or(0, |end| end)..];
                attributes.contains("#[test]") || attributes.contains("#[tokio::test")
            });
            // Of a script, and of a table of cases, the text is what is there.
            let is_text = !path.ends_with(".rs") && text.contains(name);
            if !is_test && !is_text {
                found.push(format!("{path} has no test {name}"));
            }
        }
    }
    found
}

fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[test]
fn every_requirement_names_tests_that_are_there() {
    let page = file("docs/security.md").unwrap();
    let rows = rows(&page);
    assert!(rows.len() >= 14, "only {} rows were found", rows.len());
    let mut found = Vec::new();
    for [requirement, how, tests] in rows {
        assert!(!how.is_empty(), "{requirement}: how is it met?");
        found.extend(faults(tests, file));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    let read = |path: &str| {
        match path {
        "tests/a.rs" => Some("#[test]\nfn one() {}\n\n/// Says two.\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}\n\nfn three() {}\n".to_owned()),
        _ => None,
    }
    };
    assert!(faults("`tests/a.rs`: `one`, `two`", read).is_empty());
    assert!(faults("`tests/a.rs`", read).is_empty());
    assert_eq!(
        faults("`tests/a.rs`: `three`", read),
        ["tests/a.rs has no test three"]
    );
    assert_eq!(
        faults("`tests/a.rs`: `on`", read),
        ["tests/a.rs has no test on"]
    );
    assert_eq!(
        faults("`tests/b.rs`; `tests/a.rs`: `one`", read),
        ["there is no tests/b.rs"]
    );
}

/// Files below a folder with that ending, but for what is built.
fn below(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !["target", "node_modules", ".git", ".venv"].contains(&name) {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn no_crate_of_ours_may_have_unsafe_code() {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let workspace = read(Path::new("Cargo.toml"));
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let manifests = below(".", "Cargo.toml");
    assert!(manifests.len() >= 3, "{manifests:?}");
    for manifest in manifests {
        let text = read(&manifest);
        assert!(
            text.contains("[lints]\nworkspace = true\n"),
            "{}",
            manifest.display()
        );
    }
    // The lint reaches every root by the manifest; those that ship say it themselves as well.
    for root in ["src/lib.rs", "src/main.rs"] {
        assert!(
            read(Path::new(root)).contains("#![forbid(unsafe_code)]"),
            "{root}"
        );
    }
    let mut sources = below("src", ".rs");
    sources.extend(below("tests", ".rs"));
    assert!(sources.len() > 100, "{} files", sources.len());
    for source in sources {
        let text = read(&source);
        let allowed = ["allow(unsafe", "expect(unsafe"].iter().any(|a| {
            // But for these lines.
            text.contains(a) && source != Path::new("tests/security_table.rs")
        });
        assert!(!allowed, "{}", source.display());
    }
}

#[test]
fn nothing_that_ships_switches_the_check_of_certificates_off() {
    let ways = [
        "danger",
        "accept_invalid",
        "insecure_skip",
        "ServerCertVerifier",
        "tls_built_in_root_certs(false)",
        "accept_hostname",
    ];
    for source in below("src", ".rs") {
        let text = std::fs::read_to_string(&source).unwrap();
        let way = ways.iter().find(|way| text.contains(**way));
        assert!(way.is_none(), "{} has {way:?}", source.display());
    }
}

#[test]
fn specs_name_no_file_and_are_no_template() {
    // Whatever reads files does so from what the command line or the cluster says, never from a spec.
    let readers = ["std::fs", "tokio::fs", "File::open", "include_str!(concat"];
    let engines = [
        "tera",
        "handlebars",
        "minijinja",
        "askama",
        "liquid",
        "tinytemplate",
        "regex",
        "fancy-regex",
    ];
    for source in below("src", ".rs") {
        let name = source.to_str().unwrap();
        let text = std::fs::read_to_string(&source).unwrap();
        let text = text.split("mod tests {").next().unwrap();
        let reads = readers.iter().any(|reader| text.contains(reader));
        let tests = name.contains("/tests") || name.contains("/bin/");
        assert!(
            // What a person names on a command line is read as that person; no spec reaches it.
            !reads || tests || name == "src/app.rs" || name.starts_with("src/cli/"),
            "{name} reads files"
        );
    }
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    for engine in engines {
        let named = manifest
            .lines()
            .any(|l| l.starts_with(&format!("{engine} ")) || l.starts_with(&format!("{engine}.")));
        assert!(
            !named,
            "{engine}: a template, or an expression that may run for ever, from a spec"
        );
    }
}

#[test]
fn a_reference_to_a_secret_has_no_namespace_and_nothing_else_leads_out_of_its_own() {
    let text = std::fs::read_to_string("crds/scim-operator.io_scimconnections.yaml").unwrap();
    let crd: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let spec = &schema["properties"]["spec"]["properties"];
    for (reference, fields) in [
        ("tokenSecretRef", &["key", "name"][..]),
        ("caBundleRef", &["key", "kind", "name"]),
    ] {
        let of_it = spec[reference]["properties"].as_object().unwrap();
        let names: Vec<_> = of_it.keys().map(String::as_str).collect();
        assert_eq!(names, fields, "{reference}");
    }
    let default = &spec["allowedNamespaces"]["default"];
    assert_eq!(*default, serde_json::json!({"from": "Same"}));
}
