//! The Lease at the API server: read, made and written on condition, and what it says.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Client, Config};
use tokio::time::timeout;

use super::Candidacy;
use crate::leadership::{Sighting, Terms};

/// Says of a lease what it is for: see [`Kind::label`].
pub const LABEL: &str = "scim-operator.io/lease";
/// The connection of a lease, as `<namespace>/<name>`.
const ANNOTATION_CONNECTION: &str = "scim-operator.io/connection";

/// What holding a lease is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything: whoever holds it works alone.
    Leader,
    /// What names a connection that does not exist, while connections are shared. The same lease as the
    /// leader's: as long as it is held as one, it is not as the other.
    Nobodys,
    /// A replica that lives.
    Replica,
    /// The connection of that name.
    Connection(String),
}

impl Kind {
    /// How the lease says so.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Nobodys => "nobodys",
            Self::Replica => "replica",
            Self::Connection(_) => "connection",
        }
    }

    /// Whether a lease says that it was last taken for this.
    #[must_use]
    pub fn is_of(&self, lease: &Lease) -> bool {
        let labels = lease.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(LABEL))
            .map(String::as_str)
            == Some(self.label())
    }
}

/// What came of a call.
pub enum Answer {
    /// The lease, as it is now.
    Is(Box<Lease>),
    /// There is none.
    Absent,
    /// Somebody else was faster.
    Conflict,
    /// Nobody knows, and why.
    Failed(String),
    /// Nobody knows: no answer came in time.
    Hung(Duration),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(_) => f.write_str("it is there"),
            Self::Absent => f.write_str("it is not there"),
            Self::Conflict => f.write_str("somebody else was faster"),
            Self::Failed(why) => f.write_str(why),
            Self::Hung(within) => write!(f, "no answer within {within:?}"),
        }
    }
}

/// A client for leases alone, which retries nothing by itself.
///
/// # Errors
/// When the configuration is of no use.
pub fn client(mut config: Config, terms: &Terms) -> kube::Result<Client> {
    config.default_retry = false;
    config.connect_timeout = Some(terms.call_timeout());
    Client::try_from(config)
}

/// The lease of a candidacy. Its client is one of its own, so that no amount of other work stands before
/// a renewal, and retries nothing by itself (R24).
pub struct LeaseOf {
    api: Api<Lease>,
    candidacy: Candidacy,
}

impl LeaseOf {
    /// Prepares; nothing is sent yet.
    pub fn new(client: Client, candidacy: Candidacy) -> Self {
        let api = Api::namespaced(client, &candidacy.namespace);
        Self { api, candidacy }
    }

    /// Whether we hold it.
    pub fn is_ours(&self, lease: &Lease) -> bool {
        sighting(lease).holder.as_ref() == Some(&self.candidacy.identity)
    }

    /// The lease as it is.
    pub async fn read(&self) -> Answer {
        let name = &self.candidacy.lease;
        answer(self.api.get_opt(name), self.candidacy.terms.call_timeout()).await
    }

    /// Takes a lease as it was read, or makes one.
    pub async fn take(&self, lease: Option<Lease>) -> Answer {
        let within = self.candidacy.terms.call_timeout();
        if let Some(lease) = lease {
            return self.write(self.taken(lease), within).await;
        }
        let lease = self.taken(Lease {
            metadata: ObjectMeta {
                name: Some(self.candidacy.lease.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let parameters = PostParams::default();
        answer(self.api.create(&parameters, &lease).map(some), within).await
    }

    /// Says that it is still held.
    pub async fn renew(&self, lease: Lease, within: Duration) -> Answer {
        self.write(self.renewed(lease), within).await
    }

    /// Deletes it, as it was read.
    pub async fn delete(&self, lease: &Lease) -> Answer {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: lease.metadata.uid.clone(),
                resource_version: lease.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let deleted = self.api.delete(&self.candidacy.lease, &parameters);
        let within = self.candidacy.terms.call_timeout();
        answer(deleted.map(|done| done.map(|_| None)), within).await
    }

    /// All leases of ours, of every kind.
    ///
    /// # Errors
    /// Why they are not known, as a sentence.
    pub async fn all(&self) -> Result<Vec<Lease>, String> {
        let parameters = ListParams::default().labels(LABEL);
        let within = self.candidacy.terms.call_timeout();
        match timeout(within, self.api.list(&parameters)).await {
            Ok(Ok(list)) => Ok(list.items),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(Answer::Hung(within).to_string()),
        }
    }

    /// Says that nobody holds it, after a drain.
    pub async fn give_back(&self, lease: Lease) -> Answer {
        self.write(released(lease), self.candidacy.terms.call_timeout())
            .await
    }

    /// Writes it on condition that nobody wrote it since it was read: it has its `resourceVersion`.
    async fn write(&self, lease: Lease, within: Duration) -> Answer {
        let (name, parameters) = (&self.candidacy.lease, PostParams::default());
        let written = self.api.replace(name, &parameters, &lease).map(some);
        answer(written, within).await
    }

    fn taken(&self, mut lease: Lease) -> Lease {
        let kind = &self.candidacy.kind;
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.insert(LABEL.to_owned(), kind.label().to_owned());
        if let Kind::Connection(connection) = kind {
            let annotations = lease.metadata.annotations.get_or_insert_default();
            annotations.insert(ANNOTATION_CONNECTION.to_owned(), connection.clone());
        }
        let before = lease.spec.take().unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            acquire_time: Some(wall_clock()),
            lease_transitions: Some(before.lease_transitions.map_or(0, |n| n.saturating_add(1))),
            ..LeaseSpec::default()
        });
        self.renewed(lease)
    }

    fn renewed(&self, mut lease: Lease) -> Lease {
        let Candidacy {
            identity, terms, ..
        } = &self.candidacy;
        let patience = terms.wait_out().as_millis().div_ceil(1000);
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(identity.clone());
        spec.lease_duration_seconds = Some(i32::try_from(patience).unwrap_or(i32::MAX));
        spec.renew_time = Some(wall_clock());
        lease
    }
}

/// What a lease says.
pub fn sighting(lease: &Lease) -> Sighting {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or(0);
    Sighting {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        wait_out: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    }
}

fn released(mut lease: Lease) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    // Zero is refused; more would say that somebody took the holder's name out of it.
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(wall_clock());
    lease
}

/// For people who look at the lease: nothing is decided by it.
fn wall_clock() -> MicroTime {
    MicroTime(jiff::Timestamp::now())
}

fn some(written: kube::Result<Lease>) -> kube::Result<Option<Lease>> {
    written.map(Some)
}

async fn answer(
    call: impl Future<Output = kube::Result<Option<Lease>>>,
    within: Duration,
) -> Answer {
    match timeout(within, call).await {
        Ok(Ok(Some(lease))) => Answer::Is(Box::new(lease)),
        Ok(Ok(None)) => Answer::Absent,
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Answer::Conflict,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Answer::Absent,
        Ok(Err(error)) => Answer::Failed(error.to_string()),
        Err(_) => Answer::Hung(within),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_a_lease_that_was_released_or_has_no_name() {
        let named = |holder: Option<&str>| Lease {
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: Some(45),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert_eq!(sighting(&named(Some("a"))).holder.as_deref(), Some("a"));
        assert_eq!(
            sighting(&named(Some("a"))).wait_out,
            Duration::from_secs(45)
        );
        assert_eq!(sighting(&named(Some(""))).holder, None);
        let given_back = sighting(&released(named(Some("a"))));
        assert_eq!(given_back.holder, None);
        assert!(given_back.is_released(), "{given_back:?}");
        assert!(
            !sighting(&named(Some(""))).is_released(),
            "cleared by somebody else"
        );
        assert_eq!(sighting(&Lease::default()).wait_out, Duration::ZERO);
    }
}
