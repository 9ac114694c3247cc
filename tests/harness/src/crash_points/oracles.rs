//! What has to hold after every run, whatever was killed when. The final state is compared elsewhere,
//! with that of the run in which nothing was killed.

use serde_json::Value;

use super::{
    journal::{Asked, Side},
    scenario::{CANARY, CONNECTION, GROUP, SCIM, Scenario, USER},
    stage::{Declared, plural},
    state::changes,
};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub oracle: &'static str,
    /// What was found, without personal values.
    pub what: String,
}

impl Violation {
    /// A rule that is broken.
    pub fn new(oracle: &'static str, what: impl Into<String>) -> Violation {
        Violation {
            oracle,
            what: what.into(),
        }
    }
}

/// One of each.
pub const ONE_EACH: &str = "one remote object each";
/// Strangers.
pub const STRANGERS: &str = "strangers untouched";
/// The end.
pub const SAME_END: &str = "same end";
/// Silence.
pub const SILENT: &str = "silent at rest";
/// Truth.
pub const READY_IS_TRUE: &str = "Ready only when so";
/// Privacy.
pub const PRIVATE: &str = "nothing personal told";

/// What one resource is to have at the backend.
struct Wanted<'a> {
    declared: &'a Declared,
    /// Among the accounts, or among the groups.
    pool: &'a [Value],
    by: &'static str,
    /// How many there are to be.
    count: usize,
    archived: bool,
}

/// Each declared resource has one remote object, each deleted one what its policy says, and nothing else
/// is there. Gives the number of objects too many as well.
pub fn one_each(
    accounts: &[Value],
    groups: &[Value],
    declared: &[Declared],
    scenario: &Scenario,
) -> (Vec<Violation>, usize) {
    let (mut found, mut surplus) = (Vec::new(), 0);
    let mut explained = 0;
    for declared in declared {
        let user = declared.kind == USER;
        let policy = declared.spec["deletionPolicy"].as_str();
        // A user's default is the connection's, which no scenario changes; a group is deleted if it is ours.
        let archived = user && policy.is_none_or(|policy| policy == "Archive");
        let kept = archived || scenario.retained.contains(&declared.name);
        let wanted = Wanted {
            declared,
            pool: if user { accounts } else { groups },
            by: if user { "userName" } else { "displayName" },
            count: match declared.deleted {
                false => usize::from(!scenario.nowhere.contains(&declared.name)),
                true => usize::from(kept),
            },
            archived: declared.deleted && archived,
        };
        let those = wanted.those();
        explained += those.len();
        surplus += those.len().saturating_sub(wanted.count);
        let Declared { kind, name, .. } = declared;
        if those.len() != wanted.count {
            let what = format!(
                "{kind} {name} has {} instead of {}",
                those.len(),
                wanted.count
            );
            found.push(Violation::new(ONE_EACH, what));
        }
        if wanted.archived && those.iter().any(|one| one["active"] != false) {
            let what = format!("{kind} {name} is deleted and its account is active");
            found.push(Violation::new(ONE_EACH, what));
        }
    }
    let there = accounts.len() + groups.len();
    if there > explained {
        surplus += there - explained;
        let what = format!("{} remote objects that nobody declared", there - explained);
        found.push(Violation::new(ONE_EACH, what));
    }
    (found, surplus)
}

impl Wanted<'_> {
    fn those(&self) -> Vec<&Value> {
        let name = self.declared.spec[self.by].as_str().unwrap_or_default();
        let called = |one: &&Value| {
            let its = one[self.by].as_str().unwrap_or_default();
            its.eq_ignore_ascii_case(name)
        };
        self.pool.iter().filter(called).collect()
    }
}

/// Writes that name a stranger.
pub fn writes_to_strangers(asked: &[Asked], is_one: impl Fn(&str) -> bool) -> usize {
    let writes = asked
        .iter()
        .filter(|a| a.side == Side::Backend && a.is_write());
    let named = writes.filter(|a| {
        let path = a.path_and_query.split('?').next().unwrap_or_default();
        path.rsplit('/').next().is_some_and(&is_one)
    });
    named.count()
}

/// Writes of an operator that had nothing to do. Its connection says when it last listed, and which
/// request for a sync it answered: `allowed` such statuses are no surprise.
pub fn silent(asked: &[Asked], allowed: usize, when: &str) -> (Vec<Violation>, usize) {
    let own = format!("{}/{SCIM}/status", plural(CONNECTION));
    let writes = asked.iter().filter(|a| a.is_write());
    let (mut reports, mut others) = (Vec::new(), Vec::new());
    for write in writes {
        let path = write.path_and_query.split('?').next().unwrap_or_default();
        if write.side == Side::Kubernetes && path.ends_with(&own) {
            reports.push(write.body.clone().unwrap_or_default());
        } else {
            others.push(write.shape());
        }
    }
    let mut late = others.len();
    let mut found: Vec<Violation> = others
        .into_iter()
        .map(|shape| Violation::new(SILENT, format!("{when}: {shape}")))
        .collect();
    if reports.len() > allowed {
        late += reports.len() - allowed;
        let count = reports.len();
        let changes = reports.windows(2).flat_map(|two| changes(&two[0], &two[1]));
        let changes: Vec<String> = changes.collect();
        let changes = changes.join(", ");
        let what =
            format!("{when}: {count} statuses of the connection instead of {allowed}: {changes}");
        found.push(Violation::new(SILENT, what));
    }
    (found, late)
}

/// `Ready=True` was written of nothing that the backend did not have at that moment, as declared.
pub fn ready_is_true(asked: &[Asked], declared: &[Declared]) -> Vec<Violation> {
    let mut found = Vec::new();
    for write in asked
        .iter()
        .filter(|a| a.side == Side::Kubernetes && a.is_write())
    {
        let Some((kind, name)) = reported_on(&write.path_and_query) else {
            continue;
        };
        let Some(body) = &write.body else {
            continue;
        };
        let status = &body["status"];
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let is_true = |c: &&Value| c["type"] == "Ready" && c["status"] == "True";
        let Some(ready) = conditions.find(is_true) else {
            continue;
        };
        let generation = ready["observedGeneration"].as_i64();
        let uid = body["metadata"]["uid"].as_str().unwrap_or_default();
        let spec = declared
            .iter()
            .find(|d| d.uid == uid && Some(d.generation) == generation);
        let mut says = |what: &str| {
            let what = format!("{kind} {name} at request {}: {what}", write.number);
            found.push(Violation::new(READY_IS_TRUE, what));
        };
        match (spec, &write.witness) {
            (_, None) => says("Ready with nothing at the backend"),
            (None, _) => says("Ready for a spec that nobody declared"),
            (Some(declared), Some(there)) => {
                if let Some(what) = contradiction(&declared.spec, there, status) {
                    says(what);
                }
            }
        }
    }
    found
}

/// What of the declared the backend does not have, if anything.
fn contradiction(spec: &Value, there: &Value, status: &Value) -> Option<&'static str> {
    if spec.get("userName").is_some() {
        let active = spec["active"] != false;
        if there["userName"] != spec["userName"] {
            return Some("Ready under another userName");
        }
        return (there["active"] != active).then_some("Ready with another `active`");
    }
    if there["displayName"] != spec["displayName"] {
        return Some("Ready under another displayName");
    }
    let members = there["members"].as_array().map_or(0, Vec::len);
    let counts = &status["members"];
    (counts["synced"] != members || counts["desired"] != members)
        .then_some("Ready with other members")
}

/// Kind and name of a user or a group, from the path of its status.
fn reported_on(path: &str) -> Option<(&'static str, &str)> {
    let path = path.split('?').next()?;
    let (rest, name) = path.strip_suffix("/status")?.rsplit_once('/')?;
    let kind = [USER, GROUP]
        .into_iter()
        .find(|kind| rest.ends_with(plural(kind)))?;
    Some((kind, name))
}

/// No personal value and no token is in what everybody may read.
pub fn private(logs: &[String], events: &[String], asked: &[Asked]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut tell = |place: &str, count: usize| {
        if count > 0 {
            found.push(Violation::new(PRIVATE, format!("{count} {place}")));
        }
    };
    let lines = logs.iter().flat_map(|log| log.lines());
    tell(
        "log lines",
        lines.filter(|line| line.contains(CANARY)).count(),
    );
    tell(
        "events",
        events.iter().filter(|e| e.contains(CANARY)).count(),
    );
    let statuses = asked.iter().filter(|a| {
        let body = a.body.as_ref().map(Value::to_string);
        a.side == Side::Kubernetes && a.is_write() && body.is_some_and(|b| b.contains(CANARY))
    });
    tell("writes to Kubernetes", statuses.count());
    found
}

#[cfg(test)]
mod tests;
