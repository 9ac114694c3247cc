//! The schemas: one table that is published, captured by, and addressed by paths.
//!
//! `attributes` holds the table, `capture` turns a request body into what is stored, `locate`
//! finds the attribute a path names, `publish` prints the discovery documents.

mod attributes;
mod capture;
mod locate;
mod publish;

pub(crate) use attributes::{Attribute, Kind};
pub(crate) use capture::{
    capture, capture_attribute, capture_element, is_of_captured_type, lookup,
};
pub(crate) use locate::{Target, locate, locate_text};
pub(crate) use publish::{resource_types, schemas, service_provider_config};

/// The schema URN of the enterprise extension (RFC 7643 §4.3).
pub(crate) const ENTERPRISE_URN: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// The schema URN of the core user (RFC 7643 §4.1).
pub(crate) const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema URN of the group (RFC 7643 §4.2).
pub(crate) const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The two resource types of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    User,
    Group,
}

impl Resource {
    /// The name in ResourceTypes and `meta.resourceType`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The endpoint relative to the base, without a slash.
    pub(crate) fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    pub(crate) fn urn(self) -> &'static str {
        match self {
            Self::User => USER_URN,
            Self::Group => GROUP_URN,
        }
    }

    /// The attributes of the core schema.
    pub(crate) fn attributes(self) -> &'static [Attribute] {
        match self {
            Self::User => attributes::USER,
            Self::Group => attributes::GROUP,
        }
    }

    /// The attributes of the enterprise extension; none for groups.
    pub(crate) fn extension(self) -> &'static [Attribute] {
        match self {
            Self::User => attributes::ENTERPRISE,
            Self::Group => &[],
        }
    }

    /// The attributes every resource has, outside its schema (RFC 7643 §3.1).
    pub(crate) fn common(self) -> &'static [Attribute] {
        attributes::COMMON
    }
}
