//! After a complete listing: how many of the accounts that our resources recorded the backend lacks.

use kube::ResourceExt;

use crate::api::connection::{MissingAccounts, ScimConnectionSpec};
use crate::controller::context::Context;
use crate::controller::guard;
use crate::controller::live::Connection;
use crate::directory::{Known, Users};
use crate::domain::loss::{Count, Lost};
use crate::domain::names;
use crate::domain::observed::Observed;
use crate::scim::{Client, ResourceKind};

/// So many accounts that a listing lacks are asked for by id, since some backends do not list everybody.
const SAMPLE: usize = 3;

/// Judges what the listing that has just ended lacks, while nobody else can look at the directory yet.
/// Returns some of the ids that it lacks.
pub fn judge(
    context: &Context,
    connection: &Connection,
    directory: &Users,
    spec: &ScimConnectionSpec,
) -> Vec<String> {
    let (count, mut ids) = count(context, connection, directory, spec);
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

/// What is recorded, and the ids of those that the listing lacks at this same endpoint.
fn count(
    context: &Context,
    connection: &Connection,
    directory: &Users,
    spec: &ScimConnectionSpec,
) -> (Count, Vec<String>) {
    let here = names::endpoint_hash(&spec.endpoint);
    let key = &connection.key;
    let owner = names::owner_id(spec.owner_id.as_deref(), &key.namespace, &key.name);
    let (mut count, mut ids) = (Count::default(), Vec::new());
    for key in context.index(|index| index.members_of(key)) {
        let Some(user) = context.user(&key).filter(|u| u.spec.active) else {
            // Whoever is archived may not be listed at all.
            continue;
        };
        let status = context.user_statuses.last(&*user);
        let uid = user.uid().unwrap_or_default();
        let Some(id) = status.id.filter(|_| !connection.guard().lets_go(&uid)) else {
            continue;
        };
        let same = status.endpoint_hash.as_ref() == Some(&here);
        let mark = names::external_id(&owner, &key.namespace, &key.name);
        let name = names::fold_name(&user.spec.user_name);
        // Servers may number their accounts: an id alone may be a stranger's of another tenant.
        let is_it = |account: &Observed| {
            let external_id = account.external_id.as_deref();
            external_id == Some(&*mark)
                || (external_id.is_some() && external_id == user.spec.external_id.as_deref())
                || account.user_name.as_deref().map(names::fold_name) == Some(name.clone())
        };
        let found = (same && matches!(directory.by_id(&id), Known::Present(seen) if is_it(&seen)))
            || !directory.by_external_id(&mark).is_empty()
            || !directory.by_name(&user.spec.user_name).is_empty();
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
