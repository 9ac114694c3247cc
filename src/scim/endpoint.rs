//! The base URL of a backend, checked once, and the URLs below it.
//!
//! Ids and filter values come from elsewhere and are encoded here, in one
//! place, so that none of them can leave its segment or its parameter.

use reqwest::Url;
use thiserror::Error;

use crate::scim::address;
use crate::scim::error::ScimError;

/// Why a connection cannot be built. No variant repeats the configured text.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The endpoint is not a URL.
    #[error("the endpoint is not a URL")]
    Endpoint,
    /// The endpoint is neither https nor http.
    #[error("the endpoint must start with https://")]
    Scheme,
    /// http without `insecure`.
    #[error("the endpoint is http, which has to be allowed explicitly")]
    Insecure,
    /// The endpoint has a user name, a password, a query or a fragment.
    #[error("the endpoint must have no credentials, no query and no fragment")]
    Parts,
    /// The endpoint is a loopback, link-local or metadata address.
    #[error("the endpoint is a loopback, link-local or metadata address")]
    AddressRefused,
    /// The token is empty or has characters no bearer token has (RFC 6750
    /// §2.1), such as the newline at the end of a file.
    #[error("the token is empty, or has spaces, newlines or other characters a token cannot have")]
    TokenMalformed,
    /// The CA bundle is not PEM, or holds no certificate.
    #[error("the CA bundle holds no PEM certificate")]
    CaBundle(#[source] Option<reqwest::Error>),
    /// TLS could not be set up, for instance without any root certificate.
    #[error("TLS could not be set up")]
    Tls(#[source] reqwest::Error),
}

/// The longest id that is put into a URL, in bytes.
pub(crate) const MAX_ID_LENGTH: usize = 1024;

/// A checked base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Without the final slash.
    base: String,
    https: bool,
}

impl Endpoint {
    /// Checks a base URL; a slash at its end makes no difference.
    ///
    /// # Errors
    /// As [`ConfigError`] says.
    pub fn parse(text: &str, insecure: bool, allow_local: bool) -> Result<Self, ConfigError> {
        let url = Url::parse(text.trim()).map_err(|_| ConfigError::Endpoint)?;
        let https = match url.scheme() {
            "https" => true,
            "http" if insecure => false,
            "http" => return Err(ConfigError::Insecure),
            _ => return Err(ConfigError::Scheme),
        };
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare {
            return Err(ConfigError::Parts);
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(ConfigError::Endpoint)?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        let refused = match literal {
            Ok(ip) => address::is_refused(ip),
            Err(_) => address::is_refused_name(host),
        };
        if refused && !allow_local {
            return Err(ConfigError::AddressRefused);
        }
        Ok(Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            https,
        })
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The URL of a collection or other endpoint (`Users`, `Users/.search`),
    /// with encoded parameters. The names are ours; the values need not be.
    ///
    /// # Errors
    /// None for names that are ours; [`ScimError::UnusableId`] otherwise.
    pub fn url(&self, endpoint: &str, query: &[(&str, String)]) -> Result<Url, ScimError> {
        let mut text = format!("{}/{endpoint}", self.base);
        for (index, (name, value)) in query.iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            encode_into(&mut text, value);
        }
        Url::parse(&text).map_err(|_| ScimError::UnusableId)
    }

    /// The URL of one resource: its id is one path segment, whatever is in it.
    ///
    /// # Errors
    /// [`ScimError::UnusableId`] for an id that would address something else
    /// (empty, `.` or `..`) or is longer than 1,024 bytes.
    pub fn resource_url(&self, endpoint: &str, id: &str) -> Result<Url, ScimError> {
        if matches!(id, "" | "." | "..") || id.len() > MAX_ID_LENGTH {
            return Err(ScimError::UnusableId);
        }
        let mut text = format!("{}/{endpoint}/", self.base);
        encode_into(&mut text, id);
        Url::parse(&text).map_err(|_| ScimError::UnusableId)
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 §2.3). A space
/// is `%20`, never `+`, which not every server decodes.
fn encode_into(text: &mut String, value: &str) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(HEX[usize::from(byte >> 4)]);
            text.push(HEX[usize::from(byte & 0xf)]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_base_path_is_kept_with_and_without_its_slash() {
        for base in [
            "https://a.example/scim/v2",
            "https://a.example/scim/v2/",
            " https://a.example/scim/v2// ",
        ] {
            let endpoint = Endpoint::parse(base, false, false).unwrap();
            let url = endpoint.url("Users", &[("count", "100".into())]).unwrap();
            assert_eq!(url.as_str(), "https://a.example/scim/v2/Users?count=100");
        }
        let bare = Endpoint::parse("https://a.example", false, false).unwrap();
        assert_eq!(
            bare.url("Users", &[]).unwrap().as_str(),
            "https://a.example/Users"
        );
    }

    #[test]
    fn an_id_stays_one_segment() {
        let endpoint = Endpoint::parse("https://a.example/v2/", false, false).unwrap();
        let cases = [
            ("a/b", "a%2Fb"),
            ("../Groups", "..%2FGroups"),
            ("%2e%2e", "%252e%252e"),
            ("x?y=z#f", "x%3Fy%3Dz%23f"),
            ("ada@example.com", "ada%40example.com"),
            ("a\\b", "a%5Cb"),
            ("é\n", "%C3%A9%0A"),
        ];
        for (id, encoded) in cases {
            let url = endpoint.resource_url("Users", id).unwrap();
            assert_eq!(
                url.as_str(),
                format!("https://a.example/v2/Users/{encoded}")
            );
        }
        for id in ["", ".", ".."] {
            assert!(matches!(
                endpoint.resource_url("Users", id),
                Err(ScimError::UnusableId)
            ));
        }
    }

    #[test]
    fn a_filter_value_stays_one_parameter() {
        let endpoint = Endpoint::parse("https://a.example/v2/", false, false).unwrap();
        let url = endpoint
            .url("Users", &[("filter", r#"userName eq "a&b+c""#.into())])
            .unwrap();
        assert_eq!(url.query(), Some("filter=userName%20eq%20%22a%26b%2Bc%22"));
    }

    #[test]
    fn what_is_no_safe_base_url_is_refused() {
        type Check = fn(&ConfigError) -> bool;
        let refused: [(&str, Check); 9] = [
            ("scim", |e| matches!(e, ConfigError::Endpoint)),
            ("ftp://a.example/", |e| matches!(e, ConfigError::Scheme)),
            ("http://a.example/", |e| matches!(e, ConfigError::Insecure)),
            ("https://u:p@a.example/", |e| {
                matches!(e, ConfigError::Parts)
            }),
            ("https://a.example/?a=b", |e| {
                matches!(e, ConfigError::Parts)
            }),
            ("https://a.example/#a", |e| matches!(e, ConfigError::Parts)),
            ("https://127.1/", |e| {
                matches!(e, ConfigError::AddressRefused)
            }),
            ("https://[::1]/", |e| {
                matches!(e, ConfigError::AddressRefused)
            }),
            ("https://metadata.google.internal/", |e| {
                matches!(e, ConfigError::AddressRefused)
            }),
        ];
        for (text, expected) in refused {
            assert!(
                expected(&Endpoint::parse(text, false, false).unwrap_err()),
                "{text}"
            );
        }
        assert!(
            !Endpoint::parse("http://127.0.0.1:8080/", true, true)
                .unwrap()
                .is_https()
        );
    }
}
