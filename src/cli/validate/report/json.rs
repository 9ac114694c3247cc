//! For programs: one document, whose fields are promised.

use serde_json::{Value, json};

use crate::cli::validate::Findings;
use crate::cli::validate::finding::{Finding, Severity};

/// `findings`, each with `file`, `line`, `severity`, `rule`, `kind`, `namespace`, `name`, `field`, `message`; and
/// `totals`.
pub fn document(found: &Findings) -> Value {
    let one = |finding: &Finding| {
        let Finding {
            place,
            kind,
            namespace,
            name,
            fault,
        } = finding;
        json!({
            "file": place.file,
            "line": place.line,
            "severity": fault.severity.as_str(),
            "rule": fault.rule,
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "field": fault.field.to_string(),
            "message": fault.message,
        })
    };
    json!({
        "findings": found.findings.iter().map(one).collect::<Vec<_>>(),
        "totals": {
            "objects": found.objects,
            "errors": found.count(Severity::Error),
            "warnings": found.count(Severity::Warning),
        },
    })
}
