//! What the operator shows of its connections at a scrape: read from where it is known anyway, so that a series
//! ends with its connection, and a scrape costs a moment and no request.
//!
//! A connection is named `namespace/name`. Nobody is named: users and groups are counted.

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::api::ScimConnectionStatus;
use crate::controller::context::Context;
use crate::controller::counts::{Change, Whose};
use crate::controller::listing;
use crate::controller::live::Connection;
use crate::controller::slots::Load;
use crate::scim::{Answer, Lane, Operation};

/// Shows what a context knows, for as long as it is there: it has the registry that this is in.
pub struct Figures(Weak<Context>);

impl Figures {
    /// Of this context.
    #[must_use]
    pub fn of(context: &Arc<Context>) -> Self {
        Self(Arc::downgrade(context))
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

/// A connection that this process works on, and what was last told of it.
struct Seen {
    label: String,
    running: Arc<Connection>,
    status: ScimConnectionStatus,
}

/// Both lanes, in words.
const LANES: [(Lane, &str); 2] = [(Lane::Fresh, "fresh"), (Lane::Drift, "drift")];

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(context) = self.0.upgrade() else {
            return Ok(());
        };
        let context = &*context;
        let mut seen: Vec<Seen> = context
            .running()
            .into_iter()
            .map(|running| {
                let object = context.connections.get(&running.key.reference());
                Seen {
                    label: running.key.to_string(),
                    status: object.and_then(|o| o.status.clone()).unwrap_or_default(),
                    running,
                }
            })
            .collect();
        seen.sort_by(|one, other| one.label.cmp(&other.label));
        let out = &mut encoder;
        context.passes.encode(out)?;
        gauge(
            out,
            "connections",
            "Connections that this replica works on",
            None,
            |one| one(&[], seen.len() as f64),
        )?;
        conditions(out, &seen)?;
        resources(out, &seen)?;
        unreadable(out, context)?;
        unlisted(out, context)?;
        queues(out, context, &seen)?;
        budget(out, &seen)?;
        changes(out, &seen)?;
        guard(out, &seen)?;
        times(out, context, &seen)
    }
}

type Labels<'a> = [(&'static str, &'a str)];
/// Writes one value of a figure.
type One<'a> = dyn FnMut(&Labels<'_>, f64) -> fmt::Result + 'a;

fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    values: impl FnOnce(&mut One<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut family = out.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
    values(&mut |labels, value| family.encode_family(&labels)?.encode_gauge(&value))
}

/// A figure of each connection; none where there is nothing to say of it.
fn of_each(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    seen: &[Seen],
    value: impl Fn(&Seen) -> Option<f64>,
) -> fmt::Result {
    gauge(out, name, help, unit, |one| {
        for connection in seen {
            if let Some(value) = value(connection) {
                one(&[("connection", &connection.label)], value)?;
            }
        }
        Ok(())
    })
}

fn counter(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl FnOnce(&mut dyn FnMut(&Labels<'_>, u64) -> fmt::Result) -> fmt::Result,
) -> fmt::Result {
    let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    values(&mut |labels, value| {
        let mut series: MetricEncoder<'_> = family.encode_family(&labels)?;
        series.encode_counter::<NoLabelSet, _, u64>(&value, None)
    })
}

fn histogram<M: EncodeMetric>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl FnOnce(&mut dyn FnMut(&Labels<'_>, &M) -> fmt::Result) -> fmt::Result,
) -> fmt::Result {
    let unit = Unit::Seconds;
    let mut family = out.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
    values(&mut |labels, values| values.encode(family.encode_family(&labels)?))
}

fn conditions(out: &mut DescriptorEncoder<'_>, seen: &[Seen]) -> fmt::Result {
    let help = "Conditions of the connections, as status has them: 1 for the one that holds";
    gauge(out, "connection_condition", help, None, |one| {
        for Seen { label, status, .. } in seen {
            for condition in &status.conditions {
                let labels = [
                    ("connection", &**label),
                    ("type", &condition.type_),
                    ("status", &condition.status),
                    ("reason", &condition.reason),
                ];
                one(&labels, 1.0)?;
            }
        }
        Ok(())
    })
}

fn resources(out: &mut DescriptorEncoder<'_>, seen: &[Seen]) -> fmt::Result {
    let help = "Users and groups of the connections, as their status counts them";
    gauge(out, "resources", help, None, |one| {
        for Seen { label, status, .. } in seen {
            let users = status.users.iter().flat_map(|users| {
                [
                    ("desired", users.desired),
                    ("provisioned", users.provisioned),
                    ("archived", users.archived),
                    ("invalid", users.invalid),
                    ("failing", users.failing),
                    ("unmanaged", users.unmanaged),
                ]
                .map(|count| (Whose::User, count))
            });
            let groups = status.groups.iter().flat_map(|groups| {
                [
                    ("desired", groups.desired),
                    ("provisioned", groups.provisioned),
                    ("invalid", groups.invalid),
                    ("failing", groups.failing),
                    ("unmanaged", groups.unmanaged),
                ]
                .map(|count| (Whose::Group, count))
            });
            for (whose, (state, count)) in users.chain(groups) {
                let labels = [
                    ("connection", &**label),
                    ("kind", whose.kind()),
                    ("state", state),
                ];
                one(&labels, f64::from(count))?;
            }
        }
        Ok(())
    })?;
    let help = "Users and groups by the reason of their Ready condition";
    gauge(out, "resources_by_reason", help, None, |one| {
        for Seen { label, running, .. } in seen {
            for (whose, counted) in running.by_reason() {
                for (reason, count) in counted {
                    let labels = [
                        ("connection", &**label),
                        ("kind", whose.kind()),
                        ("reason", reason.as_str()),
                    ];
                    one(&labels, count as f64)?;
                }
            }
        }
        Ok(())
    })
}

fn unreadable(out: &mut DescriptorEncoder<'_>, context: &Context) -> fmt::Result {
    let help = "Objects that this version cannot read, and leaves alone";
    gauge(out, "unreadable", help, None, |one| {
        for (kind, count) in context.unreadable.counts() {
            one(&[("kind", &kind)], count as f64)?;
        }
        Ok(())
    })
}

fn unlisted(out: &mut DescriptorEncoder<'_>, context: &Context) -> fmt::Result {
    let help = "1 for each kind and namespace, empty for all, that could not be listed yet; nothing of the kind is carried out before";
    gauge(out, "unlisted", help, None, |one| {
        for (kind, namespace) in context.options.watched.unlisted() {
            one(&[("kind", &kind), ("watched_namespace", &namespace)], 1.0)?;
        }
        Ok(())
    })
}

fn queues(out: &mut DescriptorEncoder<'_>, context: &Context, seen: &[Seen]) -> fmt::Result {
    // Looked at once: to count who stands in which line takes all of the line.
    let loads: Vec<_> = seen
        .iter()
        .flat_map(|Seen { label, running, .. }| {
            [
                (label, Whose::User, running.user_slots.load()),
                (label, Whose::Group, running.group_slots.load()),
            ]
        })
        .collect();
    let mut of_loads = |name: &str, help: &str, count: fn(Load, Lane) -> usize| {
        gauge(out, name, help, None, |one| {
            for (label, whose, load) in &loads {
                for (lane, word) in LANES {
                    let labels = [
                        ("connection", &***label),
                        ("kind", whose.kind()),
                        ("lane", word),
                    ];
                    one(&labels, count(*load, lane) as f64)?;
                }
            }
            Ok(())
        })
    };
    of_loads(
        "working",
        "Users and groups that are worked on",
        Load::working,
    )?;
    of_loads(
        "waiting",
        "Users and groups that wait to be worked on",
        Load::waiting,
    )?;
    let help = "SCIM requests that wait for their turn";
    gauge(out, "scim_requests_waiting", help, None, |one| {
        for Seen { label, running, .. } in seen {
            let client = running.client();
            for (lane, word) in LANES {
                let client = client.as_ref();
                let waiting = client.map_or(0, |client| client.limiter().waiting(lane));
                one(&[("connection", label), ("lane", word)], waiting as f64)?;
            }
        }
        Ok(())
    })?;
    let help = "Statuses and finalizers that wait to be written to the API server";
    gauge(out, "kubernetes_writes_waiting", help, None, |one| {
        for (lane, word) in LANES {
            one(&[("lane", word)], context.writes.waiting(lane) as f64)?;
        }
        Ok(())
    })
}

fn budget(out: &mut DescriptorEncoder<'_>, seen: &[Seen]) -> fmt::Result {
    let help = "SCIM requests by what they were for and how they were answered";
    counter(out, "scim_requests", help, |one| {
        for Seen { label, running, .. } in seen {
            for operation in Operation::ALL {
                for answer in Answer::ALL {
                    let count = running.counts.tally.requests(operation, answer).get();
                    if count > 0 {
                        let labels = [
                            ("connection", &**label),
                            ("operation", operation.as_str()),
                            ("answer", answer.as_str()),
                        ];
                        one(&labels, count)?;
                    }
                }
            }
        }
        Ok(())
    })?;
    let help = "How long SCIM requests take, from sending to the last byte of the answer";
    histogram(out, "scim_request_duration", help, |one| {
        for Seen { label, running, .. } in seen {
            let tally = &running.counts.tally;
            for operation in Operation::ALL {
                let asked = |answer: Answer| tally.requests(operation, answer).get() > 0;
                if Answer::ALL.into_iter().any(asked) {
                    let labels = [("connection", &**label), ("operation", operation.as_str())];
                    one(&labels, tally.durations(operation))?;
                }
            }
        }
        Ok(())
    })?;
    let help = "SCIM requests that were not needed: answered by the listing, or sent along in a Bulk request";
    counter(out, "scim_requests_saved", help, |one| {
        for Seen { label, running, .. } in seen {
            let counts = &running.counts;
            one(
                &[("connection", label), ("by", "listing")],
                counts.saved.get(),
            )?;
            let along = counts.tally.taken_along.get();
            one(&[("connection", label), ("by", "bulk")], along)?;
        }
        Ok(())
    })?;
    let help = "SCIM requests that were held back, by our own rate or by a pause that the backend asked for";
    counter(out, "scim_requests_held_back", help, |one| {
        for Seen { label, running, .. } in seen {
            let tally = &running.counts.tally;
            one(
                &[("connection", label), ("by", "rate")],
                tally.by_rate.get(),
            )?;
            one(
                &[("connection", label), ("by", "pause")],
                tally.by_pause.get(),
            )?;
        }
        Ok(())
    })?;
    let help = "Requests a second that the backend was found to allow, where that is less than spec.limits";
    of_each(out, "scim_rate_learned", help, None, seen, |one| {
        one.running.client()?.limiter().learned()
    })
}

fn changes(out: &mut DescriptorEncoder<'_>, seen: &[Seen]) -> fmt::Result {
    let help = "What was done to accounts and groups at the backend";
    counter(out, "changes", help, |one| {
        for Seen { label, running, .. } in seen {
            for whose in Whose::ALL {
                for change in Change::ALL {
                    let labels = [
                        ("connection", &**label),
                        ("kind", whose.kind()),
                        ("change", change.as_str()),
                    ];
                    one(&labels, running.counts.changes(whose, change).get())?;
                }
            }
        }
        Ok(())
    })?;
    let help = "From the creation of a resource until it has an account for the first time";
    histogram(out, "time_to_provisioned", help, |one| {
        for Seen { label, running, .. } in seen {
            for whose in Whose::ALL {
                let labels = [("connection", &**label), ("kind", whose.kind())];
                one(&labels, running.counts.until_there(whose))?;
            }
        }
        Ok(())
    })
}

fn guard(out: &mut DescriptorEncoder<'_>, seen: &[Seen]) -> fmt::Result {
    let help = "Users whose deprovisioning waits for approval";
    of_each(out, "held_deprovisionings", help, None, seen, |one| {
        let held = one.status.held_plan.as_ref();
        Some(held.map_or(0.0, |plan| f64::from(plan.count)))
    })?;
    let help = "Recorded accounts that the backend lacks, while that stops the connection";
    of_each(out, "missing_accounts", help, None, seen, |one| {
        let missing = one.status.missing_accounts.as_ref();
        let missing = missing.filter(|missing| !missing.approved);
        Some(missing.map_or(0.0, |missing| f64::from(missing.count)))
    })
}

fn times(out: &mut DescriptorEncoder<'_>, context: &Context, seen: &[Seen]) -> fmt::Result {
    let mut of_each = |name, help, value: &dyn Fn(&Seen) -> Option<f64>| {
        of_each(out, name, help, Some(Unit::Seconds), seen, value)
    };
    let help = "When the last complete listing of the backend ended, since 1970";
    of_each("last_full_sync_timestamp", help, &|one| {
        let last = one.status.last_full_sync.as_ref()?;
        Some(last.0.as_second() as f64)
    })?;
    let help = "How often the backend is to be listed, as spec.sync.interval says";
    of_each("sync_interval", help, &|one| {
        Some(listing::interval(&one.running.spec()?).as_secs_f64())
    })?;
    let help = "When the data of the token's Secret was last written, since 1970, as its managed fields say";
    of_each("token_changed_timestamp", help, &|one| {
        let changed = context.watches.token_changed(&one.running.key)?;
        Some(changed.as_second() as f64)
    })
}
