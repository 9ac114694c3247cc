//! SARIF 2.1.0 (OASIS), as GitHub's code scanning and GitLab take it.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::validate::Findings;
use crate::cli::validate::finding::{CATALOGUE, Finding};
use crate::cli::validate::objects::ApiServer;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The whole log: one run of one tool, all of its rules, and the findings.
pub fn document(found: &Findings, server: &ApiServer) -> Value {
    let of_definitions = server.schemas().rules();
    let rules: Vec<(&str, &str)> = CATALOGUE.into_iter().chain(of_definitions).collect();
    let described: Vec<Value> = rules
        .iter()
        .map(|(id, asks)| json!({"id": id, "shortDescription": {"text": asks}}))
        .collect();
    let root = std::env::current_dir().ok();
    let results: Vec<Value> = found
        .findings
        .iter()
        .map(|finding| result(finding, &rules, root.as_deref()))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "kubectl-scim",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": described,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding, rules: &[(&str, &str)], root: Option<&Path>) -> Value {
    let fault = &finding.fault;
    let parts = [finding.object(), fault.field.to_string()];
    let of: Vec<_> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect();
    let gap = if of.is_empty() { "" } else { ": " };
    let mut result = json!({
        "ruleId": fault.rule,
        "level": fault.severity.as_str(),
        "message": {"text": format!("{}{gap}{}", of.join(" "), fault.message)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.place.file, root)},
            "region": {"startLine": finding.place.line.max(1)},
        }}],
    });
    if let Some(index) = rules.iter().position(|(id, _)| *id == fault.rule) {
        result["ruleIndex"] = json!(index);
    }
    result
}

/// A file as a URI reference (RFC 3986), relative to where the command runs wherever it is below.
fn uri(file: &str, root: Option<&Path>) -> String {
    if file == "-" {
        return "stdin".to_owned();
    }
    let path = Path::new(file);
    let relative = root
        .and_then(|root| path.strip_prefix(root).ok())
        .unwrap_or(path);
    let text = relative.to_string_lossy();
    let text = text.strip_prefix("./").unwrap_or(&text);
    let scheme = if relative.is_absolute() {
        "file://"
    } else {
        ""
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encoded = text.bytes().map(|byte| {
        if is_plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    format!("{scheme}{}", encoded.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_from_where_the_command_runs() {
        let root = Path::new("/repo");
        for (file, expected) in [
            ("users/ada.yaml", "users/ada.yaml"),
            ("./users/ada.yaml", "users/ada.yaml"),
            ("/repo/users/ada b.yaml", "users/ada%20b.yaml"),
            ("/else/ä.yaml", "file:///else/%C3%A4.yaml"),
            ("-", "stdin"),
        ] {
            assert_eq!(uri(file, Some(root)), expected);
        }
    }
}
