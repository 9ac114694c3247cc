//! What is known of a connection, as text: one screen, one line of a table, or one line of a log.

use std::fmt::Write;

use anstyle::Style;
use jiff::Timestamp;

use super::facts::{Facts, Held};
use super::findings::{Matter, Sections};
use crate::api::connection::{CapabilitiesStatus, Mode};
use crate::cli::paint::{BAD, CAUTION, FAINT, GOOD, STRONG, in_style};

/// One screen.
pub fn screen(facts: &Facts, now: Timestamp) -> String {
    let mut text = Text::default();
    text.line(&in_style(STRONG, facts.key()));
    let ready = &facts.ready;
    text.row(
        "Ready",
        &format!(
            "{} {}",
            in_style(ready_style(facts), &ready.status),
            ready.reason
        ),
    );
    if !ready.is_current && ready.status != "Unknown" {
        text.more(&in_style(
            CAUTION,
            "of an older spec: the newest was not looked at yet",
        ));
    }
    text.more(&ready.message);
    if let Some(at) = facts.deleted_at {
        text.row(
            "Deleted",
            &in_style(CAUTION, format!("since {}", moment(at, now))),
        );
    }
    let mode = format!("{:?}", facts.mode);
    let mode = match (facts.mode, facts.suspend) {
        (_, true) => format!("{mode}, {}", in_style(CAUTION, "suspended")),
        (Mode::DryRun, false) => in_style(CAUTION, mode),
        (Mode::Enforce, false) => mode,
    };
    text.row("Mode", &mode);
    text.row(
        "Backend",
        &format!("{}, profile {:?}", facts.host, facts.profile),
    );
    text.row("Synced", &synced(facts, now));
    text.row("Users", &users(facts));
    if let Some(groups) = &facts.group_counts {
        let counts = format!(
            "{} declared, {} provisioned, {}, {}, {} unmanaged",
            groups.desired,
            groups.provisioned,
            counted(BAD, groups.invalid, "invalid"),
            counted(CAUTION, groups.failing, "failing"),
            groups.unmanaged
        );
        text.row("Groups", &counts);
    }
    for concern in &facts.concerns {
        // `Ready` may have said it already.
        if concern.message != ready.message {
            let style = if concern.status == "Unknown" {
                FAINT
            } else {
                CAUTION
            };
            let what = format!("{}={} {}", concern.kind, concern.status, concern.reason);
            text.row("Concern", &in_style(style, what));
            text.more(&concern.message);
        }
    }
    if let Some(missing) = &facts.missing_accounts {
        let what = format!("{} recorded accounts, not at the backend", missing.count);
        text.held("Missing", &what, "to have them made anew", missing);
    }
    if let Some(plan) = &facts.held_plan {
        let what = format!("{} to be archived or deleted", people(plan.count));
        text.held("Held", &what, "to let exactly these go", plan);
    }
    let budget = &facts.budget;
    text.row(
        "Budget",
        &format!(
            "{} requests a second, {} at once; {} of {} deprovisioned within {}",
            budget.requests_per_second,
            budget.max_in_flight,
            budget.deprovisioned,
            budget.allowance,
            budget.window
        ),
    );
    if let Some(can) = &facts.capabilities {
        text.row("Can", &capabilities(can));
    }
    match &facts.requests {
        Some(requests) => text.row(
            "Requests",
            &format!(
                "{} sent, {} saved, {} throttled, {} waiting",
                requests.sent, requests.saved, requests.throttled, requests.waiting
            ),
        ),
        None => text.row(
            "Requests",
            &in_style(FAINT, "told by the operator's figures: --metrics URL"),
        ),
    }
    for (kind, sections) in [("Users", &facts.users), ("Groups", &facts.groups)] {
        if let Some(sections) = sections {
            text.sections(kind, sections);
        }
    }
    if let Some(unread) = &facts.unread {
        text.line("");
        text.line(&in_style(CAUTION, unread));
    }
    text.0
}

/// A table with a line each.
pub fn table(all: &[Facts], now: Timestamp) -> String {
    let mut rows = vec![
        [
            "NAMESPACE",
            "NAME",
            "READY",
            "REASON",
            "MODE",
            "USERS",
            "INVALID",
            "FAILING",
            "HELD",
            "SYNCED",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows.extend(all.iter().map(|facts| {
        let counts = facts.user_counts.unwrap_or_default();
        vec![
            facts.namespace.clone(),
            facts.name.clone(),
            facts.ready.status.clone(),
            facts.ready.reason.clone(),
            if facts.suspend {
                "Suspended".to_owned()
            } else {
                format!("{:?}", facts.mode)
            },
            format!("{}/{}", counts.provisioned, counts.desired),
            counts.invalid.to_string(),
            counts.failing.to_string(),
            held_count(facts),
            facts
                .last_full_sync
                .map_or_else(|| "never".into(), |at| ago(at, now)),
        ]
    }));
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..10).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let line = cells.join("  ").trim_end().to_owned();
        let style = match number.checked_sub(1).and_then(|at| all.get(at)) {
            None => FAINT,
            Some(facts) if facts.is_well => Style::new(),
            Some(facts) => ready_style(facts),
        };
        let _ = writeln!(text, "{}", in_style(style, line));
    }
    text
}

/// One line, for a log of what changes.
pub fn line(facts: &Facts) -> String {
    let counts = facts.user_counts.unwrap_or_default();
    let mut line = format!(
        "{} Ready={} {} users={}/{} archived={} invalid={} failing={} held={}",
        facts.key(),
        facts.ready.status,
        facts.ready.reason,
        counts.provisioned,
        counts.desired,
        counts.archived,
        counts.invalid,
        counts.failing,
        held_count(facts),
    );
    let held = facts.missing_accounts.as_ref().or(facts.held_plan.as_ref());
    if let Some(held) = held {
        let _ = write!(line, " plan={}", held.hash);
    }
    for (kind, sections) in [("users", &facts.users), ("groups", &facts.groups)] {
        let Some(sections) = sections else { continue };
        for matter in Matter::ALL {
            let count = sections.of(matter).count;
            if count > 0 {
                let _ = write!(line, "; {count} {kind} {}", matter.words());
            }
        }
    }
    if let Some(requests) = &facts.requests {
        let _ = write!(
            line,
            "; sent={} saved={} throttled={} waiting={}",
            requests.sent, requests.saved, requests.throttled, requests.waiting
        );
    }
    line
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn row(&mut self, name: &str, value: &str) {
        self.line(&format!("{name:9} {value}"));
    }

    fn more(&mut self, value: &str) {
        if !value.is_empty() {
            self.row("", value);
        }
    }

    fn held(&mut self, name: &str, what: &str, purpose: &str, held: &Held) {
        self.row(
            name,
            &format!("{} (plan {})", in_style(BAD, what), held.hash),
        );
        for user in &held.users {
            self.more(&format!("  {user}"));
        }
        let more = usize::try_from(held.count).unwrap_or(usize::MAX);
        let more = more.saturating_sub(held.users.len());
        if more > 0 && !held.users.is_empty() {
            self.more(&format!("  and {more} more"));
        }
        self.more(&format!("{purpose}: {}", in_style(STRONG, &held.approve)));
    }

    fn sections(&mut self, kind: &str, sections: &Sections) {
        for matter in Matter::ALL {
            let section = sections.of(matter);
            if section.count == 0 {
                continue;
            }
            let style = match matter {
                Matter::Invalid | Matter::Held => BAD,
                Matter::ArchivedByBackend | Matter::Failing => CAUTION,
                Matter::Archived => STRONG,
            };
            let title = format!("{kind} {} ({})", matter.words(), section.count);
            self.line("");
            self.line(&in_style(style, title));
            for finding in &section.first {
                self.line(&format!(
                    "  {}  {}: {}",
                    in_style(STRONG, &finding.name),
                    finding.reason,
                    finding.message
                ));
            }
            let more = section.count - section.first.len();
            if more > 0 {
                self.line(&in_style(
                    FAINT,
                    format!("  and {more} more; --limit shows them"),
                ));
            }
        }
    }
}

fn ready_style(facts: &Facts) -> Style {
    match &*facts.ready.status {
        "True" if facts.is_well => GOOD,
        "True" => CAUTION,
        "False" => BAD,
        _ => CAUTION,
    }
}

fn users(facts: &Facts) -> String {
    let Some(users) = &facts.user_counts else {
        return in_style(FAINT, "not counted yet");
    };
    format!(
        "{} declared, {} provisioned ({} archived), {}, {}, {} unmanaged",
        users.desired,
        users.provisioned,
        users.archived,
        counted(BAD, users.invalid, "invalid"),
        counted(CAUTION, users.failing, "failing"),
        users.unmanaged
    )
}

fn counted(style: Style, count: u32, what: &str) -> String {
    let text = format!("{count} {what}");
    if count == 0 {
        text
    } else {
        in_style(style, text)
    }
}

fn people(count: u32) -> String {
    match count {
        1 => "1 user".into(),
        count => format!("{count} users"),
    }
}

fn held_count(facts: &Facts) -> String {
    let held = facts.held_plan.as_ref().map_or(0, |plan| plan.count);
    let missing = facts.missing_accounts.as_ref();
    missing.map_or_else(
        || held.to_string(),
        |missing| format!("{held}+{}missing", missing.count),
    )
}

fn synced(facts: &Facts, now: Timestamp) -> String {
    let Some(last) = facts.last_full_sync else {
        return in_style(CAUTION, "never completely");
    };
    let last = moment(last, now);
    let Some(next) = facts.next_sync else {
        return last;
    };
    let left = next.duration_since(now).as_secs();
    if left >= 0 {
        format!("{last}, next due in {}", span(left))
    } else {
        let over = format!("next was due {} ago", span(-left));
        format!("{last}, {}", in_style(CAUTION, over))
    }
}

fn capabilities(can: &CapabilitiesStatus) -> String {
    let yes_no = |yes: bool, what: &str| format!("{}{what}", if yes { "" } else { "no " });
    let CapabilitiesStatus {
        discovered,
        patch,
        bulk,
        filter,
        etag,
        external_id,
        member_removal,
        members,
    } = can;
    let found = if *discovered {
        ""
    } else {
        " (assumed: it says nothing of itself)"
    };
    format!(
        "{}, {}, {}, {}{found}; externalId {external_id}, members {members}, their removal {member_removal}",
        yes_no(*patch, "PATCH"),
        yes_no(*bulk, "Bulk"),
        yes_no(*filter, "filters"),
        yes_no(*etag, "ETags"),
    )
}

/// A time, and how long ago that is.
fn moment(at: Timestamp, now: Timestamp) -> String {
    let second = Timestamp::from_second(at.as_second()).unwrap_or(at);
    format!("{second} ({})", ago(at, now))
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.duration_since(at).as_secs().max(0)))
}

/// Seconds as kubectl says an age: the two largest units.
fn span(seconds: i64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let two = |large: i64, name: char, small: i64, other: char| match small {
        0 => format!("{large}{name}"),
        small => format!("{large}{name}{small}{other}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, minutes) => two(minutes, 'm', rest, 's'),
        (0, hours, minutes) => two(hours, 'h', minutes, 'm'),
        (days, hours, _) => two(days, 'd', hours, 'h'),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
