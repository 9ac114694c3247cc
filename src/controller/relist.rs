//! Watches that list anew when they are told to. Whoever takes over a connection has to see all that the
//! one before wrote of it, as after a restart: a watch may be behind by any time (R05).

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{Event, Result};
use tokio::sync::watch;

/// The kinds that are listed anew, each by one watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ScimUsers.
    Users,
    /// ScimGroups.
    Groups,
    /// ScimConnections.
    Connections,
}

const KINDS: usize = 3;

/// A watch, and how to begin it again.
struct Begun<S, M> {
    watch: Pin<Box<S>>,
    make: M,
    asked: watch::Receiver<u64>,
    /// A listing is under way.
    lists: bool,
}

/// How often listings were asked for, and which of these was answered, by kind.
#[derive(Clone, Debug)]
pub struct Relists {
    asked: Arc<watch::Sender<u64>>,
    begun: Arc<watch::Sender<[u64; KINDS]>>,
    done: Arc<watch::Sender<[u64; KINDS]>>,
}

impl Default for Relists {
    fn default() -> Self {
        Self {
            asked: Arc::new(watch::Sender::new(0)),
            begun: Arc::new(watch::Sender::new([0; KINDS])),
            done: Arc::new(watch::Sender::new([0; KINDS])),
        }
    }
}

impl Relists {
    /// Waits for a listing of every kind that has begun after this was called, and is whole.
    pub async fn fresh(&self) {
        let mut wanted = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            wanted = *asked;
        });
        let mut done = self.done.subscribe();
        // The sender is ours: it cannot be gone.
        let _ = done
            .wait_for(|done| done.iter().all(|done| *done >= wanted))
            .await;
    }

    /// A watch as `make` begins it, begun again each time that a listing is asked for.
    pub fn watch<K, S, M>(
        &self,
        kind: Kind,
        make: M,
    ) -> impl Stream<Item = Result<Event<K>>> + Send + use<K, S, M>
    where
        M: Fn() -> S + Send + 'static,
        K: Send + 'static,
        S: Stream<Item = Result<Event<K>>> + Send + 'static,
    {
        let begun = Begun {
            watch: Box::pin(make()),
            make,
            asked: self.asked.subscribe(),
            lists: false,
        };
        let relists = self.clone();
        stream::unfold((begun, relists), move |(mut now, relists)| async move {
            loop {
                // A listing that is under way comes to its end first: else whoever asks often would
                // never see one that is whole.
                let idle = !now.lists;
                let event = tokio::select! {
                    biased;
                    Ok(()) = now.asked.changed(), if idle => {
                        now.watch = Box::pin((now.make)());
                        continue;
                    }
                    event = now.watch.next() => event?,
                };
                match &event {
                    Ok(Event::Init) => {
                        // Its request is sent after this: it answers all that asked so far.
                        let asked = *now.asked.borrow_and_update();
                        relists
                            .begun
                            .send_modify(|begun| begun[kind as usize] = asked);
                        now.lists = true;
                    }
                    Ok(Event::InitDone) | Err(_) => now.lists = false,
                    Ok(_) => {}
                }
                return Some((event, (now, relists)));
            }
        })
    }

    /// A listing of that kind is whole, and in the store.
    pub fn is_done(&self, kind: Kind) {
        let begun = self.begun.borrow()[kind as usize];
        self.done.send_modify(|done| done[kind as usize] = begun);
    }
}
