//! What is learned of how a server treats the members of a group: how one is removed, and whether
//! they are returned at all. Discovery says neither.
//!
//! RFC 7644 §3.5.2.2 removes one member by `members[value eq "…"]`, and takes `members` without a
//! filter for all of them. Servers are seen to do the opposite on either count: the filter is
//! answered 200 and ignored (goauthentik/authentik#24173), and where a list of values beside the
//! bare path is what one server wants, another removes everybody (goauthentik/authentik#23798). So
//! the filter is tried first, since it cannot hurt; removals are read back until one proves
//! something; and what once removed too many is never tried again.

use std::collections::BTreeSet;

use crate::api::connection::MemberRemoval;

/// How members are removed on one connection, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// Nothing is known: the filter is tried.
    #[default]
    Unknown,
    /// The filter was ignored or refused: a list of values is tried.
    TryValue,
    /// The filter works.
    Filter,
    /// A list of values works.
    Value,
    /// Neither removes one member and no other: nothing is removed on this connection.
    Broken,
}

/// The form of one removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `remove members[value eq "…"]`.
    Filter,
    /// `remove members` with a list of values.
    Value,
}

/// What a removal was seen to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Who was to go is gone, and nobody else.
    Works,
    /// Somebody who was to go is still there.
    Ignored,
    /// Others are gone as well.
    Wiped,
}

/// One removal and what was read before and after it.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// How it was asked.
    pub form: Form,
    /// The ids that were to go.
    pub asked: &'a [String],
    /// The members before.
    pub before: &'a BTreeSet<String>,
    /// The members that were read back.
    pub after: &'a BTreeSet<String>,
}

impl Trial<'_> {
    /// What it came to. Somebody else's change between the two readings may look like either
    /// failure; the worse is believed, since the next removal could cost a whole group.
    pub fn outcome(&self) -> Outcome {
        let gone = |id: &&String| !self.after.contains(*id);
        let (asked, others) = self.parts();
        if others.iter().any(gone) {
            Outcome::Wiped
        } else if asked.iter().all(gone) {
            Outcome::Works
        } else {
            Outcome::Ignored
        }
    }

    /// Whether success would prove anything: from a group of those alone who were to go, removing
    /// them and removing everybody look the same; and who was no member cannot be removed.
    fn proves(&self) -> bool {
        let (asked, others) = self.parts();
        !asked.is_empty() && !others.is_empty()
    }

    /// The members before, as those who were to go and the others.
    fn parts(&self) -> (Vec<&String>, Vec<&String>) {
        let asked: BTreeSet<&String> = self.asked.iter().collect();
        self.before.iter().partition(|id| asked.contains(id))
    }
}

impl Removal {
    /// The form to remove by; `None` where there is none that is safe.
    pub fn form(self) -> Option<Form> {
        match self {
            Self::Unknown | Self::Filter => Some(Form::Filter),
            Self::TryValue | Self::Value => Some(Form::Value),
            Self::Broken => None,
        }
    }

    /// Whether the next removal has to be read back.
    pub fn is_on_trial(self) -> bool {
        matches!(self, Self::Unknown | Self::TryValue)
    }

    /// What `spec.dialect.memberRemoval` makes of it.
    #[must_use]
    pub fn under(self, dialect: MemberRemoval) -> Self {
        match dialect {
            MemberRemoval::Auto => self,
            MemberRemoval::Filter => Self::Filter,
            MemberRemoval::Value => Self::Value,
        }
    }

    /// What a removal came to, and what is known after it.
    ///
    /// A form that had been proven and fails is on trial again rather than given up: most likely
    /// somebody else changed the group meanwhile. The one exception is a list of values that
    /// removed others: it never gets another chance.
    pub fn learn(self, trial: &Trial<'_>) -> (Outcome, Self) {
        let outcome = trial.outcome();
        let next = match (self, trial.form, outcome) {
            (Self::Broken, _, _) | (_, Form::Value, Outcome::Wiped) => Self::Broken,
            (Self::Unknown, Form::Filter, Outcome::Works) if trial.proves() => Self::Filter,
            (Self::Unknown, Form::Filter, Outcome::Ignored) => Self::TryValue,
            // The filter of the RFC names one: others who went meanwhile went by themselves.
            (Self::Filter, Form::Filter, Outcome::Ignored | Outcome::Wiped) => Self::Unknown,
            (Self::TryValue, Form::Value, Outcome::Works) if trial.proves() => Self::Value,
            (Self::TryValue, Form::Value, Outcome::Ignored) => Self::Broken,
            (Self::Value, Form::Value, Outcome::Ignored) => Self::TryValue,
            (unchanged, _, _) => unchanged,
        };
        (outcome, next)
    }

    /// What is known after a removal was refused as malformed (400 `invalidPath`, `invalidFilter`
    /// or `invalidSyntax`; not `noTarget`, which says that the member is gone).
    #[must_use]
    pub fn refused(self, form: Form) -> Self {
        match (self, form) {
            (Self::Unknown, Form::Filter) => Self::TryValue,
            (Self::TryValue, Form::Value) => Self::Broken,
            (unchanged, _) => unchanged,
        }
    }

    /// The word for `status.capabilities.memberRemoval`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown | Self::TryValue => "Unknown",
            Self::Filter => "Filter",
            Self::Value => "Value",
            Self::Broken => "Broken",
        }
    }

    /// What a word in status says, after a restart.
    pub fn parse(word: &str) -> Self {
        match word {
            "Filter" => Self::Filter,
            "Value" => Self::Value,
            "Broken" => Self::Broken,
            _ => Self::Unknown,
        }
    }
}

/// Whether a backend returns the members of a group (AWS IAM Identity Center does not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MembersEcho {
    /// No group with members was seen yet.
    #[default]
    Unknown,
    /// It does.
    Returned,
    /// Members were added, and a GET of the group showed none.
    NotReturned,
}

impl MembersEcho {
    /// What is known after a group was seen.
    #[must_use]
    pub fn saw(self, members: &BTreeSet<String>) -> Self {
        if members.is_empty() {
            self
        } else {
            Self::Returned
        }
    }

    /// What is known after members were added with success and the group was read back.
    #[must_use]
    pub fn read_back(self, added: &[String], after: &BTreeSet<String>) -> Self {
        match self.saw(after) {
            Self::Unknown if !added.is_empty() => Self::NotReturned,
            known => known,
        }
    }

    /// The word for `status.capabilities.members`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Returned => "Returned",
            Self::NotReturned => "NotReturned",
        }
    }

    /// What a word in status says, after a restart.
    pub fn parse(word: &str) -> Self {
        match word {
            "Returned" => Self::Returned,
            "NotReturned" => Self::NotReturned,
            _ => Self::Unknown,
        }
    }
}
