//! What is declared twice, in one file or in several: an object, a person's name, a mark, an account that is adopted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::declared::{Declared, Key, Resource, connection_of, key, spelt};
use super::finding::{Fault, FieldPath};
use crate::api::{Adopt, ConnectionRef};
use crate::cli::manifests::{Manifest, Place};
use crate::domain::names;

/// Whatever was declared before, at the later place, each with the number of its manifest.
pub fn check(
    ours: &[(usize, &Manifest)],
    declared: &Declared<'_>,
    usual: &str,
) -> Vec<(usize, Fault)> {
    let mut found = objects(ours, usual);
    let mut names = Claims::default();
    let mut marks = Claims::default();
    let mut adopted = Claims::default();
    for user in &declared.users {
        let spec = &user.spec;
        let name = names::fold_name(&spec.user_name);
        let told = "is claimed already, ignoring case, at this connection";
        found.extend(
            names.claim("ScimUser", user, &spec.connection_ref, &name, |before| {
                Fault::error(
                    FieldPath::spelt("spec.userName"),
                    "duplicate/userName",
                    format!("{told}, {before}"),
                )
            }),
        );
        found.extend(mark(
            &mut marks,
            "ScimUser",
            user,
            &spec.connection_ref,
            spec.external_id.as_deref(),
        ));
        found.extend(adopt(
            &mut adopted,
            "ScimUser",
            user,
            &spec.connection_ref,
            spec.adopt.as_ref(),
        ));
    }
    for group in &declared.groups {
        let spec = &group.spec;
        found.extend(mark(
            &mut marks,
            "ScimGroup",
            group,
            &spec.connection_ref,
            spec.external_id.as_deref(),
        ));
        found.extend(adopt(
            &mut adopted,
            "ScimGroup",
            group,
            &spec.connection_ref,
            spec.adopt.as_ref(),
        ));
    }
    found
}

fn objects(ours: &[(usize, &Manifest)], usual: &str) -> Vec<(usize, Fault)> {
    let mut first: BTreeMap<(&str, Key), &Place> = BTreeMap::new();
    let mut found = Vec::new();
    // What has no name yet gets one of its own.
    for (at, manifest) in ours
        .iter()
        .filter(|(_, manifest)| !manifest.name().is_empty())
    {
        match first.entry((manifest.kind(), key(manifest, usual))) {
            Entry::Vacant(place) => {
                place.insert(&manifest.place);
            }
            Entry::Occupied(before) => {
                let message = format!("is declared already, at {}", before.get());
                found.push((
                    *at,
                    Fault::error(
                        FieldPath::spelt("metadata.name"),
                        "duplicate/object",
                        message,
                    ),
                ));
            }
        }
    }
    found
}

fn mark<S>(
    marks: &mut Claims,
    kind: &'static str,
    resource: &Resource<'_, S>,
    connection: &ConnectionRef,
    external_id: Option<&str>,
) -> Option<(usize, Fault)> {
    marks.claim(kind, resource, connection, external_id?, |before| {
        let told = format!("is another resource's already at this connection, {before}");
        Fault::error(
            FieldPath::spelt("spec.externalId"),
            "duplicate/externalId",
            told,
        )
    })
}

fn adopt<S>(
    adopted: &mut Claims,
    kind: &'static str,
    resource: &Resource<'_, S>,
    connection: &ConnectionRef,
    adopt: Option<&Adopt>,
) -> Option<(usize, Fault)> {
    adopted.claim(kind, resource, connection, &adopt?.id, |before| {
        let told = format!("is adopted already at this connection, {before}");
        Fault::error(FieldPath::spelt("spec.adopt.id"), "duplicate/adopt", told)
    })
}

/// Who claimed something first: by kind, connection and what is claimed.
#[derive(Default)]
struct Claims(BTreeMap<(&'static str, Key, String), (Key, Place)>);

impl Claims {
    fn claim<S>(
        &mut self,
        kind: &'static str,
        resource: &Resource<'_, S>,
        connection: &ConnectionRef,
        what: &str,
        fault: impl FnOnce(&str) -> Fault,
    ) -> Option<(usize, Fault)> {
        let connection = connection_of(connection, &resource.key.0);
        match self.0.entry((kind, connection, what.to_owned())) {
            Entry::Vacant(free) => {
                free.insert((resource.key.clone(), resource.manifest.place.clone()));
                None
            }
            // The same object again is said as such.
            Entry::Occupied(first) if first.get().0 == resource.key => None,
            Entry::Occupied(first) => {
                let (claimant, place) = first.get();
                let before = format!("by {kind} {} at {place}", spelt(claimant));
                Some((resource.at, fault(&before)))
            }
        }
    }
}
