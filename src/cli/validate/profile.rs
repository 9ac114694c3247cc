//! The rules of the backend, by the operator's own validator: what it would say in a condition, said before.

use std::collections::BTreeSet;

use super::declared::{Declared, connection_of};
use super::finding::{Fault, FieldPath};
use crate::api::ScimUserSpec;
use crate::domain::group::validate_group;
use crate::domain::names;
use crate::domain::profile::Profile;
use crate::domain::validate::{Subject, Violation, validate};

/// What the operator would say of every user and group, each with the number of its manifest. `usual` is the profile
/// where the connection is not declared. `said` are fields that the API server refuses already.
pub fn check(
    declared: &Declared<'_>,
    usual: &Profile,
    said: &BTreeSet<(usize, String)>,
) -> Vec<(usize, Fault)> {
    let mut found = Vec::new();
    for user in &declared.users {
        let connection = connection_of(&user.spec.connection_ref, &user.key.0);
        let known = declared.connections.get(&connection);
        let profile = match known {
            Some(connection) => connection.profile.as_ref(),
            // It is declared, and cannot be read: its profile is not known.
            None if declared.connection_names.contains(&connection) => None,
            None => Some(usual),
        };
        let Some(profile) = profile else {
            continue;
        };
        let by_default = names::owner_id(None, &connection.0, &connection.1);
        let subject = Subject {
            owner_id: known.map_or(&by_default, |connection| &connection.owner_id),
            namespace: &user.key.0,
            name: &user.key.1,
            manager_id: names_a_manager(&user.spec).then_some("manager"),
            expired: false,
        };
        match validate(&user.spec, profile, subject) {
            Ok(valid) => found.extend(
                valid
                    .warnings
                    .iter()
                    .map(|warning| (user.at, advice(warning))),
            ),
            Err(violations) => {
                found.extend(violations.iter().map(|broken| (user.at, fault(broken))))
            }
        }
    }
    for group in &declared.groups {
        let connection = connection_of(&group.spec.connection_ref, &group.key.0);
        let by_default = names::owner_id(None, &connection.0, &connection.1);
        let known = declared.connections.get(&connection);
        let owner_id = known.map_or(&by_default, |connection| &connection.owner_id);
        if let Err(violations) = validate_group(&group.spec, owner_id, &group.key.0, &group.key.1) {
            found.extend(violations.iter().map(|broken| (group.at, fault(broken))));
        }
    }
    found.retain(|(at, fault)| !said.contains(&(*at, fault.field.to_string())));
    found
}

/// The id comes with the manager's account; until then it is no fault that it is missing.
fn names_a_manager(spec: &ScimUserSpec) -> bool {
    let manager = spec
        .enterprise
        .as_ref()
        .and_then(|enterprise| enterprise.manager.as_ref());
    manager.is_some_and(|manager| manager.user_ref.is_some())
}

fn fault(violation: &Violation) -> Fault {
    let Violation {
        field,
        rule,
        unsupported,
    } = violation;
    let id = if *unsupported {
        "profile/unsupported"
    } else if rule.starts_with("is required by") {
        "profile/required"
    } else if field == "spec.externalId" {
        "profile/externalId"
    } else {
        "profile/value"
    };
    Fault::error(FieldPath::spelt(field), id, rule.clone())
}

/// A sentence that begins with the field: `spec.userName differs from …`, `spec.emails[work].primary: CybSafe …`.
fn advice(sentence: &str) -> Fault {
    let (field, rest) = sentence.split_once(' ').unwrap_or(("spec", sentence));
    Fault::warning(
        FieldPath::spelt(field.trim_end_matches(':')),
        "profile/advice",
        rest,
    )
}
