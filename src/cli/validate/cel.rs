//! The CEL rules of the definitions, as a create is judged by them: after defaults, and only where the object is sound
//! enough to be asked. The language and Kubernetes' functions are `kube-cel`'s; where Go's libraries decide, `go` does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube_cel::KubeCelExt;
use kube_cel::cel::extractors::This;
use kube_cel::cel::objects::{Key, Map, Opaque};
use kube_cel::cel::{Context, ExecutionError, Value as Cel};
use regex::Regex;
use serde_json::Value;

use super::finding::{Fault, FieldPath, Trail};
use super::go;
use super::schema::{Node, Rule};

/// What rules are evaluated with. Made once; it remembers the expressions that it compiled.
pub struct Evaluator {
    functions: Context<'static>,
}

/// A URL within a rule.
#[derive(Debug, PartialEq, Eq)]
struct Url(go::Url);

impl Opaque for Url {
    fn runtime_type_name(&self) -> &str {
        "kubernetes.URL"
    }
}

impl Default for Evaluator {
    /// One that knows Kubernetes' functions.
    fn default() -> Self {
        let mut functions = Context::default().with_all();
        functions.add_function("isURL", |text: Arc<String>| {
            go::parse_request_uri(&text).is_some()
        });
        functions.add_function("url", |text: Arc<String>| {
            go::parse_request_uri(&text)
                .map(|url| Cel::Opaque(Arc::new(Url(url))))
                .ok_or_else(|| ExecutionError::function_error("url", "no URL"))
        });
        functions.add_function("getPort", |This(this): This<Cel>| match &this {
            Cel::Opaque(it) => match it.downcast_ref::<Url>() {
                Some(Url(url)) => Ok(Cel::String(Arc::new(url.port.clone()))),
                None => Err(ExecutionError::function_error("getPort", "no URL")),
            },
            _ => Err(ExecutionError::function_error("getPort", "no URL")),
        });
        let known: Mutex<HashMap<String, Result<Regex, String>>> = Mutex::default();
        functions.add_function(
            "matches",
            move |This(text): This<Arc<String>>, pattern: Arc<String>| {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if !known.contains_key(&*pattern) {
                    known.insert(
                        pattern.to_string(),
                        go::regex(&pattern).map_err(|e| e.to_string()),
                    );
                }
                match known.get(&*pattern) {
                    Some(Ok(regex)) => Ok(regex.is_match(&text)),
                    Some(Err(why)) => Err(ExecutionError::function_error("matches", why)),
                    None => Err(ExecutionError::function_error("matches", "not compiled")),
                }
            },
        );
        Self { functions }
    }
}

impl Evaluator {
    /// Asks every rule of the schema. A rule is passed over where something at or below its field is in `before`:
    /// what it would say of a value of another type means nothing.
    pub fn check(&self, node: &Node, value: &Value, before: &[FieldPath], found: &mut Vec<Fault>) {
        self.walk(node, value, &Trail::ROOT, before, found);
    }

    fn walk(
        &self,
        node: &Node,
        value: &Value,
        trail: &Trail<'_>,
        before: &[FieldPath],
        found: &mut Vec<Fault>,
    ) {
        // A rule is asked of what is there only.
        if value.is_null() {
            return;
        }
        if !node.rules.is_empty() {
            let path = trail.path();
            if !before.iter().any(|faulty| path.is_around(faulty)) {
                let itself = in_cel(node, value);
                let broken = node
                    .rules
                    .iter()
                    .filter_map(|rule| self.broken(rule, &itself, &path));
                found.extend(broken);
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let inner = node.properties.get(name).or(node.additional.as_deref());
                    if let Some(inner) = inner {
                        self.walk(inner, value, &trail.key(name), before, found);
                    }
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    if let Some(inner) = &node.items {
                        self.walk(inner, item, &trail.index(at), before, found);
                    }
                }
            }
            _ => {}
        }
    }

    fn broken(&self, rule: &Rule, itself: &Cel, path: &FieldPath) -> Option<Fault> {
        let mut scope = self.functions.new_inner_scope();
        scope.add_variable_from_value("self", itself.clone());
        match rule.program.execute(&scope) {
            Ok(Cel::Bool(true)) => None,
            Ok(Cel::Bool(false)) => {
                Some(Fault::error(path.clone(), &rule.id, rule.message.clone()))
            }
            // What the interpreter says may hold values.
            Ok(_) | Err(_) => Some(Fault::error(
                path.clone(),
                "cel/unevaluated",
                format!("cannot be asked whether {:?} holds", rule.message),
            )),
        }
    }
}

/// A value as CEL sees it. Null is as absent, and fields are named as in Kubernetes' CEL; the keys of a map are not.
fn in_cel(node: &Node, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => {
            let items = items.iter().map(|item| match &node.items {
                Some(inner) => in_cel(inner, item),
                None => Cel::Null,
            });
            Cel::List(Arc::new(items.collect()))
        }
        Value::Object(fields) => {
            let mut map = HashMap::with_capacity(fields.len());
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                let (key, inner) = match (node.properties.get(name), &node.additional) {
                    (Some(inner), _) => (escaped(name), inner),
                    (None, Some(inner)) => (name.clone(), &**inner),
                    (None, None) => continue,
                };
                map.insert(Key::String(Arc::new(key)), in_cel(inner, value));
            }
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

/// A field's name in a rule (Kubernetes, "Validation rules": words that CEL keeps, and characters that it has not).
fn escaped(name: &str) -> String {
    const KEPT: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if KEPT.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(schema: Value) -> Node {
        Node::compiled(serde_json::from_value(schema).unwrap(), "spec").unwrap()
    }

    fn text(rule: &str) -> Node {
        node(
            json!({"type": "string", "x-kubernetes-validations": [{"rule": rule, "message": "m"}]}),
        )
    }

    fn broken(node: &Node, value: &Value, before: &[FieldPath]) -> Vec<String> {
        let mut found = Vec::new();
        Evaluator::default().check(node, value, before, &mut found);
        found.iter().map(|f| f.rule.clone()).collect()
    }

    #[test]
    #[rustfmt::skip] // One case a line.
    fn a_rule_says_what_the_api_servers_cel_says() {
        for (rule, value, holds) in [
            ("!self.matches('^[0-9]+$')", "12", false),
            ("!self.matches('^[0-9]+$')", "a12", true),
            (r"self.matches('^\\S+$')", "a\u{a0}b", true),
            ("isURL(self)", "https://a/%zz", false),
            ("isURL(self)", "https://999.999.999.999/", true),
            ("url(self).getPort() == '' || int(url(self).getPort()) <= 65535", "https://a:99999/", false),
            ("url(self).getPort() == '' || int(url(self).getPort()) <= 65535", "https://a:443/", true),
            ("duration(self) >= duration('10s') && duration(self) <= duration('24h')", "23h59m60s", true),
            ("duration(self) >= duration('10s') && duration(self) <= duration('24h')", "24h1s", false),
            ("duration(self) >= duration('10s') && duration(self) <= duration('24h')", "99999h99999h", false),
            ("duration(self) >= duration('10s') && duration(self) <= duration('24h')", "0h0m9s", false),
        ] {
            let expected: &[&str] = if holds { &[] } else { &["cel/spec"] };
            assert_eq!(broken(&text(rule), &json!(value), &[]), expected, "{rule} of {value}");
        }
    }

    #[test]
    fn null_is_as_absent_and_a_field_may_be_called_as_a_word_of_cel() {
        let node = node(json!({"type": "object", "properties": {
            "a": {"type": "string", "nullable": true},
            "namespace": {"type": "string"},
            "x-y": {"type": "string"},
        }, "x-kubernetes-validations": [{"rule": "!has(self.a) && self.__namespace__ == 'n' && self.x__dash__y == 'z'"}]}));
        let value = json!({"a": null, "namespace": "n", "x-y": "z"});
        assert_eq!(broken(&node, &value, &[]), [""; 0]);
        assert_eq!(
            broken(&node, &json!({"a": "b", "namespace": "n", "x-y": "z"}), &[]),
            ["cel/spec"]
        );
    }

    #[test]
    fn keys_of_a_map_are_what_they_are() {
        let node = node(
            json!({"type": "object", "additionalProperties": {"type": "string"},
            "x-kubernetes-validations": [{"rule": "self.all(key, key.matches('^[a-z/]+$'))"}]}),
        );
        assert_eq!(broken(&node, &json!({"a/b": "x", "in": "y"}), &[]), [""; 0]);
        assert_eq!(broken(&node, &json!({"a b": "x"}), &[]), ["cel/spec"]);
    }

    #[test]
    fn nothing_is_asked_of_what_is_broken_already() {
        let node = node(json!({"type": "object", "properties": {
            "a": {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'x'"}]}, "b": {"type": "string"},
        }, "x-kubernetes-validations": [{"rule": "self.b == 'y'"}]}));
        let value = json!({"a": "x", "b": 5});
        let before = [FieldPath::spelt("b")];
        assert_eq!(
            broken(&node, &value, &before),
            ["cel/spec.a"],
            "the rule of `a` can be asked all the same"
        );
        assert_eq!(broken(&node, &value, &[]), ["cel/spec", "cel/spec.a"]);
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_is_no_rule_that_holds() {
        let node = node(
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.nothing == 'x'"}]}),
        );
        assert_eq!(broken(&node, &json!({}), &[]), ["cel/unevaluated"]);
        let told = text("self.startsWith('x')");
        assert_eq!(broken(&told, &json!("y"), &[]), ["cel/spec"]);
    }
}
