//! What is known of a user's account. The directory answers; a request is made only to settle a
//! doubt: an account missing from a listing, a POST whose outcome was lost, an id to adopt.

use kube::runtime::reflector::ObjectRef;

use crate::controller::index::Key;
use crate::controller::live::{Connection, Ready};
use crate::controller::user::Pass;
use crate::directory::Known;
use crate::domain::identity::Candidates;
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
        (Key::connection_of(&user) == connection.key)
            .then(|| user.status.as_ref().and_then(|s| s.id.clone()))
            .flatten()
    };
    let id = connection.id_of(&key).or_else(stored);
    Some(ManagerLink { key, id })
}

/// The accounts that could be this user's.
///
/// # Errors
/// When a doubt cannot be settled because the request fails.
pub async fn candidates(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
) -> Result<Candidates, ScimError> {
    let mut found = Candidates::default();
    if let Some(id) = &pass.before.id {
        found.recorded = by_id(connection, ready, id).await?;
    }
    if let (None, Some(adopt)) = (&found.recorded, &pass.user.spec.adopt) {
        found.adopt = by_id(connection, ready, &adopt.id).await?;
    }
    if connection.create_is_doubtful(&pass.uid) {
        look_up(connection, ready, desired).await?;
        connection.create_is_settled(&pass.uid);
    }
    let directory = connection.directory();
    found.by_external_id = directory.by_external_id(&desired.external_id);
    found.by_user_name = directory.by_user_name(&desired.user_name);
    Ok(found)
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

/// Asks for the userName and puts what is found into the directory. Servers that cannot filter, or
/// compare case, are listed again instead.
///
/// # Errors
/// When the request fails in a way that may pass.
pub async fn look_up(
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
) -> Result<bool, ScimError> {
    match ready
        .client
        .find(ResourceKind::User, "userName", &desired.user_name)
        .await
    {
        Ok(resources) => {
            let mut any = false;
            for observed in resources
                .iter()
                .filter_map(|r| Observed::read(r, &ready.profile))
            {
                any |= observed
                    .user_name
                    .as_deref()
                    .is_some_and(|n| n.eq_ignore_ascii_case(&desired.user_name));
                connection.directory().put(observed);
            }
            Ok(any)
        }
        Err(error)
            if matches!(
                error.class(),
                ErrorClass::Rejected | ErrorClass::Unsupported | ErrorClass::Gone
            ) =>
        {
            connection.ask_for_listing();
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
