//! The writes that change one group, in order: attributes, additions, removals. A group is never
//! replaced, and how this backend treats members is learned on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::connection::MemberRemoval;
use crate::controller::group::act::Written;
use crate::controller::group::observe;
use crate::controller::live::{Connection, Ready};
use crate::directory::Known;
use crate::domain::group::{
    self, Delta, Form, GroupChanges, MembersEcho, ObservedGroup, Removal, Trial,
};
use crate::scim::{ErrorClass, Patch, ResourceKind, ScimError, ScimType};

/// The writes of one plan, in order: attributes, additions, removals.
pub struct Work<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// What the pass works with.
    pub ready: &'a Ready,
    /// The group, as it is after each write.
    pub group: ObservedGroup,
    /// What was written.
    pub written: &'a mut Written,
    /// An answer lacked somebody whom it should have shown: read before anything follows from it.
    pub doubt: bool,
}

impl Work<'_> {
    /// Carries a plan out; `Some` says what the backend would not do.
    ///
    /// # Errors
    /// When a request fails; what was written before it stays written.
    pub async fn carry_out(
        &mut self,
        changes: GroupChanges,
        delta: Delta,
    ) -> Result<Option<String>, ScimError> {
        let Delta { add, remove } = delta;
        // What is refused of one kind of change must not keep anybody in, or out.
        let attributes = self.attributes(changes).await;
        if let Err(error) = &attributes
            && !matches!(error.class(), ErrorClass::Rejected | ErrorClass::Conflict)
        {
            return attributes.map(|()| None);
        }
        let added = match self.add(add).await {
            Err(error) if matches!(error.class(), ErrorClass::Rejected | ErrorClass::Conflict) => {
                Some(error.to_string())
            }
            result => result?,
        };
        let removed = self.remove(remove).await?;
        attributes?;
        Ok(added.or(removed))
    }

    async fn attributes(&mut self, changes: GroupChanges) -> Result<(), ScimError> {
        if changes.is_empty() {
            return Ok(());
        }
        let patch = group::attributes_patch(&changes);
        self.patch(&patch, &changes, &Delta::default()).await?;
        let GroupChanges {
            display_name,
            external_id,
            ..
        } = changes;
        let named = [("displayName", display_name), ("externalId", external_id)];
        let written = named.into_iter().filter(|(_, value)| value.is_some());
        self.written
            .attributes
            .extend(written.map(|(name, _)| name.to_owned()));
        Ok(())
    }

    /// Adds members in chunks.
    async fn add(&mut self, ids: Vec<String>) -> Result<Option<String>, ScimError> {
        let sent = self.in_pieces(ids, Change::Add).await?;
        self.written.added += sent.through.len();
        if self.connection.group_side().echo() == MembersEcho::Unknown && !sent.through.is_empty() {
            self.learn_whether_members_are_returned(&sent.through)
                .await?;
        }
        Ok(sent.refusal("were refused"))
    }

    /// Sends a change of members in requests of the size that the backend bears. What is refused for
    /// being too much (413, and 400, which may mean one of them only) is halved until it goes through,
    /// or is a single member, who is left out. The limit is learned only where both halves went
    /// through whole: then it was the size.
    async fn in_pieces(&mut self, ids: Vec<String>, change: Change) -> Result<Sent, ScimError> {
        enum Step {
            Send(Vec<String>),
            /// Both halves of a piece are done: of what size they were, and how many were refused before.
            Learn(usize, usize),
        }
        let mut sent = Sent::default();
        let mut steps = vec![Step::Send(ids)];
        while let Some(step) = steps.pop() {
            let piece = match step {
                Step::Send(piece) => piece,
                Step::Learn(size, refused) => {
                    let side = self.connection.group_side();
                    if sent.refused == refused && side.chunk_limit().is_none_or(|l| size < l) {
                        side.set_chunk_limit(Some(size));
                    }
                    continue;
                }
            };
            let most = chunk_size(self.connection, self.ready);
            if piece.len() > most {
                // The last first, since the last one pushed is the first one sent.
                let pieces: Vec<&[String]> = group::chunks(&piece, most).collect();
                let steps_of = pieces.into_iter().rev();
                steps.extend(steps_of.map(|piece| Step::Send(piece.to_vec())));
                continue;
            }
            if piece.is_empty() {
                continue;
            }
            let (patch, delta) = change.of(&piece);
            match self.patch(&patch, &GroupChanges::default(), &delta).await {
                Ok(()) => sent.through.extend(piece),
                // One of them may be gone at the backend: what is left of the group tells, where it shows.
                Err(error)
                    if error.scim_type() == Some(ScimType::NoTarget) && self.shows_members() =>
                {
                    return Err(ScimError::PreconditionFailed);
                }
                Err(error)
                    if matches!(error.class(), ErrorClass::Rejected | ErrorClass::Conflict)
                        || self.is_about_one(&error).await? =>
                {
                    if let Some((first, second)) = group::halves(&piece) {
                        steps.push(Step::Learn(first.len(), sent.refused));
                        steps.push(Step::Send(second.to_vec()));
                        steps.push(Step::Send(first.to_vec()));
                    } else if matches!(change, Change::Remove(_)) && !self.shows_members() {
                        // Nobody can tell; who cannot be removed is taken for gone, with the account.
                        self.group = group::assume(&self.group, &GroupChanges::default(), &delta);
                        let mut groups = self.connection.groups_of(self.ready);
                        groups.put_assumed(self.group.clone());
                        sent.through.extend(piece);
                    } else {
                        sent.refused += 1;
                        sent.why = Some(error.to_string());
                        if sent.refused >= MOST_REFUSED && sent.through.is_empty() {
                            // It is not one of them: the backend takes none.
                            break;
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if std::mem::take(&mut self.doubt) {
            self.members_now().await?;
        }
        Ok(sent)
    }

    fn shows_members(&self) -> bool {
        self.connection.group_side().echo() != MembersEcho::NotReturned
    }

    /// Whether a 404 is about a member, since the group itself is still there.
    async fn is_about_one(&self, error: &ScimError) -> Result<bool, ScimError> {
        if *error != ScimError::NotFound {
            return Ok(false);
        }
        let seen = observe::look(self.connection, self.ready, &self.group.id).await?;
        Ok(seen.is_some())
    }

    /// Whether the backend returns members is learned once, after the first were added; that it does
    /// not is believed when it was seen twice, since a read may lag behind a write.
    async fn learn_whether_members_are_returned(
        &mut self,
        added: &[String],
    ) -> Result<(), ScimError> {
        let assumed = self.group.clone();
        let side = self.connection.group_side();
        for pause in [Duration::ZERO, READ_LAG] {
            tokio::time::sleep(pause).await;
            let seen = observe::look(self.connection, self.ready, &self.group.id).await?;
            let seen = seen.ok_or(ScimError::NotFound)?;
            let after = seen.members.unwrap_or_default();
            if side.echo().read_back(added, &after) == MembersEcho::Returned {
                side.set_echo(MembersEcho::Returned);
                return Ok(());
            }
        }
        side.set_echo(MembersEcho::NotReturned);
        self.connection.groups_of(self.ready).put_assumed(assumed);
        Ok(())
    }

    async fn remove(&mut self, ids: Vec<String>) -> Result<Option<String>, ScimError> {
        if ids.is_empty() {
            return Ok(None);
        }
        let side = self.connection.group_side();
        let dialect = self.ready.spec.dialect.member_removal;
        let removal = side.removal().under(dialect);
        let returned = side.echo() != MembersEcho::NotReturned;
        if removal.is_on_trial() && returned {
            // One at a time, each read back, until a removal has proved something.
            return self.try_removal(ids).await;
        }
        // What cannot be read back cannot be learned: the form of RFC 7644 §3.5.2.2 it is.
        let Some(form) = removal.form() else {
            return Ok(Some(KEEPS_MEMBERS.into()));
        };
        let before = self.group.members.clone().unwrap_or_default();
        let sent = self.in_pieces(ids, Change::Remove(form)).await?;
        let after = self.group.members.clone().unwrap_or_default();
        let gone = sent.through.iter().filter(|id| !after.contains(*id));
        self.written.removed += gone.count();
        let trial = Trial {
            form,
            asked: &sent.through,
            before: &before,
            after: &after,
        };
        self.learn(removal, &trial);
        Ok(sent.refusal("are kept"))
    }

    /// Removes one member, reads back, and learns which form this backend understands. Read just
    /// before as well: what others did since the last listing would be blamed on the form.
    async fn try_removal(&mut self, leaving: Vec<String>) -> Result<Option<String>, ScimError> {
        let side = self.connection.group_side();
        let _alone = side.trial().await;
        let removal = side.removal();
        if !removal.is_on_trial() {
            // Another group has learned it meanwhile: planned again from there.
            return Ok(None);
        }
        let Some(form) = removal.form() else {
            return Ok(Some(KEEPS_MEMBERS.into()));
        };
        let before = self.members_now().await?;
        let mut asked = Vec::new();
        let mut refused = 0;
        for one in leaving.iter().filter(|id| before.contains(*id)) {
            let one = vec![one.clone()];
            let (patch, delta) = Change::Remove(form).of(&one);
            match self.patch(&patch, &GroupChanges::default(), &delta).await {
                Ok(()) => {
                    asked = one;
                    break;
                }
                Err(error) if error.scim_type() == Some(ScimType::NoTarget) => {
                    return Err(ScimError::PreconditionFailed);
                }
                Err(error) if refuses_the_form(&error) => {
                    refused = ALIKE;
                    break;
                }
                // It may be about this member; several that are refused alike are about the form.
                Err(error)
                    if matches!(error.class(), ErrorClass::Rejected | ErrorClass::Conflict)
                        || self.is_about_one(&error).await? =>
                {
                    refused += 1;
                    if refused == ALIKE {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if asked.is_empty() {
            if refused == 0 {
                return Ok(None);
            }
            if refused < ALIKE {
                return Ok(Some(format!("{refused} members are kept by the backend")));
            }
            let next = removal.refused(form);
            side.set_removal(next);
            return Ok((next == Removal::Broken).then(|| KEEPS_MEMBERS.into()));
        }
        let mut after = self.members_now().await?;
        if asked.iter().any(|id| after.contains(id)) {
            // A read may lag behind a write.
            tokio::time::sleep(READ_LAG).await;
            after = self.members_now().await?;
        }
        self.written.removed += asked.iter().filter(|id| !after.contains(*id)).count();
        // Others may go by themselves, with their accounts, and say nothing of the form; whoever is
        // still there says that it left them alone.
        let there = |id: &String| {
            let known = self.connection.directory_of(self.ready).by_id(id);
            matches!(known, Known::Present(_))
        };
        let staying = |id: &&String| {
            asked.contains(*id) || after.contains(*id) || (!leaving.contains(*id) && there(id))
        };
        let trial = Trial {
            form,
            asked: &asked,
            before: &before.iter().filter(staying).cloned().collect(),
            after: &after,
        };
        let next = self.learn(removal, &trial);
        Ok((next == Removal::Broken).then(|| KEEPS_MEMBERS.into()))
    }

    /// Who is in the group, read now.
    async fn members_now(&mut self) -> Result<BTreeSet<String>, ScimError> {
        let seen = observe::look(self.connection, self.ready, &self.group.id).await?;
        self.group = seen.ok_or(ScimError::NotFound)?;
        Ok(self.group.members.clone().unwrap_or_default())
    }

    /// Records what a removal has proved, unless the form is chosen by hand.
    fn learn(&self, removal: Removal, trial: &Trial<'_>) -> Removal {
        if self.ready.spec.dialect.member_removal != MemberRemoval::Auto {
            return removal;
        }
        let (_, next) = removal.learn(trial);
        if next != removal {
            tracing::info!(connection = %self.connection.key, removal = next.as_str(), "learned how members are removed");
            self.connection.group_side().set_removal(next);
        }
        next
    }

    /// One PATCH. What the answer does not show is assumed, and looked at after the next listing.
    async fn patch(
        &mut self,
        patch: &Patch,
        changes: &GroupChanges,
        delta: &Delta,
    ) -> Result<(), ScimError> {
        let (client, etag) = (&self.ready.client, self.ready.etag);
        let version = self.group.version.clone().filter(|_| etag);
        let answer = client
            .patch(
                ResourceKind::Group,
                &self.group.id,
                patch,
                version.as_deref(),
            )
            .await?;
        let seen = answer
            .as_ref()
            .and_then(|resource| ObservedGroup::read(resource, true));
        let assumed = group::assume(&self.group, changes, delta);
        let side = self.connection.group_side();
        let mut groups = self.connection.groups_of(self.ready);
        let members = |group: &ObservedGroup| group.members.clone().unwrap_or_default();
        self.group = match seen {
            // An answer is believed where it lacks nobody: some show no members, or only the first.
            Some(seen) if members(&seen).is_superset(&members(&assumed)) => {
                side.set_echo(side.echo().saw(&members(&seen)));
                groups.put(seen.clone());
                seen
            }
            Some(seen) => {
                self.doubt |= side.echo() == MembersEcho::Returned;
                let group = ObservedGroup {
                    members: assumed.members,
                    stamp: None,
                    ..seen
                };
                groups.put(group.clone());
                group
            }
            None => {
                groups.put_assumed(assumed.clone());
                assumed
            }
        };
        Ok(())
    }
}

/// What is done to members.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove(Form),
}

impl Change {
    fn of(self, ids: &[String]) -> (Patch, Delta) {
        let ids_of = ids.to_vec();
        match self {
            Self::Add => {
                let delta = Delta {
                    add: ids_of,
                    remove: Vec::new(),
                };
                (group::add_members(ids), delta)
            }
            Self::Remove(form) => {
                let delta = Delta {
                    add: Vec::new(),
                    remove: ids_of,
                };
                (group::remove_members(form, ids), delta)
            }
        }
    }
}

/// What became of a change of members.
#[derive(Default)]
struct Sent {
    through: Vec<String>,
    refused: usize,
    why: Option<String>,
}

impl Sent {
    fn refusal(&self, what: &str) -> Option<String> {
        let Self { refused, why, .. } = self;
        why.as_ref()
            .map(|why| format!("{refused} members {what}: {why}"))
    }
}

/// How long a backend may take to show what it has just written.
const READ_LAG: Duration = Duration::from_millis(500);
/// So many members that are refused alike are refused for the form of the request.
const ALIKE: usize = 3;
/// So many are tried one by one before it is believed that none is taken.
const MOST_REFUSED: usize = 8;

/// Says that the path, not the member, is what the backend does not take (RFC 7644 §3.12).
fn refuses_the_form(error: &ScimError) -> bool {
    matches!(
        error.scim_type(),
        Some(ScimType::InvalidPath | ScimType::InvalidFilter | ScimType::InvalidSyntax)
    )
}

const KEEPS_MEMBERS: &str = "the backend removes members in none of the forms that are known; dialect.memberRemoval names one by hand";

/// How many members one request changes.
pub fn chunk_size(connection: &Connection, ready: &Ready) -> usize {
    let asked = ready.spec.dialect.members_per_request as usize;
    let limit = connection.group_side().chunk_limit();
    limit.map_or(asked, |limit| limit.min(asked)).max(1)
}
