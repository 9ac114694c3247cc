//! What is shown of a connection, whole, from what its status says.

use serde_json::{Value, json};

use super::super::facts::Facts;
use super::super::facts::tests::{condition, connection, now};
use super::super::figures::Figures;
use super::super::findings::Roll;
use super::super::findings::tests::somebody;
use super::*;

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn capabilities() -> Value {
    json!({"discovered": true, "patch": true, "bulk": false, "filter": true, "etag": false, "externalId": "Echoed", "memberRemoval": "Filter", "members": "Returned"})
}

fn counts(invalid: u32, failing: u32) -> Value {
    json!({"desired": 120, "provisioned": 118, "archived": 6, "invalid": invalid, "failing": failing, "unmanaged": 4})
}

fn well() -> Facts {
    let status = json!({
        "conditions": [condition("Ready", "True", "Connected", "connected")],
        "users": counts(0, 0),
        "groups": {"desired": 3, "provisioned": 3, "invalid": 0, "failing": 0, "unmanaged": 1},
        "capabilities": capabilities(),
        "deprovisioned": [{"at": "2026-11-28T08:40:00Z", "count": 2}],
        "lastFullSync": "2026-11-28T08:45:30Z"
    });
    let mut facts = Facts::of(&connection(json!({}), status), now());
    facts.users = Some(Roll::default().sections(20));
    facts.groups = Some(Roll::default().sections(20));
    facts
}

fn troubled() -> Facts {
    let status = json!({
        "conditions": [
            condition("Ready", "True", "Connected", "connected"),
            condition("DeprovisioningHeld", "True", "GuardExceeded", "12 users would be archived or deleted beyond spec.deprovisionGuard"),
            condition("Insecure", "True", "PlainHttp", "spec.insecure: the token and personal data may travel in clear text"),
            condition("Reachable", "True", "Connected", "the backend answers in SCIM")
        ],
        "users": counts(3, 1),
        "heldPlan": {"hash": "0f5c9a7be1d20344", "count": 12, "users": ["identity/ada", "identity/grace"]},
        "lastFullSync": "2026-11-28T07:00:00Z"
    });
    let mut facts = Facts::of(&connection(json!({"suspend": false}), status), now());
    let mut users = Roll::default();
    for name in ["eve", "frank", "ines"] {
        users.take(&somebody(
            name,
            &[
                ("Ready", "False", "Invalid"),
                ("Valid", "False", "SpecInvalid"),
            ],
        ));
    }
    users.take(&somebody(
        "kenji",
        &[("Ready", "False", "ArchivedByBackend")],
    ));
    users.take(&somebody(
        "ada",
        &[("Ready", "False", "DeprovisioningHeld")],
    ));
    users.take(&somebody(
        "olga",
        &[
            ("Ready", "False", "Conflict"),
            ("Synced", "False", "OwnedByOther"),
        ],
    ));
    let mut groups = Roll::default();
    groups.take(&somebody("engineering", &[("Ready", "False", "Pending")]));
    facts.users = Some(users.sections(2));
    facts.groups = Some(groups.sections(2));
    facts.unread = Some("users and groups of other namespaces could not be read".into());
    facts.requests = Some(Figures {
        sent: 15,
        saved: 42,
        throttled: 3,
        waiting: 5,
    });
    facts
}

fn lost() -> Facts {
    let why = "accounts that ScimUsers have recorded are not at this backend (20)";
    let status = json!({
        "conditions": [
            condition("Ready", "False", "BackendChanged", why),
            condition("DeprovisioningHeld", "True", "BackendChanged", why)
        ],
        "missingAccounts": {"hash": "1a2b3c4d5e6f7081", "count": 20, "approved": false}
    });
    let spec = json!({"mode": "DryRun", "profile": "RFC7643"});
    let mut object = connection(spec, status);
    object.metadata.generation = Some(3);
    Facts::of(&object, now())
}

#[test]
fn a_connection_that_is_well_is_one_short_screen() {
    insta::assert_snapshot!(plain(&screen(&well(), now())));
}

#[test]
fn whoever_is_not_in_step_is_named_with_the_reason_and_what_is_held_with_its_command() {
    insta::assert_snapshot!(plain(&screen(&troubled(), now())));
}

#[test]
fn missing_accounts_are_told_with_what_has_them_made_anew() {
    insta::assert_snapshot!(plain(&screen(&lost(), now())));
}

#[test]
fn a_connection_that_nobody_has_looked_at_says_so() {
    let fresh = Facts::of(&connection(json!({"suspend": true}), json!({})), now());
    insta::assert_snapshot!(plain(&screen(&fresh, now())));
}

#[test]
fn of_many_each_has_a_line() {
    let all = [well(), troubled(), lost()];
    insta::assert_snapshot!(plain(&table(&all, now())));
}

#[test]
fn a_log_has_one_line_for_all_that_may_change() {
    let lines = [well(), troubled(), lost()].map(|facts| line(&facts));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_facts_are_the_same_as_json() {
    insta::assert_yaml_snapshot!(serde_json::to_value(troubled()).unwrap());
}

#[test]
fn colours_say_what_the_words_say() {
    assert!(screen(&well(), now()).contains(&in_style(GOOD, "True")));
    assert!(screen(&troubled(), now()).contains(&in_style(CAUTION, "True")));
    assert!(screen(&lost(), now()).contains(&in_style(BAD, "False")));
}

#[test]
fn spans_are_told_by_their_two_largest_units() {
    for (seconds, expected) in [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3600, "1h"),
        (5400, "1h30m"),
        (90_000, "1d1h"),
        (172_800, "2d"),
    ] {
        assert_eq!(span(seconds), expected);
    }
}
