//! What the operator would do, without a write: for `kubectl scim plan`.
//!
//! The stage is the operator's own (its context, its mirror of the backend, its guard) with everything in place that
//! its watches would bring, and a client that only reads. On it each resource is judged, looked for and planned for by
//! the very functions that the reconcilers act by; nothing here has an opinion, but for what is taken for known where no
//! cluster tells (`before`, `known`). What only comes of an act is taken for done: whoever is created is a member with an
//! id of our making, and whoever leaves is gone from the groups.

mod before;
mod groups;
mod known;
mod look;
mod round;
mod stage;
mod undeclared;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use serde_json::Value;

use self::stage::Stage;
use crate::api::connection::HeldPlan;
use crate::api::{ScimConnection, ScimGroup, ScimUser};
use crate::controller::counts::Whose;
use crate::controller::guard;
use crate::controller::index::Key;
use crate::controller::trouble::Trouble;
use crate::domain::conditions::Verdict;
use crate::scim::Client;

/// What there would be in the cluster, and the backend as it is.
pub struct Given {
    /// The connection.
    pub connection: ScimConnection,
    /// Asks its backend, and cannot write to it.
    pub client: Client,
    /// All ScimUsers, also those of other connections. Whoever is to go has a deletion timestamp.
    pub users: Vec<ScimUser>,
    /// All ScimGroups, likewise.
    pub groups: Vec<ScimGroup>,
    /// Namespaces with their labels, for `allowedNamespaces`.
    pub namespaces: Vec<Namespace>,
    /// Where it is known what came of the resources.
    pub statuses: Statuses,
}

/// Where the statuses of resources are.
pub enum Statuses {
    /// On them: they are of a cluster.
    OfCluster,
    /// Nowhere.
    Unknown,
    /// Nowhere, and what was declared before is taken for applied.
    AsApplied(Box<Before>),
}

/// What was declared before.
#[derive(Clone)]
pub struct Before {
    /// The connection, at the same backend.
    pub connection: ScimConnection,
    /// All ScimUsers, with our finalizer.
    pub users: Vec<ScimUser>,
    /// All ScimGroups, likewise.
    pub groups: Vec<ScimGroup>,
    /// Namespaces with their labels.
    pub namespaces: Vec<Namespace>,
}

/// What would be done for everything that names the connection.
#[derive(Debug)]
pub struct Preview {
    /// Users, then groups, each by namespace and name.
    pub steps: Vec<Step>,
    /// What would be held for approval; its hash is empty where only the cluster could tell it.
    pub held: Option<HeldPlan>,
    /// `DeprovisioningHeld`, as the connection would say it.
    pub held_because: Option<Verdict>,
    /// `DirectoryComplete`, as the connection would say it.
    pub directory: Option<Verdict>,
    /// Accounts that the backend lists.
    pub accounts: usize,
    /// Active accounts and groups of ours whose resource nobody declares, as `ScimUser namespace/name`.
    pub undeclared: Vec<String>,
}

/// What the uid of a resource begins with that is not in the cluster yet: no API server gives one with a colon.
pub const UNBORN: &str = "not there yet: ";

/// What would be done for one resource.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// User or group.
    pub whose: Whose,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What.
    pub action: Action,
    /// The attributes that would change, with their values: people's data.
    pub changes: Vec<Changed>,
    /// Of a group: who would come and who would go.
    pub members: Members,
    /// Why, or what stands in the way, as conditions say it: no values.
    pub why: Option<String>,
    /// The same would be done for what was declared before.
    pub is_due: bool,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The profile's name for it.
    pub attribute: String,
    /// As the backend shows it; `None` where it shows none.
    pub from: Option<Value>,
    /// As it would be; `None` where it would be cleared.
    pub to: Option<Value>,
}

/// What the name of a member begins with that no resource stands for; then comes the backend's id.
pub const OF_NOBODY: &str = "id ";

/// Members of a group, as resources where they are known, else as the backend's ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Who would be added.
    pub add: Vec<String>,
    /// Who would be removed.
    pub remove: Vec<String>,
    /// Who is declared and has no account.
    pub unresolved: usize,
}

/// What would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// An account, or a group, is made.
    Create,
    /// One that is there is taken over, and changed where `changes` says so.
    Adopt,
    /// It is changed, since the spec differs.
    Update,
    /// It is changed back, since somebody changed it at the backend.
    Repair,
    /// An archived account is made active.
    Reactivate,
    /// The account is made inactive.
    Archive,
    /// It is deleted at the backend.
    Delete,
    /// The resource goes, and what is at the backend stays as it is.
    Release,
    /// The guard holds what would be an archiving or a deletion.
    Hold,
    /// A rule is broken: nothing is sent.
    Invalid,
    /// Something has to happen first, or a person has to say.
    Wait,
    /// `spec.suspend`.
    Suspended,
    /// It is in step.
    Nothing,
}

impl Action {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 13] = [
        Self::Create,
        Self::Adopt,
        Self::Update,
        Self::Repair,
        Self::Reactivate,
        Self::Archive,
        Self::Delete,
        Self::Release,
        Self::Hold,
        Self::Invalid,
        Self::Wait,
        Self::Suspended,
        Self::Nothing,
    ];

    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Update => "update",
            Self::Repair => "repair",
            Self::Reactivate => "reactivate",
            Self::Archive => "archive",
            Self::Delete => "delete",
            Self::Release => "release",
            Self::Hold => "hold",
            Self::Invalid => "invalid",
            Self::Wait => "wait",
            Self::Suspended => "suspended",
            Self::Nothing => "nothing",
        }
    }
}

impl Step {
    /// Its kind, namespace and name.
    fn name(&self) -> String {
        format!("{} {}/{}", self.whose.kind(), self.namespace, self.name)
    }
}

impl Preview {
    /// How many steps there are of each kind, of users and groups apart: those that are due without the change as
    /// well, or those that are not.
    #[must_use]
    pub fn totals(&self, whose: Whose, due: bool) -> BTreeMap<Action, usize> {
        let mut found = BTreeMap::new();
        let steps = self.steps.iter();
        let steps = steps.filter(|step| step.whose == whose && step.is_due == due);
        steps.for_each(|step| *found.entry(step.action).or_default() += 1);
        found
    }
}

/// Lists the backend, and says what would be done.
///
/// # Errors
/// When the connection cannot be worked with, as its conditions would say it.
pub async fn preview(mut given: Given) -> Result<Preview, Trouble> {
    match std::mem::replace(&mut given.statuses, Statuses::Unknown) {
        Statuses::AsApplied(before) => before::compared(given, *before).await,
        statuses => {
            given.statuses = statuses;
            played(Stage::set(given).await?).await
        }
    }
}

async fn played(mut stage: Stage) -> Result<Preview, Trouble> {
    let mut steps = users::steps(&mut stage).await?;
    let (held, held_because) = {
        let mut held = guard::held_plan(&stage.connection, None);
        if let Some(held) = held.as_mut().filter(|_| holds_unborn(&stage, &steps)) {
            held.hash.clear();
        }
        let verdict = guard::verdict(&stage.connection, held.as_ref());
        (held, verdict)
    };
    steps.extend(groups::steps(&mut stage).await?);
    // Whoever leaves counts as gone by now, and is told already.
    let told: BTreeSet<String> = steps.iter().map(Step::name).collect();
    let undeclared = undeclared::undeclared(&stage).into_iter();
    let undeclared = undeclared.filter(|one| !told.contains(one)).collect();
    Ok(Preview {
        steps,
        held,
        held_because,
        directory: stage.memory.directory_verdict.take(),
        accounts: stage.connection.directory().len(),
        undeclared,
    })
}

/// Whether somebody is held whose uid, of which the hash of what is held is made, is not known.
fn holds_unborn(stage: &Stage, steps: &[Step]) -> bool {
    let held = steps.iter().filter(|step| step.action == Action::Hold);
    let users =
        held.filter_map(|step| stage.context.user(&Key::new(&*step.namespace, &*step.name)));
    users
        .filter_map(|user| user.uid())
        .any(|uid| uid.starts_with(UNBORN))
}
