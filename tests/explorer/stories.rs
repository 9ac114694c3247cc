//! The stories that are told with every fault, and every two: short ones, each about one thing that people
//! do, with time to come to rest after each step.

use std::time::Duration;

use serde_json::json;

use super::rig::Case;
use super::story::Step;

/// Long enough for whatever a step sets going, a request that times out among it, and for another try.
const QUIET: Duration = Duration::from_secs(45);

/// All of them by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("one of each", one_of_each()),
        ("where no mark comes back", mute()),
        ("deleted and declared anew (R06)", anew()),
        ("many leave (R14)", many_leave()),
        ("members (R19)", members()),
        ("a name is handed on (R27)", handed_on()),
        ("the token is changed (R10)", rotated()),
        ("together (R20)", together()),
        (
            "together, where no mark comes back (R20)",
            together_and_mute(),
        ),
    ]
}

fn told(steps: impl IntoIterator<Item = Step>) -> Case {
    Case::new(steps.into_iter().map(|step| (step, QUIET)).collect())
}

/// One person and one group, through all that becomes of them. The next thing is done while a request
/// for the last one may still wait for its answer.
fn one_of_each() -> Case {
    let mut case = told([
        Step::User("ada", json!({"office": "Leeds"})),
        Step::Group("crew", vec!["ada"]),
        Step::EditUser(
            "ada",
            json!({"userName": "countess@example.com", "office": null, "grade": "7"}),
        ),
        Step::EditUser("ada", json!({"active": false})),
        Step::EditUser("ada", json!({"active": true})),
        Step::Members("crew", vec![]),
        Step::DropGroup("crew"),
        Step::DropUser("ada"),
    ]);
    for (_, quiet) in &mut case.steps {
        *quiet = Duration::from_secs(15);
    }
    case
}

/// The same where a backend never returns the mark by which an account is recognised.
fn mute() -> Case {
    let mut case = one_of_each();
    case.mute = true;
    case
}

/// Gone and back under the same name, at once and after a while.
fn anew() -> Case {
    let mut case = told([
        Step::User("ada", json!({"office": "Leeds"})),
        Step::Group("crew", vec!["ada"]),
        Step::DropUser("ada"),
        Step::User("ada", json!({"office": "Oslo"})),
        Step::DropGroup("crew"),
        Step::Group("crew", vec!["ada"]),
    ]);
    // While the new one comes the watch still tells of the old one.
    case.steps[2].1 = Duration::from_millis(400);
    case.steps[4].1 = Duration::from_millis(400);
    case
}

/// More leave at once than may, and a person approves.
fn many_leave() -> Case {
    let mut case = told([
        Step::User("ada", json!({})),
        Step::User("bob", json!({})),
        Step::User("cyd", json!({})),
        Step::DropUser("ada"),
        Step::DropUser("bob"),
        Step::EditUser("cyd", json!({"active": false})),
        Step::Nothing,
        Step::Approve,
        // A crash may have left some of them, who are held anew.
        Step::Nothing,
        Step::Approve,
        Step::Nothing,
        Step::Approve,
    ]);
    case.guard = 1;
    for at_once in [0, 1, 3, 4] {
        case.steps[at_once].1 = Duration::ZERO;
    }
    case
}

/// A group of some who come later, and of a stranger whom somebody put there.
fn members() -> Case {
    let mut case = told([
        Step::Group("crew", vec!["ada", "bob"]),
        Step::User("ada", json!({})),
        Step::User("bob", json!({})),
        Step::Intrude("crew"),
        Step::EditGroup("crew", json!({"displayName": "crew of two"})),
        Step::Members("crew", vec!["bob"]),
    ]);
    case.etag = true;
    case
}

/// One takes the name that another has given up.
fn handed_on() -> Case {
    told([
        Step::User("ada", json!({})),
        Step::User("bob", json!({})),
        Step::EditUser("ada", json!({"userName": "countess@example.com"})),
        Step::EditUser("bob", json!({"userName": "ada@example.com"})),
    ])
}

fn rotated() -> Case {
    told([
        Step::User("ada", json!({})),
        Step::Rotate("another"),
        Step::EditUser("ada", json!({"office": "Oslo"})),
    ])
}

/// Several who are created by one request, and what becomes of some of them.
fn together() -> Case {
    let mut case = told([
        Step::User("ada", json!({})),
        Step::User("bob", json!({"office": "Leeds"})),
        Step::User("cyd", json!({"active": false})),
        Step::User("dan", json!({})),
        Step::EditUser("bob", json!({"office": "Oslo"})),
        Step::DropUser("dan"),
        Step::Group("crew", vec!["ada", "bob"]),
    ]);
    case.bulk = true;
    for at_once in [0, 1, 2, 4, 5] {
        case.steps[at_once].1 = Duration::ZERO;
    }
    case
}

fn together_and_mute() -> Case {
    let mut case = together();
    case.mute = true;
    case
}
