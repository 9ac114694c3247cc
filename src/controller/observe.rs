//! What is known of a user's account. The directory answers; a request is made only to settle a
//! doubt: an account missing from a listing, a POST whose outcome was lost, an id to adopt.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::ScimUser;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::controller::index::Key;
use crate::controller::live::{Connection, Ready};
use crate::controller::swap;
use crate::controller::user::Pass;
use crate::directory::{Known, Users};
use crate::domain::identity::Candidates;
use crate::domain::names::fold_name;
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
            .unwrap_or_else(|| pass.key.namespace.to_string()),
        reference.name.clone(),
    );
    let stored = || {
        let here = pass
            .context
            .index(|index| index.is_member_of(&key, &connection.key));
        here.then(|| recorded_of(pass, &key)).flatten()
    };
    let id = match connection.outcome_of(&key) {
        Some(outcome) => outcome.id,
        None => stored(),
    };
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
        let before = connection.directory_of(ready).last_known(id);
        found.recorded = by_id(connection, ready, id).await?;
        if let (Some(before), Some(now)) = (&before, &found.recorded) {
            // Renamed by a write whose answer was lost, or by somebody else.
            swap::wake_claimants(pass, connection, before, now);
        }
    }
    if let Some(id) = pass.adopts() {
        found.adopt = by_id(connection, ready, id).await?;
    }
    if !settle_create(pass, connection, ready).await? {
        return Ok(None);
    }
    for id in doubted(connection, ready, desired) {
        look(connection, ready, &id).await?;
    }
    {
        let directory = connection.directory_of(ready);
        found.by_external_id = directory.by_external_id(&desired.external_id);
        found.by_name = directory.by_name(&desired.user_name);
        if pass.recorded().is_none() {
            // Whether there is an account already would else be asked by a filter.
            connection.counts.saved.inc();
        }
        found.begun = begun(pass, &directory);
    }
    found.judge(&ready.owner_id, declared(pass), |id| {
        is_taken(pass, connection, id)
    });
    Ok(Some(found))
}

/// The accounts of this mark or name of which nobody knows what the last write to them came to.
fn doubted(connection: &Connection, ready: &Ready, desired: &Desired) -> Vec<String> {
    let directory = connection.directory_of(ready);
    directory.unproven(&desired.external_id, &desired.user_name)
}

/// The accounts that bear the name by which a create was begun whose outcome is not recorded.
pub fn begun(pass: &Pass<'_>, directory: &Users) -> Vec<Observed> {
    let creating = pass.begun_to_create();
    directory.begun(creating.as_deref(), pass.endpoint_hash.as_deref())
}

/// Whether there is such a ScimUser, or may be where nobody can see it.
pub fn declared<'a>(pass: &'a Pass<'_>) -> impl Fn(&str, &str) -> bool + 'a {
    |namespace, name| {
        let key = Key::new(namespace, name);
        pass.context.is_declared(&key) || pass.context.hides(namespace)
    }
}

/// Whose account has the name that a user wants, where it is another account than its own. Of those who
/// will not move there is no saying.
pub fn holder_of_wanted(pass: &Pass<'_>, connection: &Connection, key: &Key) -> Option<Key> {
    let user = pass.context.user(key)?;
    if user.spec.suspend
        || user.metadata.deletion_timestamp.is_some()
        || Key::connection_of(&user) != connection.key
        || is_invalid(pass, &user)
    {
        return None;
    }
    let wanted = user.spec.user_name.clone();
    let accounts = connection.directory().by_name(&wanted);
    let owners = accounts.iter().filter_map(|account| {
        let holder = connection.holder_of(&account.id);
        let recorded = || pass.context.index(|index| index.recorders_of(&account.id));
        holder.or_else(|| recorded().into_iter().next())
    });
    owners.into_iter().find(|owner| owner != key)
}

/// Whether a user's spec, as it is now, was found to break a rule. That another one claims its userName
/// may be over already, while edits come in one by one.
fn is_invalid(pass: &Pass<'_>, user: &ScimUser) -> bool {
    let status = pass.context.user_statuses.last(user);
    let duplicate = Reason::DuplicateUserName.as_str();
    let invalid = |c: &Condition| {
        c.type_ == C::Valid.as_str() && c.status == "False" && c.reason != duplicate
    };
    status.observed_generation == user.metadata.generation && status.conditions.iter().any(invalid)
}

/// Whether another user has that account.
pub fn is_taken(pass: &Pass<'_>, connection: &Connection, id: &str) -> bool {
    let holder = connection.holder_of(id);
    let recorded = pass.context.index(|index| index.recorders_of(id));
    let mut keys = holder.into_iter().chain(recorded);
    keys.any(|key| {
        // The last outcome of another, or, before it was looked at, what its status says.
        let known = connection.outcome_of(&key).map(|outcome| outcome.id);
        key != pass.key
            && pass
                .context
                .index(|index| index.is_member_of(&key, &connection.key))
            && known.unwrap_or_else(|| recorded_of(pass, &key)).as_deref() == Some(id)
    })
}

/// The id that a user's status records at this backend.
fn recorded_of(pass: &Pass<'_>, key: &Key) -> Option<String> {
    let user = pass.context.user(key)?;
    let status = user.status.as_ref()?;
    (status.endpoint_hash == pass.endpoint_hash)
        .then(|| status.id.clone())
        .flatten()
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
) -> Result<bool, ScimError> {
    // By the name that the POST said: the spec may say another one by now.
    let Some(user_name) = connection.doubtful_create(&pass.uid) else {
        return Ok(true);
    };
    match look_up(connection, ready, &user_name).await? {
        LookUp::CannotTell => {
            connection.ask_for_listing(pass.key.clone());
            return Ok(false);
        }
        LookUp::Found => {
            // Whoever it is, the server shows it without the mark that every account of ours has.
            let mut directory = connection.directory_of(ready);
            let found = directory.by_name(&user_name);
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
    let known = connection.directory_of(ready).by_id(id);
    match known {
        Known::Present(observed) => {
            connection.counts.saved.inc();
            Ok(Some(observed))
        }
        Known::Doubtful | Known::Unknown => look(connection, ready, id).await,
    }
}

/// One account by id, by GET, whatever the directory says.
///
/// # Errors
/// When the GET fails for any reason but that the account is gone.
pub async fn look(
    connection: &Connection,
    ready: &Ready,
    id: &str,
) -> Result<Option<Observed>, ScimError> {
    match ready.client.get(ResourceKind::User, id).await {
        Ok(resource) => {
            let observed = Observed::read(&resource, &ready.profile);
            if let Some(observed) = &observed {
                connection.directory_of(ready).put(observed.clone());
            }
            Ok(observed)
        }
        Err(ScimError::NotFound) => {
            connection.directory_of(ready).remove(id);
            Ok(None)
        }
        Err(error) => Err(error),
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
                    .is_some_and(|n| fold_name(n) == fold_name(user_name));
                connection.directory_of(ready).put(observed);
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
