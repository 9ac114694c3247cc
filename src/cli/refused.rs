//! What the API server refused, in words that help: which right is missing, and nothing that it quotes.

use kube::Error;
use kube::core::ApiResource;
use kube::runtime::watcher;

use super::Failure;
use crate::controller::refusal;

/// What was asked: a verb, of a kind, somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// As a role says it.
    pub verb: &'static str,
    /// Of which kind.
    pub resource: &'a ApiResource,
    /// In which namespace; `None` is all of them.
    pub namespace: Option<&'a str>,
}

impl Asked<'_> {
    /// The failure of a call.
    pub fn failed(self, error: Error) -> Failure {
        let what = self.to_string();
        match error {
            Error::Api(status) if status.code == 401 => {
                Failure::new("the cluster does not accept these credentials (401)")
            }
            Error::Api(status) if status.code == 403 => Failure::new(self.right()),
            // A path that the API server does not know. A name that it does not know is the caller's to tell.
            Error::Api(status) if status.code == 404 && status.details.is_none() => {
                Failure::new(format!(
                    "{what}: the API server knows no such kind: is the operator's chart installed here? (404)"
                ))
            }
            Error::Api(_) | Error::SerdeError(_) | Error::FromUtf8(_) => {
                Failure::new(format!("{what}: {}", refusal::told(&error)))
            }
            // Of connections, TLS and tokens of our own: nobody's object is in it, and its causes say why.
            other => Failure::of(what, other),
        }
    }

    /// The failure of a watch that will not heal: a right that is missing. Others are tried again.
    pub fn watch_failed(self, error: &watcher::Error) -> Option<Failure> {
        let (verb, code) = match error {
            watcher::Error::InitialListFailed(Error::Api(status)) => ("list", status.code),
            watcher::Error::WatchStartFailed(Error::Api(status)) => ("watch", status.code),
            watcher::Error::WatchError(status) => ("watch", status.code),
            _ => return None,
        };
        match code {
            401 => Some(Failure::new(
                "the cluster does not accept these credentials (401)",
            )),
            403 => Some(Failure::new(Self { verb, ..self }.right())),
            _ => None,
        }
    }

    /// The sentence for a right that is missing.
    fn right(self) -> String {
        let ApiResource { plural, group, .. } = self.resource;
        format!(
            "you may not {self}: a role has to allow the verb {} on {plural} of {group} (403)",
            self.verb
        )
    }
}

impl std::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ApiResource { plural, group, .. } = self.resource;
        write!(f, "{} {plural}.{group}", self.verb)?;
        match self.namespace {
            Some(namespace) => write!(f, " in the namespace {namespace}"),
            None => f.write_str(" in all namespaces"),
        }
    }
}

/// Whether it was refused for want of a right.
pub fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 403)
}

/// Whether the object changed since it was looked at.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::cli::kinds::Kind;

    fn said(code: u16, namespace: Option<&str>) -> String {
        let quoted = "scimusers is forbidden: User \"eve@example.com\" cannot";
        let status = Status::failure(quoted, "Forbidden").with_code(code);
        let asked = Asked {
            verb: "list",
            resource: &Kind::user().resource,
            namespace,
        };
        asked.failed(Error::Api(status.boxed())).to_string()
    }

    #[test]
    fn a_right_that_is_missing_is_named_as_a_role_says_it() {
        assert_eq!(
            said(403, Some("identity")),
            "you may not list scimusers.scim-operator.io in the namespace identity: a role has to allow the verb list on scimusers of scim-operator.io (403)"
        );
        assert!(said(403, None).contains("in all namespaces"));
    }

    #[test]
    fn what_the_api_server_quotes_is_not_repeated() {
        for code in [401, 403, 404, 409, 422, 500] {
            let said = said(code, None);
            assert!(!said.contains("eve@"), "{said}");
            assert!(said.contains(&code.to_string()), "{said}");
        }
    }

    #[test]
    fn a_kind_that_is_not_there_asks_for_the_chart() {
        assert!(said(404, None).contains("chart"));
    }
}
