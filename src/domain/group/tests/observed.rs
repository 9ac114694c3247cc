//! What is read of a group, what a listing may keep, and when somebody has to look again.

use super::*;
use crate::domain::sighting::Sighting;

fn read(mut resource: Value, with_members: bool) -> ObservedGroup {
    resource["id"] = json!("g");
    ObservedGroup::read(&resource, with_members).unwrap()
}

#[test]
fn a_group_is_read_and_one_without_an_id_is_none() {
    let resource = json!({
        "id": 7, "externalId": MARK, "displayName": "Engineering",
        "members": [{"value": "a"}],
        "meta": {"version": "W/\"3\"", "lastModified": "2027-01-31T18:00:00Z"}
    });
    let expected = ObservedGroup {
        id: "7".into(),
        external_id: Some(MARK.into()),
        display_name: Some("Engineering".into()),
        version: Some("W/\"3\"".into()),
        stamp: Some("W/\"3\"".into()),
        members: Some(ids(&["a"])),
    };
    assert_eq!(ObservedGroup::read(&resource, true), Some(expected));
    assert_eq!(
        ObservedGroup::read(&json!({"displayName": "Engineering"}), true),
        None
    );
}

#[test]
fn the_stamp_is_the_version_or_else_the_time_of_the_last_change() {
    for (meta, stamp, why) in [
        (
            json!({"version": "v", "lastModified": "t"}),
            Some("v"),
            "a version is made to be compared",
        ),
        (
            json!({"lastModified": "2026-01-01T00:00:00.123Z"}),
            Some("2026-01-01T00:00:00.123Z"),
            "no version",
        ),
        (
            json!({"lastModified": "2026-01-01T00:00:00Z"}),
            None,
            "two changes may fall into one second",
        ),
        (
            json!({"version": "", "lastModified": "2026-01-01T00:00:00.5Z"}),
            Some("2026-01-01T00:00:00.5Z"),
            "an empty one is none",
        ),
        (json!({}), None, "neither"),
    ] {
        assert_eq!(
            read(json!({"meta": meta}), true).stamp.as_deref(),
            stamp,
            "{why}"
        );
    }
}

#[test]
fn members_are_read_leniently_and_nobody_is_told_from_nobody_looked() {
    const LISTED: bool = false;
    const SHOWN: bool = true;
    for (members, with_members, expected, why) in [
        (
            json!([{"value": "a"}, {"value": "b"}]),
            SHOWN,
            Some(ids(&["a", "b"])),
            "RFC 7643 §4.2",
        ),
        (
            json!([{"value": "a"}, {"value": "a"}]),
            SHOWN,
            Some(ids(&["a"])),
            "SCIMMY doubles members",
        ),
        (json!([]), SHOWN, Some(ids(&[])), "nobody"),
        (
            Value::Null,
            SHOWN,
            Some(ids(&[])),
            "null and [] are one state (RFC 7643 §2.5)",
        ),
        (
            json!([]),
            LISTED,
            None,
            "not asked for, so it proves nothing",
        ),
        (Value::Null, LISTED, None, "not asked for"),
        (
            json!([{"value": "a"}]),
            LISTED,
            Some(ids(&["a"])),
            "a server that ignores excludedAttributes",
        ),
        (
            json!([{"value": 7}]),
            SHOWN,
            Some(ids(&["7"])),
            "a number is an id",
        ),
        (
            json!(["a", 7]),
            SHOWN,
            Some(ids(&["7", "a"])),
            "plain values",
        ),
        (
            json!({"value": "a"}),
            SHOWN,
            Some(ids(&["a"])),
            "a list of one without its brackets",
        ),
        (
            json!([{"Value": "a"}]),
            SHOWN,
            Some(ids(&["a"])),
            "names ignore case (RFC 7643 §2.1)",
        ),
        (
            json!([{"display": "Ada"}, {"value": ""}, {"value": null}]),
            SHOWN,
            Some(ids(&[])),
            "entries without a value",
        ),
        (
            json!([{"value": "a", "type": "User"}, {"value": "g", "type": "Group"}]),
            SHOWN,
            Some(ids(&["a"])),
            "a nested group is not ours",
        ),
        (
            json!([{"value": "g", "type": "group"}]),
            SHOWN,
            Some(ids(&[])),
            "spelt otherwise",
        ),
        (
            json!([{"value": "g", "$ref": "https://x/scim/v2/Groups/g"}]),
            SHOWN,
            Some(ids(&[])),
            "told by its reference",
        ),
        (
            json!([{"value": "a", "$ref": "../Users/a"}]),
            SHOWN,
            Some(ids(&["a"])),
            "a user by its reference",
        ),
        (
            json!([{"value": "g", "type": "Group"}]),
            LISTED,
            Some(ids(&[])),
            "members are listed, and none is a user",
        ),
    ] {
        assert_eq!(
            read(json!({"members": members}), with_members).members,
            expected,
            "{why}: {members}"
        );
    }
    assert_eq!(
        read(json!({}), SHOWN).members,
        Some(ids(&[])),
        "absent, though asked for"
    );
    assert_eq!(
        read(json!({}), LISTED).members,
        None,
        "absent, and not asked for"
    );
}

fn stamped(stamp: Option<&str>, members: Option<&[&str]>) -> ObservedGroup {
    ObservedGroup {
        stamp: stamp.map(str::to_owned),
        ..group("g", "Engineering", Some(MARK), members)
    }
}

#[test]
fn a_listing_keeps_the_members_only_where_the_stamp_proves_that_nothing_changed() {
    let a: Option<&[&str]> = Some(&["a"]);
    for (known, listed, kept, why) in [
        (
            stamped(Some("1"), a),
            stamped(Some("1"), None),
            a,
            "the same stamp",
        ),
        (
            stamped(Some("1"), a),
            stamped(Some("2"), None),
            None,
            "something changed",
        ),
        (
            stamped(None, a),
            stamped(None, None),
            None,
            "no stamps prove nothing",
        ),
        (
            stamped(None, a),
            stamped(Some("1"), None),
            None,
            "assumed after a 204",
        ),
        (
            stamped(Some("1"), a),
            stamped(None, None),
            None,
            "the listing has no stamps",
        ),
        (
            stamped(Some("1"), None),
            stamped(Some("1"), None),
            None,
            "nobody knew before",
        ),
        (
            stamped(Some("1"), a),
            stamped(Some("1"), Some(&["b"])),
            Some(&["b"][..]),
            "what is shown counts",
        ),
    ] {
        let mut carried = listed;
        carried.carry(&known);
        assert_eq!(carried.members, kept.map(ids), "{why}");
    }
}

#[test]
fn a_group_is_looked_at_again_when_it_differs_or_nobody_knows_its_members() {
    let known = || stamped(Some("1"), Some(&["a"]));
    for (later, same, why) in [
        (known(), true, "nothing changed"),
        (
            stamped(Some("2"), Some(&["a"])),
            true,
            "members are shown, and equal",
        ),
        (
            ObservedGroup {
                version: Some("v".into()),
                ..known()
            },
            true,
            "versions say nothing by themselves",
        ),
        (stamped(Some("1"), Some(&["b"])), false, "other members"),
        (stamped(Some("1"), None), false, "nobody knows its members"),
        (
            ObservedGroup {
                id: "h".into(),
                ..known()
            },
            false,
            "another group",
        ),
        (
            ObservedGroup {
                external_id: None,
                ..known()
            },
            false,
            "its mark is gone",
        ),
        (
            ObservedGroup {
                display_name: Some("engineering".into()),
                ..known()
            },
            false,
            "renamed",
        ),
    ] {
        assert_eq!(known().same_state(&later), same, "{why}");
    }
    let unknown = stamped(Some("1"), None);
    assert!(
        !unknown.same_state(&unknown),
        "unknown twice is not the same"
    );
}

#[test]
fn a_stamp_that_stands_still_while_members_change_is_found_out() {
    let before = || stamped(Some("1"), Some(&["a"]));
    for (later, missed, why) in [
        (
            stamped(Some("1"), Some(&["a", "b"])),
            true,
            "one was added and nothing shows it",
        ),
        (stamped(Some("2"), Some(&["a", "b"])), false, "it moved"),
        (before(), false, "nothing changed"),
        (stamped(Some("1"), None), false, "nobody knows"),
        (stamped(None, Some(&["b"])), false, "there is none"),
    ] {
        assert_eq!(before().stamp_missed_the_members(&later), missed, "{why}");
    }
}
