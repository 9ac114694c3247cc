//! What is ours at the backend, by its mark, and stands for nothing that is declared: left behind by what is gone, or
//! about to be taken out where there is no cluster to tell. One that bears an `externalId` of its spec's own bears no
//! mark, and cannot be told from a stranger.

use crate::controller::index::Key;
use crate::controller::preview::stage::Stage;
use crate::domain::names;

/// Users whose account is active, and groups, each as `ScimUser namespace/name`.
pub fn undeclared(stage: &Stage) -> Vec<String> {
    let whose = |mark: Option<&str>| {
        let (namespace, name) = names::resource_of_mark(&stage.ready.owner_id, mark?)?;
        Some(Key::new(namespace, name))
    };
    let context = &stage.context;
    let users: Vec<Key> = {
        let directory = stage.connection.directory();
        let active = directory.sightings().filter(|a| a.active != Some(false));
        active
            .filter_map(|a| whose(a.external_id.as_deref()))
            .collect()
    };
    let groups: Vec<Key> = {
        let directory = stage.connection.groups();
        let all = directory.sightings();
        all.filter_map(|g| whose(g.external_id.as_deref()))
            .collect()
    };
    let users = users.into_iter().filter(|key| !context.is_declared(key));
    let groups = groups
        .into_iter()
        .filter(|key| !context.is_group_declared(key));
    let users = users.map(|key| format!("ScimUser {key}"));
    let mut found: Vec<String> = users
        .chain(groups.map(|key| format!("ScimGroup {key}")))
        .collect();
    found.sort();
    found
}
