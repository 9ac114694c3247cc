//! Every run of the scenarios that are wanted: first nothing is killed, twice, which says how many
//! requests there are and what the end is; then the operator is killed at each of them, in each mode.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;

use super::{
    journal::Mode,
    lane::Lane,
    oracles::Violation,
    report::{Failure, Report, Row},
    run::{Outcome, run},
    scenario::Scenario,
    selection::Selection,
    state::EndState,
};

/// One run to come.
#[derive(Clone, Copy, Debug)]
struct Point {
    scenario: usize,
    request: usize,
    mode: Mode,
}

/// What a scenario comes to while nothing is killed.
struct Reference {
    end: EndState,
    /// Whether each request is a write.
    writes: Vec<bool>,
}

/// Runs them, on as many lanes as there are, and tells of each failure as it is found.
///
/// # Errors
/// When the rig fails, or a scenario without a crash does.
pub async fn campaign(
    lanes: &[Lane],
    scenarios: &[Scenario],
    selection: &Selection,
) -> Result<Report> {
    let started = Instant::now();
    let wanted: Vec<&Scenario> = scenarios
        .iter()
        .filter(|scenario| selection.wants(scenario.name))
        .collect();
    if wanted.is_empty() {
        let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
        bail!("no scenario is called so; there are {}", names.join(", "));
    }
    let slots: Vec<Mutex<Option<Reference>>> = wanted.iter().map(|_| Mutex::default()).collect();
    let report = Mutex::new(Report::new(selection.requests.name()));
    each(lanes, &wanted, async |lane, index, scenario| {
        match reference(lane, scenario).await? {
            Ok(reference) => {
                println!("{}: {} requests", scenario.name, reference.writes.len());
                *lock(&slots[index]) = Some(reference);
            }
            Err(outcome) => fails(&mut lock(&report), scenario.name.to_owned(), outcome),
        }
        Ok(())
    })
    .await?;
    let references: Vec<Option<Reference>> = slots.iter().map(|slot| lock(slot).take()).collect();
    let mut points = Vec::new();
    for (scenario, reference) in references.iter().enumerate() {
        let writes = reference.as_ref().map(|reference| &*reference.writes);
        for (index, write) in writes.unwrap_or_default().iter().enumerate() {
            let name = wanted[scenario].name;
            let request = index + 1;
            let modes = Mode::ALL.into_iter();
            let modes = modes.filter(|mode| selection.takes(name, request, *mode, *write));
            points.extend(modes.map(|mode| Point {
                scenario,
                request,
                mode,
            }));
        }
    }
    let points = selection.part(points);
    println!("{} runs on {} lanes", points.len(), lanes.len());
    let rows = wanted.iter().zip(&references).enumerate();
    let rows = rows.map(|(index, (scenario, reference))| {
        let all = reference
            .as_ref()
            .map_or(0, |reference| reference.writes.len());
        let mut requests: Vec<usize> = points
            .iter()
            .filter(|point| point.scenario == index)
            .map(|point| point.request)
            .collect();
        requests.dedup();
        Row::new(scenario.name, all, requests.len())
    });
    lock(&report).rows = rows.collect();
    let done = AtomicUsize::new(0);
    each(lanes, &points, async |lane, _, point| {
        let scenario = wanted[point.scenario];
        let order = Some((point.request, point.mode));
        let end = references[point.scenario]
            .as_ref()
            .map(|reference| &reference.end);
        let outcome = run(lane, scenario, order, end)
            .await
            .with_context(|| format!("{}:{}", scenario.name, point.request))?;
        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
        let mut report = lock(&report);
        note(&mut report, *point, scenario, outcome);
        if done.is_multiple_of(50) {
            println!("{done} of {} after {:?}", points.len(), started.elapsed());
        }
        Ok(())
    })
    .await?;
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.seconds = started.elapsed().as_secs();
    Ok(report)
}

fn note(report: &mut Report, point: Point, scenario: &Scenario, outcome: Outcome) {
    let at = format!("{}:{}:{}", scenario.name, point.request, point.mode.name());
    let row = &mut report.rows[point.scenario];
    row.runs += 1;
    row.duplicates += outcome.duplicates;
    row.foreign_writes += outcome.foreign_writes;
    row.late_writes += outcome.late_writes;
    if outcome.struck.is_none() {
        row.not_reached += 1;
        println!("not reached: {at}");
    }
    if outcome.violations.is_empty() {
        // What was never reached shows nothing, though it ended well.
        row.converged += usize::from(outcome.struck.is_some());
    } else {
        row.failed += 1;
        fails(report, at, outcome);
    }
}

fn fails(report: &mut Report, point: String, outcome: Outcome) {
    for Violation { oracle, what } in outcome.violations {
        let failure = Failure {
            point: point.clone(),
            request: outcome
                .struck
                .clone()
                .unwrap_or_else(|| "nothing killed".into()),
            oracle: oracle.to_owned(),
            what,
        };
        println!("{failure}");
        report.failures.push(failure);
    }
    if let Some(log) = outcome.log {
        report.keep_log(&point, &log);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Twice, since what differs between two runs without a crash says nothing about one with a crash.
///
/// What goes wrong without a crash is given as an outcome: there is nothing to compare with then.
async fn reference(lane: &Lane, scenario: &Scenario) -> Result<Result<Reference, Outcome>> {
    let first = run(lane, scenario, None, None).await?;
    if !first.violations.is_empty() {
        return Ok(Err(first));
    }
    let second = run(lane, scenario, None, Some(&first.end)).await?;
    if !second.violations.is_empty() {
        return Ok(Err(second));
    }
    let longer = if second.requests > first.requests {
        &second
    } else {
        &first
    };
    Ok(Ok(Reference {
        writes: longer.shapes.iter().map(|(_, write)| *write).collect(),
        end: first.end,
    }))
}

/// Hands out the jobs to the lanes, one at a time to each.
async fn each<T>(
    lanes: &[Lane],
    jobs: &[T],
    work: impl AsyncFn(&Lane, usize, &T) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    try_join_all(lanes.iter().map(async |lane| {
        loop {
            let index = next.fetch_add(1, Ordering::SeqCst);
            let Some(job) = jobs.get(index) else {
                return anyhow::Ok(());
            };
            work(lane, index, job).await?;
        }
    }))
    .await?;
    Ok(())
}
