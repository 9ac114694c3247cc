//! From a path to the attribute it names (RFC 7644 §3.5.2, §3.9, §3.10).

use scim_v2::filter::AttrPath;

use super::{Attribute, ENTERPRISE_URN, Resource, lookup};

/// What a path points at, inside a resource.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// The enterprise extension as a whole.
    Extension,
    /// An attribute, or one of its sub-attributes.
    Attribute {
        in_extension: bool,
        attribute: &'static Attribute,
        sub: Option<&'static Attribute>,
    },
}

/// The target of a parsed path; `None` when CybSafe has no such attribute.
pub(crate) fn locate(resource: Resource, path: &AttrPath) -> Option<Target> {
    let AttrPath {
        uri,
        name,
        sub_attr,
    } = path;
    let (in_extension, attribute) = match uri.as_deref() {
        None => (false, core(resource, name)?),
        Some(uri) if uri.eq_ignore_ascii_case(resource.urn()) => (false, core(resource, name)?),
        Some(uri) if uri.eq_ignore_ascii_case(ENTERPRISE_URN) => {
            (true, lookup(resource.extension(), name)?)
        }
        Some(uri) if is_extension(resource, uri, name, sub_attr.as_deref()) => {
            return Some(Target::Extension);
        }
        Some(_) => return None,
    };
    let sub = match sub_attr {
        None => None,
        Some(sub) => Some(lookup(attribute.sub_attributes(), sub)?),
    };
    Some(Target::Attribute {
        in_extension,
        attribute,
        sub,
    })
}

/// The target of a path as text, as `attributes` lists it.
pub(crate) fn locate_text(resource: Resource, text: &str) -> Option<Target> {
    let (uri, rest) = match text.rsplit_once(':') {
        Some((uri, rest)) => (Some(uri.to_owned()), rest),
        None => (None, text),
    };
    let (name, sub_attr) = match rest.split_once('.') {
        Some((name, sub)) => (name, Some(sub.to_owned())),
        None => (rest, None),
    };
    locate(
        resource,
        &AttrPath {
            uri,
            name: name.to_owned(),
            sub_attr,
        },
    )
}

fn core(resource: Resource, name: &str) -> Option<&'static Attribute> {
    lookup(resource.attributes(), name).or_else(|| lookup(resource.common(), name))
}

/// The bare URN of the extension parses as a URI and the attribute `User`.
fn is_extension(resource: Resource, uri: &str, name: &str, sub: Option<&str>) -> bool {
    let whole = ENTERPRISE_URN
        .rsplit_once(':')
        .is_some_and(|(front, back)| {
            uri.eq_ignore_ascii_case(front) && name.eq_ignore_ascii_case(back)
        });
    whole && sub.is_none() && !resource.extension().is_empty()
}
