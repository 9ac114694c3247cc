//! `docs/security.md` names a test for each requirement: this holds the page to what there is. Here are also the
//! few requirements that the source itself shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// The rows of the table, each as requirement, how it is met, tests; and the lines that are none.
fn rows(page: &str) -> (Vec<[String; 3]>, Vec<String>) {
    let (_, section) = page.split_once("\n## Requirements\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    // A row may also be written without the bar that it begins with.
    for line in section.lines().filter(|line| line.contains('|')) {
        let is_head = line == "| Requirement | How it is met | Tests |";
        if is_head || line.chars().all(|c| "|-".contains(c)) {
            continue;
        }
        let inner = line.strip_prefix("| ").and_then(|l| l.strip_suffix(" |"));
        let cells = inner.unwrap_or_default().split(" | ").map(str::trim);
        let cells: Vec<String> = cells.map(str::to_owned).collect();
        match <[String; 3]>::try_from(cells) {
            Ok(row) if row.iter().all(|cell| !cell.is_empty()) => rows.push(row),
            _ => faults.push(format!("no row of three cells: {line}")),
        }
    }
    (rows, faults)
}

/// The attributes of a function, one a line; nothing where there is no such function.
fn attributes<'a>(source: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_it = |line: &&str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&format!("fn {name}("))
    };
    let at = lines.iter().position(is_it)?;
    let above = lines[..at].iter().rev();
    let above = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    Some(above.copied().filter(|l| l.starts_with("#[")).collect())
}

/// What is wrong with the tests that one cell names: each is `path`: `name`, `name`, parted by semicolons.
fn faults(cell: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for part in cell.split("; ") {
        let part = part.replace('`', "");
        let (path, names) = part.split_once(": ").unwrap_or((&part, ""));
        let Some(text) = read(path) else {
            found.push(format!("there is no {path}"));
            continue;
        };
        if names.is_empty() {
            found.push(format!("{path} without the name of a test"));
            continue;
        }
        for name in names.split(", ") {
            let attributes = attributes(&text, name).unwrap_or_default();
            let is_test = |a: &&str| *a == "#[test]" || a.starts_with("#[tokio::test");
            if !attributes.iter().any(is_test) {
                found.push(format!("{path} has no test {name}"));
            } else if attributes.iter().any(|a| a.contains("ignore")) {
                found.push(format!("{path}: {name} is ignored"));
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
    let (rows, mut found) = rows(&file("docs/security.md").unwrap());
    assert!(rows.len() >= 18, "only {} rows were found", rows.len());
    for [_, _, tests] in rows {
        found.extend(faults(&tests, file));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_line_that_is_no_row_is_told_and_not_passed_over() {
    let page = |line: &str| {
        let head = "| Requirement | How it is met | Tests |\n|---|---|---|\n| a | b | c |";
        format!(
            "# x\n| another | table |\n\n## Requirements\n\nWords.\n\n{head}\n{line}\n\n## After\n| a | table |\n"
        )
    };
    let (found, wrong) = rows(&page("| `a` | b, c | `d`: `e` |"));
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(found.len(), 2);
    assert_eq!(found[1], ["`a`", "b, c", "`d`: `e`"]);
    for (line, why) in [
        ("| a | b |", "a cell is missing"),
        ("| a | b | c | d |", "a cell too many"),
        ("| a |  | c |", "an empty cell"),
        ("| a | b | |", "no test"),
        ("| a | b |c |", "a bar without a space parts no cells here"),
        ("|a | b | c |", "and begins none"),
        ("| a | b | c", "not ended"),
        ("a | b | c", "neither begun nor ended"),
    ] {
        let (found, wrong) = rows(&page(line));
        assert!(found.len() == 1 && wrong.len() == 1, "{why}: {found:?}");
    }
}

#[test]
fn a_test_that_is_not_there_or_does_not_run_is_missed() {
    let source = "
#[test]
fn one() {}

/// Says two.
#[tokio::test(flavor = \"x\")]
async fn two() {}

fn three() {}

#[test]
#[ignore = \"slow\"]
fn four() {}

#[cfg_attr(not(feature = \"x\"), ignore)]
#[test]
fn five() {}

// #[test]
// fn six() {}
";
    let read = |path: &str| (path == "tests/a.rs").then(|| source.to_owned());
    assert!(faults("`tests/a.rs`: `one`, `two`", read).is_empty());
    for (cell, told) in [
        ("`tests/a.rs`", "tests/a.rs without the name of a test"),
        (
            "`tests/a.rs`: `one`; `tests/a.rs`",
            "tests/a.rs without the name of a test",
        ),
        (
            "`tests/a.rs`: `one`, `three`",
            "tests/a.rs has no test three",
        ),
        ("`tests/a.rs`: `on`", "tests/a.rs has no test on"),
        ("`tests/a.rs`: `four`", "tests/a.rs: four is ignored"),
        ("`tests/a.rs`: `five`", "tests/a.rs: five is ignored"),
        ("`tests/a.rs`: `six`", "tests/a.rs has no test six"),
        (
            "`tests/b.rs`; `tests/a.rs`: `one`",
            "there is no tests/b.rs",
        ),
        ("Nothing yet", "there is no Nothing yet"),
    ] {
        assert_eq!(faults(cell, read), [told], "{cell}");
    }
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
        // What only the command line tool has is not in the operator (see `[features]`): it evaluates the patterns of our
        // own definitions, in linear time.
        let ours = manifest.lines().filter(|l| !l.contains("optional = true"));
        let named = ours
            .into_iter()
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
