//! What a manifest is written for: the connection, its profile, the namespace, and how accounts are to be taken over.

use std::collections::BTreeSet;

use crate::api::ConnectionRef;
use crate::api::connection::AdoptionMatch;
use crate::cli::validate::metadata::is_subdomain;
use crate::domain::names;
use crate::domain::profile::Profile;
use crate::domain::validate::Violation;

/// By what the operator takes accounts and groups over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Each resource names the id of its own: `spec.adopt.id`.
    ById,
    /// By what the connection's `adoption.match` says.
    ByPolicy(Vec<AdoptionMatch>),
}

impl Adoption {
    /// Whether the connection's policy counts, and has this in it.
    pub fn allows(&self, by: AdoptionMatch) -> bool {
        matches!(self, Self::ByPolicy(all) if all.contains(&by))
    }
}

/// What a manifest is written for.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// Where attributes go, and what their values must be.
    pub profile: &'a Profile,
    /// The connection's mark on what it owns.
    pub owner_id: &'a str,
    /// The connection, as resources name it.
    pub connection: ConnectionRef,
    /// The namespace of the resources.
    pub namespace: &'a str,
    /// By what they are taken over.
    pub adoption: Adoption,
}

/// Whose the mark on an account or a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// It has none.
    None,
    /// Somebody else's, such as another provisioner's: it is kept.
    Foreign(&'a str),
    /// The operator's own, for a resource of the target's namespace, by this name.
    Own(&'a str),
    /// The operator's own, for a resource of another namespace.
    Elsewhere(&'a str, &'a str),
    /// Of another scim-operator, or of another connection.
    OtherOperator,
}

impl Target<'_> {
    /// Whose a mark is.
    pub fn mark<'a>(&self, external_id: Option<&'a str>) -> Mark<'a> {
        let Some(mark) = external_id else {
            return Mark::None;
        };
        match names::resource_of_mark(self.owner_id, mark) {
            // A mark that no resource can have given comes from the backend, which may say anything: as the name of a file
            // it would lead where it likes.
            Some((namespace, name)) if !is_subdomain(namespace) || !is_subdomain(name) => {
                Mark::OtherOperator
            }
            Some((namespace, name)) if namespace == self.namespace => Mark::Own(name),
            Some((namespace, name)) => Mark::Elsewhere(namespace, name),
            None if mark.to_lowercase().starts_with(names::PREFIX) => Mark::OtherOperator,
            None => Mark::Foreign(mark),
        }
    }
}

/// What the operator would make of a spec, by its own rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes the account over and writes nothing to the backend.
    InStep,
    /// It takes the account over, and writes these attributes.
    Writes(Vec<String>),
    /// It waits, and takes nothing over: the reason of its condition `Synced`.
    Waits(&'static str),
    /// It refuses the spec, or the API server does.
    Invalid(Vec<Violation>),
}

/// The broken rules of two judges, each once.
pub fn all_of(first: Vec<Violation>, second: Vec<Violation>) -> Vec<Violation> {
    let all: BTreeSet<Violation> = first.into_iter().chain(second).collect();
    all.into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For the connection `scim` of the namespace `identity`.
    pub fn of(profile: &Profile, adoption: Adoption) -> Target<'_> {
        Target {
            profile,
            owner_id: "identity/scim",
            connection: ConnectionRef {
                name: "scim".into(),
                namespace: None,
            },
            namespace: "identity",
            adoption,
        }
    }
}
