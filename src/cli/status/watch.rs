//! Follows a connection, or those of a namespace, until somebody ends it: drawn in place on a terminal, else a line
//! for whatever changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use anstream::{print, println};
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::runtime::watcher::{Config, Error, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use super::facts::Facts;
use super::findings::{Roll, is_of};
use super::gather::{Scope, connection, field};
use super::{Arguments, figures, screen};
use crate::api::ScimConnection;
use crate::cli::cluster::Cluster;
use crate::cli::kinds::{Kind, Seen};
use crate::cli::refused::Asked;
use crate::cli::{Ended, Failure};

/// Twice a second at most: nobody reads faster.
const PAUSE: Duration = Duration::from_millis(500);

/// What changed.
enum Change {
    Connections(Box<Event<ScimConnection>>),
    Users(Event<Seen>),
    Groups(Event<Seen>),
    /// A right is missing, and no try again will help.
    Refused(Failure),
    /// It is tried again.
    Interrupted,
}

/// What is known, as it is followed.
#[derive(Default)]
struct Known {
    /// Namespace and name of the one connection that is followed; none where all are.
    one: Option<(String, String)>,
    /// What could not be read.
    unread: Option<String>,
    connections: BTreeMap<String, ScimConnection>,
    users: Roll,
    groups: Roll,
    /// What a watch lists that begins anew; it takes the place of the others at once.
    coming: (BTreeMap<String, ScimConnection>, Roll, Roll),
    /// Which of the three are listed.
    listed: [bool; 3],
}

/// Follows until Ctrl-C.
///
/// # Errors
/// When something may not be read.
pub async fn follow(
    cluster: &Cluster,
    arguments: &Arguments,
    in_place: bool,
) -> Result<Ended, Failure> {
    let mut known = Known::default();
    let mut changes: SelectAll<BoxStream<'static, Change>> = SelectAll::new();
    let client = cluster.client.clone();
    let everywhere = arguments.all_namespaces;
    let namespace = (!everywhere).then(|| cluster.namespace.clone());
    let connections: Api<ScimConnection> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut config = Config::default();
    if let Some(target) = &arguments.connection {
        let object = connection(cluster, &target.name).await?;
        let scope = Scope::of(cluster, &object).await?;
        known.one = Some((cluster.namespace.clone(), target.name.clone()));
        known.unread.clone_from(&scope.unread);
        config = config.fields(&format!("metadata.name={}", target.name));
        for (kind, change) in [
            (Kind::user(), Change::Users as fn(Event<Seen>) -> Change),
            (Kind::group(), Change::Groups),
        ] {
            let api = scope.api(cluster, &kind);
            let config = Config::default().fields(&field(&target.name));
            changes.push(watched(api, config, kind, scope.namespace.clone(), change));
        }
    } else {
        known.listed = [false, true, true];
    }
    let kind = Kind::connection();
    let change = |event| Change::Connections(Box::new(event));
    changes.push(watched(connections, config, kind, namespace, change));

    let mut shown = Shown::new(in_place);
    let mut due: Option<Instant> = None;
    let mut not_before = Instant::now();
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let drawing = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = &mut stop => return Ok(Ended::Well),
            () = drawing => {
                due = None;
                not_before = Instant::now() + PAUSE;
                // A replica may take its time to tell its figures.
                tokio::select! {
                    biased;
                    _ = &mut stop => return Ok(Ended::Well),
                    facts = known.facts(arguments) => shown.show(&facts),
                }
            }
            change = changes.next() => {
                match change {
                    Some(Change::Refused(failure)) => return Err(failure),
                    Some(Change::Interrupted) => {}
                    Some(change) => known.take(change),
                    None => return Err(Failure::new("the watch ended")),
                }
                if known.listed == [true; 3] {
                    due.get_or_insert(not_before);
                }
            }
        }
    }
}

/// What was shown last, so that nothing is shown twice.
struct Shown {
    in_place: bool,
    lines: BTreeMap<String, String>,
    nothing: bool,
}

impl Shown {
    fn new(in_place: bool) -> Self {
        Self {
            in_place,
            lines: BTreeMap::new(),
            nothing: false,
        }
    }

    fn show(&mut self, (all, one): &(Vec<Facts>, bool)) {
        let now = Timestamp::now();
        if self.in_place {
            let text = match (all.is_empty(), one) {
                (true, _) => NOTHING.to_owned(),
                (false, true) => all.iter().map(|facts| screen::screen(facts, now)).collect(),
                (false, false) => screen::table(all, now),
            };
            // Home, and clear what was there before.
            print!("\x1b[H\x1b[2J{text}");
            let _ = std::io::Write::flush(&mut std::io::stdout());
            return;
        }
        for line in self.news(all) {
            let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
            println!("{now} {line}");
        }
    }

    /// The lines that are other than before, and who is gone.
    fn news(&mut self, all: &[Facts]) -> Vec<String> {
        let lines = all.iter().map(|facts| (facts.key(), screen::line(facts)));
        let lines: BTreeMap<String, String> = lines.collect();
        let changed = lines
            .iter()
            .filter(|(key, line)| self.lines.get(*key) != Some(line));
        let mut news: Vec<String> = changed.map(|(_, line)| line.clone()).collect();
        let gone = self.lines.keys().filter(|key| !lines.contains_key(*key));
        news.extend(gone.map(|key| format!("{key} is gone")));
        let nothing = lines.is_empty();
        if nothing && news.is_empty() && !self.nothing {
            news.push(NOTHING.trim_end().to_owned());
        }
        (self.lines, self.nothing) = (lines, nothing);
        news
    }
}

const NOTHING: &str = "there is no such ScimConnection\n";

/// The changes of one kind, with what cannot be helped told apart from what is tried again.
fn watched<K>(
    api: Api<K>,
    config: Config,
    kind: Kind,
    namespace: Option<String>,
    change: fn(Event<K>) -> Change,
) -> BoxStream<'static, Change>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api, config).default_backoff();
    changes(events, kind, namespace, change).boxed()
}

fn changes<K>(
    events: impl Stream<Item = Result<Event<K>, Error>>,
    kind: Kind,
    namespace: Option<String>,
    change: fn(Event<K>) -> Change,
) -> impl Stream<Item = Change> {
    events.map(move |event| match event {
        Ok(event) => change(event),
        Err(error) => {
            let asked = Asked {
                verb: "watch",
                resource: &kind.resource,
                namespace: namespace.as_deref(),
            };
            match asked.watch_failed(&error) {
                Some(failure) => Change::Refused(failure),
                None => Change::Interrupted,
            }
        }
    })
}

impl Known {
    fn take(&mut self, change: Change) {
        let (connections, users, groups) = &mut self.coming;
        match change {
            Change::Connections(event) => {
                let key = |object: &ScimConnection| {
                    let namespace = object.namespace().unwrap_or_default();
                    format!("{namespace}/{}", object.name_any())
                };
                match *event {
                    Event::Init => connections.clear(),
                    Event::InitApply(object) => {
                        connections.insert(key(&object), object);
                    }
                    Event::InitDone => {
                        self.connections = std::mem::take(connections);
                        self.listed[0] = true;
                    }
                    Event::Apply(object) => {
                        self.connections.insert(key(&object), object);
                    }
                    Event::Delete(object) => {
                        self.connections.remove(&key(&object));
                    }
                }
            }
            Change::Users(event) => {
                let listed = &mut self.listed[1];
                roll(event, &mut self.users, users, listed, self.one.as_ref());
            }
            Change::Groups(event) => {
                let listed = &mut self.listed[2];
                roll(event, &mut self.groups, groups, listed, self.one.as_ref());
            }
            Change::Refused(_) | Change::Interrupted => {}
        }
    }

    /// What is known now, and whether one connection was asked for.
    async fn facts(&self, arguments: &Arguments) -> (Vec<Facts>, bool) {
        let now = Timestamp::now();
        // A replica that does not answer now is shown as none.
        let figures = match &arguments.metrics {
            Some(url) => figures::fetch(url).await.ok(),
            None => None,
        };
        let mut all = Vec::new();
        for object in self.connections.values() {
            let mut facts = Facts::of(object, now);
            if self.one.is_some() {
                facts.users = Some(self.users.sections(arguments.limit));
                facts.groups = Some(self.groups.sections(arguments.limit));
                facts.unread.clone_from(&self.unread);
            }
            let figures = figures.as_deref();
            facts.requests = figures.and_then(|text| figures::of(text, &facts.key()));
            all.push(facts);
        }
        (all, self.one.is_some())
    }
}

fn roll(
    event: Event<Seen>,
    roll: &mut Roll,
    coming: &mut Roll,
    listed: &mut bool,
    one: Option<&(String, String)>,
) {
    let Some((namespace, name)) = one else {
        return;
    };
    let ours = |seen: &Seen| is_of(seen, namespace, name);
    match event {
        Event::Init => *coming = Roll::default(),
        Event::InitApply(seen) if ours(&seen) => coming.take(&seen),
        Event::InitDone => {
            *roll = std::mem::take(coming);
            *listed = true;
        }
        Event::Apply(seen) if ours(&seen) => roll.take(&seen),
        Event::Delete(seen) if ours(&seen) => roll.forget(&seen),
        Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::facts::tests::{condition, connection};
    use super::super::findings::tests::somebody;
    use super::*;

    fn known() -> Known {
        Known {
            one: Some(("identity".into(), "scim".into())),
            ..Known::default()
        }
    }

    #[test]
    fn what_is_listed_anew_takes_the_place_of_what_was_known_at_once() {
        let mut known = known();
        let invalid = |name: &str| somebody(name, &[("Ready", "False", "Invalid")]);
        let count = |known: &Known| known.users.sections(9).invalid.count;
        known.take(Change::Users(Event::Init));
        known.take(Change::Users(Event::InitApply(invalid("ada"))));
        assert_eq!((count(&known), known.listed[1]), (0, false));
        known.take(Change::Users(Event::InitDone));
        assert_eq!((count(&known), known.listed[1]), (1, true));
        known.take(Change::Users(Event::Apply(invalid("eve"))));
        known.take(Change::Users(Event::Init));
        assert_eq!(count(&known), 2);
        known.take(Change::Users(Event::InitApply(invalid("eve"))));
        known.take(Change::Users(Event::InitDone));
        known.take(Change::Groups(Event::Apply(invalid("team"))));
        assert_eq!(count(&known), 1);
        known.take(Change::Users(Event::Delete(invalid("eve"))));
        assert_eq!(
            (count(&known), known.groups.sections(9).invalid.count),
            (0, 1)
        );
    }

    #[test]
    fn whoever_is_of_another_connection_is_not_shown() {
        let mut known = known();
        known.one = Some(("elsewhere".into(), "scim".into()));
        let invalid = somebody("ada", &[("Ready", "False", "Invalid")]);
        known.take(Change::Users(Event::Apply(invalid)));
        assert_eq!(known.users.sections(9).invalid.count, 0);
    }

    #[test]
    fn a_line_is_written_when_it_is_another_and_when_one_is_gone() {
        let facts = |reason: &str| {
            let status = json!({"conditions": [condition("Ready", "False", reason, "")]});
            Facts::of(&connection(json!({}), status), Timestamp::UNIX_EPOCH)
        };
        let mut shown = Shown::new(false);
        assert_eq!(shown.news(&[facts("Pending")]).len(), 1);
        assert!(shown.news(&[facts("Pending")]).is_empty());
        assert!(shown.news(&[facts("Unreachable")])[0].contains("Unreachable"));
        assert_eq!(shown.news(&[]), ["identity/scim is gone"]);
        assert!(shown.news(&[]).is_empty());
    }
}
