//! Objects as a CRD's schema lets them in, and spoiled ones. A field that is new in a type comes in by
//! itself: the schema is what is drawn from.

use kube::CustomResourceExt;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

/// Words with a meaning somewhere, so that not every object fails at its first rule.
const WORDS: [&str; 12] = [
    "ada",
    "GB",
    "Germany",
    "en-GB",
    "en_gb",
    "zh-Hant-TW",
    "ada@example.com",
    "+447700900123",
    "2027-01-31T18:00:00Z",
    " x ",
    "scim-operator:a:b/c",
    "é\u{7}",
];

/// The schema of a kind's spec.
pub fn spec_of<K: CustomResourceExt>() -> Value {
    let definition = serde_json::to_value(K::crd()).unwrap();
    let version = &definition["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// Whatever the schema lets in; rules in CEL are not looked at.
pub fn valid(schema: &Value) -> BoxedStrategy<Value> {
    let drawn = match schema["type"].as_str() {
        Some("object") => object(schema),
        Some("array") => array(schema),
        Some("string") => string(schema),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer" | "number") => {
            let bound =
                |name: &str, usual: i64| schema[name].as_f64().map_or(usual, |bound| bound as i64);
            (bound("minimum", -5)..=bound("maximum", 1 << 31))
                .prop_map(Value::from)
                .boxed()
        }
        other => panic!("a type that nobody taught the generator: {other:?} in {schema}"),
    };
    if schema["nullable"] == json!(true) {
        prop_oneof![9 => drawn, 1 => Just(Value::Null)].boxed()
    } else {
        drawn
    }
}

fn object(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(values) = schema.get("additionalProperties") {
        let entries = prop::collection::btree_map("[a-z]{1,8}", valid(values), 0..4);
        return entries
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed();
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().cloned();
    let mut drawn: BoxedStrategy<Map<String, Value>> = Just(Map::new()).boxed();
    for (name, property) in properties.into_iter().flatten() {
        let needed = required.contains(&json!(name));
        let value = match needed {
            true => valid(&property).prop_map(Some).boxed(),
            false => prop::option::of(valid(&property)).boxed(),
        };
        drawn = (drawn, value)
            .prop_map(move |(mut map, value)| {
                map.extend(value.map(|value| (name.clone(), value)));
                map
            })
            .boxed();
    }
    drawn.prop_map(Value::Object).boxed()
}

fn array(schema: &Value) -> BoxedStrategy<Value> {
    let most = schema["maxItems"].as_u64().unwrap_or(4).min(4) as usize;
    let keys = schema["x-kubernetes-list-map-keys"].clone();
    let set = schema["x-kubernetes-list-type"] == json!("set");
    prop::collection::vec(valid(&schema["items"]), 0..=most)
        .prop_map(move |mut items| {
            let key_of = |item: &Value| match keys.as_array() {
                Some(keys) => keys
                    .iter()
                    .map(|key| item[key.as_str().unwrap()].clone())
                    .collect(),
                None => vec![item.clone()],
            };
            if set || keys.is_array() {
                let mut seen = Vec::new();
                items.retain(|item| {
                    let key = key_of(item);
                    let new = !seen.contains(&key);
                    seen.push(key);
                    new
                });
            }
            Value::Array(items)
        })
        .boxed()
}

fn string(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(words) = schema["enum"].as_array() {
        return select(words.clone()).boxed();
    }
    let least = schema["minLength"].as_u64().unwrap_or(0) as usize;
    let most = schema["maxLength"].as_u64().unwrap_or(64) as usize;
    let pattern = schema["pattern"].as_str();
    let fits = move |text: &String| (least..=most).contains(&text.chars().count());
    let drawn = match pattern {
        Some(pattern) => {
            let bare = pattern.trim_start_matches('^').trim_end_matches('$');
            let pattern = regex(pattern);
            let word = select(&WORDS[..]).prop_map(str::to_owned);
            let word = word.prop_filter("the pattern", move |word| pattern(word));
            let any = string_regex(bare).unwrap();
            match schema["maxLength"].as_u64() {
                Some(320) => prop_oneof![word, any].boxed(),
                _ => any.boxed(),
            }
        }
        None => prop_oneof![
            select(&WORDS[..]).prop_map(str::to_owned),
            r"\PC{1,12}",
            Just("a".repeat(most.min(4096))),
        ]
        .boxed(),
    };
    drawn
        .prop_filter("its length", fits)
        .prop_map(Value::from)
        .boxed()
}

/// Whether a word is one of the two patterns that words are drawn for.
fn regex(pattern: &str) -> impl Fn(&str) -> bool + 'static {
    let mail = pattern.contains('@');
    move |word| {
        let whole = word.trim() == word && !word.is_empty();
        whole && (!mail || (word.matches('@').count() == 1 && !word.contains(' ')))
    }
}

/// Any JSON at all: odd types, huge numbers, deep nesting.
pub fn json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        select(&[u64::MAX, 9_007_199_254_740_993, 0]).prop_map(Value::from),
        select(&WORDS[..]).prop_map(Value::from),
        select(&[
            "",
            "true",
            "False",
            "work",
            "value",
            "9999999999999999999999",
            "W/\"1\""
        ])
        .prop_map(Value::from),
        r"\PC{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        select(&NAMES[..]).prop_map(str::to_owned),
        "[a-zA-Z$:.]{0,8}"
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
    .boxed()
}

/// Names that readers look for.
const NAMES: [&str; 24] = [
    "id",
    "ID",
    "externalId",
    "userName",
    "active",
    "emails",
    "members",
    "value",
    "type",
    "primary",
    "meta",
    "version",
    "lastModified",
    "displayName",
    "name",
    "givenName",
    "addresses",
    "schemas",
    "Resources",
    "totalResults",
    "startIndex",
    "itemsPerPage",
    "nextCursor",
    "$ref",
];

/// Spoils one place of a value: another value there, nothing, or something beside it.
pub fn spoil(value: &mut Value, place: &Index, how: u8, other: Value) {
    let places = pointers(value, String::new());
    let pointer = place.get(&places);
    if how == 0
        && let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(object) = value.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        object.remove(name);
        return;
    }
    let Some(there) = value.pointer_mut(pointer) else {
        return;
    };
    match (how, &mut *there) {
        (1, Value::Object(object)) => drop(object.insert("novelty".into(), other)),
        (1, Value::Array(items)) => items.push(other),
        (2, Value::Array(items)) => items.extend(items.clone()),
        (3, _) => *there = json!([there.clone()]),
        _ => *there = other,
    }
}

fn pointers(value: &Value, here: String) -> Vec<String> {
    let mut all = vec![here.clone()];
    match value {
        Value::Object(object) => {
            for (name, inner) in object.iter().filter(|(name, _)| !name.contains(['/', '~'])) {
                all.extend(pointers(inner, format!("{here}/{name}")));
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                all.extend(pointers(inner, format!("{here}/{index}")));
            }
        }
        _ => {}
    }
    all
}
