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
#[path = "explorer/cases.rs"]
mod cases;
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
#[path = "explorer/stories.rs"]
mod stories;
#[path = "explorer/story.rs"]
mod story;
#[path = "explorer/walk.rs"]
mod walk;
#[path = "explorer/world.rs"]
mod world;

use std::time::Duration;

use faults::Fault;
use rig::{Case, Run, all_faults, chosen, explore, run, setting};
use walk::walk;

/// Without faults everything is right, and what it ends with is what every other run has to end with.
fn undisturbed(case: &Case) -> Run {
    let run = run(case);
    assert!(run.wrong.is_empty(), "{run}");
    assert!(run.struck.is_empty());
    run
}

fn within(usual: u64) -> Duration {
    Duration::from_secs(setting("EXPLORER_SECONDS").unwrap_or(usual))
}

/// All stories, each with how it ends undisturbed and with the faults that it can meet.
fn told() -> Vec<(&'static str, Case, Run, Vec<Fault>)> {
    let stories = stories::all().into_iter();
    let told = stories
        .filter(|(name, _)| chosen(name))
        .map(|(name, case)| {
            let run = undisturbed(&case);
            let faults = all_faults(&run);
            (name, case, run, faults)
        });
    told.collect()
}

/// What the others ask of Bulk is asked of nothing where nobody goes by it.
#[test]
fn those_who_come_together_go_by_bulk() {
    for (name, case) in stories::all() {
        let run = undisturbed(&case);
        let by_bulk = run.trace.iter().any(|p| p.what.contains("POST Bulk"));
        assert_eq!(by_bulk, case.bulk, "{name}");
    }
}

/// All of them where there is time, else a sample, which is another one with another first seed.
#[test]
fn every_single_fault_ends_as_if_there_had_been_none() {
    let told = told();
    let mut all: Vec<(usize, usize)> = (0..told.len())
        .flat_map(|story| (0..told[story].3.len()).map(move |fault| (story, fault)))
        .collect();
    fastrand::Rng::with_seed(first_seed()).shuffle(&mut all);
    let one = |index: usize| {
        let (story, fault) = all[index];
        let (name, case, undisturbed, faults) = &told[story];
        let case = case.with(vec![faults[fault].clone()]);
        (
            format!("{name}: {}", faults[fault]),
            case,
            Some(undisturbed),
        )
    };
    explore("one fault", all.len(), within(20), one).assert();
}

/// The same of every two.
#[test]
fn every_pair_of_faults_ends_as_if_there_had_been_none() {
    let told = told();
    let mut pairs = Vec::new();
    for (story, (_, _, _, faults)) in told.iter().enumerate() {
        for one in 0..faults.len() {
            let others =
                (one + 1..faults.len()).filter(|other| faults[one].at != faults[*other].at);
            pairs.extend(others.map(|other| (story, one, other)));
        }
    }
    fastrand::Rng::with_seed(first_seed()).shuffle(&mut pairs);
    let pair = |index: usize| {
        let (story, one, other) = pairs[index];
        let (name, case, undisturbed, faults) = &told[story];
        let pair = vec![faults[one].clone(), faults[other].clone()];
        let label = format!("{name}: {} and {}", pair[0], pair[1]);
        (label, case.with(pair), Some(undisturbed))
    };
    explore("two faults", pairs.len(), within(20), pair).assert();
}

/// The same stories with everything at another pace each time: requests, answers and events come in
/// another order.
#[test]
fn any_order_of_events_ends_the_same() {
    let told = told();
    let order = |index: usize| {
        let (name, case, undisturbed, _) = &told[index % told.len()];
        let mut case = case.clone();
        case.faults.seed = first_seed() + (index / told.len()) as u64;
        (
            format!("{name}: pace {}", case.faults.seed),
            case,
            Some(undisturbed),
        )
    };
    explore("orders", usize::MAX, within(5), order).assert();
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
    let walks = |index: usize| {
        let seed = first_seed() + index as u64;
        (format!("EXPLORER_SEED={seed}"), walk(seed), None)
    };
    explore("walks", usize::MAX, within(15), walks).assert();
}

/// What is drawn is another sample with another one.
fn first_seed() -> u64 {
    setting("EXPLORER_FIRST_SEED").unwrap_or(1)
}
