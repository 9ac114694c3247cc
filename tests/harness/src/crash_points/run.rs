//! One run: the story is played to its end, whatever is killed meanwhile, and what came of it is judged.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use kube::api::DynamicObject;
use serde_json::Value;

use super::{
    journal::Mode,
    lane::Lane,
    oracles::{self, Violation},
    scenario::{CONNECTION, GROUP, Scenario, USER},
    stage::{PATIENCE, Stage},
    state::EndState,
};
use crate::wait;

/// How long the end may take to be what it is without a crash.
const CONVERGES_WITHIN: Duration = Duration::from_secs(20);
/// Statuses of its connection that an operator may write for a sync: when it listed, and that it did.
const OF_A_SYNC: usize = 1;
/// The same after a start, which is a listing nobody asked for.
const OF_A_START: usize = 1;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// At which request the operator was killed, if it was.
    pub struck: Option<String>,
    /// How many requests there were until it was at rest.
    pub requests: usize,
    /// The shapes of these requests, in order.
    pub shapes: Vec<(String, bool)>,
    /// The end.
    pub end: EndState,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Remote objects too many.
    pub duplicates: usize,
    /// Writes to what is a stranger's, and strangers that are not what they were.
    pub foreign_writes: usize,
    /// Writes when there was nothing to do.
    pub late_writes: usize,
    /// The end of what the operator logged, where something must not be.
    pub log: Option<String>,
}

/// Plays a scenario, with the operator killed at one request or at none, and judges it.
///
/// # Errors
/// When the rig itself fails. What the operator does wrong is a violation.
pub async fn run(
    lane: &Lane,
    scenario: &Scenario,
    order: Option<(usize, Mode)>,
    expected: Option<&EndState>,
) -> Result<Outcome> {
    let stage = Stage::set(lane, scenario, order).await?;
    let mut violations = Vec::new();
    let played = async {
        stage.play().await?;
        stage.settles().await
    };
    if let Err(error) = played.await {
        violations.push(Violation::new("every step ends", format!("{error:#}")));
    }
    let end = stage.end(expected, &mut violations).await?;
    let requests = stage.journal.count();
    stage.journal.disarm();
    let late_writes = if violations.is_empty() {
        let strict = expected.is_none();
        stage.observe(&end, strict, &mut violations).await?
    } else {
        // What did not come to rest is not silent either, and that is not the news.
        0
    };
    stage.victim.kill();
    let asked = stage.journal.since(0);
    let (accounts, groups) = stage.ours();
    let (found, duplicates) =
        oracles::one_each(&accounts, &groups, &stage.declared_last(), scenario);
    violations.extend(found);
    let changed = stage.strangers.changed(&stage.simulator).len();
    let named = oracles::writes_to_strangers(&asked, |id| stage.strangers.have(id));
    if changed + named > 0 {
        let what = format!("{changed} strangers changed, {named} writes named one");
        violations.push(Violation::new(oracles::STRANGERS, what));
    }
    violations.extend(oracles::ready_is_true(&asked, &stage.declared()));
    let events = lane.events().list(&Default::default()).await?.items;
    let events: Vec<String> = events.iter().map(as_text).collect::<Result<_>>()?;
    let logs = stage.victim.logs();
    violations.extend(oracles::private(&logs, &events, &asked));
    if let Some(fault) = stage.victim.fault() {
        violations.push(Violation::new("it runs", fault));
    }
    let kept = asked.iter().take(requests);
    Ok(Outcome {
        struck: stage.journal.struck(),
        requests,
        shapes: kept.map(|a| (a.shape(), a.is_write())).collect(),
        end,
        duplicates,
        foreign_writes: changed.max(named),
        late_writes,
        log: (!violations.is_empty()).then(|| logs.join("\n--- killed; started again ---\n")),
        violations,
    })
}

fn as_text(object: &DynamicObject) -> Result<String> {
    Ok(serde_json::to_string(object)?)
}

impl Stage<'_> {
    /// The accounts and groups that are no stranger's.
    fn ours(&self) -> (Vec<Value>, Vec<Value>) {
        let ours = |all: Vec<Value>| -> Vec<Value> {
            all.into_iter()
                .filter(|one| !one["id"].as_str().is_some_and(|id| self.strangers.have(id)))
                .collect()
        };
        (ours(self.simulator.users()), ours(self.simulator.groups()))
    }

    async fn state(&self) -> Result<EndState> {
        let mut objects = BTreeMap::new();
        for kind in [USER, GROUP, CONNECTION] {
            objects.insert(kind, self.objects(kind).await?);
        }
        let (accounts, groups) = self.ours();
        Ok(EndState::new(&accounts, &groups, &objects))
    }

    /// The end, once it is the expected one; or what it is instead.
    async fn end(
        &self,
        expected: Option<&EndState>,
        violations: &mut Vec<Violation>,
    ) -> Result<EndState> {
        let Some(expected) = expected else {
            return self.state().await;
        };
        // A run that hangs in a step will not end well either, and need not be waited for.
        let patience = match violations.is_empty() {
            true => CONVERGES_WITHIN,
            false => Duration::from_millis(100),
        };
        let same = wait::eventually("the end", patience, async || {
            let state = self.state().await?;
            Ok(state.is_like(expected).then_some(state))
        });
        match same.await {
            Ok(state) => Ok(state),
            Err(_) => {
                let state = self.state().await?;
                let found = expected.differences(&state).into_iter();
                violations.extend(found.map(|what| Violation::new(oracles::SAME_END, what)));
                Ok(state)
            }
        }
    }

    /// Looks on while there is nothing to do: through a sync, a stop in order, and a start. Where nothing
    /// was killed, nothing is learned any more either.
    async fn observe(
        &self,
        end: &EndState,
        strict: bool,
        violations: &mut Vec<Violation>,
    ) -> Result<usize> {
        let mut late = 0;
        let mut judge = |asked: &[super::journal::Asked], allowed, when| {
            let (found, count) = oracles::silent(asked, allowed, when);
            late += count;
            found
        };
        self.journal.rests(Duration::ZERO, PATIENCE).await?;
        let mark = self.journal.count();
        let watched = async {
            self.sync("looking-on").await?;
            self.victim.terminate(PATIENCE).await
        };
        if let Err(error) = watched.await {
            violations.push(Violation::new("a sync is answered", format!("{error:#}")));
        }
        violations.extend(judge(&self.journal.since(mark), OF_A_SYNC, "a sync"));
        let mark = self.journal.count();
        self.victim.start()?;
        if let Err(error) = self.settles().await {
            violations.push(Violation::new("a start settles", format!("{error:#}")));
        }
        violations.extend(judge(&self.journal.since(mark), OF_A_START, "a start"));
        let now = self.state().await?;
        let mut found = end.differences(&now);
        if strict {
            found.extend(end.lessons(&now));
        }
        let found = found
            .iter()
            .map(|what| format!("it did not stay so: {what}"));
        violations.extend(found.map(|what| Violation::new(oracles::SAME_END, what)));
        Ok(late)
    }
}
