//! Spec and profile in, `Desired` or every broken rule out. An invalid spec never reaches the network.
//!
//! Messages name the field and the rule, never a value: they end in `kubectl get`, events and chat.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::declared::declared;
use super::names;
use super::profile::{Profile, Rule, countries, languages};
use crate::api::connection::Profile as ProfileName;
use crate::api::user::{AddressType, ScimUserSpec};

/// What the backend should have of one person.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The name the person signs in with.
    pub user_name: String,
    /// Our mark on the account.
    pub external_id: String,
    /// The mark that the operator would give the account by itself: ours in any case.
    pub own_mark: String,
    /// Whether the account is to be active.
    pub active: bool,
    /// Every attribute by the profile's name, `userName`, `externalId` and `active` among them.
    pub attributes: BTreeMap<String, Value>,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Where the user wrote it, or should have.
    pub field: String,
    /// The rule, as a sentence about the field.
    pub rule: String,
    /// The profile has no place for the field at all.
    pub unsupported: bool,
}

/// A valid spec, and what deserves a look all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    /// What the backend should have.
    pub desired: Desired,
    /// Sentences, each naming a field.
    pub warnings: Vec<String>,
}

/// What validation needs besides spec and profile.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The connection's owner mark.
    pub owner_id: &'a str,
    /// The resource's namespace.
    pub namespace: &'a str,
    /// The resource's name.
    pub name: &'a str,
    /// The id of the manager named by `userRef`, once known.
    pub manager_id: Option<&'a str>,
    /// `validUntil` has passed.
    pub expired: bool,
}

/// Checks a spec against a profile.
///
/// # Errors
/// Every violation at once, sorted by field.
pub fn validate(
    spec: &ScimUserSpec,
    profile: &Profile,
    subject: Subject<'_>,
) -> Result<Valid, Vec<Violation>> {
    let mut violations = Vec::new();
    let mut attributes = BTreeMap::new();
    for item in declared(spec) {
        let Some(attribute) = profile.get(&item.attribute) else {
            let rule = format!(
                "has no place in the profile {}; remove it or map it by the connection's attributeMapping",
                profile_name(profile.name)
            );
            violations.push(Violation {
                field: item.field,
                rule,
                unsupported: true,
            });
            continue;
        };
        match normalise(attribute.rule, item.value) {
            Ok(value) => {
                attributes.insert(item.attribute, value);
            }
            Err(rule) => violations.push(Violation {
                field: item.field,
                rule,
                unsupported: false,
            }),
        }
    }
    if valid_until(spec).is_some_and(|until| until.is_err()) {
        violations.push(Violation {
            field: "spec.validUntil".into(),
            rule: "must be a time as in RFC 3339, such as 2027-01-31T18:00:00Z".into(),
            unsupported: false,
        });
    }
    let own = names::external_id(subject.owner_id, subject.namespace, subject.name);
    violations.extend(of_external_id(spec.external_id.as_deref(), &own));
    violations.extend(of_text("spec.userName", &spec.user_name));
    if profile.name == ProfileName::CybSafe && attributes.contains_key("emails.work") {
        // "marked primary" is part of CybSafe's table, not a choice of the user.
        attributes.insert("emails.work.primary".into(), json!(true));
    }
    if let Some(id) = subject.manager_id {
        attributes.insert("manager".into(), json!(id));
    }
    let external_id = spec.external_id.clone().unwrap_or_else(|| own.clone());
    let active = spec.active && !subject.expired;
    attributes.insert("userName".into(), json!(spec.user_name));
    attributes.insert("externalId".into(), json!(external_id));
    attributes.insert("active".into(), json!(active));

    for (name, attribute) in profile.iter().filter(|(_, attribute)| attribute.required) {
        let broken = violations.iter().any(|v| v.field == attribute.field);
        if !attributes.contains_key(name) && !broken {
            violations.push(Violation {
                field: attribute.field.clone(),
                rule: format!("is required by the profile {}", profile_name(profile.name)),
                unsupported: false,
            });
        }
    }
    if !violations.is_empty() {
        violations.sort();
        return Err(violations);
    }
    let desired = Desired {
        user_name: spec.user_name.clone(),
        external_id,
        own_mark: own,
        active,
        attributes,
    };
    Ok(Valid {
        warnings: warnings(spec, profile.name),
        desired,
    })
}

/// What is wrong with the externalId that a spec chose, where `own` is the mark that its resource
/// would have by itself.
pub fn of_external_id(chosen: Option<&str>, own: &str) -> Vec<Violation> {
    let Some(chosen) = chosen else {
        return Vec::new();
    };
    let mut violations = Vec::from_iter(of_text("spec.externalId", chosen));
    // The mark is the proof of ownership: whoever could write another resource's, could take its
    // account over, from any namespace that the connection lets in.
    if chosen.to_lowercase().starts_with(names::PREFIX) && chosen != own {
        violations.push(Violation {
            field: "spec.externalId".into(),
            rule: "must not begin with scim-operator:, which marks the accounts of other resources"
                .into(),
            unsupported: false,
        });
    }
    violations
}

/// What is wrong with a text that people are to read.
pub fn of_text(field: &str, text: &str) -> Option<Violation> {
    unusable_text(text).map(|rule| Violation {
        field: field.into(),
        rule,
        unsupported: false,
    })
}

/// The moment from which the account is archived, if the spec names one.
pub fn valid_until(spec: &ScimUserSpec) -> Option<Result<jiff::Timestamp, jiff::Error>> {
    spec.valid_until.as_deref().map(str::parse)
}

/// The profile's name as the API spells it.
pub fn profile_name(profile: ProfileName) -> &'static str {
    match profile {
        ProfileName::CybSafe => "CybSafe",
        ProfileName::RFC7643 => "RFC7643",
    }
}

fn normalise(rule: Rule, value: Value) -> Result<Value, String> {
    if rule == Rule::Flag {
        return Ok(value);
    }
    let Some(text) = value.as_str() else {
        return Ok(value);
    };
    if let Some(broken) = unusable_text(text) {
        return Err(broken);
    }
    match rule {
        Rule::Country => countries::alpha2(text)
            .map(|code| json!(code))
            .ok_or_else(|| "must be an ISO 3166-1 alpha-2 country code, such as GB".into()),
        Rule::CybSafeLanguage => languages::cybsafe(text)
            .map(|tag| json!(tag))
            .ok_or_else(|| {
                format!(
                    "is not a language that CybSafe knows; the nearest are {}",
                    languages::nearest_cybsafe(text).join(", ")
                )
            }),
        Rule::LanguageTag if !languages::well_formed(text) => {
            Err("must be a language tag, such as en-GB".into())
        }
        _ => Ok(value),
    }
}

fn unusable_text(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return Some("must not contain control characters".into());
    }
    (text.trim() != text || text.is_empty())
        .then(|| "must not be empty, nor begin or end with a space".into())
}

fn warnings(spec: &ScimUserSpec, profile: ProfileName) -> Vec<String> {
    let mut warnings = Vec::new();
    let work = spec
        .emails
        .iter()
        .find(|email| email.r#type == AddressType::Work);
    if let (ProfileName::CybSafe, Some(work)) = (profile, work)
        && names::fold_name(&work.value) != names::fold_name(&spec.user_name)
    {
        // CybSafe help, "User provisioning with SCIM": two accounts, or mail that never arrives.
        warnings.push("spec.userName differs from spec.emails[work].value: CybSafe may keep two accounts or miss mail".into());
    }
    if let (ProfileName::CybSafe, Some(work)) = (profile, work)
        && work.primary == Some(false)
    {
        warnings.push("spec.emails[work].primary: CybSafe needs the work address marked primary; it is sent as primary".into());
    }
    warnings
}

/// One line for a condition: every violation, field and rule.
pub fn sentence(violations: &[Violation]) -> String {
    let all: Vec<_> = violations
        .iter()
        .map(|v| format!("{} {}", v.field, v.rule))
        .collect();
    all.join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
