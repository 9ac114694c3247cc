//! Crash points: the operator is killed at every request that it makes, in three ways, started again,
//! and what comes of it is compared with what comes of it otherwise.
//!
//! A run plays a [`scenario`] of the [`workload`] on a [`stage`]: the real operator between two
//! [`front`]s, one before a real API server and one before the SCIM simulator, which number what it
//! asks in one [`journal`]. The [`campaign`] makes a run for each request and each
//! [`Mode`](journal::Mode); the [`oracles`] judge each. Nothing of Kubernetes is mocked.

pub mod campaign;
pub mod front;
pub mod journal;
pub mod lane;
pub mod oracles;
pub mod report;
pub mod run;
pub mod scenario;
pub mod selection;
mod shape;
pub mod stage;
pub mod state;
pub mod strangers;
pub mod victim;
pub mod workload;
