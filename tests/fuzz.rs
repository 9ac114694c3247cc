//! Anything at all, thrown at whatever reads or decides: specs drawn from the schemas, documents and
//! bytes of backends, and sequences of events for what has a memory. Nothing panics, and what must hold
//! holds. A failing input is shrunk, printed, and kept beside its test in `*.regressions`.
//!
//! `PROPTEST_CASES` says how many inputs each property is given.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::test_runner::{Config, FileFailurePersistence};
use scim_operator::api::connection::Profile as ProfileName;
use scim_operator::domain::profile::Profile;

#[path = "fuzz/bulk.rs"]
mod bulk;
#[path = "fuzz/replies.rs"]
mod replies;
#[path = "fuzz/schema.rs"]
mod schema;
#[path = "fuzz/sightings.rs"]
mod sightings;
#[path = "fuzz/specs.rs"]
mod specs;
#[path = "fuzz/timelines.rs"]
mod timelines;

/// How a property is run, and where its failures are kept.
fn config(file: &'static str) -> Config {
    Config {
        source_file: Some(file),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}

fn profile(name: ProfileName) -> Profile {
    Profile::resolve(name, &[]).unwrap()
}
