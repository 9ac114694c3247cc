//! Flattens a spec into named attributes. The names are those of the profile tables and of
//! `spec.attributeMapping`; where each goes on the wire is the profile's business.

use serde_json::{Value, json};

use crate::api::user::{AddressType, PhoneType, ScimUserSpec};

/// One attribute that a spec sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// The profile's name for it, such as `department`.
    pub attribute: String,
    /// Where the user wrote it, such as `spec.enterprise.department`.
    pub field: String,
    /// Its value; a string or a boolean.
    pub value: Value,
}

/// Every attribute that the spec sets, `userName`, `externalId`, `active` and a `manager` by
/// reference left out: these need more than the spec to be known.
pub fn declared(spec: &ScimUserSpec) -> Vec<Declared> {
    let mut all = Vec::new();
    let mut put = |attribute: &str, field: &str, value: Option<Value>| {
        if let Some(value) = value {
            all.push(Declared {
                attribute: attribute.into(),
                field: format!("spec.{field}"),
                value,
            });
        }
    };
    let text = |value: &Option<String>| value.as_ref().map(|v| json!(v));

    if let Some(name) = &spec.name {
        put("name.givenName", "name.givenName", text(&name.given_name));
        put(
            "name.familyName",
            "name.familyName",
            text(&name.family_name),
        );
    }
    put("displayName", "displayName", text(&spec.display_name));
    put("title", "title", text(&spec.title));
    for email in &spec.emails {
        let kind = address_type(email.r#type);
        put(
            &format!("emails.{kind}"),
            &format!("emails[{kind}].value"),
            Some(json!(email.value)),
        );
        put(
            &format!("emails.{kind}.primary"),
            &format!("emails[{kind}].primary"),
            email.primary.map(|p| json!(p)),
        );
    }
    for phone in &spec.phone_numbers {
        let kind = phone_type(phone.r#type);
        put(
            &format!("phoneNumbers.{kind}"),
            &format!("phoneNumbers[{kind}].value"),
            Some(json!(phone.value)),
        );
    }
    for address in &spec.addresses {
        let kind = address_type(address.r#type);
        for (sub, value) in [
            ("streetAddress", &address.street_address),
            ("locality", &address.locality),
            ("region", &address.region),
            ("postalCode", &address.postal_code),
            ("country", &address.country),
        ] {
            put(
                &format!("addresses.{kind}.{sub}"),
                &format!("addresses[{kind}].{sub}"),
                text(value),
            );
        }
    }
    put(
        "preferredLanguage",
        "preferredLanguage",
        text(&spec.preferred_language),
    );
    put("locale", "locale", text(&spec.locale));
    if let Some(enterprise) = &spec.enterprise {
        put(
            "employeeNumber",
            "enterprise.employeeNumber",
            text(&enterprise.employee_number),
        );
        put(
            "department",
            "enterprise.department",
            text(&enterprise.department),
        );
        put(
            "division",
            "enterprise.division",
            text(&enterprise.division),
        );
        put(
            "organization",
            "enterprise.organization",
            text(&enterprise.organization),
        );
        let manager = enterprise.manager.as_ref().and_then(|m| m.value.as_ref());
        put("manager", "enterprise.manager", manager.map(|v| json!(v)));
    }
    put("employeeType", "employeeType", text(&spec.employee_type));
    put("city", "city", text(&spec.city));
    put("office", "office", text(&spec.office));
    put("businessUnit", "businessUnit", text(&spec.business_unit));
    put("grade", "grade", text(&spec.grade));
    all
}

/// The word for a type of address, as SCIM spells it.
pub fn address_type(kind: AddressType) -> &'static str {
    match kind {
        AddressType::Work => "work",
        AddressType::Home => "home",
        AddressType::Other => "other",
    }
}

/// The word for a type of telephone number, as SCIM spells it.
pub fn phone_type(kind: PhoneType) -> &'static str {
    match kind {
        PhoneType::Work => "work",
        PhoneType::Home => "home",
        PhoneType::Mobile => "mobile",
        PhoneType::Fax => "fax",
        PhoneType::Pager => "pager",
        PhoneType::Other => "other",
    }
}
