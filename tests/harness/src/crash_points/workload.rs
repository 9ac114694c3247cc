//! The canonical workload: what a year of people joining, changing and leaving asks of the operator, in
//! stories small enough to be played again for every request in them.

use scim_sim::Simulator;
use serde_json::json;

use super::scenario::{
    CONNECTION, GROUP, SCIM, Scenario, TOKEN, USER, Until, approve, ask_to_delete, at_backend,
    declare, delete, edit, labelled, members, person, token,
};

const SECOND: &str = "canary-token-second";
const THIRD: &str = "canary-token-third";

/// All of it.
pub fn workload() -> Vec<Scenario> {
    vec![
        joiners(),
        changes(),
        archive(),
        leavers(),
        guard(),
        invalid(),
        groups(),
        selector(),
        adoption(),
        silent(),
        rotation(),
    ]
}

fn as_usual(_: &Simulator) {}

fn scenario(name: &'static str, steps: Vec<super::scenario::Step>) -> Scenario {
    Scenario {
        name,
        connection: json!({}),
        backend: as_usual,
        nowhere: &[],
        retained: &[],
        steps,
    }
}

/// One who comes and goes, whose account bears no mark of ours.
pub fn person_in_short() -> Scenario {
    let extra = json!({"externalId": "hr-0042", "deletionPolicy": "Delete"});
    scenario(
        "person-in-short",
        vec![
            declare(USER, "ada", person("ada", extra)).ready(USER, "ada"),
            delete(USER, "ada"),
        ],
    )
}

/// A group of one.
pub fn group_in_short() -> Scenario {
    let group = json!({"displayName": "Engineers", "members": members(&["ada"])});
    scenario(
        "group-in-short",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            declare(GROUP, "engineers", group).ready(GROUP, "engineers"),
        ],
    )
}

/// One with our mark, one with an externalId of its own, one with a manager who comes after it.
fn joiners() -> Scenario {
    let managed = person(
        "cy",
        json!({"enterprise": {"manager": {"userRef": {"name": "dan"}}}}),
    );
    let waits = ["Ready", "False", "Pending"];
    scenario(
        "joiners",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            declare(USER, "bob", person("bob", json!({"externalId": "hr-0042"})))
                .ready(USER, "bob"),
            declare(USER, "cy", managed).is(USER, "cy", waits),
            declare(USER, "dan", person("dan", json!({})))
                .ready(USER, "dan")
                .ready(USER, "cy"),
        ],
    )
}

/// Attributes change, come and go; a person is renamed, and two swap their names.
fn changes() -> Scenario {
    let name = |name: &str| json!({"userName": format!("canary-{name}@example.com")});
    scenario(
        "changes",
        vec![
            declare(USER, "ada", person("ada", json!({"city": "London"}))).ready(USER, "ada"),
            edit(
                USER,
                "ada",
                json!({"enterprise": {"department": "Looms"}, "city": null}),
            )
            .ready(USER, "ada"),
            edit(USER, "ada", name("countess")).ready(USER, "ada"),
            declare(USER, "bob", person("bob", json!({}))).ready(USER, "bob"),
            edit(USER, "bob", name("robert")).ready(USER, "bob"),
            edit(USER, "ada", name("bob")).ready(USER, "ada"),
        ],
    )
}

/// Archived by the spec, and back again; archived behind our back, and put right.
fn archive() -> Scenario {
    scenario(
        "archive",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            edit(USER, "ada", json!({"active": false}))
                .is(USER, "ada", ["Archived", "True", "Requested"])
                .ready(USER, "ada"),
            edit(USER, "ada", json!({"active": true}))
                .is(USER, "ada", ["Archived", "False", "Active"])
                .ready(USER, "ada"),
            declare(USER, "bob", person("bob", json!({"active": false}))).ready(USER, "bob"),
        ],
    )
}

/// One is archived by the connection's policy and comes back under its name, one is deleted, one leaves
/// and is archived for good.
fn leavers() -> Scenario {
    scenario(
        "leavers",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            declare(
                USER,
                "bob",
                person("bob", json!({"deletionPolicy": "Delete"})),
            )
            .ready(USER, "bob"),
            declare(USER, "cy", person("cy", json!({"externalId": "hr-0043"}))).ready(USER, "cy"),
            delete(USER, "ada"),
            delete(USER, "bob"),
            delete(USER, "cy"),
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
        ],
    )
}

/// More leave than the guard lets go: one goes, two are held, and are approved.
fn guard() -> Scenario {
    let mut scenario = scenario(
        "guard",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            declare(USER, "bob", person("bob", json!({}))).ready(USER, "bob"),
            declare(USER, "cy", person("cy", json!({}))).ready(USER, "cy"),
            edit(USER, "ada", json!({"active": false})).ready(USER, "ada"),
            ask_to_delete(USER, "bob").until(Until::Held(1)),
            edit(USER, "cy", json!({"active": false})).until(Until::Held(2)),
            approve()
                .until(Until::Gone {
                    kind: USER,
                    name: "bob",
                })
                .ready(USER, "cy"),
        ],
    );
    scenario.connection = json!({"deprovisionGuard": {"maxPercent": 1, "minimum": 1}});
    scenario
}

/// A spec that breaks a rule, mended later; one that never is mended; one broken after it was good.
fn invalid() -> Scenario {
    let broken = json!({"preferredLanguage": "tlh"});
    let refused = ["Valid", "False", "SpecInvalid"];
    let mended = json!({"preferredLanguage": "en-GB"});
    let mut scenario = scenario(
        "invalid",
        vec![
            declare(USER, "ada", person("ada", broken.clone())).is(USER, "ada", refused),
            declare(USER, "bob", person("bob", broken.clone())).is(USER, "bob", refused),
            edit(USER, "ada", mended).ready(USER, "ada"),
            edit(USER, "ada", broken).is(USER, "ada", refused),
        ],
    );
    scenario.nowhere = &["bob"];
    scenario
}

/// A group comes, changes its members and its name, and goes.
fn groups() -> Scenario {
    let group = json!({"displayName": "Engineers", "members": members(&["ada", "bob"])});
    scenario(
        "groups",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            declare(USER, "bob", person("bob", json!({}))).ready(USER, "bob"),
            declare(GROUP, "engineers", group).ready(GROUP, "engineers"),
            edit(GROUP, "engineers", json!({"members": members(&["ada"])}))
                .ready(GROUP, "engineers"),
            edit(
                GROUP,
                "engineers",
                json!({"members": members(&["bob"]), "displayName": "Makers"}),
            )
            .ready(GROUP, "engineers"),
            delete(GROUP, "engineers"),
        ],
    )
}

/// A group by label, whose people come, change their labels and leave.
fn selector() -> Scenario {
    let group = json!({
        "displayName": "Platform", "memberSelector": {"matchLabels": {"team": "platform"}}
    });
    let team = || json!({"team": "platform"});
    let has = |step: super::scenario::Step, count| {
        let name = "platform";
        step.until(Until::Members { name, count })
            .ready(GROUP, "platform")
    };
    let member = |name| labelled(USER, name, team(), person(name, json!({}))).ready(USER, name);
    scenario(
        "selector",
        vec![
            has(declare(GROUP, "platform", group), 0),
            has(member("ada"), 1),
            has(member("bob"), 2),
            has(delete(USER, "ada"), 1),
        ],
    )
}

/// Accounts and groups that were there before are taken over, as the connection's policy and
/// `spec.adopt` allow.
fn adoption() -> Scenario {
    let mut scenario = scenario(
        "adoption",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            edit(USER, "ada", json!({"enterprise": {"department": "Looms"}})).ready(USER, "ada"),
            declare(
                GROUP,
                "engineers",
                json!({"displayName": "Engineers", "members": members(&["ada"])}),
            )
            .ready(GROUP, "engineers"),
            delete(GROUP, "engineers"),
        ],
    );
    scenario.retained = &["engineers"];
    scenario.connection = json!({"adoption": {"match": ["UserName", "DisplayName"]}});
    scenario.backend = |simulator| {
        let account = json!({
            "userName": "canary-ada@example.com", "active": true,
            "name": {"givenName": "canary-given", "familyName": "canary-family"},
            "emails": [{"type": "work", "value": "canary-ada@example.com", "primary": true}],
            "addresses": [{"type": "work", "country": "FR"}], "preferredLanguage": "en_gb"
        });
        simulator.insert_user(account);
        simulator.insert_group(json!({"displayName": "Engineers"}));
    };
    scenario
}

/// A backend that stores externalId and never returns it: nothing but the write-ahead mark tells whose an
/// account is.
fn silent() -> Scenario {
    let mut scenario = scenario(
        "silent",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            declare(
                USER,
                "bob",
                person("bob", json!({"deletionPolicy": "Delete"})),
            )
            .ready(USER, "bob"),
            declare(
                GROUP,
                "engineers",
                json!({"displayName": "Engineers", "members": members(&["ada", "bob"])}),
            )
            .ready(GROUP, "engineers"),
            // Who is named and not declared keeps the group waiting: that is told, and true.
            delete(USER, "bob").is(GROUP, "engineers", ["Ready", "False", "Pending"]),
        ],
    );
    scenario.backend = |simulator| {
        simulator
            .faults()
            .update(|faults| faults.external_id_not_echoed = true);
    };
    scenario
}

/// The token is rotated in good time; the next one is revoked before its successor is known.
fn rotation() -> Scenario {
    let department = |name: &str| json!({"enterprise": {"department": name}});
    let accepted = ["Ready", "True", "Connected"];
    scenario(
        "rotation",
        vec![
            declare(USER, "ada", person("ada", json!({}))).ready(USER, "ada"),
            at_backend(|simulator| simulator.set_tokens(vec![TOKEN.into(), SECOND.into()])),
            token(SECOND)
                .until(Until::InUse(SECOND))
                .is(CONNECTION, SCIM, accepted),
            at_backend(|simulator| simulator.set_token(SECOND)),
            edit(USER, "ada", department("Looms")).ready(USER, "ada"),
            at_backend(|simulator| simulator.set_token(THIRD)),
            edit(USER, "ada", department("Mills")).is(
                CONNECTION,
                SCIM,
                ["Ready", "False", "Unauthorized"],
            ),
            token(THIRD)
                .is(CONNECTION, SCIM, accepted)
                .ready(USER, "ada"),
        ],
    )
}
