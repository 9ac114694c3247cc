//! A SCIM filter as far as it can be evaluated here: one comparison with a text, or of `active`.
//!
//! The backend is asked with the whole filter. Servers ignore filters, and import would then write everybody: whoever
//! surely does not match is left out again.

use serde_json::Value;

use crate::scim::types::{lenient_bool, member};

/// Attributes whose values can be compared here, and whether their case counts (RFC 7643 §3.1, §4, §8.7.1).
const ATTRIBUTES: [(&str, bool); 13] = [
    ("id", true),
    ("externalId", true),
    ("userName", false),
    ("displayName", false),
    ("nickName", false),
    ("title", false),
    ("userType", false),
    ("name.givenName", false),
    ("name.familyName", false),
    ("name.formatted", false),
    ("emails.value", false),
    ("emails", false),
    ("active", false),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    StartsWith,
    Contains,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    attribute: &'static str,
    exactly: bool,
    operator: Operator,
    with: Value,
}

/// What is known of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It matches.
    Yes,
    /// It does not.
    No,
    /// It shows no value: it does not match, unless the backend never shows one.
    NoValue,
}

impl Comparison {
    /// Reads `attribute eq|sw|co "text"`, or `active eq true`; `None` for every other filter, which may be a good one.
    pub fn read(filter: &str) -> Option<Self> {
        let (attribute, rest) = filter.trim().split_once(char::is_whitespace)?;
        let (operator, with) = rest.trim_start().split_once(char::is_whitespace)?;
        let known = ATTRIBUTES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(attribute));
        let (attribute, exactly) = *known?;
        let operator = match operator.to_ascii_lowercase().as_str() {
            "eq" => Operator::Equal,
            "sw" => Operator::StartsWith,
            "co" => Operator::Contains,
            _ => return None,
        };
        // JSON's strings are the filter's (RFC 7644 §3.4.2.2); `"a" and b` is none.
        let with: Value = serde_json::from_str(with.trim()).ok()?;
        let comparable = match with {
            Value::String(_) => attribute != "active",
            Value::Bool(_) => attribute == "active" && operator == Operator::Equal,
            _ => false,
        };
        comparable.then_some(Self {
            attribute,
            exactly,
            operator,
            with,
        })
    }

    /// Whether a resource matches.
    pub fn of(&self, resource: &Value) -> Match {
        let (name, sub) = match self.attribute.split_once('.') {
            Some((name, sub)) => (name, sub),
            None => (self.attribute, "value"),
        };
        let items = match member(resource, name) {
            Some(Value::Array(items)) => items.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let mut values = items
            .iter()
            .filter_map(|item| match item {
                Value::Object(_) => member(item, sub),
                plain => Some(plain),
            })
            .filter(|value| !value.is_null())
            .peekable();
        if values.peek().is_none() {
            return Match::NoValue;
        }
        if values.any(|value| self.holds(value)) {
            Match::Yes
        } else {
            Match::No
        }
    }

    fn holds(&self, value: &Value) -> bool {
        let Some(with) = self.with.as_str() else {
            return lenient_bool(value) == self.with.as_bool();
        };
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let fold = |text: &str| match self.exactly {
            true => text.to_owned(),
            false => text.to_lowercase(),
        };
        let (text, with) = (fold(&text), fold(with));
        match self.operator {
            Operator::Equal => text == with,
            Operator::StartsWith => text.starts_with(&with),
            Operator::Contains => text.contains(&with),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    #[rustfmt::skip] // One case a line.
    fn what_surely_does_not_match_is_told() {
        let ada = json!({
            "id": "A1", "userName": "Ada@example.com", "active": "True", "externalId": "hr-7",
            "name": {"givenName": "Ada"}, "emails": [{"value": "x@y.example"}, {"value": "ada@home.example"}],
        });
        for (filter, expected) in [
            (r#"userName eq "ada@EXAMPLE.com""#, Match::Yes),
            (r#"userName sw "ada@""#, Match::Yes),
            (r#"username  CO  "example""#, Match::Yes),
            (r#"userName sw "b""#, Match::No),
            (r#"id eq "a1""#, Match::No),
            (r#"externalId eq "HR-7""#, Match::No),
            (r#"externalId sw "hr-""#, Match::Yes),
            (r#"emails.value co "home""#, Match::Yes),
            (r#"emails co "work""#, Match::No),
            (r#"name.givenName eq "ada""#, Match::Yes),
            (r#"name.familyName eq "King""#, Match::NoValue),
            ("active eq true", Match::Yes),
            ("active eq false", Match::No),
        ] {
            assert_eq!(Comparison::read(filter).unwrap().of(&ada), expected, "{filter}");
        }
    }

    #[test]
    fn a_filter_of_another_form_is_left_to_the_backend() {
        for filter in [
            r#"userName eq "a" and active eq true"#,
            r#"not (userName eq "a")"#,
            r#"emails[type eq "work"].value sw "a""#,
            "title pr",
            r#"userName ne "a""#,
            r#"shoeSize eq "42""#,
            r#"active eq "true""#,
            "userName eq 7",
            r#"meta.lastModified gt "2026-01-01T00:00:00Z""#,
        ] {
            assert_eq!(Comparison::read(filter), None, "{filter}");
        }
    }
}
