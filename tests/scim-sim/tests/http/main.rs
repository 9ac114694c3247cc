//! The simulator over HTTP: every rule and every fault is shown firing.
#![allow(missing_docs, clippy::unwrap_used)]

mod admin;
mod archive;
mod bulk;
mod content_faults;
mod discovery;
mod group_faults;
mod groups;
mod list_faults;
mod listing;
mod patch_dialects;
mod patching;
mod support;
mod transport_faults;
mod users;
