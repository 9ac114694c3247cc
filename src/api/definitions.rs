//! The CustomResourceDefinitions as they are installed: what the types say, in words that the API
//! server knows. `crdgen` writes them to files.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{ScimConnection, ScimGroup, ScimUser};

/// One definition a kind, with the plural name of its resource.
pub fn definitions() -> [(&'static str, CustomResourceDefinition); 3] {
    [
        ("scimconnections", ScimConnection::crd()),
        ("scimusers", ScimUser::crd()),
        ("scimgroups", ScimGroup::crd()),
    ]
    .map(|(plural, definition)| (plural, observed_by_nobody(with_known_formats(definition))))
}

/// Lets the API server say of an object without status that no generation of it was observed.
///
/// kstatus, and with it Flux, takes a resource without any condition for current: whoever waits for a user that
/// was just declared would go on before the operator has seen it. A generation that is not the object's own
/// is the one thing that tells it otherwise. `common::observed` reads it as none.
///
/// The description at the top is the spec's: kube writes there by which of its types it was made.
fn observed_by_nobody(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        let Some(root) = schema.and_then(|s| s.open_api_v3_schema.as_mut()) else {
            continue;
        };
        let Some(properties) = &mut root.properties else {
            continue;
        };
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
        if let Some(spec) = properties.get("spec") {
            root.description.clone_from(&spec.description);
        }
    }
    definition
}

/// Spells Rust's integer types as the API server knows them.
///
/// It ignores a format such as `uint32` and warns of it on every install. Ignored, it bounds nothing:
/// a count that no `u32` holds would be stored, and the object could not be decoded any more. So the
/// type's range becomes bounds, wherever the schema has none that are tighter.
fn with_known_formats(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(root) = schema.and_then(|s| s.open_api_v3_schema.as_mut()) {
            respell(root);
        }
    }
    definition
}

fn respell(schema: &mut JSONSchemaProps) {
    let largest = match schema.format.as_deref() {
        Some("uint8") => Some(f64::from(u8::MAX)),
        Some("uint16") => Some(f64::from(u16::MAX)),
        Some("uint32") => Some(f64::from(u32::MAX)),
        _ => None,
    };
    if largest.is_some() || matches!(schema.format.as_deref(), Some("uint" | "uint64")) {
        schema.format = Some("int64".into());
        schema.minimum.get_or_insert(0.0);
        schema.maximum = schema.maximum.or(largest);
    }
    for inner in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        respell(inner);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        respell(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        respell(values);
    }
}
