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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::sync::mpsc;

    use super::*;

    /// A watch that a test feeds, one for each time that it is begun.
    struct Fed {
        begun: Arc<AtomicUsize>,
        feed: watch::Sender<Option<mpsc::UnboundedSender<Event<u8>>>>,
    }

    impl Fed {
        fn new() -> (
            Self,
            impl Fn() -> futures::stream::BoxStream<'static, Result<Event<u8>>> + Send,
        ) {
            let (begun, feed) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(None));
            let (count, fed) = (begun.clone(), feed.clone());
            let make = move || {
                count.fetch_add(1, Ordering::Relaxed);
                let (sender, events) = mpsc::unbounded_channel();
                fed.send_replace(Some(sender));
                stream::unfold(events, |mut events| async move {
                    Some((Ok(events.recv().await?), events))
                })
                .boxed()
            };
            (Self { begun, feed }, make)
        }

        fn says(&self, event: Event<u8>) {
            self.feed.borrow().as_ref().unwrap().send(event).unwrap();
        }
    }

    /// As `run` has it: whole once the store has it.
    async fn next(relists: &Relists, watch: &mut (impl Stream<Item = Result<Event<u8>>> + Unpin)) {
        if let Ok(Event::InitDone) = watch.next().await.unwrap() {
            relists.is_done(Kind::Users);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r05_whoever_asks_waits_for_a_listing_that_has_begun_since() {
        let relists = Relists::default();
        let (fed, make) = Fed::new();
        let mut watch = std::pin::pin!(relists.watch(Kind::Users, make));
        relists.done.send_modify(|done| done[1..].fill(u64::MAX));
        // A listing is under way: what it has may be older than the question.
        fed.says(Event::Init);
        next(&relists, &mut watch).await;
        let mut asked = std::pin::pin!(relists.fresh());
        assert!(asked.as_mut().now_or_never().is_none());
        fed.says(Event::InitDone);
        next(&relists, &mut watch).await;
        assert!(asked.as_mut().now_or_never().is_none(), "it began before");
        assert_eq!(fed.begun.load(Ordering::Relaxed), 1, "it was not cut short");

        let begins = tokio::time::timeout(Duration::from_secs(1), watch.next()).await;
        assert!(begins.is_err(), "nothing comes before it is listed");
        assert_eq!(fed.begun.load(Ordering::Relaxed), 2, "it is listed anew");
        fed.says(Event::Init);
        next(&relists, &mut watch).await;
        fed.says(Event::InitApply(1));
        next(&relists, &mut watch).await;
        assert!(asked.as_mut().now_or_never().is_none(), "it is not whole");
        fed.says(Event::InitDone);
        next(&relists, &mut watch).await;
        assert!(asked.as_mut().now_or_never().is_some());
        let more = tokio::time::timeout(Duration::from_secs(1), watch.next()).await;
        assert!(more.is_err());
        assert_eq!(
            fed.begun.load(Ordering::Relaxed),
            2,
            "once for all who asked"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_kind_has_to_be_listed() {
        let relists = Relists::default();
        let mut asked = std::pin::pin!(relists.fresh());
        assert!(asked.as_mut().now_or_never().is_none());
        for kind in [Kind::Users, Kind::Groups, Kind::Connections] {
            assert!(asked.as_mut().now_or_never().is_none(), "{kind:?}");
            relists.begun.send_modify(|begun| begun[kind as usize] = 1);
            relists.is_done(kind);
        }
        assert!(asked.as_mut().now_or_never().is_some());
    }
}
