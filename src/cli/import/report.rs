//! What became of every account and group: counts, and whoever needs a look, by id and name. It holds no value of any
//! attribute.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::target::Standing;
use crate::cli::paint::{self, in_style};
use crate::cli::tame::tame;
use crate::domain::validate::Violation;

/// Accounts, or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// Accounts.
    ScimUser,
    /// Groups.
    ScimGroup,
}

/// Why one needs a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Why {
    /// The operator would write to the backend when it takes it over.
    WouldWrite,
    /// The operator would take nothing over, and wait.
    WouldWait,
    /// The spec breaks a rule.
    Invalid,
    /// Another account has the same userName.
    DuplicateUserName,
    /// It belongs to another scim-operator, or to another connection.
    OwnedByOther,
    /// A resource is declared for it already.
    DeclaredAlready,
    /// It is archived at the backend.
    Archived,
    /// It is written, but for optional attributes that break a rule.
    AttributesLeftOut,
    /// It is written, but for members that are not.
    MembersLeftOut,
}

impl Why {
    /// Whether somebody has to see to it: a choice that was made is no finding.
    fn is_finding(self) -> bool {
        match self {
            Self::WouldWrite
            | Self::WouldWait
            | Self::Invalid
            | Self::DuplicateUserName
            | Self::OwnedByOther => true,
            Self::DeclaredAlready
            | Self::Archived
            | Self::AttributesLeftOut
            | Self::MembersLeftOut => false,
        }
    }
}

/// One that needs a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Which kind.
    pub kind: Kind,
    /// Its id at the backend.
    pub id: String,
    /// The name of its resource.
    pub name: String,
    /// Whether there is a manifest of it.
    pub written: bool,
    /// Why.
    pub reason: Why,
    /// Whose it is, or what it waits for: a resource, or an id at the backend, or a reason of a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The attributes that would be written to the backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// The rules that are broken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Broken>,
    /// The ids of members that were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The field of the spec.
    pub field: String,
    /// The rule, as a sentence about the field.
    pub rule: String,
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        let Violation {
            field,
            rule,
            unsupported: _,
        } = violation;
        Self { field, rule }
    }
}

impl Entry {
    /// One that is left out, for this.
    pub fn left_out(kind: Kind, id: &str, name: &str, reason: Why) -> Self {
        Self {
            kind,
            id: id.to_owned(),
            name: name.to_owned(),
            written: false,
            reason,
            about: None,
            attributes: Vec::new(),
            violations: Vec::new(),
            members: Vec::new(),
        }
    }

    /// What its standing gives to say of one, if anything; `written` says whether there is a manifest.
    pub fn of_standing(
        kind: Kind,
        id: &str,
        name: &str,
        standing: &Standing,
        written: bool,
    ) -> Option<Self> {
        let entry = |reason| Self {
            written,
            ..Self::left_out(kind, id, name, reason)
        };
        match standing {
            Standing::InStep => None,
            Standing::Writes(attributes) => Some(Self {
                attributes: attributes.clone(),
                ..entry(Why::WouldWrite)
            }),
            Standing::Waits(about) => Some(Self {
                about: Some((*about).to_owned()),
                ..entry(Why::WouldWait)
            }),
            Standing::Invalid(violations) => Some(Self {
                violations: violations.iter().cloned().map(Broken::from).collect(),
                ..entry(Why::Invalid)
            }),
        }
    }

    /// What a manifest says of it in a comment.
    pub fn comment(&self) -> String {
        let (_, sentence) = self.sentence();
        let mut letters = sentence.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string());
        format!("{}{}.", first.unwrap_or_default(), letters.as_str())
    }

    fn sentence(&self) -> (anstyle::Style, String) {
        let about = self.about.as_deref().unwrap_or_default();
        let rules: Vec<_> = self
            .violations
            .iter()
            .map(|broken| format!("{} {}", broken.field, broken.rule))
            .collect();
        let rules = rules.join("; ");
        match self.reason {
            Why::WouldWrite => (
                paint::CAUTION,
                format!(
                    "when it is taken over, the operator writes to the backend: {}",
                    self.attributes.join(", ")
                ),
            ),
            Why::WouldWait => (
                paint::CAUTION,
                format!("it would not be taken over: {about}"),
            ),
            Why::Invalid => (paint::BAD, format!("it is not valid as it is: {rules}")),
            Why::DuplicateUserName => (
                paint::BAD,
                format!("its userName, ignoring case, is that of {about}"),
            ),
            Why::OwnedByOther => (paint::BAD, format!("it belongs to {about}")),
            Why::DeclaredAlready => (paint::FAINT, format!("it is declared already by {about}")),
            Why::Archived => (paint::FAINT, "it is archived".into()),
            Why::AttributesLeftOut => (
                paint::FAINT,
                format!("not declared, and left as they are at the backend: {rules}"),
            ),
            Why::MembersLeftOut => (
                paint::FAINT,
                format!(
                    "membership is AddOnly, so that nobody is removed: {} members have no manifest here",
                    self.members.len()
                ),
            ),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, id, name, .. } = self;
        let (style, sentence) = self.sentence();
        let written = if self.written { "" } else { "left out: " };
        write!(
            f,
            "{kind:?} {name} (id {}): {}",
            tame(id),
            in_style(style, tame(&format!("{written}{sentence}")))
        )
    }
}

/// How many there were of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Why the listing was not everything that was asked for, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_because: Option<String>,
    /// Listed, and matching the filter where there is one.
    pub listed: usize,
    /// Listed, and surely not matching the filter that the backend was given.
    pub not_matching: usize,
    /// Written as manifests.
    pub written: usize,
    /// Of those, taken over without a write to the backend.
    pub in_step: usize,
    /// Whoever needs a look, by why.
    pub by_reason: BTreeMap<Why, usize>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The connection, as namespace/name.
    pub connection: String,
    /// The namespace of the manifests.
    pub namespace: String,
    /// Accounts.
    pub users: Counts,
    /// Groups.
    pub groups: Counts,
    /// What is to be known of the import as a whole.
    pub notes: Vec<String>,
    /// Whoever needs a look, users first, by name.
    pub entries: Vec<Entry>,
}

impl Report {
    /// Adds one that needs a look.
    pub fn add(&mut self, entry: Entry) {
        let counts = match entry.kind {
            Kind::ScimUser => &mut self.users,
            Kind::ScimGroup => &mut self.groups,
        };
        *counts.by_reason.entry(entry.reason).or_default() += 1;
        self.entries.push(entry);
    }

    /// Notes what the missing marks cost: the operator has no way to take one over without.
    pub fn note_marks(&mut self) {
        let marked = |entry: &&Entry| {
            entry.reason == Why::WouldWrite && entry.attributes.iter().any(|a| a == "externalId")
        };
        let count = self.entries.iter().filter(marked).count();
        if count > 0 {
            self.notes.push(format!("{count} have no externalId at the backend: the operator puts its mark there when it takes one over, which is one write each"));
        }
    }

    /// Whether something has to be seen to.
    pub fn has_findings(&self) -> bool {
        let open = |counts: &Counts| counts.incomplete_because.is_some();
        open(&self.users)
            || open(&self.groups)
            || self.entries.iter().any(|entry| entry.reason.is_finding())
    }

    /// Says all of it on standard error.
    pub fn print(&self) {
        for entry in &self.entries {
            anstream::eprintln!("{entry}");
        }
        for note in &self.notes {
            anstream::eprintln!("{}", in_style(paint::CAUTION, note));
        }
        for (counts, what) in [(&self.users, "accounts"), (&self.groups, "groups")] {
            anstream::eprintln!("{}", told(counts, what));
        }
    }
}

fn told(counts: &Counts, what: &str) -> String {
    let Counts {
        incomplete_because,
        listed,
        not_matching,
        written,
        in_step,
        by_reason,
    } = counts;
    let mut line = format!(
        "{what}: {listed} listed, {written} written, {in_step} of them taken over without a write"
    );
    if *not_matching > 0 {
        line.push_str(&format!("; {not_matching} more did not match the filter"));
    }
    for (why, count) in by_reason {
        line.push_str(&format!("; {why:?}: {count}"));
    }
    if let Some(why) = incomplete_because {
        line.push_str(&format!("; the listing is not complete: {why}"));
    }
    line
}
