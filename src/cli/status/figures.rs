//! What the operator alone knows of a connection: how much it has asked the backend, as its figures say it.

use std::time::Duration;

use serde::Serialize;

use crate::cli::Failure;

/// More than a replica with a thousand connections serves, and what memory is spent on at most.
const LARGEST: usize = 64 << 20;

/// What a replica has asked a backend since it works on the connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// SCIM requests that were sent.
    pub sent: u64,
    /// Requests that were not needed, since the listing or a bulk request answered.
    pub saved: u64,
    /// Of those sent, those that the backend was too busy for.
    pub throttled: u64,
    /// Requests that wait for their turn.
    pub waiting: u64,
}

/// Fetches the figures of one replica, of the address that a person named.
///
/// # Errors
/// When it cannot be reached, or answers with something else. The address is not repeated: it may hold a password.
pub async fn fetch(url: &str) -> Result<String, Failure> {
    let failed = |e: reqwest::Error| Failure::of("the figures of --metrics", e.without_url());
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(failed)?;
    let answer = client.get(url).send().await.map_err(failed)?;
    let mut answer = answer.error_for_status().map_err(failed)?;
    let mut text = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        text.extend_from_slice(&part);
        if text.len() > LARGEST {
            return Err(Failure::new("the figures of --metrics: too much of them"));
        }
    }
    String::from_utf8(text).map_err(|_| Failure::new("the figures of --metrics: no text"))
}

/// What a text of figures says of a connection; `None` where that replica does not work on it.
pub fn of(text: &str, connection: &str) -> Option<Figures> {
    let mut found: Option<Figures> = None;
    for line in text.lines() {
        let Some(sample) = sample(line) else {
            continue;
        };
        if sample.label("connection") != Some(connection) {
            continue;
        }
        let value = sample.value;
        let figures = found.get_or_insert_default();
        match sample.name {
            "scim_operator_scim_requests_total" => {
                figures.sent += value;
                if sample.label("answer") == Some("throttled") {
                    figures.throttled += value;
                }
            }
            "scim_operator_scim_requests_saved_total" => figures.saved += value,
            "scim_operator_scim_requests_waiting" => figures.waiting += value,
            _ => {}
        }
    }
    found
}

/// A sample of the text format.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    /// As a whole number: counts are.
    value: u64,
}

impl Sample<'_> {
    fn label(&self, wanted: &str) -> Option<&str> {
        let mut all = self.labels.iter();
        let found = all.find(|(key, _)| *key == wanted);
        found.map(|(_, value)| &**value)
    }
}

/// The sample of a line. Comments and anything else are none.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = line.split_once('{')?;
    let mut labels = Vec::new();
    let mut rest = rest;
    while !rest.starts_with('}') {
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.push((key, value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    let value = rest.strip_prefix('}')?.trim();
    let value: f64 = value.split(' ').next()?.parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(Sample {
        name,
        labels,
        value: value as u64,
    })
}

/// The text up to the closing quote, with its escapes undone, and what is behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP scim_operator_scim_requests SCIM requests.
# TYPE scim_operator_scim_requests counter
scim_operator_scim_requests_total{connection="identity/scim",operation="list",answer="ok"} 12
scim_operator_scim_requests_total{connection="identity/scim",operation="create",answer="throttled"} 3
scim_operator_scim_requests_total{connection="identity/other",operation="list",answer="ok"} 99
scim_operator_scim_requests_saved_total{connection="identity/scim",by="listing"} 40
scim_operator_scim_requests_saved_total{connection="identity/scim",by="bulk"} 2
scim_operator_scim_requests_waiting{connection="identity/scim",lane="fresh"} 5.0 1700000000
scim_operator_scim_requests_waiting{connection="identity/sc\"im",lane="fresh"} 7
scim_operator_connections 2
# EOF
"#;

    #[test]
    fn figures_are_summed_over_what_else_they_are_told_by() {
        let figures = of(TEXT, "identity/scim");
        let expected = Figures {
            sent: 15,
            saved: 42,
            throttled: 3,
            waiting: 5,
        };
        assert_eq!(figures, Some(expected));
        assert_eq!(of(TEXT, "identity/sc\"im").map(|f| f.waiting), Some(7));
    }

    #[test]
    fn a_replica_that_does_not_work_on_it_says_nothing_of_it() {
        assert_eq!(of(TEXT, "identity/third"), None);
        assert_eq!(of("", "identity/scim"), None);
    }

    #[test]
    fn what_is_no_sample_is_read_past() {
        for line in [
            "a{connection=\"x",
            "a{connection=\"x\\",
            "a{connection}",
            "a{connection=\"x\"} NaN",
            "a{connection=\"x\"} -1",
            "a{",
            "",
        ] {
            assert!(sample(line).is_none(), "{line}");
        }
    }

    #[tokio::test]
    async fn an_address_is_not_repeated_where_it_fails() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = "http://user:hunter2@127.0.0.1:1/metrics";
        let failure = fetch(url).await.err().map(|e| e.to_string());
        let failure = failure.unwrap_or_default();
        assert!(failure.contains("--metrics"), "{failure}");
        assert!(!failure.contains("hunter2"), "{failure}");
    }
}
