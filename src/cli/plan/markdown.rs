//! A plan as a comment for a pull request. Nothing in it that somebody declared is markup.

use std::fmt::Write as _;

use super::render::{
    NAMED, Planned, View, due, host, idle, named, of_kind, summary, totals, undeclared, value,
};
use crate::api::ScimConnection;
use crate::cli::tame::tame;
use crate::controller::counts::Whose;
use crate::controller::preview::{Action, Preview, Step};

/// So many lines of a pull request's comment: what is longer is not taken by those who show them.
const ROWS: usize = 200;
/// So many bytes: GitHub takes 65,536 characters.
const LONGEST: usize = 60_000;
/// So many of them for what could not be read or seen.
const NOTES: usize = 10_000;

/// A comment for a pull request.
pub fn markdown(plans: &[Planned], view: &View<'_>) {
    let mut text = String::new();
    for note in view.notes {
        let _ = writeln!(text, "> {}\n", escaped(note));
    }
    for unreadable in view.unreadable {
        let _ = writeln!(text, "> **{}**\n", escaped(unreadable));
    }
    let mut text = cut(text, NOTES);
    let most = (LONGEST - NOTES) / plans.len().max(1);
    for planned in plans {
        match planned {
            Planned::Missing { key, named_by } => {
                let _ = writeln!(
                    text,
                    "> **There is no ScimConnection {}/{}, and {named_by} users and groups name it.**\n",
                    escaped(&key.0),
                    escaped(&key.1)
                );
            }
            Planned::Of {
                connection,
                preview,
            } => {
                // Each has its share of the comment, so that none is pushed out by another.
                let mut one = String::new();
                one_markdown(&mut one, connection, preview, view);
                text.push_str(&cut(one, most));
            }
        }
    }
    anstream::print!("{}", cut(text, LONGEST));
}

/// What a reviewer has to see first: whoever is taken out, and what does not get through.
fn weight(action: Action) -> u8 {
    match action {
        Action::Hold | Action::Archive | Action::Delete => 0,
        Action::Invalid | Action::Wait | Action::Release => 1,
        Action::Create | Action::Adopt | Action::Reactivate => 2,
        Action::Update | Action::Repair | Action::Suspended | Action::Nothing => 3,
    }
}

/// So that whoever is taken out is not among what is left out.
fn by_weight<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<&'a Step> {
    let mut steps: Vec<&Step> = steps.collect();
    steps.sort_by_key(|step| weight(step.action));
    steps
}

/// What a forge takes as one comment, cut at the end of a line where it is longer.
fn cut(mut text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most);
    let end = text[..end].rfind('\n').unwrap_or(end);
    text.truncate(end);
    let open = text.matches("<details>").count() > text.matches("</details>").count();
    text.push_str(if open { "\n\n</details>\n\n" } else { "\n\n" });
    text.push_str("The rest is left out: it is too long for a comment.\n\n");
    text
}

fn one_markdown(
    text: &mut String,
    connection: &ScimConnection,
    preview: &Preview,
    view: &View<'_>,
) {
    let _ = writeln!(
        text,
        "### SCIM plan: {} at {}\n",
        escaped(&named(connection)),
        escaped(&host(connection))
    );
    if let Some(idle) = idle(connection) {
        let _ = writeln!(text, "> {idle}\n");
    }
    if let Some(verdict) = preview.directory.as_ref().filter(|v| v.status != "True") {
        let _ = writeln!(text, "> **{}**\n", escaped(&verdict.message));
    }
    if let Some(held) = &preview.held_because {
        let _ = writeln!(text, "> **Guard:** {}\n", escaped(&held.message));
    }
    for whose in Whose::ALL {
        let _ = writeln!(
            text,
            "- {}: {}",
            of_kind(whose),
            totals(preview, whose, false)
        );
    }
    if let Some(due) = due(preview) {
        let _ = writeln!(text, "- Due without this change as well: {due}");
    }
    if !preview.undeclared.is_empty() {
        let _ = writeln!(text, "- {}", escaped(&undeclared(preview, NAMED)));
    }
    let steps = by_weight(preview.steps.iter().filter(|step| view.shows(step)));
    if steps.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n<details><summary>{} steps</summary>\n",
        steps.len()
    );
    let _ = writeln!(text, "| | Resource | What |\n|---|---|---|");
    for step in steps.iter().take(ROWS) {
        let mut what = escaped(&summary(step));
        if view.diff {
            for change in &step.changes {
                let _ = write!(
                    what,
                    "<br>{}: {} → {}",
                    escaped(&change.attribute),
                    escaped(&value(&change.from)),
                    escaped(&value(&change.to))
                );
            }
        }
        let _ = writeln!(
            text,
            "| {} | {} {}/{} | {what} |",
            step.action.as_str(),
            step.whose.kind(),
            escaped(&step.namespace),
            escaped(&step.name)
        );
    }
    if steps.len() > ROWS {
        let _ = writeln!(text, "\nand {} more.", steps.len() - ROWS);
    }
    let _ = writeln!(text, "\n</details>\n");
}

/// Nothing that somebody declared is markup.
fn escaped(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for c in tame(text).chars() {
        match c {
            '<' => told.push_str("&lt;"),
            '>' => told.push_str("&gt;"),
            '&' => told.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '@' | '!' | '~' => {
                let _ = write!(told, "&#{};", u32::from(c));
                if matches!(c, '@' | '#') {
                    told.push('\u{200b}');
                }
            }
            // Forges look for mentions and references after entities are read: nothing of the kind is left together.
            ':' => told.push_str("&#58;\u{200b}"),
            c => told.push(c),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_at_the_end_of_a_line_and_says_so() {
        assert_eq!(cut("short\n".into(), LONGEST), "short\n");
        let long = cut("a line of it, with ä\n".repeat(5_000), LONGEST);
        assert!(long.len() <= LONGEST + 100, "{}", long.len());
        let (kept, note) = long.split_once("\n\n").unwrap_or_default();
        assert!(kept.ends_with("with ä") && note.contains("left out"));
        let long = cut(format!("<details>\n{}", "a line\n".repeat(9_000)), LONGEST);
        assert!(
            long.contains("a line\n\n</details>\n\nThe rest"),
            "it is closed"
        );
    }

    #[test]
    fn whoever_is_taken_out_comes_before_whoever_is_changed() {
        let step = |(number, action)| Step {
            whose: Whose::User,
            namespace: "hr".into(),
            name: format!("{number}"),
            action,
            changes: Vec::new(),
            members: Default::default(),
            why: None,
            is_due: false,
        };
        let all: Vec<Step> = Action::ALL
            .into_iter()
            .rev()
            .enumerate()
            .map(step)
            .collect();
        let sorted: Vec<Action> = by_weight(all.iter())
            .iter()
            .map(|step| step.action)
            .collect();
        let first = [Action::Hold, Action::Delete, Action::Archive];
        assert_eq!(sorted[..3], first, "each as it came: {sorted:?}");
        assert_eq!(sorted.len(), Action::ALL.len());
    }

    #[test]
    fn what_somebody_declared_is_no_markup() {
        let told = escaped("a|b `c` <img> @team\n# x");
        for markup in ['|', '`', '<', '@', '#', '\n'] {
            let left = told.replace("&#", "");
            assert!(!left.contains(markup), "{markup}: {told}");
        }
    }
}
