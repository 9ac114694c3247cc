//! `attributes` and `excludedAttributes` (RFC 7644 §3.9): which parts of a resource are returned.

use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::schema::{ENTERPRISE_URN, Resource, Target, locate_text};

/// What the client asked to see.
#[derive(Debug, Clone, Default)]
pub(crate) enum Projection {
    #[default]
    All,
    Only(Vec<Target>),
    Without(Vec<Target>),
}

impl Projection {
    /// Reads the two lists; names CybSafe does not know select nothing.
    ///
    /// # Errors
    /// 400 invalidValue when both are given, for they are mutually exclusive.
    pub(crate) fn parse(
        resource: Resource,
        attributes: &[String],
        excluded: &[String],
    ) -> Result<Self, ScimError> {
        let targets = |names: &[String]| {
            names
                .iter()
                .filter_map(|name| locate_text(resource, name.trim()))
                .collect()
        };
        match (attributes.is_empty(), excluded.is_empty()) {
            (true, true) => Ok(Self::All),
            (false, true) => Ok(Self::Only(targets(attributes))),
            (true, false) => Ok(Self::Without(targets(excluded))),
            (false, false) => Err(ScimError::invalid_value(
                "attributes and excludedAttributes are mutually exclusive",
            )),
        }
    }

    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Cuts a document down; `id` and `schemas` are always returned.
    pub(crate) fn apply(&self, document: Map<String, Value>) -> Map<String, Value> {
        match self {
            Self::All => document,
            Self::Only(targets) => only(&document, targets),
            Self::Without(targets) => without(document, targets),
        }
    }
}

fn only(document: &Map<String, Value>, targets: &[Target]) -> Map<String, Value> {
    let mut kept = Map::new();
    for name in ["id", "schemas"] {
        copy(document, &mut kept, name);
    }
    for target in targets {
        match *target {
            Target::Extension => copy(document, &mut kept, ENTERPRISE_URN),
            Target::Attribute {
                in_extension: true,
                attribute,
                ..
            } => {
                let Some(Value::Object(extension)) = document.get(ENTERPRISE_URN) else {
                    continue;
                };
                if !extension.contains_key(attribute.name) {
                    continue;
                }
                let slot = kept
                    .entry(ENTERPRISE_URN)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(slot) = slot {
                    copy(extension, slot, attribute.name);
                }
            }
            Target::Attribute {
                attribute,
                sub: None,
                ..
            } => {
                copy(document, &mut kept, attribute.name);
            }
            Target::Attribute {
                attribute,
                sub: Some(sub),
                ..
            } => {
                let Some(found) = document.get(attribute.name) else {
                    continue;
                };
                let slot = kept.entry(attribute.name).or_insert_with(|| match found {
                    Value::Array(elements) => {
                        vec![Value::Object(Map::new()); elements.len()].into()
                    }
                    _ => Value::Object(Map::new()),
                });
                for (from, to) in objects(found).zip(objects_mut(slot)) {
                    copy(from, to, sub.name);
                }
            }
        }
    }
    kept
}

fn without(mut document: Map<String, Value>, targets: &[Target]) -> Map<String, Value> {
    for target in targets {
        match *target {
            Target::Extension => {
                document.remove(ENTERPRISE_URN);
            }
            Target::Attribute { attribute, .. } if matches!(attribute.name, "id" | "schemas") => {}
            Target::Attribute {
                in_extension,
                attribute,
                sub,
            } => {
                let slot = match (in_extension, document.get_mut(ENTERPRISE_URN)) {
                    (true, Some(Value::Object(extension))) => extension,
                    (true, _) => continue,
                    (false, _) => &mut document,
                };
                match (sub, slot.get_mut(attribute.name)) {
                    (Some(sub), Some(found)) => {
                        for object in objects_mut(found) {
                            object.remove(sub.name);
                        }
                    }
                    _ => {
                        slot.remove(attribute.name);
                    }
                }
            }
        }
    }
    document
}

fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, name: &str) {
    if let Some(value) = from.get(name) {
        to.insert(name.to_owned(), value.clone());
    }
}

/// The objects of a complex attribute: its elements, or itself.
fn objects(value: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    let elements = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    elements.iter().filter_map(Value::as_object)
}

fn objects_mut(value: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let elements = match value {
        Value::Array(elements) => elements.as_mut_slice(),
        single => std::slice::from_mut(single),
    };
    elements.iter_mut().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(attributes: &[&str], excluded: &[&str]) -> Value {
        let document = json!({
            "id": "1", "schemas": ["s"], "userName": "ada", "meta": {"location": "l"},
            "name": {"givenName": "Ada", "familyName": "L"},
            "emails": [{"type": "work", "value": "a"}],
            ENTERPRISE_URN: {"department": "d", "division": "v"},
        });
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let projection =
            Projection::parse(Resource::User, &owned(attributes), &owned(excluded)).unwrap();
        Value::Object(projection.apply(document.as_object().unwrap().clone()))
    }

    #[test]
    fn attributes_select_and_always_keep_id_and_schemas() {
        let department = format!("{ENTERPRISE_URN}:department");
        assert_eq!(
            shown(
                &[
                    "USERNAME",
                    "name.givenName",
                    "emails.value",
                    &department,
                    "nickName"
                ],
                &[]
            ),
            json!({
                "id": "1", "schemas": ["s"], "userName": "ada", "name": {"givenName": "Ada"},
                "emails": [{"value": "a"}], ENTERPRISE_URN: {"department": "d"},
            })
        );
        assert_eq!(
            shown(&["nickName"], &[]),
            json!({"id": "1", "schemas": ["s"]})
        );
    }

    #[test]
    fn excluded_attributes_are_left_out_but_never_id() {
        let department = format!("{ENTERPRISE_URN}:department");
        assert_eq!(
            shown(
                &[],
                &["id", "meta", "emails", "name.familyName", &department]
            ),
            json!({
                "id": "1", "schemas": ["s"], "userName": "ada", "name": {"givenName": "Ada"},
                ENTERPRISE_URN: {"division": "v"},
            })
        );
        assert_eq!(shown(&[], &[ENTERPRISE_URN]).get(ENTERPRISE_URN), None);
    }
}
