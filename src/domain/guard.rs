//! The brake on mass deprovisioning: so many may be archived or deleted within a rolling window, and
//! what exceeds it is held as one plan that a person approves by its hash, or does not.
//!
//! Guarantees: nothing is granted before what it spends, and to whom, is written down
//! ([`Guard::persisted`]), so that a crash neither spends twice nor forgets an approval; an approval releases exactly the plan whose hash it names. Time is passed
//! in, as seconds since 1970: the window has to survive a restart, which no monotonic clock does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::names;

/// What is done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deprovisioning {
    /// `active: false`.
    Archive,
    /// SCIM DELETE.
    Delete,
}

/// One person who would be deprovisioned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The resource's uid: one made anew under the same name is another person.
    pub uid: String,
    /// What is done.
    pub action: Deprovisioning,
}

/// How many may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Share of the provisioned users, in percent.
    pub max_percent: u32,
    /// So many in any case.
    pub minimum: u32,
    /// Length of the window, in seconds.
    pub window: u64,
}

impl Limit {
    /// How many may go within a window, of so many.
    pub fn allowance(&self, all: u32) -> u32 {
        let share = u64::from(all) * u64::from(self.max_percent) / 100;
        self.minimum.max(u32::try_from(share).unwrap_or(u32::MAX))
    }

    /// How exactly the time of a deprovisioning is kept: a sixtieth of the window.
    fn bucket(&self) -> i64 {
        i64::try_from(self.window.div_ceil(60))
            .unwrap_or(i64::MAX)
            .max(1)
    }
}

/// The most entries that [`Guard::spent`] has; a window made longer merges the oldest.
pub const BUCKETS: usize = 62;

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Do it.
    Go,
    /// It has to be written down first.
    Wait,
    /// A person has to approve.
    Held,
}

/// What waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What an approval has to say.
    pub hash: String,
    /// How many would go.
    pub count: usize,
    /// The first of them, as `namespace/name`.
    pub first: Vec<String>,
}

/// What was written down before a restart.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// When how many went.
    pub spent: BTreeMap<i64, u32>,
    /// The hash of the plan that was held.
    pub held: Option<String>,
    /// The hash of the plan that was approved last.
    pub approved: Option<String>,
    /// Who was let go, each as a hash, and was not known to have gone.
    pub under_way: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked, not yet decided.
    Waiting,
    /// Spent, not yet written down.
    Reserved,
    /// May go.
    Granted,
    /// Waits for a person.
    Held,
}

#[derive(Debug)]
struct Entry {
    case: Case,
    state: State,
    /// Whether it was told what was decided.
    told: bool,
}

/// A plan that was held before a restart, and that those who ask again have not made whole yet.
#[derive(Debug)]
struct Resuming {
    hash: String,
    until: Option<i64>,
}

/// The guard of one connection.
#[derive(Debug, Default)]
pub struct Guard {
    spent: BTreeMap<i64, u32>,
    cases: HashMap<String, Entry>,
    approved: Option<String>,
    resuming: Option<Resuming>,
    /// Who was let go before a restart, by hash, and has not asked again yet.
    under_way: BTreeSet<String>,
}

impl Guard {
    /// Takes up what was written down before a restart. What was held stays held: until its plan is whole
    /// again nobody is granted anything, or each restart would let another share of it go.
    pub fn restore(&mut self, remembered: Remembered) {
        let Remembered {
            spent,
            held,
            approved,
            under_way,
        } = remembered;
        self.spent = spent;
        self.under_way = under_way;
        self.approved = approved;
        self.resuming = held.map(|hash| Resuming { hash, until: None });
    }

    /// Whether a person may be deprovisioned now.
    pub fn ask(&mut self, case: &Case) -> Answer {
        match self.cases.get(&case.uid) {
            Some(entry) if entry.case == *case => match entry.state {
                State::Granted => Answer::Go,
                State::Held => Answer::Held,
                State::Waiting | State::Reserved => Answer::Wait,
            },
            _ => {
                // Spent, and written down, before a restart.
                let granted = self.under_way.remove(&hash(case));
                let (state, answer) = match granted {
                    true => (State::Granted, Answer::Go),
                    false => (State::Waiting, Answer::Wait),
                };
                let entry = Entry {
                    case: case.clone(),
                    state,
                    told: granted,
                };
                self.cases.insert(case.uid.clone(), entry);
                answer
            }
        }
    }

    /// Decides on those who wait: granted as far as the window allows, else held.
    pub fn decide(&mut self, limit: Limit, provisioned: u32, now: i64) {
        self.roll(limit, now);
        let spent: u32 = self.spent.values().sum();
        // Who went within the window was provisioned when it began: the share is one of all. Who is
        // under way is provisioned still.
        let under_way = u32::try_from(self.under_way().count()).unwrap_or(u32::MAX);
        let gone = spent.saturating_sub(under_way);
        let allowance = limit.allowance(provisioned.saturating_add(gone));
        let mut left = allowance.saturating_sub(spent);
        if self.resumes(limit, now) {
            left = 0;
        }
        let mut waiting: Vec<&mut Entry> = self
            .cases
            .values_mut()
            .filter(|entry| entry.state == State::Waiting)
            .collect();
        waiting.sort_by(|a, b| a.case.cmp(&b.case));
        for entry in waiting {
            if left > 0 {
                left -= 1;
                let at = now.div_euclid(limit.bucket()).saturating_add(1);
                let at = at.saturating_mul(limit.bucket());
                *self.spent.entry(at).or_default() += 1;
                entry.state = State::Reserved;
            } else {
                entry.state = State::Held;
            }
        }
        // Whole again: what comes now is new.
        let plan = self.plan().map(|plan| plan.hash);
        self.resuming
            .take_if(|resuming| plan.as_ref() == Some(&resuming.hash));
    }

    /// Forgets what has left the window; an entry of the future, after a clock was set back, counts as
    /// one of now.
    fn roll(&mut self, limit: Limit, now: i64) {
        let oldest = now.saturating_sub(i64::try_from(limit.window).unwrap_or(i64::MAX));
        let latest = now.saturating_add(limit.bucket());
        for (at, count) in std::mem::take(&mut self.spent) {
            if at > oldest {
                *self.spent.entry(at.min(latest)).or_default() += count;
            }
        }
        while self.spent.len() > BUCKETS
            && let Some((_, count)) = self.spent.pop_first()
            && let Some(mut next) = self.spent.first_entry()
        {
            *next.get_mut() += count;
        }
    }

    /// Whether a plan of before a restart is not whole yet; a window later it never will be, because
    /// somebody of it stays after all.
    fn resumes(&mut self, limit: Limit, now: i64) -> bool {
        let Some(resuming) = &mut self.resuming else {
            return false;
        };
        let window = i64::try_from(limit.window).unwrap_or(i64::MAX);
        let until = *resuming.until.get_or_insert(now.saturating_add(window));
        if now >= until {
            self.resuming = None;
        }
        now < until
    }

    /// Who was let go and is not known to have gone, each as a hash, for status.
    pub fn under_way(&self) -> impl Iterator<Item = String> {
        let here = self
            .cases
            .values()
            .filter(|entry| matches!(entry.state, State::Reserved | State::Granted));
        let here = here.map(|entry| hash(&entry.case));
        here.chain(self.under_way.iter().cloned())
    }

    /// Everybody was looked at since the restart. Who was let go before it and has not asked again is gone,
    /// or is not to go any more; and a plan that is not what it was never will be: somebody stays after
    /// all, or more have joined, and what is to be approved is the plan of now.
    pub fn everybody_asked(&mut self) {
        self.under_way.clear();
        let undecided = |entry: &Entry| entry.state == State::Waiting;
        if !self.cases.values().any(undecided) {
            self.resuming = None;
        }
    }

    /// What was decided is written down: returns those who may go now, and those who are held.
    pub fn persisted(&mut self) -> Vec<Case> {
        let decided = |entry: &&mut Entry| entry.state != State::Waiting && !entry.told;
        let mut told = Vec::new();
        for entry in self.cases.values_mut().filter(decided) {
            entry.told = true;
            if entry.state == State::Reserved {
                entry.state = State::Granted;
            }
            told.push(entry.case.clone());
        }
        told
    }

    /// Somebody is deprovisioned, or is not to be any more. True when what was written down of it is so
    /// no more.
    pub fn withdraw(&mut self, uid: &str) -> bool {
        let gone = self.cases.remove(uid);
        gone.is_some_and(|entry| entry.state != State::Waiting)
    }

    /// Forgets whoever is there no more.
    pub fn keep(&mut self, is_there: impl Fn(&Case) -> bool) {
        self.cases.retain(|_, entry| is_there(&entry.case));
    }

    /// When how many went, oldest first, for status.
    pub fn spent(&self) -> impl Iterator<Item = (i64, u32)> {
        self.spent.iter().map(|(at, count)| (*at, *count))
    }

    /// The hash of the plan that was approved last, for status.
    pub fn approved(&self) -> Option<&str> {
        self.approved.as_deref()
    }

    /// Whether the plan is not whole yet after a restart: what status said before still holds.
    pub fn is_resuming(&self) -> bool {
        self.resuming.is_some()
    }

    /// What waits for approval.
    pub fn plan(&self) -> Option<Plan> {
        let held = self.cases.values().filter(|e| e.state == State::Held);
        let mut held: Vec<&Case> = held.map(|entry| &entry.case).collect();
        if held.is_empty() {
            return None;
        }
        held.sort();
        let lines: Vec<String> = held.iter().copied().map(line).collect();
        let first = held.iter().take(10);
        Some(Plan {
            hash: names::short_hash(&lines.join("\n")),
            count: held.len(),
            first: first
                .map(|case| format!("{}/{}", case.namespace, case.name))
                .collect(),
        })
    }

    /// Releases the plan, if it is the one that the approval names; how many it released. These may go
    /// whatever the window says: a person has decided. An approval works once: that the same people come
    /// together again is another plan, for which it has to be given anew.
    pub fn approve(&mut self, approval: Option<&str>) -> usize {
        if self.approved.as_deref() == approval {
            return 0;
        }
        self.approved = None;
        if self.plan().is_none_or(|plan| Some(&*plan.hash) != approval) {
            return 0;
        }
        self.approved = approval.map(str::to_owned);
        self.resuming = None;
        let held = |entry: &&mut Entry| entry.state == State::Held;
        let mut released = 0;
        for entry in self.cases.values_mut().filter(held) {
            // As whoever the window lets go: not before it is written down.
            (entry.state, entry.told) = (State::Reserved, false);
            released += 1;
        }
        released
    }
}

fn hash(case: &Case) -> String {
    names::short_hash(&line(case))
}

fn line(case: &Case) -> String {
    let Case {
        namespace,
        name,
        uid,
        action,
    } = case;
    format!("{action:?} {namespace}/{name} {uid}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
