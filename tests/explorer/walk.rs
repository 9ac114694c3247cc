//! Random stories: whatever people may do to a few resources and their accounts, by a seed.

use std::time::Duration;

use serde_json::json;

use super::faults::Faults;
use super::rig::Case;
use super::story::Step;

const PEOPLE: [&str; 4] = ["ada", "bob", "cyd", "dee"];
const GROUPS: [&str; 2] = ["crew", "band"];

/// The walk of a seed.
pub fn walk(seed: u64) -> Case {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = random.usize(4..16);
    let (etag, mute) = (random.bool(), random.u32(0..4) == 0);
    let mut steps = vec![(Step::User("ada", json!({})), pause(&mut random))];
    for _ in 0..length {
        let mut step = step(&mut random);
        if mute && matches!(step, Step::DropUser(_) | Step::DropGroup(_)) {
            // What it leaves behind is nobody's to take over, and in the way of who comes after it.
            step = Step::Nothing;
        }
        if !etag && matches!(step, Step::Intrude(_)) {
            // Where no version counts, a change within a millisecond of the last one is not to be seen,
            // and in here all is within one.
            step = Step::Nothing;
        }
        steps.push((step, pause(&mut random)));
    }
    // Whatever waits for a person is put right in the end; and one stays, so that it is not always empty.
    for who in PEOPLE {
        let right = json!({"suspend": null, "preferredLanguage": "en-GB"});
        steps.push((Step::EditUser(who, right), Duration::ZERO));
    }
    steps.push((
        Step::User("ada", json!({"office": "Oslo"})),
        Duration::from_secs(15),
    ));
    let odds = random.choice([0, 20, 60, 150]).unwrap_or_default();
    Case {
        steps,
        guard: 100,
        etag,
        mute,
        // Not drawn, so that all else of a seed stays what it was.
        bulk: seed.is_multiple_of(3),
        faults: Faults {
            named: Vec::new(),
            odds,
            seed,
        },
    }
}

/// None, or a little, so that one thing comes upon another; or until all is quiet.
fn pause(random: &mut fastrand::Rng) -> Duration {
    let milliseconds = [0, 0, 3, 20, 60, 300, 1_500, 4_000, 15_000, 40_000];
    Duration::from_millis(random.choice(milliseconds).unwrap_or_default())
}

fn step(random: &mut fastrand::Rng) -> Step {
    let who = PEOPLE[random.usize(..PEOPLE.len())];
    let group = GROUPS[random.usize(..GROUPS.len())];
    let some = |random: &mut fastrand::Rng| {
        let mut some = PEOPLE.to_vec();
        some.retain(|_| random.bool());
        some
    };
    match random.u32(0..35) {
        0..=4 => Step::User(who, json!({"office": "Leeds"})),
        5 | 6 => Step::EditUser(who, json!({"office": random.choice(["Leeds", "Oslo"])})),
        7 => Step::EditUser(
            who,
            json!({"office": null, "grade": random.choice(["7", "8"])}),
        ),
        8 | 9 => {
            let name = random.choice(["", ".new"]).unwrap_or_default();
            Step::EditUser(who, json!({"userName": format!("{who}{name}@example.com")}))
        }
        10 => Step::EditUser(who, json!({"active": false})),
        11 => Step::EditUser(who, json!({"active": true})),
        12 | 13 => Step::DropUser(who),
        14 | 15 => Step::Group(group, some(random)),
        16 | 17 => Step::Members(group, some(random)),
        18 => Step::DropGroup(group),
        19 => Step::Rotate(random.choice(["token-a", "token-b"]).unwrap_or_default()),
        20 | 21 => Step::Drift(
            who,
            json!({"name": {"givenName": "else", "familyName": "where"}}),
        ),
        22 => Step::Drift(who, json!({"active": random.bool()})),
        23 => Step::Vanish(who),
        24 | 25 => {
            let chief = PEOPLE[random.usize(..PEOPLE.len())];
            Step::EditUser(
                who,
                json!({"enterprise": {"manager": {"userRef": {"name": chief}}}}),
            )
        }
        26 => Step::EditUser(who, json!({"enterprise": null})),
        27 => Step::EditUser(who, json!({"suspend": true})),
        28 | 29 => Step::EditUser(who, json!({"suspend": null})),
        30 => Step::EditUser(who, json!({"preferredLanguage": "no language"})),
        31 | 32 => Step::EditUser(who, json!({"preferredLanguage": "en-GB"})),
        33 => Step::EditUser(
            who,
            json!({"deletionPolicy": random.choice(["Delete", "Archive"])}),
        ),
        _ => Step::Intrude(group),
    }
}
