//! The values: each is refused when it is of another type or unknown, and is listed in the chart's README with its
//! default. That it reaches what it is for is shown beside, in `reach.rs`.

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use scim_operator_harness::ControlPlane;
use serde_json::{Value, json};

use super::{CHART, template};

/// How many renderings run at once.
pub const AT_ONCE: usize = 4;
/// Maps whose keys are whatever somebody needs.
const OPEN: [&str; 10] = [
    "commonLabels",
    "deploymentAnnotations",
    "metrics.dashboard.labels",
    "nodeSelector",
    "podAnnotations",
    "podLabels",
    "podSecurityContext.seLinuxOptions",
    "resources.limits",
    "resources.requests",
    "serviceAccount.annotations",
];

fn text() -> Result<String> {
    Ok(std::fs::read_to_string(format!("{CHART}/values.yaml"))?)
}

/// Every value of values.yaml with its default, by its path: what has no values below it.
pub fn leaves() -> Result<Vec<(String, Value)>> {
    fn walk(path: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
        match value.as_object().filter(|map| !map.is_empty()) {
            Some(map) => map.iter().for_each(|(key, value)| {
                let path = format!("{path}.{key}");
                walk(path.trim_start_matches('.'), value, leaves);
            }),
            None => leaves.push((path.to_owned(), value.clone())),
        }
    }
    let values: Value = serde_saphyr::from_str(&text()?)?;
    let mut leaves = Vec::new();
    walk("", &values, &mut leaves);
    ensure!(leaves.len() > 40, "only {} values", leaves.len());
    Ok(leaves)
}

/// Values that are not of the type of this one.
fn of_other_types(value: &Value) -> Vec<Value> {
    let all = [
        json!("x y"),
        json!(-7),
        json!(true),
        json!([{"a": ["b"]}]),
        json!({"a": ["b"]}),
    ];
    let same = |other: &Value| std::mem::discriminant(other) == std::mem::discriminant(value);
    // What is within a list or a map has a type as well.
    let is_whole = value.is_array() || value.is_object();
    let others = all.into_iter().filter(|other| is_whole || !same(other));
    others.collect()
}

/// What is set so is refused, for what is wrong with it.
async fn is_refused(plane: &ControlPlane, path: &str, value: &Value) -> Result<()> {
    let set = format!("{path}={value}");
    let rendered = template(plane, &["--set-json", &set]).await;
    let Err(error) = rendered else {
        anyhow::bail!("{set} was rendered");
    };
    let said = format!("{error:#}");
    ensure!(
        said.contains("values don't meet the specifications"),
        "{set} was refused by something else: {said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_another_type_is_refused() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let mut wrong = Vec::new();
    for (path, value) in leaves()? {
        for other in of_other_types(&value) {
            // Either a boolean or the word auto.
            let is_meant = path == "finalizerPolicy.enabled" && other.is_boolean();
            // A quantity may be a number.
            let is_meant = is_meant || path.starts_with("resources.") && other == json!(-7);
            if !is_meant {
                wrong.push((path.clone(), other));
            }
        }
    }
    wrong.push(("resources.limits.memory".to_owned(), json!(-7)));
    ensure!(wrong.len() > 150, "only {}", wrong.len());
    futures::stream::iter(&wrong)
        .map(|(path, value)| is_refused(plane, path, value))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_that_is_misspelt_is_refused() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let mut unknown = Vec::new();
    for (path, _) in leaves()? {
        let mut within = path.as_str();
        while let Some((map, _)) = within.rsplit_once('.') {
            unknown.push(format!("{map}.misspelt"));
            within = map;
        }
        unknown.push(format!("{path}Misspelt"));
    }
    unknown.retain(|path| {
        let within = path.rsplit_once('.').map_or("", |(map, _)| map);
        !OPEN.contains(&within)
    });
    unknown.sort();
    unknown.dedup();
    ensure!(unknown.len() > 50, "only {}", unknown.len());
    let value = json!("x");
    futures::stream::iter(&unknown)
        .map(|path| is_refused(plane, path, &value))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

/// The comment above each value, or above the map that it is in; by path.
fn described() -> Result<Vec<(String, String)>> {
    let mut above: Vec<(usize, String, String)> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for line in text()?.lines() {
        let content = line.trim_start();
        let depth = line.len() - content.len();
        if let Some(comment) = content.strip_prefix('#') {
            // What is set in further is an example.
            if !comment.starts_with("  ") {
                words.push(comment.trim().to_owned());
            }
            continue;
        }
        let said = std::mem::take(&mut words).join(" ");
        let Some((key, _)) = content.split_once(':').filter(|(key, _)| is_key(key)) else {
            continue;
        };
        above.retain(|(outer, ..)| *outer < depth);
        let (within, inherited) = above
            .last()
            .map_or(("", ""), |(_, path, said)| (path, said));
        let path = format!("{within}.{key}").trim_start_matches('.').to_owned();
        let said = if said.is_empty() {
            inherited.to_owned()
        } else {
            said
        };
        all.push((path.clone(), said.clone()));
        above.push((depth, path, said));
    }
    Ok(all)
}

fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The table of all values, in the order of values.yaml.
fn table() -> Result<String> {
    let described = described()?;
    let mut leaves = leaves()?;
    let place = |path: &str| {
        let is_of = |known: &str| path == known || path.starts_with(&format!("{known}."));
        described.iter().rposition(|(known, _)| is_of(known))
    };
    leaves.sort_by_key(|(path, _)| place(path));
    let mut table = String::from("| Value | Default | What it is |\n|---|---|---|\n");
    for (path, value) in leaves {
        let place = place(&path).with_context(|| format!("{path} is nowhere"))?;
        let (_, said) = &described[place];
        ensure!(!said.is_empty(), "{path} is not described in values.yaml");
        ensure!(!said.contains('|'), "{path}: a bar would end the cell");
        table += &format!("| `{path}` | `{value}` | {said} |\n");
    }
    Ok(table)
}

/// With `UPDATE_DOCS=1` the table is written instead.
#[test]
fn the_readme_lists_every_value_with_its_default() -> Result<()> {
    let path = format!("{CHART}/README.md");
    let readme = std::fs::read_to_string(&path)?;
    let heading = "\n## Values\n\n";
    let (before, listed) = readme.split_once(heading).context("no heading Values")?;
    let table = table()?;
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, format!("{before}{heading}{table}"))?;
        return Ok(());
    }
    for (listed, value) in listed.lines().zip(table.lines()) {
        ensure!(
            listed == value,
            "{path} is stale (UPDATE_DOCS=1 writes it):\n{listed}\n{value}"
        );
    }
    ensure!(listed == table, "{path} lacks values, or has more");
    Ok(())
}
