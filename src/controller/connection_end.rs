//! A ScimConnection that is deleted stays until nothing of it is left to do: its users could not be
//! deprovisioned without it. The finalizer is looked at before any client (R11, R12).

use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Api, Client, ResourceExt};

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::Mode;
use crate::api::{ANNOTATION_ABANDON, ScimConnection};
use crate::controller::connection_status::is_untouched;
use crate::controller::context::Context;
use crate::controller::finalizer::{self, Ensured, Word};
use crate::controller::index::Key;
use crate::controller::past::Past;
use crate::controller::roster::Held;
use crate::controller::scope::{self, Ending};
use crate::domain::conditions::Verdict;

/// How soon a connection is looked for again that the watch has not shown yet.
const SOON: Duration = Duration::from_secs(1);

/// Why nothing can be done by a connection that the watch does not show.
pub fn missing(context: &Context, key: &Key) -> (Reason, String) {
    if context.sees(&key.namespace) {
        let why = format!("spec.connectionRef: there is no ScimConnection {key}");
        return (Reason::ConnectionNotFound, why);
    }
    let why = format!(
        "spec.connectionRef: this operator does not watch the namespace {}, and so does not know ScimConnection {key}; name the namespace in the chart's watchNamespaces",
        key.namespace
    );
    (Reason::ConnectionNotWatched, why)
}

/// Why the deletion of an object waits whose connection the watch does not show.
pub fn waits(context: &Context, key: &Key, left: &str) -> String {
    let why = if context.sees(&key.namespace) {
        "the ScimConnection is gone"
    } else {
        "this operator does not watch the namespace of the ScimConnection, and cannot tell whether anything is left at its backend"
    };
    format!(
        "deletion waits: {why}; the annotation {ANNOTATION_ABANDON}=true releases this resource and leaves the {left} as it is"
    )
}

/// Whether it is certain that there is no such connection, once the watch does not show it and the API server
/// was asked: it may be one that cannot be read, or one where nobody looks.
pub fn is_gone(context: &Context, key: &Key) -> bool {
    context.sees(&key.namespace) && !context.unreadable.contains::<ScimConnection>(key)
}

/// When to look again at an object whose connection the watch does not show, where there is one: the watch of
/// connections may be behind that of users, and what is said or let go for want of a connection would be so in
/// error. So the API server itself is asked, where it may be.
///
/// # Errors
/// When it does not answer.
pub async fn look_again(context: &Context, key: &Key) -> Result<Option<Action>, kube::Error> {
    if !is_gone(context, key) {
        return Ok(None);
    }
    let there = is_there(&context.client, key).await?;
    Ok(there.then(|| Action::requeue(SOON)))
}

async fn is_there(client: &Client, key: &Key) -> Result<bool, kube::Error> {
    let connections: Api<ScimConnection> = Api::namespaced(client.clone(), &key.namespace);
    let there = connections.get_metadata_opt(&key.name).await?;
    Ok(there.is_some())
}

/// Whether a connection goes.
pub enum End {
    /// It is not deleted.
    NotAsked,
    /// It goes, or has to be looked at again: this run is over.
    Over(Action),
    /// It stays for now, and works on.
    Stays(Stays),
}

/// Why a deleted connection stays, and how long at most.
pub struct Stays {
    /// For the condition `DeprovisioningHeld`.
    pub verdict: Verdict,
    /// The end that it holds up, if any.
    pub ending: Option<Ending>,
}

/// Puts the finalizer on where the connection may write, or lets a deleted one go.
///
/// # Errors
/// When the API server does not take the patch.
pub async fn part(
    object: &ScimConnection,
    context: &Context,
    held: &Held,
) -> Result<End, kube::Error> {
    let again = || End::Over(Action::requeue(Duration::from_millis(50)));
    if object.metadata.deletion_timestamp.is_none() {
        let writes = object.spec.mode == Mode::Enforce && !object.spec.suspend;
        let raced = writes && finalizer::ensure(held, object).await? == Ensured::Raced;
        return Ok(if raced { again() } else { End::NotAsked });
    }
    if !finalizer::is_bound(object) {
        return Ok(End::Over(Action::await_change()));
    }
    let known = context.users_are_known() && context.groups_are_known();
    let needed = needed_by(context, object);
    let ending = scope::of(context, object);
    let waited = ending.is_some_and(|ending| ending.left.is_zero());
    let word = if known && needed == 0 {
        Word::done(
            "Released",
            "nothing is left, where this operator looks, that needs this connection",
        )
    } else if finalizer::is_abandoned(object) {
        Word::done(
            "Abandoned",
            "released by annotation; its users and groups can reach their backend no more",
        )
    } else if waited {
        Word::undone(
            "its namespace or its kind is being deleted; users and groups elsewhere can reach their backend no more",
        )
    } else if !known {
        // After a start nobody seems to need it until everybody is listed.
        return Ok(End::Over(Action::requeue(Duration::from_millis(200))));
    } else {
        let why = format!(
            "deletion waits: {needed} users and groups need this connection; delete them, or let it go by the annotation {ANNOTATION_ABANDON}=true, which leaves their accounts as they are"
        );
        let verdict = Verdict::yes(C::DeprovisioningHeld, Reason::ScopeTerminating, why);
        return Ok(End::Stays(Stays { verdict, ending }));
    };
    let gone = finalizer::let_go(context, held, object, word).await?;
    if gone {
        context.ends.forget(&object.uid().unwrap_or_default());
    }
    Ok(if gone {
        End::Over(Action::await_change())
    } else {
        again()
    })
}

/// How many users and groups have something at the backend, or may have.
fn needed_by(context: &Context, object: &ScimConnection) -> usize {
    let connection = Key::of(object);
    let untouched = is_untouched(object);
    let needs = |past: Past| past == Past::Begun || (past == Past::Unknown && !untouched);
    let users = context.index(|index| index.members_of(&connection));
    // Whoever has no finalizer need not be opened.
    let users = users.iter().filter_map(|key| context.kept(key));
    let users = users.filter(|user| user.is_bound);
    let users = users.filter_map(|user| user.open());
    let groups = context.groups_index(|index| index.groups_of(&connection));
    let groups = groups.iter().filter_map(|key| context.group(key));
    users
        .filter(|user| needs(finalizer::past(context, user)))
        .count()
        + groups
            .filter(|group| needs(finalizer::past(context, &**group)))
            .count()
        // Whose the unreadable are nobody knows.
        + context.unreadable.bound()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_missing_only_when_the_api_server_says_so() {
        let status = |code: u16, reason: &str| {
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": reason, "reason": reason, "code": code})
        };
        let there = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"name": "c", "namespace": "team"}});
        for (code, body, found) in [
            (404, status(404, "NotFound"), Some(false)),
            (200, there, Some(true)),
            (403, status(403, "Forbidden"), None),
            (500, status(500, "InternalError"), None),
        ] {
            let service = tower::service_fn(move |_: http::Request<Body>| {
                let body = Body::from(body.to_string().into_bytes());
                let answer = http::Response::builder().status(code).body(body);
                std::future::ready(answer)
            });
            let client = Client::new(service, "default");
            let seen = is_there(&client, &Key::new("team", "c")).await.ok();
            assert_eq!(seen, found, "{code}");
        }
    }
}
