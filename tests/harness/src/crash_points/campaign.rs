//! Every run of the scenarios that are wanted: first nothing is killed, twice, which says how many
//! requests there are and what the end is; then the operator is killed at each of them, in each mode.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;

use super::{
    journal::Mode,
    lane::Lane,
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
    each(lanes, &wanted, async |lane, index, scenario| {
        let reference = reference(lane, scenario).await?;
        println!("{}: {} requests", scenario.name, reference.writes.len());
        *slots[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(reference);
        Ok(())
    })
    .await?;
    let references: Vec<Reference> = slots
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();
    let mut points = Vec::new();
    for (scenario, reference) in references.iter().enumerate() {
        for (index, write) in reference.writes.iter().enumerate() {
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
        let mut requests: Vec<usize> = points
            .iter()
            .filter(|point| point.scenario == index)
            .map(|point| point.request)
            .collect();
        requests.dedup();
        Row::new(scenario.name, reference.writes.len(), requests.len())
    });
    let report = Mutex::new(Report::new(selection.requests.name(), rows.collect()));
    let done = AtomicUsize::new(0);
    each(lanes, &points, async |lane, _, point| {
        let scenario = wanted[point.scenario];
        let order = Some((point.request, point.mode));
        let end = Some(&references[point.scenario].end);
        let outcome = run(lane, scenario, order, end)
            .await
            .with_context(|| format!("{}:{}", scenario.name, point.request))?;
        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
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
    let Outcome {
        struck,
        requests: _,
        shapes: _,
        end: _,
        violations,
        duplicates,
        foreign_writes,
        late_writes,
        log,
    } = outcome;
    let at = format!("{}:{}:{}", scenario.name, point.request, point.mode.name());
    let row = &mut report.rows[point.scenario];
    row.runs += 1;
    row.duplicates += duplicates;
    row.foreign_writes += foreign_writes;
    row.late_writes += late_writes;
    if struck.is_none() {
        row.not_reached += 1;
        println!("not reached: {at}");
    }
    if violations.is_empty() {
        // What was never reached shows nothing, though it ended well.
        row.converged += usize::from(struck.is_some());
        return;
    }
    row.failed += 1;
    for violation in &violations {
        let failure = Failure {
            point: at.clone(),
            request: struck.clone().unwrap_or_default(),
            oracle: violation.oracle.to_owned(),
            what: violation.what.clone(),
        };
        println!("{failure}");
        report.failures.push(failure);
    }
    if let Some(log) = log {
        report.keep_log(&at, &log);
    }
}

/// Twice, since what differs between two runs without a crash says nothing about one with a crash.
async fn reference(lane: &Lane, scenario: &Scenario) -> Result<Reference> {
    let first = fault_free(lane, scenario, None).await?;
    let second = fault_free(lane, scenario, Some(&first.end)).await?;
    let longer = if second.requests > first.requests {
        &second
    } else {
        &first
    };
    Ok(Reference {
        writes: longer.shapes.iter().map(|(_, write)| *write).collect(),
        end: first.end,
    })
}

async fn fault_free(
    lane: &Lane,
    scenario: &Scenario,
    expected: Option<&EndState>,
) -> Result<Outcome> {
    let outcome = run(lane, scenario, None, expected).await?;
    if outcome.violations.is_empty() {
        return Ok(outcome);
    }
    let found: Vec<String> = outcome
        .violations
        .iter()
        .map(|violation| format!("{}: {}", violation.oracle, violation.what))
        .collect();
    bail!(
        "{} fails though nothing is killed:\n{}\n{}",
        scenario.name,
        found.join("\n"),
        outcome.log.unwrap_or_default()
    )
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
