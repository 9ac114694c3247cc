//! One object at a time: what the API server says of it, and its spec as the operator reads it, where it can.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::cel::Evaluator;
use super::finding::{Fault, FieldPath, Trail};
use super::metadata;
use super::schema::{Node, Schemas};
use super::structure;
use crate::api::{ScimConnectionSpec, ScimGroupSpec, ScimUserSpec};
use crate::cli::Failure;

/// A spec, as the operator reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// Of a ScimConnection.
    Connection(Box<ScimConnectionSpec>),
    /// Of a ScimUser.
    User(Box<ScimUserSpec>),
    /// Of a ScimGroup.
    Group(Box<ScimGroupSpec>),
}

/// Judges objects as the API server would on their creation, with `fieldValidation=Strict`.
pub struct ApiServer {
    schemas: Schemas,
    metadata: Node,
    rules: Evaluator,
}

impl ApiServer {
    /// One that knows the definitions of this release.
    ///
    /// # Errors
    /// When they say what cannot be checked here.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            schemas: Schemas::compiled()?,
            metadata: metadata::schema()?,
            rules: Evaluator::default(),
        })
    }

    /// The definitions.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Everything that the API server says against an object of ours, and the object's spec with defaults, if the
    /// operator can read it.
    pub fn judge(&self, object: &Value) -> (Vec<Fault>, Option<Spec>) {
        let text = |field: &str| {
            object
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let kind = text("kind");
        let Some(schema) = self.schemas.of(text("apiVersion"), kind) else {
            let path = FieldPath::spelt("kind");
            let message = format!(
                "is not known in this version; there are {}",
                self.schemas.kinds().join(", ")
            );
            return (vec![Fault::error(path, "schema/kind", message)], None);
        };
        let mut found = Vec::new();
        metadata::check(&self.metadata, object, &mut found);
        let mut object = without_head(object);
        structure::fill_in(schema, &mut object);
        structure::unknown_fields(schema, &object, &Trail::ROOT, &mut found);
        if let Value::Object(fields) = &mut object {
            // Nobody but the operator writes a status: that of a create is dropped.
            fields.remove("status");
        }
        let before = found.len();
        structure::check(schema, &object, &Trail::ROOT, &mut found);
        let broken: Vec<FieldPath> = found
            .iter()
            .skip(before)
            .map(|fault| fault.field.clone())
            .collect();
        self.rules.check(schema, &object, &broken, &mut found);

        let spec = object.get_mut("spec").map(Value::take).unwrap_or_default();
        let spec = match kind {
            "ScimConnection" => read(spec).map(Spec::Connection),
            "ScimUser" => read(spec).map(Spec::User),
            _ => read(spec).map(Spec::Group),
        };
        if spec.is_none() && broken.is_empty() {
            let message =
                "is nothing that the operator can read, though the API server would take it";
            found.push(Fault::error(
                FieldPath::spelt("spec"),
                "operator/unreadable",
                message,
            ));
        }
        (found, spec)
    }
}

/// The object without what every kind has.
fn without_head(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let kept =
        fields.filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    Value::Object(
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

fn read<T: DeserializeOwned>(spec: Value) -> Option<Box<T>> {
    serde_json::from_value(spec).ok().map(Box::new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, spec: Value) -> Value {
        json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": kind, "metadata": {"name": "it"}, "spec": spec})
    }

    fn rules(object: &Value) -> Vec<String> {
        let (found, _) = ApiServer::new().unwrap().judge(object);
        found
            .iter()
            .map(|f| format!("{} {}", f.rule, f.field))
            .collect()
    }

    fn user(change: Value) -> Value {
        let mut spec = json!({"connectionRef": {"name": "c"}, "userName": "ada@example.com"});
        spec.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        object("ScimUser", spec)
    }

    #[test]
    fn a_good_object_of_each_kind_is_read_with_its_defaults() {
        let server = ApiServer::new().unwrap();
        let connection =
            json!({"endpoint": "https://a.example.com", "tokenSecretRef": {"name": "t"}});
        let (found, spec) = server.judge(&object("ScimConnection", connection));
        assert_eq!(found, Vec::new());
        assert!(matches!(spec, Some(Spec::Connection(c)) if c.token_secret_ref.key == "token"));
        let (found, spec) = server.judge(&user(json!({})));
        assert_eq!(found, Vec::new());
        assert!(matches!(spec, Some(Spec::User(u)) if u.active));
        let group = json!({"connectionRef": {"name": "c"}, "displayName": "Engineering"});
        let (found, spec) = server.judge(&object("ScimGroup", group));
        assert_eq!(found, Vec::new());
        assert!(matches!(spec, Some(Spec::Group(_))));
    }

    #[test]
    fn everything_is_said_at_once() {
        let mut bad = user(
            json!({"active": "yes", "externalId": "12", "nickName": "A", "emails": [{"value": "a@b.c"}]}),
        );
        bad["metadata"] = json!({"name": "It", "labels": {"a": 1}});
        assert_eq!(
            rules(&bad),
            [
                "schema/type metadata.labels.a",
                "metadata/name metadata.name",
                "schema/unknown spec.nickName",
                "schema/type spec.active",
                "schema/required spec.emails[0].type",
                "cel/spec.externalId spec.externalId",
            ]
        );
    }

    #[test]
    #[rustfmt::skip] // One case a line.
    fn the_head_of_an_object_is_judged() {
        for (change, expected) in [
            (json!({"kind": "ScimRole"}), ["schema/kind kind"].as_slice()),
            (json!({"apiVersion": "scim-operator.io/v1"}), &["schema/kind kind"]),
            (json!({"spec": null}), &["schema/required spec"]),
            (json!({"spec": "x"}), &["schema/type spec"]),
            (json!({"specs": {}}), &["schema/unknown specs"]),
            (json!({"status": {"id": 5}}), &[]),
            (json!({"status": {"ids": 5}}), &["schema/unknown status.ids"]),
        ] {
            let mut object = user(json!({}));
            object.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            assert_eq!(rules(&object), expected, "{change}");
        }
    }

    #[test]
    fn what_the_api_server_takes_and_the_operator_cannot_read_is_an_error() {
        assert_eq!(
            rules(&user(json!({"validUntil": ["2027"]}))),
            ["operator/unreadable spec"]
        );
    }
}
