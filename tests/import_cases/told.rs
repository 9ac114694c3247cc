//! What whoever imports is told: how far it is, and who is left out.

use std::path::Path;

use anyhow::{Result, ensure};
use scim_operator_harness::scratch::Scratch;
use serde_json::{Value, json};

use super::{a_few, connection};
use crate::support::TOKEN;
use crate::support::plugin::{self, err as said, scim};
use crate::support::scene::simulator;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_at_a_terminal_sees_how_far_it_is_and_a_pipe_gets_none_of_it() -> Result<()> {
    let simulator = simulator().await?;
    for number in 0..250 {
        let name = format!("person.{number}@example.com");
        simulator.insert_user(
            json!({"userName": name, "externalId": format!("hr-{number}"),
            "active": true, "name": {"givenName": "A", "familyName": "B"}}),
        );
    }
    let scratch = Scratch::create()?;
    let spec = json!({"endpoint": simulator.base_url(), "insecure": true, "profile": "RFC7643"});
    let file = connection(&scratch, "connection.yaml", spec)?;
    let arguments = ["import", "--connection-file", &file, "--one-file", "-"];
    let variables = [("SCIM_TOKEN", TOKEN)];
    let (shown, output) = plugin::scim_at_a_terminal(&arguments, &variables)?;
    ensure!(
        shown.contains("listing") && shown.contains("/250"),
        "{shown}"
    );
    ensure!(
        shown.contains("100/250") || shown.contains("200/250"),
        "it moves: {shown}"
    );
    ensure!(output.status.code() == Some(0), "{shown}");
    let written = plugin::out(&output);
    let piped = scim(Path::new("/dev/null"), &arguments, &variables)?;
    ensure!(!said(&piped).contains("/250"), "{}", said(&piped));
    ensure!(
        written == plugin::out(&piped) && written.contains("person.249"),
        "{written}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_the_profile_calls_invalid_is_listed_with_the_rule_and_left_out() -> Result<()> {
    let simulator = a_few().await?;
    let id = simulator.insert_user(json!({"userName": "odd@example.com", "externalId": "hr-odd", "active": true,
        "name": {"givenName": "Odd", "familyName": "One"}, "addresses": [{"type": "work", "country": "Atlantis"}]}));
    let scratch = Scratch::create()?;
    let spec = json!({"endpoint": simulator.base_url(), "insecure": true});
    let file = connection(&scratch, "connection.yaml", spec)?;
    let report = scratch.join("report.json").display().to_string();
    let arguments = [
        "import",
        "--connection-file",
        &file,
        "--one-file",
        "-",
        "--report",
        &report,
    ];
    let output = scim(Path::new("/dev/null"), &arguments, &[("SCIM_TOKEN", TOKEN)])?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    let written = plugin::out(&output);
    ensure!(!written.contains("userName: odd@example.com"), "{written}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&report)?)?;
    let entries = report["entries"].as_array().into_iter().flatten();
    let odd: Vec<_> = entries
        .filter(|entry| entry.to_string().contains(&id))
        .collect();
    ensure!(
        odd.len() == 1 && odd[0].to_string().contains("country"),
        "{report}"
    );
    ensure!(
        !report.to_string().contains("Atlantis") && !said(&output).contains("Atlantis"),
        "a value: {report}"
    );
    Ok(())
}
