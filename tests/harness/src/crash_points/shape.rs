//! What a request is about, without the ids, names and values in it: what may be printed.

use hyper::Method;

use super::journal::Side;

/// Method and path, `{…}` in place of what is one object's own, and the names of the parameters.
pub fn shape(side: Side, method: &Method, path_and_query: &str) -> String {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, query),
        None => (path_and_query, ""),
    };
    let path = match side {
        Side::Kubernetes => kubernetes(path),
        Side::Backend => backend(path),
    };
    let mut names: Vec<&str> = query
        .split('&')
        .filter_map(|parameter| parameter.split('=').next())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    let watch = names.contains(&"watch");
    match (side, names.is_empty()) {
        (_, true) => format!("{method} {path}"),
        (Side::Kubernetes, _) if watch => format!("WATCH {path}"),
        (Side::Kubernetes, _) => format!("{method} {path}"),
        (Side::Backend, _) => format!("{method} {path}?{}", names.join("&")),
    }
}

/// `/apis/scim-operator.io/v1alpha1/namespaces/x/scimusers/ada/status` → `scimusers/ada/status`.
///
/// Names of our own kinds stay: they are the scenario's, say whom a point is about, and name nobody.
fn kubernetes(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let resource = match parts.as_slice() {
        ["api", _version, rest @ ..] | ["apis", _, _version, rest @ ..] => rest,
        other => other,
    };
    let resource = match resource {
        ["namespaces", _namespace, rest @ ..] if !rest.is_empty() => rest,
        other => other,
    };
    match resource {
        ["events", _name, ..] => "events/{name}".to_owned(),
        other => other.join("/"),
    }
}

/// `/Users/2819c223` → `/Users/{id}`.
fn backend(path: &str) -> String {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some(kind @ ("Users" | "Groups")), Some(_id)) => format!("/{kind}/{{id}}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_names_no_account_and_no_value() {
        for (side, path, expected) in [
            (
                Side::Backend,
                "/Users?filter=userName%20eq%20%22ada%22&count=2",
                "GET /Users?count&filter",
            ),
            (Side::Backend, "/Groups/17", "GET /Groups/{id}"),
            (
                Side::Backend,
                "/ServiceProviderConfig",
                "GET /ServiceProviderConfig",
            ),
            (
                Side::Kubernetes,
                "/apis/scim-operator.io/v1alpha1/namespaces/identity/scimusers/ada/status?",
                "GET scimusers/ada/status",
            ),
            (
                Side::Kubernetes,
                "/apis/scim-operator.io/v1alpha1/scimusers?&watch=true&timeoutSeconds=290",
                "WATCH scimusers",
            ),
            (
                Side::Kubernetes,
                "/api/v1/namespaces?limit=500",
                "GET namespaces",
            ),
            (
                Side::Kubernetes,
                "/apis/events.k8s.io/v1/namespaces/identity/events/ada.17",
                "GET events/{name}",
            ),
            (Side::Kubernetes, "/version", "GET version"),
        ] {
            assert_eq!(shape(side, &Method::GET, path), expected);
        }
    }
}
