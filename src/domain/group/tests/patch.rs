//! The words of every request, and what they are assumed to leave.

use super::*;
use crate::scim::patch::Patch;

fn operations(patch: &Patch) -> Value {
    serde_json::to_value(patch).unwrap()["Operations"].take()
}

#[test]
fn members_are_added_and_removed_in_the_form_asked_for_and_never_replaced() {
    let two = list(&["1", "2"]);
    for (patch, expected, why) in [
        (
            add_members(&two),
            json!([{"op": "add", "path": "members", "value": [{"value": "1"}, {"value": "2"}]}]),
            "one operation, RFC 7644 §3.5.2.1",
        ),
        (
            remove_members_by_filter(&two),
            json!([
                {"op": "remove", "path": "members[value eq \"1\"]"},
                {"op": "remove", "path": "members[value eq \"2\"]"},
            ]),
            "a filter each, RFC 7644 §3.5.2.2",
        ),
        (
            remove_members_by_filter(&list(&["a\"] or x pr \\"])),
            json!([{"op": "remove", "path": r#"members[value eq "a\"] or x pr \\"]"#}]),
            "an id cannot say more than an id",
        ),
        (
            remove_members_by_value(&two),
            json!([{"op": "remove", "path": "members", "value": [{"value": "1"}, {"value": "2"}]}]),
            "as authentik wants it",
        ),
        (add_members(&[]), json!([]), "nobody to add"),
        (remove_members_by_filter(&[]), json!([]), "nobody to remove"),
        (
            remove_members_by_value(&[]),
            json!([]),
            "a removal of nobody would be one of everybody",
        ),
    ] {
        assert_eq!(operations(&patch), expected, "{why}");
    }
    assert_eq!(
        remove_members(Form::Filter, &two),
        remove_members_by_filter(&two)
    );
    assert_eq!(
        remove_members(Form::Value, &two),
        remove_members_by_value(&two)
    );
}

fn changes(name: Option<&str>, mark: Option<&str>, marked: bool) -> GroupChanges {
    GroupChanges {
        display_name: name.map(str::to_owned),
        external_id: mark.map(str::to_owned),
        marked,
    }
}

#[test]
fn attributes_are_patched_one_operation_a_path() {
    for (changes, expected, why) in [
        (changes(None, None, true), json!([]), "nothing differs"),
        (
            changes(Some("Engineers"), None, true),
            json!([{"op": "replace", "path": "displayName", "value": "Engineers"}]),
            "renamed",
        ),
        (
            changes(Some("Engineers"), Some("m"), true),
            json!([
                {"op": "replace", "path": "displayName", "value": "Engineers"},
                {"op": "replace", "path": "externalId", "value": "m"},
            ]),
            "both, the mark in place of another",
        ),
        (
            changes(None, Some("m"), false),
            json!([{"op": "add", "path": "externalId", "value": "m"}]),
            "there was no mark",
        ),
    ] {
        assert_eq!(operations(&attributes_patch(&changes)), expected, "{why}");
        assert_eq!(changes.is_empty(), expected == json!([]), "{why}");
    }
}

#[test]
fn a_group_is_created_with_its_mark_and_with_members_only_if_there_are_any() {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "Engineering", "externalId": MARK,
    });
    assert_eq!(create_body(&engineering(), &[]), body);
    body["members"] = json!([{"value": "1"}]);
    assert_eq!(create_body(&engineering(), &list(&["1"])), body);
}

#[test]
fn what_is_assumed_equals_what_was_asked_and_proves_nothing_to_a_listing() {
    let before = group("g", "Old", None, Some(&["a", "b"]));
    let delta = Delta {
        add: list(&["c"]),
        remove: list(&["a"]),
    };
    let after = assume(&before, &changes(Some("New"), Some(MARK), false), &delta);
    let expected = ObservedGroup {
        stamp: None,
        ..group("g", "New", Some(MARK), Some(&["b", "c"]))
    };
    assert_eq!(after, expected);
    let unknown = assume(
        &group("g", "Old", None, None),
        &GroupChanges::default(),
        &delta,
    );
    assert_eq!(unknown.members, None, "what nobody knew is not known now");
}
