//! A server's explanation of a refusal, reduced to what is safe to repeat.
//!
//! Servers quote the offending values, so their text is never shown: only the
//! error type and the names of standard attributes that occur in it are.

use std::fmt;

use serde_json::Value;

use crate::scim::types;

/// The error types of RFC 7644 §3.12 (table 9) and RFC 9865 §2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum ScimType {
    InvalidFilter,
    TooMany,
    Uniqueness,
    Mutability,
    InvalidSyntax,
    InvalidPath,
    NoTarget,
    InvalidValue,
    InvalidVers,
    Sensitive,
    InvalidCursor,
    ExpiredCursor,
    InvalidCount,
}

impl ScimType {
    const ALL: [Self; 13] = [
        Self::InvalidFilter,
        Self::TooMany,
        Self::Uniqueness,
        Self::Mutability,
        Self::InvalidSyntax,
        Self::InvalidPath,
        Self::NoTarget,
        Self::InvalidValue,
        Self::InvalidVers,
        Self::Sensitive,
        Self::InvalidCursor,
        Self::ExpiredCursor,
        Self::InvalidCount,
    ];

    /// The RFC's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidVers => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }

    /// The type spelled so, ignoring case; `None` for one we do not know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
    }
}

/// The attribute names a message may repeat: RFC 7643 §4 and §8, and the bare
/// names backends are known to use. They are ours, never the server's text.
const KNOWN_NAMES: &str = "active addresses businessUnit city costCenter country department \
    displayName division emails employeeNumber employeeType entitlements externalId familyName \
    formatted givenName grade groups honorificPrefix honorificSuffix ims locale locality manager \
    members meta middleName nickName office organization password phoneNumbers photos postalCode \
    preferredLanguage primary profileUrl region roles schemas streetAddress timezone title \
    userName userType";

/// The longest server text that is searched, in bytes.
const SEARCHED: usize = 4096;

/// A server's explanation reduced to what is safe to repeat: its known
/// `scimType` and the standard attribute names that occur in it as words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SafeDetail {
    /// The error type, where it is a known one.
    pub scim_type: Option<ScimType>,
    /// The attribute names, in the order of the alphabet, at most eight.
    pub attributes: Vec<&'static str>,
}

impl SafeDetail {
    /// Reduces the body of an error reply (RFC 7644 §3.12). Lenient: `detail`
    /// may be an array, and other shapes are searched for names as well.
    #[must_use]
    pub fn of(body: Option<&Value>) -> Self {
        let Some(body) = body else {
            return Self::default();
        };
        let scim_type = types::member(body, "scimType")
            .and_then(Value::as_str)
            .and_then(ScimType::parse);
        let mut text = String::new();
        gather(body, &mut text, 0);
        let occurs = |name: &&str| {
            text.split(|c: char| !c.is_ascii_alphanumeric())
                .any(|word| word.eq_ignore_ascii_case(name))
        };
        let mut attributes: Vec<_> = KNOWN_NAMES.split(' ').filter(occurs).collect();
        attributes.truncate(8);
        Self {
            scim_type,
            attributes,
        }
    }
}

impl fmt::Display for SafeDetail {
    /// Prints `: invalidValue (emails, locale)`, or nothing where nothing is
    /// known: it is the tail of a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scim_type,
            attributes,
        } = self;
        let names = attributes.join(", ");
        match (scim_type, names.is_empty()) {
            (None, true) => Ok(()),
            (Some(kind), true) => write!(f, ": {}", kind.as_str()),
            (Some(kind), false) => write!(f, ": {} ({names})", kind.as_str()),
            (None, false) => write!(f, ": ({names})"),
        }
    }
}

/// Collects the strings of a value, bounded in depth and size.
fn gather(value: &Value, text: &mut String, depth: u8) {
    if depth > 6 || text.len() > SEARCHED {
        return;
    }
    match value {
        Value::String(part) => {
            text.extend(part.chars().take(SEARCHED));
            text.push(' ');
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, text, depth + 1)),
        Value::Object(members) => members
            .values()
            .for_each(|item| gather(item, text, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
