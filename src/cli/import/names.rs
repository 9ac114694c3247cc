//! What a resource is called after an account or a group: a label of RFC 1123, unique, and the same whenever the same
//! ones are listed.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::names::short_hash;

/// The longest name, in characters.
const LONGEST: usize = 63;

/// How many characters of the hash of an id set a name apart; more where fewer are not enough.
const HASHES: [usize; 3] = [8, 12, 16];

/// What one would be called, the dearest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    /// Its id at the backend, which sets it apart where nothing else does.
    pub id: &'a str,
    /// Texts to be called by, as the backend has them.
    pub texts: Vec<&'a str>,
    /// What it is called by where none of them has a letter or a digit.
    pub else_called: &'static str,
}

/// A name for each wish, in their order, none of them `reserved`. Whoever would share one is called by what comes
/// next, all of them, so that it does not matter who comes first; in the end by a part of the hash of its id.
pub fn assign(wishes: &[Wish<'_>], reserved: &BTreeSet<String>) -> Vec<String> {
    let folded: Vec<Vec<String>> = wishes.iter().map(names_of).collect();
    let mut steps = vec![0; wishes.len()];
    loop {
        let names: Vec<&str> = folded
            .iter()
            .zip(&steps)
            .filter_map(|(names, step)| names.get(*step).or(names.last()))
            .map(String::as_str)
            .collect();
        let mut bearers: BTreeMap<&str, usize> = BTreeMap::new();
        for name in &names {
            *bearers.entry(name).or_default() += 1;
        }
        let shared = |name: &str| {
            bearers.get(name).is_some_and(|count| *count > 1) || reserved.contains(name)
        };
        let moves: Vec<bool> = names
            .iter()
            .zip(folded.iter().zip(&steps))
            .map(|(name, (names, step))| shared(name) && step + 1 < names.len())
            .collect();
        if !moves.contains(&true) {
            return names.into_iter().map(str::to_owned).collect();
        }
        for (step, moves) in steps.iter_mut().zip(moves) {
            *step += usize::from(moves);
        }
    }
}

/// Everything that one may be called, the dearest first.
fn names_of(wish: &Wish<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for text in &wish.texts {
        let folded = fold(text);
        if !folded.is_empty() && !names.contains(&folded) {
            names.push(folded);
        }
    }
    let base = names.first().map_or(wish.else_called, String::as_str);
    let hash = short_hash(wish.id);
    let hashed = HASHES.map(|length| {
        let mark: String = hash.chars().take(length).collect();
        let room: String = base.chars().take(LONGEST - 1 - length).collect();
        format!("{}-{mark}", room.trim_end_matches('-'))
    });
    names.extend(hashed);
    names
}

/// A text as a label: letters as ASCII has them, in lower case, and a hyphen for whatever else; empty where there is
/// neither letter nor digit.
fn fold(text: &str) -> String {
    let mut label = String::new();
    for c in deunicode::deunicode(text).to_ascii_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(LONGEST);
    label.trim_end_matches('-').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish<'a>(id: &'a str, user_name: &'a str) -> Wish<'a> {
        let local = user_name.split('@').next().unwrap();
        Wish {
            id,
            texts: vec![local, user_name],
            else_called: "user",
        }
    }

    fn named(people: &[(&str, &str)]) -> Vec<String> {
        let wishes: Vec<_> = people.iter().map(|(id, name)| wish(id, name)).collect();
        assign(&wishes, &BTreeSet::new())
    }

    #[test]
    fn a_name_is_the_local_part_folded() {
        for (user_name, name) in [
            ("ada@example.com", "ada"),
            ("Ada.King@example.com", "ada-king"),
            ("zoë.müller@example.com", "zoe-muller"),
            ("o'brien+test@example.com", "o-brien-test"),
            ("--x--@example.com", "x"),
            ("7", "7"),
        ] {
            assert_eq!(named(&[("1", user_name)]), [name], "{user_name}");
        }
    }

    #[test]
    fn those_who_share_a_name_are_all_called_by_the_whole_whoever_comes_first() {
        let (a, b) = (("1", "ada@example.com"), ("2", "ada@example.org"));
        assert_eq!(named(&[a, b]), ["ada-example-com", "ada-example-org"]);
        assert_eq!(named(&[b, a]), ["ada-example-org", "ada-example-com"]);
    }

    #[test]
    fn those_who_share_all_are_told_apart_by_their_ids_the_same_in_every_run() {
        let names = named(&[("1", "Ada@example.com"), ("2", "ada@EXAMPLE.com")]);
        assert_eq!(names, ["ada-6b86b273", "ada-d4735e3a"]);
    }

    #[test]
    fn what_has_no_letter_is_called_by_its_kind_and_a_hash() {
        assert_eq!(named(&[("1", "@@")]), ["user-6b86b273"]);
    }

    #[test]
    fn a_reserved_name_is_nobody_elses() {
        let reserved = BTreeSet::from(["ada".to_owned()]);
        let names = assign(&[wish("1", "ada@example.com")], &reserved);
        assert_eq!(names, ["ada-example-com"]);
    }

    proptest! {
        #[test]
        fn names_are_labels_and_unique(texts in prop::collection::vec(("\\PC{0,8}", prop::bool::ANY), 0..12), long in 0..90usize) {
            let ids: Vec<String> = (0..texts.len()).map(|i| i.to_string()).collect();
            let texts: Vec<String> = texts
                .into_iter()
                .map(|(text, extend)| if extend { format!("{text}{}", "é".repeat(long)) } else { text })
                .collect();
            let wishes: Vec<_> = ids.iter().zip(&texts).map(|(id, text)| wish(id, text)).collect();
            let names = assign(&wishes, &BTreeSet::from(["a".to_owned()]));
            prop_assert_eq!(names.len(), wishes.len());
            let unique: BTreeSet<_> = names.iter().collect();
            prop_assert_eq!(unique.len(), names.len());
            for name in &names {
                let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                prop_assert!(!name.is_empty() && name.len() <= 63 && name.chars().all(ok), "{}", name);
                prop_assert!(!name.starts_with('-') && !name.ends_with('-') && name != "a", "{}", name);
            }
        }
    }
}
