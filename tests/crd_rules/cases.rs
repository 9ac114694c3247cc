//! What the definitions refuse and what they take: a change to a good spec each, and why.

use serde_json::{Value, json};

/// A change to a good spec, and the words with which it is refused.
pub struct Case {
    pub kind: &'static str,
    pub change: Value,
    pub says: &'static str,
    pub why: &'static str,
}

pub fn case(kind: &'static str, change: Value, says: &'static str, why: &'static str) -> Case {
    Case {
        kind,
        change,
        says,
        why,
    }
}

pub const CONNECTION: &str = "ScimConnection";
pub const USER: &str = "ScimUser";
pub const GROUP: &str = "ScimGroup";

pub fn good(kind: &str) -> Value {
    match kind {
        CONNECTION => {
            json!({"endpoint": "https://scim.example.com/v2", "tokenSecretRef": {"name": "t"}, "ownerId": "prod"})
        }
        USER => json!({"connectionRef": {"name": "c"}, "userName": "ada@example.com"}),
        _ => json!({"connectionRef": {"name": "c"}, "displayName": "Engineering"}),
    }
}

pub fn email(kind: &str, primary: bool) -> Value {
    json!({"type": kind, "value": "ada@example.com", "primary": primary})
}

/// A spec whose selector of namespaces is this.
pub fn let_in(selector: Value) -> Value {
    json!({"allowedNamespaces": {"from": "Selector", "selector": selector}})
}

/// A spec whose selector, of namespaces or of members, has this one requirement.
pub fn requirement(kind: &str, requirement: Value) -> Value {
    let selector = json!({"matchExpressions": [requirement]});
    match kind {
        CONNECTION => let_in(selector),
        _ => json!({"memberSelector": selector}),
    }
}

pub fn labels(count: usize) -> Value {
    (0..count).map(|n| (format!("l{n}"), json!("v"))).collect()
}

/// This many people, with names as long as an e-mail address may well be.
pub fn members(count: usize) -> Value {
    let member = |n: usize| json!({"userRef": {"name": format!("{n:05}.firstname.familyname.eu")}});
    (0..count).map(member).collect()
}

pub fn long(length: usize) -> String {
    "a".repeat(length)
}

pub const NUMBER: &str =
    "externalId must not be a bare number: servers have taken such for their own ids";
pub const HTTPS: &str = "endpoint must be an https URL; plain http needs insecure: true";
pub const SELECTOR: &str = "selector goes with from: Selector, and only with it";
pub const PORT: &str = "endpoint must be a URL; its port, where it names one, is from 1 to 65535";
pub const INTERVAL: &str = "sync.interval must be from 10s to 24h";
pub const WINDOW: &str = "deprovisionGuard.window must be from 1m to 168h";
pub const LABEL_KEYS: &str = "matchLabels takes label keys only: a name, or prefix/name";
pub const VALUES_NEEDED: &str = "the operators In and NotIn need values";
pub const VALUES_FORBIDDEN: &str = "the operators Exists and DoesNotExist take no values";
pub const ENDPOINT: &str = "spec.endpoint in body should match";
pub const MANAGER: &str = "exactly one of userRef and value must be set";

#[rustfmt::skip] // One case a line.
pub fn refusals() -> Vec<Case> {
    vec![
        // CEL.
        case(CONNECTION, json!({"endpoint": "http://a.example.com"}), HTTPS, "the token would travel in clear text"),
        case(CONNECTION, json!({"endpoint": "http://a.example.com", "insecure": false}), HTTPS, "insecure has to be true"),
        case(CONNECTION, json!({"allowedNamespaces": {"from": "Selector"}}), SELECTOR, "nobody would be let in"),
        case(CONNECTION, json!({"allowedNamespaces": {"from": "Selector", "selector": null}}), SELECTOR, "null is no selector"),
        case(CONNECTION, json!({"allowedNamespaces": {"from": "All", "selector": {}}}), SELECTOR, "it would be ignored"),
        case(CONNECTION, json!({"allowedNamespaces": {"selector": {}}}), SELECTOR, "the default is Same"),
        case(USER, json!({"externalId": "12345"}), NUMBER, "CVE-2025-41115"),
        case(USER, json!({"externalId": "0"}), NUMBER, "CVE-2025-41115"),
        case(GROUP, json!({"externalId": "7"}), NUMBER, "CVE-2025-41115"),
        case(USER, json!({"emails": [email("work", true), email("home", true)]}), "at most one e-mail address may be primary", "RFC 7643 §2.4"),
        case(USER, json!({"enterprise": {"manager": {}}}), MANAGER, "a manager that is nobody"),
        case(USER, json!({"enterprise": {"manager": {"userRef": null}}}), MANAGER, "null is nobody"),
        case(USER, json!({"enterprise": {"manager": {"value": "1", "userRef": {"name": "b"}}}}), MANAGER, "two managers"),
        case(CONNECTION, json!({"endpoint": "https://a.example.com:99999/"}), PORT, "no such port"),
        case(CONNECTION, json!({"endpoint": "https://a.example.com:65536"}), PORT, "one beyond"),
        case(CONNECTION, json!({"endpoint": "https://[2001:db8::1]:0/"}), PORT, "no such port"),
        case(CONNECTION, json!({"endpoint": "https://a.example.com/%zz"}), PORT, "an escape of nothing"),
        case(CONNECTION, json!({"sync": {"interval": "0s"}}), INTERVAL, "a listing every moment"),
        case(CONNECTION, json!({"sync": {"interval": "0h0m0s"}}), INTERVAL, "a listing every moment"),
        case(CONNECTION, json!({"sync": {"interval": "9s"}}), INTERVAL, "one below"),
        case(CONNECTION, json!({"sync": {"interval": "24h1s"}}), INTERVAL, "one beyond"),
        case(CONNECTION, json!({"sync": {"interval": "99999h"}}), INTERVAL, "never"),
        case(CONNECTION, json!({"deprovisionGuard": {"window": "0s"}}), WINDOW, "it would guard nothing"),
        case(CONNECTION, json!({"deprovisionGuard": {"window": "59s"}}), WINDOW, "one below"),
        case(CONNECTION, json!({"deprovisionGuard": {"window": "168h1s"}}), WINDOW, "one beyond"),
        case(CONNECTION, let_in(json!({"matchLabels": {"a b": "c"}})), LABEL_KEYS, "nothing can have it"),
        case(CONNECTION, let_in(json!({"matchLabels": {"": "c"}})), LABEL_KEYS, "nothing can have it"),
        case(CONNECTION, let_in(json!({"matchLabels": {long(64): "c"}})), LABEL_KEYS, "length"),
        case(GROUP, json!({"memberSelector": {"matchLabels": {"x/y/z": "c"}}}), LABEL_KEYS, "nothing can have it"),
        case(CONNECTION, requirement(CONNECTION, json!({"key": "a", "operator": "In"})), VALUES_NEEDED, "one of none"),
        case(CONNECTION, requirement(CONNECTION, json!({"key": "a", "operator": "NotIn", "values": []})), VALUES_NEEDED, "it would let everybody in"),
        case(GROUP, requirement(GROUP, json!({"key": "a", "operator": "NotIn"})), VALUES_NEEDED, "it would select everybody"),
        case(CONNECTION, requirement(CONNECTION, json!({"key": "a", "operator": "Exists", "values": ["b"]})), VALUES_FORBIDDEN, "they would be ignored"),
        case(GROUP, requirement(GROUP, json!({"key": "a", "operator": "DoesNotExist", "values": ["b"]})), VALUES_FORBIDDEN, "they would be ignored"),
        // What is required.
        case(CONNECTION, json!({"endpoint": null}), "spec.endpoint", "required"),
        case(CONNECTION, json!({"tokenSecretRef": null}), "spec.tokenSecretRef", "required"),
        case(USER, json!({"userName": null}), "spec.userName", "required"),
        case(USER, json!({"connectionRef": null}), "spec.connectionRef", "required"),
        case(USER, json!({"connectionRef": {}}), "spec.connectionRef.name", "required"),
        case(GROUP, json!({"displayName": null}), "spec.displayName", "required"),
        case(USER, json!({"emails": [{"value": "a@b.c"}]}), "spec.emails[0].type", "the key of the list"),
        // Patterns and words.
        case(CONNECTION, json!({"endpoint": "https://user:word@a.example.com/"}), "spec.endpoint", "a password in a spec"),
        case(CONNECTION, json!({"endpoint": "https://a.example.com/?x=1"}), "spec.endpoint", "a query cannot be joined to"),
        case(CONNECTION, json!({"endpoint": "ftp://a.example.com/"}), "spec.endpoint", "not http"),
        case(CONNECTION, json!({"endpoint": "https://"}), "spec.endpoint", "no host"),
        case(CONNECTION, json!({"endpoint": "https://a b/"}), "spec.endpoint", "a space"),
        case(CONNECTION, json!({"endpoint": "https://a\\b/"}), ENDPOINT, "some read a slash, and another host"),
        case(CONNECTION, json!({"endpoint": "https://a.example.com/b\\c"}), ENDPOINT, "some read a slash"),
        case(CONNECTION, json!({"endpoint": "https://a.example.com/b\u{7f}"}), ENDPOINT, "a control character"),
        case(CONNECTION, json!({"endpoint": "https://a.example.com/b\n"}), ENDPOINT, "a line break nobody sees"),
        case(CONNECTION, json!({"endpoint": "https://host.example/a/b?x"}), ENDPOINT, "a query cannot be joined to"),
        case(CONNECTION, json!({"endpoint": "https://host.example/a#b"}), ENDPOINT, "nor a fragment"),
        case(CONNECTION, json!({"endpoint": "https://user@host.example/"}), ENDPOINT, "whose token?"),
        case(CONNECTION, json!({"endpoint": "https://host.example:/"}), ENDPOINT, "a port that is none"),
        case(CONNECTION, json!({"endpoint": "https://host.example:https/"}), ENDPOINT, "a port that is none"),
        case(CONNECTION, json!({"endpoint": "https://host.exämple/"}), ENDPOINT, "two that look alike; say it in punycode"),
        case(CONNECTION, json!({"endpoint": "https://[::1/"}), ENDPOINT, "no host"),
        case(CONNECTION, json!({"tokenSecretRef": {"name": "a,metadata.name!=b"}}), "spec.tokenSecretRef.name in body should match", "another term of the field selector"),
        case(CONNECTION, json!({"tokenSecretRef": {"name": "Token"}}), "spec.tokenSecretRef.name in body should match", "RFC 1123"),
        case(CONNECTION, json!({"tokenSecretRef": {"name": "a..b"}}), "spec.tokenSecretRef.name in body should match", "RFC 1123"),
        case(CONNECTION, json!({"caBundleRef": {"name": "../x"}}), "spec.caBundleRef.name in body should match", "RFC 1123"),
        case(USER, json!({"connectionRef": {"name": "c/d"}}), "spec.connectionRef.name in body should match", "RFC 1123"),
        case(USER, json!({"connectionRef": {"name": "c", "namespace": "a.b"}}), "spec.connectionRef.namespace in body should match", "RFC 1123: a label"),
        case(USER, json!({"enterprise": {"manager": {"userRef": {"name": "Bob"}}}}), "spec.enterprise.manager.userRef.name in body should match", "RFC 1123"),
        case(USER, json!({"enterprise": {"manager": {"userRef": {"name": "b", "namespace": "-"}}}}), "spec.enterprise.manager.userRef.namespace in body should match", "RFC 1123"),
        case(GROUP, json!({"connectionRef": {"name": "c_d"}}), "spec.connectionRef.name in body should match", "RFC 1123"),
        case(GROUP, json!({"connectionRef": {"name": "c", "namespace": "N"}}), "spec.connectionRef.namespace in body should match", "RFC 1123"),
        case(GROUP, json!({"members": [{"userRef": {"name": "a "}}]}), "spec.members[0].userRef.name in body should match", "RFC 1123"),
        case(GROUP, json!({"members": [{"userRef": {"name": "a", "namespace": "b/c"}}]}), "spec.members[0].userRef.namespace in body should match", "RFC 1123"),
        case(CONNECTION, requirement(CONNECTION, json!({"key": "a", "operator": "Near", "values": ["b"]})), "matchExpressions[0].operator: Unsupported value", "nobody would be let in"),
        case(GROUP, requirement(GROUP, json!({"key": "a", "operator": "in", "values": ["b"]})), "matchExpressions[0].operator: Unsupported value", "spelt otherwise"),
        case(CONNECTION, requirement(CONNECTION, json!({"key": "a b", "operator": "Exists"})), "matchExpressions[0].key in body should match", "nothing can have it"),
        case(CONNECTION, requirement(CONNECTION, json!({"key": "a", "operator": "In", "values": ["b c"]})), "matchExpressions[0].values[0] in body should match", "nothing can have it"),
        case(CONNECTION, let_in(json!({"matchLabels": {"a": "-"}})), "matchLabels.a in body should match", "nothing can have it"),
        case(CONNECTION, json!({"ownerId": "a:b"}), "spec.ownerId", "the colon parts the externalId"),
        case(CONNECTION, json!({"ownerId": ""}), "spec.ownerId", "an empty mark"),
        case(CONNECTION, json!({"tokenSecretRef": {"name": "t", "key": "../token"}}), "spec.tokenSecretRef.key", "not a key"),
        case(CONNECTION, json!({"attributeMapping": [{"attribute": "a b", "path": "x"}]}), "spec.attributeMapping[0].attribute", "not a name"),
        case(CONNECTION, json!({"sync": {"interval": "30"}}), "spec.sync.interval", "CVE-2022-39272"),
        case(CONNECTION, json!({"sync": {"interval": "1.5h"}}), "spec.sync.interval", "nobody parses this"),
        case(CONNECTION, json!({"sync": {"interval": "-5m"}}), "spec.sync.interval", "negative"),
        case(CONNECTION, json!({"deprovisionGuard": {"window": ""}}), "spec.deprovisionGuard.window", "no window"),
        case(CONNECTION, json!({"profile": "cybsafe"}), "Unsupported value", "spelt otherwise"),
        case(CONNECTION, json!({"mode": "dryrun"}), "Unsupported value", "it would enforce"),
        case(CONNECTION, json!({"adoption": {"match": ["Email"]}}), "Unsupported value", "never by e-mail alone"),
        case(CONNECTION, json!({"dialect": {"patch": "Maybe"}}), "Unsupported value", "not a choice"),
        case(CONNECTION, json!({"caBundleRef": {"kind": "File", "name": "x"}}), "Unsupported value", "no files"),
        case(USER, json!({"userName": " ada"}), "spec.userName", "a space nobody sees"),
        case(USER, json!({"userName": "ada\n"}), "spec.userName", "a line break nobody sees"),
        case(USER, json!({"emails": [{"type": "work", "value": "a@b@c"}]}), "spec.emails[0].value", "two @"),
        case(USER, json!({"emails": [{"type": "private", "value": "a@b.c"}]}), "Unsupported value", "RFC 7643 §4.1.2"),
        case(USER, json!({"deletionPolicy": "Keep"}), "Unsupported value", "not a choice"),
        case(USER, json!({"validUntil": "2030-02-31T00:00:00Z"}), "spec.validUntil", "no such day"),
        case(USER, json!({"active": "yes"}), "spec.active", "a word is no boolean"),
        case(GROUP, json!({"displayName": "Engineering "}), "spec.displayName", "a space nobody sees"),
        case(GROUP, json!({"membership": "exact"}), "Unsupported value", "spelt otherwise"),
        case(GROUP, json!({"deletionPolicy": "Archive"}), "Unsupported value", "groups have no archived state"),
        // One element a key.
        case(CONNECTION, json!({"adoption": {"match": ["UserName", "UserName"]}}), "Duplicate value", "said twice"),
        case(CONNECTION, json!({"attributeMapping": [{"attribute": "city", "path": "a"}, {"attribute": "city", "path": "b"}]}), "Duplicate value", "two paths"),
        case(USER, json!({"emails": [email("work", true), email("work", false)]}), "Duplicate value", "one address a type"),
        case(USER, json!({"phoneNumbers": [{"type": "fax", "value": "12"}, {"type": "fax", "value": "34"}]}), "Duplicate value", "one number a type"),
        case(USER, json!({"addresses": [{"type": "work"}, {"type": "work"}]}), "Duplicate value", "one address a type"),
        // Bounds, one beyond.
        case(CONNECTION, json!({"endpoint": format!("https://a/{}", long(2039))}), "spec.endpoint", "length"),
        case(CONNECTION, json!({"ownerId": long(129)}), "spec.ownerId", "length"),
        case(CONNECTION, json!({"limits": {"requestsPerSecond": 0}}), "spec.limits.requestsPerSecond", "nothing would be sent"),
        case(CONNECTION, json!({"limits": {"requestsPerSecond": 10001}}), "spec.limits.requestsPerSecond", "range"),
        case(CONNECTION, json!({"limits": {"maxInFlight": 0}}), "spec.limits.maxInFlight", "nothing would be sent"),
        case(CONNECTION, json!({"limits": {"maxInFlight": 65}}), "spec.limits.maxInFlight", "range"),
        case(CONNECTION, json!({"limits": {"maxInFlight": 1.5}}), "spec.limits.maxInFlight", "not whole"),
        case(CONNECTION, json!({"deprovisionGuard": {"maxPercent": 101}}), "spec.deprovisionGuard.maxPercent", "range"),
        case(CONNECTION, json!({"deprovisionGuard": {"maxPercent": -1}}), "spec.deprovisionGuard.maxPercent", "range"),
        case(CONNECTION, json!({"dialect": {"pageSize": 0}}), "spec.dialect.pageSize", "a listing without end"),
        case(CONNECTION, json!({"dialect": {"pageSize": 1001}}), "spec.dialect.pageSize", "range"),
        case(CONNECTION, json!({"dialect": {"membersPerRequest": 0}}), "spec.dialect.membersPerRequest", "nothing would be sent"),
        case(USER, json!({"userName": long(321)}), "spec.userName", "length"),
        case(USER, json!({"externalId": long(513)}), "spec.externalId", "length"),
        case(USER, json!({"name": {"familyName": long(257)}}), "spec.name.familyName", "length"),
        case(USER, json!({"name": {"givenName": ""}}), "spec.name.givenName", "leave it out instead"),
        case(USER, json!({"preferredLanguage": long(36)}), "spec.preferredLanguage", "RFC 5646 §4.4.1"),
        case(USER, json!({"adopt": {"id": ""}}), "spec.adopt.id", "an id that names nobody"),
        case(USER, json!({"connectionRef": {"name": "c", "namespace": long(64)}}), "spec.connectionRef.namespace", "RFC 1123"),
        case(GROUP, json!({"displayName": long(257)}), "spec.displayName", "length"),
        case(USER, json!({"connectionRef": {"name": long(254)}}), "spec.connectionRef.name: Too long", "RFC 1123"),
        case(GROUP, json!({"members": members(10001)}), "spec.members: Too many: 10001", "items"),
        case(CONNECTION, let_in(json!({"matchLabels": labels(17)})), "matchLabels: Too many: 17", "labels"),
        case(GROUP, json!({"memberSelector": {"matchLabels": labels(17)}}), "matchLabels: Too many: 17", "labels"),
        case(CONNECTION, let_in(json!({"matchExpressions": vec![json!({"key": "a", "operator": "Exists"}); 17]})), "matchExpressions: Too many: 17", "requirements"),
        case(GROUP, requirement(GROUP, json!({"key": "a", "operator": "In", "values": vec!["b"; 65]})), "values: Too many: 65", "values"),
        case(GROUP, requirement(GROUP, json!({"key": "a", "operator": "In", "values": [long(64)]})), "values[0]: Too long", "length"),
    ]
}

#[rustfmt::skip] // One case a line.
pub fn transitions() -> Vec<Case> {
    vec![
        case(CONNECTION, json!({"ownerId": "other"}), "ownerId is immutable", "every account would be somebody else's"),
        case(CONNECTION, json!({"ownerId": null}), "ownerId is immutable: it can be neither added nor removed", "the default is another mark"),
        case(USER, json!({"connectionRef": {"name": "d"}}), "connectionRef is immutable", "the account would be left behind"),
        case(USER, json!({"connectionRef": {"namespace": "other"}}), "connectionRef is immutable", "another connection of that name"),
        case(GROUP, json!({"connectionRef": {"name": "d"}}), "connectionRef is immutable", "the group would be left behind"),
    ]
}

/// What looks doubtful and is meant to be stored.
#[rustfmt::skip] // One case a line.
pub fn accepted() -> Vec<Case> {
    vec![
        case(CONNECTION, json!({"endpoint": "http://a.example.com", "insecure": true}), "", "loud, and allowed"),
        case(CONNECTION, json!({"endpoint": "https://[2001:db8::1]:8443/scim/v2/"}), "", "an IPv6 host"),
        case(CONNECTION, json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}}), "", "both"),
        case(CONNECTION, json!({"sync": {"interval": "1h30m"}, "deprovisionGuard": {"maxPercent": 0, "minimum": 0}}), "", "at the bounds"),
        case(CONNECTION, json!({"sync": {"interval": "10s"}, "deprovisionGuard": {"window": "1m"}}), "", "at the bounds"),
        case(CONNECTION, json!({"sync": {"interval": "23h59m60s"}, "deprovisionGuard": {"window": "10080m"}}), "", "at the bounds, spelt otherwise"),
        case(CONNECTION, json!({"endpoint": "https://app.cybsafe.com/scim/v2/"}), "", "the one that people have"),
        case(CONNECTION, json!({"adoption": {"match": ["ExternalId", "UserName", "DisplayName"]}}), "", "every match at once"),
        case(CONNECTION, json!({"endpoint": "http://127.0.0.1:34567/scim/v2", "insecure": true}), "", "the chart's options judge the address"),
        case(CONNECTION, json!({"endpoint": "https://scim_1.example.com.:65535/a%20b/~c;d=e/@f"}), "", "all that RFC 3986 has in a path"),
        case(CONNECTION, json!({"tokenSecretRef": {"name": "a-1.b.c0"}, "caBundleRef": {"name": long(253)}}), "", "RFC 1123"),
        case(CONNECTION, let_in(json!({"matchLabels": labels(16), "matchExpressions": vec![json!({"key": format!("{}/{}", long(253), long(63)), "operator": "In", "values": vec![long(63); 64]}); 16]})), "", "at the bounds"),
        case(CONNECTION, let_in(json!({"matchLabels": {"kubernetes.io/metadata.name": ""}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist", "values": []}]})), "", "an empty value is one, no values are none"),
        case(CONNECTION, json!({"ownerId": null, "caBundleRef": null, "sync": null}), "", "null is as absent"),
        case(USER, json!({"userName": "Zoë Quirk", "externalId": "emp-0042"}), "", "no e-mail address, a marked number"),
        case(USER, json!({"userName": long(320), "externalId": long(512)}), "", "at the bounds"),
        case(USER, json!({"emails": [email("work", true), email("home", false)]}), "", "one is primary"),
        case(USER, json!({"enterprise": {"manager": {"userRef": null, "value": "1"}}}), "", "null is as absent"),
        case(USER, json!({"preferredLanguage": "en-XX", "addresses": [{"type": "work", "country": "Narnia"}]}), "", "the profile's to judge, in a condition"),
        case(GROUP, json!({"members": [{"userRef": {"name": "a", "namespace": "b"}}], "memberSelector": {"matchLabels": {"a": "b"}}}), "", "both ways at once"),
        case(GROUP, json!({"memberSelector": {}}), "", "selects nobody"),
        case(GROUP, json!({"members": [{"userRef": {"name": "a"}}, {"userRef": {"name": "a"}}]}), "", "no schema that server-side apply takes can refuse it; the controller counts it once"),
    ]
}

/// The change laid over the spec; a null stays, as one that somebody wrote.
pub fn laid_over(mut spec: Value, change: &Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}
