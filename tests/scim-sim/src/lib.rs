//! A simulator of CybSafe's SCIM 2.0 endpoint, in memory.
//!
//! It is strict about what CybSafe documents (which attributes are captured, which are required,
//! how a language is spelled, what archiving and creating again do) and follows RFC 7643 and
//! RFC 7644 elsewhere. What is unknown about CybSafe is a [`Dialect`] switch; what goes wrong with
//! real servers is a [`Faults`] switch. Both can be flipped while it runs.
//!
//! A request goes one way: `server` (who may ask, which fault strikes) → `request` (what is asked)
//! → `operations` (what happens to the `store`) → `render` (how it is told). The published schemas
//! and the capture of attributes come from the same table in `schema`, so they cannot disagree.
//!
//! Deliberately elsewhere: anything that knows the operator, and any third-party SCIM server.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use scim_sim::{SimConfig, Simulator};
//!
//! let simulator = Simulator::start(SimConfig::default()).await?;
//! simulator.faults().update(|faults| faults.throttle_next = 3);
//! println!("{}", simulator.base_url());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod config;
mod connection;
mod discovery;
mod error;
mod faults;
mod filter;
mod operations;
mod patch;
mod projection;
mod render;
mod reply;
mod request;
mod request_log;
mod rules;
mod schema;
mod server;
mod shared;
mod simulator;
mod spoil;
mod store;
mod switches;

pub use config::{BulkLimits, DEFAULT_TOKEN, Dialect, ReactivationReply, SimConfig};
pub use faults::{BulkStatus, FailNext, FailReads, Faults};
pub use request_log::{LoggedRequest, RequestCounts};
pub use rules::PREFERRED_LANGUAGES;
pub use simulator::Simulator;
pub use switches::Switches;
