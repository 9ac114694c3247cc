//! What of the roster all reconcilers share: whose a connection is, and what is forgotten when that
//! changes.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::ResourceExt;

use crate::controller::context::Context;
use crate::controller::group::index::connection_of;
use crate::controller::index::Key;
use crate::controller::live::{Connection, Woken};
use crate::controller::roster::{Held, Post, Roster, Share};

impl Context {
    /// The connections that this process works on.
    pub fn running(&self) -> Vec<Arc<Connection>> {
        read(&self.roster).all_running().cloned().collect()
    }

    /// The running side of a connection, if it exists and is for this process to work on.
    pub fn connection(&self, key: &Key) -> Option<Arc<Connection>> {
        read(&self.roster).running(key)
    }

    /// What to work by on what names that connection; nothing where that is for another process to do, or while it
    /// is not known which connections there are: all users and groups are woken when it is.
    pub fn post(&self, connection: &Key) -> Option<Post> {
        read(&self.roster).post(connection)
    }

    /// Whether it is known which connections there are.
    pub fn connections_are_listed(&self) -> bool {
        read(&self.roster).listed()
    }

    /// The same for what cannot be read.
    pub fn nobodys(&self) -> Option<Held> {
        read(&self.roster).nobodys()
    }

    /// Every connection that there is, whoever works on it.
    pub fn connections_there(&self) -> Vec<Key> {
        read(&self.roster).all_there().cloned().collect()
    }

    /// Notes that there is such a connection; its running side, where it is for this process to work on.
    pub fn connection_appears(&self, key: &Key) -> Option<Arc<Connection>> {
        write(&self.roster).appears(key)
    }

    /// Begins to work on a share, with nothing in mind, as after a restart.
    pub fn take(&self, share: &Share, held: Held) {
        self.forget_statuses(share);
        let connection = write(&self.roster).take(share.clone(), held);
        if let Some(connection) = connection {
            self.wake_connection(&connection.key);
        }
        self.wake(self.everyone_in(share));
    }

    /// Works on a share no longer: nothing further is sent for it.
    pub fn leave(&self, share: &Share) {
        if let Some(connection) = write(&self.roster).leave(share) {
            connection.hold();
            self.watches.stop(&connection.key);
        }
    }

    /// What was written of a share's objects says nothing once somebody else may have written.
    pub fn forget_statuses(&self, share: &Share) {
        let Woken { users, groups } = self.everyone_in(share);
        for user in users.iter().filter_map(|key| self.kept(key)) {
            self.user_statuses.forget(&user.uid().unwrap_or_default());
        }
        for group in groups.iter().filter_map(|key| self.group(key)) {
            self.group_statuses.forget(&group.uid().unwrap_or_default());
        }
    }

    /// Of nobody in a share it is known any more that nothing was begun.
    pub fn are_not_new(&self, share: &Share) {
        let Woken { users, groups } = self.everyone_in(share);
        let users = users.iter().filter_map(|key| self.kept(key)?.uid());
        self.user_pasts.are_not_new(users);
        let groups = groups.iter().filter_map(|key| self.group(key)?.uid());
        self.group_pasts.are_not_new(groups);
    }

    /// The users and groups of a share.
    pub fn everyone_in(&self, share: &Share) -> Woken {
        match share {
            Share::Connection(key) => self.everyone_of(key),
            Share::Nobodys => {
                let there: HashSet<Key> = self.connections_there().into_iter().collect();
                let users = self.index(|index| {
                    let mut all = index.all();
                    all.retain(|key| {
                        let connection = index.connection_of(key);
                        connection.is_some_and(|connection| !there.contains(&connection))
                    });
                    all
                });
                let groups = self.groups_index(|index| index.all());
                let groups = groups.into_iter().filter(|key| {
                    let group = self.group(key);
                    group.is_some_and(|group| !there.contains(&connection_of(&group)))
                });
                Woken {
                    users: users.into_iter().collect(),
                    groups: groups.collect(),
                }
            }
        }
    }

    /// Forgets a connection that is gone and wakes its users.
    pub fn forget_connection(&self, key: &Key) {
        let gone = write(&self.roster).goes(key);
        if let Some(gone) = gone {
            gone.hold();
        }
        self.watches.stop(key);
        self.wake(self.everyone_of(key));
    }

    /// Forgets every connection that is not in `there`.
    pub fn keep_connections(&self, there: &HashSet<Key>) {
        let known = self.connections_there();
        for gone in known.iter().filter(|key| !there.contains(key)) {
            self.forget_connection(gone);
        }
        let is_news = write(&self.roster).complete();
        if is_news {
            // Users were looked at before it was known that theirs does not exist.
            self.wake_users(self.users.state().iter().map(|user| Key::of(&**user)));
            self.wake_groups(self.groups.state().iter().map(|group| Key::of(&**group)));
        }
    }
}

fn read(roster: &RwLock<Roster>) -> RwLockReadGuard<'_, Roster> {
    roster.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(roster: &RwLock<Roster>) -> RwLockWriteGuard<'_, Roster> {
    roster.write().unwrap_or_else(PoisonError::into_inner)
}
