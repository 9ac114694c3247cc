//! Has recorded requests judged by `tests/scim-servers/judge.py`, which knows
//! the SCIM RFCs through scim2-models, a library of other people.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::servers::{Installed, source};

/// What the judge found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JudgeReport {
    /// How many POST, PUT and PATCH bodies it saw.
    pub judged: usize,
    /// How many of them break a rule.
    pub failed: usize,
    /// One line for each rule broken: the line of the dump, the request, the
    /// rule. A body may break several.
    pub violations: Vec<String>,
}

impl JudgeReport {
    /// The number of bodies judged; an error when one failed, or none was judged.
    pub fn into_result(self) -> Result<usize> {
        let JudgeReport {
            judged,
            failed,
            violations,
        } = self;
        if failed > 0 {
            bail!(
                "{failed} of {judged} bodies failed:\n{}",
                violations.join("\n")
            );
        }
        if judged == 0 {
            bail!("there was no body to judge");
        }
        Ok(judged)
    }

    fn parse(output: &str) -> Option<JudgeReport> {
        let mut violations: Vec<String> = output.lines().map(str::to_owned).collect();
        let closing = violations.pop()?;
        let (judged, failed) = closing
            .strip_suffix(" failed")?
            .split_once(" bodies judged, ")?;
        Some(JudgeReport {
            judged: judged.parse().ok()?,
            failed: failed.parse().ok()?,
            violations,
        })
    }
}

/// Judges the requests in `dump`, written by
/// [`RecordingProxy::dump_jsonl`](crate::RecordingProxy::dump_jsonl), by the
/// schemas of the server at `base_url`.
///
/// Bodies that break rules are no error here: see [`JudgeReport::into_result`].
/// Errors: the judge cannot be installed, the server gives no schemas, the dump
/// is none.
pub async fn judge(dump: &Path, base_url: &str, token: &str) -> Result<JudgeReport> {
    let python = Installed::obtain().await?.python();
    let output = tokio::process::Command::from(python)
        .arg(source("judge.py"))
        .arg(dump)
        .args(["--base-url", base_url])
        .env("SCIM_TOKEN", token)
        .kill_on_drop(true)
        .output()
        .await
        .context("running the judge")?;
    let said = String::from_utf8_lossy(&output.stdout);
    // 0 and 1 are verdicts, but a crash of Python is 1 too: the closing line decides.
    match JudgeReport::parse(&said) {
        Some(report) => Ok(report),
        None => bail!(
            "the judge gave no verdict ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::JudgeReport;

    #[test]
    fn a_verdict_has_a_closing_line() {
        let report = JudgeReport::parse("line 3: POST /Users: no\n7 bodies judged, 1 failed\n");
        assert_eq!(
            report,
            Some(JudgeReport {
                judged: 7,
                failed: 1,
                violations: vec!["line 3: POST /Users: no".to_owned()],
            })
        );
        assert_eq!(JudgeReport::parse("line 3: POST /Users: no\n"), None);
        assert_eq!(JudgeReport::parse(""), None);
    }

    #[test]
    fn nothing_judged_is_no_success() {
        let report = JudgeReport::parse("0 bodies judged, 0 failed\n");
        assert!(report.is_some_and(|report| report.into_result().is_err()));
    }
}
