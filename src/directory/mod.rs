//! The mirror of one backend's users, or of its groups: what the last listing said, corrected by the
//! replies to our own writes. It answers observe without a request, and says what a listing changed.
//!
//! Guarantees: a listing never overwrites what we wrote after it began (R05); absence from a listing
//! is only doubt, to be settled by a GET, never proof of deletion (R21).

use std::collections::{BTreeSet, HashMap};

use crate::domain::few::Few;
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
    sighting: T,
    /// When this was last known, in steps of this directory.
    step: u64,
    /// The last complete listing lacked it.
    doubtful: bool,
    /// A write was sent, and nobody knows whether it was carried out.
    unproven: bool,
}

/// Everything of one kind that a backend has.
#[derive(Debug)]
pub struct Directory<T> {
    entries: HashMap<String, Entry<T>>,
    by_external_id: HashMap<String, Few<String>>,
    by_name: HashMap<String, Few<String>>,
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

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            by_external_id: HashMap::new(),
            by_name: HashMap::new(),
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
    pub fn finish_listing(&mut self, mark: u64, listed: Vec<T>, complete: bool) -> Difference {
        let mut difference = Difference::default();
        let ids: BTreeSet<String> = listed.iter().map(|s| s.id().to_owned()).collect();
        for mut sighting in listed {
            let id = sighting.id().to_owned();
            let known = self.entries.get(&id);
            let removed = self.removed.get(&id);
            if known.is_some_and(|e| e.step > mark) || removed.is_some_and(|step| *step > mark) {
                continue;
            }
            if let Some(known) = known {
                sighting.carry(&known.sighting);
            }
            if known.is_none_or(|e| e.doubtful || !e.sighting.same_state(&sighting)) {
                difference.changed.push(id);
            }
            self.insert(sighting, mark);
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
    pub fn put(&mut self, sighting: T) {
        self.step += 1;
        let step = self.step;
        self.insert(sighting, step);
    }

    /// Records what a write that was answered without a body must have come to. It teaches nothing
    /// of what the backend returns: neither which attributes, nor whether `externalId`.
    pub fn put_assumed(&mut self, assumed: T) {
        let (echoed, external_id) = (self.echoed.clone(), self.external_id);
        self.put(assumed);
        (self.echoed, self.external_id) = (echoed, external_id);
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
            Some(entry) => Known::Present(entry.sighting.clone()),
        }
    }

    /// What was last known of the one with that id, doubtful or not.
    pub fn last_known(&self, id: &str) -> Option<&T> {
        self.entries.get(id).map(|entry| &entry.sighting)
    }

    /// Those that carry that mark.
    pub fn by_external_id(&self, external_id: &str) -> Vec<T> {
        self.all(self.by_external_id.get(external_id))
    }

    /// Those with that name, ignoring case.
    pub fn by_name(&self, name: &str) -> Vec<T> {
        self.all(self.by_name.get(&fold_name(name)))
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
        let begun = known.map(|entry| &entry.sighting).filter(|sighting| {
            (sighting.external_id().is_some() || !echoed)
                && sighting
                    .name()
                    .is_some_and(|name| creating_hash(name, endpoint_hash) == creating)
        });
        begun.cloned().collect()
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

    fn all(&self, ids: Option<&Few<String>>) -> Vec<T> {
        let entries = ids
            .into_iter()
            .flat_map(Few::iter)
            .filter_map(|id| self.entries.get(id));
        entries
            .filter(|e| !e.doubtful)
            .map(|e| e.sighting.clone())
            .collect()
    }

    fn insert(&mut self, sighting: T, step: u64) {
        let id = sighting.id().to_owned();
        self.detach(&id);
        self.echoed.extend(sighting.attributes().map(str::to_owned));
        if let Some(mark) = sighting.external_id() {
            self.external_id = ExternalIdEcho::Echoed;
            let ids = self.by_external_id.entry(mark.to_owned()).or_default();
            ids.insert(id.clone());
        }
        if let Some(name) = sighting.name() {
            let ids = self.by_name.entry(fold_name(name)).or_default();
            ids.insert(id.clone());
        }
        let entry = Entry {
            sighting,
            step,
            doubtful: false,
            unproven: false,
        };
        self.entries.insert(id, entry);
    }

    fn detach(&mut self, id: &str) {
        let Some(entry) = self.entries.remove(id) else {
            return;
        };
        if let Some(mark) = entry.sighting.external_id() {
            unlink(&mut self.by_external_id, mark, &id.to_owned());
        }
        if let Some(name) = entry.sighting.name() {
            unlink(&mut self.by_name, &fold_name(name), &id.to_owned());
        }
    }
}

impl Groups {
    /// Forgets who is in a group, so that it is read before anything is decided: a change of its
    /// members was sent, and nobody knows what came of it. A listing that is under way was begun
    /// before that and knows no better.
    pub fn forget_members(&mut self, id: &str) {
        self.step += 1;
        if let Some(entry) = self.entries.get_mut(id) {
            entry.sighting.members = None;
            entry.step = self.step;
        }
    }
}

fn unlink(index: &mut HashMap<String, Few<String>>, key: &str, id: &String) {
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
    fn r21_a_listing_tells_what_changed_and_doubts_what_it_lacks() {
        let mut directory = Users::default();
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
        assert!(directory.by_name("ada").is_empty());
        assert_eq!(directory.by_name("EVE").len(), 1);
    }

    #[test]
    fn an_incomplete_listing_casts_no_doubt() {
        let mut directory = Users::default();
        directory.put(account("1", "ada"));
        let mark = directory.begin_listing();
        let difference = directory.finish_listing(mark, vec![], false);
        assert_eq!(difference, Difference::default());
        assert!(matches!(directory.by_id("1"), Known::Present(_)));
    }

    #[test]
    fn r05_what_was_written_during_a_listing_is_newer_than_the_listing() {
        let mut directory = Users::default();
        directory.put(account("1", "ada"));
        directory.put(account("2", "bob"));
        let mark = directory.begin_listing();
        directory.put(account("1", "ada.new"));
        directory.put(account("3", "created"));
        directory.remove("2");
        let difference =
            directory.finish_listing(mark, vec![account("1", "ada"), account("2", "bob")], true);
        assert_eq!(difference, Difference::default());
        assert_eq!(directory.by_name("ada.new").len(), 1);
        assert_eq!(directory.by_id("2"), Known::Unknown);
        assert!(matches!(directory.by_id("3"), Known::Present(_)));
    }

    #[test]
    fn what_is_only_assumed_teaches_nothing_of_what_is_returned() {
        let mut directory = Users::default();
        let mut assumed = account("1", "ada");
        assumed.attributes.insert("title".into(), "Countess".into());
        directory.put_assumed(assumed.clone());
        assert!(directory.echoed().is_empty());
        assert_eq!(directory.external_id_echo(), ExternalIdEcho::Unknown);
        assert_eq!(directory.by_id("1"), Known::Present(assumed.clone()));
        directory.put(assumed);
        assert!(directory.echoed().contains("title"));
        assert_eq!(directory.external_id_echo(), ExternalIdEcho::Echoed);
    }

    #[test]
    fn what_was_begun_is_found_by_its_name_and_by_a_mark_where_marks_come_back() {
        let unmarked = |id: &str, name: &str| Observed {
            external_id: None,
            ..account(id, name)
        };
        let ada = creating_hash("Ada", Some("here"));
        let begun = |directory: &Users, endpoint: &str| -> Vec<String> {
            let found = directory.begun(Some(&ada), Some(endpoint));
            found.into_iter().map(|account| account.id).collect()
        };
        let mut directory = Directory::default();
        directory.put(unmarked("1", "ada"));
        directory.put(unmarked("2", "bob"));
        assert_eq!(begun(&directory, "here"), ["1"]);
        assert!(
            begun(&directory, "there").is_empty(),
            "begun at another backend"
        );
        assert!(
            directory.begun(None, Some("here")).is_empty(),
            "nothing was begun"
        );
        directory.put(account("3", "eve"));
        assert!(
            begun(&directory, "here").is_empty(),
            "ours would bear a mark"
        );
    }

    #[test]
    fn what_a_lost_answer_leaves_unknown_is_asked_for_and_a_listing_from_before_tells_nothing() {
        let mut directory = Users::default();
        directory.put(account("1", "ada"));
        let mark = directory.begin_listing();
        directory.doubt("1");
        assert_eq!(directory.by_id("1"), Known::Doubtful);
        assert_eq!(directory.by_name("ada").len(), 1, "it is still there");
        let before = directory.finish_listing(mark, vec![account("1", "ada")], true);
        assert_eq!(before, Difference::default());
        assert_eq!(directory.by_id("1"), Known::Doubtful);
        let mark = directory.begin_listing();
        directory.finish_listing(mark, vec![account("1", "ada")], true);
        assert!(matches!(directory.by_id("1"), Known::Present(_)));
        directory.doubt("1");
        directory.put(account("1", "ada"));
        assert!(matches!(directory.by_id("1"), Known::Present(_)));
    }

    #[test]
    fn an_account_that_comes_back_is_a_change() {
        let mut directory = Users::default();
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

    fn group(stamp: &str, members: Option<&[&str]>) -> ObservedGroup {
        ObservedGroup {
            id: "g".into(),
            display_name: Some("Engineering".into()),
            stamp: Some(stamp.into()),
            members: members.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
            ..ObservedGroup::default()
        }
    }

    #[test]
    fn a_group_listed_without_its_members_keeps_them_while_its_stamp_stands() {
        let mut directory = Groups::default();
        directory.put(group("1", Some(&["a"])));
        let mark = directory.begin_listing();
        let first = directory.finish_listing(mark, vec![group("1", None)], true);
        assert_eq!(first, Difference::default(), "nobody has to look");
        assert_eq!(
            directory.by_id("g"),
            Known::Present(group("1", Some(&["a"])))
        );
        let mark = directory.begin_listing();
        let second = directory.finish_listing(mark, vec![group("2", None)], true);
        assert_eq!(second.changed, ["g"]);
        assert_eq!(directory.by_id("g"), Known::Present(group("2", None)));
        let mark = directory.begin_listing();
        let third = directory.finish_listing(mark, vec![group("2", None)], true);
        assert_eq!(third.changed, ["g"], "until somebody has looked");
    }

    #[test]
    fn forgotten_members_are_not_brought_back_by_a_listing_that_began_before() {
        let mut directory = Groups::default();
        directory.put(group("1", Some(&["a"])));
        let mark = directory.begin_listing();
        directory.forget_members("g");
        directory.forget_members("unknown");
        directory.finish_listing(mark, vec![group("1", Some(&["a"]))], true);
        assert_eq!(directory.by_id("g"), Known::Present(group("1", None)));
        assert_eq!(directory.by_name("ENGINEERING").len(), 1);
        assert_eq!(directory.by_id("unknown"), Known::Unknown);
    }
}
