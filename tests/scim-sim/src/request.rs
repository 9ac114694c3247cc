//! What a request asks for: the endpoint and the query (RFC 7644 §3.2, §3.4.2).

use serde_json::Value;

use crate::error::ScimError;
use crate::schema::Resource;

const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What a path below the base names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Collection(Resource),
    Search(Resource),
    Item(Resource, String),
    ServiceProviderConfig,
    ResourceTypes(Option<String>),
    Schemas(Option<String>),
    Bulk,
    Unknown,
}

impl Endpoint {
    /// `path` starts after the base, with its slash.
    pub(crate) fn parse(path: &str) -> Self {
        let path = path.trim_matches('/');
        let (head, rest) = match path.split_once('/') {
            Some((head, rest)) => (head, Some(rest)),
            None => (path, None),
        };
        let resource = match head {
            "Users" => Resource::User,
            "Groups" => Resource::Group,
            "ServiceProviderConfig" if rest.is_none() => return Self::ServiceProviderConfig,
            "ResourceTypes" => return Self::ResourceTypes(rest.map(percent_decode)),
            "Schemas" => return Self::Schemas(rest.map(percent_decode)),
            "Bulk" if rest.is_none() => return Self::Bulk,
            _ => return Self::Unknown,
        };
        match rest {
            None => Self::Collection(resource),
            Some(".search") => Self::Search(resource),
            Some(id) if !id.contains('/') => Self::Item(resource, percent_decode(id)),
            Some(_) => Self::Unknown,
        }
    }

    /// The name under which requests are counted.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Collection(Resource::User) => "/Users",
            Self::Collection(Resource::Group) => "/Groups",
            Self::Search(Resource::User) => "/Users/.search",
            Self::Search(Resource::Group) => "/Groups/.search",
            Self::Item(Resource::User, _) => "/Users/{id}",
            Self::Item(Resource::Group, _) => "/Groups/{id}",
            Self::ServiceProviderConfig => "/ServiceProviderConfig",
            Self::ResourceTypes(_) => "/ResourceTypes",
            Self::Schemas(_) => "/Schemas",
            Self::Bulk => "/Bulk",
            Self::Unknown => "other",
        }
    }

    pub(crate) fn is_discovery(&self) -> bool {
        matches!(
            self,
            Self::ServiceProviderConfig | Self::ResourceTypes(_) | Self::Schemas(_)
        )
    }
}

/// The parameters of a query, from the URL or from a SearchRequest body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) filter: Option<String>,
    /// 1-based; below 1 counts as 1 (RFC 7644 §3.4.2.4).
    pub(crate) start_index: Option<i64>,
    /// Negative counts as 0.
    pub(crate) count: Option<i64>,
    pub(crate) attributes: Vec<String>,
    pub(crate) excluded_attributes: Vec<String>,
}

impl Query {
    /// Reads a URL query; unknown parameters are ignored.
    ///
    /// # Errors
    /// 400 invalidValue when `startIndex` or `count` is no integer.
    pub(crate) fn from_url(raw: &str) -> Result<Self, ScimError> {
        let mut query = Self::default();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(&value.replace('+', " "));
            let names = || {
                value
                    .split(',')
                    .map(str::to_owned)
                    .filter(|n| !n.is_empty())
                    .collect()
            };
            match percent_decode(name).to_ascii_lowercase().as_str() {
                "filter" => query.filter = Some(value),
                "startindex" => query.start_index = Some(integer(&value)?),
                "count" => query.count = Some(integer(&value)?),
                "attributes" => query.attributes = names(),
                "excludedattributes" => query.excluded_attributes = names(),
                _ => {}
            }
        }
        Ok(query)
    }

    /// Reads a SearchRequest (RFC 7644 §3.4.3).
    ///
    /// # Errors
    /// 400 invalidSyntax when the message is another one, 400 invalidValue for a wrong type.
    pub(crate) fn from_search(body: &Value) -> Result<Self, ScimError> {
        let is_search = body["schemas"]
            .as_array()
            .is_some_and(|urns| urns.iter().any(|urn| urn == SEARCH_URN));
        if !is_search {
            return Err(ScimError::invalid_syntax(format!(
                "schemas must name {SEARCH_URN}"
            )));
        }
        let wrong = |name: &str| ScimError::invalid_value(format!("{name} has the wrong type"));
        let number = |name: &str| match &body[name] {
            Value::Null => Ok(None),
            found => found.as_i64().map(Some).ok_or_else(|| wrong(name)),
        };
        let names = |name: &str| match &body[name] {
            Value::Null => Ok(Vec::new()),
            Value::Array(names) => names
                .iter()
                .map(|found| found.as_str().map(str::to_owned).ok_or_else(|| wrong(name)))
                .collect(),
            _ => Err(wrong(name)),
        };
        let filter = match &body["filter"] {
            Value::Null => None,
            Value::String(filter) => Some(filter.clone()),
            _ => return Err(wrong("filter")),
        };
        Ok(Self {
            filter,
            start_index: number("startIndex")?,
            count: number("count")?,
            attributes: names("attributes")?,
            excluded_attributes: names("excludedAttributes")?,
        })
    }
}

fn integer(text: &str) -> Result<i64, ScimError> {
    text.parse()
        .map_err(|_| ScimError::invalid_value("startIndex and count must be integers"))
}

/// Decodes `%XX`; what is malformed stays as it is.
fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match hex
            .filter(|_| *byte == b'%')
            .map(|hex| u8::from_str_radix(hex, 16))
        {
            Some(Ok(value)) => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let raw =
            "filter=userName%20eq+%22a%2Bb%40c%22&STARTINDEX=3&count=-1&attributes=id,userName&x=1";
        let query = Query::from_url(raw).unwrap();
        assert_eq!(query.filter.as_deref(), Some("userName eq \"a+b@c\""));
        assert_eq!((query.start_index, query.count), (Some(3), Some(-1)));
        assert_eq!(query.attributes, ["id", "userName"]);
        assert!(Query::from_url("count=ten").is_err());
    }

    #[test]
    fn endpoints_are_told_apart() {
        assert_eq!(
            Endpoint::parse("/Users"),
            Endpoint::Collection(Resource::User)
        );
        assert_eq!(
            Endpoint::parse("/Groups/.search"),
            Endpoint::Search(Resource::Group)
        );
        let item = Endpoint::Item(Resource::User, "a@b".to_owned());
        assert_eq!(Endpoint::parse("/Users/a%40b"), item);
        assert_eq!(Endpoint::parse("/users"), Endpoint::Unknown);
        assert_eq!(Endpoint::parse("/Users/a/b"), Endpoint::Unknown);
    }
}
