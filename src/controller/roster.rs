//! Which connections there are, and which of them this process works on: all, or those whose leases it
//! holds. What belongs to a connection is worked on by whoever holds that one; what names a connection
//! that does not exist, by whoever holds the lease of the leader.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use kube::Client;
use tokio::sync::mpsc;

use crate::controller::events::Events;
use crate::controller::index::Key;
use crate::controller::live::Connection;
use crate::controller::writes::Writes;
use crate::scim::Fence;

/// What somebody works on, and nobody else at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// A connection, and all that names it.
    Connection(Key),
    /// What names a connection that does not exist.
    Nobodys,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(key) => key.fmt(f),
            Self::Nobodys => f.write_str("nobody's"),
        }
    }
}

/// The right to work on a share, from when it was taken until it is lost or given up. Whoever works by
/// it holds a clone: it has been drained when none is left.
#[derive(Clone)]
pub struct Held {
    /// A client of the API server that writes for as long as the right lasts.
    pub client: Client,
    /// Until when requests to a backend may begin.
    pub fence: Fence,
    /// Where events go, for as long as the right lasts.
    pub events: Events,
    /// Statuses and finalizers of users and groups are written through it: one of the whole process.
    pub writes: Arc<Writes>,
    _drained: mpsc::Sender<()>,
}

/// Ends once nobody works by a right any more.
pub struct Drained(mpsc::Receiver<()>);

impl Drained {
    /// Waits for that.
    pub async fn wait(&mut self) {
        // Nothing is ever sent: it is over when the last sender is gone.
        while self.0.recv().await.is_some() {}
    }
}

impl Held {
    /// A right, and what tells that nobody works by it any more.
    #[must_use]
    pub fn new(
        client: Client,
        fence: Fence,
        events: Events,
        writes: Arc<Writes>,
    ) -> (Self, Drained) {
        let (held, drained) = mpsc::channel(1);
        let held = Self {
            client,
            fence,
            events,
            writes,
            _drained: held,
        };
        (held, Drained(drained))
    }

    /// The same for what is done in the background, which nobody waits for.
    #[must_use]
    pub fn undrained(&self) -> Self {
        let (client, fence) = (self.client.clone(), self.fence.clone());
        let (events, writes) = (self.events.clone(), self.writes.clone());
        Self::new(client, fence, events, writes).0
    }
}

/// Which connections there are, and who works on them.
#[derive(Default)]
pub struct Roster {
    /// One who works alone works on all by this.
    everything: Option<Held>,
    held: HashMap<Share, Held>,
    there: HashSet<Key>,
    /// Whether it is known which there are: before that, none is missing.
    listed: bool,
    running: HashMap<Key, Arc<Connection>>,
}

/// What to work by on an object that names a connection.
pub struct Post {
    /// The right.
    pub held: Held,
    /// The connection; none where there is none of that name.
    pub connection: Option<Arc<Connection>>,
}

impl Roster {
    /// The roster of one who works on everything there is.
    #[must_use]
    pub fn of_everything(held: Held) -> Self {
        Self {
            everything: Some(held),
            ..Self::default()
        }
    }

    fn held(&self, share: &Share) -> Option<&Held> {
        self.everything.as_ref().or_else(|| self.held.get(share))
    }

    /// There is such a connection; its running side, where it is for this process to work on.
    pub fn appears(&mut self, key: &Key) -> Option<Arc<Connection>> {
        self.there.insert(key.clone());
        self.run(key)
    }

    fn run(&mut self, key: &Key) -> Option<Arc<Connection>> {
        if let Some(running) = self.running.get(key) {
            return Some(running.clone());
        }
        let held = self.held(&Share::Connection(key.clone()))?.clone();
        let made = Arc::new(Connection::new(key.clone(), held));
        self.running.insert(key.clone(), made.clone());
        Some(made)
    }

    /// There is no such connection any more.
    pub fn goes(&mut self, key: &Key) -> Option<Arc<Connection>> {
        self.there.remove(key);
        self.running.remove(key)
    }

    /// From now on the share is this process's; the running side of its connection, where there is one.
    pub fn take(&mut self, share: Share, held: Held) -> Option<Arc<Connection>> {
        let key = match &share {
            Share::Connection(key) => Some(key.clone()),
            Share::Nobodys => None,
        };
        // Left behind by a task that panicked: its right is over, whatever became of it.
        if let Some(key) = &key {
            self.running.remove(key);
        }
        self.held.insert(share, held);
        key.filter(|key| self.there.contains(key))
            .and_then(|key| self.run(&key))
    }

    /// From now on it is not.
    pub fn leave(&mut self, share: &Share) -> Option<Arc<Connection>> {
        self.held.remove(share)?;
        match share {
            Share::Connection(key) => self.running.remove(key),
            Share::Nobodys => None,
        }
    }

    /// The running side of a connection that is for this process to work on.
    pub fn running(&self, key: &Key) -> Option<Arc<Connection>> {
        self.running.get(key).cloned()
    }

    /// Those that run.
    pub fn all_running(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.running.values()
    }

    /// Every connection that there is, whoever works on it.
    pub fn all_there(&self) -> impl Iterator<Item = &Key> {
        self.there.iter()
    }

    /// From now on it is known which there are; whether that is news.
    pub fn complete(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }

    /// Whether it is known which there are.
    pub fn listed(&self) -> bool {
        self.listed
    }

    /// What to work by on what names that connection: nothing where that is for somebody else to do, or while
    /// nobody knows whether there is one.
    pub fn post(&self, connection: &Key) -> Option<Post> {
        if let Some(running) = self.running.get(connection) {
            return Some(Post {
                held: running.held.clone(),
                connection: Some(running.clone()),
            });
        }
        if self.there.contains(connection) || !self.listed {
            return None;
        }
        // Whoever worked on it while it was there has not given it up yet.
        let share = Share::Connection(connection.clone());
        if self.everything.is_none() && self.held.contains_key(&share) {
            return None;
        }
        let held = self.held(&Share::Nobodys)?.clone();
        Some(Post {
            held,
            connection: None,
        })
    }

    /// What to work by on what names no connection that could be told.
    pub fn nobodys(&self) -> Option<Held> {
        self.held(&Share::Nobodys).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
