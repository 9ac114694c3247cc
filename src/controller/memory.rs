//! What the reconciler of a connection keeps from one run to the next.

use tokio::time::Instant;

use secrecy::SecretString;

use crate::api::connection::{ScimConnectionSpec, ScimConnectionStatus};
use crate::domain::conditions::Verdict;
use crate::scim::Discovery;

/// What the connection's reconciler keeps from one run to the next.
#[derive(Default)]
pub struct Memory {
    /// What the client was built from.
    pub built_from: Option<BuiltFrom>,
    /// What the backend said of itself.
    pub discovery: Option<(Discovery, Instant)>,
    /// When the last listing ended.
    pub listed: Option<Instant>,
    /// Incomplete listings in a row, and how long the next one waits because of them.
    pub incomplete: (u32, Option<std::time::Duration>),
    /// What status knew before a restart is taken up.
    pub restored: bool,
    /// Group listings that failed in a row, and when the next one is tried.
    pub groups_again: Option<(u32, Instant)>,
    /// When the last complete listing ended, for status.
    pub last_full_sync: Option<jiff::Timestamp>,
    /// What the last listing came to.
    pub directory_verdict: Option<Verdict>,
    /// The reconcile request that was last answered.
    pub answered: Option<String>,
    /// The status that was last written, which the watch may not have shown yet.
    pub reported: Option<ScimConnectionStatus>,
    /// Every user was looked at once since the start: until then the counts of before still hold.
    pub counted: bool,
    /// The same of groups.
    pub groups_counted: bool,
    /// Failed tries in a row.
    pub failures: u32,
    /// When to try again; a wake before that is about counts only.
    pub not_before: Option<Instant>,
    /// What is in the way meanwhile.
    pub failing_with: Option<Vec<Verdict>>,
    /// The token that was last used, and what else a client was built from: a connection that is being
    /// deleted has to part with its users though its Secret may be gone before them.
    pub last_inputs: Option<(SecretString, BuiltFrom)>,
    /// It is deleted, and stays for this.
    pub leaving: Option<Verdict>,
}

/// What a client is built from; any change means a new one.
#[derive(Clone, PartialEq)]
pub struct BuiltFrom {
    /// The spec; a change of counts-only fields costs a listing, no more.
    pub spec: ScimConnectionSpec,
    /// The token, hashed, so that it is held in one place only.
    pub token: u64,
    /// The CA bundle.
    pub ca: Option<Vec<u8>>,
}
