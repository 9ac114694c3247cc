//! Groups are written to the backend here, and by `write` for this module. One step a call: what was
//! written is in the mirror afterwards, and the next step plans again from there.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::conditions::Reason;
use crate::api::connection::Mode;
use crate::controller::counts::{Change, Whose};
use crate::controller::group::consider::{Considered, consider, not_yet};
use crate::controller::group::write::{Work, chunk_size};
use crate::controller::group::{Pass, observe, report};
use crate::controller::live::{Connection, Ready};
use crate::directory::ExternalIdEcho;
use crate::domain::group::{self, DesiredGroup, GroupPlan, MembersEcho, ObservedGroup, Resolved};
use crate::domain::identity::Identity;
use crate::domain::names;
use crate::domain::plan::Cause;
use crate::scim::{ResourceKind, ScimError};

/// What one pass has written.
#[derive(Debug, Default)]
pub struct Written {
    /// The group was created.
    pub created: bool,
    /// The group was taken over.
    pub adopted: bool,
    /// What was written had been changed outside.
    pub drift: bool,
    /// Attributes that were written.
    pub attributes: BTreeSet<String>,
    /// Members that were added.
    pub added: usize,
    /// Members that were removed.
    pub removed: usize,
}

impl Written {
    /// Grows with each change.
    pub fn progress(&self) -> usize {
        self.added + self.removed + self.attributes.len() + usize::from(self.created)
    }
}

/// What became of a step.
pub enum Applied {
    /// The group is in step with what can be resolved.
    Done {
        /// The group now.
        group: ObservedGroup,
        /// Who belongs to it.
        resolved: Resolved,
    },
    /// DryRun: the plan, for status.
    Shown {
        /// The plan.
        plan: GroupPlan,
        /// Who belongs to it.
        resolved: Resolved,
    },
    /// Somebody else's group stands in the way.
    Blocked(Identity<ObservedGroup>),
    /// Something has to happen first; whoever waits is told why.
    Waiting(String),
    /// Something has to happen first that is no news.
    Later,
    /// More members are on their way: they are added together.
    Gathering,
    /// Something was written: plan again.
    LookAgain,
    /// The backend refuses these members, or keeps those that it is told to remove.
    Refused {
        /// The group now.
        group: ObservedGroup,
        /// Who belongs to it.
        resolved: Resolved,
        /// Why, as a sentence.
        why: String,
    },
    /// The backend has no groups, or no way to change one in part.
    Unsupported(&'static str),
    /// A request failed.
    Failed(ScimError),
}

/// Observe, plan, act: once.
///
/// # Errors
/// When the API server does not take the write-ahead mark of a create.
pub async fn step(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &DesiredGroup,
    written: &mut Written,
) -> Result<Applied, kube::Error> {
    // What this pass has written already is no change any more.
    let spec_changed = pass.spec_changed() && !written.created && written.attributes.is_empty();
    let (plan, resolved, on_their_way, newly) =
        match consider(pass, connection, ready, desired, spec_changed).await {
            Considered::Planned {
                plan,
                resolved,
                on_their_way,
                newly,
            } => (plan, resolved, on_their_way, newly),
            Considered::Stands(applied) => return Ok(applied),
        };
    let side = connection.group_side();
    if ready.spec.mode == Mode::DryRun
        && !matches!(plan, GroupPlan::Noop(_) | GroupPlan::Blocked(_))
    {
        return Ok(Applied::Shown { plan, resolved });
    }
    if let Some(applied) = not_yet(pass, connection, ready, &plan) {
        return Ok(applied);
    }
    match plan {
        GroupPlan::Noop(group) => {
            written.adopted |= newly;
            pass.context.gathered(&pass.uid);
            Ok(Applied::Done { group, resolved })
        }
        GroupPlan::Blocked(identity) => Ok(Applied::Blocked(identity)),
        GroupPlan::Look(_) => Ok(Applied::LookAgain),
        GroupPlan::Create => create(pass, connection, ready, desired, written).await,
        GroupPlan::Update {
            group,
            changes,
            delta,
            cause,
        } => {
            written.adopted |= newly;
            written.drift |= cause == Cause::Drift;
            if newly {
                report::mark_adopted(pass, &group.id).await?;
            }
            let mut delta = delta;
            let only_adds = changes.is_empty() && delta.remove.is_empty();
            if only_adds && on_their_way && pass.context.gathers(&pass.uid, super::GATHER) {
                // Full requests go at once; what is left waits for those who are on their way.
                let full = chunk_size(connection, ready);
                delta.add.truncate(delta.add.len() / full * full);
                if delta.add.is_empty() {
                    return Ok(Applied::Gathering);
                }
            } else {
                pass.context.gathered(&pass.uid);
            }
            let mut work = Work {
                connection,
                ready,
                group,
                written,
                doubt: false,
            };
            let done = work.carry_out(changes, delta).await;
            let group = work.group;
            Ok(match done {
                Ok(None) => Applied::LookAgain,
                Ok(Some(why)) => Applied::Refused {
                    group,
                    resolved,
                    why,
                },
                // Gone, or changed under us: what we know of the group is old.
                Err(ScimError::NotFound | ScimError::PreconditionFailed) => {
                    if side.echo() == MembersEcho::NotReturned
                        && let Some(members) = &group.members
                    {
                        report::record_applied(pass, members).await?;
                    }
                    match observe::look(connection, ready, &group.id).await {
                        Ok(_) => Applied::LookAgain,
                        Err(error) => Applied::Failed(error),
                    }
                }
                Err(error) => {
                    if error.possibly_applied() {
                        forget_members(connection, ready, &group);
                    }
                    if side.echo() == MembersEcho::NotReturned
                        && let Some(members) = &group.members
                    {
                        report::record_applied(pass, members).await?;
                    }
                    Applied::Failed(error)
                }
            })
        }
    }
}

/// What a lost answer leaves unknown. Where members are not returned what was written down still
/// stands: to add somebody twice is better than to take somebody for removed.
fn forget_members(connection: &Connection, ready: &Ready, group: &ObservedGroup) {
    if connection.group_side().echo() == MembersEcho::NotReturned {
        connection.groups_of(ready).put_assumed(group.clone());
    } else {
        connection.groups_of(ready).forget_members(&group.id);
    }
}

async fn create(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    desired: &DesiredGroup,
    written: &mut Written,
) -> Result<Applied, kube::Error> {
    let echo = || connection.groups_of(ready).external_id_echo();
    let pilot = match echo() {
        ExternalIdEcho::Unknown => Some(connection.pilot().await),
        _ => None,
    };
    // As for users: where our mark on the group is no proof, the resource says what was begun.
    let recognised = echo() == ExternalIdEcho::Echoed && desired.external_id == desired.own_mark;
    let begun = names::creating_hash(&desired.display_name, pass.endpoint_hash.as_deref());
    let mut marked = pass.begun_to_create().as_ref() == Some(&begun);
    if !recognised && !marked {
        report::mark_creating(pass, Some(begun)).await?;
        marked = true;
    }
    // Without members: some servers ignore them here, and large lists are for PATCHes.
    let created = ready
        .client
        .create(ResourceKind::Group, &group::create_body(desired, &[]))
        .await;
    let created = created.map(|created| {
        let resource = created.resource.as_ref();
        resource.and_then(|resource| ObservedGroup::read(resource, true))
    });
    if let Ok(Some(group)) = &created {
        let mut groups = connection.groups_of(ready);
        if group.external_id.is_none() {
            groups.external_id_was_dropped();
        }
        groups.put(group.clone());
    }
    drop(pilot);
    Ok(match created {
        Ok(Some(_)) => {
            written.created = true;
            written.attributes.extend(["displayName".to_owned()]);
            Applied::LookAgain
        }
        Ok(None) => {
            connection
                .group_side()
                .doubt_create(&pass.uid, &desired.display_name);
            Applied::LookAgain
        }
        Err(error) if error.possibly_applied() => {
            connection
                .group_side()
                .doubt_create(&pass.uid, &desired.display_name);
            Applied::Failed(error)
        }
        Err(error) => {
            if marked {
                report::mark_creating(pass, None).await?;
            }
            Applied::Failed(error)
        }
    })
}

/// Deletes a group; one that is gone already is deleted.
///
/// # Errors
/// When the request fails.
pub async fn delete(
    connection: &Connection,
    ready: &Ready,
    group: &ObservedGroup,
) -> Result<(), ScimError> {
    let kind = ResourceKind::Group;
    ready.client.delete(kind, &group.id).await?;
    connection.counts.changed(Whose::Group, Change::Deleted);
    connection.groups_of(ready).remove(&group.id);
    Ok(())
}

/// The reason for `Synced`, from what was written.
pub fn reason(written: &Written) -> Reason {
    let Written {
        created,
        adopted,
        drift,
        attributes,
        added,
        removed,
    } = written;
    match () {
        () if *created => Reason::Created,
        () if *adopted => Reason::Adopted,
        () if attributes.is_empty() && added + removed == 0 => Reason::UpToDate,
        () if *drift => Reason::DriftCorrected,
        () => Reason::Updated,
    }
}

/// How long before a pass that gathers looks again.
pub const GATHERING: Duration = Duration::from_millis(500);
