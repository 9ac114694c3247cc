//! How a stored resource is told: the projection, the version, and the faults of replies.

use serde_json::{Map, Value};

use crate::projection::Projection;
use crate::schema::{ENTERPRISE_URN, Resource};
use crate::store::Row;
use crate::{Dialect, Faults};

/// How replies look during one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style<'a> {
    pub(crate) faults: &'a Faults,
    pub(crate) dialect: &'a Dialect,
}

impl Style<'_> {
    /// Appends the resource as JSON; an unbent server needs no copy for it.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        resource: Resource,
        row: &Row,
        projection: &Projection,
    ) {
        if projection.is_all() && !self.dialect.etag && !self.faults.alter_documents() {
            write_json(out, &row.body);
        } else {
            write_json(out, &self.bend(resource, row, projection));
        }
    }

    /// The entity tag of a row, where the dialect has them.
    pub(crate) fn etag(&self, row: &Row) -> Option<String> {
        self.dialect.etag.then(|| format!("W/\"{}\"", row.version))
    }

    fn bend(&self, resource: Resource, row: &Row, projection: &Projection) -> Map<String, Value> {
        let mut document = row.body.clone();
        if let (Some(etag), Some(Value::Object(meta))) = (self.etag(row), document.get_mut("meta"))
        {
            meta.insert("version".to_owned(), etag.into());
        }
        if self.faults.external_id_not_echoed {
            document.remove("externalId");
        }
        if self.faults.omit_members && resource == Resource::Group {
            document.remove("members");
        }
        for name in &self.faults.drop_attribute {
            drop_attribute(&mut document, name);
        }
        let mut document = projection.apply(document);
        if self.faults.stringly_booleans {
            document.values_mut().for_each(stringify_booleans);
        }
        if self.faults.wrong_types {
            mistype(&mut document);
        }
        document
    }
}

/// Appends a value as JSON; writing to memory does not fail.
pub(crate) fn write_json<T: serde::Serialize>(out: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok());
}

fn drop_attribute(document: &mut Map<String, Value>, name: &str) {
    document.retain(|found, _| {
        matches!(found.as_str(), "id" | "schemas") || !found.eq_ignore_ascii_case(name)
    });
    if let Some(Value::Object(extension)) = document.get_mut(ENTERPRISE_URN) {
        extension.retain(|found, _| !found.eq_ignore_ascii_case(name));
    }
}

fn stringify_booleans(value: &mut Value) {
    match value {
        Value::Bool(true) => *value = "True".into(),
        Value::Bool(false) => *value = "False".into(),
        Value::Array(elements) => elements.iter_mut().for_each(stringify_booleans),
        Value::Object(object) => object.values_mut().for_each(stringify_booleans),
        Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn mistype(document: &mut Map<String, Value>) {
    if let Some(active) = document.get_mut("active") {
        *active = i32::from(*active == true).into();
    }
    for name in ["emails", "members"] {
        if let Some(first) = document.get(name).and_then(|found| found.get(0)).cloned() {
            document.insert(name.to_owned(), first);
        }
    }
    if document.contains_key("meta") {
        document.insert("meta".to_owned(), "none".into());
    }
}
