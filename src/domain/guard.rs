//! The brake on mass deprovisioning: so many may be archived or deleted within a rolling window, and
//! what exceeds it is held as one plan that a person approves by its hash, or does not.
//!
//! Guarantees: nothing is granted before what it spends, and to whom, is written down
//! ([`Guard::persisted`]), so that a crash neither spends twice nor forgets an approval; an approval
//! releases exactly the plan whose hash it names; who was let go and could not go yet keeps the place
//! that he took. Time is passed in, as seconds since 1970: the window has to survive a restart, which no
//! monotonic clock does.

mod case;
mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::names;
pub use case::{Case, Deprovisioning, Scope};
use case::{hash, is_approved, line};
use window::Window;
pub use window::{BUCKETS, Limit};

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
    /// Let go by a person, whatever the window says.
    approved: bool,
}

/// A plan that was held before a restart, and that those who ask again have not made whole yet.
#[derive(Debug)]
struct Resuming {
    hash: String,
    until: Option<i64>,
}

/// How many went within the window that ends now, of those who went at these times.
#[must_use]
pub fn spent_within(spent: impl IntoIterator<Item = (i64, u32)>, limit: Limit, now: i64) -> u32 {
    let mut window = Window::of(spent.into_iter().collect());
    window.roll(limit, now);
    window.total()
}

/// The guard of one connection.
#[derive(Debug, Default)]
pub struct Guard {
    spent: Window,
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
        self.spent = Window::of(spent);
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

    /// Whether this one has asked.
    pub fn knows(&self, uid: &str) -> bool {
        self.cases.contains_key(uid)
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
                (entry.state, entry.told, entry.approved) = (State::Waiting, false, false);
            }
        }
    }

    /// Whether a person may be deprovisioned now.
    pub fn ask(&mut self, case: &Case, scope: Scope) -> Answer {
        let known = self.cases.get(&case.uid);
        if known.is_none_or(|entry| entry.case != *case) {
            // Spent, and written down, before a restart.
            let approved = self.under_way.remove(&hash(case, true));
            let granted = self.under_way.remove(&hash(case, false)) || approved;
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
                approved,
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
        self.spent.roll(limit, now);
        if self.halt == Halt::Stop {
            return;
        }
        // Who was let go in an earlier window and has not gone will go in this one: an outage must not
        // gather a window's worth for each hour that it lasts.
        let let_go = |entry: &&Entry| entry.is_let_go() && !entry.approved;
        let late = self.cases.values().filter(let_go).count();
        let late = u32::try_from(late).unwrap_or(u32::MAX);
        self.spent.spend_at_least(late, limit, now);
        let spent = self.spent.total();
        // Who went within the window was provisioned when it began: the share is one of all. Who is
        // under way is provisioned still.
        let by_hash = self.under_way.iter().filter(|hash| !is_approved(hash));
        let under_way = u32::try_from(by_hash.count()).unwrap_or(u32::MAX);
        let under_way = under_way.saturating_add(late);
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
                self.spent.spend(1, limit, now);
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

    /// Who was let go and is not known to have gone, each as a hash, for status; those whom a person let go
    /// are marked, since they spend nothing.
    pub fn under_way(&self) -> impl Iterator<Item = String> {
        let here = self.cases.values().filter(|entry| entry.is_let_go());
        let here = here.map(|entry| hash(&entry.case, entry.approved));
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
    pub fn withdraw(&mut self, case: &Case) -> bool {
        // What was granted before a restart, whatever was to be done, is over as well.
        let mut written_down = false;
        for action in [Deprovisioning::Archive, Deprovisioning::Delete] {
            let case = Case {
                action,
                ..case.clone()
            };
            for approved in [true, false] {
                written_down |= self.under_way.remove(&hash(&case, approved));
            }
        }
        let gone = self.cases.remove(&case.uid);
        written_down || gone.is_some_and(|entry| entry.state != State::Waiting)
    }

    /// Forgets whoever is there no more.
    pub fn keep(&mut self, is_there: impl Fn(&Case) -> bool) {
        self.cases.retain(|_, entry| is_there(&entry.case));
    }

    /// When how many went, oldest first, for status.
    pub fn spent(&self) -> impl Iterator<Item = (i64, u32)> {
        self.spent.iter()
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
            entry.approved = true;
            released += 1;
        }
        released
    }
}

impl Entry {
    fn is_let_go(&self) -> bool {
        matches!(self.state, State::Reserved | State::Granted)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
