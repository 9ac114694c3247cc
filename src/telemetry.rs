//! Logs: what is asked for by `RUST_LOG`, and what nobody gets by it.
//!
//! Libraries below us print whole replies of the API server when they cannot read them, Secrets and people among
//! them, and do so at levels that people switch on to find a fault. So each library has a ceiling here, whatever
//! is asked for; our own lines have none, since they hold neither token nor person at any level. A panic tells
//! where it was, and its words only where they were written in the source.

use std::panic::PanicHookInfo;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::traces::{self, Traces};

/// What is logged where `RUST_LOG` says nothing. The spans of kube's controllers say nothing that our own lines
/// do not, and would be entered some thousand times a second.
const USUAL_LOGS: &str = "info,kube_runtime=warn";

/// The form of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The most that is told by whom, for targets that begin so; the first that fits counts.
const CEILINGS: [(&str, LevelFilter); 4] = [
    ("scim_operator", LevelFilter::TRACE),
    // At WARN it prints the whole body of a reply that it cannot read, at DEBUG of one that refuses.
    ("kube_client", LevelFilter::ERROR),
    // Which suite, which protocol, resumed or not; at TRACE whole messages of the handshake.
    ("rustls", LevelFilter::DEBUG),
    // Which address a connection goes to, and whether one is used again.
    ("hyper_util", LevelFilter::DEBUG),
];

/// The ceiling of everybody else.
const OTHERS: LevelFilter = LevelFilter::INFO;

fn ceiling(target: &str) -> LevelFilter {
    let of = |name: &str| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    CEILINGS
        .into_iter()
        .find(|(name, _)| of(name))
        .map_or(OTHERS, |(_, level)| level)
}

/// What is told to others than the log, until it is ended.
#[must_use]
pub struct Telemetry(Option<Traces>);

impl Telemetry {
    /// Sends what is left to be told, for a few seconds at most.
    pub async fn end(self) {
        if let Some(traces) = self.0 {
            // It blocks; a panic in it ends nothing that has not ended.
            let _ = tokio::task::spawn_blocking(move || traces.end()).await;
        }
    }
}

/// Begins to log to standard output, for the whole process, and to tell panics without what they quote; and to
/// trace, where that is asked for.
pub fn start(format: LogFormat, by_proxy: bool) -> Telemetry {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL_LOGS));
    let (traces, refused) = match Traces::asked_for(by_proxy) {
        Ok(traces) => (traces, false),
        Err(_) => (None, true),
    };
    let told = registry().with(traces.as_ref().map(Traces::layer));
    match format {
        LogFormat::Json => told
            .with(fmt::layer().json().with_filter(Capped(asked)))
            .init(),
        LogFormat::Text => told
            .with(fmt::layer().with_ansi(false).with_filter(Capped(asked)))
            .init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(at = place(panic), "panicked: {}", words(panic));
    }));
    if refused {
        // People are of more worth than traces: the operator starts.
        tracing::error!(
            "no traces: OTEL_EXPORTER_OTLP_ENDPOINT, or another of these variables, cannot be used"
        );
    } else if traces.is_some() {
        tracing::info!("tracing to an OTLP collector");
    }
    Telemetry(traces)
}

fn place(panic: &PanicHookInfo<'_>) -> String {
    panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string)
}

/// What is said is a text of the source, or was put together from values, which may be anybody's.
fn words<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    panic
        .payload()
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its message is withheld, since it may quote a value")
}

/// What is asked for, below the ceilings.
struct Capped(EnvFilter);

fn is_below(metadata: &Metadata<'_>) -> bool {
    !traces::is_span(metadata) && *metadata.level() <= ceiling(metadata.target())
}

impl<S: Subscriber> Filter<S> for Capped {
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_below(metadata) {
            Filter::<S>::callsite_enabled(&self.0, metadata)
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        is_below(metadata) && Filter::<S>::enabled(&self.0, metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.0)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        Filter::<S>::on_new_span(&self.0, attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        Filter::<S>::on_record(&self.0, id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        Filter::<S>::on_enter(&self.0, id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        Filter::<S>::on_exit(&self.0, id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        Filter::<S>::on_close(&self.0, id, context);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of these lines where that is asked for.
    fn written(asked: &str, lines: impl FnOnce()) -> String {
        let written = Written::default();
        let sink = written.clone();
        let logs = registry().with(
            fmt::layer()
                .with_writer(move || sink.clone())
                .with_filter(Capped(EnvFilter::new(asked))),
        );
        tracing::subscriber::with_default(logs, lines);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_library_says_no_more_than_its_ceiling_whatever_is_asked_for() {
        for asked in [
            "trace",
            "kube_client=trace,h2=trace,rustls=trace,scim_operator=trace",
        ] {
            let text = written(asked, || {
                tracing::warn!(target: "kube_client::client", "a body of kube");
                tracing::error!(target: "kube_client::client", "an outcome of kube");
                tracing::debug!(target: "h2::frame", "a frame");
                tracing::trace!(target: "rustls::client", "a handshake");
                tracing::debug!(target: "rustls::client", "a suite");
                tracing::trace!(target: "scim_operator::scim::http", "of ours");
                tracing::debug!(target: "scim_operator_not_at_all", "of somebody of a like name");
            });
            let told: Vec<_> = ["an outcome of kube", "a suite", "of ours"]
                .into_iter()
                .filter(|line| !text.contains(line))
                .collect();
            assert!(told.is_empty(), "{asked}: {told:?} is missing of {text}");
            assert_eq!(text.lines().count(), 3, "{asked}: {text}");
        }
    }

    #[test]
    fn what_is_asked_for_is_not_exceeded_either() {
        let text = written("warn", || {
            tracing::info!(target: "scim_operator::app", "quiet");
            tracing::warn!(target: "scim_operator::app", "loud");
        });
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn a_panic_tells_its_place_and_only_words_of_the_source() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let line = format!("{} {}", place(panic), words(panic));
            heard.lock().unwrap().push(line);
        }));
        let person = String::from("ada@éxample.com");
        let cut = std::panic::catch_unwind(|| person[..5].len());
        let told = std::panic::catch_unwind(|| panic!("a rule was broken"));
        std::panic::set_hook(before);
        assert!(cut.is_err() && told.is_err());
        let said = said.lock().unwrap();
        let ours: Vec<_> = said.iter().filter(|l| l.contains("telemetry.rs")).collect();
        assert_eq!(ours.len(), 2, "{said:?}");
        assert!(
            ours[0].contains("withheld") && !ours[0].contains("ada"),
            "{ours:?}"
        );
        assert!(ours[1].contains("a rule was broken"), "{ours:?}");
    }
}
