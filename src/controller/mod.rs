//! The shell around the pure core: watches, the two reconcilers, and the steps between them.
//!
//! A user goes one way: `user` drives validate → observe → plan → `act` → `report`. Only `act` and
//! `farewell` write to the backend; only `report` writes status.

pub mod act;
pub mod asked;
pub mod connection;
pub mod connection_end;
pub mod connection_status;
pub mod consider;
pub mod context;
pub mod counts;
pub mod election;
pub mod events;
pub mod failures;
pub mod farewell;
pub mod figures;
pub mod finalizer;
pub mod group;
pub mod guard;
pub mod index;
pub mod inputs;
pub mod kept;
pub mod lean;
pub mod listing;
pub mod live;
pub mod loss;
pub mod memory;
pub mod merged;
pub mod observe;
pub mod options;
pub mod outcome;
pub mod outcomes;
pub mod passes;
pub mod past;
pub mod posts;
pub mod preview;
pub mod readable;
pub mod ready;
pub mod refusal;
pub mod relist;
pub mod report;
pub mod roster;
pub mod run;
pub mod scope;
pub mod secrets;
pub mod slots;
pub mod spans;
pub mod spread;
pub mod status;
pub mod swap;
pub mod trouble;
pub mod user;
pub mod waking;
pub mod watched;
pub mod writes;
