//! What is known of a user's account. The directory answers; a request is made only to settle a
//! doubt: an account missing from a listing, a POST whose outcome was lost, an id to adopt.

use std::collections::BTreeSet;

use kube::runtime::reflector::ObjectRef;

use crate::controller::index::Key;
use crate::controller::live::{Connection, Ready};
use crate::controller::user::Pass;
use crate::directory::Known;
use crate::domain::identity::Candidates;
use crate::domain::names::{self, fold_user_name};
use crate::domain::observed::Observed;
use crate::domain::validate::Desired;
use crate::scim::{ErrorClass, ResourceKind, ScimError};

/// A manager named by `userRef`.
pub struct ManagerLink {
    /// Whose ScimUser.
    pub key: Key,
    /// The account's id, once there is one.
    pub id: Option<String>,
}

/// The manager that the spec names by `userRef`, if it does.
pub fn manager(pass: &Pass<'_>, connection: &Connection) -> Option<ManagerLink> {
    let reference = pass
        .user
        .spec
        .enterprise
        .as_ref()?
        .manager
        .as_ref()?
        .user_ref
        .as_ref()?;
    let key = Key::new(
        reference
            .namespace
            .clone()
            .unwrap_or_else(|| pass.key.namespace.clone()),
        reference.name.clone(),
    );
    let stored = || {
        let user = pass
            .context
            .users
            .get(&ObjectRef::new(&key.name).within(&key.namespace))?;
        // An id of another backend means nothing here.
        let status = user.status.as_ref()?;
        let here = status.endpoint_hash == pass.endpoint_hash;
        (here && Key::connection_of(&user) == connection.key)
            .then(|| status.id.clone())
            .flatten()
    };
    let id = connection.id_of(&key).or_else(stored);
    Some(ManagerLink { key, id })
}

/// The accounts that could be this user's; `None` while that cannot be told.
///
/// # Errors
/// When a doubt cannot be settled because the request fails.
pub async fn candidates(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
) -> Result<Option<Candidates<Observed>>, ScimError> {
    let mut found = Candidates::default();
    if let Some(id) = pass.recorded() {
        found.recorded = by_id(connection, ready, id).await?;
    }
    if let (None, Some(adopt)) = (&found.recorded, &pass.user.spec.adopt) {
        found.adopt = by_id(connection, ready, &adopt.id).await?;
    }
    if !settle_create(pass, connection, ready, &desired.user_name).await? {
        return Ok(None);
    }
    {
        let directory = connection.directory();
        found.by_external_id = directory.by_external_id(&desired.external_id);
        found.by_name = directory.by_name(&desired.user_name);
    }
    found.orphaned = orphaned(pass, ready, &found);
    Ok(Some(found))
}

/// The marks among `found` that are our owner's, of resources that are declared no more.
fn orphaned(pass: &Pass<'_>, ready: &Ready, found: &Candidates<Observed>) -> BTreeSet<String> {
    let accounts = found.adopt.iter().chain(&found.by_name);
    let marks = accounts.filter_map(|account| account.external_id.as_deref());
    let gone = marks.filter(|mark| {
        names::resource_of_mark(&ready.owner_id, mark).is_some_and(|(namespace, name)| {
            let key = Key::new(namespace, name);
            !pass.context.index(|index| index.is_declared(&key))
        })
    });
    gone.map(str::to_owned).collect()
}

/// Settles whether a POST whose answer was lost was applied; false while that cannot be told (R02).
/// A lookup tells where the server can filter, and a listing that began later everywhere.
///
/// # Errors
/// When the lookup fails in a way that may pass.
pub async fn settle_create(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    user_name: &str,
) -> Result<bool, ScimError> {
    if !connection.create_is_doubtful(&pass.uid) {
        return Ok(true);
    }
    match look_up(connection, ready, user_name).await? {
        LookUp::CannotTell => {
            connection.ask_for_listing();
            connection.wait(pass.key.clone());
            return Ok(false);
        }
        LookUp::Found => {
            // Whoever it is, the server shows it without the mark that every account of ours has.
            let mut directory = connection.directory();
            let found = directory.by_name(user_name);
            if found.iter().all(|account| account.external_id.is_none()) {
                directory.external_id_was_dropped();
            }
        }
        LookUp::Absent => {}
    }
    connection.create_is_settled(&pass.uid);
    Ok(true)
}

/// What a lookup by userName came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// An account of that name is in the directory now.
    Found,
    /// There is none.
    Absent,
    /// The server refused the filter, or ignored it.
    CannotTell,
}

/// One account by id: from the directory, or by GET where the directory has a doubt.
///
/// # Errors
/// When the GET fails for any reason but that the account is gone.
pub async fn by_id(
    connection: &Connection,
    ready: &Ready,
    id: &str,
) -> Result<Option<Observed>, ScimError> {
    let known = connection.directory().by_id(id);
    match known {
        Known::Present(observed) => Ok(Some(observed)),
        Known::Doubtful | Known::Unknown => match ready.client.get(ResourceKind::User, id).await {
            Ok(resource) => {
                let observed = Observed::read(&resource, &ready.profile);
                if let Some(observed) = &observed {
                    connection.directory().put(observed.clone());
                }
                Ok(observed)
            }
            Err(ScimError::NotFound) => {
                connection.directory().remove(id);
                Ok(None)
            }
            Err(error) => Err(error),
        },
    }
}

/// Asks for the userName and puts what is found into the directory. Every match is checked here,
/// since servers ignore filters.
///
/// # Errors
/// When the request fails in a way that may pass.
pub async fn look_up(
    connection: &Connection,
    ready: &Ready,
    user_name: &str,
) -> Result<LookUp, ScimError> {
    match ready
        .client
        .find(ResourceKind::User, "userName", user_name)
        .await
    {
        Ok(resources) => {
            let empty = resources.is_empty();
            let mut any = false;
            for observed in resources
                .iter()
                .filter_map(|r| Observed::read(r, &ready.profile))
            {
                any |= observed
                    .user_name
                    .as_deref()
                    .is_some_and(|n| fold_user_name(n) == fold_user_name(user_name));
                connection.directory().put(observed);
            }
            Ok(match (any, empty) {
                (true, _) => LookUp::Found,
                (false, true) => LookUp::Absent,
                (false, false) => LookUp::CannotTell,
            })
        }
        Err(error)
            if matches!(
                error.class(),
                ErrorClass::Rejected | ErrorClass::Unsupported | ErrorClass::Gone
            ) =>
        {
            Ok(LookUp::CannotTell)
        }
        Err(error) => Err(error),
    }
}
