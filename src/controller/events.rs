//! Kubernetes Events, beside the hot path: reconcilers hand them over and go on.
//!
//! Routine events are rationed, since a first sync of thousands would double the writes to the API
//! server and tell nobody anything; warnings always pass. The conditions hold the truth either way.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::Instant;

use crate::scim::Fence;

/// Routine events that may be published in one go, and how many are given back a second.
const BURST: f64 = 25.0;
const PER_SECOND: f64 = 5.0;
const QUEUE: usize = 1024;
/// How long the API server may take for one, and how often a warning is tried.
const PATIENCE: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;

/// What a pass has to say.
#[derive(Clone, Debug)]
pub struct Said {
    /// Somebody should look; said once for as long as the conditions say the same. What was done is
    /// said each time.
    pub warning: bool,
    /// Why, as a word.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// Why, as a sentence without values.
    pub note: String,
}

impl Said {
    /// Of the work on an account or a group.
    pub fn provision(warning: bool, reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            warning,
            reason,
            action: "Provision",
            note: note.into(),
        }
    }
}

/// Whether conditions say the same, whenever they did.
fn same_words(before: &[Condition], now: &[Condition]) -> bool {
    let words = |c: &Condition| {
        let Condition {
            type_,
            status,
            reason,
            message,
            ..
        } = c;
        [
            type_.clone(),
            status.clone(),
            reason.clone(),
            message.clone(),
        ]
    };
    before.iter().map(words).eq(now.iter().map(words))
}

/// Where reconcilers put events.
#[derive(Clone)]
pub struct Events {
    queue: tokio::sync::mpsc::Sender<(Fence, ObjectReference, Event)>,
    fence: Fence,
}

impl Events {
    /// The queue, and the task that empties it.
    pub fn start(client: kube::Client) -> Self {
        let (queue, mut waiting) =
            tokio::sync::mpsc::channel::<(Fence, ObjectReference, Event)>(QUEUE);
        let instance = std::env::var("POD_NAME").ok();
        let recorder = Recorder::new(
            client,
            Reporter {
                controller: "scim-operator".into(),
                instance,
            },
        );
        tokio::spawn(async move {
            let (mut ration, mut last) = (BURST, Instant::now());
            while let Some((fence, object, event)) = waiting.recv().await {
                ration = (ration + last.elapsed().as_secs_f64() * PER_SECOND).min(BURST);
                last = Instant::now();
                if event.type_ == EventType::Normal {
                    if ration < 1.0 {
                        continue;
                    }
                    ration -= 1.0;
                }
                // A warning may be the only word on what was left undone: it is not lost to one slow answer.
                let tries = if event.type_ == EventType::Normal {
                    1
                } else {
                    TRIES
                };
                for _ in 0..tries {
                    let publish = fence.while_open(recorder.publish(&event, &object));
                    match tokio::time::timeout(PATIENCE, publish).await {
                        Ok(Some(Ok(_)) | None) => break,
                        Ok(Some(Err(kube::Error::Api(status)))) if status.code < 500 => {
                            tracing::debug!(code = status.code, "an event was refused");
                            break;
                        }
                        Ok(Some(Err(_))) | Err(_) => {
                            tracing::debug!("an event could not be published");
                        }
                    }
                }
            }
        });
        Self {
            queue,
            fence: Fence::none(),
        }
    }

    /// The same queue, for what is to be said while that fence is open.
    #[must_use]
    pub fn before(&self, fence: Fence) -> Self {
        Self {
            queue: self.queue.clone(),
            fence,
        }
    }

    /// Says what a pass has to say, where its conditions are new or something was done.
    pub fn tell(
        &self,
        object: ObjectReference,
        before: &[Condition],
        now: &[Condition],
        said: Option<Said>,
    ) {
        let Some(Said {
            warning,
            reason,
            action,
            note,
        }) = said
        else {
            return;
        };
        match warning {
            true if same_words(before, now) => {}
            true => self.warning(object, reason, action, note),
            false => self.normal(object, reason, action, note),
        }
    }

    /// Says that something routine was done.
    pub fn normal(&self, object: ObjectReference, reason: &str, action: &str, note: String) {
        self.send(object, EventType::Normal, reason, action, note);
    }

    /// Says that something needs a look.
    pub fn warning(&self, object: ObjectReference, reason: &str, action: &str, note: String) {
        self.send(object, EventType::Warning, reason, action, note);
    }

    fn send(
        &self,
        object: ObjectReference,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
    ) {
        let event = Event {
            type_,
            reason: reason.into(),
            note: Some(note.chars().take(1000).collect()),
            action: action.into(),
            secondary: None,
        };
        // A full queue means an API server in trouble; it is not made worse for an event's sake.
        let _ = self.queue.try_send((self.fence.clone(), object, event));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// How often an event about `tried` reaches an API server that answers everything so.
    async fn tries(status: u16, warning: bool) -> usize {
        let (heard, mut told) = tokio::sync::mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let heard = heard.clone();
            async move {
                let body = request.into_body().collect_bytes().await?;
                let event: Value = serde_json::from_slice(&body).unwrap();
                let name = event["regarding"]["name"].as_str().unwrap_or_default();
                let _ = heard.send(name.to_owned());
                let answer = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "no", "reason": "No", "code": status});
                let answer = Body::from(answer.to_string().into_bytes());
                let answer = http::Response::builder().status(status).body(answer);
                Ok::<_, kube::Error>(answer.unwrap())
            }
        });
        let events = Events::start(kube::Client::new(service, "default"));
        let about = |name: &str| ObjectReference {
            name: Some(name.to_owned()),
            namespace: Some("team".to_owned()),
            ..ObjectReference::default()
        };
        if warning {
            events.warning(about("tried"), "Released", "Deprovision", "note".to_owned());
        } else {
            events.normal(about("tried"), "Created", "Provision", "note".to_owned());
        }
        events.normal(about("last"), "Created", "Provision", "note".to_owned());
        let mut count = 0;
        while told.recv().await.unwrap() != "last" {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn a_warning_is_not_lost_to_one_failure_and_not_pressed_upon_who_refuses_it() {
        assert_eq!(tries(500, true).await, TRIES as usize);
        assert_eq!(
            tries(403, true).await,
            1,
            "a namespace that ends takes none"
        );
        assert_eq!(tries(500, false).await, 1, "what is routine is said once");
    }
}
