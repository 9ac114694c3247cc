//! Several watches as one: whoever follows it sees what a single watch of all their objects would show.
//!
//! Guarantees: a listing is whole only when every watch has listed; when one of them lists anew, all do, since a
//! store swaps everything it has for a listing. Nothing comes between `Init` and `InitDone` but what is listed.
//!
//! Assumptions: no object is of two of the watches.

use std::pin::Pin;

use futures::stream::FuturesUnordered;
use futures::{Future, Stream, StreamExt, stream};
use kube::runtime::watcher::Event;

/// One of the watches.
struct Part<S> {
    watch: S,
    /// Some of its listing was passed on.
    has_given: bool,
}

type Next<K, S> = Pin<Box<dyn Future<Output = (Option<Event<K>>, Part<S>)> + Send>>;

struct Merged<K, S> {
    /// Those that are asked for their next event.
    asked: FuturesUnordered<Next<K, S>>,
    /// Those that have listed, and wait until all have.
    whole: Vec<Part<S>>,
    is_whole: bool,
}

impl<K, S> Merged<K, S>
where
    K: Send + 'static,
    S: Stream<Item = Event<K>> + Send + Unpin + 'static,
{
    fn of(watches: Vec<S>) -> Self {
        let mut merged = Self {
            asked: FuturesUnordered::new(),
            whole: Vec::new(),
            is_whole: false,
        };
        for watch in watches {
            merged.ask(Part {
                watch,
                has_given: false,
            });
        }
        merged
    }

    fn ask(&mut self, mut part: Part<S>) {
        self.asked.push(Box::pin(async move {
            let event = part.watch.next().await;
            (event, part)
        }));
    }

    /// The next event; `Init` where everything has to be listed anew. None when a watch has ended.
    async fn next(&mut self) -> Option<Event<K>> {
        loop {
            let (event, mut part) = self.asked.next().await?;
            match event? {
                // A listing that is begun a second time may lack what the first one gave.
                Event::Init if part.has_given && !self.is_whole => return Some(Event::Init),
                Event::Init => self.ask(part),
                Event::InitApply(_) | Event::InitDone if self.is_whole => return Some(Event::Init),
                Event::InitApply(object) => {
                    part.has_given = true;
                    self.ask(part);
                    return Some(Event::InitApply(object));
                }
                Event::InitDone => {
                    self.whole.push(part);
                    if self.asked.is_empty() {
                        self.is_whole = true;
                        let whole = std::mem::take(&mut self.whole);
                        whole.into_iter().for_each(|part| self.ask(part));
                        return Some(Event::InitDone);
                    }
                }
                // A change of what is not listed yet: it is no watch that tells so.
                Event::Apply(_) | Event::Delete(_) if !self.is_whole => return Some(Event::Init),
                event => {
                    self.ask(part);
                    return Some(event);
                }
            }
        }
    }
}

/// The watches that `begin` begins, as one. They send nothing before the `Init` that tells of them was taken: their
/// listings answer everybody who asked for one until then.
pub fn merged<K, S>(
    begin: impl Fn() -> Vec<S> + Send + 'static,
) -> impl Stream<Item = Event<K>> + Send + 'static
where
    K: Send + 'static,
    S: Stream<Item = Event<K>> + Send + Unpin + 'static,
{
    let begun: Option<Merged<K, S>> = None;
    stream::unfold((begin, begun), |(begin, mut begun)| async move {
        let event = match &mut begun {
            None => Event::Init,
            Some(watches) => watches.next().await?,
        };
        if matches!(event, Event::Init) {
            begun = Some(Merged::of(begin()));
        }
        Some((event, (begin, begun)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::FutureExt;
    use futures::stream::BoxStream;
    use tokio::sync::mpsc;

    use super::*;

    type Feeds = Arc<Mutex<Vec<mpsc::UnboundedSender<Event<u8>>>>>;

    /// Two watches that a test feeds, and those of the last time that they were begun.
    fn two() -> (
        Feeds,
        impl Fn() -> Vec<BoxStream<'static, Event<u8>>> + Send + 'static,
    ) {
        let feeds = Feeds::default();
        let fed = feeds.clone();
        let begin = move || {
            let mut watches = Vec::new();
            let mut feeds = Vec::new();
            for _ in 0..2 {
                let (feed, events) = mpsc::unbounded_channel();
                feeds.push(feed);
                let watch = stream::unfold(events, |mut events| async move {
                    Some((events.recv().await?, events))
                });
                watches.push(watch.boxed());
            }
            *fed.lock().unwrap() = feeds;
            watches
        };
        (feeds, begin)
    }

    fn says(feeds: &Feeds, watch: usize, events: impl IntoIterator<Item = Event<u8>>) {
        let feeds = feeds.lock().unwrap();
        events
            .into_iter()
            .for_each(|event| feeds[watch].send(event).unwrap());
    }

    /// All that is told without waiting, in short.
    fn told(merged: &mut (impl Stream<Item = Event<u8>> + Unpin)) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(Some(event)) = merged.next().now_or_never() {
            told.push(match event {
                Event::Init => "init".to_owned(),
                Event::InitApply(object) => format!("listed {object}"),
                Event::InitDone => "whole".to_owned(),
                Event::Apply(object) => format!("applied {object}"),
                Event::Delete(object) => format!("deleted {object}"),
            });
        }
        told
    }

    /// Two that have listed one object each.
    fn listed() -> (Feeds, impl Stream<Item = Event<u8>> + Unpin) {
        let (feeds, begin) = two();
        let mut watch = Box::pin(merged(begin));
        assert_eq!(told(&mut watch), ["init"]);
        says(
            &feeds,
            0,
            [Event::Init, Event::InitApply(1), Event::InitDone],
        );
        says(
            &feeds,
            1,
            [Event::Init, Event::InitApply(2), Event::InitDone],
        );
        let all = told(&mut watch);
        assert_eq!(all.last().unwrap(), "whole", "{all:?}");
        assert_eq!(all.len(), 3, "{all:?}");
        (feeds, watch)
    }

    #[test]
    fn a_listing_is_whole_when_both_are_and_what_changes_meanwhile_comes_after_it() {
        let (feeds, begin) = two();
        let mut watch = Box::pin(merged(begin));
        assert_eq!(told(&mut watch), ["init"]);
        let first = [Event::Init, Event::InitApply(1), Event::InitDone];
        says(&feeds, 0, first);
        says(&feeds, 0, [Event::Apply(3), Event::Delete(1)]);
        assert_eq!(
            told(&mut watch),
            ["listed 1"],
            "a store would swap for this"
        );
        says(&feeds, 1, [Event::Init, Event::InitDone]);
        assert_eq!(told(&mut watch), ["whole", "applied 3", "deleted 1"]);
        says(&feeds, 1, [Event::Apply(4)]);
        assert_eq!(told(&mut watch), ["applied 4"]);
    }

    #[test]
    fn where_one_lists_anew_all_do() {
        for again in [
            vec![Event::Init, Event::InitApply(2)],
            // Nothing is left of it.
            vec![Event::Init, Event::InitDone],
        ] {
            let (feeds, mut watch) = listed();
            says(&feeds, 1, again);
            assert_eq!(told(&mut watch), ["init"], "both were begun anew");
            says(
                &feeds,
                0,
                [Event::Init, Event::InitApply(1), Event::InitDone],
            );
            says(&feeds, 1, [Event::Init, Event::InitDone]);
            assert_eq!(told(&mut watch), ["listed 1", "whole"]);
        }
    }

    #[test]
    fn one_that_tries_to_list_anew_and_cannot_stops_nobody() {
        let (feeds, mut watch) = listed();
        says(&feeds, 1, [Event::Init, Event::Init]);
        says(&feeds, 0, [Event::Apply(3)]);
        assert_eq!(told(&mut watch), ["applied 3"]);
    }

    #[test]
    fn what_a_listing_gave_that_was_broken_off_is_not_taken_for_there() {
        let (feeds, begin) = two();
        let mut watch = Box::pin(merged(begin));
        assert_eq!(told(&mut watch), ["init"]);
        says(&feeds, 0, [Event::Init, Event::Init]);
        assert!(told(&mut watch).is_empty(), "nothing was given yet");
        says(&feeds, 0, [Event::InitApply(1), Event::Init]);
        assert_eq!(told(&mut watch), ["listed 1", "init"]);
    }
}
