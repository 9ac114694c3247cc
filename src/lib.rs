//! scim-operator keeps people and groups, declared as Kubernetes resources, in step with a SCIM 2.0
//! backend. `docs/architecture.md` is the map; `tests/layering.rs` holds its arrows.
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
#[cfg(feature = "cli")]
pub mod cli;
pub mod controller;
pub mod directory;
pub mod domain;
pub mod http;
pub mod leadership;
pub mod metrics;
pub mod scim;
pub mod telemetry;
pub mod traces;
