//! The mirror of one backend's users, or of its groups: what the last listing said, corrected by the
//! replies to our own writes. It answers observe without a request, and says what a listing changed.
//!
//! Guarantees: a listing never overwrites what we wrote after it began (R05); absence from a listing
//! is only doubt, to be settled by a GET, never proof of deletion (R21).

mod lookup;
mod stored;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use self::lookup::{Lookup, Mark};
pub use self::stored::Stored;
use crate::domain::group::ObservedGroup;
use crate::domain::names::{creating_hash, fold_name};
use crate::domain::observed::Observed;
use crate::domain::sighting::Sighting;

/// The users of one backend.
pub type Users = Directory<Observed>;
/// The groups of one backend.
pub type Groups = Directory<ObservedGroup>;

/// Whether a backend returns `externalId`: learned, not assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalIdEcho {
    /// Nothing of ours was seen yet.
    #[default]
    Unknown,
    /// It does.
    Echoed,
    /// One was written with it and came back without.
    NotEchoed,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    stored: Stored<T>,
    mark: Option<Mark>,
    /// When this was last known, in steps of this directory.
    step: u64,
    /// The last complete listing lacked it.
    doubtful: bool,
    /// A write was sent, and nobody knows whether it was carried out.
    unproven: bool,
    /// It is what was sent, and was not shown since: it teaches nothing of what the backend returns.
    assumed: bool,
}

/// Everything of one kind that a backend has.
#[derive(Clone, Debug)]
pub struct Directory<T> {
    entries: HashMap<Arc<str>, Entry<T>>,
    by_external_id: Lookup,
    by_name: Lookup,
    removed: HashMap<String, u64>,
    echoed: BTreeSet<String>,
    external_id: ExternalIdEcho,
    step: u64,
    complete: bool,
    last_complete: Option<u64>,
}

/// What a listing changed, as ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Those whose state differs from what was known, or that are new.
    pub changed: Vec<String>,
    /// Those that were known and are not listed any more.
    pub missing: Vec<String>,
}

/// An account, or a group, as the directory knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Known<T> {
    /// Seen, or written, and not contradicted since.
    Present(T),
    /// Known before, and missing from the last listing, or written to with no answer: ask by id.
    Doubtful,
    /// Never seen.
    Unknown,
}

impl<T: Sighting> Entry<T> {
    /// Whether a listing shows the same to the letter, and there is nothing in it to be looked at, or learned.
    fn is_confirmed_by(&self, listed: &Stored<T>) -> bool {
        let open = self.doubtful || self.assumed || !listed.is_settled();
        !open && self.stored.is_like(listed)
    }
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            by_external_id: Lookup::default(),
            by_name: Lookup::default(),
            removed: HashMap::new(),
            echoed: BTreeSet::new(),
            external_id: ExternalIdEcho::default(),
            step: 0,
            complete: false,
            last_complete: None,
        }
    }
}

impl<T: Sighting> Directory<T> {
    /// Marks the beginning of a listing.
    pub fn begin_listing(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// Takes a listing that began at `mark`. Only a complete one casts doubt on what it lacks.
    pub fn finish_listing(
        &mut self,
        mark: u64,
        listed: Vec<Stored<T>>,
        complete: bool,
    ) -> Difference {
        let mut difference = Difference::default();
        let ids: HashSet<Arc<str>> = listed.iter().map(|s| s.id().clone()).collect();
        for stored in listed {
            let known = self.entries.get_mut(stored.id());
            let removed = self.removed.get(&**stored.id());
            if known.as_ref().is_some_and(|e| e.step > mark)
                || removed.is_some_and(|step| *step > mark)
            {
                continue;
            }
            let (doubtful, before) = match known {
                // Nearly all, at nearly every listing.
                Some(known) if known.is_confirmed_by(&stored) => {
                    (known.step, known.unproven) = (mark, false);
                    continue;
                }
                Some(known) => (known.doubtful, known.stored.open()),
                None => (true, None),
            };
            let Some(mut sighting) = stored.open() else {
                continue;
            };
            if let Some(before) = &before {
                sighting.carry(before);
            }
            let same = before.is_some_and(|before| before.same_state(&sighting));
            if doubtful || !same {
                difference.changed.push(stored.id().to_string());
            }
            self.insert(sighting, mark);
        }
        if complete {
            for (id, entry) in &mut self.entries {
                if !ids.contains(id) && entry.step <= mark {
                    entry.doubtful = true;
                    difference.missing.push(id.to_string());
                }
            }
        }
        self.removed.retain(|_, step| *step > mark);
        self.complete = complete;
        if complete {
            self.last_complete = Some(mark);
        }
        difference
    }

    /// Now, in steps of this directory.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// When the last complete listing began, in steps of this directory.
    pub fn last_complete(&self) -> Option<u64> {
        self.last_complete
    }

    /// Records what an answer to a write, or a GET by id, said.
    pub fn put(&mut self, sighting: T) {
        self.step += 1;
        let step = self.step;
        self.insert(sighting, step);
    }

    /// Records what a write that was answered without a body must have come to. It teaches nothing
    /// of what the backend returns: neither which attributes, nor whether `externalId`.
    pub fn put_assumed(&mut self, assumed: T) {
        let (echoed, external_id) = (self.echoed.clone(), self.external_id);
        let id = assumed.id().to_owned();
        self.put(assumed);
        (self.echoed, self.external_id) = (echoed, external_id);
        if let Some(entry) = self.entries.get_mut(&*id) {
            entry.assumed = true;
        }
    }

    /// Records that a write may have been carried out, whose answer was lost: what is known is old,
    /// until a GET by id, or a listing that begins later, has told.
    pub fn doubt(&mut self, id: &str) {
        self.step += 1;
        if let Some(entry) = self.entries.get_mut(id) {
            entry.unproven = true;
            entry.step = self.step;
        }
    }

    /// Records that one is gone: deleted by us, or 404 by id.
    pub fn remove(&mut self, id: &str) {
        self.step += 1;
        self.removed.insert(id.to_owned(), self.step);
        self.detach(id);
    }

    /// What has that id.
    pub fn by_id(&self, id: &str) -> Known<T> {
        match self.entries.get(id) {
            None => Known::Unknown,
            Some(entry) if entry.doubtful || entry.unproven => Known::Doubtful,
            // What cannot be opened is as good as what nobody has seen: it is asked for.
            Some(entry) => entry.stored.open().map_or(Known::Doubtful, Known::Present),
        }
    }

    /// What was last known of the one with that id, doubtful or not.
    pub fn last_known(&self, id: &str) -> Option<T> {
        self.entries.get(id).and_then(|entry| entry.stored.open())
    }

    /// Those that carry that mark.
    pub fn by_external_id(&self, external_id: &str) -> Vec<T> {
        let bearers = self.bearing(external_id);
        let known = bearers.filter_map(|entry| entry.stored.open());
        known
            .filter(|sighting| sighting.external_id() == Some(external_id))
            .collect()
    }

    /// Those with that name, ignoring case.
    pub fn by_name(&self, name: &str) -> Vec<T> {
        let folded = fold_name(name);
        let named = self.named(&folded);
        named.filter_map(|entry| entry.stored.open()).collect()
    }

    /// Whether there is one with that mark, or with that name, ignoring case. Opens none.
    pub fn has(&self, external_id: &str, name: &str) -> bool {
        self.bearing(external_id).next().is_some() || self.named(&fold_name(name)).next().is_some()
    }

    /// The ids of those with that mark or name of which nobody knows what the last write to them came to.
    pub fn unproven(&self, external_id: &str, name: &str) -> Vec<String> {
        let folded = fold_name(name);
        let found = self.bearing(external_id).chain(self.named(&folded));
        let unproven = found.filter(|entry| entry.unproven);
        unproven
            .map(|entry| entry.stored.id().to_string())
            .collect()
    }

    /// Whether the one with that id is there, and has one of those marks, or that name, ignoring case. Opens none.
    pub fn is_there(&self, id: &str, external_ids: &[&str], name: &str) -> bool {
        let entry = self.entries.get(id);
        entry.is_some_and(|entry| {
            let bears = |mark: &&str| entry.mark == Some(self.by_external_id.mark(mark));
            !entry.doubtful
                && !entry.unproven
                && (external_ids.iter().any(bears)
                    || entry.stored.name() == Some(&*fold_name(name)))
        })
    }

    /// Those that bear the name by which a create was begun, as `status.creating` hashes it: the spec
    /// may say another name by now. Looks at all of them.
    pub fn begun(&self, creating: Option<&str>, endpoint_hash: Option<&str>) -> Vec<T> {
        let Some(creating) = creating else {
            return Vec::new();
        };
        // Where marks come back, one without is not what we created.
        let echoed = self.external_id == ExternalIdEcho::Echoed;
        let known = self.entries.values().filter(|entry| !entry.doubtful);
        let begun = known.filter(|entry| {
            (entry.mark.is_some() || !echoed)
                && entry
                    .stored
                    .name()
                    .is_some_and(|name| creating_hash(name, endpoint_hash) == creating)
        });
        begun.filter_map(|entry| entry.stored.open()).collect()
    }

    /// Everything that is there, opened one by one.
    pub fn sightings(&self) -> impl Iterator<Item = T> {
        let there = self.entries.values().filter(|entry| !entry.doubtful);
        there.filter_map(|entry| entry.stored.open())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.values().filter(|e| !e.doubtful).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the last listing was complete.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// Attributes that were seen with a value in any of them.
    pub fn echoed(&self) -> &BTreeSet<String> {
        &self.echoed
    }

    /// Whether `externalId` comes back.
    pub fn external_id_echo(&self) -> ExternalIdEcho {
        self.external_id
    }

    /// Records that one written with an `externalId` came back without.
    pub fn external_id_was_dropped(&mut self) {
        if self.external_id == ExternalIdEcho::Unknown {
            self.external_id = ExternalIdEcho::NotEchoed;
        }
    }

    fn bearing(&self, external_id: &str) -> impl Iterator<Item = &Entry<T>> {
        let mark = self.by_external_id.mark(external_id);
        self.undoubted(self.by_external_id.bearers(mark))
    }

    fn named(&self, folded: &str) -> impl Iterator<Item = &Entry<T>> {
        let mark = self.by_name.mark(folded);
        let named = self.undoubted(self.by_name.bearers(mark));
        named.filter(move |entry| entry.stored.name() == Some(folded))
    }

    fn undoubted<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a Arc<str>>,
    ) -> impl Iterator<Item = &'a Entry<T>> {
        ids.filter_map(|id| self.entries.get(id))
            .filter(|entry| !entry.doubtful)
    }

    fn insert(&mut self, sighting: T, step: u64) {
        self.detach(sighting.id());
        for attribute in sighting.attributes() {
            if !self.echoed.contains(attribute) {
                self.echoed.insert(attribute.to_owned());
            }
        }
        let mark = sighting
            .external_id()
            .map(|mark| self.by_external_id.mark(mark));
        let stored = Stored::new(sighting);
        let id = stored.id().clone();
        if let Some(mark) = mark {
            self.external_id = ExternalIdEcho::Echoed;
            self.by_external_id.insert(mark, id.clone());
        }
        if let Some(name) = stored.name() {
            let name = self.by_name.mark(name);
            self.by_name.insert(name, id.clone());
        }
        let entry = Entry {
            stored,
            mark,
            step,
            doubtful: false,
            unproven: false,
            assumed: false,
        };
        self.entries.insert(id, entry);
    }

    fn detach(&mut self, id: &str) {
        let Some((id, entry)) = self.entries.remove_entry(id) else {
            return;
        };
        if let Some(mark) = entry.mark {
            self.by_external_id.remove(mark, &id);
        }
        if let Some(name) = entry.stored.name() {
            let name = self.by_name.mark(name);
            self.by_name.remove(name, &id);
        }
    }
}

impl Groups {
    /// Forgets who is in a group, so that it is read before anything is decided: a change of its
    /// members was sent, and nobody knows what came of it. A listing that is under way was begun
    /// before that and knows no better.
    pub fn forget_members(&mut self, id: &str) {
        self.step += 1;
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        match entry.stored.open() {
            Some(group) => {
                let members = None;
                entry.stored = Stored::new(ObservedGroup { members, ..group });
            }
            // Not even this is known of it.
            None => entry.unproven = true,
        }
        entry.step = self.step;
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests;
