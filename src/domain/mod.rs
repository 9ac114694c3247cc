//! The decisions, without the world: validation, identity, plans, conditions, retry.
//!
//! Pure by contract (held by `tests/layering.rs`): no client, no async, no clock. Time is passed in,
//! effects leave as values, so every rule here is tested in microseconds.

pub mod allowed;
pub mod circuit;
pub mod conditions;
pub mod declared;
pub mod diff;
pub mod few;
pub mod group;
pub mod guard;
pub mod identity;
pub mod leaver;
pub mod loss;
pub mod names;
pub mod observed;
pub mod packed;
pub mod plan;
pub mod profile;
pub mod record;
pub mod retry;
pub mod sighting;
pub mod swap;
pub mod validate;

#[cfg(test)]
mod tests;
