//! The controllers, whole and real, in a world in memory: an API server and a backend on virtual time,
//! where whatever can go wrong does, one thing and two things at a time, in any order.
//!
//! The stories run against a real API server; nothing here stands in for that. This one asks what those
//! cannot: what becomes of *every pair* of faults, since each run takes milliseconds. A run is named by
//! its seed, or by its faults; a failing one prints both and becomes a case below.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "explorer/api.rs"]
mod api;
#[path = "explorer/backend.rs"]
mod backend;
#[path = "explorer/cluster.rs"]
mod cluster;
#[path = "explorer/faults.rs"]
mod faults;
#[path = "explorer/life.rs"]
mod life;
#[path = "explorer/oracles.rs"]
mod oracles;
#[path = "explorer/rig.rs"]
mod rig;
#[path = "explorer/story.rs"]
mod story;
#[path = "explorer/walk.rs"]
mod walk;
#[path = "explorer/world.rs"]
mod world;

use std::time::Duration;

use serde_json::json;

use faults::Fault;
use rig::{Case, Run, all_faults, explore, run, setting};
use story::Step;
use walk::walk;

/// One person and one group, through all that becomes of them.
fn short_story() -> Case {
    let quiet = Duration::from_secs(15);
    let steps = [
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
    ];
    Case::new(steps.map(|step| (step, quiet)).into())
}

/// Without faults everything is right, and what it ends with is what every other run has to end with.
fn undisturbed(case: &Case) -> Run {
    let run = run(case);
    assert!(run.wrong.is_empty(), "{run}");
    assert!(run.struck.is_empty());
    run
}

fn same_end(undisturbed: &Run) -> impl Fn(&Run) -> Vec<String> {
    let image = undisturbed.image.clone();
    move |run| {
        if run.image == image {
            return Vec::new();
        }
        vec![format!(
            "it ended otherwise: {:#}\n  and not: {image:#}",
            run.image
        )]
    }
}

fn within(usual: u64) -> Duration {
    Duration::from_secs(setting("EXPLORER_SECONDS").unwrap_or(usual))
}

#[test]
fn every_single_fault_ends_as_if_there_had_been_none() {
    let case = short_story();
    let undisturbed = undisturbed(&case);
    let faults = all_faults(&undisturbed);
    let one = |index: usize| {
        let fault: &Fault = &faults[index];
        (fault.to_string(), case.with(vec![fault.clone()]))
    };
    explore(
        "one fault",
        faults.len(),
        within(600),
        one,
        same_end(&undisturbed),
    )
    .assert();
}

/// All pairs where there is time, else a sample that is another one with another seed.
#[test]
fn every_pair_of_faults_ends_as_if_there_had_been_none() {
    let case = short_story();
    let undisturbed = undisturbed(&case);
    let faults = all_faults(&undisturbed);
    let mut pairs: Vec<(usize, usize)> = (0..faults.len())
        .flat_map(|one| (one + 1..faults.len()).map(move |other| (one, other)))
        .filter(|(one, other)| faults[*one].at != faults[*other].at)
        .collect();
    fastrand::Rng::with_seed(seed()).shuffle(&mut pairs);
    let pair = |index: usize| {
        let (one, other) = pairs[index];
        let pair = vec![faults[one].clone(), faults[other].clone()];
        (format!("{} and {}", pair[0], pair[1]), case.with(pair))
    };
    explore(
        "two faults",
        pairs.len(),
        within(15),
        pair,
        same_end(&undisturbed),
    )
    .assert();
}

/// The same story with everything at another pace each time: requests, answers and events come in
/// another order.
#[test]
fn any_order_of_events_ends_the_same() {
    let case = short_story();
    let undisturbed = undisturbed(&case);
    let order = |index: usize| {
        let mut case = case.clone();
        case.faults.seed = seed() + index as u64 + 1;
        (format!("seed {}", case.faults.seed), case)
    };
    explore(
        "orders",
        10_000_000,
        within(5),
        order,
        same_end(&undisturbed),
    )
    .assert();
}

/// Random people and groups, random edits at random moments, random faults. `EXPLORER_SEED` repeats one.
#[test]
fn random_walks_end_as_declared() {
    if let Some(seed) = setting("EXPLORER_SEED") {
        let case = walk(seed);
        let run = run(&case);
        println!("{:#?}\n{run}", case.steps);
        assert!(run.wrong.is_empty(), "seed {seed} failed");
        return;
    }
    let first = setting("EXPLORER_FIRST_SEED").unwrap_or(1);
    let walks = |index: usize| {
        let seed = first + index as u64;
        (format!("EXPLORER_SEED={seed}"), walk(seed))
    };
    explore("walks", 10_000_000, within(15), walks, |_| Vec::new()).assert();
}

fn seed() -> u64 {
    setting("EXPLORER_FIRST_SEED").unwrap_or(1)
}
