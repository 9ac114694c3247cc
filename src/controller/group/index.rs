//! Which groups a person may belong to: fed by the watch of ScimGroups, asked whenever something
//! about a ScimUser changes that its groups have to follow.

use std::collections::{BTreeMap, HashMap, HashSet};

use kube::core::{Selector, SelectorExt};

use crate::api::ScimGroup;
use crate::controller::index::Key;

type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug)]
struct Facts {
    connection: Key,
    named: HashSet<Key>,
    selector: Option<Selector>,
}

/// The index.
#[derive(Debug, Default)]
pub struct GroupIndex {
    facts: HashMap<Key, Facts>,
    groups: HashMap<Key, HashSet<Key>>,
    listed: Option<HashSet<Key>>,
}

impl GroupIndex {
    /// A listing of all groups begins.
    pub fn begin(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// The listing is over: what it lacked is gone.
    pub fn finish(&mut self) {
        let Some(listed) = self.listed.take() else {
            return;
        };
        let gone = self.facts.keys().filter(|key| !listed.contains(key));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// A group was added or changed.
    pub fn apply(&mut self, group: &ScimGroup) {
        let key = Key::of(group);
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        self.remove(&key);
        let facts = Facts {
            connection: connection_of(group),
            named: named(group).collect(),
            selector: selector(group),
        };
        self.groups
            .entry(facts.connection.clone())
            .or_default()
            .insert(key.clone());
        self.facts.insert(key, facts);
    }

    /// A group is gone.
    pub fn remove(&mut self, key: &Key) {
        if let Some(facts) = self.facts.remove(key)
            && let Some(groups) = self.groups.get_mut(&facts.connection)
        {
            groups.remove(key);
            if groups.is_empty() {
                self.groups.remove(&facts.connection);
            }
        }
    }

    /// Every group.
    pub fn all(&self) -> Vec<Key> {
        self.facts.keys().cloned().collect()
    }

    /// The groups of a connection.
    pub fn groups_of(&self, connection: &Key) -> Vec<Key> {
        let groups = self.groups.get(connection).into_iter().flatten();
        groups.cloned().collect()
    }

    /// Whether there is such a group, be it on its way out.
    pub fn is_declared(&self, key: &Key) -> bool {
        self.facts.contains_key(key)
    }

    /// The groups of a connection that name a user, or whose selector matches any of its labels: those
    /// of now, or those of before.
    pub fn that_may_have(&self, connection: &Key, user: &Key, labels: &[Labels]) -> Vec<Key> {
        let groups = self.groups.get(connection).into_iter().flatten();
        let touched = groups.filter(|group| {
            self.facts.get(*group).is_some_and(|facts| {
                facts.named.contains(user)
                    || facts
                        .selector
                        .as_ref()
                        .is_some_and(|selector| labels.iter().any(|l| selector.matches(l)))
            })
        });
        touched.cloned().collect()
    }
}

/// The connection that a group names.
pub fn connection_of(group: &ScimGroup) -> Key {
    use kube::ResourceExt;
    let reference = &group.spec.connection_ref;
    let namespace = reference.namespace.clone().or_else(|| group.namespace());
    Key::new(namespace.unwrap_or_default(), reference.name.clone())
}

/// The users that a group names, each as often as it does.
pub fn named(group: &ScimGroup) -> impl Iterator<Item = Key> + '_ {
    use kube::ResourceExt;
    let home = group.namespace().unwrap_or_default();
    group.spec.members.iter().map(move |member| {
        let reference = &member.user_ref;
        let namespace = reference.namespace.clone().unwrap_or_else(|| home.clone());
        Key::new(namespace, reference.name.clone())
    })
}

/// The selector of a group, unless it selects nobody: an empty one does, and so does one that cannot
/// be read.
pub fn selector(group: &ScimGroup) -> Option<Selector> {
    let selector = group.spec.member_selector.as_ref()?;
    let selector = selector.to_selector().ok()?;
    (!selector.selects_all()).then_some(selector)
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn group(name: &str, spec: serde_json::Value) -> ScimGroup {
        let mut whole = serde_json::json!({"connectionRef": {"name": "c"}, "displayName": name});
        if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
            whole.extend(spec.clone());
        }
        serde_json::from_value(serde_json::json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimGroup",
            "metadata": {"namespace": "team", "name": name}, "spec": whole
        }))
        .expect("a valid group")
    }

    #[test]
    fn a_user_concerns_the_groups_that_name_or_select_it() {
        let c = Key::new("team", "c");
        let ada = Key::new("team", "ada");
        let mut index = GroupIndex::default();
        index.apply(&group(
            "named",
            serde_json::json!({"members": [{"userRef": {"name": "ada"}}]}),
        ));
        index.apply(&group(
            "chosen",
            serde_json::json!({"memberSelector": {"matchLabels": {"team": "x"}}}),
        ));
        index.apply(&group("empty", serde_json::json!({"memberSelector": {}})));
        let touched = |index: &GroupIndex, user: &Key, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string()));
            let mut keys = index.that_may_have(&c, user, &[labels.collect()]);
            keys.sort();
            keys.iter()
                .map(|key| key.name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(touched(&index, &ada, &[("team", "x")]), ["chosen", "named"]);
        assert_eq!(touched(&index, &ada, &[]), ["named"]);
        let bob = Key::new("team", "bob");
        assert_eq!(
            touched(&index, &bob, &[("team", "y")]),
            Vec::<String>::new()
        );
        let elsewhere = Key::new("other", "c");
        assert!(
            index
                .that_may_have(&elsewhere, &ada, &[Labels::new()])
                .is_empty()
        );

        index.begin();
        index.apply(&group("named", serde_json::json!({})));
        index.finish();
        assert_eq!(
            touched(&index, &ada, &[("team", "x")]),
            Vec::<String>::new()
        );
        assert_eq!(index.groups_of(&c).len(), 1);
    }
}
