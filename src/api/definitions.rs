//! The CustomResourceDefinitions as they are installed: what the types say, in words that the API
//! server knows. `crdgen` writes them to files.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::{ScimConnection, ScimGroup, ScimUser};

/// One definition a kind, with the plural name of its resource.
pub fn definitions() -> [(&'static str, CustomResourceDefinition); 3] {
    [
        ("scimconnections", ScimConnection::crd()),
        ("scimusers", ScimUser::crd()),
        ("scimgroups", ScimGroup::crd()),
    ]
    .map(|(plural, definition)| (plural, with_known_formats(definition)))
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
