//! After a complete listing: how many of the accounts that our resources recorded the backend lacks.

use futures::FutureExt;
use kube::runtime::reflector::ObjectRef;

use crate::api::connection::{MissingAccounts, ScimConnectionSpec};
use crate::controller::context::Context;
use crate::controller::guard;
use crate::controller::live::Connection;
use crate::directory::Known;
use crate::domain::loss::Lost;
use crate::domain::names;
use crate::scim::{Client, ResourceKind};

/// So many accounts that a listing lacks are asked for by id, since some backends do not list everybody.
const SAMPLE: usize = 3;

/// Whether it is known which users there are: before that none can be missing.
pub fn users_are_known(context: &Context) -> bool {
    matches!(
        context.users.wait_until_ready().now_or_never(),
        Some(Ok(()))
    )
}

/// Judges what the listing that has just ended lacks.
pub async fn look(
    context: &Context,
    connection: &Connection,
    client: &Client,
    spec: &ScimConnectionSpec,
) {
    let (recorded, mut missing, listed_elsewhere) = count(context, connection, spec);
    for id in listed_elsewhere.iter().take(SAMPLE) {
        if client.get(ResourceKind::User, id).await.is_ok() {
            // What it does not list it has all the same.
            missing = 0;
        }
    }
    let seed = format!(
        "{} {}",
        names::endpoint_hash(&spec.endpoint),
        jiff::Timestamp::now().as_millisecond()
    );
    let limit = guard::limit(spec);
    connection.loss().judge(missing, recorded, limit, &seed);
}

/// How many active accounts are recorded, how many of them the listing lacks, and the ids of those that
/// it lacks at this same endpoint.
fn count(
    context: &Context,
    connection: &Connection,
    spec: &ScimConnectionSpec,
) -> (u32, u32, Vec<String>) {
    let here = names::endpoint_hash(&spec.endpoint);
    let key = &connection.key;
    let owner = names::owner_id(spec.owner_id.as_deref(), &key.namespace, &key.name);
    let directory = connection.directory();
    let (mut recorded, mut missing, mut ids) = (0, 0, Vec::new());
    for key in context.index(|index| index.members_of(key)) {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        let Some(user) = context.users.get(&reference).filter(|u| u.spec.active) else {
            // Whoever is archived may not be listed at all.
            continue;
        };
        let status = context.user_statuses.last(&*user);
        let Some(id) = status.id else { continue };
        recorded += 1;
        let same = status.endpoint_hash.as_ref() == Some(&here);
        let mark = names::external_id(&owner, &key.namespace, &key.name);
        let found = (same && matches!(directory.by_id(&id), Known::Present(_)))
            || !directory.by_external_id(&mark).is_empty()
            || !directory.by_name(&user.spec.user_name).is_empty();
        if !found {
            missing += 1;
            ids.extend(same.then_some(id));
        }
    }
    (recorded, missing, ids)
}

/// Takes up what was written down before a restart.
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
