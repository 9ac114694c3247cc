//! A fleet on virtual time: replicas that come, end, stand still and are cut off, each with a clock of
//! its own, before one store that writes on condition.

use proptest::prelude::*;

use super::super::super::{Reign, Step};
use super::*;

/// The step of the virtual clock.
const TICK: Duration = Duration::from_millis(500);
const SHARES: usize = 8;
const REPLICAS: usize = 5;

/// What happens to a fleet.
#[derive(Clone, Copy, Debug)]
enum Event {
    Starts(usize),
    /// SIGKILL.
    Dies(usize),
    /// SIGTERM.
    Stops(usize),
    /// Neither runs nor notices, for so long.
    StandsStill(usize, u64),
    /// The API server does not answer it, for so long.
    IsCutOff(usize, u64),
    Appears(usize),
    Goes(usize),
}

#[derive(Clone, Debug)]
struct Stored {
    version: u64,
    holder: Option<String>,
    released: bool,
}

/// A share that a replica works on.
struct Work {
    reign: Reign,
    version: u64,
    /// It is given up, and has drained by then.
    leaves: Option<Duration>,
    /// Its lease is not its own any more, or may not be.
    lost: bool,
}

struct Replica {
    identity: String,
    /// What its clock says when the store's says zero.
    skew: Duration,
    shares: Shares,
    works: BTreeMap<String, Work>,
    /// When it says next that it lives.
    renews_at: Duration,
    stopping: bool,
    still_until: Duration,
    cut_until: Duration,
    looks_at: Duration,
    /// A look that was taken, and when it is acted on: answers take their time.
    looked: Option<(Look, BTreeMap<String, u64>, Duration)>,
}

struct Fleet {
    now: Duration,
    store: BTreeMap<String, Stored>,
    version: u64,
    there: BTreeSet<String>,
    replicas: BTreeMap<usize, Replica>,
    /// Until when what was begun may be at work, by share and replica.
    busy: BTreeMap<(String, String), Duration>,
    starts: u64,
    changes: usize,
    random: u64,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        Self {
            now: seconds(1_000),
            store: BTreeMap::new(),
            version: 0,
            there: BTreeSet::new(),
            replicas: BTreeMap::new(),
            busy: BTreeMap::new(),
            starts: 0,
            changes: 0,
            random: seed | 1,
        }
    }

    /// Something below that number, another each time (xorshift).
    fn any(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn happens(&mut self, event: Event) {
        let until = |now: Duration, millis: u64| now + Duration::from_millis(millis);
        match event {
            Event::Starts(which) => {
                if self.replicas.contains_key(&which) {
                    return;
                }
                self.starts += 1;
                let identity = format!("r{which}_{}", self.starts);
                let skew = seconds(self.any(100_000));
                self.replicas.insert(
                    which,
                    Replica {
                        shares: Shares::new(&*identity, TERMS),
                        identity,
                        skew,
                        works: BTreeMap::new(),
                        renews_at: self.now,
                        stopping: false,
                        still_until: Duration::ZERO,
                        cut_until: Duration::ZERO,
                        looks_at: self.now,
                        looked: None,
                    },
                );
            }
            Event::Dies(which) => drop(self.replicas.remove(&which)),
            Event::Stops(which) => {
                if let Some(replica) = self.replicas.get_mut(&which) {
                    replica.stopping = true;
                }
            }
            Event::StandsStill(which, millis) => {
                if let Some(replica) = self.replicas.get_mut(&which) {
                    replica.still_until = until(self.now, millis);
                }
            }
            Event::IsCutOff(which, millis) => {
                if let Some(replica) = self.replicas.get_mut(&which) {
                    replica.cut_until = until(self.now, millis);
                }
            }
            Event::Appears(share) => drop(self.there.insert(format!("c{share}"))),
            Event::Goes(share) => drop(self.there.remove(&format!("c{share}"))),
        }
    }

    /// Writes a lease where it is of that version, and says of which it is then.
    fn write(&mut self, name: &str, known: u64, holder: Option<&str>) -> Option<u64> {
        let before = self.store.get(name).map_or(0, |stored| stored.version);
        if before != known {
            return None;
        }
        self.version += 1;
        let stored = Stored {
            version: self.version,
            holder: holder.map(str::to_owned),
            released: holder.is_none(),
        };
        self.store.insert(name.to_owned(), stored);
        Some(self.version)
    }

    fn sighting(&self, name: &str) -> Option<Sighting> {
        let stored = self.store.get(name)?;
        Some(Sighting {
            version: stored.version.to_string(),
            holder: stored.holder.clone(),
            wait_out: if stored.released {
                seconds(1)
            } else {
                TERMS.wait_out()
            },
        })
    }

    fn tick(&mut self) {
        self.now += TICK;
        let mut order: Vec<usize> = self.replicas.keys().copied().collect();
        if self.any(2) == 0 {
            order.reverse();
        }
        for which in order {
            let Some(mut replica) = self.replicas.remove(&which) else {
                continue;
            };
            if replica.still_until <= self.now {
                self.runs(&mut replica);
                if replica.stopping && replica.works.is_empty() {
                    continue;
                }
            }
            self.replicas.insert(which, replica);
        }
    }

    /// One step of a replica that runs.
    fn runs(&mut self, replica: &mut Replica) {
        // What stood still finds its fences closed before anything else: it begins by looking at them.
        let now = self.now + replica.skew;
        self.begins(replica, now);
        let cut = replica.cut_until > self.now;
        if !cut && !replica.stopping && replica.renews_at <= self.now {
            replica.renews_at = self.now + TERMS.renew_every;
            let member = format!("replica-{}", replica.identity);
            // Whatever became of it meanwhile: it may have been deleted.
            let known = self.store.get(&member).map_or(0, |stored| stored.version);
            let identity = replica.identity.clone();
            self.write(&member, known, Some(&identity));
        }
        self.renews(replica, now, cut);
        if replica.stopping {
            for work in replica.works.values_mut() {
                work.leaves.get_or_insert(now + seconds(2));
            }
            return;
        }
        if let Some((look, versions, at)) = replica.looked.take() {
            if at <= self.now {
                self.acts(replica, &look, &versions, now, cut);
            } else {
                replica.looked = Some((look, versions, at));
            }
        } else if replica.looks_at <= self.now && !cut {
            let (look, versions) = self.look();
            let late = TICK * u32::try_from(self.any(4)).unwrap();
            replica.looked = Some((look, versions, self.now + late));
            replica.looks_at = self.now + TERMS.look_every();
        }
    }

    /// Begins a request for every share whose fence is open, and finds nobody else at work on it.
    fn begins(&mut self, replica: &Replica, now: Moment) {
        for (name, work) in &replica.works {
            if work.leaves.is_some() || work.lost || now >= work.reign.may_begin_until() {
                continue;
            }
            for ((share, other), until) in &self.busy {
                assert!(
                    share != name || *other == replica.identity || *until <= self.now,
                    "{name}: {} begins, and what {other} began is at work until {until:?}, at {:?}",
                    replica.identity,
                    self.now
                );
            }
            let key = (name.clone(), replica.identity.clone());
            self.busy.insert(key, self.now + TERMS.longest_request);
        }
    }

    fn renews(&mut self, replica: &mut Replica, now: Moment, cut: bool) {
        let mut ended = Vec::new();
        for (name, work) in &mut replica.works {
            if let Some(drained) = work.leaves {
                if drained > now {
                    continue;
                }
                // What it began has ended; the release may not come through.
                self.busy.remove(&(name.clone(), replica.identity.clone()));
                ended.push((name.clone(), work.version));
                continue;
            }
            match work.reign.next(now) {
                Step::Rest(_) => {}
                Step::Renew(_) if cut => work.reign.failed(now),
                Step::Renew(_) => match self.write(name, work.version, Some(&replica.identity)) {
                    Some(version) => {
                        work.version = version;
                        work.lost = !work.reign.renewed(now, now);
                    }
                    None => work.lost = true,
                },
                Step::GiveUp => work.lost = true,
            }
            if work.lost {
                work.leaves = Some(now + TERMS.longest_request);
            }
        }
        for (name, version) in ended {
            replica.works.remove(&name);
            self.changes += 1;
            if !cut {
                self.write(&name, version, None);
            }
        }
    }

    fn look(&self) -> (Look, BTreeMap<String, u64>) {
        let versions = self.store.iter();
        let versions = versions.map(|(name, stored)| (name.clone(), stored.version));
        let mut look = Look::default();
        for name in &self.there {
            look.shares.insert(name.clone(), self.sighting(name));
        }
        for name in self.store.keys() {
            let Some(seen) = self.sighting(name) else {
                continue;
            };
            if name.starts_with("replica-") {
                look.replicas.insert(name.clone(), seen);
            } else if !self.there.contains(name) {
                look.others.insert(name.clone(), seen);
            }
        }
        (look, versions.collect())
    }

    /// Does what follows from a look, which may be of some time ago.
    fn acts(
        &mut self,
        replica: &mut Replica,
        look: &Look,
        versions: &BTreeMap<String, u64>,
        now: Moment,
        cut: bool,
    ) {
        let mine = replica.works.iter().map(|(name, work)| {
            let mine = match work.leaves {
                Some(_) => Mine::Leaving,
                None => Mine::Held,
            };
            (name.clone(), mine)
        });
        let plan = replica.shares.look(look, &mine.collect(), now);
        for name in plan.release {
            let drains = Duration::from_millis(self.any(5_000));
            if let Some(work) = replica.works.get_mut(&name) {
                work.leaves = Some(now + drains);
            }
        }
        if cut {
            return;
        }
        for name in plan.claim {
            assert!(!replica.works.contains_key(&name), "{name} is its own");
            let known = versions.get(&name).copied().unwrap_or(0);
            let identity = replica.identity.clone();
            let Some(version) = self.write(&name, known, Some(&identity)) else {
                continue;
            };
            self.changes += 1;
            if self.any(10) == 0 {
                // The answer was lost.
                continue;
            }
            let work = Work {
                reign: Reign::begun(TERMS, now),
                version,
                leaves: None,
                lost: false,
            };
            replica.works.insert(name, work);
        }
        for name in plan.sweep {
            if self.store.get(&name).map(|s| s.version) == versions.get(&name).copied() {
                self.store.remove(&name);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    /// How many shares each replica works on.
    fn counts(&self) -> Vec<usize> {
        let works = |replica: &Replica| {
            let works = replica.works.iter();
            let held =
                works.filter(|(name, work)| work.leaves.is_none() && self.there.contains(*name));
            held.count()
        };
        self.replicas.values().map(works).collect()
    }
}

fn event() -> impl Strategy<Value = Event> {
    let replica = 0..REPLICAS;
    prop_oneof![
        3 => replica.clone().prop_map(Event::Starts),
        2 => replica.clone().prop_map(Event::Dies),
        1 => replica.clone().prop_map(Event::Stops),
        2 => (replica.clone(), 0..120_000_u64).prop_map(|(which, ms)| Event::StandsStill(which, ms)),
        2 => (replica, 0..120_000_u64).prop_map(|(which, ms)| Event::IsCutOff(which, ms)),
        2 => (0..SHARES).prop_map(Event::Appears),
        1 => (0..SHARES).prop_map(Event::Goes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn r08_r09_no_share_is_worked_on_by_two_and_in_the_end_all_are_held_evenly(
        seed in any::<u64>(),
        events in proptest::collection::vec((event(), 0..40_000_u64), 0..40),
    ) {
        let mut fleet = Fleet::new(seed);
        for which in 0..3 {
            fleet.happens(Event::Starts(which));
        }
        (0..SHARES / 2).for_each(|share| fleet.happens(Event::Appears(share)));
        for (event, pause) in events {
            fleet.happens(event);
            fleet.pass(Duration::from_millis(pause));
        }
        // One that nothing above can have told to stop: somebody is there to hold them in the end.
        fleet.happens(Event::Starts(REPLICAS));
        // Whatever stood still or was cut off goes on; a lost share is drained for as long as a request
        // takes; the leases of whoever died are waited out; then one share after the other moves.
        fleet.pass(seconds(120) + TERMS.longest_request + TERMS.wait_out() + TERMS.lease);
        fleet.pass(seconds(10) * u32::try_from(SHARES).unwrap());
        let counts = fleet.counts();
        prop_assert_eq!(counts.iter().sum::<usize>(), fleet.there.len(), "{:?}", counts);
        let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        prop_assert!(most - least <= 1, "{:?}", counts);
        let changes = fleet.changes;
        fleet.pass(seconds(120));
        prop_assert_eq!(fleet.changes, changes, "shares that are even go on moving");
    }
}

#[test]
fn the_shares_of_a_replica_that_died_are_held_again_once_they_are_waited_out() {
    for seed in 1..20 {
        let mut fleet = Fleet::new(seed);
        (0..3).for_each(|which| fleet.happens(Event::Starts(which)));
        (0..SHARES).for_each(|share| fleet.happens(Event::Appears(share)));
        fleet.pass(seconds(60));
        assert_eq!(fleet.counts().iter().sum::<usize>(), SHARES);
        fleet.happens(Event::Dies(1));
        // The look that sees them free, and the answer, come on top; one claim in ten is not heard of.
        fleet.pass(TERMS.wait_out() + TERMS.look_every() * 4);
        assert_eq!(fleet.counts().iter().sum::<usize>(), SHARES, "seed {seed}");
    }
}
