//! What is known of a connection, as a value: what is shown, printed as JSON or YAML, and judged.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;

use super::figures::Figures;
use super::findings::Sections;
use crate::api::connection::{CapabilitiesStatus, GroupCounts, Mode, Profile, UserCounts};
use crate::api::{ConditionType, Reason, ScimConnection};
use crate::cli::tame::tame;
use crate::controller::guard;
use crate::domain::guard::spent_within;
use crate::domain::names;

/// Everything about one connection.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Ready, and nothing is held: the exit code.
    pub is_well: bool,
    /// Its condition `Ready`.
    pub ready: Ready,
    /// The other conditions, where one deserves a look.
    pub concerns: Vec<Concern>,
    /// Since when it is being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Whether the backend is written to.
    pub mode: Mode,
    /// Whether anything is done at all.
    pub suspend: bool,
    /// Host, and port where there is one.
    pub host: String,
    /// By which rules.
    pub profile: Profile,
    /// As status counts them.
    pub user_counts: Option<UserCounts>,
    /// As status counts them.
    pub group_counts: Option<GroupCounts>,
    /// Deprovisioning that waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_plan: Option<Held>,
    /// Recorded accounts that the backend lacks, while nobody has approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_accounts: Option<Held>,
    /// When the last complete listing ended.
    pub last_full_sync: Option<Timestamp>,
    /// When the next is due; none while it is suspended, or was never listed.
    pub next_sync: Option<Timestamp>,
    /// What it may spend.
    pub budget: Budget,
    /// What the backend can do, where that is known.
    pub capabilities: Option<CapabilitiesStatus>,
    /// Who is not in step; absent where nobody was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Sections>,
    /// Which groups are not in step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Sections>,
    /// Which of them could not be read, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What one replica has asked the backend, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Figures>,
}

/// The condition `Ready`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A reason of the API.
    pub reason: String,
    /// Why.
    pub message: String,
    /// It speaks of this spec, and not of an older one.
    pub is_current: bool,
}

/// A condition that deserves a look.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Concern {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A reason of the API.
    pub reason: String,
    /// Why.
    pub message: String,
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// What an approval has to say.
    pub hash: String,
    /// How many it is about.
    pub count: u32,
    /// The first of them, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// The command that approves exactly this.
    pub approve: String,
}

/// What may be spent: requests, and people who go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// `spec.limits.requestsPerSecond`.
    pub requests_per_second: u32,
    /// `spec.limits.maxInFlight`.
    pub max_in_flight: u32,
    /// So many went within the guard's window.
    pub deprovisioned: u32,
    /// So many may, as far as status tells; what was approved is not counted.
    pub allowance: u32,
    /// The guard's window.
    pub window: String,
}

impl Facts {
    /// What the object itself says, at a time.
    pub fn of(object: &ScimConnection, now: Timestamp) -> Self {
        let spec = &object.spec;
        let namespace = object.namespace().unwrap_or_default();
        let name = object.name_any();
        let status = object.status.clone().unwrap_or_default();
        let ready = ready(&status.conditions, object.metadata.generation);
        let approve =
            |hash: &str| format!("kubectl scim approve {name} {} -n {namespace}", tame(hash));
        let held_plan = status.held_plan.map(|plan| Held {
            approve: approve(&plan.hash),
            hash: tame(&plan.hash),
            count: plan.count,
            users: plan.users.iter().map(|user| tame(user)).collect(),
        });
        let missing = status.missing_accounts.filter(|missing| !missing.approved);
        let missing_accounts = missing.map(|missing| Held {
            approve: approve(&missing.hash),
            hash: tame(&missing.hash),
            count: missing.count,
            users: vec![],
        });
        let concerns = concerns(&status.conditions);
        let is_held = held_plan.is_some()
            || missing_accounts.is_some()
            || concerns
                .iter()
                .any(|c| c.kind == ConditionType::DeprovisioningHeld.as_str());
        let last_full_sync = status.last_full_sync.map(|at| at.0);
        let interval = names::duration_seconds(&spec.sync.interval);
        let interval = interval.and_then(|seconds| i64::try_from(seconds).ok());
        let next_sync = last_full_sync
            .filter(|_| !spec.suspend)
            .zip(interval)
            .and_then(|(last, seconds)| last.checked_add(SignedDuration::from_secs(seconds)).ok());
        let limit = guard::limit(spec);
        let spent = status.deprovisioned.iter();
        let spent = spent.map(|entry| (entry.at.0.as_second(), entry.count));
        let deprovisioned = spent_within(spent, limit, now.as_second());
        // As the guard reckons: who went within the window was there when it began.
        let active = status
            .users
            .map_or(0, |users| users.provisioned.saturating_sub(users.archived));
        Self {
            is_well: ready.status == "True" && ready.is_current && !is_held,
            ready,
            concerns,
            deleted_at: object.metadata.deletion_timestamp.as_ref().map(|at| at.0),
            mode: spec.mode,
            suspend: spec.suspend,
            host: host(&spec.endpoint),
            profile: spec.profile,
            user_counts: status.users,
            group_counts: status.groups,
            held_plan,
            missing_accounts,
            last_full_sync,
            next_sync,
            budget: Budget {
                requests_per_second: spec.limits.requests_per_second,
                max_in_flight: spec.limits.max_in_flight,
                deprovisioned,
                allowance: limit.allowance(active.saturating_add(deprovisioned)),
                window: spec.deprovision_guard.window.clone(),
            },
            capabilities: status.capabilities,
            users: None,
            groups: None,
            unread: None,
            requests: None,
            namespace,
            name,
        }
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

fn ready(conditions: &[Condition], generation: Option<i64>) -> Ready {
    let found = conditions
        .iter()
        .find(|c| c.type_ == ConditionType::Ready.as_str());
    match found {
        Some(ready) => Ready {
            status: tame(&ready.status),
            reason: tame(&ready.reason),
            message: tame(&ready.message),
            is_current: ready.observed_generation == generation,
        },
        None => Ready {
            status: "Unknown".into(),
            reason: Reason::Unknown.as_str().into(),
            message: "the operator has not looked at it yet: does it run, and does it watch this namespace?".into(),
            is_current: false,
        },
    }
}

/// Besides `Ready`, what is not as it should be. The two of kstatus say nothing that is not said there.
fn concerns(conditions: &[Condition]) -> Vec<Concern> {
    use ConditionType as C;
    let deserves_a_look = |c: &&Condition| match C::parse(&c.type_) {
        Some(C::DeprovisioningHeld | C::Insecure) => c.status == "True",
        Some(C::Authenticated | C::Reachable | C::DirectoryComplete | C::Valid) => {
            c.status != "True"
        }
        _ => false,
    };
    let found = conditions.iter().filter(deserves_a_look);
    found
        .map(|c| Concern {
            kind: tame(&c.type_),
            status: tame(&c.status),
            reason: tame(&c.reason),
            message: tame(&c.message),
        })
        .collect()
}

/// Host, and port where there is one: no path, and no credentials if somebody has put them there all the same.
pub fn host(endpoint: &str) -> String {
    let uri = endpoint.parse::<http::Uri>().ok();
    let Some((host, port)) = uri.as_ref().and_then(|u| Some((u.host()?, u.port()))) else {
        return "?".into();
    };
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub fn now() -> Timestamp {
        "2026-11-28T09:00:00Z".parse().unwrap()
    }

    pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    /// A connection of generation 2 with that status; `spec` is merged into its spec.
    pub fn connection(spec: Value, status: Value) -> ScimConnection {
        let mut whole = json!({"endpoint": "https://app.cybsafe.com/scim/v2/", "tokenSecretRef": {"name": "scim"}});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let object = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection",
            "metadata": {"name": "scim", "namespace": "identity", "generation": 2},
            "spec": whole, "status": status
        });
        serde_json::from_value(object).unwrap()
    }

    fn well(spec: Value, status: Value) -> bool {
        Facts::of(&connection(spec, status), now()).is_well
    }

    #[test]
    fn it_is_well_when_it_is_ready_by_this_spec_and_nothing_is_held() {
        let ready = || condition("Ready", "True", "Connected", "");
        let mut older = ready();
        older["observedGeneration"] = json!(1);
        let held = condition("DeprovisioningHeld", "True", "ScopeTerminating", "");
        let plan = json!({"hash": "aaaa", "count": 3});
        for (status, is_well, why) in [
            (json!({"conditions": [ready()]}), true, "ready"),
            (json!({"conditions": [older]}), false, "of an older spec"),
            (json!({"conditions": []}), false, "nobody has looked"),
            (
                json!({"conditions": [condition("Ready", "False", "Suspended", "")]}),
                false,
                "not ready",
            ),
            (
                json!({"conditions": [ready()], "heldPlan": plan}),
                false,
                "held",
            ),
            (
                json!({"conditions": [ready(), held]}),
                false,
                "a deletion that waits",
            ),
            (
                json!({"conditions": [ready()], "missingAccounts": {"hash": "b", "count": 9}}),
                false,
                "accounts are missing",
            ),
            (
                json!({"conditions": [ready()], "missingAccounts": {"hash": "b", "count": 9, "approved": true}}),
                true,
                "approved",
            ),
        ] {
            assert_eq!(well(json!({}), status), is_well, "{why}");
        }
    }

    #[test]
    fn what_left_the_window_is_not_spent_any_more() {
        let spent = json!([
            {"at": "2026-11-28T07:59:59Z", "count": 40},
            {"at": "2026-11-28T08:30:00Z", "count": 2},
            {"at": "2026-11-28T09:01:00Z", "count": 1}
        ]);
        let status = json!({"users": {"desired": 100, "provisioned": 107, "archived": 10, "invalid": 0, "failing": 0, "unmanaged": 0}, "deprovisioned": spent});
        let budget = Facts::of(&connection(json!({}), status), now()).budget;
        assert_eq!((budget.deprovisioned, budget.allowance), (3, 10));
    }

    #[test]
    fn the_next_listing_is_due_an_interval_after_the_last() {
        let status = json!({"lastFullSync": "2026-11-28T08:45:00Z"});
        let next = |spec| Facts::of(&connection(spec, status.clone()), now()).next_sync;
        let due = next(json!({"sync": {"interval": "30m"}})).unwrap();
        assert_eq!(due.to_string(), "2026-11-28T09:15:00Z");
        assert_eq!(next(json!({"suspend": true})), None);
    }

    #[test]
    fn of_the_endpoint_only_the_host_is_told() {
        for (endpoint, expected) in [
            ("https://app.cybsafe.com/scim/v2/", "app.cybsafe.com"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://user:secret@example.com/scim", "example.com"),
            ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443"),
            ("nonsense here", "?"),
        ] {
            assert_eq!(host(endpoint), expected);
        }
    }
}
