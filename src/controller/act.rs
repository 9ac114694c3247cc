//! The only place that writes to the backend.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use crate::api::common::PlanStatus;
use crate::api::conditions::Reason;
use crate::controller::counts::{Change as Did, Whose};
use crate::controller::live::{Connection, Ready};
use crate::controller::observe::{self, LookUp};
use crate::controller::user::Pass;
use crate::controller::{report, swap};
use crate::directory::ExternalIdEcho;
use crate::domain::diff::{self, Change};
use crate::domain::identity::Identity;
use crate::domain::names;
use crate::domain::observed::Observed;
use crate::domain::plan::{Cause, Plan};
use crate::domain::validate::{Desired, Valid};
use crate::scim::{Created, ErrorClass, Patch, PatchOp, ResourceKind, ScimError, ScimType};

/// What became of a plan.
#[derive(Debug)]
pub enum Applied {
    /// The account is in step; the reason says by what.
    Done {
        /// The account now.
        account: Observed,
        /// UpToDate, Created, Updated, DriftCorrected or Adopted.
        reason: Reason,
        /// Attributes that were written.
        attributes: Vec<String>,
        /// Those that the backend shows with another value than the spec's.
        differing: Vec<String>,
    },
    /// DryRun: the plan, for status.
    Shown {
        /// The plan.
        plan: Option<PlanStatus>,
    },
    /// Somebody else's account stands in the way.
    Blocked(Identity<Observed>),
    /// Something has to happen first.
    Waiting(&'static str),
    /// Something has to happen first that is no news; whoever waits is woken by it.
    Later,
    /// The guard waits for approval.
    Held {
        /// Why.
        why: &'static str,
        /// The plan that is held, for status.
        plan: Option<PlanStatus>,
    },
    /// The name is taken by an account that is in the directory now: plan again.
    LookAgain,
    /// A request failed.
    Failed(ScimError),
}

/// Carries out a plan.
///
/// # Errors
/// When the API server does not take the write-ahead mark of a create.
pub async fn apply(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    valid: &Valid,
    plan: Plan,
    adopted: bool,
) -> Result<Applied, kube::Error> {
    let desired = &valid.desired;
    Ok(match plan {
        Plan::Noop(account) => {
            let reason = if adopted {
                Reason::Adopted
            } else {
                Reason::UpToDate
            };
            Applied::Done {
                differing: names_of(settled_changes(desired, &account, ready)),
                account,
                reason,
                attributes: Vec::new(),
            }
        }
        Plan::Blocked(identity) => Applied::Blocked(identity),
        Plan::Create => create(pass, connection, ready, desired).await?,
        Plan::Update {
            account,
            changes,
            cause,
        } => {
            let reason = match cause {
                Cause::Spec => Reason::Updated,
                Cause::Drift => Reason::DriftCorrected,
                Cause::Adoption => Reason::Adopted,
            };
            match update(connection, ready, desired, &account, &changes).await {
                Ok(after) => {
                    connection
                        .counts
                        .changed(Whose::User, Did::of(cause, &changes));
                    swap::wake_claimants(pass, connection, &account, &after);
                    if changed_by_others(pass, ready, desired, &after, &changes) {
                        return Ok(Applied::LookAgain);
                    }
                    Applied::Done {
                        differing: names_of(settled_changes(desired, &after, ready)),
                        account: after,
                        reason,
                        attributes: names_of(changes),
                    }
                }
                Err(ScimError::NotFound) => {
                    connection.directory_of(ready).remove(&account.id);
                    Applied::LookAgain
                }
                // Changed under us: what we know of the account is old.
                Err(error) if is_stale(&error) && !pass.seen_stale.swap(true, Relaxed) => {
                    refresh(connection, ready, &account.id).await;
                    Applied::LookAgain
                }
                Err(error)
                    if renames(&changes) && taken(&error) && swap::is_due(pass, connection) =>
                {
                    if changes.iter().any(archives)
                        && let Err(error) = archive(connection, ready, &account).await
                    {
                        return Ok(Applied::Failed(error));
                    }
                    swap::step_aside(pass, connection, ready, desired, &account).await
                }
                Err(error) if taken(&error) && swap::is_aside(pass, desired, &account) => {
                    Applied::Waiting(swap::SWAPPING)
                }
                Err(error) => {
                    // A PATCH is one whole: what is refused beside it must not keep a leaver in.
                    let refused = is_stale(&error)
                        || matches!(error.class(), ErrorClass::Conflict | ErrorClass::Rejected);
                    if refused
                        && changes.len() > 1
                        && changes.iter().any(archives)
                        && let Err(worse) = archive(connection, ready, &account).await
                    {
                        return Ok(Applied::Failed(worse));
                    }
                    Applied::Failed(error)
                }
            }
        }
    })
}

/// Says that the account is not what it was when we last saw it.
fn is_stale(error: &ScimError) -> bool {
    *error == ScimError::PreconditionFailed || error.scim_type() == Some(ScimType::NoTarget)
}

fn names_of(changes: Vec<Change>) -> Vec<String> {
    changes.into_iter().map(|change| change.attribute).collect()
}

fn archives(change: &Change) -> bool {
    change.attribute == "active" && change.to == Some(Value::Bool(false))
}

fn renames(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.attribute == "userName")
}

async fn create(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
) -> Result<Applied, kube::Error> {
    let echo = || connection.directory_of(ready).external_id_echo();
    let pilot = match echo() {
        ExternalIdEcho::Unknown => {
            // Whoever waited for what another has found out by now need not go alone.
            let pilot = connection.pilot().await;
            (echo() == ExternalIdEcho::Unknown).then_some(pilot)
        }
        _ => None,
    };
    // A crash between POST and status write is healed by our mark on the account. Where it may not
    // come back, or is one that others may have too, the resource itself says what was begun.
    let recognised = echo() == ExternalIdEcho::Echoed && desired.external_id == desired.own_mark;
    let begun = names::creating_hash(&desired.user_name, pass.endpoint_hash.as_deref());
    let mut marked = pass.begun_to_create().as_ref() == Some(&begun);
    if !recognised && !marked {
        report::mark_creating(pass, Some(begun)).await?;
        marked = true;
    }
    let body = diff::create_body(desired, &ready.profile);
    let created = ready.client.create(ResourceKind::User, &body).await;
    let created = created.map(|created| take_in(connection, ready, desired, &body, created));
    drop(pilot);
    if created.is_ok() {
        connection.counts.changed(Whose::User, Did::Created);
    }
    match created {
        Ok(None) => {
            // Accepted without a body (RFC 7644 allows it, RFC 9967 makes it usual): find it.
            connection.doubt_create(&pass.uid, &desired.user_name);
            Ok(Applied::LookAgain)
        }
        Ok(Some(account)) => {
            // What a POST that reactivated an account left as it was is patched in the same pass.
            let attributes = desired.attributes.keys().cloned().collect();
            let left: Vec<Change> = settled_changes(desired, &account, ready);
            let account = if left.is_empty() {
                account
            } else {
                match update(connection, ready, desired, &account, &left).await {
                    Ok(account) => account,
                    Err(error) => return Ok(Applied::Failed(error)),
                }
            };
            Ok(Applied::Done {
                differing: names_of(settled_changes(desired, &account, ready)),
                account,
                reason: Reason::Created,
                attributes,
            })
        }
        Err(error) if error.possibly_applied() => {
            connection.doubt_create(&pass.uid, &desired.user_name);
            Ok(Applied::Failed(error))
        }
        Err(error) => {
            if marked {
                report::mark_creating(pass, None).await?;
            }
            let found = taken(&error)
                && matches!(
                    observe::look_up(connection, ready, &desired.user_name).await,
                    Ok(LookUp::Found)
                );
            Ok(if found {
                Applied::LookAgain
            } else {
                Applied::Failed(error)
            })
        }
    }
}

/// The account that a POST came to, which the directory knows from here on; `None` where the answer
/// does not say enough.
fn take_in(
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
    body: &Value,
    created: Created,
) -> Option<Observed> {
    let Created {
        resource,
        status,
        located,
    } = created;
    let mut directory = connection.directory_of(ready);
    let shown = resource.and_then(|resource| Observed::read(&resource, &ready.profile));
    if let Some(account) = shown {
        if account.external_id.is_none() {
            directory.external_id_was_dropped();
        }
        directory.put(account.clone());
        return Some(account);
    }
    // Of one made anew it is known what it is, as after a PATCH without an answer: what was sent. One
    // that was there before (200) may have more, and one that is to be archived has to be seen so.
    let anew = located.filter(|_| status == 201 && desired.active)?;
    let echoed = directory.external_id_echo() == ExternalIdEcho::Echoed;
    let account = Observed::assumed(body, &anew.id, anew.version, echoed, &ready.profile)?;
    directory.put_assumed(account.clone());
    Some(account)
}

/// Whether the answer to a write shows other values than the spec's where nothing was written: somebody
/// else put them there since we last saw the account. Only of what was just sent can a backend be said
/// to keep a spelling of its own.
fn changed_by_others(
    pass: &Pass<'_>,
    ready: &Ready,
    desired: &Desired,
    after: &Observed,
    written: &[Change],
) -> bool {
    let differing = differing(desired, after, ready, &pass.before.respelled);
    let unwritten = |change: &Change| written.iter().all(|w| w.attribute != change.attribute);
    differing.iter().any(unwritten)
}

/// 409, and what some servers say instead of it (400 uniqueness, 403).
fn taken(error: &ScimError) -> bool {
    let unique = error.scim_type() == Some(ScimType::Uniqueness);
    unique || error.class() == ErrorClass::Conflict || matches!(error, ScimError::Forbidden { .. })
}

/// After a POST only what came back different counts; what did not come back may be unobservable.
fn settled_changes(desired: &Desired, account: &Observed, ready: &Ready) -> Vec<Change> {
    differing(desired, account, ready, &diff::NOTHING_RESPELLED)
}

/// What came back different, but for what is known to be respelled.
fn differing(
    desired: &Desired,
    account: &Observed,
    ready: &Ready,
    respelled: &BTreeMap<String, String>,
) -> Vec<Change> {
    let empty = std::collections::BTreeSet::new();
    let managed = desired.attributes.keys().cloned().collect();
    let knowledge = diff::Knowledge {
        managed: &managed,
        echoed: &empty,
        spec_changed: false,
        respelled,
    };
    diff::changes(desired, account, &ready.profile, knowledge)
}

/// Writes changes to an account.
///
/// # Errors
/// When a request fails.
pub async fn update(
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
    account: &Observed,
    changes: &[Change],
) -> Result<Observed, ScimError> {
    let sent = send(connection, ready, desired, account, changes).await;
    if sent.as_ref().is_err_and(ScimError::possibly_applied) {
        // It may have been carried out: whatever is planned next starts from what the backend says.
        connection.directory_of(ready).doubt(&account.id);
    }
    let answer = sent?;
    let seen = answer
        .as_ref()
        .and_then(|resource| Observed::read(resource, &ready.profile));
    let mut directory = connection.directory_of(ready);
    Ok(match seen {
        Some(after) => {
            directory.put(after.clone());
            after
        }
        None => {
            let after = diff::assume(account, changes, desired, &ready.profile);
            directory.put_assumed(after.clone());
            after
        }
    })
}

/// Sends changes by PATCH, or by PUT where there is no PATCH; answers what the backend did.
async fn send(
    connection: &Connection,
    ready: &Ready,
    desired: &Desired,
    account: &Observed,
    changes: &[Change],
) -> Result<Option<Value>, ScimError> {
    if ready.patch {
        let version = account.version.as_deref().filter(|_| ready.etag);
        let patch = diff::patch(changes, desired, account, &ready.profile);
        match ready
            .client
            .patch(ResourceKind::User, &account.id, &patch, version)
            .await
        {
            // Discovery is a hint, never a promise.
            Err(ScimError::NotImplemented) => {}
            answer => return answer,
        }
    }
    let mut all = {
        let directory = connection.directory_of(ready);
        diff::hidden(desired, account, &ready.profile, directory.echoed())
    };
    all.extend_from_slice(changes);
    put_merged(ready, &account.id, &all).await
}

/// Archives an account: `active: false`.
///
/// # Errors
/// When the request fails, or the backend answers that the account is still active.
pub async fn archive(
    connection: &Connection,
    ready: &Ready,
    account: &Observed,
) -> Result<(), ScimError> {
    let Some(attribute) = ready.profile.get("active") else {
        return Err(ScimError::NotImplemented);
    };
    let path = attribute.path.clone();
    let op = PatchOp::Replace {
        path: path.to_string(),
        value: false.into(),
    };
    let patched = if ready.patch {
        ready
            .client
            .patch(ResourceKind::User, &account.id, &Patch(vec![op]), None)
            .await
    } else {
        Err(ScimError::NotImplemented)
    };
    let answer = match patched {
        Err(ScimError::NotImplemented) => {
            let change = Change {
                attribute: "active".into(),
                path,
                unseen: false,
                to: Some(false.into()),
            };
            put_merged(ready, &account.id, &[change]).await?
        }
        other => other?,
    };
    let seen = answer
        .as_ref()
        .and_then(|resource| Observed::read(resource, &ready.profile));
    let shown = seen.is_some();
    let mut after = seen.unwrap_or_else(|| account.clone());
    if answer.is_some() && after.active == Some(true) {
        connection.directory_of(ready).put(after);
        // Said yes and did not: to let the resource go now would leave a leaver in.
        return Err(ScimError::PreconditionFailed);
    }
    connection.counts.changed(Whose::User, Did::Archived);
    if answer.is_none() {
        after.version = None;
    }
    after.active = Some(false);
    after.attributes.insert("active".into(), false.into());
    if shown {
        connection.directory_of(ready).put(after);
    } else {
        connection.directory_of(ready).put_assumed(after);
    }
    Ok(())
}

/// Deletes an account.
///
/// # Errors
/// When the request fails; an account that is gone already is deleted.
pub async fn delete(
    connection: &Connection,
    ready: &Ready,
    account: &Observed,
) -> Result<(), ScimError> {
    ready.client.delete(ResourceKind::User, &account.id).await?;
    connection.counts.changed(Whose::User, Did::Deleted);
    connection.directory_of(ready).remove(&account.id);
    Ok(())
}

/// GET, merge, PUT: never a PUT from the spec alone, which would clear what is not ours.
async fn put_merged(
    ready: &Ready,
    id: &str,
    changes: &[Change],
) -> Result<Option<Value>, ScimError> {
    let mut resource = ready.client.get(ResourceKind::User, id).await?;
    let version = crate::scim::types::version_of(&resource)
        .map(str::to_owned)
        .filter(|_| ready.etag);
    diff::merge_into(&mut resource, changes);
    ready
        .client
        .replace(ResourceKind::User, id, &resource, version.as_deref())
        .await
}

/// Reads an account again after it changed under us; a failure leaves the old sight for the next try.
async fn refresh(connection: &Connection, ready: &Ready, id: &str) {
    if let Ok(resource) = ready.client.get(ResourceKind::User, id).await
        && let Some(observed) = Observed::read(&resource, &ready.profile)
    {
        connection.directory_of(ready).put(observed);
    }
}
