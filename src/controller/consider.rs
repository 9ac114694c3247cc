//! What is to be done for one user, and why nothing may be: validate, observe and plan, without a write. The
//! reconciler acts on it, and a preview shows it.

use std::collections::BTreeSet;

use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::{AdoptionMatch, ScimConnectionSpec};
use crate::api::user::ScimUserSpec;
use crate::controller::index::Key;
use crate::controller::live::{Connection, Ready};
use crate::controller::user::Pass;
use crate::controller::{guard, observe};
use crate::domain::conditions::Verdict;
use crate::domain::diff::Knowledge;
use crate::domain::identity::{AdoptionPolicy, Identity, Wanted, identify};
use crate::domain::plan::{Plan, plan};
use crate::domain::validate::{Subject, Valid, sentence, valid_until, validate};
use crate::scim::ScimError;

/// How long the spec is good for, as of now.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// What is left of `validUntil`, where there is one.
    pub expires_in: Option<jiff::SignedDuration>,
    /// Nothing is left of it.
    pub expired: bool,
}

impl Term {
    /// By the clock. A time that does not parse is a violation, which validation finds.
    pub fn of(spec: &ScimUserSpec) -> Self {
        let until = valid_until(spec).and_then(Result::ok);
        let expires_in = until.map(|until| until.duration_since(jiff::Timestamp::now()));
        Self {
            expires_in,
            expired: expires_in.is_some_and(|left| !left.is_positive()),
        }
    }
}

/// A spec that breaks no rule.
pub struct Judged {
    /// What the backend should have.
    pub valid: Valid,
    /// `validUntil` has passed.
    pub expired: bool,
    /// The manager whose account is not known yet.
    pub pending_manager: Option<Key>,
}

/// A spec that breaks one.
pub struct Stopped {
    /// Which.
    pub valid: Verdict,
    /// What can be told all the same is that its account has to be archived.
    pub archives: bool,
}

/// Judges a spec by itself, and beside those of others at the same connection.
///
/// # Errors
/// The broken rule, as the condition `Valid` tells it.
pub fn judge(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    connection_spec: &ScimConnectionSpec,
) -> Result<Judged, Stopped> {
    let spec = &pass.user.spec;
    let Term { expired, .. } = Term::of(spec);
    let manager = observe::manager(pass, connection);
    let subject = Subject {
        owner_id: &ready.owner_id,
        namespace: &pass.key.namespace,
        name: &pass.key.name,
        manager_id: manager.as_ref().and_then(|m| m.id.as_deref()),
        expired,
    };
    let valid = validate(spec, &ready.profile, subject).map_err(|violations| {
        let unsupported = violations.iter().all(|v| v.unsupported);
        let reason = if unsupported {
            Reason::UnsupportedAttribute
        } else {
            Reason::SpecInvalid
        };
        Stopped {
            valid: Verdict::no(C::Valid, reason, sentence(&violations)),
            archives: !spec.active || expired,
        }
    })?;
    let allowed = |namespace: &str| {
        let allowed = &connection_spec.allowed_namespaces;
        let home = &connection.key.namespace;
        pass.context.allows(allowed, home, namespace)
    };
    let older = |index: &mut crate::controller::index::Index| index.older_claim(&pass.key, allowed);
    if let Some(older) = pass.context.index(older) {
        let message = format!(
            "spec.userName: ScimUser {older} is older and claims the same userName at this connection"
        );
        return Err(Stopped {
            valid: Verdict::no(C::Valid, Reason::DuplicateUserName, message),
            archives: false,
        });
    }
    Ok(Judged {
        valid,
        expired,
        pending_manager: manager.filter(|m| m.id.is_none()).map(|m| m.key),
    })
}

/// Why a connection has nothing to do with a resource of another namespace.
pub fn not_let_in(connection: &Key) -> String {
    format!(
        "spec.connectionRef: ScimConnection {connection} does not allow resources of this namespace"
    )
}

/// Why nobody is made yet, where somebody would be.
pub fn not_yet(pass: &Pass<'_>, connection: &Connection, plan: &Plan) -> Option<&'static str> {
    if !matches!(plan, Plan::Create) {
        None
    } else if !connection.directory().complete() {
        Some("the listing of the backend is not complete; creating now could make a second account")
    } else if pass.before.id.is_some() && connection.loss().blocks() {
        Some(guard::LOST)
    } else {
        None
    }
}

/// What is to be done for a spec that breaks no rule.
pub enum Considered {
    /// This.
    Planned {
        /// What.
        plan: Plan,
        /// The account is taken over by it.
        adopted: bool,
    },
    /// Which account it is cannot be told before this.
    CannotTell(&'static str),
    /// A request that would have told has failed.
    Failed(ScimError),
}

/// Looks at who it is at the backend, and plans.
pub async fn consider(
    pass: &Pass<'_>,
    connection: &Connection,
    ready: &Ready,
    judged: &Judged,
) -> Considered {
    let desired = &judged.valid.desired;
    let candidates = match observe::candidates(pass, connection, ready, desired).await {
        Ok(Some(candidates)) => candidates,
        Ok(None) => {
            return Considered::CannotTell(
                "a create may have been applied; the next listing of the backend tells",
            );
        }
        Err(error) => return Considered::Failed(error),
    };
    let adoption = &ready.spec.adoption.r#match;
    let policy = AdoptionPolicy {
        external_id: adoption.contains(&AdoptionMatch::ExternalId),
        name: adoption.contains(&AdoptionMatch::UserName),
        by_id: pass.adopts().is_some(),
        explicit_external_id: pass.user.spec.external_id.is_some(),
    };
    let recorded = pass.recorded().is_some();
    let identity = identify(&Wanted::from(desired), candidates, policy);
    let mut managed: BTreeSet<String> = pass.before.managed_attributes.iter().cloned().collect();
    if judged.pending_manager.is_some() {
        // Named and not known at the moment: the one that is written stays until then.
        managed.remove("manager");
    }
    let spec_changed = pass.before.synced_generation != pass.user.metadata.generation
        || pass.before.profile_hash.as_ref() != Some(&ready.profile_hash)
        || !recorded;
    let echoed = connection.directory().echoed().clone();
    let knowledge = Knowledge {
        managed: &managed,
        echoed: &echoed,
        spec_changed,
        respelled: &pass.before.respelled,
    };
    let adopted = matches!(identity, Identity::Adopted(_)) && !recorded;
    let plan = plan(desired, identity, &ready.profile, knowledge);
    Considered::Planned { plan, adopted }
}
