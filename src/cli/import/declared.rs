//! What the cluster has declared already in the namespace that manifests are written for: whose names are taken, and
//! whose accounts. A manifest of the same name would change that resource, and so its person.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Resource, ResourceExt};
use serde_json::Value;

use crate::cli::backend::Backend;
use crate::cli::objects::list_each;
use crate::domain::names::endpoint_hash;

/// What is declared of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    names: BTreeSet<String>,
    by_id: BTreeMap<String, String>,
    asked: bool,
}

impl Declared {
    /// The names that are taken.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// The resource that has the account, or group, of that id.
    pub fn holder_of(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).map(String::as_str)
    }

    /// Whether a resource of that name is declared; where nobody could be asked, it may be.
    pub fn may_have(&self, name: &str) -> bool {
        !self.asked || self.names.contains(name)
    }

    fn take(&mut self, object: &Value, name: &str, connection: &(String, String), backend: &str) {
        self.names.insert(name.to_owned());
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (home, of) = connection;
        let namespace = text("/spec/connectionRef/namespace").or(text("/metadata/namespace"));
        if text("/spec/connectionRef/name") != Some(of) || namespace != Some(home) {
            return;
        }
        let recorded = text("/status/id").filter(|_| text("/status/endpointHash") == Some(backend));
        if let Some(id) = recorded.or(text("/spec/adopt/id")) {
            self.by_id.insert(id.to_owned(), name.to_owned());
        }
    }
}

/// What a namespace of the cluster has of a kind.
///
/// # Errors
/// When the API server does not answer, or may not be asked.
pub async fn declared<K>(
    client: &kube::Client,
    namespace: &str,
    backend: &Backend,
) -> Result<Declared, kube::Error>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    // As they are stored: one that cannot be read is declared all the same.
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let connection = (backend.namespace.clone(), backend.connection.name_any());
    let hash = endpoint_hash(&backend.connection.spec.endpoint);
    let mut declared = Declared {
        asked: true,
        ..Declared::default()
    };
    let listed = list_each(&api, ListParams::default(), |object| {
        let name = object.name_any();
        let value = serde_json::to_value(&object).unwrap_or_default();
        declared.take(&value, &name, &connection, &hash);
    });
    listed.await?;
    Ok(declared)
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// What is declared in a namespace: each a name and what it says.
    pub fn of(objects: &[(&str, Value)]) -> Declared {
        let mut declared = Declared {
            asked: true,
            ..Declared::default()
        };
        let connection = ("identity".to_owned(), "scim".to_owned());
        for (name, object) in objects {
            declared.take(object, name, &connection, "here");
        }
        declared
    }

    #[test]
    fn a_resource_has_the_account_that_it_recorded_at_this_backend_or_is_to_adopt() {
        let of_ours = |spec: Value, status: Value| {
            let mut object = json!({"metadata": {"namespace": "identity"}, "spec": {"connectionRef": {"name": "scim"}}, "status": status});
            if let (Some(all), Some(more)) = (object["spec"].as_object_mut(), spec.as_object()) {
                all.extend(more.clone());
            }
            object
        };
        let declared = of(&[
            (
                "a",
                of_ours(json!({}), json!({"id": "1", "endpointHash": "here"})),
            ),
            (
                "b",
                of_ours(json!({}), json!({"id": "2", "endpointHash": "there"})),
            ),
            ("c", of_ours(json!({"adopt": {"id": "3"}}), json!({}))),
            (
                "d",
                of_ours(
                    json!({"connectionRef": {"name": "other"}, "adopt": {"id": "4"}}),
                    json!({}),
                ),
            ),
        ]);
        let held: Vec<_> = ["1", "2", "3", "4"].map(|id| declared.holder_of(id)).into();
        assert_eq!(held, [Some("a"), None, Some("c"), None]);
        assert_eq!(declared.names().len(), 4);
        assert!(declared.may_have("d") && !declared.may_have("e"));
        assert!(Declared::default().may_have("e"), "nobody was asked");
    }
}
