//! Profiles are data: which attributes a backend keeps, where they go, which it needs, and the rule
//! for each value. A new backend is a new table.

pub mod countries;
pub mod cybsafe;
pub mod languages;
pub mod rfc7643;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::api::connection::{AttributeMapping, Profile as ProfileName};
use crate::scim::path::{AttributePath, PathError};

/// One row of a profile's table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The attribute's name in messages, status and `attributeMapping`.
    pub attribute: &'static str,
    /// Where a user writes it.
    pub field: &'static str,
    /// Where it goes on the wire.
    pub path: &'static str,
    /// Whether the backend refuses a user without it.
    pub required: bool,
    /// What its value must be.
    pub rule: Rule,
}

/// What a value must be, and how two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Any text; compared exactly.
    Text,
    /// Any text; compared ignoring case.
    IgnoringCase,
    /// ISO 3166-1 alpha-2; sent in upper case.
    Country,
    /// One of CybSafe's 18 language tags; sent as CybSafe spells it.
    CybSafeLanguage,
    /// A well-formed language tag (BCP 47), compared ignoring case.
    LanguageTag,
    /// A boolean.
    Flag,
}

/// Where one attribute goes and how it is judged.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Where a user writes it.
    pub field: String,
    /// Where it goes on the wire.
    pub path: AttributePath,
    /// Whether the backend refuses a user without it.
    pub required: bool,
    /// What its value must be.
    pub rule: Rule,
}

/// A profile with a connection's overrides applied.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Which table it came from.
    pub name: ProfileName,
    attributes: BTreeMap<String, Attribute>,
}

/// Why an `attributeMapping` cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MappingError {
    /// The attribute is one that no spec can set.
    #[error("attributeMapping[{0}]: no such attribute")]
    UnknownAttribute(String),
    /// The path does not parse.
    #[error("attributeMapping[{attribute}].path: {source}")]
    Path {
        /// Whose path it is.
        attribute: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// Identity is not negotiable: how accounts are matched depends on these.
    #[error("attributeMapping[{0}]: this attribute cannot be mapped elsewhere")]
    Fixed(String),
    /// A value cannot be put in the place of a whole element.
    #[error("attributeMapping[{0}].path: must name a sub-attribute of the element, such as .value")]
    Element(String),
    /// The server writes these (RFC 7643 §3.1 and §4.1.2).
    #[error("attributeMapping[{0}].path: is read-only in SCIM")]
    ReadOnly(String),
    /// Two attributes would overwrite each other.
    #[error("attributeMapping[{attribute}].path: {other} is written there already")]
    Taken {
        /// Whose path it is.
        attribute: String,
        /// Who has it already.
        other: String,
    },
}

impl Profile {
    /// The table `name` with `mapping` applied.
    ///
    /// # Errors
    /// When a mapping names an unknown attribute, one that is fixed, a path that does not parse, or
    /// a path that another attribute has.
    pub fn resolve(name: ProfileName, mapping: &[AttributeMapping]) -> Result<Self, MappingError> {
        let rows: &[Row] = match name {
            ProfileName::CybSafe => &cybsafe::TABLE,
            ProfileName::RFC7643 => &rfc7643::TABLE,
        };
        let mut attributes = BTreeMap::new();
        for row in rows {
            let path = row.path.parse().map_err(|source| MappingError::Path {
                attribute: row.attribute.into(),
                source,
            })?;
            let attribute = Attribute {
                field: format!("spec.{}", row.field),
                path,
                required: row.required,
                rule: row.rule,
            };
            attributes.insert(row.attribute.to_owned(), attribute);
        }
        for entry in mapping {
            let name = entry.attribute.as_str();
            if matches!(name, "userName" | "externalId" | "active") {
                return Err(MappingError::Fixed(name.into()));
            }
            let path: AttributePath = entry.path.parse().map_err(|source| MappingError::Path {
                attribute: name.into(),
                source,
            })?;
            let read_only = ["id", "meta", "schemas", "groups"];
            if path.schema.is_none()
                && read_only
                    .iter()
                    .any(|a| path.attribute.eq_ignore_ascii_case(a))
            {
                return Err(MappingError::ReadOnly(name.into()));
            }
            if path.selector.is_some() && path.sub.is_none() {
                return Err(MappingError::Element(name.into()));
            }
            let taken = attributes
                .iter()
                .find(|(other, a)| other.as_str() != name && a.path == path);
            if let Some((other, _)) = taken {
                return Err(MappingError::Taken {
                    attribute: name.into(),
                    other: other.clone(),
                });
            }
            match attributes.get_mut(name) {
                Some(attribute) => attribute.path = path,
                None => {
                    let known = rfc7643::TABLE
                        .iter()
                        .chain(&cybsafe::TABLE)
                        .find(|row| row.attribute == name);
                    let row = known.ok_or_else(|| MappingError::UnknownAttribute(name.into()))?;
                    let attribute = Attribute {
                        field: format!("spec.{}", row.field),
                        path,
                        required: false,
                        rule: row.rule,
                    };
                    attributes.insert(name.to_owned(), attribute);
                }
            }
        }
        Ok(Self { name, attributes })
    }

    /// The attribute of that name, where the profile has a place for it.
    pub fn get(&self, attribute: &str) -> Option<&Attribute> {
        self.attributes.get(attribute)
    }

    /// Every attribute by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.attributes
            .iter()
            .map(|(name, attribute)| (name.as_str(), attribute))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn map(attribute: &str, path: &str) -> AttributeMapping {
        AttributeMapping {
            attribute: attribute.into(),
            path: path.into(),
        }
    }

    #[test]
    fn both_tables_resolve_and_hold_the_identity() {
        for name in [ProfileName::CybSafe, ProfileName::RFC7643] {
            let profile = Profile::resolve(name, &[]).expect("the built-in table resolves");
            for attribute in ["userName", "externalId", "active"] {
                assert!(
                    profile.get(attribute).is_some(),
                    "{name:?} lacks {attribute}"
                );
            }
        }
    }

    #[test]
    fn a_mapping_moves_or_adds_an_attribute() {
        let mapping = [map("city", r#"addresses[type eq "work"].locality"#)];
        let profile = Profile::resolve(ProfileName::CybSafe, &mapping).expect("valid mapping");
        assert_eq!(
            profile.get("city").map(|a| a.path.to_string()).as_deref(),
            Some(r#"addresses[type eq "work"].locality"#)
        );
        let added = Profile::resolve(ProfileName::RFC7643, &[map("grade", "urn:x:User:grade")])
            .expect("valid mapping");
        assert!(added.get("grade").is_some());
    }

    #[test]
    fn unusable_mappings_are_refused_by_name() {
        for (mapping, expected) in [
            (
                map("shoeSize", "x"),
                "attributeMapping[shoeSize]: no such attribute",
            ),
            (
                map("userName", "x"),
                "attributeMapping[userName]: this attribute cannot be mapped elsewhere",
            ),
            (map("city", "title"), "ok"),
            (
                map("city", "name.givenName"),
                "attributeMapping[city].path: name.givenName is written there already",
            ),
        ] {
            let got = Profile::resolve(ProfileName::CybSafe, &[mapping])
                .map_or_else(|e| e.to_string(), |_| "ok".into());
            assert_eq!(got, expected);
        }
        let broken = Profile::resolve(ProfileName::CybSafe, &[map("city", "a[b")]);
        assert!(matches!(broken, Err(MappingError::Path { .. })));
        let element = Profile::resolve(
            ProfileName::CybSafe,
            &[map("city", r#"roles[type eq "x"]"#)],
        );
        assert!(matches!(element, Err(MappingError::Element(_))));
        for path in ["id", "meta.location", "Groups"] {
            let fixed = Profile::resolve(ProfileName::CybSafe, &[map("city", path)]);
            assert!(matches!(fixed, Err(MappingError::ReadOnly(_))), "{path}");
        }
    }
}
