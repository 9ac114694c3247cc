//! What the directory guarantees.

use super::*;
use crate::api::connection::Profile as ProfileName;
use crate::domain::packed::Packed;
use crate::domain::profile::Profile;

fn listed<T: Sighting>(all: Vec<T>) -> Vec<Stored<T>> {
    all.into_iter().map(Stored::new).collect()
}

fn account(id: &str, name: &str) -> Observed {
    Observed {
        id: id.into(),
        user_name: Some(name.into()),
        external_id: Some(format!("mark-{id}")),
        active: Some(true),
        ..Observed::default()
    }
}

#[test]
fn r21_a_listing_tells_what_changed_and_doubts_what_it_lacks() {
    let mut directory = Users::default();
    let mark = directory.begin_listing();
    let first = directory.finish_listing(
        mark,
        listed(vec![account("1", "ada"), account("2", "bob")]),
        true,
    );
    assert_eq!(first.changed, ["1", "2"]);
    let mark = directory.begin_listing();
    let second = directory.finish_listing(mark, listed(vec![account("1", "Eve")]), true);
    assert_eq!(
        (second.changed, second.missing),
        (vec!["1".to_owned()], vec!["2".to_owned()])
    );
    assert_eq!(directory.by_id("2"), Known::Doubtful);
    assert!(directory.by_name("ada").is_empty());
    assert_eq!(directory.by_name("EVE").len(), 1);
}

#[test]
fn an_incomplete_listing_casts_no_doubt() {
    let mut directory = Users::default();
    directory.put(account("1", "ada"));
    let mark = directory.begin_listing();
    let difference = directory.finish_listing(mark, listed(vec![]), false);
    assert_eq!(difference, Difference::default());
    assert!(matches!(directory.by_id("1"), Known::Present(_)));
}

#[test]
fn r05_what_was_written_during_a_listing_is_newer_than_the_listing() {
    let mut directory = Users::default();
    directory.put(account("1", "ada"));
    directory.put(account("2", "bob"));
    let mark = directory.begin_listing();
    directory.put(account("1", "ada.new"));
    directory.put(account("3", "created"));
    directory.remove("2");
    let difference = directory.finish_listing(
        mark,
        listed(vec![account("1", "ada"), account("2", "bob")]),
        true,
    );
    assert_eq!(difference, Difference::default());
    assert_eq!(directory.by_name("ada.new").len(), 1);
    assert_eq!(directory.by_id("2"), Known::Unknown);
    assert!(matches!(directory.by_id("3"), Known::Present(_)));
}

/// A directory of one account that was written and not shown, and that account.
fn with_one_assumed() -> (Users, Observed) {
    let mut assumed = account("1", "ada");
    assumed.attributes.insert("title".into(), "Countess".into());
    let mut directory = Users::default();
    directory.put_assumed(assumed.clone());
    (directory, assumed)
}

#[test]
fn what_is_only_assumed_teaches_nothing_of_what_is_returned() {
    let (mut directory, assumed) = with_one_assumed();
    assert!(directory.echoed().is_empty());
    assert_eq!(directory.external_id_echo(), ExternalIdEcho::Unknown);
    assert_eq!(directory.by_id("1"), Known::Present(assumed.clone()));
    directory.put(assumed);
    assert!(directory.echoed().contains("title"));
    assert_eq!(directory.external_id_echo(), ExternalIdEcho::Echoed);
}

#[test]
fn what_was_begun_is_found_by_its_name_and_by_a_mark_where_marks_come_back() {
    let unmarked = |id: &str, name: &str| Observed {
        external_id: None,
        ..account(id, name)
    };
    let ada = creating_hash("Ada", Some("here"));
    let begun = |directory: &Users, endpoint: &str| -> Vec<String> {
        let found = directory.begun(Some(&ada), Some(endpoint));
        found.into_iter().map(|account| account.id).collect()
    };
    let mut directory = Directory::default();
    directory.put(unmarked("1", "ada"));
    directory.put(unmarked("2", "bob"));
    assert_eq!(begun(&directory, "here"), ["1"]);
    assert!(
        begun(&directory, "there").is_empty(),
        "begun at another backend"
    );
    assert!(
        directory.begun(None, Some("here")).is_empty(),
        "nothing was begun"
    );
    directory.put(account("3", "eve"));
    assert!(
        begun(&directory, "here").is_empty(),
        "ours would bear a mark"
    );
}

#[test]
fn what_a_lost_answer_leaves_unknown_is_asked_for_and_a_listing_from_before_tells_nothing() {
    let mut directory = Users::default();
    directory.put(account("1", "ada"));
    let mark = directory.begin_listing();
    directory.doubt("1");
    assert_eq!(directory.by_id("1"), Known::Doubtful);
    assert_eq!(directory.by_name("ada").len(), 1, "it is still there");
    let before = directory.finish_listing(mark, listed(vec![account("1", "ada")]), true);
    assert_eq!(before, Difference::default());
    assert_eq!(directory.by_id("1"), Known::Doubtful);
    let mark = directory.begin_listing();
    directory.finish_listing(mark, listed(vec![account("1", "ada")]), true);
    assert!(matches!(directory.by_id("1"), Known::Present(_)));
    directory.doubt("1");
    directory.put(account("1", "ada"));
    assert!(matches!(directory.by_id("1"), Known::Present(_)));
}

#[test]
fn an_account_that_comes_back_is_a_change() {
    let mut directory = Users::default();
    directory.put(account("1", "ada"));
    let mark = directory.begin_listing();
    directory.finish_listing(mark, listed(vec![]), true);
    let mark = directory.begin_listing();
    assert_eq!(
        directory
            .finish_listing(mark, listed(vec![account("1", "ada")]), true)
            .changed,
        ["1"]
    );
}

fn group(stamp: &str, members: Option<&[&str]>) -> ObservedGroup {
    ObservedGroup {
        id: "g".into(),
        display_name: Some("Engineering".into()),
        stamp: Some(stamp.into()),
        members: members.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
        ..ObservedGroup::default()
    }
}

#[test]
fn a_group_listed_without_its_members_keeps_them_while_its_stamp_stands() {
    let mut directory = Groups::default();
    directory.put(group("1", Some(&["a"])));
    let mark = directory.begin_listing();
    let first = directory.finish_listing(mark, listed(vec![group("1", None)]), true);
    assert_eq!(first, Difference::default(), "nobody has to look");
    assert_eq!(
        directory.by_id("g"),
        Known::Present(group("1", Some(&["a"])))
    );
    let mark = directory.begin_listing();
    let second = directory.finish_listing(mark, listed(vec![group("2", None)]), true);
    assert_eq!(second.changed, ["g"]);
    assert_eq!(directory.by_id("g"), Known::Present(group("2", None)));
    let mark = directory.begin_listing();
    let third = directory.finish_listing(mark, listed(vec![group("2", None)]), true);
    assert_eq!(third.changed, ["g"], "until somebody has looked");
}

#[test]
fn forgotten_members_are_not_brought_back_by_a_listing_that_began_before() {
    let mut directory = Groups::default();
    directory.put(group("1", Some(&["a"])));
    let mark = directory.begin_listing();
    directory.forget_members("g");
    directory.forget_members("unknown");
    directory.finish_listing(mark, listed(vec![group("1", Some(&["a"]))]), true);
    assert_eq!(directory.by_id("g"), Known::Present(group("1", None)));
    assert_eq!(directory.by_name("ENGINEERING").len(), 1);
    assert_eq!(directory.by_id("unknown"), Known::Unknown);
}

/// An account as a backend shows it that speaks of all that the profile of RFC 7643 does.
fn shown() -> serde_json::Value {
    serde_json::json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "0a1b2c3d-0000-4000-8000-123456789abc",
        "externalId": "scim-operator:identity/cybsafe:identity/grace-hopper", "userName": "grace.hopper@navy.example",
        "active": true, "name": {"givenName": "Grace", "familyName": "Hopper"},
        "emails": [{"type": "work", "value": "grace.hopper@navy.example", "primary": true}],
        "addresses": [{"type": "work", "country": "US"}], "preferredLanguage": "en-US",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Compilers", "employeeNumber": "1906"},
        "meta": {"version": "W/\"a330bc54f0671c9\""}
    })
}

fn seen() -> Observed {
    let profile = Profile::resolve(ProfileName::RFC7643, &[]).expect("a profile");
    Observed::read(&shown(), &profile).expect("an account")
}

#[test]
fn storing_pays() {
    let whole = serde_json::to_vec(&seen()).expect("JSON").len();
    let packed = Packed::new(&seen()).expect("packed").size();
    assert!(packed * 5 < whole * 2, "{packed} of {whole} bytes");
}

#[test]
fn who_is_there_is_told_by_a_mark_or_a_name() {
    let mut directory = Users::default();
    directory.put(account("1", "Ada"));
    let there =
        |directory: &Users, marks: &[&str], name: &str| directory.is_there("1", marks, name);
    assert!(there(&directory, &["mark-1"], "eve"));
    assert!(there(&directory, &["mark-2", "mark-1"], "eve"));
    assert!(there(&directory, &[], "ADA"));
    assert!(!there(&directory, &["mark-2"], "eve"), "a stranger");
    assert!(!directory.is_there("2", &["mark-1"], "ada"));
    assert!(directory.has("mark-1", "eve") && directory.has("mark-2", "aDa"));
    assert!(!directory.has("mark-2", "eve"));
    directory.doubt("1");
    assert!(!there(&directory, &["mark-1"], "ada"), "nobody knows");
    assert!(directory.has("mark-2", "ada"));
    let mark = directory.begin_listing();
    directory.finish_listing(mark, listed(vec![]), true);
    assert!(!directory.has("mark-1", "ada"), "the listing lacks it");
}

#[test]
fn what_is_stored_comes_back_as_it_was_whatever_it_is() {
    let seen = seen();
    let mut rubbish = seen.clone();
    let mut deep = serde_json::json!("at the bottom");
    for _ in 0..127 {
        deep = serde_json::json!([deep]);
    }
    rubbish.attributes.insert("title".into(), deep);
    let mut odd = seen.clone();
    let odds = serde_json::json!([0.1, 1e300, -0.0, u64::MAX, "\u{0}\u{fffd}", {"": null}]);
    odd.attributes.insert("title".into(), odds);
    // Of some of these the usual reading of JSON misses the last digit.
    let numbers: Vec<f64> = (1..2000).map(|n| f64::from(n).sqrt() / 7.3).collect();
    odd.attributes.insert("grade".into(), numbers.into());
    for account in [seen, rubbish, odd] {
        let stored = Stored::new(account.clone());
        assert_eq!(stored.open(), Some(account));
    }
}

#[test]
fn a_listing_that_shows_just_what_was_assumed_teaches_what_is_returned() {
    let (mut directory, assumed) = with_one_assumed();
    let mark = directory.begin_listing();
    let difference = directory.finish_listing(mark, listed(vec![assumed]), true);
    assert_eq!(difference, Difference::default(), "nobody has to look");
    assert!(directory.echoed().contains("title"));
    assert_eq!(directory.external_id_echo(), ExternalIdEcho::Echoed);
}
