//! The attributes CybSafe captures, and nothing else.
//!
//! Source: CybSafe help, "User provisioning with SCIM"; the paths of employeeType, city, office,
//! businessUnit, grade and manager are inferred, for the help gives bare names only.

use crate::rules::PREFERRED_LANGUAGES;

/// The type of an attribute (RFC 7643 §2.3).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Boolean,
    Complex(&'static [Attribute]),
}

/// One attribute with its characteristics (RFC 7643 §2.2, §7).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) multi_valued: bool,
    pub(crate) required: bool,
    pub(crate) case_exact: bool,
    pub(crate) read_only: bool,
    pub(crate) unique: bool,
    /// The values offered; for a `type`, elements of any other type are not captured.
    pub(crate) canonical: &'static [&'static str],
    pub(crate) description: &'static str,
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self {
            name,
            kind,
            multi_valued: false,
            required: false,
            case_exact: false,
            read_only: false,
            unique: false,
            canonical: &[],
            description,
        }
    }

    const fn text(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Text, description)
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn multi_valued(mut self) -> Self {
        self.multi_valued = true;
        self
    }

    const fn case_exact(mut self) -> Self {
        self.case_exact = true;
        self
    }

    const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    const fn canonical(mut self, values: &'static [&'static str]) -> Self {
        self.canonical = values;
        self
    }

    /// The sub-attributes; none when the attribute is simple.
    pub(crate) fn sub_attributes(&self) -> &'static [Attribute] {
        match self.kind {
            Kind::Complex(sub_attributes) => sub_attributes,
            Kind::Text | Kind::Boolean => &[],
        }
    }
}

const PRIMARY: Attribute = Attribute::new("primary", Kind::Boolean, "Whether it is preferred.");

pub(super) const USER: &[Attribute] = &[
    Attribute::text("userName", "Usually the primary work e-mail.")
        .required()
        .unique(),
    Attribute::new("name", Kind::Complex(NAME), "The person's name.").required(),
    Attribute::new("emails", Kind::Complex(EMAIL), "The work e-mail.")
        .required()
        .multi_valued(),
    Attribute::new("addresses", Kind::Complex(ADDRESS), "The country of work.")
        .required()
        .multi_valued(),
    Attribute::text(
        "preferredLanguage",
        "The language of messages, in CybSafe's spelling.",
    )
    .required()
    .case_exact()
    .canonical(PREFERRED_LANGUAGES),
    Attribute::new(
        "active",
        Kind::Boolean,
        "False, or absent, archives the user.",
    ),
    Attribute::new("phoneNumbers", Kind::Complex(PHONE), "The mobile phone.").multi_valued(),
    Attribute::text("locale", "The default location for localizing."),
    Attribute::text("employeeType", "Used in CybSafe's reporting."),
    Attribute::text("city", "Captured, not used in reporting."),
    Attribute::text("office", "Captured, not used in reporting."),
    Attribute::text("businessUnit", "Captured, not used in reporting."),
    Attribute::text("grade", "Captured, not used in reporting."),
];

const NAME: &[Attribute] = &[
    Attribute::text("givenName", "The first name.").required(),
    Attribute::text("familyName", "The last name.").required(),
];

const EMAIL: &[Attribute] = &[
    Attribute::text("value", "The address.").required(),
    Attribute::text("type", "Only work is captured.").canonical(&["work"]),
    PRIMARY,
];

const ADDRESS: &[Attribute] = &[
    Attribute::text("country", "ISO 3166-1 alpha-2.").required(),
    Attribute::text("type", "Only work is captured.").canonical(&["work"]),
    PRIMARY,
];

const PHONE: &[Attribute] = &[
    Attribute::text("value", "The number.").required(),
    Attribute::text("type", "Only mobile is captured.").canonical(&["mobile"]),
    PRIMARY,
];

pub(super) const ENTERPRISE: &[Attribute] = &[
    Attribute::text("employeeNumber", "Used in CybSafe's reporting."),
    Attribute::text("department", "Filters dashboards and groups."),
    Attribute::text("division", "Filters dashboards and groups."),
    Attribute::text("organization", "Filters dashboards and groups."),
    Attribute::new("manager", Kind::Complex(MANAGER), "The person's manager."),
];

const MANAGER: &[Attribute] = &[Attribute::text("value", "The manager's id.").case_exact()];

pub(super) const GROUP: &[Attribute] = &[
    Attribute::text("displayName", "The name of the group; not unique.").required(),
    Attribute::new("members", Kind::Complex(MEMBER), "The users of the group.").multi_valued(),
];

const MEMBER: &[Attribute] = &[Attribute::text("value", "The id of the user.")
    .required()
    .case_exact()];

pub(super) const COMMON: &[Attribute] = &[
    Attribute::text("externalId", "The id of the provisioning client.").case_exact(),
    Attribute::text("id", "The id of the server.")
        .case_exact()
        .read_only(),
    Attribute::text("schemas", "The schemas in use.")
        .multi_valued()
        .read_only(),
    Attribute::new("meta", Kind::Complex(META), "Kept by the server.").read_only(),
];

const META: &[Attribute] = &[
    Attribute::text("resourceType", "").read_only(),
    Attribute::text("created", "").read_only(),
    Attribute::text("lastModified", "").read_only(),
    Attribute::text("location", "").read_only(),
    Attribute::text("version", "").read_only(),
];
