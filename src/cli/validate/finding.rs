//! What a check says: where, of which object and field, by which rule, and how grave. The rules' ids are promised: CI
//! systems recognise a finding by them.

use std::fmt;

use crate::cli::manifests::{Manifest, Place};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The API server refuses it, or the operator will not carry it out.
    Error,
    /// It deserves a look, or is more than the manifests alone can tell.
    Warning,
}

impl Severity {
    /// As all of our forms of output spell it, SARIF's `level` among them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field, or a key of a map.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
    /// The item of a list whose `type` is this, as messages of a profile name it.
    OfType(String),
}

/// Where in an object, such as `spec.emails[0].value`; empty for all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    /// The path that a message of `domain` spells: `spec.emails[work].value`.
    pub fn spelt(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let mut pieces = part.split('[');
            if let Some(key) = pieces.next().filter(|key| !key.is_empty()) {
                steps.push(Step::Key(key.to_owned()));
            }
            for piece in pieces {
                let inner = piece.trim_end_matches(']');
                steps.push(match inner.parse() {
                    Ok(index) => Step::Index(index),
                    Err(_) => Step::OfType(inner.to_owned()),
                });
            }
        }
        Self(steps)
    }

    /// Whether it leads to `other`, or to what is around it.
    pub fn is_around(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::OfType(kind) => write!(f, "[{kind}]")?,
            }
        }
        Ok(())
    }
}

/// A path while an object is walked: nothing is copied before something is found.
#[derive(Clone, Copy)]
pub struct Trail<'a> {
    outer: Option<&'a Trail<'a>>,
    step: Walk<'a>,
}

#[derive(Clone, Copy)]
enum Walk<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Trail<'a> {
    /// All of an object.
    pub const ROOT: Trail<'static> = Trail {
        outer: None,
        step: Walk::Root,
    };

    /// A field of what this leads to.
    pub fn key(&'a self, key: &'a str) -> Trail<'a> {
        Trail {
            outer: Some(self),
            step: Walk::Key(key),
        }
    }

    /// An item of what this leads to.
    pub fn index(&'a self, index: usize) -> Trail<'a> {
        Trail {
            outer: Some(self),
            step: Walk::Index(index),
        }
    }

    /// The path, to keep.
    pub fn path(&self) -> FieldPath {
        let mut steps = Vec::new();
        let mut next = Some(self);
        while let Some(trail) = next {
            match trail.step {
                Walk::Root => {}
                Walk::Key(key) => steps.push(Step::Key(key.to_owned())),
                Walk::Index(index) => steps.push(Step::Index(index)),
            }
            next = trail.outer;
        }
        steps.reverse();
        FieldPath(steps)
    }
}

/// One broken rule of one object, before anybody asks where the object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the object.
    pub field: FieldPath,
    /// The rule's id, such as `schema/required`.
    pub rule: String,
    /// What is wrong, as a sentence about the field. Never a value.
    pub message: String,
    /// How grave.
    pub severity: Severity,
}

impl Fault {
    /// A fault that is an error.
    pub fn error(field: FieldPath, rule: &str, message: impl Into<String>) -> Self {
        Self {
            field,
            rule: rule.to_owned(),
            message: message.into(),
            severity: Severity::Error,
        }
    }

    /// A fault that is a warning.
    pub fn warning(field: FieldPath, rule: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(field, rule, message)
        }
    }
}

/// A fault with the object that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, and the line: of the field once `lines` has found it, else of the document.
    pub place: Place,
    /// Of which kind the object is; empty where nothing could be read.
    pub kind: String,
    /// Its namespace; empty where that is not known.
    pub namespace: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// What is wrong.
    pub fault: Fault,
}

impl Finding {
    /// What is wrong with an object.
    pub fn of(manifest: &Manifest, namespace: &str, fault: Fault) -> Self {
        Self {
            place: manifest.place.clone(),
            kind: manifest.kind().to_owned(),
            namespace: manifest.namespace(namespace).to_owned(),
            name: manifest.name().to_owned(),
            fault,
        }
    }

    /// The object, as people say it: `ScimUser team/ada`.
    pub fn object(&self) -> String {
        match (self.kind.as_str(), self.name.as_str()) {
            ("", _) => String::new(),
            (kind, "") => kind.to_owned(),
            (kind, name) => format!("{kind} {}/{name}", self.namespace),
        }
    }
}

/// The rules that are not a definition's own, by id, each with what it asks for. `cel/…` ids are those of
/// [`super::schema::Schemas::rules`].
#[rustfmt::skip] // One rule a line.
pub const CATALOGUE: [(&str, &str); 39] = [
    ("cel/unevaluated", "A rule of the definition could be evaluated"),
    ("duplicate/adopt", "One account is adopted by one resource"),
    ("duplicate/externalId", "An externalId is chosen once a connection"),
    ("duplicate/object", "An object is declared once"),
    ("duplicate/userName", "A userName is claimed once a connection, ignoring case"),
    ("metadata/annotations", "Annotations have keys that Kubernetes takes, and 256 KiB at most"),
    ("metadata/finalizers", "Finalizers have names that Kubernetes takes"),
    ("metadata/labels", "Labels have keys and values that Kubernetes takes"),
    ("metadata/name", "The name is a DNS subdomain (RFC 1123)"),
    ("metadata/namespace", "The namespace is a DNS label (RFC 1123)"),
    ("metadata/ownerReferences", "Owners are named in full"),
    ("operator/unreadable", "The operator can read what the API server takes"),
    ("profile/advice", "Nothing in it is known to cause trouble at this backend"),
    ("profile/externalId", "An externalId does not pass for another resource's mark"),
    ("profile/mapping", "The connection's attributeMapping can be used"),
    ("profile/required", "What the connection's profile requires is there"),
    ("profile/unsupported", "The connection's profile has a place for every attribute"),
    ("profile/value", "Values are what the connection's profile takes"),
    ("reference/connection", "The connection is declared"),
    ("reference/manager", "The manager is declared"),
    ("reference/member", "Members are declared"),
    ("reference/namespace", "It is known whether the connection lets the namespace in"),
    ("reference/not-allowed", "The connection lets resources of the namespace in"),
    ("reference/other-connection", "Managers and members are provisioned through the same connection"),
    ("reference/selector", "A memberSelector selects somebody"),
    ("schema/duplicate", "Lists that are maps or sets have each key once"),
    ("schema/enum", "The value is one of those that are known"),
    ("schema/format", "The text has the format of the schema"),
    ("schema/kind", "Kind and version are those of this release"),
    ("schema/length", "Texts are as long as the schema allows"),
    ("schema/items", "Lists have as many items as the schema allows"),
    ("schema/properties", "Maps have as many entries as the schema allows"),
    ("schema/pattern", "The text matches the pattern of the schema"),
    ("schema/range", "Numbers are within their bounds"),
    ("schema/required", "What the schema requires is there"),
    ("schema/type", "The value has the type of the schema"),
    ("schema/unknown", "There are no fields that the schema does not know"),
    ("secret/in-git", "No token stands in a plain manifest"),
    ("yaml/unreadable", "The file can be read, and holds objects of Kubernetes"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_spelt_as_the_api_server_spells_it() {
        let spec = Trail::ROOT.key("spec");
        let emails = spec.key("emails");
        let first = emails.index(0);
        let path = first.key("value").path();
        assert_eq!(path.to_string(), "spec.emails[0].value");
        assert_eq!(FieldPath::spelt("spec.emails[0].value"), path);
        assert!(emails.path().is_around(&path));
        assert!(!path.is_around(&emails.path()));
        assert_eq!(Trail::ROOT.path().to_string(), "");
    }

    #[test]
    fn a_profiles_spelling_names_an_item_by_its_type() {
        let path = FieldPath::spelt("spec.emails[work].value");
        assert_eq!(path.0[2], Step::OfType("work".into()));
        assert_eq!(path.to_string(), "spec.emails[work].value");
    }

    #[test]
    fn an_id_is_in_the_catalogue_once() {
        let mut ids: Vec<_> = CATALOGUE.iter().map(|(id, _)| id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), CATALOGUE.len());
    }
}
