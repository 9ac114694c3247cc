//! What CybSafe keeps of a user. Source: CybSafe help, "User provisioning with SCIM", and the Entra
//! tutorial; the paths of `employeeType`, `city`, `office`, `businessUnit`, `grade` and `manager` are
//! inferred from bare names and can be overridden by `attributeMapping`.

use super::{Row, Rule};

const fn row(
    attribute: &'static str,
    field: &'static str,
    path: &'static str,
    required: bool,
    rule: Rule,
) -> Row {
    Row {
        attribute,
        field,
        path,
        required,
        rule,
    }
}

/// CybSafe's attributes; anything else sent is dropped there.
pub static TABLE: [Row; 21] = [
    row("userName", "userName", "userName", true, Rule::IgnoringCase),
    row("externalId", "externalId", "externalId", false, Rule::Text),
    row("active", "active", "active", false, Rule::Flag),
    row(
        "emails.work",
        "emails[work].value",
        r#"emails[type eq "work"].value"#,
        true,
        Rule::IgnoringCase,
    ),
    row(
        "emails.work.primary",
        "emails[work].primary",
        r#"emails[type eq "work"].primary"#,
        false,
        Rule::Flag,
    ),
    row(
        "name.givenName",
        "name.givenName",
        "name.givenName",
        true,
        Rule::Text,
    ),
    row(
        "name.familyName",
        "name.familyName",
        "name.familyName",
        true,
        Rule::Text,
    ),
    row(
        "addresses.work.country",
        "addresses[work].country",
        r#"addresses[type eq "work"].country"#,
        true,
        Rule::Country,
    ),
    row(
        "preferredLanguage",
        "preferredLanguage",
        "preferredLanguage",
        true,
        Rule::CybSafeLanguage,
    ),
    row(
        "phoneNumbers.mobile",
        "phoneNumbers[mobile].value",
        r#"phoneNumbers[type eq "mobile"].value"#,
        false,
        Rule::Text,
    ),
    row("locale", "locale", "locale", false, Rule::LanguageTag),
    row(
        "department",
        "enterprise.department",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
        false,
        Rule::Text,
    ),
    row(
        "division",
        "enterprise.division",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division",
        false,
        Rule::Text,
    ),
    row(
        "organization",
        "enterprise.organization",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization",
        false,
        Rule::Text,
    ),
    row(
        "employeeNumber",
        "enterprise.employeeNumber",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber",
        false,
        Rule::Text,
    ),
    row(
        "manager",
        "enterprise.manager",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        false,
        Rule::Text,
    ),
    row(
        "employeeType",
        "employeeType",
        "employeeType",
        false,
        Rule::Text,
    ),
    row("city", "city", "city", false, Rule::Text),
    row("office", "office", "office", false, Rule::Text),
    row(
        "businessUnit",
        "businessUnit",
        "businessUnit",
        false,
        Rule::Text,
    ),
    row("grade", "grade", "grade", false, Rule::Text),
];
