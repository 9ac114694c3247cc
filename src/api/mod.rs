//! What users write and read: the custom resources, their conditions and reasons.
//!
//! Data only. Rules that need nothing but the object itself are part of the schema (OpenAPI bounds
//! and CEL); rules that need the connection or other objects live in `domain::validate`.
//! This module imports nothing of ours, so that a client of the API can depend on it alone.

// Two columns of one type are no mistake; the lint reads `#[kube(printcolumn(…))]` as one flat list.
#![allow(clippy::duplicated_attributes)]

pub mod common;
pub mod conditions;
pub mod connection;
pub mod connection_status;
pub mod definitions;
pub mod group;
pub mod selector;
pub mod user;

pub use common::*;
pub use conditions::{ConditionType, Reason};
pub use connection::{ScimConnection, ScimConnectionSpec, ScimConnectionStatus};
pub use group::{ScimGroup, ScimGroupSpec, ScimGroupStatus};
pub use selector::LabelSelector;
pub use user::{ScimUser, ScimUserSpec, ScimUserStatus};

/// The API group of every kind.
pub const GROUP: &str = "scim-operator.io";
/// The API version of every kind.
pub const VERSION: &str = "v1alpha1";

/// Keeps a resource until its account is archived, deleted or released.
pub const FINALIZER: &str = "scim-operator.io/deprovision";
/// Set to any new value to ask for a reconcile now; the same contract as Flux's annotation.
pub const ANNOTATION_RECONCILE_AT: &str = "scim-operator.io/reconcile-at";
/// Flux's `flux reconcile` annotation, honoured alike.
pub const ANNOTATION_FLUX_REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// On a ScimConnection: approves the deprovisioning plan whose hash it names, and no other.
pub const ANNOTATION_APPROVE_PLAN: &str = "scim-operator.io/approve-plan";
/// `"true"` lets a deleted resource go without touching its account: the escape from the finalizer.
pub const ANNOTATION_ABANDON: &str = "scim-operator.io/abandon";
