//! One account as the spec of a ScimUser by which the operator takes it over and writes nothing; and what the operator
//! makes of that spec, by its own `validate`, `identify` and `plan`.
//!
//! The spec says what the account shows where the profile has a place for it, and no more: what a spec does not say is
//! not the operator's, and stays. So an optional value that breaks a rule is left out, and told; one that the profile
//! requires is not, and the account is invalid as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::schema::Schema;
use super::target::{Adoption, Mark, Standing, Target, all_of};
use crate::api::common::{Adopt, UserRef};
use crate::api::connection::AdoptionMatch;
use crate::api::user::{
    Address, AddressType, Email, Enterprise, Manager, Name, PhoneNumber, PhoneType, ScimUserSpec,
};
use crate::controller::outcome::blocked;
use crate::domain::diff::{Knowledge, NOTHING_RESPELLED};
use crate::domain::identity::{AdoptionPolicy, Candidates, Wanted, identify};
use crate::domain::names::fold_name;
use crate::domain::observed::Observed;
use crate::domain::plan::{Plan, plan};
use crate::domain::validate::{Subject, Violation, validate};
use crate::scim::types::lenient_bool;

/// A spec, and what of the account it does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltUser {
    /// The spec.
    pub spec: ScimUserSpec,
    /// Optional attributes that break a rule and were left out: they stay as they are at the backend.
    pub left_out: Vec<Violation>,
}

/// Everybody who was listed, by what the connection's policy may take somebody over by.
#[derive(Clone, Debug, Default)]
pub struct Crowd<'a> {
    by_mark: HashMap<&'a str, Vec<&'a Observed>>,
    by_name: HashMap<String, Vec<&'a Observed>>,
}

impl<'a> Crowd<'a> {
    /// Of these.
    pub fn of(accounts: &'a [Observed]) -> Self {
        let mut crowd = Self::default();
        for account in accounts {
            if let Some(mark) = account.external_id.as_deref() {
                crowd.by_mark.entry(mark).or_default().push(account);
            }
            if let Some(name) = account.user_name.as_deref() {
                crowd
                    .by_name
                    .entry(fold_name(name))
                    .or_default()
                    .push(account);
            }
        }
        crowd
    }
}

/// The spec of an account. `manager` is the ScimUser of its manager, where there is one; else the manager is said by
/// the id that the account shows.
pub fn spec_of(
    account: &Observed,
    target: &Target<'_>,
    schema: &Schema,
    name: &str,
    manager: Option<&UserRef>,
) -> BuiltUser {
    let mut left_out: BTreeMap<&str, Violation> = BTreeMap::new();
    loop {
        let mut spec = bare(account, target);
        for (attribute, value) in &account.attributes {
            if left_out.contains_key(attribute.as_str()) || is_identity(attribute) {
                continue;
            }
            let said = match (attribute.as_str(), manager) {
                ("manager", Some(reference)) => {
                    let manager = Manager {
                        user_ref: Some(reference.clone()),
                        value: None,
                    };
                    enterprise(&mut spec).manager = Some(manager);
                    true
                }
                _ => put(&mut spec, attribute, value),
            };
            if !said && let Some(known) = target.profile.get(attribute) {
                let rule = "is no text that a spec can say".to_owned();
                left_out.insert(attribute, violation(&known.field, rule));
            }
        }
        let broken = match judge(&spec, account, target, schema, name) {
            Ok(_) => Vec::new(),
            Err(broken) => broken,
        };
        // Whatever else is wrong stays, to be told as what makes the account invalid.
        let droppable = broken.into_iter().filter_map(|violation| {
            let mut rows = target.profile.iter();
            // Of a manager the schema judges the value, and the profile the whole.
            let whole = violation.field.strip_suffix(".value");
            let manager = whole.filter(|field| field.ends_with(".manager"));
            let field = manager.unwrap_or(&violation.field);
            let (attribute, row) = rows.find(|(_, row)| row.field == field)?;
            let known = account.attributes.get_key_value(attribute)?.0;
            let optional = !row.required && !is_identity(known);
            (optional && !left_out.contains_key(known.as_str())).then_some((known, violation))
        });
        let droppable: Vec<_> = droppable.collect();
        if droppable.is_empty() {
            return BuiltUser {
                spec,
                left_out: left_out.into_values().collect(),
            };
        }
        for (attribute, violation) in droppable {
            left_out.insert(attribute, violation);
        }
    }
}

/// What the operator would make of a spec for this account.
pub fn standing_of(
    spec: &ScimUserSpec,
    account: &Observed,
    target: &Target<'_>,
    schema: &Schema,
    name: &str,
    crowd: &Crowd<'_>,
) -> Standing {
    let valid = match judge(spec, account, target, schema, name) {
        Ok(valid) => valid,
        Err(broken) => return Standing::Invalid(broken),
    };
    let desired = valid.desired;
    let mut candidates = Candidates::default();
    if let Some(adopt) = &spec.adopt {
        candidates.adopt = (adopt.id == account.id).then(|| account.clone());
    }
    let everybody = |found: Option<&Vec<&Observed>>| -> Vec<Observed> {
        found.into_iter().flatten().map(|a| (*a).clone()).collect()
    };
    candidates.by_external_id = everybody(crowd.by_mark.get(desired.external_id.as_str()));
    candidates.by_name = everybody(crowd.by_name.get(&fold_name(&desired.user_name)));
    let policy = AdoptionPolicy {
        external_id: target.adoption.allows(AdoptionMatch::ExternalId),
        name: target.adoption.allows(AdoptionMatch::UserName),
        by_id: spec.adopt.is_some(),
        explicit_external_id: spec.external_id.is_some(),
    };
    let identity = identify(&Wanted::from(&desired), candidates, policy);
    let nothing = BTreeSet::new();
    // As at the first pass: nothing was ever written, and the spec is new.
    let knowledge = Knowledge {
        managed: &nothing,
        echoed: &nothing,
        spec_changed: true,
        respelled: &NOTHING_RESPELLED,
    };
    match plan(&desired, identity, target.profile, knowledge) {
        Plan::Noop(found) if found.id == account.id => Standing::InStep,
        Plan::Update {
            account: found,
            changes,
            ..
        } if found.id == account.id => {
            Standing::Writes(changes.into_iter().map(|c| c.attribute).collect())
        }
        Plan::Blocked(identity) => Standing::Waits(blocked(&identity, "account").0.as_str()),
        Plan::Noop(_) | Plan::Update { .. } | Plan::Create => {
            Standing::Waits("it is not this account that would be taken over")
        }
    }
}

fn judge(
    spec: &ScimUserSpec,
    account: &Observed,
    target: &Target<'_>,
    schema: &Schema,
    name: &str,
) -> Result<crate::domain::validate::Valid, Vec<Violation>> {
    let by_reference = spec
        .enterprise
        .as_ref()
        .and_then(|e| e.manager.as_ref())
        .is_some_and(|manager| manager.user_ref.is_some());
    // Whoever is named has the account that this one shows as its manager's.
    let manager = account.attributes.get("manager").and_then(text);
    let subject = Subject {
        owner_id: target.owner_id,
        namespace: target.namespace,
        name,
        manager_id: manager.as_deref().filter(|_| by_reference),
        expired: false,
    };
    let stored = serde_json::to_value(spec).unwrap_or_default();
    let refused = schema.violations(&stored);
    match validate(spec, target.profile, subject) {
        Ok(valid) if refused.is_empty() => Ok(valid),
        Ok(_) => Err(all_of(refused, Vec::new())),
        Err(broken) => Err(all_of(refused, broken)),
    }
}

/// What every spec says.
fn bare(account: &Observed, target: &Target<'_>) -> ScimUserSpec {
    let mark = target.mark(account.external_id.as_deref());
    let own = matches!(mark, Mark::Own(_));
    ScimUserSpec {
        connection_ref: target.connection.clone(),
        user_name: account.user_name.clone().unwrap_or_default(),
        external_id: match mark {
            Mark::Foreign(mark) => Some(mark.to_owned()),
            _ => None,
        },
        active: account.active != Some(false),
        name: None,
        display_name: None,
        title: None,
        emails: Vec::new(),
        phone_numbers: Vec::new(),
        addresses: Vec::new(),
        preferred_language: None,
        locale: None,
        enterprise: None,
        employee_type: None,
        city: None,
        office: None,
        business_unit: None,
        grade: None,
        deletion_policy: None,
        suspend: false,
        adopt: (target.adoption == Adoption::ById && !own).then(|| Adopt {
            id: account.id.clone(),
        }),
        valid_until: None,
    }
}

fn is_identity(attribute: &str) -> bool {
    matches!(attribute, "userName" | "externalId" | "active")
}

fn violation(field: &str, rule: String) -> Violation {
    Violation {
        field: field.to_owned(),
        rule,
        unsupported: false,
    }
}

/// A value as a spec can say it: the operator takes a number for its digits.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        _ => None,
    }
}

/// Says an attribute in the spec, where `domain::declared` would read it; false where its value cannot be said.
fn put(spec: &mut ScimUserSpec, attribute: &str, value: &Value) -> bool {
    let parts: Vec<&str> = attribute.split('.').collect();
    if let ["emails", kind, "primary"] = parts[..] {
        return put_primary(spec, kind, value);
    }
    let Some(text) = text(value) else {
        return false;
    };
    let some = Some(text.clone());
    match parts[..] {
        ["name", "givenName"] => spec.name.get_or_insert_with(Name::default).given_name = some,
        ["name", "familyName"] => spec.name.get_or_insert_with(Name::default).family_name = some,
        ["displayName"] => spec.display_name = some,
        ["title"] => spec.title = some,
        ["emails", kind] => {
            let Some(r#type) = address_type(kind) else {
                return false;
            };
            spec.emails.push(Email {
                r#type,
                value: text,
                primary: None,
            });
            spec.emails.sort_by_key(|email| email.r#type);
        }
        ["phoneNumbers", kind] => {
            let Some(r#type) = phone_type(kind) else {
                return false;
            };
            spec.phone_numbers.push(PhoneNumber {
                r#type,
                value: text,
            });
            spec.phone_numbers.sort_by_key(|phone| phone.r#type);
        }
        ["addresses", kind, sub] => return put_address(spec, kind, sub, text),
        ["preferredLanguage"] => spec.preferred_language = some,
        ["locale"] => spec.locale = some,
        ["employeeNumber"] => enterprise(spec).employee_number = some,
        ["department"] => enterprise(spec).department = some,
        ["division"] => enterprise(spec).division = some,
        ["organization"] => enterprise(spec).organization = some,
        ["manager"] => {
            enterprise(spec).manager = Some(Manager {
                user_ref: None,
                value: some,
            });
        }
        ["employeeType"] => spec.employee_type = some,
        ["city"] => spec.city = some,
        ["office"] => spec.office = some,
        ["businessUnit"] => spec.business_unit = some,
        ["grade"] => spec.grade = some,
        _ => return false,
    }
    true
}

/// Says which address is the preferred one, where the account says so of one; that one is not is no news. Of several
/// the one at work is it: a spec has one at most.
fn put_primary(spec: &mut ScimUserSpec, kind: &str, value: &Value) -> bool {
    let Some(flag) = lenient_bool(value) else {
        return false;
    };
    let kind = address_type(kind);
    let taken = spec.emails.iter().any(|email| email.primary == Some(true));
    if flag && (!taken || kind == Some(AddressType::Work)) {
        let of_kind = spec.emails.iter().position(|e| Some(e.r#type) == kind);
        for (index, email) in spec.emails.iter_mut().enumerate() {
            if of_kind.is_some() {
                email.primary = (Some(index) == of_kind).then_some(true);
            }
        }
    }
    true
}

fn put_address(spec: &mut ScimUserSpec, kind: &str, sub: &str, text: String) -> bool {
    let Some(r#type) = address_type(kind) else {
        return false;
    };
    let index = match spec.addresses.iter().position(|a| a.r#type == r#type) {
        Some(index) => index,
        None => {
            spec.addresses.push(Address {
                r#type,
                street_address: None,
                locality: None,
                region: None,
                postal_code: None,
                country: None,
            });
            spec.addresses.sort_by_key(|address| address.r#type);
            let mut found = spec.addresses.iter();
            found.position(|a| a.r#type == r#type).unwrap_or_default()
        }
    };
    let Some(address) = spec.addresses.get_mut(index) else {
        return false;
    };
    match sub {
        "streetAddress" => address.street_address = Some(text),
        "locality" => address.locality = Some(text),
        "region" => address.region = Some(text),
        "postalCode" => address.postal_code = Some(text),
        "country" => address.country = Some(text),
        _ => return false,
    }
    true
}

fn enterprise(spec: &mut ScimUserSpec) -> &mut Enterprise {
    spec.enterprise.get_or_insert_with(Enterprise::default)
}

fn address_type(kind: &str) -> Option<AddressType> {
    match kind {
        "work" => Some(AddressType::Work),
        "home" => Some(AddressType::Home),
        "other" => Some(AddressType::Other),
        _ => None,
    }
}

fn phone_type(kind: &str) -> Option<PhoneType> {
    match kind {
        "work" => Some(PhoneType::Work),
        "home" => Some(PhoneType::Home),
        "mobile" => Some(PhoneType::Mobile),
        "fax" => Some(PhoneType::Fax),
        "pager" => Some(PhoneType::Pager),
        "other" => Some(PhoneType::Other),
        _ => None,
    }
}

#[cfg(test)]
#[path = "user_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
