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
