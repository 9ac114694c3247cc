//! The reconciler of ScimConnection: token → client → discovery → listing → phase → status.
//!
//! One probe a backoff step, whatever the number of users (R10): while a connection fails, users are
//! left alone and only this loop talks to the backend.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use tokio::time::Instant;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{Feature, ScimConnection};
use crate::api::{ANNOTATION_FLUX_REQUESTED_AT, ANNOTATION_RECONCILE_AT};
use crate::controller::connection_end::{self, End};
use crate::controller::connection_status::{self, Run};
use crate::controller::context::Context;
use crate::controller::guard;
use crate::controller::index::Key;
use crate::controller::inputs::{inputs, inputs_changed};
use crate::controller::listing::{list_groups, listing, listing_wait};
use crate::controller::live::{Base, Connection, Phase, Ready, Woken};
use crate::controller::memory::Memory;
use crate::controller::refusal;
use crate::controller::status::Wrote;
use crate::controller::trouble::{LONGEST_WAIT, Trouble, circuit_open, pause, trouble};
use crate::domain::conditions::Verdict;
use crate::domain::profile::Profile;
use crate::scim::limits::Limits;
use crate::scim::{Client, ClientConfig, ConfigError, ListQuery, ResourceKind};

const DISCOVERY_AGE: Duration = Duration::from_secs(24 * 3600);
/// What a run has to ask the backend, though nothing is due.
#[derive(Clone, Copy)]
struct Probe {
    /// A listing, as a person asked.
    listing: bool,
    /// Anything, since a user met trouble.
    any: bool,
}

/// Why a run takes place.
#[derive(Clone, Copy)]
struct Why {
    /// The circuit has opened.
    tripped: bool,
    /// A person asks.
    asked: bool,
    /// The spec is another one.
    spec_changed: bool,
}

/// The annotation by which a person or Flux asks for a reconcile now.
pub fn requested(object: &impl Resource) -> Option<String> {
    let annotations = object.annotations();
    let values = [ANNOTATION_RECONCILE_AT, ANNOTATION_FLUX_REQUESTED_AT]
        .map(|name| annotations.get(name).cloned());
    let joined: Vec<String> = values.into_iter().flatten().collect();
    (!joined.is_empty()).then(|| joined.join("/"))
}

/// Brings one connection up to date.
///
/// # Errors
/// When its status cannot be written.
pub async fn reconcile(
    object: Arc<ScimConnection>,
    context: Arc<Context>,
) -> Result<Action, kube::Error> {
    let key = Key::of(&*object);
    let Some(connection) = context.connection(&key) else {
        // Gone, or another replica's.
        return Ok(Action::await_change());
    };
    // What was handed over may be from before it became ours; what the watch has now is not.
    let Some(object) = context.connections.get(&key.reference()) else {
        return Ok(Action::await_change());
    };
    if context.unreadable.contains::<ScimConnection>(&key) {
        connection.hold();
        context.wake(connection.set_phase(Phase::NotReady(Reason::Invalid)));
        return Ok(Action::await_change());
    }
    let before = connection.spec();
    let spec_changed = before.as_ref().is_some_and(|old| *old != object.spec);
    if spec_changed {
        // Whoever was about to write by the old spec does not; all wait for what the new one comes to.
        connection.hold();
    }
    connection.set_spec(object.spec.clone());
    if before.is_none() || spec_changed {
        // Rules such as allowedNamespaces and deletionPolicy need no backend, but a second look.
        context.wake(context.everyone_of(&key));
    }
    let end = connection_end::part(&object, &context, &connection.held).await?;
    let leaving = match end {
        End::Over(action) => return Ok(action),
        End::NotAsked => None,
        End::Stays(stays) => Some(stays),
    };
    let mut memory = connection.memory.lock().await;
    let ending = leaving.as_ref().and_then(|stays| stays.ending);
    // No later than what a deleted connection holds up may be held up.
    let latest = ending.map_or(Duration::MAX, |ending| {
        ending.left + Duration::from_millis(10)
    });
    memory.leaving = leaving.map(|stays| stays.verdict);
    let request = requested(&*object);
    let asked = request != memory.answered;
    if !std::mem::replace(&mut memory.restored, true) {
        // Before anything is reported, which would write an empty guard over what was spent.
        connection_status::remember(&object, &connection);
        guard::restore(&object, &connection);
    }
    if object.spec.suspend {
        memory.failing_with = None;
        context.wake(connection.set_phase(Phase::NotReady(Reason::Suspended)));
        memory.answered = request;
        connection_status::report(&object, &context, &connection, &mut memory, Run::Suspended)
            .await?;
        return Ok(match ending {
            Some(_) => Action::requeue(latest),
            None => Action::await_change(),
        });
    }
    if memory.reported.is_none()
        && object
            .status
            .as_ref()
            .is_none_or(|s| s.conditions.is_empty())
        && inputs(&object, &context, &memory).await.is_ok()
    {
        // A first listing can take minutes: say so rather than nothing.
        connection_status::report(&object, &context, &connection, &mut memory, Run::Listing)
            .await?;
    }
    if !context.users_are_known() {
        // What is listed has to be held against what was recorded.
        return Ok(Action::requeue(Duration::from_millis(200)));
    }
    let tripped = connection.take_trip();
    let why = Why {
        tripped,
        asked,
        spec_changed,
    };
    let attempt = attempt(&object, &context, &connection, &mut memory, why).await;
    let Some(outcome) = attempt else {
        // Given up on the way, for a new spec or token, or because the operator stops.
        return Ok(Action::requeue(Duration::from_millis(20)));
    };
    if context.is_stopping() {
        return Ok(Action::await_change());
    }
    if !tripped {
        memory.answered = request;
    }
    let on_trial = outcome.is_ok() && connection.opened() > 0;
    let wait = match &outcome {
        Ok(woken) => goes_on(&object, &context, &connection, &mut memory, woken.clone()),
        Err(trouble) => stands_still(&context, &connection, &mut memory, trouble),
    };
    if outcome.is_ok() {
        guard::decide(&object, &context, &connection, memory.counted).await;
    }
    let trial = circuit_open();
    let run = match &outcome {
        Ok(_) if on_trial => Run::Down(&trial),
        Ok(_) => Run::Up,
        Err(trouble) => Run::Down(trouble),
    };
    let wrote = connection_status::report(&object, &context, &connection, &mut memory, run).await?;
    if wrote != Wrote::Gone {
        // Written down: whoever was granted may go, whoever is held says so.
        let decided = connection.guard().persisted();
        guard::tell(&context, decided);
    }
    Ok(Action::requeue(wait.min(latest)))
}

/// Asks the backend what is due. `None` where that was given up on the way.
async fn attempt(
    object: &ScimConnection,
    context: &Context,
    connection: &Arc<Connection>,
    memory: &mut Memory,
    why: Why,
) -> Option<Result<Woken, Trouble>> {
    let Why {
        tripped,
        asked,
        spec_changed,
    } = why;
    let suspected = connection.suspected();
    if tripped {
        memory.failures = connection.opened();
        memory.not_before = Some(Instant::now() + pause(memory.failures, Reason::CircuitOpen));
        return Some(Err(circuit_open()));
    }
    let early = memory.not_before.is_some_and(|at| at > Instant::now());
    if let Some(trouble) = memory.failing_with.clone()
        && early
        && !asked
        && !spec_changed
        && !inputs_changed(object, context, memory).await
    {
        // Woken for the counts while waiting: the backend is not asked before its time.
        return Some(Err(trouble));
    }
    let probe = Probe {
        listing: asked,
        any: suspected,
    };
    let outcome = bring_up(object, context, connection, memory, probe).await;
    if let Err(trouble) = &outcome {
        let reason = trouble.first()?.reason;
        memory.failures += 1;
        memory.not_before = Some(Instant::now() + pause(memory.failures, reason));
    }
    Some(outcome)
}

/// Users can be worked on: wakes whoever waited for that, and says when to look again.
fn goes_on(
    object: &ScimConnection,
    context: &Context,
    connection: &Connection,
    memory: &mut Memory,
    mut woken: Woken,
) -> Duration {
    memory.failures = 0;
    memory.not_before = None;
    memory.failing_with = None;
    let on_trial = connection.opened() > 0;
    if on_trial {
        // One shows whether it works; the others go on waiting.
        let one = woken.take_one();
        connection.wait_on(std::mem::replace(&mut woken, one));
    }
    context.wake(woken);
    let since = memory.listed.map_or(Duration::ZERO, |t| t.elapsed());
    let mut wait = listing_wait(memory, &object.spec).saturating_sub(since);
    if let Some((_, at)) = memory.groups_again
        && context.has_groups(&connection.key)
    {
        wait = wait.min(at.saturating_duration_since(Instant::now()));
    }
    if on_trial {
        // The one may have nothing to write: then it is another's turn, until nobody is left to try.
        wait = wait.min(pause(connection.opened(), Reason::CircuitOpen));
    }
    wait.max(Duration::from_millis(200))
}

/// Something is in the way: everybody waits, and this says for how long.
fn stands_still(
    context: &Context,
    connection: &Connection,
    memory: &mut Memory,
    trouble: &Trouble,
) -> Duration {
    let reason = trouble.first().map_or(Reason::Unknown, |v| v.reason);
    memory.failing_with = Some(trouble.clone());
    // Users in the queue would only repeat what was found. A backend that asks for fewer requests keeps
    // its limiter, which knows until when.
    if reason != Reason::RateLimited {
        connection.hold();
    }
    let woken = connection.set_phase(Phase::NotReady(reason));
    if reason == Reason::CircuitOpen && connection.opened() > 1 {
        // It was told when it opened first.
        connection.wait_on(woken);
    } else {
        context.wake(woken);
    }
    let until = memory
        .not_before
        .map(|t| t.saturating_duration_since(Instant::now()));
    until
        .unwrap_or(LONGEST_WAIT)
        .max(Duration::from_millis(100))
}

async fn bring_up(
    object: &ScimConnection,
    context: &Context,
    connection: &Arc<Connection>,
    memory: &mut Memory,
    probe: Probe,
) -> Result<Woken, Trouble> {
    let spec = &object.spec;
    let (token, built) = inputs(object, context, memory).await?;
    memory.last_inputs = Some((token.clone(), built.clone()));
    let profile = Profile::resolve(spec.profile, &spec.attribute_mapping).map_err(|error| {
        vec![Verdict::no(
            C::Valid,
            Reason::SpecInvalid,
            format!("spec.{error}"),
        )]
    })?;
    let rebuilt = connection.client().is_none() || memory.built_from.as_ref() != Some(&built);
    if rebuilt {
        let old = memory.built_from.as_ref().map(|built| &built.spec);
        let moved = old.is_some_and(|old| old.endpoint != spec.endpoint);
        let reread = old.is_some_and(|old| {
            old.profile != spec.profile || old.attribute_mapping != spec.attribute_mapping
        });
        if moved {
            connection.leave_backend();
        } else if reread {
            connection.read_anew();
        }
        if moved || reread {
            memory.listed = None;
        }
        // Another token, or another way there, may be offered other things.
        if memory.built_from.as_ref() != Some(&built) {
            memory.discovery = None;
        }
        connection.hold();
        let mut config = ClientConfig::new(spec.endpoint.clone(), token);
        config.ca_pem = built.ca.clone();
        config.allow_local = context.options.allow_local_endpoints;
        config.use_system_proxy = context.options.use_system_proxy;
        config.insecure = spec.insecure;
        config.request_timeout = context.options.longest_request;
        config.fence = connection.held.fence.clone();
        config.tally = connection.counts.tally.clone();
        config.wire = context.options.wire.clone();
        config.limits = Limits {
            requests_per_second: spec.limits.requests_per_second,
            max_in_flight: spec.limits.max_in_flight,
        };
        let client = Client::new(config).map_err(|error| {
            let (reason, field) = match &error {
                ConfigError::CaBundle(_) => (Reason::CaBundleInvalid, "spec.caBundleRef"),
                // Certificates that are PEM and nothing else are found out only here.
                ConfigError::Tls(_) if spec.ca_bundle_ref.is_some() => {
                    (Reason::CaBundleInvalid, "spec.caBundleRef")
                }
                _ => (Reason::EndpointRefused, "spec.endpoint"),
            };
            vec![Verdict::no(
                C::Reachable,
                reason,
                format!("{field}: {error}"),
            )]
        })?;
        if context.is_stopping() {
            return Err(vec![]);
        }
        connection.set_client(client);
        memory.built_from = Some(built);
    }
    // Given up meanwhile: the connection is deleted, or the operator stops.
    let Some(client) = connection.client() else {
        return Err(vec![]);
    };
    let wait = listing_wait(memory, spec);
    let due = memory.listed.is_none_or(|t| t.elapsed() >= wait);
    // A user's doubt is no reason to repeat at once what has just been cut short.
    let (users_wait, groups_wait) = connection.listings_asked();
    let asked = users_wait && (due || memory.incomplete.0 == 0);
    let first = memory.listed.is_none();
    let mut wake = Woken::default();
    if due || asked || probe.listing {
        wake = listing(context, connection, memory, &client, &profile, spec).await?;
    } else if rebuilt || probe.any || memory.failing_with.is_some() {
        client
            .list(ResourceKind::User, &ListQuery::first(1))
            .await
            .map_err(|error| trouble(&error))?;
    }
    let has_groups = context.has_groups(&connection.key);
    if rebuilt {
        // Another token, or another way there, may be allowed what the last one was not.
        memory.groups_again = None;
    }
    let now = Instant::now();
    let again = memory.groups_again.map(|(_, at)| at <= now);
    let groups_asked = groups_wait && again != Some(false);
    let groups_due = probe.listing || again.unwrap_or(due);
    if groups_asked || (has_groups && groups_due) {
        let listed = list_groups(connection, memory, &client, spec).await;
        match listed {
            Ok(more) => wake.extend(more),
            Err(trouble) => {
                // What the listing of users has found is found, whatever became of the groups.
                context.wake(wake);
                return Err(trouble);
            }
        }
    }
    // Asked once the backend has answered, so that one that fails is asked for one thing only.
    if memory
        .discovery
        .as_ref()
        .is_none_or(|(known, at)| at.elapsed() > DISCOVERY_AGE || (known.cut_short() && due))
    {
        memory.discovery = Some((client.discover().await, Instant::now()));
    }
    let capabilities = memory
        .discovery
        .as_ref()
        .map(|(d, _)| d.capabilities.clone())
        .unwrap_or_default();
    let bulk = match spec.dialect.bulk {
        Feature::Auto => capabilities
            .bulk
            .filter(|bulk| bulk.max_operations.is_some_and(|most| most > 1)),
        Feature::Enabled => Some(capabilities.bulk.unwrap_or_default()),
        Feature::Disabled => None,
    };
    client.use_bulk(bulk, &connection.key.to_string());
    let backend = connection.backend();
    let base = Base::of(&connection.key, spec, profile, &capabilities, backend);
    let ready = Ready {
        client,
        base: Arc::new(base),
    };
    if first {
        // How users came out before says nothing of what they ask for now.
        for user in context.index(|index| index.members_of(&connection.key)) {
            connection.note(&user, None);
        }
    }
    if connection.untouched().is_some() {
        // Written down before anything can be begun: a user of whom nothing is recorded is known to have
        // no account for as long as this is not.
        let run = Run::Listing;
        let told = connection_status::report(object, context, connection, memory, run).await;
        if !matches!(told, Ok(Wrote::Written | Wrote::Unchanged)) {
            // Whoever the listing woke is woken by the next one.
            memory.listed = None;
            let why = "what the backend can do could not be written down; nothing is begun before";
            let unknown = Verdict::unknown(C::Reachable, Reason::Unknown, why);
            return Err(vec![unknown]);
        }
        connection.set_untouched(None);
    }
    wake.extend(connection.set_phase(Phase::Ready(Arc::new(ready))));
    if first {
        wake.extend(context.everyone_of(&connection.key));
    }
    Ok(wake)
}

/// How long to wait after a status write failed.
pub fn on_error(_: Arc<ScimConnection>, error: &kube::Error, _: Arc<Context>) -> Action {
    tracing::warn!(
        error = refusal::told(error),
        "the status of a connection could not be written"
    );
    Action::requeue(Duration::from_secs(5))
}

/// A connection's name in logs.
pub fn label(object: &ScimConnection) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}
