//! What the API server does with an object before any rule is asked: it fills in defaults, names fields that the schema
//! does not know, and holds every value against its type and bounds. In its order, with its exceptions: each is tried
//! on a real one by `tests/validate_corpus.rs`.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::finding::{Fault, Trail};
use super::go;
use super::schema::{List, Node, Type};

/// Fills in defaults, and takes out each null that stands for nothing: a field that may be null keeps it, any other
/// gets its default, or is as absent.
pub fn fill_in(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let inner = field(node, name);
                !value.is_null() || inner.is_none_or(|n| n.nullable || n.default.is_some())
            });
            for (name, inner) in &node.properties {
                let Some(default) = &inner.default else {
                    continue;
                };
                let there = fields.get(name);
                if there.is_none_or(|value| value.is_null() && !inner.nullable) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(inner) = field(node, name) {
                    fill_in(inner, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &node.items {
                items.iter_mut().for_each(|item| fill_in(inner, item));
            }
        }
        _ => {}
    }
}

/// The schema of a field, or of an entry of a map.
fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.properties.get(name).or(node.additional.as_deref())
}

/// Names every field that the schema does not know, as `fieldValidation=Strict` does. What is within such a field is
/// not looked at.
pub fn unknown_fields(node: &Node, value: &Value, trail: &Trail<'_>, found: &mut Vec<Fault>) {
    if node.open {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let here = trail.key(name);
                match field(node, name) {
                    Some(inner) => unknown_fields(inner, value, &here, found),
                    None => found.push(Fault::error(
                        here.path(),
                        "schema/unknown",
                        "is no field of this kind",
                    )),
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if let Some(inner) = &node.items {
                    unknown_fields(inner, item, &trail.index(at), found);
                }
            }
        }
        _ => {}
    }
}

/// Holds a value against its schema: types, bounds, words, patterns, formats and keys.
pub fn check(node: &Node, value: &Value, trail: &Trail<'_>, found: &mut Vec<Fault>) {
    let mut say =
        |rule: &str, message: String| found.push(Fault::error(trail.path(), rule, message));
    if value.is_null() {
        if !node.nullable && node.kind != Type::Any {
            say(
                "schema/type",
                format!("must be {}, not null", name_of(node.kind)),
            );
        }
        // The API server looks for null among the words, even where the field may be null.
        if !node.one_of.is_empty() {
            say("schema/enum", words(node));
        }
        return;
    }
    if !is_of(node, value) {
        say(
            "schema/type",
            format!(
                "must be {}, not {}",
                name_of(node.kind),
                name_of(type_of(value))
            ),
        );
        return;
    }
    if !node.one_of.is_empty() && !node.one_of.contains(value) {
        say("schema/enum", words(node));
    }
    match value {
        Value::String(text) => check_text(node, text, &mut say),
        Value::Number(number) => check_number(node, number, &mut say),
        Value::Array(items) => {
            bounds(
                node.item_count,
                items.len(),
                "items",
                "schema/items",
                &mut say,
            );
            check_keys(node, items, trail, found);
            for (at, item) in items.iter().enumerate() {
                if let Some(inner) = &node.items {
                    check(inner, item, &trail.index(at), found);
                }
            }
        }
        Value::Object(fields) => {
            bounds(
                node.property_count,
                fields.len(),
                "entries",
                "schema/properties",
                &mut say,
            );
            check_fields(node, fields, trail, found);
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_fields(
    node: &Node,
    fields: &Map<String, Value>,
    trail: &Trail<'_>,
    found: &mut Vec<Fault>,
) {
    for name in node
        .required
        .iter()
        .filter(|name| !fields.contains_key(*name))
    {
        found.push(Fault::error(
            trail.key(name).path(),
            "schema/required",
            "is required",
        ));
    }
    for (name, value) in fields {
        if let Some(inner) = field(node, name) {
            check(inner, value, &trail.key(name), found);
        }
    }
}

fn check_text(node: &Node, text: &str, say: &mut impl FnMut(&str, String)) {
    bounds(
        node.length,
        text.chars().count(),
        "characters",
        "schema/length",
        say,
    );
    if let Some((pattern, compiled)) = &node.pattern
        && !compiled.is_match(text)
    {
        say("schema/pattern", format!("must match {pattern}"));
    }
    if node.format.as_deref() == Some("date-time") && !go::is_date_time(text) {
        say(
            "schema/format",
            "must be a time as in RFC 3339, such as 2027-01-31T18:00:00Z".into(),
        );
    }
}

fn check_number(node: &Node, number: &Number, say: &mut impl FnMut(&str, String)) {
    let Some(number) = number.as_f64() else {
        return;
    };
    let (least, most) = node.range;
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        say("schema/range", sentence("must be", (least, most), ""));
    }
}

fn bounds(
    (least, most): (Option<i64>, Option<i64>),
    count: usize,
    of: &str,
    rule: &str,
    say: &mut impl FnMut(&str, String),
) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
        say(rule, sentence("must have", (least, most), of));
    }
}

fn sentence<N: ToString>(verb: &str, bounds: (Option<N>, Option<N>), of: &str) -> String {
    let range = match bounds {
        (Some(least), Some(most)) => format!("from {} to {}", least.to_string(), most.to_string()),
        (Some(least), None) => format!("at least {}", least.to_string()),
        (None, Some(most)) => format!("at most {}", most.to_string()),
        (None, None) => String::new(),
    };
    format!("{verb} {range} {of}").trim_end().to_owned()
}

/// Whether each item of a set, or the key of each item of a map, is there once. The second is named, as the API
/// server does, and no further one.
fn check_keys(node: &Node, items: &[Value], trail: &Trail<'_>, found: &mut Vec<Fault>) {
    let key = |item: &Value| -> String {
        match &node.list {
            List::Map(keys) => {
                let keys = keys.iter().map(|key| item.get(key).map(Value::to_string));
                keys.map(Option::unwrap_or_default)
                    .collect::<Vec<_>>()
                    .join("\n")
            }
            _ => item.to_string(),
        }
    };
    let what = match &node.list {
        List::Atomic => return,
        List::Set => "is there already".to_owned(),
        List::Map(keys) => format!("has the same {} as another item", keys.join(", ")),
    };
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for (at, item) in items.iter().enumerate() {
        let key = key(item);
        if !once.insert(key.clone()) && twice.insert(key) {
            found.push(Fault::error(
                trail.index(at).path(),
                "schema/duplicate",
                what.clone(),
            ));
        }
    }
}

fn words(node: &Node) -> String {
    let all = node.one_of.iter().map(|word| match word {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    format!("must be one of {}", all.collect::<Vec<_>>().join(", "))
}

fn is_of(node: &Node, value: &Value) -> bool {
    match (node.kind, value) {
        (Type::Any, _)
        | (Type::Object, Value::Object(_))
        | (Type::Array, Value::Array(_))
        | (Type::String, Value::String(_))
        | (Type::Number, Value::Number(_))
        | (Type::Boolean, Value::Bool(_)) => true,
        (Type::Integer, Value::Number(number)) => is_whole(number),
        // The API server takes a list for a text that has a format. Nobody can read that: `operator/unreadable`.
        (Type::String, Value::Array(_)) => node.format.is_some(),
        _ => false,
    }
}

/// Whether a number is an integer of JSON, as far as a double holds it exactly.
fn is_whole(number: &Number) -> bool {
    const EXACT: f64 = 9_007_199_254_740_991.0;
    number.is_i64()
        || number
            .as_f64()
            .is_some_and(|n| n.fract() == 0.0 && n.abs() <= EXACT)
}

fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::Any,
        Value::Bool(_) => Type::Boolean,
        Value::Number(number) if is_whole(number) => Type::Integer,
        Value::Number(_) => Type::Number,
        Value::String(_) => Type::String,
        Value::Array(_) => Type::Array,
        Value::Object(_) => Type::Object,
    }
}

fn name_of(kind: Type) -> &'static str {
    match kind {
        Type::Object => "an object",
        Type::Array => "a list",
        Type::String => "a text",
        Type::Integer => "a whole number",
        Type::Number => "a number",
        Type::Boolean => "true or false",
        Type::Any => "anything",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(schema: Value) -> Node {
        Node::compiled(serde_json::from_value(schema).unwrap(), "").unwrap()
    }

    /// Rules broken by a value, each with its field.
    fn broken(schema: Value, value: Value) -> Vec<String> {
        let mut found = Vec::new();
        check(&node(schema), &value, &Trail::ROOT, &mut found);
        let all = found.iter().map(|f| format!("{} {}", f.field, f.rule));
        all.map(|line| line.trim_start().to_owned()).collect()
    }

    #[test]
    #[rustfmt::skip] // One case a line.
    fn each_keyword_refuses_what_it_is_for_and_nothing_else() {
        let text = json!({"type": "string", "minLength": 1, "maxLength": 3});
        let count = json!({"type": "integer", "minimum": 1.0, "maximum": 64.0});
        let word = json!({"type": "string", "enum": ["a", "b"]});
        let list = json!({"type": "array", "maxItems": 1, "minItems": 1, "items": {"type": "boolean"}});
        let map = json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}});
        let fields = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "string"}}}});
        let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
        let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["t"], "items": {"type": "object", "properties": {"t": {"type": "string"}}}});
        let time = json!({"type": "string", "format": "date-time"});
        let none: [&str; 0] = [];
        for (schema, value, expected, why) in [
            (&text, json!("äöü"), none.as_slice(), "characters are counted, not bytes"),
            (&text, json!("abcd"), &["schema/length"], "one beyond"),
            (&text, json!(""), &["schema/length"], "one below"),
            (&text, json!(5), &["schema/type"], "no text"),
            (&text, json!(null), &["schema/type"], "null is no text"),
            (&text, json!(["a"]), &["schema/type"], "a list is no text without a format"),
            (&count, json!(64), &none, "at the bound"),
            (&count, json!(2.0), &none, "a whole number all the same"),
            (&count, json!(1.5), &["schema/type"], "no whole number"),
            (&count, json!(1e300), &["schema/type"], "more than a double holds exactly"),
            (&count, json!(0), &["schema/range"], "one below"),
            (&count, json!(65), &["schema/range"], "one beyond"),
            (&count, json!("1"), &["schema/type"], "a text"),
            (&word, json!("b"), &none, "one of them"),
            (&word, json!("B"), &["schema/enum"], "spelt otherwise"),
            (&list, json!([true]), &none, "one"),
            (&list, json!([]), &["schema/items"], "one below"),
            (&list, json!([true, "no"]), &["schema/items", "[1] schema/type"], "one beyond, and no boolean"),
            (&list, json!({}), &["schema/type"], "a map"),
            (&map, json!({"x": "y"}), &none, "an entry"),
            (&map, json!({"x": 1}), &["x schema/type"], "no text"),
            (&map, json!({"x": "y", "z": "y"}), &["schema/properties"], "one beyond"),
            (&fields, json!({"a": "x", "b": ["y"]}), &none, "both"),
            (&fields, json!({"b": [1]}), &["a schema/required", "b[0] schema/type"], "all at once"),
            (&set, json!(["a", "b"]), &none, "each once"),
            (&set, json!(["a", "b", "a", "a"]), &["[2] schema/duplicate"], "named once"),
            (&keyed, json!([{"t": "a"}, {"t": "b"}]), &none, "each once"),
            (&keyed, json!([{"t": "a"}, {"t": "a"}]), &["[1] schema/duplicate"], "one key"),
            (&keyed, json!([{}, {}]), &["[1] schema/duplicate"], "no key twice"),
            (&time, json!("2027-01-31T18:00:00Z"), &none, "a time"),
            (&time, json!("2027-02-31T18:00:00Z"), &["schema/format"], "no such day"),
            (&time, json!(["x"]), &none, "an oddity of the API server"),
        ] {
            assert_eq!(broken(schema.clone(), value.clone()), expected, "{value}: {why}");
        }
    }

    #[test]
    fn null_is_no_word_even_where_it_may_stand() {
        let schema = json!({"type": "string", "nullable": true, "enum": ["a"]});
        assert_eq!(broken(schema, json!(null)), ["schema/enum"]);
        assert_eq!(
            broken(json!({"type": "string", "nullable": true}), json!(null)),
            [""; 0]
        );
    }

    #[test]
    fn defaults_are_filled_in_as_deep_as_objects_are_there() {
        let schema = node(json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {"type": "object", "properties": {"c": {"type": "integer", "default": 1}}},
            "d": {"type": "object", "default": {}, "properties": {"e": {"type": "boolean", "default": false}}},
            "f": {"type": "string", "nullable": true, "default": "y"},
            "g": {"type": "string"},
            "h": {"type": "array", "items": {"type": "object", "properties": {"i": {"type": "string", "default": "z"}}}},
        }}));
        let mut value = json!({"a": null, "b": {}, "f": null, "g": null, "h": [{}], "j": null});
        fill_in(&schema, &mut value);
        let expected = json!({"a": "x", "b": {"c": 1}, "d": {"e": false}, "f": null, "h": [{"i": "z"}], "j": null});
        assert_eq!(value, expected);
    }

    #[test]
    fn a_field_that_nobody_knows_is_named_and_not_entered() {
        let schema = node(json!({"type": "object", "properties": {
            "a": {"type": "string"},
            "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string"}}}},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
            "o": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}));
        let value = json!({"a": "x", "b": [{"c": "x"}, {"d": {"e": 1}}], "m": {"any": "x"}, "o": {"y": 1}, "z": 1});
        let mut found = Vec::new();
        unknown_fields(&schema, &value, &Trail::ROOT, &mut found);
        let fields: Vec<_> = found.iter().map(|f| f.field.to_string()).collect();
        assert_eq!(fields, ["b[1].d", "z"]);
    }
}
