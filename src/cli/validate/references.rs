//! What names something else: that it is there, that it may be used, and that it goes through the same connection.

use std::collections::BTreeMap;

use kube::core::SelectorExt as _;
use serde_json::Value;

use super::declared::{Declared, Key, Resource, connection_of, spelt, user_of};
use super::finding::{Fault, FieldPath, Severity};
use crate::api::{ConnectionRef, LabelSelector, UserRef};

/// Every reference that leads nowhere or where it may not, each with the number of its manifest. With `complete`,
/// what is not among the manifests is nowhere; else it may be in the cluster.
pub fn check(declared: &Declared<'_>, complete: bool) -> Vec<(usize, Fault)> {
    let severity = if complete {
        Severity::Error
    } else {
        Severity::Warning
    };
    let mut checked = Checked {
        declared,
        severity,
        missing: BTreeMap::new(),
        found: Vec::new(),
    };
    for user in &declared.users {
        let connection = checked.connection(user, &user.spec.connection_ref);
        let enterprise = user.spec.enterprise.as_ref();
        let manager = enterprise
            .and_then(|e| e.manager.as_ref())
            .and_then(|m| m.user_ref.as_ref());
        if let Some(manager) = manager {
            let field = "spec.enterprise.manager.userRef";
            checked.user(user, &connection, manager, field, "reference/manager");
        }
    }
    for group in &declared.groups {
        let connection = checked.connection(group, &group.spec.connection_ref);
        for (at, member) in group.spec.members.iter().enumerate() {
            let field = format!("spec.members[{at}].userRef");
            checked.user(
                group,
                &connection,
                &member.user_ref,
                &field,
                "reference/member",
            );
        }
        if let Some(selector) = &group.spec.member_selector {
            checked.selector(group, &connection, selector);
        }
    }
    checked.end()
}

struct Checked<'a> {
    declared: &'a Declared<'a>,
    severity: Severity,
    /// Connections that are not declared: who names each first, and how many do.
    missing: BTreeMap<Key, (usize, usize)>,
    found: Vec<(usize, Fault)>,
}

impl Checked<'_> {
    fn say(&mut self, at: usize, field: &str, rule: &str, message: String, severity: Severity) {
        let fault = Fault {
            severity,
            ..Fault::error(FieldPath::spelt(field), rule, message)
        };
        self.found.push((at, fault));
    }

    /// The connection that a resource names.
    fn connection<S>(&mut self, resource: &Resource<'_, S>, reference: &ConnectionRef) -> Key {
        let key = connection_of(reference, &resource.key.0);
        let declared = self.declared;
        let Some(connection) = declared.connections.get(&key) else {
            if !declared.connection_names.contains(&key) {
                self.missing
                    .entry(key.clone())
                    .or_insert((resource.at, 0))
                    .1 += 1;
            }
            return key;
        };
        let told = spelt(&key);
        match declared.lets_in(connection, &key.0, &resource.key.0) {
            Some(true) => {}
            Some(false) => {
                let message = format!(
                    "ScimConnection {told} does not let in resources of this namespace (allowedNamespaces)"
                );
                self.say(
                    resource.at,
                    "spec.connectionRef",
                    "reference/not-allowed",
                    message,
                    Severity::Error,
                );
            }
            None => {
                let namespace = &resource.key.0;
                let message = format!(
                    "ScimConnection {told} lets namespaces in by label, and Namespace {namespace} is not among the manifests"
                );
                self.say(
                    resource.at,
                    "spec.connectionRef",
                    "reference/namespace",
                    message,
                    self.severity,
                );
            }
        }
        key
    }

    /// A user that a resource names.
    fn user<S>(
        &mut self,
        resource: &Resource<'_, S>,
        connection: &Key,
        reference: &UserRef,
        field: &str,
        rule: &str,
    ) {
        let key = user_of(reference, &resource.key.0);
        let told = spelt(&key);
        match self.declared.user_names.get(&key) {
            None => {
                let message = format!("ScimUser {told} is not among the manifests");
                self.say(resource.at, field, rule, message, self.severity);
            }
            Some(Some(theirs)) if theirs != connection => {
                let message = format!("ScimUser {told} is provisioned through another connection");
                self.say(
                    resource.at,
                    field,
                    "reference/other-connection",
                    message,
                    Severity::Error,
                );
            }
            Some(_) => {}
        }
    }

    /// A selector of members. An empty one selects nobody, and one that is broken is refused elsewhere.
    fn selector<S>(&mut self, group: &Resource<'_, S>, connection: &Key, selector: &LabelSelector) {
        let Ok(selector) = selector.to_selector() else {
            return;
        };
        let declared = self.declared;
        let home = declared.connections.get(connection);
        let is_let_in = |namespace: &str| {
            home.is_none_or(|home| declared.lets_in(home, &connection.0, namespace) != Some(false))
        };
        let mut users = declared.users.iter();
        let selects = !selector.selects_all()
            && users.any(|user| {
                selector.matches(&user.labels)
                    && connection_of(&user.spec.connection_ref, &user.key.0) == *connection
                    && is_let_in(&user.key.0)
            });
        if !selects {
            let message = "selects nobody among the manifests".to_owned();
            self.say(
                group.at,
                "spec.memberSelector",
                "reference/selector",
                message,
                Severity::Warning,
            );
        }
    }

    fn end(mut self) -> Vec<(usize, Fault)> {
        for (key, (at, count)) in std::mem::take(&mut self.missing) {
            let others = match count - 1 {
                0 => String::new(),
                1 => "; one more resource names it".to_owned(),
                more => format!("; {more} more resources name it"),
            };
            let message = format!(
                "ScimConnection {} is not among the manifests{others}",
                spelt(&key)
            );
            self.say(
                at,
                "spec.connectionRef",
                "reference/connection",
                message,
                self.severity,
            );
        }
        self.found
    }
}

/// Secrets in plain sight that a connection takes its token from. What SOPS encrypted is not in plain sight.
pub fn secrets(declared: &Declared<'_>) -> Vec<(usize, Fault)> {
    let mut found = Vec::new();
    for (at, secret, key) in &declared.secrets {
        if secret.object.get("sops").is_some() {
            continue;
        }
        for (connection, known) in &declared.connections {
            let token = &known.spec.token_secret_ref;
            if connection.0 != key.0 || token.name != key.1 {
                continue;
            }
            let field = ["data", "stringData"].into_iter().find(|field| {
                let value = secret
                    .object
                    .get(field)
                    .and_then(|data| data.get(&token.key));
                value
                    .and_then(Value::as_str)
                    .is_some_and(|text| !text.is_empty())
            });
            if let Some(field) = field {
                let path = FieldPath::spelt(field);
                let message = format!(
                    "holds the token of ScimConnection {} in plain sight; whoever reads the repository can use it",
                    spelt(connection)
                );
                found.push((*at, Fault::warning(path, "secret/in-git", message)));
                break;
            }
        }
    }
    found
}
