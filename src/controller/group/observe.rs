//! What is known of a group at the backend. The mirror answers; a request is made to read members
//! where they are not known, and to settle a doubt.

use crate::controller::group::Pass;
use crate::controller::index::Key;
use crate::controller::live::{Connection, Ready};
use crate::directory::{ExternalIdEcho, Groups, Known};
use crate::domain::group::{DesiredGroup, MembersEcho, ObservedGroup};
use crate::domain::identity::Candidates;
use crate::domain::names::{self, fold_name};
use crate::scim::{ErrorClass, ResourceKind, ScimError};

/// The groups that could be this resource's; `None` while that cannot be told.
///
/// # Errors
/// When a doubt cannot be settled because the request fails.
pub async fn candidates(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &DesiredGroup,
) -> Result<Option<Candidates<ObservedGroup>>, ScimError> {
    let mut found = Candidates::default();
    if let Some(id) = pass.recorded() {
        found.recorded = by_id(connection, ready, id).await?;
    }
    if let Some(id) = pass.adopts() {
        found.adopt = by_id(connection, ready, id).await?;
    }
    if !settle_create(pass, connection, ready).await? {
        return Ok(None);
    }
    {
        let groups = connection.groups_of(ready);
        found.by_external_id = groups.by_external_id(&desired.external_id);
        found.by_name = groups.by_name(&desired.display_name);
        found.begun = begun(pass, &groups);
    }
    // Names of groups are not unique: one of the same name that another resource has is no obstacle.
    let theirs = |group: &ObservedGroup| {
        let mark = group.external_id.as_deref().unwrap_or_default();
        let resource = names::resource_of_mark(&ready.owner_id, mark);
        mark != desired.external_id
            && resource.is_some_and(|(namespace, name)| declared(pass)(namespace, name))
    };
    found.by_name.retain(|group| !theirs(group));
    found.judge(&ready.owner_id, declared(pass), |id| {
        is_taken(pass, connection, id)
    });
    Ok(Some(found))
}

/// The groups that bear the name by which a create was begun whose outcome is not recorded.
pub fn begun(pass: &Pass<'_>, groups: &Groups) -> Vec<ObservedGroup> {
    let creating = pass.begun_to_create();
    groups.begun(creating.as_deref(), pass.endpoint_hash.as_deref())
}

/// Whether there is such a ScimGroup, or may be where nobody can see it.
pub fn declared<'a>(pass: &'a Pass<'_>) -> impl Fn(&str, &str) -> bool + 'a {
    |namespace, name| {
        let key = Key::new(namespace, name);
        pass.context.is_group_declared(&key) || pass.context.hides(namespace)
    }
}

/// Whether another ScimGroup has that group.
fn is_taken(pass: &Pass<'_>, connection: &Connection, id: &str) -> bool {
    let known = connection.group_outcomes();
    let groups = pass
        .context
        .groups_index(|index| index.groups_of(&connection.key));
    let mut others = groups.into_iter().filter(|key| *key != pass.key);
    others.any(|key| {
        // The last outcome of another, or, before it was looked at, what its status says.
        let known = known.get(&key).map(|outcome| outcome.id.clone());
        known.unwrap_or_else(|| recorded_of(pass, &key)).as_deref() == Some(id)
    })
}

fn recorded_of(pass: &Pass<'_>, key: &Key) -> Option<String> {
    let group = pass.context.group(key)?;
    let status = group.status.as_ref()?;
    (status.endpoint_hash == pass.endpoint_hash)
        .then(|| status.id.clone())
        .flatten()
}

/// One group by id: from the mirror, or by GET where the mirror has a doubt.
///
/// # Errors
/// When the GET fails for any reason but that the group is gone.
pub async fn by_id(
    connection: &Connection,
    ready: &Ready,
    id: &str,
) -> Result<Option<ObservedGroup>, ScimError> {
    let known = connection.groups_of(ready).by_id(id);
    match known {
        Known::Present(group) => {
            connection.counts.saved.inc();
            Ok(Some(group))
        }
        Known::Doubtful | Known::Unknown => look(connection, ready, id).await,
    }
}

/// Reads a group, its members included.
///
/// # Errors
/// When the GET fails for any reason but that the group is gone.
pub async fn look(
    connection: &Connection,
    ready: &Ready,
    id: &str,
) -> Result<Option<ObservedGroup>, ScimError> {
    match ready.client.get(ResourceKind::Group, id).await {
        Ok(resource) => {
            let side = connection.group_side();
            let returned = side.echo() != MembersEcho::NotReturned;
            let group = ObservedGroup::read(&resource, returned);
            if let Some(group) = &group {
                let seen = group.members.clone().unwrap_or_default();
                side.set_echo(side.echo().saw(&seen));
                let mut groups = connection.groups_of(ready);
                if let Known::Present(known) = groups.by_id(id)
                    && known.stamp_missed_the_members(group)
                {
                    side.distrust_stamps();
                }
                groups.put(group.clone());
            }
            Ok(group)
        }
        Err(ScimError::NotFound) => {
            connection.groups_of(ready).remove(id);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Settles whether a POST whose answer was lost was applied; false while that cannot be told (R04).
///
/// # Errors
/// When the lookup fails in a way that may pass.
pub async fn settle_create(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
) -> Result<bool, ScimError> {
    // By the name that the POST said: the spec may say another one by now.
    let Some(display_name) = connection.group_side().doubtful_create(&pass.uid) else {
        return Ok(true);
    };
    let result = ready
        .client
        .find(ResourceKind::Group, "displayName", &display_name)
        .await;
    let told = match result {
        Ok(resources) => {
            let found: Vec<ObservedGroup> = resources
                .iter()
                .filter_map(|resource| ObservedGroup::read(resource, false))
                .collect();
            let named = |group: &&ObservedGroup| {
                let name = group.display_name.as_deref().unwrap_or_default();
                fold_name(name) == fold_name(&display_name)
            };
            // An answer full of other names is one to another question.
            let told = found.is_empty() || found.iter().any(|group| named(&group));
            let mut groups = connection.groups_of(ready);
            for group in found.iter().filter(named) {
                groups.put(group.clone());
            }
            if groups.external_id_echo() == ExternalIdEcho::Unknown
                && found.iter().any(|group| named(&group))
            {
                groups.external_id_was_dropped();
            }
            told
        }
        Err(error)
            if matches!(
                error.class(),
                ErrorClass::Rejected | ErrorClass::Unsupported | ErrorClass::Gone
            ) =>
        {
            false
        }
        Err(error) => return Err(error),
    };
    if told {
        connection.group_side().create_is_settled(&pass.uid);
    } else {
        connection.ask_for_groups(pass.key.clone());
    }
    Ok(told)
}
