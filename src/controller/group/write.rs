//! The writes that change one group, in order: attributes, additions, removals. A group is never
//! replaced, and how this backend treats members is learned on the way.

use std::collections::VecDeque;

use crate::api::connection::MemberRemoval;
use crate::controller::group::act::Written;
use crate::controller::group::observe;
use crate::controller::live::{Connection, Ready};
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
        if !changes.is_empty() {
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
        }
        if let Some(why) = self.add(add).await? {
            return Ok(Some(why));
        }
        self.remove(remove).await
    }

    /// Adds members in chunks. A chunk that is too large, or that holds one that is refused, is halved.
    async fn add(&mut self, ids: Vec<String>) -> Result<Option<String>, ScimError> {
        let side = self.connection.group_side();
        let most = chunk_size(self.connection, self.ready);
        let owned = |ids: &[String], most: usize| -> VecDeque<Vec<String>> {
            group::chunks(ids, most).map(<[String]>::to_vec).collect()
        };
        let mut queue = owned(&ids, most);
        let mut refused: Option<(usize, String)> = None;
        let mut halved = false;
        while let Some(chunk) = queue.pop_front() {
            let patch = group::add_members(&chunk);
            let added = Delta {
                add: chunk,
                remove: Vec::new(),
            };
            match self.patch(&patch, &GroupChanges::default(), &added).await {
                Ok(()) => {
                    self.written.added += added.add.len();
                    if halved && refused.is_none() {
                        // It was the size: the rest goes in pieces of what went through.
                        side.set_chunk_limit(Some(added.add.len()));
                        let rest: Vec<String> = queue.drain(..).flatten().collect();
                        queue = owned(&rest, added.add.len());
                        halved = false;
                    }
                }
                Err(error) if group::asks_for_fewer(&error) => {
                    if let Some((first, second)) = group::halves(&added.add) {
                        queue.push_front(second.to_vec());
                        queue.push_front(first.to_vec());
                        halved = true;
                    } else {
                        // It was this one, not the size.
                        side.set_chunk_limit(None);
                        let count = refused.map_or(0, |(count, _)| count);
                        refused = Some((count + 1, error.to_string()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if side.echo() == MembersEcho::Unknown && !ids.is_empty() {
            self.learn_whether_members_are_returned(&ids).await?;
        }
        Ok(refused.map(|(count, why)| format!("{count} members were refused: {why}")))
    }

    /// Whether the backend returns members is learned once, after the first were added.
    async fn learn_whether_members_are_returned(
        &mut self,
        added: &[String],
    ) -> Result<(), ScimError> {
        let assumed = self.group.clone();
        let side = self.connection.group_side();
        let seen = observe::look(self.connection, self.ready, &self.group.id).await?;
        let after = seen.and_then(|group| group.members).unwrap_or_default();
        side.set_echo(side.echo().read_back(added, &after));
        if side.echo() == MembersEcho::NotReturned {
            self.connection.groups_of(self.ready).put_assumed(assumed);
        }
        Ok(())
    }

    async fn remove(&mut self, mut ids: Vec<String>) -> Result<Option<String>, ScimError> {
        if ids.is_empty() {
            return Ok(None);
        }
        let side = self.connection.group_side();
        let dialect = self.ready.spec.dialect.member_removal;
        let removal = side.removal().under(dialect);
        let returned = side.echo() != MembersEcho::NotReturned;
        if removal.is_on_trial() && returned {
            // One at a time, each read back, until a removal has proved something.
            ids.truncate(1);
            return self.try_removal(removal, ids).await;
        }
        // What cannot be read back cannot be learned: the form of RFC 7644 §3.5.2.2 it is.
        let Some(form) = removal.form() else {
            return Ok(Some(KEEPS_MEMBERS.into()));
        };
        let most = chunk_size(self.connection, self.ready);
        for chunk in group::chunks(&ids, most) {
            let before = self.group.members.clone().unwrap_or_default();
            self.remove_chunk(form, chunk).await?;
            let after = self.group.members.clone().unwrap_or_default();
            self.written.removed += chunk.iter().filter(|id| !after.contains(*id)).count();
            let trial = Trial {
                form,
                asked: chunk,
                before: &before,
                after: &after,
            };
            self.learn(removal, &trial);
        }
        Ok(None)
    }

    /// Removes one member, reads back, and learns which form this backend understands.
    async fn try_removal(
        &mut self,
        removal: Removal,
        asked: Vec<String>,
    ) -> Result<Option<String>, ScimError> {
        let Some(form) = removal.form() else {
            return Ok(Some(KEEPS_MEMBERS.into()));
        };
        let before = self.group.members.clone().unwrap_or_default();
        match self.remove_chunk(form, &asked).await {
            Ok(()) => {}
            Err(error)
                if error.class() == ErrorClass::Rejected
                    && error.scim_type() != Some(ScimType::NoTarget) =>
            {
                let next = removal.refused(form);
                self.connection.group_side().set_removal(next);
                return Ok((next == Removal::Broken).then(|| KEEPS_MEMBERS.into()));
            }
            Err(error) => return Err(error),
        }
        let seen = observe::look(self.connection, self.ready, &self.group.id).await?;
        let seen = seen.ok_or(ScimError::NotFound)?;
        let after = seen.members.clone().unwrap_or_default();
        self.written.removed += asked.iter().filter(|id| !after.contains(*id)).count();
        self.group = seen;
        let trial = Trial {
            form,
            asked: &asked,
            before: &before,
            after: &after,
        };
        let next = self.learn(removal, &trial);
        Ok((next == Removal::Broken).then(|| KEEPS_MEMBERS.into()))
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

    async fn remove_chunk(&mut self, form: Form, ids: &[String]) -> Result<(), ScimError> {
        let patch = group::remove_members(form, ids);
        let removed = Delta {
            add: Vec::new(),
            remove: ids.to_vec(),
        };
        self.patch(&patch, &GroupChanges::default(), &removed).await
    }

    /// One PATCH. What the answer does not show is assumed, and looked at after the next listing.
    async fn patch(
        &mut self,
        patch: &Patch,
        changes: &GroupChanges,
        delta: &Delta,
    ) -> Result<(), ScimError> {
        let Ready { client, etag, .. } = self.ready;
        let version = self.group.version.clone().filter(|_| *etag);
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
            // An answer without members is believed only where none are expected.
            Some(seen) if !members(&seen).is_empty() || members(&assumed).is_empty() => {
                side.set_echo(side.echo().saw(&members(&seen)));
                groups.put(seen.clone());
                seen
            }
            Some(seen) => {
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

const KEEPS_MEMBERS: &str = "the backend removes members in none of the forms that are known; dialect.memberRemoval names one by hand";

/// How many members one request changes.
pub fn chunk_size(connection: &Connection, ready: &Ready) -> usize {
    let asked = ready.spec.dialect.members_per_request as usize;
    let limit = connection.group_side().chunk_limit();
    limit.map_or(asked, |limit| limit.min(asked)).max(1)
}
