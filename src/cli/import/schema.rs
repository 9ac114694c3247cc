//! What the API server would say of a spec: the bounds and patterns of our definitions, and those of their CEL rules
//! that an imported spec can break.
//!
//! The definitions are the types' own, as they are applied to a cluster. Rules on an update say nothing of what is new.
//! Patterns and rules are known by their text and judged by code: there is no engine here that runs expressions.

use kube::CustomResourceExt;
use serde_json::Value;

use crate::cli::Failure;
use crate::domain::validate::Violation;

/// The CEL rules that can be judged here, by their text: what else is in the definitions is either on updates, or on
/// fields that import never writes. Held to be all of them by a test.
const RULES: [(&str, Holds); 3] = [
    ("!self.matches('^[0-9]+$')", |id| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        !id.as_str().is_some_and(digits)
    }),
    (
        "self.filter(e, has(e.primary) && e.primary).size() <= 1",
        |emails| {
            let emails = emails.as_array().map(Vec::as_slice).unwrap_or_default();
            emails.iter().filter(|e| e["primary"] == true).count() <= 1
        },
    ),
    ("has(self.userRef) != has(self.value)", |manager| {
        manager.get("userRef").is_some() != manager.get("value").is_some()
    }),
];

/// Whether a rule holds of a value.
type Holds = fn(&Value) -> bool;
/// Whether a text matches a pattern.
type Matches = fn(&str) -> bool;

/// The patterns that can be judged here, by their text. They are RE2's, whose `\s` is of ASCII, and whose `.` is no end
/// of a line. Held to be all of them by a test.
const PATTERNS: [(&str, Matches); 4] = [
    (r"^\S(.*\S)?$", |text| {
        !text.is_empty()
            && !text.starts_with(is_space)
            && !text.ends_with(is_space)
            && !text.contains('\n')
    }),
    (r"^[^\s@]+@[^\s@]+$", |text| {
        let part = |part: &str| !part.is_empty() && !part.contains(|c| c == '@' || is_space(c));
        text.split_once('@')
            .is_some_and(|(local, host)| part(local) && part(host))
    }),
    ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", is_label),
    (
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        |text| text.split('.').all(is_label),
    ),
];

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0C' | '\r' | ' ')
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// The schema of the spec of one kind.
#[derive(Debug)]
pub struct Schema {
    spec: Value,
}

impl Schema {
    /// That of a kind.
    ///
    /// # Errors
    /// When its definition is not what it has to be, which no input can bring about.
    pub fn of<K: CustomResourceExt>() -> Result<Self, Failure> {
        let told = || format!("the definition of {}", K::crd_name());
        let definition = serde_json::to_value(K::crd()).map_err(|e| Failure::of(told(), e))?;
        let spec = definition
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
            .ok_or_else(|| Failure::new(format!("{} has no spec", told())))?
            .clone();
        Ok(Self { spec })
    }

    /// What is wrong with a spec, field by field; the elements of a list that have a type are named by it.
    pub fn violations(&self, spec: &Value) -> Vec<Violation> {
        let mut found = Vec::new();
        judge(&self.spec, spec, "spec", &mut found);
        found
    }
}

fn judge(schema: &Value, value: &Value, field: &str, found: &mut Vec<Violation>) {
    let mut broken = |rule: String| {
        found.push(Violation {
            field: field.to_owned(),
            rule,
            unsupported: false,
        });
    };
    let bound = |name: &str| schema[name].as_u64();
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if let Some(least) = bound("minLength").filter(|least| length < *least) {
            broken(format!("must have at least {least} characters"));
        }
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            broken(format!("must have at most {most} characters"));
        }
        let pattern = schema["pattern"].as_str();
        let known = PATTERNS.iter().find(|(known, _)| pattern == Some(*known));
        if known.is_some_and(|(_, matches)| !matches(text)) {
            broken(format!("must match {}", pattern.unwrap_or_default()));
        }
    }
    if let Some(items) = value.as_array()
        && let Some(most) = bound("maxItems").filter(|most| items.len() as u64 > *most)
    {
        broken(format!("must have at most {most} items"));
    }
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let known = RULES.iter().find(|(text, _)| rule["rule"] == *text);
        if known.is_some_and(|(_, holds)| !holds(value)) {
            broken(rule["message"].as_str().unwrap_or_default().to_owned());
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let named = item["type"].as_str().map(str::to_owned);
        let named = named.unwrap_or_else(|| index.to_string());
        judge(&schema["items"], item, &format!("{field}[{named}]"), found);
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let schema = &schema["properties"][name];
        judge(schema, member, &format!("{field}.{name}"), found);
    }
}
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{ScimGroup, ScimUser};

    #[test]
    #[rustfmt::skip] // One case a line.
    fn each_bound_pattern_and_rule_is_seen() {
        let schema = Schema::of::<ScimUser>().unwrap();
        let long = "x".repeat(257);
        for (spec, expected) in [
            (json!({"userName": "ada lovelace", "externalId": "hr-7", "title": "é".repeat(256)}), vec![]),
            (json!({"userName": ""}), vec!["spec.userName must have at least 1 characters", r"spec.userName must match ^\S(.*\S)?$"]),
            (json!({"title": long}), vec!["spec.title must have at most 256 characters"]),
            (json!({"externalId": "42"}), vec!["spec.externalId externalId must not be a bare number: servers have taken such for their own ids"]),
            (json!({"emails": [{"type": "work", "value": "ada"}]}), vec![r"spec.emails[work].value must match ^[^\s@]+@[^\s@]+$"]),
            (json!({"emails": [{"type": "work", "value": "a@b", "primary": true}, {"type": "home", "value": "a@c", "primary": true}]}), vec!["spec.emails at most one e-mail address may be primary"]),
            (json!({"enterprise": {"manager": {}}}), vec!["spec.enterprise.manager exactly one of userRef and value must be set"]),
            (json!({"addresses": [{"type": "home", "postalCode": "1".repeat(65)}]}), vec!["spec.addresses[home].postalCode must have at most 64 characters"]),
        ] {
            let found: Vec<_> = schema.violations(&spec).iter().map(|v| format!("{} {}", v.field, v.rule)).collect();
            assert_eq!(found, expected);
        }
        let many = vec![json!({"userRef": {"name": "a"}}); 10_001];
        let found = Schema::of::<ScimGroup>().unwrap().violations(&json!({"members": many}));
        assert_eq!(found[0].rule, "must have at most 10000 items");
    }

    #[test]
    fn patterns_are_judged_as_re2_would() {
        let judged = |pattern: &str, text: &str| {
            let found = PATTERNS.iter().find(|(known, _)| *known == pattern);
            found.unwrap().1(text)
        };
        let (text, mail) = (r"^\S(.*\S)?$", r"^[^\s@]+@[^\s@]+$");
        let label = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
        let name = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
        for (pattern, good, bad) in [
            (
                text,
                &["a", "a b", "\u{a0}", "é"][..],
                &["", " ", " a", "a\t", "a\nb"][..],
            ),
            (
                mail,
                &["a@b", "é@x.y", "a\u{a0}@b"],
                &["", "a", "@b", "a@", "a@b@c", "a @b", "a@b\n"],
            ),
            (
                label,
                &["a", "7", "a-b", "a--b"],
                &["", "-a", "a-", "A", "a.b", "é"],
            ),
            (
                name,
                &["a", "a.b", "a-b.7"],
                &["", ".", "a.", ".a", "a..b", "a.-b"],
            ),
        ] {
            for one in good {
                assert!(judged(pattern, one), "{pattern}: {one:?}");
            }
            for one in bad {
                assert!(!judged(pattern, one), "{pattern}: {one:?}");
            }
        }
    }

    /// A rule, or a pattern, that is added to a definition is either judged here, or said to be none of import's.
    #[test]
    fn every_rule_of_the_definitions_is_known() {
        const NOT_OURS: [&str; 1] = ["connectionRef is immutable"];
        fn rules(schema: &Value, field: &str, found: &mut Vec<(String, String, String)>) {
            for rule in schema["x-kubernetes-validations"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
                found.push((field.to_owned(), text("rule"), text("message")));
            }
            if let Some(pattern) = schema["pattern"].as_str() {
                found.push((field.to_owned(), pattern.to_owned(), "a pattern".to_owned()));
            }
            for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                rules(member, &format!("{field}.{name}"), found);
            }
            if schema["items"].is_object() {
                rules(&schema["items"], field, found);
            }
        }
        let mut found = Vec::new();
        rules(&Schema::of::<ScimUser>().unwrap().spec, "user", &mut found);
        rules(
            &Schema::of::<ScimGroup>().unwrap().spec,
            "group",
            &mut found,
        );
        // Import writes no selector.
        found.retain(|(field, _, _)| !field.starts_with("group.memberSelector"));
        for (field, rule, message) in &found {
            let pattern = PATTERNS.iter().any(|(text, _)| text == rule);
            let known = pattern || RULES.iter().any(|(text, _)| text == rule);
            assert!(known || NOT_OURS.contains(&&**message), "{field}: {rule}");
        }
        for (text, _) in RULES {
            assert!(
                found.iter().any(|(_, rule, _)| rule == text),
                "{text} is in no definition"
            );
        }
    }
}
