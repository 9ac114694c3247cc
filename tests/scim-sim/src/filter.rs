//! The filters that are understood (RFC 7644 §3.4.2.2); anything else is 400 invalidFilter.
//!
//! CybSafe documents `userName eq` only. Besides it: `id eq`, `displayName eq` and
//! `members.value eq` for groups, `externalId eq` where the dialect allows, joined by `and`.
//! Filters inside a PATCH path have their own, wider evaluation here too.

use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, Filter, ValFilter};
use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::schema::{Attribute, Resource, Target, locate, lookup};
use crate::store::{Collection, Row};
use crate::{Dialect, Faults};

/// All of these must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conditions(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Id(String),
    ExternalId(String),
    UserName(String),
    DisplayName(String),
    Member(String),
}

impl Conditions {
    /// # Errors
    /// 400 invalidFilter for anything malformed or not understood.
    pub(crate) fn parse(
        resource: Resource,
        text: &str,
        dialect: &Dialect,
    ) -> Result<Self, ScimError> {
        let filter: Filter = text
            .parse()
            .map_err(|_| ScimError::invalid_filter("the filter is malformed"))?;
        let terms = match filter {
            Filter::And(operands) => operands.into_vec(),
            single => vec![single],
        };
        let conditions = terms
            .into_iter()
            .map(|term| Condition::of(resource, &term, dialect));
        conditions.collect::<Result<_, _>>().map(Self)
    }

    /// The matching rows, in the order of creation; uses an index where there is one.
    pub(crate) fn select<'a>(&self, rows: &'a Collection, faults: &Faults) -> Vec<&'a Row> {
        let holds = |row: &&Row| self.0.iter().all(|condition| condition.holds(row, faults));
        for condition in &self.0 {
            match condition {
                Condition::Id(id) => return rows.get(id).into_iter().filter(holds).collect(),
                Condition::UserName(name) => return rows.named(name).filter(holds).collect(),
                _ => {}
            }
        }
        rows.iter().filter(holds).collect()
    }
}

impl Condition {
    fn of(resource: Resource, term: &Filter, dialect: &Dialect) -> Result<Self, ScimError> {
        let not_understood = || ScimError::invalid_filter("the filter is not supported");
        let Filter::Attr(AttrExp::Comparison(path, CompareOp::Eq, CompValue::Str(text))) = term
        else {
            return Err(not_understood());
        };
        let Some(Target::Attribute {
            in_extension: false,
            attribute,
            sub,
        }) = locate(resource, path)
        else {
            return Err(not_understood());
        };
        let text = text.clone();
        match (attribute.name, sub.map(|sub| sub.name)) {
            ("id", None) => Ok(Self::Id(text)),
            ("externalId", None) if dialect.filter_external_id => Ok(Self::ExternalId(text)),
            ("userName", None) => Ok(Self::UserName(text)),
            ("displayName", None) => Ok(Self::DisplayName(text)),
            ("members", Some("value")) => Ok(Self::Member(text)),
            _ => Err(not_understood()),
        }
    }

    fn holds(&self, row: &Row, faults: &Faults) -> bool {
        match self {
            Self::Id(id) => row.id() == id,
            Self::ExternalId(id) => row.text("externalId") == id,
            Self::UserName(name) => same_user_name(row.text("userName"), name, faults),
            Self::DisplayName(name) => same_ignoring_case(row.text("displayName"), name),
            Self::Member(id) => members(&row.body).any(|member| member == id),
        }
    }
}

/// Whether two userNames are one; caseExact is false unless the fault says otherwise.
pub(crate) fn same_user_name(one: &str, other: &str, faults: &Faults) -> bool {
    if faults.case_sensitive_user_name {
        one == other
    } else {
        same_ignoring_case(one, other)
    }
}

/// The user ids in a group's `members`.
pub(crate) fn members(group: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let members = group.get("members").and_then(Value::as_array);
    members
        .into_iter()
        .flatten()
        .filter_map(|member| member.get("value")?.as_str())
}

/// Whether an element of a multi-valued attribute satisfies the filter of a PATCH path.
///
/// # Errors
/// 400 invalidFilter for an operator other than `eq`, `ne` and `pr`.
pub(crate) fn element_matches(
    attribute: &Attribute,
    element: &Value,
    filter: &ValFilter,
) -> Result<bool, ScimError> {
    match filter {
        ValFilter::Not(inner) => Ok(!element_matches(attribute, element, inner)?),
        ValFilter::And(operands) => {
            for operand in operands {
                if !element_matches(attribute, element, operand)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ValFilter::Or(operands) => {
            for operand in operands {
                if element_matches(attribute, element, operand)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        ValFilter::Attr(AttrExp::Present(path)) => {
            Ok(sub_value(attribute, element, path).is_some())
        }
        ValFilter::Attr(AttrExp::Comparison(path, operator, wanted)) => {
            let found = sub_value(attribute, element, path);
            let equal = found.is_some_and(|(sub, found)| is_equal(sub, found, wanted));
            match operator {
                CompareOp::Eq => Ok(equal),
                CompareOp::Ne => Ok(!equal),
                _ => Err(ScimError::invalid_filter(
                    "only eq, ne and pr are supported in a path",
                )),
            }
        }
    }
}

fn sub_value<'a>(
    attribute: &Attribute,
    element: &'a Value,
    path: &AttrPath,
) -> Option<(&'static Attribute, &'a Value)> {
    let sub = lookup(attribute.sub_attributes(), &path.name)?;
    Some((sub, element.get(sub.name)?))
}

fn is_equal(attribute: &Attribute, found: &Value, wanted: &CompValue) -> bool {
    match (found, wanted) {
        (Value::String(found), CompValue::Str(wanted)) if attribute.case_exact => found == wanted,
        (Value::String(found), CompValue::Str(wanted)) => same_ignoring_case(found, wanted),
        (Value::Bool(found), CompValue::True) => *found,
        (Value::Bool(found), CompValue::False) => !found,
        _ => false,
    }
}

fn same_ignoring_case(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documented_filters_are_understood() {
        let dialect = Dialect::default();
        for (resource, filter, understood) in [
            (Resource::User, r#"userName eq "a""#, true),
            (Resource::User, r#"USERNAME EQ "a" and id eq "1""#, true),
            (
                Resource::User,
                r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "a""#,
                true,
            ),
            (Resource::User, r#"externalId eq "a""#, false),
            (Resource::User, r#"userName sw "a""#, false),
            (Resource::User, r#"userName eq "a" or id eq "1""#, false),
            (Resource::User, r#"name.familyName eq "a""#, false),
            (Resource::User, "userName pr", false),
            (Resource::User, r#"userName eq "a"#, false),
            (Resource::User, "userName eq true", false),
            (Resource::User, r#"displayName eq "a""#, false),
            (Resource::Group, r#"displayName eq "a""#, true),
            (Resource::Group, r#"members.value eq "a""#, true),
            (Resource::Group, r#"members eq "a""#, false),
        ] {
            let parsed = Conditions::parse(resource, filter, &dialect);
            assert_eq!(parsed.is_ok(), understood, "{filter}");
            if let Err(error) = parsed {
                assert_eq!(error.scim_type, Some("invalidFilter"), "{filter}");
            }
        }
    }

    #[test]
    fn external_id_is_understood_where_the_dialect_says_so() {
        let dialect = Dialect {
            filter_external_id: true,
            ..Dialect::default()
        };
        assert!(Conditions::parse(Resource::User, r#"externalId eq "a""#, &dialect).is_ok());
    }
}
