//! The definitions as they are installed, compiled once: what the API server asks of each field, with its expressions
//! and CEL programs ready. What a definition says and this does not know is an error here, never passed over.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    ValidationRule,
};
use kube_cel::cel::Program;
use regex::Regex;
use serde_json::Value;

use super::go;
use crate::api::definitions::definitions;
use crate::api::{GROUP, VERSION};
use crate::cli::Failure;

/// The types of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Fields, or a map.
    Object,
    /// A list.
    Array,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// Whatever comes.
    Any,
}

/// What the items of a list are to one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// Nothing.
    Atomic,
    /// Each is there once.
    Set,
    /// Each has other values of these fields.
    Map(Vec<String>),
}

/// One CEL rule.
#[derive(Debug)]
pub struct Rule {
    /// `cel/` and the path of the schema that has it.
    pub id: String,
    /// What it is evaluated by.
    pub program: Program,
    /// What is said where it is broken.
    pub message: String,
}

/// What is asked of one field.
#[derive(Debug)]
#[allow(missing_docs)] // Named as in OpenAPI.
pub struct Node {
    pub kind: Type,
    pub nullable: bool,
    pub default: Option<Value>,
    pub one_of: Vec<Value>,
    pub properties: BTreeMap<String, Node>,
    pub required: Vec<String>,
    pub additional: Option<Box<Node>>,
    pub items: Option<Box<Node>>,
    pub range: (Option<f64>, Option<f64>),
    pub length: (Option<i64>, Option<i64>),
    pub item_count: (Option<i64>, Option<i64>),
    pub property_count: (Option<i64>, Option<i64>),
    pub pattern: Option<(String, Regex)>,
    pub format: Option<String>,
    pub list: List,
    /// Fields that are not known here are kept.
    pub open: bool,
    pub rules: Vec<Rule>,
}

impl Node {
    /// Compiles a schema. `path` is where it stands, as rules' ids name it.
    ///
    /// # Errors
    /// For what is not known here: an expression, a rule or a keyword.
    pub fn compiled(props: JSONSchemaProps, path: &str) -> Result<Self, Failure> {
        // Whole, so that no keyword is passed over.
        let JSONSchemaProps {
            additional_items,
            additional_properties,
            all_of,
            any_of,
            default,
            definitions: _,
            dependencies,
            description: _,
            enum_,
            example: _,
            exclusive_maximum,
            exclusive_minimum,
            external_docs: _,
            format,
            id: _,
            items,
            max_items,
            max_length,
            max_properties,
            maximum,
            min_items,
            min_length,
            min_properties,
            minimum,
            multiple_of,
            not,
            nullable,
            one_of,
            pattern,
            pattern_properties,
            properties,
            ref_path,
            required,
            schema: _,
            title: _,
            type_,
            unique_items,
            x_kubernetes_embedded_resource,
            x_kubernetes_int_or_string,
            x_kubernetes_list_map_keys,
            x_kubernetes_list_type,
            x_kubernetes_map_type: _,
            x_kubernetes_preserve_unknown_fields,
            x_kubernetes_validations,
        } = props;
        for (there, keyword) in [
            (additional_items.is_some(), "additionalItems"),
            (all_of.is_some(), "allOf"),
            (any_of.is_some(), "anyOf"),
            (dependencies.is_some(), "dependencies"),
            (exclusive_maximum.is_some(), "exclusiveMaximum"),
            (exclusive_minimum.is_some(), "exclusiveMinimum"),
            (multiple_of.is_some(), "multipleOf"),
            (not.is_some(), "not"),
            (one_of.is_some(), "oneOf"),
            (pattern_properties.is_some(), "patternProperties"),
            (ref_path.is_some(), "$ref"),
            (unique_items.is_some(), "uniqueItems"),
            (
                x_kubernetes_embedded_resource.is_some(),
                "x-kubernetes-embedded-resource",
            ),
            (
                x_kubernetes_int_or_string.is_some(),
                "x-kubernetes-int-or-string",
            ),
        ] {
            if there {
                return Err(unknown(path, keyword));
            }
        }
        let mut fields = BTreeMap::new();
        for (name, inner) in properties.into_iter().flatten() {
            let inner = Self::compiled(inner, &joined(path, &name))?;
            fields.insert(name, inner);
        }
        let within = |inner: JSONSchemaProps| Self::compiled(inner, path).map(Box::new).map(Some);
        let items = match items {
            None => None,
            Some(JSONSchemaPropsOrArray::Schema(inner)) => within(*inner)?,
            Some(JSONSchemaPropsOrArray::Schemas(_)) => {
                return Err(unknown(path, "a list of items"));
            }
        };
        let additional = match additional_properties {
            None | Some(JSONSchemaPropsOrBool::Bool(false)) => None,
            Some(JSONSchemaPropsOrBool::Schema(inner)) => within(*inner)?,
            Some(JSONSchemaPropsOrBool::Bool(true)) => {
                return Err(unknown(path, "additionalProperties: true"));
            }
        };
        let pattern = match pattern {
            None => None,
            Some(text) => {
                let compiled =
                    go::regex(&text).map_err(|e| Failure::of(format!("{path}: pattern"), e))?;
                Some((text, compiled))
            }
        };
        Ok(Self {
            kind: kind(type_.as_deref(), path)?,
            nullable: nullable == Some(true),
            default: default.map(|default| default.0),
            one_of: enum_.into_iter().flatten().map(|value| value.0).collect(),
            properties: fields,
            required: required.unwrap_or_default(),
            additional,
            items,
            range: (minimum, maximum),
            length: (min_length, max_length),
            item_count: (min_items, max_items),
            property_count: (min_properties, max_properties),
            pattern,
            format: known_format(format, path)?,
            list: list(
                x_kubernetes_list_type.as_deref(),
                x_kubernetes_list_map_keys,
                path,
            )?,
            open: x_kubernetes_preserve_unknown_fields == Some(true),
            rules: rules(x_kubernetes_validations.unwrap_or_default(), path)?,
        })
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn unknown(path: &str, keyword: &str) -> Failure {
    Failure::new(format!(
        "the definition of {path} says {keyword}, which cannot be checked"
    ))
}

fn kind(name: Option<&str>, path: &str) -> Result<Type, Failure> {
    Ok(match name {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        None => Type::Any,
        Some(other) => return Err(unknown(path, &format!("type: {other}"))),
    })
}

/// The formats that are checked, or bound nothing beyond the type.
fn known_format(format: Option<String>, path: &str) -> Result<Option<String>, Failure> {
    match format.as_deref() {
        None | Some("date-time" | "int32" | "int64") => Ok(format),
        Some(other) => Err(unknown(path, &format!("format: {other}"))),
    }
}

fn list(kind: Option<&str>, keys: Option<Vec<String>>, path: &str) -> Result<List, Failure> {
    Ok(match kind {
        None | Some("atomic") => List::Atomic,
        Some("set") => List::Set,
        Some("map") => List::Map(keys.unwrap_or_default()),
        Some(other) => return Err(unknown(path, &format!("x-kubernetes-list-type: {other}"))),
    })
}

/// The rules of one schema. Those about a change have nothing to say of an object that is declared.
fn rules(rules: Vec<ValidationRule>, path: &str) -> Result<Vec<Rule>, Failure> {
    let mut compiled = Vec::new();
    for rule in rules {
        let ValidationRule {
            field_path,
            message,
            message_expression,
            optional_old_self,
            reason: _,
            rule,
        } = rule;
        if field_path.is_some() || message_expression.is_some() || optional_old_self == Some(true) {
            return Err(unknown(
                path,
                "a rule with fieldPath, messageExpression or optionalOldSelf",
            ));
        }
        let program =
            Program::compile(&rule).map_err(|e| Failure::of(format!("{path}: {rule}"), e))?;
        if program.references().has_variable("oldSelf") {
            continue;
        }
        compiled.push(Rule {
            id: format!("cel/{path}"),
            program,
            message: message.unwrap_or_else(|| format!("must fulfil {rule}")),
        });
    }
    Ok(compiled)
}

/// The schemas of every kind of ours.
#[derive(Debug)]
pub struct Schemas(BTreeMap<String, Node>);

impl Schemas {
    /// Compiles the definitions of this release.
    ///
    /// # Errors
    /// When they say what cannot be checked here.
    pub fn compiled() -> Result<Self, Failure> {
        let mut kinds = BTreeMap::new();
        for (_, definition) in definitions() {
            let CustomResourceDefinition { spec, .. } = definition;
            let version = spec
                .versions
                .into_iter()
                .find(|version| version.name == VERSION);
            let props = version
                .and_then(|version| version.schema)
                .and_then(|schema| schema.open_api_v3_schema)
                .ok_or_else(|| Failure::new(format!("{} has no schema", spec.names.kind)))?;
            kinds.insert(spec.names.kind, Node::compiled(props, "")?);
        }
        Ok(Self(kinds))
    }

    /// The schema of an object, by its `apiVersion` and `kind`.
    pub fn of(&self, api_version: &str, kind: &str) -> Option<&Node> {
        let (group, version) = api_version.split_once('/')?;
        (group == GROUP && version == VERSION)
            .then(|| self.0.get(kind))
            .flatten()
    }

    /// The kinds that there are.
    pub fn kinds(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Every CEL rule, by id, with its message. Rules of one schema share an id.
    pub fn rules(&self) -> BTreeMap<&str, &str> {
        fn gather<'a>(node: &'a Node, found: &mut BTreeMap<&'a str, &'a str>) {
            found.extend(
                node.rules
                    .iter()
                    .map(|rule| (rule.id.as_str(), rule.message.as_str())),
            );
            let inner = node.properties.values();
            let parts = [&node.items, &node.additional].into_iter().flatten();
            for node in inner.chain(parts.map(|node| &**node)) {
                gather(node, found);
            }
        }
        let mut found = BTreeMap::new();
        for node in self.0.values() {
            gather(node, &mut found);
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compiled(schema: Value) -> Result<Node, Failure> {
        Node::compiled(serde_json::from_value(schema).unwrap(), "spec")
    }

    #[test]
    fn all_three_definitions_compile() {
        let schemas = Schemas::compiled().unwrap();
        assert_eq!(schemas.kinds(), ["ScimConnection", "ScimGroup", "ScimUser"]);
        assert!(
            schemas
                .of("scim-operator.io/v1alpha1", "ScimUser")
                .is_some()
        );
        assert!(schemas.of("scim-operator.io/v1", "ScimUser").is_none());
        assert!(schemas.of("example.com/v1alpha1", "ScimUser").is_none());
        assert!(
            schemas
                .of("scim-operator.io/v1alpha1", "ScimRole")
                .is_none()
        );
    }

    #[test]
    fn rules_about_a_change_are_left_out_and_the_others_have_ids() {
        let schemas = Schemas::compiled().unwrap();
        let rules = schemas.rules();
        assert!(rules.contains_key("cel/spec.externalId"), "{rules:?}");
        assert!(
            rules.contains_key("cel/spec.memberSelector.matchExpressions"),
            "{rules:?}"
        );
        assert!(!rules.contains_key("cel/spec.connectionRef"), "{rules:?}");
        assert!(rules.len() >= 9, "{rules:?}");
    }

    #[test]
    fn what_cannot_be_checked_is_said_and_not_passed_over() {
        for (schema, names) in [
            (json!({"type": "object", "allOf": []}), "allOf"),
            (
                json!({"type": "object", "x-kubernetes-embedded-resource": true}),
                "embedded",
            ),
            (json!({"type": "string", "format": "ipv4"}), "ipv4"),
            (json!({"type": "string", "pattern": "("}), "pattern"),
            (json!({"type": "money"}), "money"),
            (
                json!({"type": "array", "x-kubernetes-list-type": "bag"}),
                "bag",
            ),
            (
                json!({"type": "string", "x-kubernetes-validations": [{"rule": "self ="}]}),
                "self =",
            ),
            (
                json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "messageExpression": "'x'"}]}),
                "messageExpression",
            ),
        ] {
            let failure = compiled(schema.clone()).unwrap_err().to_string();
            assert!(failure.contains(names), "{schema}: {failure}");
        }
    }
}
