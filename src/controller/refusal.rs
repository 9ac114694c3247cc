//! What the API server answered instead of what was asked for, in words that may be logged.
//!
//! Its own words are no such: a refusal quotes the values that it refuses, and an answer that cannot be read is
//! quoted by whoever tried. Codes and reasons are a list of Kubernetes' own, and are repeated.

use kube::core::Status;
use kube::runtime::watcher;

/// A failure of a call.
pub fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => of_status(status),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            "an answer that cannot be read".into()
        }
        // Of connections, TLS and tokens of our own: nobody's object is in it.
        other => other.to_string(),
    }
}

/// A failure of a watch.
pub fn watch_told(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => of_status(status),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// Logs that a watch has to begin anew.
pub fn interrupted(kind: &str, error: &watcher::Error) {
    tracing::warn!(
        error = watch_told(error),
        "the watch of {kind} was interrupted"
    );
}

/// A code, and the reason where it is one of Kubernetes' words, such as `Invalid` or `AlreadyExists`.
fn of_status(status: &Status) -> String {
    let reason = status.reason.as_str();
    let is_word =
        (1..=40).contains(&reason.len()) && reason.bytes().all(|b| b.is_ascii_alphabetic());
    if is_word {
        format!("{} {reason}", status.code)
    } else {
        status.code.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SAID: &str =
        "ScimUser \"ada\" is invalid: spec.userName: Invalid value: \"ada@example.com\"";

    #[test]
    fn a_refusal_is_told_by_its_code_and_not_by_what_it_quotes() {
        let refused = |reason: &str| {
            let status = Status::failure(SAID, reason).with_code(422).boxed();
            told(&kube::Error::Api(status))
        };
        assert_eq!(refused("Invalid"), "422 Invalid");
        // A proxy, or an admission webhook, may say anything.
        assert_eq!(refused("ada@example.com"), "422");
        let status = Status::failure(SAID, "Expired").with_code(410).boxed();
        assert_eq!(
            watch_told(&watcher::Error::WatchError(status)),
            "410 Expired"
        );
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_not_repeated() {
        let unread = serde_json::from_str::<u8>("\"ada@example.com\"").unwrap_err();
        assert!(unread.to_string().contains("ada"), "serde quotes no more");
        let error = watcher::Error::InitialListFailed(kube::Error::SerdeError(unread));
        assert_eq!(watch_told(&error), "an answer that cannot be read");
    }
}
