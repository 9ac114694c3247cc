//! Runs: one, or very many over all cores, with counts, and failures that say how to see them again.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use scim_sim::BulkLimits;
use serde_json::Value;

use super::faults::{Fault, Faults, Point, modes};
use super::life::{self, live};
use super::oracles::{image, in_the_end};
use super::story::{Step, Story};
use super::world::World;

/// A run that can be done again.
#[derive(Clone, Debug)]
pub struct Case {
    pub steps: Vec<(Step, Duration)>,
    pub guard: u32,
    /// The backend counts versions.
    pub etag: bool,
    /// The backend never returns the mark.
    pub mute: bool,
    /// The backend offers Bulk, and takes one request at a time, so that others wait.
    pub bulk: bool,
    pub faults: Faults,
}

impl Case {
    pub fn new(steps: Vec<(Step, Duration)>) -> Self {
        Self {
            steps,
            guard: 100,
            etag: false,
            mute: false,
            bulk: false,
            faults: Faults::default(),
        }
    }

    pub fn with(&self, named: Vec<Fault>) -> Self {
        let mut case = self.clone();
        case.faults.named = named;
        case
    }
}

/// What a run came to.
pub struct Run {
    pub trace: Vec<Point>,
    /// How much of the trace there was when all had to be at rest.
    pub rested: usize,
    pub struck: Vec<Fault>,
    pub image: Value,
    pub wrong: Vec<String>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  struck:")?;
        for fault in &self.struck {
            writeln!(f, "    {fault}")?;
        }
        writeln!(f, "  wrong:")?;
        self.wrong
            .iter()
            .try_for_each(|wrong| writeln!(f, "    {wrong}"))
    }
}

/// Runs a case to its end and judges it.
pub fn run(case: &Case) -> Run {
    static COUNTED: OnceLock<()> = OnceLock::new();
    COUNTED.get_or_init(life::count_panics);
    let world = World::new(case.faults.clone());
    let (dialect, faults) = (world.sim.dialect(), world.sim.faults());
    dialect.update(|dialect| {
        dialect.etag = case.etag;
        dialect.bulk = case.bulk.then(BulkLimits::default);
    });
    faults.update(|faults| faults.external_id_not_echoed = case.mute);
    let mut story = Story::new(case.steps.clone(), case.guard);
    let panics = live(&world, &mut story, case.faults.seed);
    let mut wrong: Vec<String> = world.notes().wrong.iter().cloned().collect();
    wrong.extend(in_the_end(&world));
    let (gone, allowed) = {
        let notes = world.notes();
        (notes.deprovisioned, notes.allowed)
    };
    if gone > allowed {
        wrong.push(format!("the guard let {gone} go, not {allowed}"));
    }
    if panics > 0 {
        wrong.push(format!("{panics} tasks panicked"));
    }
    let mut fate = world.fate();
    Run {
        trace: std::mem::take(&mut fate.trace),
        rested: fate.rested,
        struck: std::mem::take(&mut fate.struck),
        image: image(&world),
        wrong,
    }
}

/// Every single fault that a run can meet before all has to be at rest, but for the watches that begin
/// again every few minutes, which are all alike.
pub fn all_faults(undisturbed: &Run) -> Vec<Fault> {
    let met: BTreeSet<&Point> = undisturbed.trace[..undisturbed.rested].iter().collect();
    let worthy = met
        .into_iter()
        .filter(|point| !point.what.starts_with("k8s WATCH") || point.nth == 0);
    let faults = worthy.flat_map(|at| {
        modes(&at.what).iter().map(|mode| Fault {
            at: at.clone(),
            mode: *mode,
        })
    });
    faults.collect()
}

/// How many runs there were, and how many places they went by.
#[derive(Debug, Default)]
pub struct Count {
    pub runs: usize,
    pub steps: usize,
    pub struck: usize,
    /// Runs with nothing wrong but what `cases::an_attribute_is_left_by_a_crash_before_its_status` tells.
    pub known: usize,
    pub failed: Vec<String>,
}

/// Whether nothing is wrong but that an attribute was left, which is known and to be mended: it was
/// written, the pass was cut before status told, and the spec dropped it before the next one.
fn is_known(run: &Run) -> bool {
    let left = |wrong: &String| wrong.contains("office is Some(String(\"Leeds\")), not None");
    let ended = |wrong: &String| wrong.starts_with("it ended as");
    run.wrong.iter().any(left) && run.wrong.iter().all(|wrong| left(wrong) || ended(wrong))
}

/// Runs cases on all cores until there are none or the time is over. One that is given an undisturbed
/// run has to end as that did.
pub fn explore<'a>(
    name: &str,
    cases: usize,
    within: Duration,
    case: impl Fn(usize) -> (String, Case, Option<&'a Run>) + Sync,
) -> Count {
    let (next, count) = (AtomicUsize::new(0), Mutex::new(Count::default()));
    let begun = Instant::now();
    let work = || {
        while begun.elapsed() < within {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= cases {
                break;
            }
            let (label, case, undisturbed) = case(index);
            let ran = catch_unwind(AssertUnwindSafe(|| run(&case)));
            let Ok(mut run) = ran else {
                count
                    .lock()
                    .unwrap()
                    .failed
                    .push(format!("{label}: panicked"));
                continue;
            };
            if let Some(end) = undisturbed.map(|undisturbed| &undisturbed.image)
                && *end != run.image
            {
                let now = &run.image;
                run.wrong
                    .push(format!("it ended as {now:#}\n  and not as {end:#}"));
            }
            let mut count = count.lock().unwrap();
            count.runs += 1;
            count.steps += run.trace.len();
            count.struck += run.struck.len();
            if is_known(&run) {
                count.known += 1;
            } else if !run.wrong.is_empty() {
                count.failed.push(format!("{label}\n{run}"));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let count = count.into_inner().unwrap();
    let of = if cases == usize::MAX {
        String::new()
    } else {
        format!(" of {cases}")
    };
    // Not by println: the figures are wanted of a test that passes, too.
    let figures = format!(
        "{name}: {}{of} runs, {} requests and events, {} faults, {} wrong, {} known, {:?}",
        count.runs,
        count.steps,
        count.struck,
        count.failed.len(),
        count.known,
        begun.elapsed(),
    );
    let mut out = std::io::stdout();
    out.write_all(format!("{figures}\n").as_bytes()).unwrap();
    count
}

impl Count {
    /// Fails the test where a run failed, and shows the first few.
    pub fn assert(self) {
        let shown: Vec<&str> = self
            .failed
            .iter()
            .take(setting("EXPLORER_SHOWN").unwrap_or(10) as usize)
            .map(String::as_str)
            .collect();
        assert!(
            shown.is_empty(),
            "{} runs failed:\n{}",
            self.failed.len(),
            shown.join("\n")
        );
    }
}

/// Whether a story is told: all are, or those with the word of `EXPLORER_STORY` in their names.
pub fn chosen(name: &str) -> bool {
    std::env::var("EXPLORER_STORY").map_or(true, |word| name.contains(&word))
}

/// A number from the environment.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
