//! RFC 7643's User (§4.1) and Enterprise User (§4.3), as far as a ScimUser can say it. `employeeType`
//! goes to `userType`, which §4.1.1 defines as just that. `city`, `office`, `businessUnit` and `grade`
//! have no place in the RFC: a connection may give them one by `attributeMapping`.

use super::{Row, Rule};

const fn row(attribute: &'static str, field: &'static str, path: &'static str, required: bool, rule: Rule) -> Row {
    Row { attribute, field, path, required, rule }
}

/// The attributes of the RFC; only `userName` is required by it (§4.1.1).
pub static TABLE: [Row; 42] = [
    row("userName", "userName", "userName", true, Rule::IgnoringCase),
    row("externalId", "externalId", "externalId", false, Rule::Text),
    row("active", "active", "active", false, Rule::Flag),
    row("name.givenName", "name.givenName", "name.givenName", false, Rule::Text),
    row("name.familyName", "name.familyName", "name.familyName", false, Rule::Text),
    row("displayName", "displayName", "displayName", false, Rule::Text),
    row("title", "title", "title", false, Rule::Text),
    row("emails.work", "emails[work].value", r#"emails[type eq "work"].value"#, false, Rule::IgnoringCase),
    row("emails.work.primary", "emails[work].primary", r#"emails[type eq "work"].primary"#, false, Rule::Flag),
    row("emails.home", "emails[home].value", r#"emails[type eq "home"].value"#, false, Rule::IgnoringCase),
    row("emails.home.primary", "emails[home].primary", r#"emails[type eq "home"].primary"#, false, Rule::Flag),
    row("emails.other", "emails[other].value", r#"emails[type eq "other"].value"#, false, Rule::IgnoringCase),
    row("emails.other.primary", "emails[other].primary", r#"emails[type eq "other"].primary"#, false, Rule::Flag),
    row("phoneNumbers.work", "phoneNumbers[work].value", r#"phoneNumbers[type eq "work"].value"#, false, Rule::Text),
    row("phoneNumbers.home", "phoneNumbers[home].value", r#"phoneNumbers[type eq "home"].value"#, false, Rule::Text),
    row("phoneNumbers.mobile", "phoneNumbers[mobile].value", r#"phoneNumbers[type eq "mobile"].value"#, false, Rule::Text),
    row("phoneNumbers.fax", "phoneNumbers[fax].value", r#"phoneNumbers[type eq "fax"].value"#, false, Rule::Text),
    row("phoneNumbers.pager", "phoneNumbers[pager].value", r#"phoneNumbers[type eq "pager"].value"#, false, Rule::Text),
    row("phoneNumbers.other", "phoneNumbers[other].value", r#"phoneNumbers[type eq "other"].value"#, false, Rule::Text),
    row("addresses.work.streetAddress", "addresses[work].streetAddress", r#"addresses[type eq "work"].streetAddress"#, false, Rule::Text),
    row("addresses.work.locality", "addresses[work].locality", r#"addresses[type eq "work"].locality"#, false, Rule::Text),
    row("addresses.work.region", "addresses[work].region", r#"addresses[type eq "work"].region"#, false, Rule::Text),
    row("addresses.work.postalCode", "addresses[work].postalCode", r#"addresses[type eq "work"].postalCode"#, false, Rule::Text),
    row("addresses.work.country", "addresses[work].country", r#"addresses[type eq "work"].country"#, false, Rule::Country),
    row("addresses.home.streetAddress", "addresses[home].streetAddress", r#"addresses[type eq "home"].streetAddress"#, false, Rule::Text),
    row("addresses.home.locality", "addresses[home].locality", r#"addresses[type eq "home"].locality"#, false, Rule::Text),
    row("addresses.home.region", "addresses[home].region", r#"addresses[type eq "home"].region"#, false, Rule::Text),
    row("addresses.home.postalCode", "addresses[home].postalCode", r#"addresses[type eq "home"].postalCode"#, false, Rule::Text),
    row("addresses.home.country", "addresses[home].country", r#"addresses[type eq "home"].country"#, false, Rule::Country),
    row("addresses.other.streetAddress", "addresses[other].streetAddress", r#"addresses[type eq "other"].streetAddress"#, false, Rule::Text),
    row("addresses.other.locality", "addresses[other].locality", r#"addresses[type eq "other"].locality"#, false, Rule::Text),
    row("addresses.other.region", "addresses[other].region", r#"addresses[type eq "other"].region"#, false, Rule::Text),
    row("addresses.other.postalCode", "addresses[other].postalCode", r#"addresses[type eq "other"].postalCode"#, false, Rule::Text),
    row("addresses.other.country", "addresses[other].country", r#"addresses[type eq "other"].country"#, false, Rule::Country),
    row("preferredLanguage", "preferredLanguage", "preferredLanguage", false, Rule::LanguageTag),
    row("locale", "locale", "locale", false, Rule::LanguageTag),
    row("employeeNumber", "enterprise.employeeNumber", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", false, Rule::Text),
    row("department", "enterprise.department", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", false, Rule::Text),
    row("division", "enterprise.division", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division", false, Rule::Text),
    row("organization", "enterprise.organization", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization", false, Rule::Text),
    row("manager", "enterprise.manager", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", false, Rule::Text),
    row("employeeType", "employeeType", "userType", false, Rule::Text),
];
