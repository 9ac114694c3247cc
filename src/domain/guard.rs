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

/// What is deleted along with a person's resource. A namespace or a kind that ends is nobody leaving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    #[default]
    Alone,
    /// The namespace: counted and held as others are.
    Namespace,
    /// The kind itself: always held.
    Kind,
}

/// Whether what is known of the backend is to be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Halt {
    /// It is.
    #[default]
    No,
    /// A listing is not complete: whoever asks is held, and may be approved.
    Hold,
    /// It may be another backend: nobody goes, whatever was granted.
    Stop,
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
    /// Nobody may go at the moment, see [`Guard::halt`].
    Halted,
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
    scope: Scope,
    state: State,
    /// Whether it was told what was decided.
    told: bool,
    /// Held by [`Halt::Hold`] alone.
    by_halt: bool,
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
    halt: Halt,
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

    /// Halts, or goes on. Returns whom that concerns: whoever was held by that alone is decided on anew.
    pub fn halt(&mut self, halt: Halt) -> Vec<Case> {
        if std::mem::replace(&mut self.halt, halt) == halt || halt == Halt::Stop {
            return Vec::new();
        }
        for entry in self.cases.values_mut().filter(|entry| entry.by_halt) {
            (entry.state, entry.told, entry.by_halt) = (State::Waiting, false, false);
        }
        self.cases
            .values()
            .map(|entry| entry.case.clone())
            .collect()
    }

    /// How many wait for [`Halt::Stop`] to end.
    pub fn waiting(&self) -> usize {
        let stopped = self.halt == Halt::Stop;
        let of = |entry: &&Entry| stopped && entry.state != State::Held;
        self.cases.values().filter(of).count()
    }

    /// Whether everybody who is held is so by [`Halt::Hold`] alone.
    pub fn only_by_halt(&self) -> bool {
        self.held_are(|entry| entry.by_halt)
    }

    /// Whether this one was let go, and is not known to have gone.
    pub fn lets_go(&self, uid: &str) -> bool {
        let found = self.cases.get(uid);
        found.is_some_and(|entry| entry.state == State::Granted)
    }

    /// The endpoint leads elsewhere: what was let go was so there.
    pub fn leaves_backend(&mut self) {
        self.under_way.clear();
        for entry in self.cases.values_mut() {
            if entry.state != State::Held {
                (entry.state, entry.told) = (State::Waiting, false);
            }
        }
    }

    /// Whether a person may be deprovisioned now.
    pub fn ask(&mut self, case: &Case, scope: Scope) -> Answer {
        let known = self.cases.get(&case.uid);
        if known.is_none_or(|entry| entry.case != *case) {
            // Spent, and written down, before a restart.
            let granted = self.under_way.remove(&hash(case));
            let entry = Entry {
                case: case.clone(),
                scope,
                state: if granted {
                    State::Granted
                } else {
                    State::Waiting
                },
                told: granted,
                by_halt: false,
            };
            self.cases.insert(case.uid.clone(), entry);
        }
        let stopped = self.halt == Halt::Stop;
        let Some(entry) = self.cases.get_mut(&case.uid) else {
            return Answer::Wait;
        };
        entry.scope = scope;
        match entry.state {
            State::Held => Answer::Held,
            _ if stopped => Answer::Halted,
            State::Granted => Answer::Go,
            State::Waiting | State::Reserved => Answer::Wait,
        }
    }

    /// Whether anybody waits for a decision.
    pub fn is_asked(&self) -> bool {
        self.halt != Halt::Stop && self.cases.values().any(|e| e.state == State::Waiting)
    }

    /// Decides on those who wait: granted as far as the window allows, else held. While their kind
    /// itself is being deleted, everybody is held.
    pub fn decide(&mut self, limit: Limit, provisioned: u32, now: i64, kind_ends: bool) {
        self.roll(limit, now);
        if self.halt == Halt::Stop {
            return;
        }
        let spent: u32 = self.spent.values().sum();
        // Who went within the window was provisioned when it began: the share is one of all. Who is
        // under way is provisioned still.
        let under_way = u32::try_from(self.under_way().count()).unwrap_or(u32::MAX);
        let gone = spent.saturating_sub(under_way);
        let allowance = limit.allowance(provisioned.saturating_add(gone));
        let mut left = allowance.saturating_sub(spent);
        let hold = self.halt == Halt::Hold;
        if self.resumes(limit, now) || hold {
            left = 0;
        }
        let mut waiting: Vec<&mut Entry> = self
            .cases
            .values_mut()
            .filter(|entry| entry.state == State::Waiting)
            .collect();
        waiting.sort_by(|a, b| a.case.cmp(&b.case));
        for entry in waiting {
            if kind_ends {
                entry.scope = Scope::Kind;
            }
            if left > 0 && entry.scope != Scope::Kind {
                left -= 1;
                let at = now.div_euclid(limit.bucket()).saturating_add(1);
                let at = at.saturating_mul(limit.bucket());
                *self.spent.entry(at).or_default() += 1;
                entry.state = State::Reserved;
            } else {
                entry.state = State::Held;
                entry.by_halt = hold;
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

    /// Everybody was looked at since the restart: whoever did not ask is gone, or stays, and the plan is
    /// what it will be. What status said before may name somebody who had been granted and did not get
    /// to go, so that nobody could approve it.
    pub fn everybody_asked(&mut self) {
        let decided = |entry: &Entry| entry.state != State::Waiting;
        if self.cases.values().all(decided) {
            self.resuming = None;
            // Who was let go before it and has not asked again is gone, or is not to go any more.
            self.under_way.clear();
        }
    }

    /// Whether the plan is not whole yet after a restart: what status said before still holds.
    pub fn is_resuming(&self) -> bool {
        self.resuming.is_some()
    }

    /// Whether everybody who is held is so because a namespace or a kind ends.
    pub fn only_scopes_end(&self) -> bool {
        self.held_are(|entry| entry.scope != Scope::Alone)
    }

    fn held_are(&self, test: impl Fn(&Entry) -> bool) -> bool {
        let mut held = self.cases.values().filter(|e| e.state == State::Held);
        let mut some = false;
        held.all(|entry| {
            some = true;
            test(entry)
        }) && some
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
            (entry.state, entry.told, entry.by_halt) = (State::Reserved, false, false);
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
