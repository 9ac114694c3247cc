//! The mirror of one backend's users: what the last listing said, corrected by the replies to our
//! own writes. It answers observe without a request, and says what a listing changed.
//!
//! Guarantees: a listing never overwrites what we wrote after it began (R05); absence from a listing
//! is only doubt, to be settled by a GET, never proof of deletion (R21).

use std::collections::{BTreeSet, HashMap};

use crate::domain::names::fold_user_name;
use crate::domain::observed::Observed;

/// Whether a backend returns `externalId`: learned, not assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalIdEcho {
    /// No account of ours was seen yet.
    #[default]
    Unknown,
    /// It does.
    Echoed,
    /// An account was written with one and came back without.
    NotEchoed,
}

#[derive(Clone, Debug)]
struct Entry {
    observed: Observed,
    /// When this was last known, in steps of this directory.
    step: u64,
    /// The last complete listing lacked it.
    doubtful: bool,
}

/// The users of one backend.
#[derive(Debug, Default)]
pub struct Directory {
    entries: HashMap<String, Entry>,
    by_external_id: HashMap<String, BTreeSet<String>>,
    by_user_name: HashMap<String, BTreeSet<String>>,
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
    /// Accounts whose state differs from what was known, or that are new.
    pub changed: Vec<String>,
    /// Accounts that were known and are not listed any more.
    pub missing: Vec<String>,
}

/// An account as the directory knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Seen, or written, and not contradicted since.
    Present(Observed),
    /// Known before, and missing from the last listing: ask by id.
    Doubtful,
    /// Never seen.
    Unknown,
}

impl Directory {
    /// Marks the beginning of a listing.
    pub fn begin_listing(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// Takes a listing that began at `mark`. Only a complete one casts doubt on what it lacks.
    pub fn finish_listing(
        &mut self,
        mark: u64,
        listed: Vec<Observed>,
        complete: bool,
    ) -> Difference {
        let mut difference = Difference::default();
        let ids: BTreeSet<String> = listed.iter().map(|o| o.id.clone()).collect();
        for observed in listed {
            let newer = self
                .entries
                .get(&observed.id)
                .is_some_and(|e| e.step > mark)
                || self
                    .removed
                    .get(&observed.id)
                    .is_some_and(|step| *step > mark);
            if newer {
                continue;
            }
            let known = self.entries.get(&observed.id);
            if known.is_none_or(|e| e.doubtful || !e.observed.same_state(&observed)) {
                difference.changed.push(observed.id.clone());
            }
            self.insert(observed, mark);
        }
        if complete {
            for (id, entry) in &mut self.entries {
                if !ids.contains(id) && entry.step <= mark {
                    entry.doubtful = true;
                    difference.missing.push(id.clone());
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
    pub fn put(&mut self, observed: Observed) {
        self.step += 1;
        let step = self.step;
        self.insert(observed, step);
    }

    /// Records what a write that was answered without a body must have come to. It teaches nothing
    /// of what the backend returns.
    pub fn put_assumed(&mut self, assumed: Observed) {
        let echoed = self.echoed.clone();
        self.put(assumed);
        self.echoed = echoed;
    }

    /// Records that an account is gone: deleted by us, or 404 by id.
    pub fn remove(&mut self, id: &str) {
        self.step += 1;
        self.removed.insert(id.to_owned(), self.step);
        self.detach(id);
    }

    /// The account with that id.
    pub fn by_id(&self, id: &str) -> Known {
        match self.entries.get(id) {
            None => Known::Unknown,
            Some(entry) if entry.doubtful => Known::Doubtful,
            Some(entry) => Known::Present(entry.observed.clone()),
        }
    }

    /// The accounts that carry that mark.
    pub fn by_external_id(&self, external_id: &str) -> Vec<Observed> {
        self.all(self.by_external_id.get(external_id))
    }

    /// The accounts with that userName, ignoring case.
    pub fn by_user_name(&self, user_name: &str) -> Vec<Observed> {
        self.all(self.by_user_name.get(&fold_user_name(user_name)))
    }

    /// How many accounts there are.
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

    /// Attributes that were seen with a value in any account.
    pub fn echoed(&self) -> &BTreeSet<String> {
        &self.echoed
    }

    /// Whether `externalId` comes back.
    pub fn external_id_echo(&self) -> ExternalIdEcho {
        self.external_id
    }

    /// Records that an account written with an `externalId` came back without.
    pub fn external_id_was_dropped(&mut self) {
        if self.external_id == ExternalIdEcho::Unknown {
            self.external_id = ExternalIdEcho::NotEchoed;
        }
    }

    fn all(&self, ids: Option<&BTreeSet<String>>) -> Vec<Observed> {
        let entries = ids
            .into_iter()
            .flatten()
            .filter_map(|id| self.entries.get(id));
        entries
            .filter(|e| !e.doubtful)
            .map(|e| e.observed.clone())
            .collect()
    }

    fn insert(&mut self, observed: Observed, step: u64) {
        self.detach(&observed.id);
        self.echoed.extend(observed.attributes.keys().cloned());
        if let Some(mark) = &observed.external_id {
            self.external_id = ExternalIdEcho::Echoed;
            self.by_external_id
                .entry(mark.clone())
                .or_default()
                .insert(observed.id.clone());
        }
        if let Some(name) = &observed.user_name {
            self.by_user_name
                .entry(fold_user_name(name))
                .or_default()
                .insert(observed.id.clone());
        }
        self.entries.insert(
            observed.id.clone(),
            Entry {
                observed,
                step,
                doubtful: false,
            },
        );
    }

    fn detach(&mut self, id: &str) {
        let Some(entry) = self.entries.remove(id) else {
            return;
        };
        if let Some(mark) = entry.observed.external_id {
            unlink(&mut self.by_external_id, &mark, id);
        }
        if let Some(name) = entry.observed.user_name {
            unlink(&mut self.by_user_name, &fold_user_name(&name), id);
        }
    }
}

fn unlink(index: &mut HashMap<String, BTreeSet<String>>, key: &str, id: &str) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str, name: &str) -> Observed {
        Observed {
            id: id.into(),
            user_name: Some(name.into()),
            external_id: Some(format!("mark-{id}")),
            active: Some(true),
            ..Observed::default()
        }
    }

    #[test]
    fn a_listing_tells_what_changed_and_doubts_what_it_lacks() {
        let mut directory = Directory::default();
        let mark = directory.begin_listing();
        let first =
            directory.finish_listing(mark, vec![account("1", "ada"), account("2", "bob")], true);
        assert_eq!(first.changed, ["1", "2"]);
        let mark = directory.begin_listing();
        let second = directory.finish_listing(mark, vec![account("1", "Eve")], true);
        assert_eq!(
            (second.changed, second.missing),
            (vec!["1".to_owned()], vec!["2".to_owned()])
        );
        assert_eq!(directory.by_id("2"), Known::Doubtful);
        assert!(directory.by_user_name("ada").is_empty());
        assert_eq!(directory.by_user_name("EVE").len(), 1);
    }

    #[test]
    fn an_incomplete_listing_casts_no_doubt() {
        let mut directory = Directory::default();
        directory.put(account("1", "ada"));
        let mark = directory.begin_listing();
        let difference = directory.finish_listing(mark, vec![], false);
        assert_eq!(difference, Difference::default());
        assert!(matches!(directory.by_id("1"), Known::Present(_)));
    }

    #[test]
    fn what_was_written_during_a_listing_is_newer_than_the_listing() {
        let mut directory = Directory::default();
        directory.put(account("1", "ada"));
        directory.put(account("2", "bob"));
        let mark = directory.begin_listing();
        directory.put(account("1", "ada.new"));
        directory.put(account("3", "created"));
        directory.remove("2");
        let difference =
            directory.finish_listing(mark, vec![account("1", "ada"), account("2", "bob")], true);
        assert_eq!(difference, Difference::default());
        assert_eq!(directory.by_user_name("ada.new").len(), 1);
        assert_eq!(directory.by_id("2"), Known::Unknown);
        assert!(matches!(directory.by_id("3"), Known::Present(_)));
    }

    #[test]
    fn what_is_only_assumed_teaches_nothing_of_what_is_returned() {
        let mut directory = Directory::default();
        let mut assumed = account("1", "ada");
        assumed.attributes.insert("title".into(), "Countess".into());
        directory.put_assumed(assumed.clone());
        assert!(directory.echoed().is_empty());
        assert_eq!(directory.by_id("1"), Known::Present(assumed.clone()));
        directory.put(assumed);
        assert!(directory.echoed().contains("title"));
    }

    #[test]
    fn an_account_that_comes_back_is_a_change() {
        let mut directory = Directory::default();
        directory.put(account("1", "ada"));
        let mark = directory.begin_listing();
        directory.finish_listing(mark, vec![], true);
        let mark = directory.begin_listing();
        assert_eq!(
            directory
                .finish_listing(mark, vec![account("1", "ada")], true)
                .changed,
            ["1"]
        );
    }
}
