//! From what was listed to manifests and a report: who is written, who is left out and why. No request is made.

use std::collections::{BTreeMap, BTreeSet};

use super::declared::Declared;
use super::group::{self, Groups, Imported};
use super::names::{Wish, assign};
use super::output::File;
use super::report::{Broken, Entry, Kind, Why};
use super::schema::Schema;
use super::target::{Mark, Standing, Target};
use super::user::{self, BuiltUser, Crowd};
use super::{NameFrom, yaml};
use crate::api::common::UserRef;
use crate::cli::Failure;
use crate::domain::group::ObservedGroup;
use crate::domain::names::fold_name;
use crate::domain::observed::Observed;
use crate::domain::sighting::Sighting;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// What users are called by.
    pub name_from: NameFrom,
    /// Archived accounts are written too.
    pub include_archived: bool,
    /// Whoever is invalid is written too.
    pub include_invalid: bool,
    /// Whoever is declared already is written too.
    pub include_declared: bool,
}

/// What it came to.
#[derive(Clone, Debug, Default)]
pub struct Assembled {
    /// The manifests, by name.
    pub files: Vec<File>,
    /// Whoever needs a look, by name.
    pub entries: Vec<Entry>,
    /// How many are taken over without a write.
    pub in_step: usize,
}

impl Assembled {
    fn sorted(mut self) -> Self {
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        self.entries
            .sort_by(|a, b| (&a.name, a.reason, &a.id).cmp(&(&b.name, b.reason, &b.id)));
        self
    }
}

/// The manifests of accounts, and which ScimUsers groups can name.
///
/// # Errors
/// When YAML cannot be written.
pub fn users(
    accounts: &[Observed],
    target: &Target<'_>,
    schema: &Schema,
    declared: &Declared,
    choices: Choices,
) -> Result<(Assembled, Imported), Failure> {
    let names = named(accounts, target, declared, "user", |account| {
        let user_name = account.user_name.as_deref().unwrap_or_default();
        match choices.name_from {
            NameFrom::UserName => {
                vec![user_name.split('@').next().unwrap_or_default(), user_name]
            }
            NameFrom::ExternalId => vec![account.external_id.as_deref().unwrap_or(user_name)],
            NameFrom::Id => vec![&account.id],
        }
    });
    let mut done = Assembled::default();
    let mut imported = Imported::default();
    let mut order: Vec<(&Observed, &String)> = accounts.iter().zip(&names).collect();
    let holds = |account: &Observed| held_by(account, target, declared).is_some();
    // Of two with one userName the one that is declared has it, then one that is active.
    order.sort_by_key(|(a, _)| (!holds(a), a.active == Some(false), a.id.clone()));
    let mut claims: BTreeMap<String, &str> = BTreeMap::new();
    let mut chosen = Vec::new();
    for (account, name) in order {
        let left = |why| Entry::left_out(Kind::ScimUser, &account.id, name, why);
        if let Some(entry) = taken(account, target, declared, choices, left) {
            if entry.reason == Why::DeclaredAlready {
                let user_name = account.user_name.as_deref().unwrap_or_default();
                claims.insert(fold_name(user_name), &account.id);
                // As a member it goes by the resource that is there, and by none that is made up here.
                if is_here(account, target, declared) && declared.may_have(name) {
                    imported.insert(account.id.clone(), name.clone());
                }
            }
            done.entries.push(entry);
            continue;
        }
        if account.active == Some(false) && !choices.include_archived {
            done.entries.push(left(Why::Archived));
            continue;
        }
        let user_name = account.user_name.as_deref().unwrap_or_default();
        let first = *claims.entry(fold_name(user_name)).or_insert(&account.id);
        let duplicate = (first != account.id && !user_name.is_empty()).then(|| Entry {
            about: Some(format!("id {first}")),
            written: choices.include_invalid,
            ..left(Why::DuplicateUserName)
        });
        if duplicate.is_some() && !choices.include_invalid {
            done.entries.extend(duplicate);
            continue;
        }
        chosen.push((account, name, duplicate));
    }
    let crowd = Crowd::of(accounts);
    let standing = |built: &BuiltUser, account: &Observed, name: &str| {
        user::standing_of(&built.spec, account, target, schema, name, &crowd)
    };
    let mut written = Vec::new();
    let mut managers: BTreeMap<&str, UserRef> = BTreeMap::new();
    for (account, name, duplicate) in chosen {
        let built = user::spec_of(account, target, schema, name, None);
        let found = standing(&built, account, name);
        let is_valid = !matches!(found, Standing::Invalid(_)) && duplicate.is_none();
        if is_valid || choices.include_invalid {
            imported.insert(account.id.clone(), name.clone());
        } else {
            let entry = Entry::of_standing(Kind::ScimUser, &account.id, name, &found, false);
            done.entries.extend(entry);
            continue;
        }
        if is_valid {
            let reference = UserRef {
                name: name.clone(),
                namespace: None,
            };
            managers.insert(&account.id, reference);
        }
        written.push((account, name, duplicate, built, found));
    }
    for (account, name, duplicate, built, found) in written {
        let manager = account.attributes.get("manager").and_then(user::text);
        let manager = manager.filter(|id| *id != account.id);
        let reference = manager.and_then(|id| managers.get(id.as_str()));
        let (built, found) = match reference {
            Some(reference) => {
                let built = user::spec_of(account, target, schema, name, Some(reference));
                let found = standing(&built, account, name);
                (built, found)
            }
            None => (built, found),
        };
        let entry = |why| Entry {
            written: true,
            ..Entry::left_out(Kind::ScimUser, &account.id, name, why)
        };
        done.in_step += usize::from(found == Standing::InStep && duplicate.is_none());
        let mut entries = Vec::from_iter(duplicate);
        entries.extend(Entry::of_standing(
            Kind::ScimUser,
            &account.id,
            name,
            &found,
            true,
        ));
        if !built.left_out.is_empty() {
            entries.push(Entry {
                violations: built.left_out.into_iter().map(Broken::from).collect(),
                ..entry(Why::AttributesLeftOut)
            });
        }
        let comments: Vec<String> = entries.iter().map(Entry::comment).collect();
        done.files.push(File {
            folder: "users",
            text: yaml::user(name, target.namespace, &built.spec, &comments)?,
            name: name.clone(),
        });
        done.entries.extend(entries);
    }
    Ok((done.sorted(), imported))
}

/// The manifests of groups.
///
/// # Errors
/// When YAML cannot be written.
pub fn groups(
    all: &[ObservedGroup],
    target: &Target<'_>,
    schema: &Schema,
    declared: &Declared,
    imported: &Imported,
    choices: Choices,
) -> Result<Assembled, Failure> {
    let names = named(all, target, declared, "group", |group| {
        vec![group.display_name.as_deref().unwrap_or_default()]
    });
    let crowd = Groups::of(all);
    let mut done = Assembled::default();
    for (seen, name) in all.iter().zip(&names) {
        let left = |why| Entry::left_out(Kind::ScimGroup, &seen.id, name, why);
        if let Some(entry) = taken(seen, target, declared, choices, left) {
            done.entries.push(entry);
            continue;
        }
        let built = group::spec_of(seen, target, imported);
        let found = group::standing_of(&built.spec, seen, target, schema, name, imported, &crowd);
        let invalid = matches!(found, Standing::Invalid(_));
        let writes = !invalid || choices.include_invalid;
        let entry = Entry::of_standing(Kind::ScimGroup, &seen.id, name, &found, writes);
        let mut entries = Vec::from_iter(entry);
        if !writes {
            done.entries.extend(entries);
            continue;
        }
        done.in_step += usize::from(found == Standing::InStep);
        if !built.left_out.is_empty() {
            entries.push(Entry {
                written: true,
                members: built.left_out,
                ..left(Why::MembersLeftOut)
            });
        }
        let comments: Vec<String> = entries.iter().map(Entry::comment).collect();
        done.files.push(File {
            folder: "groups",
            text: yaml::group(name, target.namespace, &built.spec, &comments)?,
            name: name.clone(),
        });
        done.entries.extend(entries);
    }
    Ok(done.sorted())
}

/// What each is called: as the resource that it has already, else after itself.
fn named<'a, T: Sighting>(
    all: &'a [T],
    target: &Target<'_>,
    declared: &Declared,
    else_called: &'static str,
    texts: impl Fn(&'a T) -> Vec<&'a str>,
) -> Vec<String> {
    // Two may bear one mark: whoever comes second is called otherwise, or one file would take the other's place.
    // And whose account a resource has recorded comes before whoever bears its mark.
    let held: Vec<Option<&str>> = all.iter().map(|one| declared.holder_of(one.id())).collect();
    let mut fixed_before: BTreeSet<&str> = held.iter().copied().flatten().collect();
    let marked = |one: &'a T| match target.mark(one.external_id()) {
        Mark::Own(name) => Some(name),
        _ => None,
    };
    let fixed: Vec<Option<String>> = all
        .iter()
        .zip(held)
        .map(|(one, held)| {
            let fixed = held.or_else(|| marked(one).filter(|name| fixed_before.insert(*name)));
            fixed.map(str::to_owned)
        })
        .collect();
    let mut reserved: BTreeSet<String> = declared.names().clone();
    reserved.extend(fixed.iter().flatten().cloned());
    let open = all.iter().zip(&fixed).filter(|(_, fixed)| fixed.is_none());
    let wishes: Vec<Wish<'_>> = open
        .map(|(one, _)| Wish {
            id: one.id(),
            texts: texts(one),
            else_called,
        })
        .collect();
    let mut assigned = assign(&wishes, &reserved).into_iter();
    fixed
        .into_iter()
        .map(|fixed| fixed.or_else(|| assigned.next()).unwrap_or_default())
        .collect()
}

/// The resource that has one already, as far as is known.
fn held_by<T: Sighting>(one: &T, target: &Target<'_>, declared: &Declared) -> Option<String> {
    if let Some(name) = declared.holder_of(one.id()) {
        return Some(format!("{}/{name}", target.namespace));
    }
    match target.mark(one.external_id()) {
        Mark::Own(name) if declared.may_have(name) => Some(format!("{}/{name}", target.namespace)),
        Mark::Elsewhere(namespace, name) => Some(format!("{namespace}/{name}")),
        _ => None,
    }
}

/// Whether the resource that has it is, or would be, one of the target's namespace.
fn is_here<T: Sighting>(one: &T, target: &Target<'_>, declared: &Declared) -> bool {
    let elsewhere = matches!(target.mark(one.external_id()), Mark::Elsewhere(..));
    declared.holder_of(one.id()).is_some() || !elsewhere
}

/// Why one is not for this import to declare, if so.
fn taken<T: Sighting>(
    one: &T,
    target: &Target<'_>,
    declared: &Declared,
    choices: Choices,
    left: impl Fn(Why) -> Entry,
) -> Option<Entry> {
    if target.mark(one.external_id()) == Mark::OtherOperator {
        return Some(Entry {
            about: Some("another scim-operator, or to another of its connections".into()),
            ..left(Why::OwnedByOther)
        });
    }
    let holder = held_by(one, target, declared)?;
    let wanted = choices.include_declared && is_here(one, target, declared);
    (!wanted).then(|| Entry {
        about: Some(holder),
        ..left(Why::DeclaredAlready)
    })
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
