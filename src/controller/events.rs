//! Kubernetes Events, beside the hot path: reconcilers hand them over and go on.
//!
//! Routine events are rationed, since a first sync of thousands would double the writes to the API
//! server and tell nobody anything; warnings always pass. The conditions hold the truth either way.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Routine events that may be published in one go, and how many are given back a second.
const BURST: f64 = 25.0;
const PER_SECOND: f64 = 5.0;
const QUEUE: usize = 1024;

/// Where reconcilers put events.
#[derive(Clone)]
pub struct Events {
    queue: tokio::sync::mpsc::Sender<(ObjectReference, Event)>,
}

impl Events {
    /// The queue, and the task that empties it.
    pub fn start(client: kube::Client) -> Self {
        let (queue, mut waiting) = tokio::sync::mpsc::channel::<(ObjectReference, Event)>(QUEUE);
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
            while let Some((object, event)) = waiting.recv().await {
                ration = (ration + last.elapsed().as_secs_f64() * PER_SECOND).min(BURST);
                last = Instant::now();
                if event.type_ == EventType::Normal {
                    if ration < 1.0 {
                        continue;
                    }
                    ration -= 1.0;
                }
                let publish =
                    tokio::time::timeout(Duration::from_secs(5), recorder.publish(&event, &object))
                        .await;
                if !matches!(publish, Ok(Ok(_))) {
                    tracing::debug!("an event could not be published");
                }
            }
        });
        Self { queue }
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
        let _ = self.queue.try_send((object, event));
    }
}
