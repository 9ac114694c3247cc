//! The vocabulary of conditions: types and reasons, spelled once.
//!
//! A reason is API: dashboards, `kubectl wait` and Argo CD health checks match on it. So they come
//! from these enums and never from the Debug text of something else.

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $doc])+ $variant),+ }

        impl $name {
            /// Every word, in the order in which the API's documentation has them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// What the word means, as the API's documentation says it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),+ }
            }

            /// The word as the API spells it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// The value that the API spells this way.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $(stringify!($variant) => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// `status.conditions[].type` of our kinds.
    ConditionType {
        /// The summary: what was declared is what the backend has.
        Ready,
        /// The spec is acceptable to the connection's profile.
        Valid,
        /// The account equals the spec.
        Synced,
        /// The account is archived (`active: false`).
        Archived,
        /// Every member of a group has an account.
        MembersResolved,
        /// kstatus: work is under way. Present only when True.
        Reconciling,
        /// kstatus: waits for a human. Present only when True.
        Stalled,
        /// The backend accepts the connection's token.
        Authenticated,
        /// The backend answers, and speaks SCIM.
        Reachable,
        /// The last listing was complete.
        DirectoryComplete,
        /// Deprovisioning waits for approval.
        DeprovisioningHeld,
        /// `spec.insecure` is set: the token travels in clear text. Present only when True.
        Insecure,
    }
}

words! {
    /// `status.conditions[].reason` of our kinds.
    Reason {
        // Ready
        /// The backend has confirmed what was declared.
        Synced,
        /// Something else has to happen first; nothing is wrong.
        Pending,
        /// The spec is not acceptable; see `Valid`.
        Invalid,
        /// The spec says active, the backend has archived the account.
        ArchivedByBackend,
        /// Somebody else's account stands in the way; see `Synced`.
        Conflict,
        /// The connection cannot be used at the moment; see the connection.
        ConnectionNotReady,
        /// The deprovisioning guard waits for approval.
        DeprovisioningHeld,
        /// `suspend: true`.
        Suspended,
        /// The connection only plans.
        DryRun,
        // Valid
        /// Every rule is met.
        Accepted,
        /// Every rule is met, and something deserves a look.
        AcceptedWithWarnings,
        /// Some rule of the profile is broken.
        SpecInvalid,
        /// The backend refused the attributes.
        RejectedByBackend,
        /// The profile knows no place for an attribute of the spec.
        UnsupportedAttribute,
        /// An older resource claims the same person.
        DuplicateUserName,
        /// `connectionRef` names no ScimConnection.
        ConnectionNotFound,
        /// `connectionRef` names a namespace that this operator does not watch.
        ConnectionNotWatched,
        /// The connection does not let this namespace in.
        ConnectionNotAllowed,
        // Synced
        /// Nothing had to be done.
        UpToDate,
        /// The account was created.
        Created,
        /// The account was changed to match the spec.
        Updated,
        /// The account had been changed outside and was put right.
        DriftCorrected,
        /// An existing account was taken over by policy.
        Adopted,
        /// An account exists that the adoption policy does not let us take.
        AdoptionRequired,
        /// The account belongs to another operator or resource.
        OwnedByOther,
        /// More than one account matches.
        Ambiguous,
        /// A request failed; it is tried again.
        RequestFailed,
        /// The backend asked us to slow down.
        RateLimited,
        // Archived
        /// `active: false` in the spec.
        Requested,
        /// The backend archived the account by itself.
        ByBackend,
        /// `validUntil` has passed.
        Expired,
        /// Not archived.
        Active,
        // MembersResolved
        /// Every member has an account.
        AllResolved,
        /// Some members have no account yet.
        MembersPending,
        /// Some members are invalid.
        MembersInvalid,
        /// Some members are not declared at all.
        MembersNotFound,
        // Authenticated
        /// The backend accepted the token.
        TokenAccepted,
        /// The backend refused the token.
        Unauthorized,
        /// `tokenSecretRef` names no Secret.
        SecretNotFound,
        /// The Secret lacks the key.
        KeyNotFound,
        /// The key's content cannot be a bearer token.
        TokenMalformed,
        // Reachable
        /// The backend answers in SCIM.
        Connected,
        /// The backend does not answer.
        Unreachable,
        /// Requests are held back after repeated failures.
        CircuitOpen,
        /// Something answers that does not speak SCIM.
        NotScim,
        /// The endpoint is not one that may be spoken to.
        EndpointRefused,
        /// The CA bundle is missing or unusable.
        CaBundleInvalid,
        // DirectoryComplete
        /// Every account was listed.
        Complete,
        /// The listing ended early or its counts disagree.
        Truncated,
        /// The first listing is under way.
        Listing,
        // DeprovisioningHeld
        /// More would be deprovisioned than the guard allows.
        GuardExceeded,
        /// The endpoint changed and is not recognised yet.
        BackendChanged,
        /// The namespace or the kind is being deleted.
        ScopeTerminating,
        // Insecure
        /// `spec.insecure: true`.
        PlainHttp,
        /// Not asked yet.
        Unknown,
    }
}
