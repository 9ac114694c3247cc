//! After a complete listing: how many of the accounts that our resources recorded the backend lacks.

use kube::ResourceExt;

use crate::api::connection::{MissingAccounts, ScimConnectionSpec};
use crate::controller::context::Context;
use crate::controller::guard;
use crate::controller::index::Key;
use crate::controller::live::Connection;
use crate::directory::Users;
use crate::domain::loss::{Count, Lost};
use crate::domain::names;
use crate::scim::{Client, ResourceKind};

/// So many accounts that a listing lacks are asked for by id, since some backends do not list everybody.
const SAMPLE: usize = 3;

/// So many users are opened before others have their turn.
const AT_A_TIME: usize = 200;

/// Somebody with an account, as far as its status says.
pub struct Recorded {
    key: Key,
    uid: String,
    id: String,
    /// At this same endpoint.
    same: bool,
    mark: String,
    external_id: Option<String>,
    user_name: String,
}

/// Everybody of a connection who is to be active and has an account. Gathered before the directory is locked:
/// there may be a hundred thousand of them, and everybody else waits for that lock.
pub async fn recorded(
    context: &Context,
    connection: &Connection,
    spec: &ScimConnectionSpec,
) -> Vec<Recorded> {
    let here = names::endpoint_hash(&spec.endpoint);
    let key = &connection.key;
    let owner = names::owner_id(spec.owner_id.as_deref(), &key.namespace, &key.name);
    let mut all = Vec::new();
    for (number, key) in context
        .index(|index| index.members_of(key))
        .into_iter()
        .enumerate()
    {
        if number % AT_A_TIME == AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
        // Whoever is archived may not be listed at all.
        let Some(user) = context.user(&key).filter(|u| u.spec.active) else {
            continue;
        };
        let status = context.user_statuses.last(&*user);
        let Some(id) = status.id else {
            continue;
        };
        all.push(Recorded {
            uid: user.uid().unwrap_or_default(),
            id,
            same: status.endpoint_hash.as_ref() == Some(&here),
            mark: names::external_id(&owner, &key.namespace, &key.name),
            external_id: user.spec.external_id.clone(),
            user_name: user.spec.user_name.clone(),
            key,
        });
    }
    all
}

/// Judges what the listing that has just ended lacks of those who are recorded, while nobody else can look at
/// the directory yet. Returns some of the ids that it lacks.
pub fn judge(
    context: &Context,
    connection: &Connection,
    directory: &Users,
    recorded: Vec<Recorded>,
    spec: &ScimConnectionSpec,
) -> Vec<String> {
    let (count, mut ids) = count(context, connection, directory, recorded);
    let seed = format!(
        "{} {}",
        names::endpoint_hash(&spec.endpoint),
        jiff::Timestamp::now().as_millisecond()
    );
    connection.loss().judge(count, guard::limit(spec), &seed);
    ids.truncate(SAMPLE);
    ids
}

/// Takes the judgement back, where the backend has all the same whom it does not list.
pub async fn ask_for(connection: &Connection, client: &Client, ids: &[String]) {
    if !connection.loss().blocks() || ids.is_empty() {
        return;
    }
    for id in ids {
        if client.get(ResourceKind::User, id).await.is_err() {
            return;
        }
    }
    connection.loss().is_over();
}

/// How many are recorded, and the ids of those that the listing lacks at this same endpoint.
fn count(
    context: &Context,
    connection: &Connection,
    directory: &Users,
    recorded: Vec<Recorded>,
) -> (Count, Vec<String>) {
    let (mut count, mut ids) = (Count::default(), Vec::new());
    for recorded in recorded {
        let Recorded {
            key,
            uid,
            id,
            same,
            mark,
            external_id,
            user_name,
        } = recorded;
        // Whoever went meanwhile, or is let go, is to be missing.
        if connection.guard().lets_go(&uid) || !context.is_declared(&key) {
            continue;
        }
        // Servers may number their accounts: an id alone may be a stranger's of another tenant.
        let mut marks = vec![&*mark];
        marks.extend(external_id.as_deref());
        let found = (same && directory.is_there(&id, &marks, &user_name))
            || directory.has(&mark, &user_name);
        count.recorded += 1;
        count.elsewhere += u32::from(!same);
        if !found {
            count.missing += 1;
            ids.extend(same.then_some(id));
        }
    }
    (count, ids)
}

/// Takes up what was written down before a restart, of this same backend.
pub fn restore(connection: &Connection, missing: Option<&MissingAccounts>) {
    let lost = missing.map(|missing| Lost {
        hash: missing.hash.clone(),
        count: missing.count,
        approved: missing.approved,
    });
    connection.loss().restore(lost);
}

/// What is missing, for status.
pub fn status(connection: &Connection) -> Option<MissingAccounts> {
    let loss = connection.loss();
    loss.lost().map(|lost| MissingAccounts {
        hash: lost.hash.clone(),
        count: lost.count,
        approved: lost.approved,
    })
}
