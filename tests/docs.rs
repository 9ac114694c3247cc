//! The documentation as text: no link leads nowhere, every page is in the book, the reference is what the
//! types say, and the runbook knows every word that a condition may say. What its YAML does is in
//! `docs_yaml.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)] // Each test binary uses its own part.
#[path = "docs/markdown.rs"]
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use markdown::{Page, pages};
use scim_operator::api::conditions::{ConditionType, Reason};
use scim_operator_harness::scratch::Scratch;

/// What of a page's links leads nowhere; `anchors` has every page with its anchors.
fn broken(page: &Page, anchors: &BTreeMap<PathBuf, BTreeSet<String>>) -> Vec<String> {
    let in_book = |path: &Path| path.starts_with("docs");
    let mut found = Vec::new();
    for link in page.links() {
        // The world outside changes without us; whoever builds a release may look.
        if ["https://", "http://", "mailto:"]
            .iter()
            .any(|s| link.starts_with(s))
        {
            continue;
        }
        let (file, anchor) = link
            .split_once('#')
            .map_or((&*link, None), |(f, a)| (f, Some(a)));
        let target = if file.is_empty() {
            page.path.clone()
        } else {
            normal(&page.path.parent().unwrap().join(file))
        };
        let mut wrong = |why: &str| found.push(format!("{}: {link}: {why}", page.path.display()));
        if page.path == Path::new("CHANGELOG.md") {
            wrong("the book has this page in another folder, where it leads nowhere");
        } else if !target.exists() {
            wrong("there is no such file");
        } else if in_book(&page.path) && !in_book(&target) {
            wrong("it leads out of the book");
        } else if let Some(anchor) = anchor
            && !anchors.get(&target).is_some_and(|all| all.contains(anchor))
        {
            wrong("there is no such heading");
        }
    }
    found
}

/// Without `.` and `..`; one that leads above the root stays, and is no file.
fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.into_iter().collect()
}

fn anchors(pages: &[Page]) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let one = |page: &Page| (page.path.clone(), page.anchors());
    pages.iter().map(one).collect()
}

#[test]
fn no_link_leads_nowhere() {
    let pages = pages();
    assert!(pages.len() > 20, "the pages were not found");
    let anchors = anchors(&pages);
    let found: Vec<String> = pages
        .iter()
        .flat_map(|page| broken(page, &anchors))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_check_of_links_itself_catches_what_is_broken() {
    let pages = pages();
    let anchors = anchors(&pages);
    for (link, wrong, why) in [
        ("reliability.md", false, "a page"),
        ("decisions/0004-bulk.md", false, "a page in a folder"),
        ("operations/runbook.md#guardexceeded", false, "a heading"),
        ("#a-heading-here", false, "a heading of this page"),
        ("https://example.com/nowhere", false, "the world outside"),
        ("relibility.md", true, "a misspelt page"),
        (
            "operations/runbook.md#guardexceded",
            true,
            "a misspelt heading",
        ),
        ("#elsewhere", true, "a heading of another page"),
        ("../README.md", true, "out of the book"),
        ("../../etc/passwd", true, "out of the repository"),
    ] {
        let page = Page {
            path: "docs/concepts.md".into(),
            text: format!("# A heading `here`\n\n[a\nlink]({link})\n"),
        };
        let mut anchors = anchors.clone();
        anchors.insert(page.path.clone(), page.anchors());
        let found = broken(&page, &anchors);
        assert_eq!(!found.is_empty(), wrong, "{why}: {found:?}");
    }
}

#[test]
fn every_page_is_in_the_book() {
    let summary = Page::read("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> = summary
        .links()
        .iter()
        .map(|l| Path::new("docs").join(l))
        .collect();
    let ours = |page: Page| page.path.starts_with("docs").then_some(page.path);
    let mut there: BTreeSet<PathBuf> = pages().into_iter().filter_map(ours).collect();
    there.remove(Path::new("docs/SUMMARY.md"));
    let missing: Vec<_> = there.difference(&listed).collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn the_reference_is_what_the_types_say() {
    let scratch = Scratch::create().unwrap();
    let folder = scratch.join("reference");
    std::fs::create_dir(&folder).unwrap();
    let written = Command::new(env!("CARGO_BIN_EXE_refgen"))
        .arg(&folder)
        .status();
    assert!(written.unwrap().success());
    let committed = Path::new("docs/reference");
    let names = |folder: &Path| -> BTreeSet<_> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names(&folder), names(committed), "run `make reference`");
    for name in names(committed) {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(&name)).unwrap();
        let equal = read(&folder) == read(committed);
        assert!(
            equal,
            "docs/reference/{name:?} is stale: run `make reference`"
        );
    }
}

/// What the runbook lacks, or has too much.
fn gaps(runbook: &Page) -> Vec<String> {
    let headings = runbook.headings();
    let types: BTreeSet<String> = headings
        .iter()
        .filter(|(level, _)| *level == 2)
        .filter_map(|(_, text)| text.strip_prefix("Condition ").map(str::to_owned))
        .collect();
    let reasons: Vec<&str> = headings
        .iter()
        .filter(|(level, _)| *level == 3)
        .map(|(_, text)| text.as_str())
        .collect();
    let mut found = Vec::new();
    for word in ConditionType::ALL {
        if !types.contains(word.as_str()) {
            found.push(format!("no entry for the condition {word}"));
        }
    }
    for word in Reason::ALL {
        let times = reasons.iter().filter(|r| **r == word.as_str()).count();
        if times != 1 {
            found.push(format!("{times} entries for the reason {word}"));
        }
    }
    for word in types
        .iter()
        .filter(|word| ConditionType::parse(word).is_none())
    {
        found.push(format!("an entry for {word}, which is no condition"));
    }
    for word in reasons.iter().filter(|word| Reason::parse(word).is_none()) {
        found.push(format!("an entry for {word}, which is no reason"));
    }
    // An entry is more than its heading.
    let mut lines = runbook
        .text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    while let Some(line) = lines.next() {
        let is_empty = lines.peek().is_none_or(|next| next.starts_with('#'));
        if line.starts_with("### ") && is_empty {
            found.push(format!("nothing is said under {line}"));
        }
    }
    found
}

#[test]
fn the_runbook_has_an_entry_for_every_condition_and_every_reason() {
    let found = gaps(&Page::read("docs/operations/runbook.md"));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_gap_in_the_runbook_is_seen() {
    let whole = Page::read("docs/operations/runbook.md");
    for (from, to, why) in [
        (
            "### `KeyNotFound`",
            "### `KeyLost`",
            "a reason without an entry, and an entry without a reason",
        ),
        (
            "## Condition `Stalled`",
            "## Stalled",
            "a condition without an entry",
        ),
        ("Nothing had to be done.\n", "", "an entry without a word"),
    ] {
        let text = whole.text.replace(from, to);
        assert_ne!(text, whole.text, "{why}: the case itself is stale");
        let page = Page {
            path: whole.path.clone(),
            text,
        };
        assert!(!gaps(&page).is_empty(), "{why}");
    }
}
