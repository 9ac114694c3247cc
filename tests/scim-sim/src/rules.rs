//! What CybSafe demands of a user and a group, beyond the types of the attributes.
//!
//! Source: CybSafe help, "User provisioning with SCIM". Every message names the path, none repeats
//! the value.

use serde_json::{Map, Value};

use crate::Dialect;
use crate::schema::Resource;

/// The 18 languages, spelled as CybSafe spells them; `en_gb` and `en-us` are not canonical BCP 47.
pub const PREFERRED_LANGUAGES: &[&str] = &[
    "en_gb", "en", "en-us", "nl", "ar", "es", "es-ES", "fr", "de", "it", "pl", "pt-BR", "tr-TR",
    "ru", "ja-JP", "zh-CN", "zh-HK", "ko-KR",
];

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: &'static str,
    pub(crate) problem: &'static str,
}

impl Violation {
    /// Whether the value is missing, rather than wrong.
    pub(crate) fn is_missing(&self) -> bool {
        self.problem == MISSING
    }

    pub(crate) fn detail(&self) -> String {
        format!("{} {}", self.path, self.problem)
    }
}

const MISSING: &str = "is required";

/// The first rule that a captured resource breaks.
pub(crate) fn check(
    resource: Resource,
    body: &Map<String, Value>,
    dialect: &Dialect,
) -> Result<(), Violation> {
    match resource {
        Resource::User => check_user(body, dialect),
        Resource::Group => required("displayName", body.get("displayName")).map(drop),
    }
}

fn check_user(body: &Map<String, Value>, dialect: &Dialect) -> Result<(), Violation> {
    required("userName", body.get("userName"))?;
    required(
        "name.givenName",
        body.get("name").and_then(|name| name.get("givenName")),
    )?;
    required(
        "name.familyName",
        body.get("name").and_then(|name| name.get("familyName")),
    )?;

    let email = first(body, "emails");
    let address = required(
        "emails[type eq \"work\"].value",
        email.and_then(|e| e.get("value")),
    )?;
    ensure(
        address.contains('@'),
        "emails[type eq \"work\"].value",
        "must be an e-mail address",
    )?;
    let is_primary = email.and_then(|e| e.get("primary")) == Some(&Value::Bool(true));
    ensure(
        is_primary || !dialect.require_primary_email,
        "emails[type eq \"work\"].primary",
        "must be true",
    )?;

    let country = required(
        "addresses[type eq \"work\"].country",
        first(body, "addresses").and_then(|address| address.get("country")),
    )?;
    ensure(
        country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()),
        "addresses[type eq \"work\"].country",
        "must be an ISO 3166-1 alpha-2 code",
    )?;

    let language = required("preferredLanguage", body.get("preferredLanguage"))?;
    ensure(
        PREFERRED_LANGUAGES.contains(&language),
        "preferredLanguage",
        "must be one of the 18 values, spelled exactly",
    )
}

/// The primary element of a multi-valued attribute, else the first; all are of the captured type.
fn first<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let elements = body.get(name)?.as_array()?;
    elements
        .iter()
        .find(|element| element["primary"] == true)
        .or_else(|| elements.first())
}

fn required<'a>(path: &'static str, value: Option<&'a Value>) -> Result<&'a str, Violation> {
    value
        .and_then(Value::as_str)
        .filter(|text| !text.trim().is_empty())
        .ok_or(Violation {
            path,
            problem: MISSING,
        })
}

fn ensure(holds: bool, path: &'static str, problem: &'static str) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation { path, problem })
    }
}
