//! Every outcome of the search for a person's account, and what decides it.

use std::collections::BTreeMap;

use super::*;
use crate::domain::observed::Observed;

const MARK: &str = "scim-operator:ns/c:team/ada";
const OTHER: &str = "scim-operator:ns/c:team/bob";
const ABROAD: &str = "scim-operator:ns/c:sales/ada";
const ELSEWHERE: &str = "scim-operator:prod:team/ada";

fn wanted(external_id: &str) -> Desired {
    Desired {
        user_name: "Ada@example.com".into(),
        external_id: external_id.into(),
        own_mark: MARK.into(),
        active: true,
        attributes: BTreeMap::new(),
    }
}

fn account(id: &str, user_name: &str, mark: Option<&str>) -> Observed {
    Observed {
        id: id.into(),
        user_name: Some(user_name.into()),
        external_id: mark.map(str::to_owned),
        ..Observed::default()
    }
}

fn ada(mark: Option<&str>) -> Observed {
    account("1", "ada@EXAMPLE.com", mark)
}

fn bob(mark: Option<&str>) -> Observed {
    account("2", "bob@example.com", mark)
}

fn marked(accounts: &[Observed]) -> Candidates<Observed> {
    Candidates {
        by_external_id: accounts.to_vec(),
        ..Candidates::default()
    }
}

fn begun(mut candidates: Candidates<Observed>) -> Candidates<Observed> {
    candidates.begun = candidates.by_name.clone();
    candidates.begun.extend(candidates.by_external_id.clone());
    candidates
}

fn named(accounts: &[Observed]) -> Candidates<Observed> {
    Candidates {
        by_name: accounts.to_vec(),
        ..Candidates::default()
    }
}

const NOTHING: AdoptionPolicy = AdoptionPolicy {
    external_id: false,
    name: false,
    by_id: false,
    explicit_external_id: false,
};
const BY_USER_NAME: AdoptionPolicy = AdoptionPolicy {
    name: true,
    ..NOTHING
};
const BY_ID: AdoptionPolicy = AdoptionPolicy {
    by_id: true,
    ..NOTHING
};
const EXPLICIT: AdoptionPolicy = AdoptionPolicy {
    explicit_external_id: true,
    ..NOTHING
};
const EVERYTHING_BUT_ID: AdoptionPolicy = AdoptionPolicy {
    external_id: true,
    name: true,
    by_id: false,
    explicit_external_id: false,
};

type Case = (
    Candidates<Observed>,
    AdoptionPolicy,
    Identity<Observed>,
    &'static str,
);

fn assert_outcomes(external_id: &str, cases: Vec<Case>) {
    for (candidates, policy, expected, why) in cases {
        assert_eq!(
            identify(&Wanted::from(&wanted(external_id)), candidates, policy),
            expected,
            "{why}"
        );
    }
}

#[test]
fn the_recorded_id_decides_before_everything_else() {
    let recorded = |account: Observed| Candidates {
        recorded: Some(account),
        by_external_id: vec![bob(Some(MARK))],
        by_name: vec![ada(None), ada(None)],
        ..Candidates::default()
    };
    assert_outcomes(
        MARK,
        vec![
            (
                recorded(ada(Some(MARK))),
                NOTHING,
                Identity::Ours(ada(Some(MARK))),
                "id and mark agree",
            ),
            (
                recorded(bob(Some(MARK))),
                NOTHING,
                Identity::Ours(bob(Some(MARK))),
                "renamed outside",
            ),
            (
                recorded(ada(None)),
                NOTHING,
                Identity::Ours(ada(None)),
                "the backend shows no marks",
            ),
            (
                recorded(ada(Some("hr-7"))),
                NOTHING,
                Identity::Ours(ada(Some("hr-7"))),
                "another system's mark",
            ),
            (
                recorded(ada(Some(OTHER))),
                NOTHING,
                Identity::OwnedByOther,
                "the mark of another resource",
            ),
            (
                recorded(ada(Some(ELSEWHERE))),
                EVERYTHING_BUT_ID,
                Identity::OwnedByOther,
                "no policy takes another operator's",
            ),
            (
                recorded(ada(None)),
                BY_ID,
                Identity::Ours(ada(None)),
                "adopt.id is history once an id is recorded",
            ),
        ],
    );
}

#[test]
fn adopt_id_takes_that_account_or_waits() {
    let adopt = |account: Option<Observed>| Candidates::<Observed> {
        adopt: account,
        by_external_id: vec![bob(Some(MARK))],
        by_name: vec![ada(None)],
        ..Candidates::default()
    };
    assert_outcomes(
        MARK,
        vec![
            (
                adopt(Some(bob(None))),
                BY_ID,
                Identity::Adopted(bob(None)),
                "an unmarked account, whatever its name",
            ),
            (
                adopt(Some(bob(Some("hr-7")))),
                BY_ID,
                Identity::Adopted(bob(Some("hr-7"))),
                "named on purpose",
            ),
            (
                adopt(Some(bob(Some(MARK)))),
                BY_ID,
                Identity::Adopted(bob(Some(MARK))),
                "marked as ours already",
            ),
            (
                adopt(Some(bob(Some(OTHER)))),
                BY_ID,
                Identity::OwnedByOther,
                "another resource has it",
            ),
            (
                adopt(None),
                BY_ID,
                Identity::AdoptionRequired,
                "no such id: nobody else is taken instead, none created",
            ),
            (
                adopt(Some(ada(None))),
                NOTHING,
                Identity::Ours(bob(Some(MARK))),
                "without adopt.id it is not looked at",
            ),
        ],
    );
}

#[test]
fn our_mark_is_proof_unless_the_spec_chose_it() {
    let by_external_id = AdoptionPolicy {
        external_id: true,
        ..EXPLICIT
    };
    let by_user_name = AdoptionPolicy {
        name: true,
        ..EXPLICIT
    };
    let both = Candidates {
        by_name: vec![ada(None)],
        ..marked(&[bob(Some(MARK))])
    };
    assert_outcomes(
        MARK,
        vec![
            (
                marked(&[bob(Some(MARK))]),
                NOTHING,
                Identity::Ours(bob(Some(MARK))),
                "the mark was made by us alone",
            ),
            (
                both,
                BY_USER_NAME,
                Identity::Ours(bob(Some(MARK))),
                "the mark counts more than the name",
            ),
            (
                marked(&[ada(Some(MARK)), bob(Some(MARK))]),
                EVERYTHING_BUT_ID,
                Identity::Ambiguous,
                "two marked: never guess",
            ),
            (
                marked(&[ada(Some(MARK)), bob(Some("hr-7"))]),
                NOTHING,
                Identity::Ours(ada(Some(MARK))),
                "a server that ignores the filter",
            ),
            (
                marked(&[bob(None)]),
                EVERYTHING_BUT_ID,
                Identity::Nobody,
                "found by mark, without a mark",
            ),
            (
                marked(&[bob(Some(&MARK.to_uppercase()))]),
                NOTHING,
                Identity::Nobody,
                "externalId is case-exact (RFC 7643 §3.1)",
            ),
        ],
    );
    assert_outcomes(
        "hr-7",
        vec![
            (
                marked(&[bob(Some("hr-7"))]),
                EXPLICIT,
                Identity::AdoptionRequired,
                "anybody may have set it",
            ),
            (
                marked(&[bob(Some("hr-7"))]),
                by_external_id,
                Identity::Adopted(bob(Some("hr-7"))),
                "the policy says so",
            ),
            (
                begun(marked(&[bob(Some("hr-7"))])),
                EXPLICIT,
                Identity::Ours(bob(Some("hr-7"))),
                "our own POST whose answer was lost",
            ),
            (
                marked(&[bob(Some("hr-7"))]),
                by_user_name,
                Identity::AdoptionRequired,
                "the other policy says nothing of marks",
            ),
            (
                marked(&[ada(Some("hr-7")), bob(Some("hr-7"))]),
                by_external_id,
                Identity::Ambiguous,
                "two marked: never guess",
            ),
        ],
    );
}

#[test]
fn a_number_is_matched_as_a_mark_and_never_as_an_id() {
    let numbered = account("42", "bob@example.com", Some("7"));
    let by_external_id = AdoptionPolicy {
        external_id: true,
        ..EXPLICIT
    };
    assert_outcomes(
        "42",
        vec![
            (
                marked(std::slice::from_ref(&numbered)),
                by_external_id,
                Identity::Nobody,
                "a server that looked the externalId up as an id (CVE-2025-41115)",
            ),
            (
                named(&[numbered]),
                EVERYTHING_BUT_ID,
                Identity::Nobody,
                "nor by name",
            ),
            (
                marked(&[bob(Some("042"))]),
                by_external_id,
                Identity::Nobody,
                "texts, not numbers, are compared",
            ),
            (
                marked(&[bob(Some("42"))]),
                by_external_id,
                Identity::Adopted(bob(Some("42"))),
                "the same text, by policy",
            ),
        ],
    );
}

#[test]
fn a_name_is_taken_over_only_as_far_as_policy_allows() {
    let by_external_id = AdoptionPolicy {
        external_id: true,
        ..NOTHING
    };
    let nameless = Observed {
        user_name: None,
        ..ada(None)
    };
    assert_outcomes(
        MARK,
        vec![
            (
                named(&[ada(None)]),
                NOTHING,
                Identity::AdoptionRequired,
                "no policy, no adoption",
            ),
            (
                named(&[ada(None)]),
                by_external_id,
                Identity::AdoptionRequired,
                "the other policy says nothing of names",
            ),
            (
                named(&[ada(None)]),
                BY_USER_NAME,
                Identity::Adopted(ada(None)),
                "by policy, ignoring case",
            ),
            (
                named(&[ada(Some("hr-7"))]),
                BY_USER_NAME,
                Identity::Adopted(ada(Some("hr-7"))),
                "by policy, another system's mark",
            ),
            (
                named(&[ada(Some(OTHER))]),
                BY_USER_NAME,
                Identity::OwnedByOther,
                "another resource's",
            ),
            (
                begun(named(&[ada(Some(ELSEWHERE))])),
                NOTHING,
                Identity::OwnedByOther,
                "another operator's",
            ),
            (
                named(&[ada(Some(ELSEWHERE))]),
                NOTHING,
                Identity::OwnedByOther,
                "said even where adoption is off",
            ),
            (
                begun(named(&[ada(None)])),
                NOTHING,
                Identity::Ours(ada(None)),
                "the account that we began to create",
            ),
            (
                begun(named(&[ada(Some("hr-7"))])),
                NOTHING,
                Identity::AdoptionRequired,
                "marked: not the one that we began to create",
            ),
            (
                named(&[ada(None), ada(Some("hr-7"))]),
                EVERYTHING_BUT_ID,
                Identity::Ambiguous,
                "two of the name: never guess",
            ),
            (
                named(&[ada(None), bob(None)]),
                BY_USER_NAME,
                Identity::Adopted(ada(None)),
                "a server that ignores the filter",
            ),
            (
                named(&[bob(None)]),
                EVERYTHING_BUT_ID,
                Identity::Nobody,
                "somebody else altogether",
            ),
            (
                named(&[bob(Some(MARK))]),
                BY_USER_NAME,
                Identity::Nobody,
                "found by another name: its mark was not asked for",
            ),
            (
                named(&[nameless]),
                EVERYTHING_BUT_ID,
                Identity::Nobody,
                "no name is no match",
            ),
        ],
    );
}

#[test]
fn nobody_is_found_among_nobody() {
    assert_outcomes(
        MARK,
        vec![
            (
                Candidates::default(),
                NOTHING,
                Identity::Nobody,
                "a new person",
            ),
            (
                Candidates::default(),
                EVERYTHING_BUT_ID,
                Identity::Nobody,
                "policies find nobody by themselves",
            ),
        ],
    );
}

#[test]
fn what_a_resource_that_is_gone_left_behind_may_be_taken_over() {
    let left = |mut candidates: Candidates<Observed>| {
        candidates.orphaned.insert(OTHER.into());
        candidates
    };
    let adopt = |account: Observed| Candidates {
        adopt: Some(account),
        ..Candidates::default()
    };
    assert_outcomes(
        MARK,
        vec![
            (
                left(named(&[ada(Some(OTHER))])),
                NOTHING,
                Identity::Adopted(ada(Some(OTHER))),
                "the resource was renamed in Git: the same person, no policy needed",
            ),
            (
                named(&[ada(Some(OTHER))]),
                EVERYTHING_BUT_ID,
                Identity::OwnedByOther,
                "its resource is still declared",
            ),
            (
                left(named(&[ada(Some(ELSEWHERE))])),
                EVERYTHING_BUT_ID,
                Identity::OwnedByOther,
                "the mark of another owner is nobody's to call orphaned",
            ),
            (
                left(named(&[
                    ada(Some(OTHER)),
                    account("3", "ada@example.com", None),
                ])),
                NOTHING,
                Identity::Ambiguous,
                "two accounts are never guessed between",
            ),
            (
                {
                    let mut all = named(&[ada(Some(ABROAD))]);
                    all.orphaned.insert(ABROAD.into());
                    all
                },
                NOTHING,
                Identity::AdoptionRequired,
                "left behind in another namespace, perhaps retained on purpose",
            ),
            (
                {
                    let mut all = named(&[ada(Some(ABROAD))]);
                    all.orphaned.insert(ABROAD.into());
                    all
                },
                BY_USER_NAME,
                Identity::Adopted(ada(Some(ABROAD))),
                "unless the policy says so",
            ),
            (
                left(adopt(bob(Some(OTHER)))),
                BY_ID,
                Identity::Adopted(bob(Some(OTHER))),
                "named by id",
            ),
        ],
    );
}

#[test]
fn an_account_with_our_own_mark_stays_ours_under_a_new_external_id() {
    let recorded = |account: Observed| Candidates {
        recorded: Some(account),
        ..Candidates::default()
    };
    assert_outcomes(
        "hr-7",
        vec![
            (
                recorded(ada(Some(MARK))),
                NOTHING,
                Identity::Ours(ada(Some(MARK))),
                "marked before the spec chose another",
            ),
            (
                recorded(ada(Some(OTHER))),
                NOTHING,
                Identity::OwnedByOther,
                "another resource's mark stays another's",
            ),
        ],
    );
}

#[test]
fn what_another_resource_has_recorded_is_never_taken() {
    let held = |mut candidates: Candidates<Observed>| {
        candidates.held.insert("1".into());
        candidates
    };
    let adopt = Candidates {
        adopt: Some(ada(None)),
        ..Candidates::default()
    };
    assert_outcomes(
        "hr-7",
        vec![
            (
                held(named(&[ada(None)])),
                EVERYTHING_BUT_ID,
                Identity::OwnedByOther,
                "renamed in Git while its old name is claimed: the account is the first one's",
            ),
            (
                held(adopt),
                BY_ID,
                Identity::OwnedByOther,
                "named by id, and another's",
            ),
            (
                held(marked(&[ada(Some("hr-7"))])),
                AdoptionPolicy {
                    external_id: true,
                    ..EXPLICIT
                },
                Identity::OwnedByOther,
                "found by a mark of one's own choice",
            ),
        ],
    );
}
