//! What is changed and what is left alone, the shapes of the requests, and the state assumed after.

use super::*;
use crate::api::connection::{AttributeMapping, Profile as ProfileName};

mod properties;

const EXT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// What every account has, whatever its spec says.
const IDENTITY: [&str; 3] = ["userName", "externalId", "active"];

fn profile(name: ProfileName) -> Profile {
    Profile::resolve(name, &[]).unwrap()
}

fn rfc() -> Profile {
    profile(ProfileName::RFC7643)
}

/// A person with these attributes, beside the three that everybody has.
fn wanted(attributes: &[(&str, Value)]) -> Desired {
    let always = [
        ("userName", json!("ada@example.com")),
        ("externalId", json!("m")),
        ("active", json!(true)),
    ];
    let attributes: BTreeMap<String, Value> = always
        .iter()
        .chain(attributes)
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    Desired {
        user_name: attributes["userName"].as_str().unwrap().into(),
        external_id: attributes["externalId"].as_str().unwrap().into(),
        own_mark: "m".into(),
        active: attributes["active"] == true,
        attributes,
    }
}

fn names(desired: &Desired) -> BTreeSet<String> {
    desired.attributes.keys().cloned().collect()
}

fn everything(profile: &Profile) -> BTreeSet<String> {
    profile.iter().map(|(name, _)| name.to_owned()).collect()
}

/// The resource as the backend has it once `desired` was created.
fn resource(desired: &Desired, profile: &Profile) -> Value {
    let mut body = create_body(desired, profile);
    body["id"] = json!("1");
    body
}

fn seen(resource: &Value, profile: &Profile) -> Observed {
    Observed::read(resource, profile).unwrap()
}

/// The operations that turn an account made from `old`, as the backend changed it, into `new`.
fn operations(
    old: &Desired,
    new: &Desired,
    profile: &Profile,
    change: impl Fn(&mut Value),
) -> Value {
    let mut body = resource(old, profile);
    change(&mut body);
    let observed = seen(&body, profile);
    let (managed, echoed) = (names(old), everything(profile));
    let knowledge = Knowledge {
        managed: &managed,
        echoed: &echoed,
        spec_changed: true,
        respelled: &NOTHING_RESPELLED,
    };
    let changes = changes(new, &observed, profile, knowledge);
    let message = serde_json::to_value(patch(&changes, new, &observed, profile)).unwrap();
    message["Operations"].clone()
}

#[test]
fn patches_are_minimal_and_of_the_shapes_that_servers_agree_on() {
    let phone = || ("phoneNumbers.mobile", json!("+441"));
    let mail = || ("emails.work", json!("a@x"));
    let primary = || ("emails.work.primary", json!(true));
    let country = || ("addresses.work.country", json!("GB"));
    let town = || ("addresses.work.locality", json!("Bath"));
    let boss = |id: &str| ("manager", json!(id));
    let work = r#"addresses[type eq "work"]"#;
    let mobile = r#"phoneNumbers[type eq "mobile"]"#;
    for (old, new, expected, why) in [
        (vec![phone()], vec![phone()], json!([]), "in step"),
        (
            vec![],
            vec![("title", json!("Dr"))],
            json!([{"op": "add", "path": "title", "value": "Dr"}]),
            "a simple attribute that is absent",
        ),
        (
            vec![("title", json!("Ms"))],
            vec![("title", json!("Dr"))],
            json!([{"op": "replace", "path": "title", "value": "Dr"}]),
            "a simple attribute that differs",
        ),
        (
            vec![("title", json!("Ms"))],
            vec![],
            json!([{"op": "remove", "path": "title"}]),
            "cleared, never set to null",
        ),
        (
            vec![("name.givenName", json!("A"))],
            vec![("name.givenName", json!("B"))],
            json!([{"op": "replace", "path": "name.givenName", "value": "B"}]),
            "a sub-attribute, not its parent",
        ),
        (
            vec![],
            vec![phone()],
            json!([{"op": "add", "path": "phoneNumbers", "value": [{"type": "mobile", "value": "+441"}]}]),
            "a filter that matches nothing is noTarget",
        ),
        (
            vec![("phoneNumbers.home", json!("+443"))],
            vec![("phoneNumbers.home", json!("+443")), phone()],
            json!([{"op": "add", "path": "phoneNumbers", "value": [{"type": "mobile", "value": "+441"}]}]),
            "beside an element of another type",
        ),
        (
            vec![],
            vec![mail(), primary()],
            json!([{"op": "add", "path": "emails", "value": [{"type": "work", "value": "a@x", "primary": true}]}]),
            "one element, one operation",
        ),
        (
            vec![],
            vec![country(), town()],
            json!([{"op": "add", "path": "addresses", "value": [{"type": "work", "country": "GB", "locality": "Bath"}]}]),
            "one element, one operation",
        ),
        (
            vec![phone()],
            vec![("phoneNumbers.mobile", json!("+442"))],
            json!([{"op": "replace", "path": format!("{mobile}.value"), "value": "+442"}]),
            "only the value of the element",
        ),
        (
            vec![country()],
            vec![country(), town()],
            json!([{"op": "add", "path": format!("{work}.locality"), "value": "Bath"}]),
            "into an element that is there",
        ),
        (
            vec![phone()],
            vec![],
            json!([{"op": "remove", "path": mobile}]),
            "removing .value would leave a husk",
        ),
        (
            vec![mail(), primary()],
            vec![],
            json!([{"op": "remove", "path": r#"emails[type eq "work"]"#}]),
            "two values, one element, one removal",
        ),
        (
            vec![country(), town()],
            vec![country()],
            json!([{"op": "remove", "path": format!("{work}.locality")}]),
            "the country stays",
        ),
        (
            vec![country(), town()],
            vec![],
            json!([{"op": "remove", "path": work}]),
            "nothing stays",
        ),
        (
            vec![],
            vec![("department", json!("X"))],
            json!([{"op": "add", "path": format!("{EXT}:department"), "value": "X"}]),
            "an extension's attribute by its URN",
        ),
        (
            vec![("department", json!("Y"))],
            vec![("department", json!("X"))],
            json!([{"op": "replace", "path": format!("{EXT}:department"), "value": "X"}]),
            "an extension's attribute by its URN",
        ),
        (
            vec![("department", json!("Y"))],
            vec![],
            json!([{"op": "remove", "path": format!("{EXT}:department")}]),
            "an extension's attribute by its URN",
        ),
        (
            vec![],
            vec![boss("7")],
            json!([{"op": "add", "path": format!("{EXT}:manager"), "value": {"value": "7"}}]),
            "a manager is an object",
        ),
        (
            vec![boss("7")],
            vec![boss("8")],
            json!([{"op": "replace", "path": format!("{EXT}:manager"), "value": {"value": "8"}}]),
            "a manager is an object",
        ),
        (
            vec![boss("7")],
            vec![],
            json!([{"op": "remove", "path": format!("{EXT}:manager")}]),
            "the whole manager goes",
        ),
        (
            vec![],
            vec![("active", json!(false))],
            json!([{"op": "replace", "path": "active", "value": false}]),
            "a boolean, not a word",
        ),
    ] {
        let got = operations(&wanted(&old), &wanted(&new), &rfc(), |_| {});
        assert_eq!(got, expected, "{why}");
    }
}

#[test]
fn an_element_that_keeps_something_of_somebody_else_is_not_removed_whole() {
    let address = || wanted(&[("addresses.work.country", json!("GB"))]);
    let mail = || wanted(&[("emails.work", json!("a@x"))]);
    let primary = || {
        wanted(&[
            ("emails.work", json!("a@x")),
            ("emails.work.primary", json!(true)),
        ])
    };
    let (work, mails) = (r#"addresses[type eq "work"]"#, r#"emails[type eq "work"]"#);
    for (old, pointer, value, removed, why) in [
        (
            address(),
            "/addresses/0/locality",
            json!("Bath"),
            vec![format!("{work}.country")],
            "the town is not ours",
        ),
        (
            address(),
            "/addresses/0/formatted",
            json!("Bath, GB"),
            vec![format!("{work}.country")],
            "no profile speaks of formatted, and it is not ours",
        ),
        (
            mail(),
            "/emails/0/display",
            json!("Ada"),
            vec![format!("{mails}.value")],
            "no profile speaks of display, and it is not ours",
        ),
        (
            primary(),
            "/emails/0/display",
            json!("Ada"),
            vec![format!("{mails}.value"), format!("{mails}.primary")],
            "of what is ours, everything goes",
        ),
        (
            mail(),
            "/emails/0/primary",
            json!(true),
            vec![mails.to_owned()],
            "primary alone is a husk",
        ),
        (
            mail(),
            "/emails/0/display",
            json!(""),
            vec![mails.to_owned()],
            "an empty text is no value (RFC 7643 §2.5)",
        ),
    ] {
        let change = |body: &mut Value| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[key] = value.clone();
        };
        let expected: Vec<_> = removed
            .iter()
            .map(|path| json!({"op": "remove", "path": path}))
            .collect();
        let got = operations(&old, &wanted(&[]), &rfc(), change);
        assert_eq!(got, json!(expected), "{why}");
    }
}

/// The operations for an account made from `old`, on a backend that never returns `hidden` and now
/// shows the account as `change` left it.
fn blind_operations(
    old: &Desired,
    new: &Desired,
    hidden: &[&str],
    managed: &BTreeSet<String>,
    change: impl Fn(&mut Value),
) -> Value {
    let profile = rfc();
    let mut body = resource(old, &profile);
    for name in hidden {
        profile.get(name).unwrap().path.clear(&mut body);
    }
    change(&mut body);
    let mut echoed = everything(&profile);
    echoed.retain(|name| !hidden.contains(&name.as_str()));
    let knowledge = Knowledge {
        managed,
        echoed: &echoed,
        spec_changed: true,
        respelled: &NOTHING_RESPELLED,
    };
    let observed = seen(&body, &profile);
    let changes = changes(new, &observed, &profile, knowledge);
    let patch = patch(&changes, new, &observed, &profile);
    assert_eq!(patch.is_empty(), changes.is_empty());
    serde_json::to_value(patch).unwrap()["Operations"].clone()
}

#[test]
fn an_element_that_is_never_returned_is_neither_doubled_nor_kept_for_ever() {
    let phone = |number: &str| ("phoneNumbers.mobile", json!(number));
    let mail = || ("emails.work", json!("a@x"));
    let primary = || ("emails.work.primary", json!(true));
    let country = || ("addresses.work.country", json!("GB"));
    let town = || ("addresses.work.locality", json!("Bath"));
    let (mobile, work) = (
        r#"phoneNumbers[type eq "mobile"]"#,
        r#"addresses[type eq "work"]"#,
    );
    let add = |attribute: &str, element: Value| json!({"op": "add", "path": attribute, "value": [element]});
    let remove = |path: &str| json!({"op": "remove", "path": path});
    let mobile_of = |number: &str| add("phoneNumbers", json!({"type": "mobile", "value": number}));
    let no_mail = |body: &mut Value| drop(body.as_object_mut().unwrap().remove("emails"));
    let nothing = |_: &mut Value| {};
    type Change<'a> = &'a dyn Fn(&mut Value);
    for (old, new, hidden, change, expected, why) in [
        (
            vec![phone("+441")],
            vec![phone("+442")],
            vec!["phoneNumbers.mobile"],
            &nothing as Change<'_>,
            json!([remove(mobile), mobile_of("+442")]),
            "an add alone would leave two mobiles",
        ),
        (
            vec![phone("+441")],
            vec![],
            vec!["phoneNumbers.mobile"],
            &nothing,
            json!([remove(mobile)]),
            "cleared though nobody can see it",
        ),
        (
            vec![],
            vec![phone("+441")],
            vec!["phoneNumbers.mobile"],
            &nothing,
            json!([mobile_of("+441")]),
            "never ours: there is nothing of ours to replace",
        ),
        (
            vec![country(), town()],
            vec![town()],
            vec!["addresses.work.country", "addresses.work.locality"],
            &nothing,
            json!([
                remove(work),
                add("addresses", json!({"type": "work", "locality": "Bath"}))
            ]),
            "the town stays, the country goes",
        ),
        (
            vec![country()],
            vec![country(), town()],
            vec!["addresses.work.country", "addresses.work.locality"],
            &nothing,
            json!([
                remove(work),
                add(
                    "addresses",
                    json!({"type": "work", "country": "GB", "locality": "Bath"})
                )
            ]),
            "one element, old and new values in it",
        ),
        (
            vec![country(), town()],
            vec![country()],
            vec!["addresses.work.locality"],
            &nothing,
            json!([remove(&format!("{work}.locality"))]),
            "the element shows, its town does not",
        ),
        (
            vec![mail(), primary()],
            vec![mail(), primary()],
            vec!["emails.work.primary"],
            &no_mail,
            json!([add(
                "emails",
                json!({"type": "work", "value": "a@x", "primary": true})
            )]),
            "the address would show: somebody removed the element, and there is none to remove",
        ),
        (
            vec![mail(), primary()],
            vec![],
            vec!["emails.work.primary"],
            &no_mail,
            json!([]),
            "the address would show: the element is gone, and its primary with it",
        ),
    ] {
        let (old, new) = (wanted(&old), wanted(&new));
        let got = blind_operations(&old, &new, &hidden, &names(&old), change);
        assert_eq!(got, expected, "{why}");
    }
}

#[test]
fn what_comes_back_without_its_element_is_added_with_all_that_is_desired_of_it() {
    let both = wanted(&[
        ("emails.work", json!("a@x")),
        ("emails.work.primary", json!(true)),
    ]);
    let profile = rfc();
    let observed = seen(&resource(&wanted(&[]), &profile), &profile);
    let (managed, mut echoed) = (names(&both), everything(&profile));
    echoed.remove("emails.work.primary");
    let knowledge = Knowledge {
        managed: &managed,
        echoed: &echoed,
        spec_changed: false,
        respelled: &NOTHING_RESPELLED,
    };
    let drift = changes(&both, &observed, &profile, knowledge);
    assert_eq!(drift.len(), 1, "primary does not show, so it is no drift");
    assert_eq!(
        serde_json::to_value(patch(&drift, &both, &observed, &profile)).unwrap()["Operations"],
        json!([{"op": "add", "path": "emails", "value": [{"type": "work", "value": "a@x", "primary": true}]}]),
        "it went with the element all the same"
    );
}

#[test]
fn a_mapped_attribute_is_written_where_the_mapping_says() {
    let mapping = [AttributeMapping {
        attribute: "city".into(),
        path: r#"addresses[type eq "work"].locality"#.into(),
    }];
    let profile = Profile::resolve(ProfileName::CybSafe, &mapping).unwrap();
    let country = ("addresses.work.country", json!("GB"));
    let old = wanted(std::slice::from_ref(&country));
    let new = wanted(&[country, ("city", json!("Bath"))]);
    assert_eq!(
        operations(&old, &new, &profile, |_| {}),
        json!([{"op": "add", "path": r#"addresses[type eq "work"].locality"#, "value": "Bath"}])
    );
    assert_eq!(
        operations(&new, &old, &profile, |_| {}),
        json!([{"op": "remove", "path": r#"addresses[type eq "work"].locality"#}])
    );
}

/// The attributes that change, where an account made from `desired` came back as `change` left it.
fn drifted(desired: &Desired, spec_changed: bool, change: impl Fn(&mut Value)) -> Vec<String> {
    let profile = profile(ProfileName::CybSafe);
    let mut body = resource(desired, &profile);
    change(&mut body);
    let (managed, echoed) = (names(desired), everything(&profile));
    let knowledge = Knowledge {
        managed: &managed,
        echoed: &echoed,
        spec_changed,
        respelled: &NOTHING_RESPELLED,
    };
    changes(desired, &seen(&body, &profile), &profile, knowledge)
        .into_iter()
        .map(|change| change.attribute)
        .collect()
}

#[test]
fn spelling_is_no_drift_and_a_new_spec_writes_the_user_name_exactly() {
    let desired = wanted(&[
        ("emails.work", json!("ada@example.com")),
        ("emails.work.primary", json!(true)),
        ("name.givenName", json!("Ada")),
        ("addresses.work.country", json!("GB")),
        ("preferredLanguage", json!("en_gb")),
        ("locale", json!("en-GB")),
        ("employeeNumber", json!("1815")),
    ]);
    let number = format!("/{EXT}/employeeNumber");
    for (pointer, value, drift, on_new_spec, why) in [
        (
            "/userName",
            json!("ADA@example.com"),
            false,
            true,
            "case-insensitive (RFC 7643 §4.1.1), but a new spec is written as it is",
        ),
        (
            "/userName",
            json!("al@example.com"),
            true,
            true,
            "another name",
        ),
        (
            "/emails/0/value",
            json!("Ada@Example.com"),
            false,
            false,
            "mail ignores case",
        ),
        (
            "/emails/0/value",
            json!("al@example.com"),
            true,
            true,
            "another address",
        ),
        (
            "/preferredLanguage",
            json!("en-GB"),
            false,
            false,
            "the same tag, spelled canonically",
        ),
        ("/preferredLanguage", json!("en"), true, true, "another tag"),
        ("/locale", json!("EN_gb"), false, false, "the same tag"),
        (
            "/addresses/0/country",
            json!("gb"),
            false,
            false,
            "the same country",
        ),
        (
            "/name/givenName",
            json!("ADA"),
            true,
            true,
            "people's names are exact",
        ),
        ("/externalId", json!("M"), true, true, "externalId is exact"),
        (
            "/active",
            json!("True"),
            false,
            false,
            "a boolean spelled as a string",
        ),
        (
            "/active",
            json!("false"),
            true,
            true,
            "a boolean spelled as a string",
        ),
        (
            "/emails/0/primary",
            json!("TRUE"),
            false,
            false,
            "a boolean spelled as a string",
        ),
        (
            "/emails/0/primary",
            json!("yes"),
            true,
            true,
            "no boolean at all",
        ),
        (
            number.as_str(),
            json!(1815),
            false,
            false,
            "a number where a text was sent",
        ),
        (number.as_str(), json!(1816), true, true, "another number"),
        (
            "/displayName",
            json!("Ada"),
            false,
            false,
            "the profile does not speak of it",
        ),
        (
            "/grade",
            json!("7"),
            false,
            false,
            "the spec does not speak of it",
        ),
    ] {
        let change = |body: &mut Value| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[key] = value.clone();
        };
        assert_eq!(!drifted(&desired, false, change).is_empty(), drift, "{why}");
        assert_eq!(
            !drifted(&desired, true, change).is_empty(),
            on_new_spec,
            "{why} (new spec)"
        );
    }
}

#[test]
fn what_is_ours_is_set_or_cleared_and_what_is_not_is_left() {
    let title = |value: Option<&str>| {
        let pairs: Vec<_> = value.map(|v| ("title", json!(v))).into_iter().collect();
        wanted(&pairs)
    };
    let set = |to: &str| Some(Some(json!(to)));
    // (spec, backend, managed, echoed, spec changed) → the change of `title`, if any.
    for (spec, backend, managed, echoed, spec_changed, expected, why) in [
        (
            None,
            Some("Dr"),
            false,
            true,
            true,
            None,
            "never ours, never mentioned",
        ),
        (
            None,
            Some("Dr"),
            true,
            true,
            false,
            Some(None),
            "ours once, taken out of the spec",
        ),
        (
            None,
            None,
            true,
            true,
            true,
            None,
            "cleared already, and it would show",
        ),
        (
            None,
            None,
            true,
            false,
            true,
            Some(None),
            "cleared blindly: it does not show",
        ),
        (
            None,
            None,
            true,
            false,
            false,
            None,
            "cleared blindly once, not for ever",
        ),
        (None, None, false, false, true, None, "never ours"),
        (
            Some("Dr"),
            None,
            true,
            true,
            false,
            set("Dr"),
            "somebody cleared it",
        ),
        (
            Some("Dr"),
            None,
            true,
            false,
            false,
            None,
            "it does not show, and was written",
        ),
        (
            Some("Dr"),
            None,
            true,
            false,
            true,
            set("Dr"),
            "it does not show: written with a new spec",
        ),
        (
            Some("Dr"),
            None,
            false,
            false,
            false,
            set("Dr"),
            "it does not show, and was never written",
        ),
        (
            Some("Dr"),
            Some("Ms"),
            false,
            true,
            false,
            set("Dr"),
            "the spec speaks of it now",
        ),
        (
            Some("Dr"),
            Some("Ms"),
            true,
            false,
            false,
            set("Dr"),
            "what shows is compared",
        ),
        (Some("Dr"), Some("Dr"), true, true, true, None, "in step"),
    ] {
        let (all, profile) = (everything(&rfc()), rfc());
        let without = |keep: bool| {
            let mut set = all.clone();
            if !keep {
                set.remove("title");
            }
            set
        };
        let (managed, echoed) = (without(managed), without(echoed));
        let knowledge = Knowledge {
            managed: &managed,
            echoed: &echoed,
            spec_changed,
            respelled: &NOTHING_RESPELLED,
        };
        let observed = seen(&resource(&title(backend), &profile), &profile);
        let got: Vec<_> = changes(&title(spec), &observed, &profile, knowledge)
            .into_iter()
            .filter(|change| change.attribute == "title")
            .map(|change| change.to)
            .collect();
        assert_eq!(got, expected.into_iter().collect::<Vec<_>>(), "{why}");
    }
}

#[test]
fn a_create_names_the_schemas_that_it_uses() {
    let identity = json!({"schemas": [CORE], "userName": "ada@example.com", "externalId": "m", "active": true});
    let plus = |more: Value| {
        let mut body = identity.clone();
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    for (attributes, expected, why) in [
        (vec![], identity.clone(), "the core schema alone"),
        (
            vec![("department", json!("X")), ("manager", json!("7"))],
            plus(
                json!({"schemas": [CORE, EXT], EXT: {"department": "X", "manager": {"value": "7"}}}),
            ),
            "the enterprise extension, named once",
        ),
        (
            vec![
                ("emails.work", json!("a@x")),
                ("emails.work.primary", json!(true)),
                ("emails.home", json!("h@x")),
            ],
            plus(
                json!({"emails": [{"type": "home", "value": "h@x"}, {"type": "work", "value": "a@x", "primary": true}]}),
            ),
            "one element a type",
        ),
        (
            vec![("employeeType", json!("Contractor"))],
            plus(json!({"userType": "Contractor"})),
            "the RFC calls it userType",
        ),
    ] {
        assert_eq!(create_body(&wanted(&attributes), &rfc()), expected, "{why}");
    }
    let cybsafe = create_body(
        &wanted(&[("employeeType", json!("Contractor"))]),
        &profile(ProfileName::CybSafe),
    );
    assert_eq!(cybsafe["employeeType"], "Contractor");
}

#[test]
fn a_merge_keeps_what_is_foreign_and_drops_meta() {
    let old = wanted(&[
        ("title", json!("Ms")),
        ("phoneNumbers.mobile", json!("+441")),
        ("department", json!("X")),
    ]);
    let new = wanted(&[
        ("title", json!("Dr")),
        ("addresses.work.country", json!("GB")),
    ]);
    let mut body = resource(&old, &rfc());
    body["meta"] = json!({"version": "W/\"1\""});
    body["nickName"] = json!("theirs");
    body["phoneNumbers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "satellite", "value": "+881"}));
    body[EXT]["costCenter"] = json!("theirs");
    let observed = seen(&body, &rfc());
    let (managed, echoed) = (names(&old), everything(&rfc()));
    let knowledge = Knowledge {
        managed: &managed,
        echoed: &echoed,
        spec_changed: true,
        respelled: &NOTHING_RESPELLED,
    };
    merge_into(&mut body, &changes(&new, &observed, &rfc(), knowledge));
    let expected = json!({
        "schemas": [CORE, EXT], "id": "1", "userName": "ada@example.com", "externalId": "m", "active": true,
        "title": "Dr", "nickName": "theirs", EXT: {"costCenter": "theirs"},
        "phoneNumbers": [{"type": "satellite", "value": "+881"}],
        "addresses": [{"type": "work", "country": "GB"}]
    });
    assert_eq!(body, expected);
}

#[test]
fn a_merged_put_says_again_what_a_get_does_not_show() {
    let profile = rfc();
    let desired = wanted(&[("title", json!("Countess")), ("displayName", json!("Ada"))]);
    let mut observed = Observed::default();
    observed
        .attributes
        .insert("displayName".into(), json!("Ada"));
    let echoed = BTreeSet::from(["displayName".to_owned()]);
    let names = |echoed: &BTreeSet<String>| -> Vec<String> {
        let hidden = hidden(&desired, &observed, &profile, echoed);
        hidden.into_iter().map(|change| change.attribute).collect()
    };
    assert!(names(&echoed).contains(&"title".to_owned()));
    assert!(!names(&echoed).contains(&"displayName".to_owned()));
    let shown = BTreeSet::from(["displayName".to_owned(), "title".to_owned()]);
    assert!(
        !names(&shown).contains(&"title".to_owned()),
        "cleared outside, not hidden"
    );
}

#[test]
fn a_merge_drops_what_described_the_former_manager() {
    let manager = |id: Option<&str>| {
        let pairs: Vec<_> = id.map(|id| ("manager", json!(id))).into_iter().collect();
        wanted(&pairs)
    };
    let former = || json!({"value": "7", "$ref": "https://x/Users/7", "displayName": "Bob", "display": "Bob", "since": "1833"});
    for (before, wanted, after, why) in [
        (
            former(),
            manager(Some("8")),
            json!({"value": "8", "since": "1833"}),
            "the reference and the name were the former's",
        ),
        (
            json!({"Value": "7", "$REF": "https://x/Users/7", "DisplayName": "Bob"}),
            manager(Some("8")),
            json!({"Value": "8"}),
            "names ignore case (RFC 7643 §2.1)",
        ),
        (
            json!("7"),
            manager(Some("8")),
            json!({"value": "8"}),
            "a manager sent as a string",
        ),
        (
            former(),
            manager(Some("7")),
            former(),
            "the manager is the same, so nothing is touched",
        ),
        (
            json!({"value": "7", "displayName": "Bob"}),
            manager(None),
            Value::Null,
            "a name without a manager would be a husk",
        ),
    ] {
        let mut body = resource(&manager(Some("7")), &rfc());
        body[EXT]["manager"] = before;
        let (managed, echoed) = (names(&manager(Some("7"))), everything(&rfc()));
        let knowledge = Knowledge {
            managed: &managed,
            echoed: &echoed,
            spec_changed: true,
            respelled: &NOTHING_RESPELLED,
        };
        let observed = seen(&body, &rfc());
        merge_into(&mut body, &changes(&wanted, &observed, &rfc(), knowledge));
        assert_eq!(body[EXT]["manager"], after, "{why}");
    }
}

#[test]
fn what_is_assumed_is_told_without_a_version() {
    let old = wanted(&[("phoneNumbers.mobile", json!("+441"))]);
    let new = wanted(&[
        ("userName", json!("ada@new.example")),
        ("externalId", json!("m2")),
        ("active", json!(false)),
        ("addresses.work.country", json!("GB")),
    ]);
    let mut body = resource(&old, &rfc());
    body["meta"] = json!({"version": "W/\"1\""});
    let observed = seen(&body, &rfc());
    assert!(observed.version.is_some());
    let (managed, echoed) = (names(&old), everything(&rfc()));
    let knowledge = Knowledge {
        managed: &managed,
        echoed: &echoed,
        spec_changed: true,
        respelled: &NOTHING_RESPELLED,
    };
    let after = assume(
        &observed,
        &changes(&new, &observed, &rfc(), knowledge),
        &new,
        &rfc(),
    );
    let expected = Observed {
        id: "1".into(),
        external_id: Some("m2".into()),
        user_name: Some("ada@new.example".into()),
        active: Some(false),
        version: None,
        attributes: new.attributes,
        elements: [r#"addresses[type eq "work"]"#.to_owned()].into(),
        extra: BTreeSet::new(),
    };
    assert_eq!(after, expected);
}

#[test]
fn what_a_backend_spells_its_own_way_is_left_so_while_both_stay() {
    let profile = rfc();
    let phone = "phoneNumbers.work";
    let desired = wanted(&[
        (phone, json!("+44 20 7946 0000")),
        ("title", json!("Countess")),
    ]);
    let spelled = |number: &str| {
        let mut observed = seen(&resource(&desired, &profile), &profile);
        observed.attributes.insert(phone.into(), json!(number));
        observed
    };
    let after = spelled("tel:+44-20-7946-0000");
    let left = respelled(&desired, &after, &[phone.to_owned(), "active".to_owned()]);
    assert_eq!(
        left.keys().collect::<Vec<_>>(),
        [phone],
        "whether somebody may sign in matters"
    );
    assert!(!left[phone].contains("44"), "no value is kept in status");
    let managed = names(&desired);
    let differs = |desired: &Desired, observed: &Observed| -> Vec<String> {
        let knowledge = Knowledge {
            managed: &managed,
            echoed: &managed,
            spec_changed: false,
            respelled: &left,
        };
        let changes = changes(desired, observed, &profile, knowledge);
        changes.into_iter().map(|change| change.attribute).collect()
    };
    assert!(differs(&desired, &after).is_empty(), "as it was answered");
    assert_eq!(
        differs(&desired, &spelled("+1 555 0100")),
        [phone],
        "changed outside"
    );
    let other = wanted(&[
        (phone, json!("+44 20 7946 0001")),
        ("title", json!("Countess")),
    ]);
    assert_eq!(differs(&other, &after), [phone], "changed in the spec");
}
