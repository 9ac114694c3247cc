//! Who may lead, when to renew, and when to give up: decisions alone, on monotonic time passed in.
//! What reads and writes the Lease is `controller/election.rs`.
//!
//! Guarantees, where every replica's monotonic clock runs at the same speed and never stands still:
//!
//! * who leads begins nothing later than `renew_deadline` after the *start* of its last renewal;
//! * who takes over a lease that was not released has seen it unchanged for `lease` and the longest
//!   request, so that whatever the former leader began has come to its end;
//! * wall clocks decide nothing (R09): an observer times the changes that it sees.

use std::time::Duration;

pub mod shares;

/// The longest that a lease is waited out, whatever stands in it.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// What a lease says that its holder gave back: zero is refused.
const RELEASED: Duration = Duration::from_secs(1);

/// Time since a start that only this process knows.
pub type Moment = Duration;

/// The durations that all replicas work by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a renewal is good for.
    pub lease: Duration,
    /// How often the leader renews.
    pub renew_every: Duration,
    /// How long after its last renewal a leader stops by itself.
    pub renew_deadline: Duration,
    /// The longest that a request to a backend takes.
    pub longest_request: Duration,
}

/// Why terms are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Renewals would come too late.
    #[error("the renew interval must be longer than zero and shorter than the renew deadline")]
    RenewInterval,
    /// Two could lead.
    #[error("the renew deadline must be shorter than the lease")]
    RenewDeadline,
    /// The Lease holds its duration in 32 bits.
    #[error("a lease, with the longest request, lasts a day at most")]
    TooLong,
}

impl Terms {
    /// The same, once it is known that they keep two from leading.
    ///
    /// # Errors
    /// As [`TermsError`] says.
    pub fn checked(self) -> Result<Self, TermsError> {
        if self.renew_every.is_zero() || self.renew_every >= self.renew_deadline {
            return Err(TermsError::RenewInterval);
        }
        if self.renew_deadline >= self.lease {
            return Err(TermsError::RenewDeadline);
        }
        if self.wait_out() > LONGEST_WAIT {
            return Err(TermsError::TooLong);
        }
        Ok(self)
    }

    /// How long a lease has to stay unchanged before another may take it. It stands in the lease, so
    /// that a replica with other settings waits for as long as the holder needs.
    #[must_use]
    pub fn wait_out(&self) -> Duration {
        self.lease + self.longest_request
    }

    /// How often a standby looks, and a leader tries again what failed.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        (self.renew_every / 2).min(Duration::from_secs(2))
    }

    /// How long one call may take (R24): two renewals that hang leave a third its whole time before the
    /// deadline, since what hung is tried again at once.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        (self.renew_deadline - self.renew_every) / 3
    }
}

/// A lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its `resourceVersion`: any renewal changes it, whatever the holder's clock says.
    pub version: String,
    /// Who holds it; nobody, once it was released.
    pub holder: Option<String>,
    /// How long it has to stay unchanged, as its holder wrote.
    pub wait_out: Duration,
}

impl Sighting {
    /// Whether its holder gave it back, after it had drained. Where only the name was taken out of it, by
    /// hand, whoever held it may not have noticed, and is at work.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.holder.as_deref().is_none_or(str::is_empty) && self.wait_out <= RELEASED
    }
}

/// What a standby does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Makes the lease and leads.
    Create,
    /// Takes the lease, as it was just read, and leads.
    Take,
    /// Looks again after that time.
    Wait(Duration),
}

/// A standby: what it has seen of the lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    terms: Terms,
    /// The lease, and when it was first seen like that.
    seen: Option<(Sighting, Moment)>,
}

impl Candidate {
    /// A standby that has seen nothing yet.
    #[must_use]
    pub fn new(identity: impl Into<String>, terms: Terms) -> Self {
        Self {
            identity: identity.into(),
            terms,
            seen: None,
        }
    }

    /// What follows from a lease that was read, or found missing; `now` is after the answer came.
    pub fn sees(&mut self, lease: Option<Sighting>, now: Moment) -> Move {
        let Some(lease) = lease else {
            // Somebody deleted it under its holder, who may not have noticed.
            return self.wait_out(now).map_or(Move::Create, Move::Wait);
        };
        // Our own name means that we took it and the answer was lost.
        let free = lease.is_released() || lease.holder.as_ref() == Some(&self.identity);
        if free {
            self.seen = None;
            return Move::Take;
        }
        match &mut self.seen {
            Some((known, _)) if known.version == lease.version => {}
            seen => *seen = Some((lease, now)),
        }
        self.wait_out(now).map_or(Move::Take, Move::Wait)
    }

    /// How long until the next look, while the holder that was seen last may be at work.
    fn wait_out(&self, now: Moment) -> Option<Duration> {
        let (lease, since) = self.seen.as_ref()?;
        let patience = lease.wait_out.min(LONGEST_WAIT);
        let end = *since + patience.max(self.terms.wait_out());
        let left = end.saturating_sub(now);
        (!left.is_zero()).then(|| left.min(self.terms.look_every()))
    }
}

/// What a leader does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for that time.
    Rest(Duration),
    /// Renews, within that time.
    Renew(Duration),
    /// Stops writing: it could not renew in time.
    GiveUp,
}

/// A leader: when it last renewed.
#[derive(Clone, Copy, Debug)]
pub struct Reign {
    terms: Terms,
    renewed: Moment,
    /// When to try again what failed.
    again: Option<Moment>,
}

impl Reign {
    /// Begins with a call that took the lease, and was *sent* at that moment: the server may have
    /// written it at once, and observers count from then.
    #[must_use]
    pub fn begun(terms: Terms, sent: Moment) -> Self {
        Self {
            terms,
            renewed: sent,
            again: None,
        }
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self, now: Moment) -> Step {
        let left = self.may_begin_until().saturating_sub(now);
        if left.is_zero() {
            return Step::GiveUp;
        }
        let due = self.again.unwrap_or(self.renewed + self.terms.renew_every);
        match due.saturating_sub(now) {
            rest if rest.is_zero() => Step::Renew(left.min(self.terms.call_timeout())),
            rest => Step::Rest(rest.min(left)),
        }
    }

    /// A renewal that was sent at that moment was answered. False where the answer came too late: the
    /// leader had stopped by then, and what has stopped does not begin again.
    #[must_use]
    pub fn renewed(&mut self, sent: Moment, now: Moment) -> bool {
        if self.next(now) == Step::GiveUp {
            return false;
        }
        self.renewed = sent;
        self.again = None;
        true
    }

    /// A renewal failed at once: the next would as well, without a rest.
    pub fn failed(&mut self, now: Moment) {
        self.again = Some(now + self.terms.look_every());
    }

    /// A renewal had no answer in its time, which is long enough: the next is sent on another connection.
    pub fn hung(&mut self, now: Moment) {
        self.again = Some(now);
    }

    /// Until when requests to backends may begin.
    #[must_use]
    pub fn may_begin_until(&self) -> Moment {
        self.renewed + self.terms.renew_deadline
    }

    /// Until when may be told what became of them: the last of them has ended by then.
    #[must_use]
    pub fn may_report_until(&self) -> Moment {
        self.may_begin_until() + self.terms.longest_request
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
