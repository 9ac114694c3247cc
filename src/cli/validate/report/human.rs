//! For people: by file, a line a finding, and totals at the end.

use std::fmt::Write as _;

use crate::cli::paint;
use crate::cli::validate::Findings;
use crate::cli::validate::finding::{Finding, Severity};

/// Prints to standard output.
pub fn print(found: &Findings) {
    anstream::print!("{}", text(found));
}

/// What is printed.
pub fn text(found: &Findings) -> String {
    let mut told = String::new();
    let mut file = None;
    for finding in &found.findings {
        if file != Some(&finding.place.file) {
            let gap = if file.is_some() { "\n" } else { "" };
            let _ = writeln!(
                told,
                "{gap}{}",
                paint::in_style(paint::STRONG, &finding.place.file)
            );
            file = Some(&finding.place.file);
        }
        let _ = writeln!(told, "{}", line(finding));
    }
    let gap = if found.findings.is_empty() { "" } else { "\n" };
    let _ = writeln!(told, "{gap}{}", totals(found));
    told
}

fn line(finding: &Finding) -> String {
    let (severity, style) = match finding.fault.severity {
        Severity::Error => ("error  ", paint::BAD),
        Severity::Warning => ("warning", paint::CAUTION),
    };
    let parts = [finding.object(), finding.fault.field.to_string()];
    let of: Vec<_> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect();
    let of = of.join(" ");
    format!(
        "  {:>4}  {}  {of}{}{}  {}",
        finding.place.line,
        paint::in_style(style, severity),
        if of.is_empty() { "" } else { ": " },
        finding.fault.message,
        paint::in_style(paint::FAINT, &finding.fault.rule),
    )
}

fn totals(found: &Findings) -> String {
    let objects = counted(found.objects, "object");
    if found.findings.is_empty() {
        return paint::in_style(paint::GOOD, format!("{objects}, nothing found"));
    }
    let (errors, warnings) = (found.count(Severity::Error), found.count(Severity::Warning));
    let style = if errors > 0 {
        paint::BAD
    } else {
        paint::CAUTION
    };
    let counts = format!(
        "{}, {}",
        counted(errors, "error"),
        counted(warnings, "warning")
    );
    format!("{} in {objects}", paint::in_style(style, counts))
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
