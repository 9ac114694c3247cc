//! Whose account, or group, a deleted resource has to part with. Only what is certainly its own: by
//! recorded id, by our mark, or by what a create that was marked ahead had said; never by name alone,
//! which somebody else may have by now. And "none" only on good evidence, since it lets the resource go.

use super::names;
use super::sighting::Sighting;

/// What is known of a deleted resource's account, or group.
#[derive(Clone, Debug)]
pub struct Traces<T> {
    /// The one with the recorded id, if it is there.
    pub recorded: Option<T>,
    /// Those that bear our mark.
    pub marked: Vec<T>,
    /// Those that bear the name by which a create was begun.
    pub begun: Vec<T>,
    /// An id is recorded, of another backend.
    pub recorded_elsewhere: bool,
}

/// What the search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaver<T> {
    /// This one.
    One(T),
    /// There is none.
    Nobody,
    /// A person has to say.
    Unclear(Unclear),
}

/// Why a person has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// What is recorded bears the mark of somebody else.
    MarkedByAnother,
    /// Two bear our mark.
    SeveralMarked,
    /// It was recorded at another backend.
    RecordedElsewhere,
}

impl Unclear {
    /// A sentence for a condition; `what` is an account, or a group.
    pub fn why(self, what: &str) -> String {
        let trouble = match self {
            Self::MarkedByAnother => {
                format!("the {what} bears the mark of another resource or operator")
            }
            Self::SeveralMarked => format!("more than one {what} bears the mark of this resource"),
            Self::RecordedElsewhere => {
                format!("the {what} was recorded at another endpoint and is not found at this one")
            }
        };
        format!(
            "deletion waits: {trouble}; the annotation {}=true releases this resource and leaves the {what} as it is",
            crate::api::ANNOTATION_ABANDON
        )
    }
}

/// Decides. `orphaned` says of a mark whether it is our owner's, of a resource that is declared no more:
/// what was taken over from one may bear its mark for good.
pub fn leaver<T: Sighting>(
    traces: Traces<T>,
    own_mark: &str,
    explicit: Option<&str>,
    orphaned: impl Fn(&str) -> bool,
) -> Leaver<T> {
    let Traces {
        recorded,
        mut marked,
        mut begun,
        recorded_elsewhere,
    } = traces;
    if let Some(recorded) = recorded {
        let mark = recorded.external_id();
        let another = names::is_mark_of_another(mark, own_mark);
        return if another && !mark.is_some_and(orphaned) {
            Leaver::Unclear(Unclear::MarkedByAnother)
        } else {
            Leaver::One(recorded)
        };
    }
    marked.retain(|found| found.external_id() == Some(own_mark));
    begun.retain(|found| match found.external_id() {
        None => true,
        Some(mark) => mark == own_mark || explicit == Some(mark),
    });
    let mut found = if marked.is_empty() { begun } else { marked };
    match (found.pop(), found.pop()) {
        (Some(one), None) => Leaver::One(one),
        (Some(_), Some(_)) => Leaver::Unclear(Unclear::SeveralMarked),
        (None, _) if recorded_elsewhere => Leaver::Unclear(Unclear::RecordedElsewhere),
        (None, _) => Leaver::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observed::Observed;

    const OURS: &str = "scim-operator:ns/c:team/ada";
    const GONE: &str = "scim-operator:ns/c:team/gone";
    const THEIRS: &str = "scim-operator:ns/c:team/bob";

    fn account(id: &str, mark: Option<&str>) -> Observed {
        Observed {
            id: id.into(),
            external_id: mark.map(str::to_owned),
            ..Observed::default()
        }
    }

    fn none() -> Traces<Observed> {
        Traces {
            recorded: None,
            marked: Vec::new(),
            begun: Vec::new(),
            recorded_elsewhere: false,
        }
    }

    #[test]
    fn a_leaver_is_found_by_what_is_certain_and_let_go_on_good_evidence() {
        let recorded = |mark| Traces {
            recorded: Some(account("1", mark)),
            ..none()
        };
        let marked = |marks: &[&str]| Traces {
            marked: marks.iter().map(|mark| account("1", Some(mark))).collect(),
            ..none()
        };
        let begun = |mark| Traces {
            begun: vec![account("1", mark)],
            ..none()
        };
        let one = |mark| Leaver::One(account("1", mark));
        for (traces, expected, why) in [
            (recorded(Some(OURS)), one(Some(OURS)), "id and mark agree"),
            (recorded(None), one(None), "marks do not come back"),
            (
                recorded(Some("hr-7")),
                one(Some("hr-7")),
                "the spec chose its own",
            ),
            (
                recorded(Some(GONE)),
                one(Some(GONE)),
                "taken over, and the mark could not be changed",
            ),
            (
                recorded(Some(THEIRS)),
                Leaver::Unclear(Unclear::MarkedByAnother),
                "an id that now is somebody else's",
            ),
            (marked(&[OURS]), one(Some(OURS)), "never recorded"),
            (
                marked(&[OURS, OURS]),
                Leaver::Unclear(Unclear::SeveralMarked),
                "two are never guessed between",
            ),
            (
                marked(&[THEIRS]),
                Leaver::Nobody,
                "a filter that was ignored",
            ),
            (begun(None), one(None), "begun, and marks do not come back"),
            (
                begun(Some("hr-7")),
                one(Some("hr-7")),
                "begun, with the mark of the spec",
            ),
            (
                begun(Some("hr-8")),
                Leaver::Nobody,
                "somebody else's of that name",
            ),
            (
                begun(Some(THEIRS)),
                Leaver::Nobody,
                "another resource's of that name",
            ),
            (none(), Leaver::Nobody, "never provisioned"),
            (
                Traces {
                    recorded_elsewhere: true,
                    ..none()
                },
                Leaver::Unclear(Unclear::RecordedElsewhere),
                "the account may be active at the other backend",
            ),
        ] {
            let found = leaver(traces, OURS, Some("hr-7"), |mark| mark == GONE);
            assert_eq!(found, expected, "{why}");
        }
    }
}
