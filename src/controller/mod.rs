//! The shell around the pure core: watches, the two reconcilers, and the steps between them.
//!
//! A user goes one way: `user` drives validate → observe → plan → `act` → `report`. Only `act` and
//! `farewell` write to the backend; only `report` writes status.

pub mod context;
pub mod events;
pub mod index;
pub mod live;
pub mod secrets;
pub mod act;
pub mod connection;
pub mod connection_status;
pub mod farewell;
pub mod finalizer;
pub mod observe;
pub mod report;
pub mod user;
pub mod run;
