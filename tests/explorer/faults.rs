//! What can go wrong, and where. A place is named by what happens there and how often it has happened
//! before, not by a running number: it stays the same place when something else is taken in between.

use std::collections::BTreeMap;
use std::fmt;

/// One place where something can go wrong: a request, or an event of a watch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Who is asked, for what, such as `scim POST Users team/ada`.
    pub what: String,
    /// Counted from 0.
    pub nth: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.what, self.nth)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The operator is killed before the request arrives.
    CrashBefore,
    /// The operator is killed after the request was carried out, before the answer arrives.
    CrashAfter,
    /// 500, and nothing is done.
    Fail,
    /// It is done, and answered 500.
    FailDone,
    /// It is done, and the connection breaks before the answer.
    Lost,
    /// It takes longer than anybody waits, and nothing is done.
    Timeout,
    /// It is done, and answered too late.
    TimeoutDone,
    /// 429.
    Throttle,
    /// 401, once.
    Unauthorized,
    /// 409, as an API server says that could not settle a race.
    Conflict,
    /// 410: the version of the watch is no more. For an event: it is never told, and the watch ends so.
    Gone,
    /// The watch ends as it does every few minutes, before the event is told.
    Close,
    /// The event, and all of its kind behind it, come three seconds late.
    Delay,
    /// The listing is of before the last few changes.
    Stale,
}

use Mode::*;

/// What can go wrong with a request, or an event, of that name.
pub fn modes(what: &str) -> &'static [Mode] {
    let mut words = what.split(' ');
    match (words.next(), words.next()) {
        (Some("scim"), Some("GET")) => &[CrashBefore, Fail, Timeout, Throttle, Unauthorized],
        (Some("scim"), _) => &[
            CrashBefore,
            CrashAfter,
            Fail,
            FailDone,
            Lost,
            Timeout,
            TimeoutDone,
            Throttle,
            Unauthorized,
        ],
        (Some("k8s"), Some("LIST")) => &[CrashBefore, Fail, Stale],
        (Some("k8s"), Some("WATCH")) => &[Fail, Gone],
        (Some("k8s"), Some("PATCH")) => &[CrashBefore, CrashAfter, Fail, Lost, Conflict],
        (Some("event"), _) => &[Gone, Close, Delay],
        _ => &[],
    }
}

/// One fault at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub at: Point,
    pub mode: Mode,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.mode, self.at)
    }
}

/// So many random faults are enough: with more of them nothing would ever come to its end.
const MOST: usize = 100;

/// Which faults there are: some that are named, or random ones, everywhere with the same odds.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub named: Vec<Fault>,
    /// Of a thousand.
    pub odds: u32,
    /// What random faults, and how long things take, come from. 0: everything takes the same time.
    pub seed: u64,
}

/// Meets the places as they come, and says what goes wrong there.
#[derive(Debug, Default)]
pub struct Fate {
    faults: Faults,
    met: BTreeMap<String, usize>,
    /// Everything that was met, in order.
    pub trace: Vec<Point>,
    /// What struck.
    pub struck: Vec<Fault>,
    /// No random fault strikes any more.
    pub calm: bool,
    /// How much of the trace there was when all had to be at rest.
    pub rested: usize,
}

impl Fate {
    pub fn new(faults: Faults) -> Self {
        Self {
            faults,
            ..Self::default()
        }
    }

    /// Something happens: what goes wrong with it, and how long it takes, as a share of a thousand.
    pub fn meet(&mut self, what: &str) -> (Option<Mode>, u64) {
        let nth = self.met.entry(what.to_owned()).or_default();
        let at = Point {
            what: what.to_owned(),
            nth: *nth,
        };
        *nth += 1;
        let mut random = fastrand::Rng::with_seed(hash(self.faults.seed, &at));
        let pace = match self.faults.seed {
            0 => 500,
            _ => random.u64(1..1000),
        };
        // What was put off by another fault until all has to be at rest strikes no more.
        let mut named = self.faults.named.iter();
        let named = named.find(|fault| self.rested == 0 && fault.at == at);
        let mode = named.map(|fault| fault.mode).or_else(|| {
            let strikes =
                !self.calm && self.struck.len() < MOST && random.u32(0..1000) < self.faults.odds;
            // An API server that is asked for a list without a version gives the newest there is. An
            // older one, after a crash, lacks what the former life wrote of it: more than can happen,
            // and where nothing else tells what is whose, more than can be borne.
            let modes = modes(what).iter().filter(|mode| **mode != Stale);
            let modes: Vec<Mode> = modes.copied().collect();
            (strikes && !modes.is_empty()).then(|| modes[random.usize(..modes.len())])
        });
        self.trace.push(at.clone());
        if let Some(mode) = mode {
            self.struck.push(Fault { at, mode });
        }
        (mode, pace)
    }
}

/// FNV-1a: the same on every machine and in every release.
pub fn hash(seed: u64, point: &Point) -> u64 {
    let bytes = seed.to_le_bytes().into_iter();
    let bytes = bytes.chain(point.what.bytes());
    let bytes = bytes.chain((point.nth as u64).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
