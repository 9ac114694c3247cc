//! Which object is meant: `KIND/NAME`, by every name that kubectl takes for a kind of ours.
//!
//! The names are read from the definitions, so that a short name that is added there is known here.

use std::str::FromStr;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::{ApiResource, DynamicObject, Object};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::definitions::definitions;

/// A kind of ours, with its names.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// How the API server is asked for it.
    pub resource: ApiResource,
    names: Vec<String>,
}

impl Kind {
    /// All of them, in the order of the definitions: the connection first.
    pub fn all() -> Vec<Self> {
        let of = |(_, definition): (_, CustomResourceDefinition)| {
            let spec = definition.spec;
            let version = spec.versions.first().map(|v| v.name.clone());
            let version = version.unwrap_or_default();
            let names = spec.names;
            let mut known = vec![names.kind.to_lowercase(), names.plural.clone()];
            known.extend(names.singular);
            known.extend(names.short_names.into_iter().flatten());
            known.dedup();
            Self {
                resource: ApiResource {
                    api_version: format!("{}/{version}", spec.group),
                    group: spec.group,
                    version,
                    kind: names.kind,
                    plural: names.plural,
                },
                names: known,
            }
        };
        definitions().map(of).into()
    }

    /// The kind of that name: singular, plural or short, with or without the group behind it, in any case.
    pub fn named(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        Self::all().into_iter().find(|kind| {
            let (bare, group) = word
                .split_once('.')
                .unwrap_or((&word, &kind.resource.group));
            group == kind.resource.group && kind.names.iter().any(|name| name == bare)
        })
    }

    /// Every name that [`Kind::named`] knows it by.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Its objects in one namespace.
    pub fn api(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource)
    }

    /// The connection's kind.
    pub fn connection() -> Self {
        Self::of::<crate::api::ScimConnection>()
    }

    /// The user's kind.
    pub fn user() -> Self {
        Self::of::<crate::api::ScimUser>()
    }

    /// The group's kind.
    pub fn group() -> Self {
        Self::of::<crate::api::ScimGroup>()
    }

    fn of<K: kube::Resource<DynamicType = ()>>() -> Self {
        let resource = ApiResource::erase::<K>(&());
        Self {
            names: vec![resource.kind.to_lowercase(), resource.plural.clone()],
            resource,
        }
    }

    /// Whether both are the same kind, however they were found.
    pub fn is(&self, other: &Self) -> bool {
        self.resource == other.resource
    }
}

/// What of an object is needed to say how it is, and nothing that is a person's.
pub type Seen = Object<SeenSpec, SeenStatus>;

/// See [`Seen`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeenSpec {
    /// The connection that it names.
    pub connection_ref: Option<crate::api::ConnectionRef>,
}

/// See [`Seen`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeenStatus {
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// The reconcile request that was last answered.
    pub last_handled_reconcile_at: Option<String>,
}

/// One object: `KIND/NAME`.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl Target {
    /// A connection, said as `NAME` or as `KIND/NAME`.
    ///
    /// # Errors
    /// When it is another kind, or no name.
    pub fn connection(word: &str) -> Result<Self, String> {
        let target = Self::or_connection(word)?;
        if target.kind.is(&Kind::connection()) {
            Ok(target)
        } else {
            Err("only a ScimConnection can be meant here".into())
        }
    }

    /// `KIND/NAME`, or the `NAME` of a connection.
    ///
    /// # Errors
    /// As [`Target::from_str`].
    pub fn or_connection(word: &str) -> Result<Self, String> {
        if word.contains('/') {
            return word.parse();
        }
        Ok(Self {
            kind: Kind::connection(),
            name: name(word)?,
        })
    }
}

impl FromStr for Target {
    type Err = String;

    /// # Errors
    /// Says what is expected, or which kinds there are.
    fn from_str(word: &str) -> Result<Self, String> {
        let Some((kind, rest)) = word.split_once('/') else {
            return Err("say which kind: KIND/NAME, such as scimuser/ada".into());
        };
        let Some(kind) = Kind::named(kind) else {
            let all = Kind::all();
            let known: Vec<_> = all.iter().map(|k| k.names.join(", ")).collect();
            return Err(format!(
                "there is no such kind; known: {}",
                known.join("; ")
            ));
        };
        Ok(Self {
            kind,
            name: name(rest)?,
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}",
            self.kind.resource.kind.to_lowercase(),
            self.name
        )
    }
}

/// A name that an object can have; another would be another path at the API server.
fn name(word: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !word.is_empty() && word.len() <= 253 && word.chars().all(fits) {
        Ok(word.to_owned())
    } else {
        Err("no object can have that name: lower-case letters, digits, dashes and dots".into())
    }
}

/// Text of an object by a JSON pointer; empty where there is none.
pub fn text<'a>(object: &'a DynamicObject, pointer: &str) -> &'a str {
    let found = object.data.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_every_name_that_kubectl_takes() {
        for (word, kind) in [
            ("scimuser", "ScimUser"),
            ("ScimUser", "ScimUser"),
            ("scimusers", "ScimUser"),
            ("su", "ScimUser"),
            ("scimusers.scim-operator.io", "ScimUser"),
            ("sg", "ScimGroup"),
            ("sconn", "ScimConnection"),
            ("scimconnections", "ScimConnection"),
        ] {
            let found = Kind::named(word).map(|kind| kind.resource.kind);
            assert_eq!(found.as_deref(), Some(kind), "{word}");
        }
        for word in ["user", "", "scimusers.example.com", "secrets"] {
            assert_eq!(Kind::named(word), None, "{word}");
        }
    }

    #[test]
    fn every_name_of_the_definitions_is_known() {
        for (plural, definition) in definitions() {
            let names = definition.spec.names;
            let mut words = vec![names.kind, names.plural];
            words.extend(names.singular);
            words.extend(names.short_names.into_iter().flatten());
            assert!(words.len() >= 3, "{words:?}");
            for word in words {
                assert_eq!(
                    Kind::named(&word).unwrap().resource.plural,
                    plural,
                    "{word}"
                );
            }
        }
    }

    #[test]
    fn the_types_and_the_definitions_say_the_same_resource() {
        for kind in [Kind::connection(), Kind::user(), Kind::group()] {
            let named = Kind::named(&kind.resource.kind).unwrap();
            assert!(kind.is(&named), "{kind:?} {named:?}");
        }
    }

    #[test]
    fn a_target_is_a_kind_and_a_name() {
        let target: Target = "su/ada".parse().unwrap();
        assert_eq!(target.to_string(), "scimuser/ada");
        assert_eq!(
            Target::or_connection("scim").unwrap().to_string(),
            "scimconnection/scim"
        );
        assert!(Target::connection("sconn/scim").is_ok());
        for (word, why) in [
            ("ada", "no kind"),
            ("secret/x", "no kind of ours"),
            ("su/", "no name"),
            ("su/a/b", "a path"),
            ("su/Ada", "a name that none can have"),
        ] {
            assert!(word.parse::<Target>().is_err(), "{why}");
        }
        assert!(Target::connection("su/ada").is_err());
        assert!(Target::or_connection("").is_err());
    }
}
