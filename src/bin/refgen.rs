//! Writes the reference of the API, one page a kind and one of conditions and reasons, into the folder
//! given. `make reference` runs it; a test holds `docs/reference/` equal to what it writes.
//!
//! Everything comes from the definitions that `crdgen` writes and from the enums of reasons, so that no
//! page says more, or less, than the API server knows.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use scim_operator::api::conditions::{ConditionType, Reason};
use scim_operator::api::definitions::definitions;
use serde_json::Value;

/// Said at the top of each page: whoever edits one loses it.
const GENERATED: &str = "<!-- Written by `make reference` from the types in src/api. -->\n";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: refgen FOLDER")?;
    let folder = Path::new(&folder);
    for (_, definition) in definitions() {
        let definition = serde_json::to_value(&definition)?;
        let kind = text(&definition["spec"]["names"]["kind"]);
        let name = format!("{}.md", kind.to_lowercase());
        std::fs::write(folder.join(name), kind_page(&definition)?)?;
    }
    std::fs::write(folder.join("conditions.md"), conditions_page()?)?;
    Ok(())
}

/// The page of one kind: what it is called, what `kubectl get` shows, and every field.
fn kind_page(definition: &Value) -> Result<String, std::fmt::Error> {
    let spec = &definition["spec"];
    let (names, version) = (&spec["names"], &spec["versions"][0]);
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut page = String::new();
    writeln!(page, "# {}\n\n{GENERATED}", text(&names["kind"]))?;
    writeln!(page, "{}\n", text(&schema["description"]))?;
    writeln!(page, "| | |\n|---|---|")?;
    for (what, said) in [
        (
            "`apiVersion`",
            format!("`{}/{}`", text(&spec["group"]), text(&version["name"])),
        ),
        ("`kind`", format!("`{}`", text(&names["kind"]))),
        ("Resource", code(&names["plural"])),
        ("Short names", list(&names["shortNames"])),
        ("Categories", list(&names["categories"])),
        ("Scope", text(&spec["scope"])),
        (
            "Field selectors",
            list_of(&version["selectableFields"], |field| {
                text(&field["jsonPath"]).trim_start_matches('.').to_owned()
            }),
        ),
    ] {
        if !said.is_empty() {
            writeln!(page, "| {what} | {said} |")?;
        }
    }
    writeln!(
        page,
        "\n`kubectl get` shows these columns; the wide ones with `-o wide`.\n\n| Column | Field | |\n|---|---|---|"
    )?;
    for column in items(&version["additionalPrinterColumns"]) {
        let wide = if column["priority"].as_i64().unwrap_or(0) > 0 {
            "wide"
        } else {
            ""
        };
        let (name, path) = (
            text(&column["name"]).to_uppercase(),
            code(&column["jsonPath"]),
        );
        writeln!(page, "| {name} | {path} | {wide} |")?;
    }
    for part in ["spec", "status"] {
        writeln!(page, "\n## {part}\n")?;
        let inner = &schema["properties"][part];
        writeln!(page, "{}", text(&inner["description"]))?;
        let said = bounds(inner);
        if !said.is_empty() {
            writeln!(page, "\n{}", said.join("\n"))?;
        }
        fields(part, inner, &mut page)?;
    }
    Ok(page)
}

/// A section for each field below, depth first.
fn fields(path: &str, schema: &Value, page: &mut String) -> std::fmt::Result {
    let required: Vec<String> = items(&schema["required"]).map(text).collect();
    let properties = schema["properties"].as_object();
    for (name, property) in properties.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let must = if required.contains(name) {
            ", required"
        } else {
            ""
        };
        writeln!(page, "\n### `{path}`\n\n*{}{must}*", type_of(property))?;
        let meaning = text(&property["description"]);
        if !meaning.is_empty() {
            writeln!(page, "\n{meaning}")?;
        }
        let mut said = bounds(property);
        if property["items"]["type"] != "object" {
            let of_items = bounds(&property["items"]);
            said.extend(of_items.iter().map(|bound| each("item", bound)));
        }
        let of_values = bounds(&property["additionalProperties"]);
        said.extend(of_values.iter().map(|bound| each("value", bound)));
        if !said.is_empty() {
            writeln!(page, "\n{}", said.join("\n"))?;
        }
        if property["items"]["type"] == "object" {
            let within = bounds(&property["items"]);
            if !within.is_empty() {
                let within: Vec<String> = within.iter().map(|bound| each("item", bound)).collect();
                let gap = if said.is_empty() { "\n" } else { "" };
                writeln!(page, "{gap}{}", within.join("\n"))?;
            }
            fields(&format!("{path}[]"), &property["items"], page)?;
        }
        fields(&path, property, page)?;
    }
    Ok(())
}

fn each(what: &str, bound: &str) -> String {
    format!("- each {what}: {}", bound.trim_start_matches("- "))
}

/// `array of strings`, `map of strings`, `integer`, …
fn type_of(schema: &Value) -> String {
    let of = |inner: &Value| match (text(&inner["type"]), text(&inner["format"])) {
        (kind, format) if kind == "string" && format == "date-time" => "date-time".to_owned(),
        (kind, _) => kind,
    };
    let values = &schema["additionalProperties"];
    match of(schema).as_str() {
        "array" => format!("array of {}s", of(&schema["items"])),
        "object" if values.is_object() => format!("map of {}s", of(values)),
        kind => kind.to_owned(),
    }
}

/// What the API server lets pass, as items of a list.
fn bounds(schema: &Value) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(default) = schema.get("default") {
        said.push(format!("- default: {}", quoted(&default.to_string())));
    }
    if schema["enum"].is_array() {
        said.push(format!("- one of {}", list(&schema["enum"])));
    }
    for (what, least, most) in [
        ("length", "minLength", "maxLength"),
        ("items", "minItems", "maxItems"),
        ("keys", "minProperties", "maxProperties"),
        ("value", "minimum", "maximum"),
    ] {
        let bound = |name: &str| schema[name].as_f64().map(|number| number.to_string());
        match (bound(least), bound(most)) {
            (Some(least), Some(most)) => said.push(format!("- {what}: {least} to {most}")),
            (Some(least), None) => said.push(format!("- {what}: at least {least}")),
            (None, Some(most)) => said.push(format!("- {what}: at most {most}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        said.push(format!("- pattern: {}", quoted(pattern)));
    }
    match text(&schema["x-kubernetes-list-type"]).as_str() {
        "map" => said.push(format!(
            "- at most one item for each {}",
            list(&schema["x-kubernetes-list-map-keys"])
        )),
        "set" => said.push("- no item twice".to_owned()),
        _ => {}
    }
    for rule in items(&schema["x-kubernetes-validations"]) {
        let (rule, message) = (text(&rule["rule"]), text(&rule["message"]));
        said.push(format!("- rule: {message}: {}", quoted(&rule)));
    }
    said
}

/// The words of the two enums, each with what it means and where the runbook says what to do.
fn conditions_page() -> Result<String, std::fmt::Error> {
    let mut page = format!("# Conditions and reasons\n\n{GENERATED}");
    writeln!(
        page,
        "\nWhat each asks of you is in the [runbook](../operations/runbook.md).\n\n## Types\n\n| Type | What it says when it is True |\n|---|---|"
    )?;
    for word in ConditionType::ALL {
        let (word, meaning) = (word.as_str(), word.meaning());
        let anchor = format!("condition-{}", word.to_lowercase());
        writeln!(page, "| {} | {meaning} |", in_runbook(word, &anchor))?;
    }
    writeln!(page, "\n## Reasons\n\n| Reason | Meaning |\n|---|---|")?;
    for word in Reason::ALL {
        let (word, meaning) = (word.as_str(), word.meaning());
        writeln!(
            page,
            "| {} | {meaning} |",
            in_runbook(word, &word.to_lowercase())
        )?;
    }
    Ok(page)
}

fn in_runbook(word: &str, anchor: &str) -> String {
    format!("[`{word}`](../operations/runbook.md#{anchor})")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn code(value: &Value) -> String {
    quoted(&text(value))
}

/// As code, also where it has a backtick in it.
fn quoted(text: &str) -> String {
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

fn list(values: &Value) -> String {
    list_of(values, text)
}

fn list_of(values: &Value, word: impl Fn(&Value) -> String) -> String {
    let words: Vec<String> = items(values).map(|value| quoted(&word(value))).collect();
    words.join(", ")
}
