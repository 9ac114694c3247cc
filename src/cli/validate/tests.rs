//! Whole manifests in, findings out: each rule about several objects fires for what it is for, and for nothing else.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::finding::CATALOGUE;
use super::*;
use crate::cli::manifests::Place;

mod output;

fn terms() -> Terms {
    Terms {
        namespace: "default".into(),
        profile: ProfileName::CybSafe,
        complete: false,
    }
}

fn read(text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.take("a.yaml", text);
    manifests
}

thread_local! {
    static SERVER: ApiServer = ApiServer::new().unwrap();
}

fn judged(text: &str, elsewhere: &str, terms: &Terms) -> Findings {
    SERVER.with(|server| judge(server, &read(text), &read(elsewhere), terms))
}

/// Each finding as `severity rule name field`.
fn said(found: &Findings) -> Vec<String> {
    let one = |f: &Finding| {
        let severity = f.fault.severity.as_str();
        format!("{severity} {} {} {}", f.fault.rule, f.name, f.fault.field)
    };
    found.findings.iter().map(one).collect()
}

fn found(text: &str) -> Vec<String> {
    said(&judged(text, "", &terms()))
}

fn complete(text: &str) -> Vec<String> {
    let complete = Terms {
        complete: true,
        ..terms()
    };
    said(&judged(text, "", &complete))
}

/// Documents of one text.
fn all(objects: &[Value]) -> String {
    let documents = objects.iter().map(|object| object.to_string());
    documents.collect::<Vec<_>>().join("\n---\n")
}

fn merged(mut into: Value, change: Value) -> Value {
    let (Some(fields), Some(changes)) = (into.as_object_mut(), change.as_object()) else {
        panic!("objects only");
    };
    for (name, value) in changes {
        fields.insert(name.clone(), value.clone());
    }
    into
}

fn object(kind: &str, namespace: &str, name: &str, labels: Value, spec: Value) -> Value {
    json!({
        "apiVersion": "scim-operator.io/v1alpha1", "kind": kind,
        "metadata": {"namespace": namespace, "name": name, "labels": labels}, "spec": spec,
    })
}

fn connection(change: Value) -> Value {
    let spec = json!({"endpoint": "https://a.example.com", "tokenSecretRef": {"name": "t"}});
    object(
        "ScimConnection",
        "team",
        "c",
        json!({}),
        merged(spec, change),
    )
}

fn user_in(namespace: &str, name: &str, change: Value) -> Value {
    let mail = format!("{name}@example.com");
    let spec = json!({
        "connectionRef": {"name": "c", "namespace": "team"}, "userName": mail,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": mail, "primary": true}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en-GB",
    });
    object(
        "ScimUser",
        namespace,
        name,
        json!({"team": "red"}),
        merged(spec, change),
    )
}

fn user(name: &str, change: Value) -> Value {
    user_in("team", name, change)
}

fn group(name: &str, change: Value) -> Value {
    let spec = json!({"connectionRef": {"name": "c"}, "displayName": name});
    object("ScimGroup", "team", name, json!({}), merged(spec, change))
}

fn secret(change: Value) -> Value {
    merged(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "team", "name": "t"}}),
        change,
    )
}

fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

const NOTHING: [&str; 0] = [];

#[test]
fn people_and_groups_that_are_in_order_are_left_in_peace() {
    let manager = json!({"enterprise": {"manager": {"userRef": {"name": "eve"}}}});
    let text = all(&[
        connection(json!({})),
        user("eve", json!({})),
        user("ada", manager),
        group(
            "g",
            json!({"members": [{"userRef": {"name": "ada"}}], "memberSelector": {"matchLabels": {"team": "red"}}}),
        ),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}),
    ]);
    assert_eq!(found(&text), NOTHING);
    assert_eq!(complete(&text), NOTHING);
    assert_eq!(judged(&text, "", &terms()).objects, 4);
}

#[test]
#[rustfmt::skip] // One case a line.
fn the_rules_of_the_profile_are_the_operators() {
    let rfc = connection(json!({"profile": "RFC7643"}));
    let nick = json!({"grade": "7"});
    for (connection, change, expected, why) in [
        (connection(json!({})), json!({"preferredLanguage": "xx"}), ["error profile/value ada spec.preferredLanguage"].as_slice(), "CybSafe's languages"),
        (rfc.clone(), json!({"preferredLanguage": "xx"}), &[], "a tag is enough"),
        (connection(json!({})), json!({"name": null}), &["error profile/required ada spec.name.familyName", "error profile/required ada spec.name.givenName"], "CybSafe needs it"),
        (rfc.clone(), json!({"name": null}), &[], "the RFC does not"),
        (rfc.clone(), nick.clone(), &["error profile/unsupported ada spec.grade"], "no place"),
        (connection(json!({"profile": "RFC7643", "attributeMapping": [{"attribute": "grade", "path": "urn:x:User:grade"}]})), nick, &[], "a place by mapping"),
        (connection(json!({})), json!({"externalId": "scim-operator:other:team/eve"}), &["error profile/externalId ada spec.externalId"], "another's mark"),
        (connection(json!({"ownerId": "prod"})), json!({"externalId": "scim-operator:prod:team/ada"}), &[], "its own, by the owner"),
        (connection(json!({})), json!({"userName": "else@example.com"}), &["warning profile/advice ada spec.userName"], "two accounts"),
        (connection(json!({"attributeMapping": [{"attribute": "shoeSize", "path": "x"}]})), json!({}), &["error profile/mapping c spec.attributeMapping[shoeSize]"], "no such attribute"),
    ] {
        let text = all(&[connection, user("ada", change)]);
        assert_eq!(found(&text), expected, "{why}");
    }
}

#[test]
fn a_group_is_judged_by_the_operators_rules_too() {
    let bad = group("g", json!({"externalId": "scim-operator:other:team/x"}));
    assert_eq!(
        found(&all(&[connection(json!({})), bad])),
        ["error profile/externalId g spec.externalId"]
    );
}

#[test]
fn what_the_schema_says_of_a_field_is_not_said_again_by_the_profile() {
    let text = all(&[connection(json!({})), user("ada", json!({"grade": ""}))]);
    assert_eq!(found(&text), ["error schema/length ada spec.grade"]);
}

#[test]
fn a_connection_that_is_not_there_is_said_once_and_the_profile_can_be_said() {
    let text = all(&[user("ada", json!({"name": null})), user("eve", json!({}))]);
    let lines = found(&text);
    assert!(
        lines.contains(&"warning reference/connection ada spec.connectionRef".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"error profile/required ada spec.name.givenName".to_owned()),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        complete(&text).contains(&"error reference/connection ada spec.connectionRef".to_owned())
    );
    let rfc = Terms {
        profile: ProfileName::RFC7643,
        ..terms()
    };
    assert_eq!(
        said(&judged(&text, "", &rfc)),
        ["warning reference/connection ada spec.connectionRef"]
    );
    // From elsewhere, unjudged itself.
    let elsewhere = all(&[connection(json!({"profile": "RFC7643", "nothing": 1}))]);
    assert_eq!(said(&judged(&text, &elsewhere, &terms())), NOTHING);
}

#[test]
fn people_of_a_connection_that_cannot_be_read_are_not_judged_by_a_guess() {
    let text = all(&[
        connection(json!({"mode": "dryrun"})),
        user("ada", json!({"name": null})),
    ]);
    assert_eq!(found(&text), ["error schema/enum c spec.mode"]);
}

#[test]
#[rustfmt::skip] // One case a line.
fn what_is_declared_twice_is_said_at_the_second() {
    let other = json!({"connectionRef": {"name": "d", "namespace": "team"}});
    let mut second = connection(json!({}));
    second["metadata"]["name"] = json!("d");
    let name = |text: &str| json!({"userName": text});
    for (objects, expected, why) in [
        (vec![user("ada", json!({})), user("ada", json!({}))], ["error duplicate/object ada metadata.name"].as_slice(), "the same object, and no more is said of it"),
        (vec![user("ada", json!({})), user_in("other", "ada", name("x@example.com"))], &["error reference/not-allowed ada spec.connectionRef", "warning profile/advice ada spec.userName"], "another namespace is another object"),
        (vec![user("ada", json!({})), user("eve", merged(name("ADA@example.com"), json!({"emails": [{"type": "work", "value": "ADA@example.com"}]})))], &["error duplicate/userName eve spec.userName"], "case counts for nothing"),
        (vec![user("ada", json!({})), user("eve", merged(merged(name("ada@example.com"), json!({"emails": [{"type": "work", "value": "ada@example.com"}]})), other.clone()))], &[], "at another connection"),
        (vec![user("ada", json!({"externalId": "hr-1"})), user("eve", json!({"externalId": "hr-1"}))], &["error duplicate/externalId eve spec.externalId"], "one mark"),
        (vec![user("ada", json!({"externalId": "hr-1"})), user("eve", json!({"externalId": "HR-1"}))], &[], "marks are compared exactly"),
        (vec![user("ada", json!({"externalId": "hr-1"})), group("g", json!({"externalId": "hr-1"}))], &[], "a group is no user"),
        (vec![group("f", json!({"externalId": "hr-1"})), group("g", json!({"externalId": "hr-1"}))], &["error duplicate/externalId g spec.externalId"], "one mark"),
        (vec![user("ada", json!({"adopt": {"id": "1"}})), user("eve", json!({"adopt": {"id": "1"}}))], &["error duplicate/adopt eve spec.adopt.id"], "one account"),
        (vec![user("ada", json!({"adopt": {"id": "1"}})), user("eve", merged(json!({"adopt": {"id": "1"}}), other))], &[], "at another connection"),
        (vec![group("f", json!({"adopt": {"id": "1"}})), group("g", json!({"adopt": {"id": "1"}}))], &["error duplicate/adopt g spec.adopt.id"], "one group"),
    ] {
        let mut everything = vec![connection(json!({})), second.clone()];
        everything.extend(objects);
        assert_eq!(found(&all(&everything)), expected, "{why}");
    }
}

#[test]
fn files_are_judged_together() {
    let mut manifests = Manifests::default();
    let connection = connection(json!({}));
    let files = [
        ("a.yaml", all(&[connection, user("ada", json!({}))])),
        ("b.yaml", user("ada", json!({})).to_string()),
    ];
    for (file, text) in &files {
        manifests.take(file, text);
    }
    let found = SERVER.with(|server| judge(server, &manifests, &Manifests::default(), &terms()));
    assert_eq!(said(&found), ["error duplicate/object ada metadata.name"]);
    assert!(
        found.findings[0].place.file == "b.yaml",
        "{:?}",
        found.findings
    );
}

#[test]
#[rustfmt::skip] // One case a line.
fn a_reference_that_leads_nowhere_is_said() {
    let manager = |name: &str| json!({"enterprise": {"manager": {"userRef": {"name": name}}}});
    let members = |name: &str| json!({"members": [{"userRef": {"name": "ada"}}, {"userRef": {"name": name}}]});
    let selector = |team: &str| json!({"memberSelector": {"matchLabels": {"team": team}}});
    for (more, expected, why) in [
        (user("eve", manager("bob")), ["warning reference/manager eve spec.enterprise.manager.userRef"].as_slice(), "nobody of that name"),
        (user("eve", manager("ada")), &[], "somebody"),
        (user("eve", json!({"enterprise": {"manager": {"value": "7"}}})), &[], "by id"),
        (user("eve", manager("far")), &["error reference/other-connection eve spec.enterprise.manager.userRef"], "at another backend"),
        (group("g", members("bob")), &["warning reference/member g spec.members[1].userRef"], "nobody of that name"),
        (group("g", members("far")), &["error reference/other-connection g spec.members[1].userRef"], "at another backend"),
        (group("g", selector("red")), &[], "somebody"),
        (group("g", selector("blue")), &["warning reference/selector g spec.memberSelector"], "nobody"),
        (group("g", json!({"memberSelector": {}})), &["warning reference/selector g spec.memberSelector"], "an empty one selects nobody"),
    ] {
        let mut second = connection(json!({}));
        second["metadata"]["name"] = json!("d");
        let far = user("far", json!({"connectionRef": {"name": "d"}}));
        let text = all(&[connection(json!({})), second, user("ada", json!({})), far, more]);
        assert_eq!(found(&text), expected, "{why}");
        let hard: Vec<_> = complete(&text).into_iter().filter(|line| !line.contains("selector")).collect();
        assert!(hard.iter().all(|line| line.starts_with("error ")), "{why}: {hard:?}");
    }
}

#[test]
#[rustfmt::skip] // One case a line.
fn a_connection_lets_in_whom_it_says() {
    let selected = json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"scim": "yes"}}}});
    let by_name = json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "hr"}}}});
    for (connection, more, expected, why) in [
        (connection(json!({})), vec![], ["error reference/not-allowed ada spec.connectionRef"].as_slice(), "its own only"),
        (connection(json!({"allowedNamespaces": {"from": "All"}})), vec![], &[], "all"),
        (connection(selected.clone()), vec![namespace("hr", json!({"scim": "yes"}))], &[], "labelled so"),
        (connection(selected.clone()), vec![namespace("hr", json!({"scim": "no"}))], &["error reference/not-allowed ada spec.connectionRef"], "labelled otherwise"),
        (connection(selected), vec![], &["warning reference/namespace ada spec.connectionRef"], "who knows"),
        (connection(by_name), vec![namespace("hr", json!({}))], &[], "the API server labels each with its name"),
    ] {
        let mut everything = vec![connection, user_in("hr", "ada", json!({}))];
        everything.extend(more);
        assert_eq!(found(&all(&everything)), expected, "{why}");
    }
}

#[test]
#[rustfmt::skip] // One case a line.
fn a_token_in_plain_sight_is_said_and_never_shown() {
    let token = json!({"stringData": {"token": "canary"}});
    let named = json!({"metadata": {"namespace": "team", "name": "other"}});
    for (secret, expected, why) in [
        (secret(token.clone()), ["warning secret/in-git t stringData"].as_slice(), "the token"),
        (secret(json!({"data": {"token": "Y2FuYXJ5"}})), &["warning secret/in-git t data"], "base64 hides nothing"),
        (secret(json!({"stringData": {"key": "canary"}})), &[], "another key"),
        (secret(json!({"stringData": {"token": ""}})), &[], "empty"),
        (secret(merged(token.clone(), named)), &[], "another Secret"),
        (secret(merged(token, json!({"sops": {}}))), &[], "encrypted by SOPS"),
    ] {
        let found = judged(&all(&[connection(json!({})), secret]), "", &terms());
        assert_eq!(said(&found), expected, "{why}");
        assert!(!report::human::text(&found).contains("canary"));
    }
}

#[test]
fn no_value_is_ever_printed() {
    let value = "CanaryValue-7d1";
    let bad = json!({
        "connectionRef": {"name": "c"}, "userName": format!(" {value}"), "active": value, "externalId": format!("scim-operator:{value}"),
        "emails": [{"type": value, "value": value, "primary": value}], "validUntil": value, "title": [value],
        "enterprise": {"manager": {"value": value.repeat(30), "userRef": {"name": value}}}, "deletionPolicy": value,
        "preferredLanguage": value, "addresses": [{"type": "work", "country": value}], "adopt": {"id": {"x": value}},
    });
    let twins = [
        user("a", json!({"externalId": value})),
        user(
            "b",
            json!({"externalId": value, "locale": format!("{value}\u{7}")}),
        ),
    ];
    let mut objects = vec![
        connection(json!({"endpoint": value, "sync": {"interval": value}})),
        object(
            "ScimUser",
            "team",
            "ada",
            json!({"a": format!("{value} ")}),
            bad,
        ),
    ];
    objects.extend(twins);
    let found = judged(&all(&objects), "", &terms());
    assert!(found.findings.len() > 12, "{:?}", said(&found));
    let server = ApiServer::new().unwrap();
    for told in [
        report::human::text(&found),
        report::json::document(&found).to_string(),
        report::sarif::document(&found, &server).to_string(),
    ] {
        assert!(!told.contains(value), "{told}");
    }
}

#[test]
#[rustfmt::skip] // One case a line.
fn a_word_without_quotes_is_what_kubectl_reads_it_as() {
    // Norway, an octal number, a telephone number: YAML 1.1, as `kubectl apply` reads it.
    for (written, is_text) in [
        ("NO", false), ("on", false), ("y", false), ("0123", false), ("+447700900123", false), ("1_000", false), ("1e3", false),
        ("0x1F", false), (".5", false), ("2027-01-31", true), ("1:30", true), ("GB", true), ("'NO'", true), ("\"0123\"", true),
    ] {
        let text = all(&[connection(json!({})), user("ada", json!({}))]);
        let text = text.replace("\"familyName\":\"Lovelace\"", &format!("\"familyName\": {written}"));
        let expected: &[&str] = if is_text { &[] } else { &["error schema/type ada spec.name.familyName"] };
        assert_eq!(found(&text), expected, "{written}");
    }
}

/// Any JSON, with field names that are known more often than not.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~äß\u{0}\u{a0}%]{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("work"),
            Just("10s"),
            Just("https://[::%zz"),
            Just("Selector"),
            Just("2027-01-31T")
        ]
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        3 => proptest::sample::select(vec![
            "connectionRef", "name", "namespace", "userName", "emails", "type", "value", "primary", "enterprise", "manager",
            "userRef", "externalId", "members", "memberSelector", "matchLabels", "matchExpressions", "key", "operator",
            "values", "endpoint", "tokenSecretRef", "sync", "interval", "allowedNamespaces", "from", "selector", "displayName",
            "attributeMapping", "attribute", "path", "labels", "annotations", "finalizers", "ownerReferences", "validUntil",
        ]).prop_map(str::to_owned),
        1 => "[a-z./ %é]{0,6}",
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_object_is_so_odd_that_nothing_can_be_said(
        kind in proptest::sample::select(vec!["ScimUser", "ScimGroup", "ScimConnection", "ScimOther"]),
        metadata in any_json(), spec in any_json(), status in any_json(),
    ) {
        let odd = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status});
        let mut manifests = read(&all(&[connection(json!({})), user("ada", json!({}))]));
        manifests.objects.push(Manifest { place: Place { file: "b.yaml".into(), line: 1 }, object: odd });
        let found = SERVER.with(|server| {
            let found = judge(server, &manifests, &Manifests::default(), &terms());
            report::sarif::document(&found, server);
            found
        });
        // It is odd: something is.
        prop_assert!(!found.findings.is_empty());
    }

    #[test]
    fn no_text_is_so_odd_that_it_cannot_be_read(text in "[ -~\n\täß:\\-{}\\[\\]&*|>'\"#%]{0,200}", begun in 0usize..5) {
        let found = judged(&text, "", &terms());
        let mut texts = Texts::default();
        texts.keep("a.yaml", text);
        for mut finding in found.findings {
            texts.locate(&mut finding);
            finding.place.line = begun;
            finding.fault.field = FieldPath::spelt("spec.emails[0][x]..a");
            texts.locate(&mut finding);
        }
    }
}
