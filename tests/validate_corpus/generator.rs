//! Manifests by the hundred, the same for the same seed: good ones of every kind, and good ones that something was
//! done to.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// As many manifests, every second one as good as it was made.
pub fn corpus(seed: u64, count: usize) -> Vec<Value> {
    let mut rng = Rng::with_seed(seed);
    let make = |at: usize| {
        let mut object = good(&mut rng, at);
        if at % 2 == 1 {
            // How many of its kind were spoilt before.
            spoil(&mut rng, &mut object, at / 6);
        }
        object
    };
    (0..count).map(make).collect()
}

fn pick<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())].clone()
}

/// A good manifest with some of what its kind may have.
fn good(rng: &mut Rng, at: usize) -> Value {
    let (kind, mut spec, more) = match at / 2 % 3 {
        0 => (
            "ScimUser",
            json!({"connectionRef": {"name": "c"}, "userName": format!("person{at}@example.com")}),
            user_fields(),
        ),
        1 => (
            "ScimGroup",
            json!({"connectionRef": {"name": "c"}, "displayName": format!("Group {at}")}),
            group_fields(),
        ),
        _ => (
            "ScimConnection",
            json!({"endpoint": format!("https://scim{at}.example.com/v2"), "tokenSecretRef": {"name": "t"}}),
            connection_fields(),
        ),
    };
    for (field, values) in more {
        if rng.u8(..) < 120 {
            spec[field] = pick(rng, &values);
        }
    }
    let mut metadata = json!({"name": format!("it-{at}")});
    for (field, values) in metadata_fields() {
        if rng.u8(..) < 70 {
            metadata[field] = pick(rng, &values);
        }
    }
    json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

type Fields = Vec<(&'static str, Vec<Value>)>;

fn metadata_fields() -> Fields {
    vec![
        ("namespace", vec![json!("default"), json!(null)]),
        (
            "labels",
            vec![
                json!({"team": "red", "example.com/a_B": "c.d-1"}),
                json!({"empty": ""}),
                json!(null),
                json!({"a": null}),
            ],
        ),
        (
            "annotations",
            vec![
                json!({"Example.com/Note": "any text, äöü"}),
                json!({"a": ""}),
            ],
        ),
        (
            "finalizers",
            vec![json!(["scim-operator.io/deprovision"]), json!([])],
        ),
        (
            "creationTimestamp",
            vec![json!(null), json!("2026-01-01T00:00:00Z")],
        ),
    ]
}

fn user_fields() -> Fields {
    vec![
        (
            "externalId",
            vec![json!("hr-17"), json!(null), json!("x".repeat(512))],
        ),
        ("active", vec![json!(true), json!(false), json!(null)]),
        (
            "name",
            vec![
                json!({"givenName": "Ada", "familyName": "Lovelace"}),
                json!({}),
                json!(null),
            ],
        ),
        ("displayName", vec![json!("Ada"), json!("\u{a0}Ada\u{a0}")]),
        (
            "emails",
            vec![
                json!([{"type": "work", "value": "ada@example.com", "primary": true}, {"type": "home", "value": "a@b.c", "primary": false}]),
                json!([{"type": "other", "value": "ä@ö"}]),
                json!([]),
                json!(null),
                json!([{"type": "work", "value": "a\u{a0}b@example.com", "primary": null}]),
            ],
        ),
        (
            "phoneNumbers",
            vec![
                json!([{"type": "mobile", "value": "+447700900123"}, {"type": "fax", "value": "12"}]),
            ],
        ),
        (
            "addresses",
            vec![
                json!([{"type": "work", "country": "GB", "locality": "London"}, {"type": "home"}]),
            ],
        ),
        ("preferredLanguage", vec![json!("en-GB"), json!("ö")]),
        (
            "enterprise",
            vec![
                json!({"department": "R&D", "manager": {"userRef": {"name": "eve", "namespace": "hr"}}}),
                json!({"manager": {"value": "7", "userRef": null}}),
                json!({"manager": null}),
            ],
        ),
        ("deletionPolicy", vec![json!("Archive"), json!("Retain")]),
        ("suspend", vec![json!(true), json!(null)]),
        ("adopt", vec![json!({"id": "42"}), json!(null)]),
        (
            "validUntil",
            vec![
                json!("2027-01-31T18:00:00Z"),
                json!("2027-01-31t18:00:00.5+99:99"),
                json!(null),
            ],
        ),
    ]
}

fn group_fields() -> Fields {
    vec![
        ("externalId", vec![json!("7a"), json!(null)]),
        (
            "members",
            vec![
                json!([{"userRef": {"name": "ada"}}, {"userRef": {"name": "ada"}}, {"userRef": {"name": "b.c", "namespace": null}}]),
                json!([]),
            ],
        ),
        (
            "memberSelector",
            vec![
                json!({"matchLabels": {"team": "red", "example.com/x": ""}}),
                json!({}),
                json!(null),
                json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["red"]}, {"key": "a", "operator": "Exists", "values": []}]}),
            ],
        ),
        ("membership", vec![json!("AddOnly"), json!("Exact")]),
        ("deletionPolicy", vec![json!("Delete"), json!("Retain")]),
        ("adopt", vec![json!({"id": "42"})]),
    ]
}

fn connection_fields() -> Fields {
    vec![
        (
            "endpoint",
            vec![
                json!("https://[2001:db8::1]:8443/scim/"),
                json!("https://999.999.999.999/"),
                json!("https://a_b.example.com.:443/%20/~"),
                json!("https://xn--a/"),
                json!("https://a"),
            ],
        ),
        (
            "caBundleRef",
            vec![
                json!({"name": "ca"}),
                json!({"kind": "Secret", "name": "ca", "key": "tls.crt"}),
                json!({"kind": null, "name": "ca"}),
            ],
        ),
        ("insecure", vec![json!(true), json!(false), json!(null)]),
        (
            "profile",
            vec![json!("RFC7643"), json!("CybSafe"), json!(null)],
        ),
        (
            "attributeMapping",
            vec![
                json!([{"attribute": "city", "path": "title"}, {"attribute": "office", "path": "x y"}]),
                json!([]),
            ],
        ),
        ("ownerId", vec![json!("prod/eu"), json!(null)]),
        (
            "allowedNamespaces",
            vec![
                json!({"from": "All"}),
                json!({}),
                json!(null),
                json!({"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "hr"}}}),
            ],
        ),
        ("mode", vec![json!("DryRun")]),
        (
            "adoption",
            vec![
                json!({"match": ["UserName", "ExternalId"]}),
                json!({"match": null}),
            ],
        ),
        (
            "deprovisionGuard",
            vec![
                json!({"maxPercent": 0, "window": "168h"}),
                json!({"minimum": 100_000}),
                json!({"window": "60s"}),
            ],
        ),
        (
            "sync",
            vec![
                json!({"interval": "23h59m60s"}),
                json!({"interval": "10s"}),
                json!({}),
            ],
        ),
        (
            "limits",
            vec![
                json!({"requestsPerSecond": 10000, "maxInFlight": 64}),
                json!({"maxInFlight": 2.0}),
            ],
        ),
        (
            "dialect",
            vec![
                json!({"patch": "Disabled", "pageSize": 1000, "memberRemoval": "Filter"}),
                json!(null),
            ],
        ),
    ]
}

/// What breaks rules that chance seldom finds, by kind: the place and the value.
fn sure(kind: &str) -> Vec<(&'static str, Value)> {
    let long = || json!("a".repeat(600));
    let of_any_kind = vec![
        ("/metadata/name", json!("Not_A_Name")),
        ("/metadata/name", json!("a".repeat(254))),
        ("/metadata/labels", json!({"a b": "x"})),
        ("/metadata/labels", json!({"a": "x y"})),
        ("/metadata/labels", json!({"a": 5})),
        ("/metadata/annotations", json!({"a b": "x"})),
        ("/metadata/annotations", json!({"a": true})),
        ("/metadata/finalizers", json!(["a b"])),
        (
            "/metadata/ownerReferences",
            json!([{"kind": "Pod", "name": "p"}]),
        ),
        ("/metadata/nothing", json!("x")),
        ("/status", json!({"nothing": 1})),
        ("/status", json!({"id": 5})),
        ("/nothing", json!(1)),
        ("/spec", json!("x")),
    ];
    // Each kind has a third of them.
    let third = ["ScimUser", "ScimGroup", "ScimConnection"]
        .iter()
        .position(|k| *k == kind);
    let shared = of_any_kind
        .into_iter()
        .enumerate()
        .filter(|(at, _)| Some(at % 3) == third);
    let mut all = match kind {
        "ScimUser" => vec![
            ("/spec/externalId", json!("12345")),
            (
                "/spec/emails",
                json!([{"type": "work", "value": "a@b.c", "primary": true}, {"type": "home", "value": "d@e.f", "primary": true}]),
            ),
            (
                "/spec/emails",
                json!([{"type": "work", "value": "a@b.c"}, {"type": "work", "value": "d@e.f"}]),
            ),
            ("/spec/emails", json!([{"type": "work", "value": "a@b@c"}])),
            ("/spec/emails", json!(["a@b.c"])),
            (
                "/spec/phoneNumbers",
                json!([{"type": "fax"}, {"value": "1"}]),
            ),
            ("/spec/enterprise", json!({"manager": {}})),
            (
                "/spec/enterprise",
                json!({"manager": {"value": "1", "userRef": {"name": "b"}}}),
            ),
            (
                "/spec/addresses",
                json!([{"type": "work"}, {"type": "home"}, {"type": "other"}, {"type": "work"}]),
            ),
            ("/spec/validUntil", json!("2027-02-31T00:00:00Z")),
            ("/spec/validUntil", json!(["2027"])),
            ("/spec/deletionPolicy", json!(null)),
            ("/spec/userName", json!(" ada")),
            ("/spec/userName", json!("\u{a0}ada\u{b}")),
            ("/spec/userName", json!({"a": 1})),
            ("/spec/userName", long()),
        ],
        "ScimGroup" => vec![
            ("/spec/externalId", json!("7")),
            ("/spec/memberSelector", json!({"matchLabels": {"a b": "c"}})),
            ("/spec/memberSelector", json!({"matchLabels": {"a": "-"}})),
            ("/spec/memberSelector", json!({"matchLabels": {"a": null}})),
            (
                "/spec/memberSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            ),
            (
                "/spec/memberSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
            ),
            (
                "/spec/memberSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}),
            ),
            ("/spec/members", json!([{"userRef": {"name": "A"}}, null])),
            ("/spec/members", json!({"userRef": {"name": "a"}})),
            (
                "/spec/members",
                json!([{"userRef": {"name": "a", "kind": "ScimUser"}}]),
            ),
            ("/spec/deletionPolicy", json!("Archive")),
            ("/spec/displayName", long()),
        ],
        _ => vec![
            ("/spec/endpoint", json!("http://a.example.com")),
            ("/spec/endpoint", json!("https://a.example.com:99999/")),
            ("/spec/endpoint", json!("https://a.example.com/%zz")),
            ("/spec/endpoint", json!("https://a.example.com:/")),
            ("/spec/endpoint", json!("https://[::::]/")),
            ("/spec/endpoint", json!("https://a/?b")),
            ("/spec/allowedNamespaces", json!({"from": "Selector"})),
            ("/spec/allowedNamespaces", json!({"selector": {}})),
            ("/spec/sync", json!({"interval": "9s"})),
            ("/spec/sync", json!({"interval": "1d"})),
            ("/spec/sync", json!({"interval": "99999h99999h"})),
            (
                "/spec/deprovisionGuard",
                json!({"window": "59s", "maxPercent": 101}),
            ),
            ("/spec/limits", json!({"maxInFlight": 1.5})),
            ("/spec/limits", json!({"maxInFlight": 1e30})),
            ("/spec/limits", json!({"requestsPerSecond": 0})),
            (
                "/spec/adoption",
                json!({"match": ["UserName", "UserName", "UserName", "UserName"]}),
            ),
            (
                "/spec/attributeMapping",
                json!([{"attribute": "city", "path": "a"}, {"attribute": "city", "path": "b"}]),
            ),
            ("/spec/ownerId", json!("a:b")),
        ],
    };
    all.extend(shared.map(|(_, fault)| fault));
    all
}

/// Does something to a manifest: what is known to break it, each in its turn, and, once all of that was done, something
/// at one or two places by chance, which may break it or not.
fn spoil(rng: &mut Rng, object: &mut Value, turn: usize) {
    let sure = sure(object["kind"].as_str().unwrap());
    let Some((place, value)) = sure.get(turn) else {
        for _ in 0..rng.usize(1..=2) {
            by_chance(rng, object);
        }
        return;
    };
    let (around, field) = place.rsplit_once('/').unwrap();
    let fields = object.pointer_mut(around).and_then(Value::as_object_mut);
    fields.unwrap().insert(field.to_owned(), value.clone());
}

fn by_chance(rng: &mut Rng, object: &mut Value) {
    let mut places = Vec::new();
    gather("/spec", &object["spec"], &mut places);
    gather("/metadata", &object["metadata"], &mut places);
    let Some(place) = rng.choice(&places).cloned() else {
        return;
    };
    let (around, field) = place.rsplit_once('/').unwrap();
    let field = field.replace("~1", "/").replace("~0", "~");
    let changed = object.pointer(&place).map(|value| changed(rng, value));
    match object.pointer_mut(around) {
        Some(Value::Object(fields)) => somehow(rng, fields, field, changed),
        Some(Value::Array(items)) => {
            let again = items.first().cloned();
            items.extend(if rng.bool() { changed } else { again });
        }
        _ => {}
    }
}

fn somehow(rng: &mut Rng, fields: &mut Map<String, Value>, field: String, changed: Option<Value>) {
    match rng.u8(..5) {
        0 => {
            fields.remove(&field);
        }
        1 => {
            fields.insert(format!("{field}s"), json!("x"));
        }
        _ => {
            fields.insert(field, changed.unwrap_or_default());
        }
    }
}

/// Another value in the place of one.
fn changed(rng: &mut Rng, value: &Value) -> Value {
    let of_any_type = [
        json!(null),
        json!(5),
        json!(-1),
        json!(true),
        json!("word"),
        json!([]),
        json!({}),
        json!(["x"]),
        json!({"x": "y"}),
    ];
    match value {
        Value::String(text) if rng.bool() => {
            let odd = [
                format!("{text} "),
                format!(" {text}"),
                String::new(),
                text.to_uppercase(),
                text.repeat(300),
                format!("{text}\n"),
                format!("\u{a0}{text}"),
                format!("{text}/"),
                "-".to_owned(),
                "12".to_owned(),
            ];
            Value::from(pick(rng, &odd))
        }
        Value::Number(_) if rng.bool() => pick(
            rng,
            &[
                json!(0),
                json!(-1),
                json!(1_000_000),
                json!(1.5),
                json!(3.0),
                json!(u64::MAX),
            ],
        ),
        _ => pick(rng, &of_any_type),
    }
}

/// Every place below one, as a JSON pointer.
fn gather(place: &str, value: &Value, found: &mut Vec<String>) {
    let mut inner = |step: String, value: &Value| {
        let place = format!("{place}/{}", step.replace('~', "~0").replace('/', "~1"));
        gather(&place, value, found);
        // What the test's own address depends on, or what dates are only the API server's to write.
        if place != "/metadata/namespace" && place != "/metadata/creationTimestamp" {
            found.push(place);
        }
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| inner(name.clone(), value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, value)| inner(at.to_string(), value)),
        _ => {}
    }
}
