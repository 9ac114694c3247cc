//! A plan, for people, for programs, and for a pull request.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::gather::{Declared, Key};
use crate::api::ScimConnection;
use crate::api::connection::Mode;
use crate::cli::Failure;
use crate::cli::manifests::Place;
use crate::cli::paint::{BAD, CAUTION, FAINT, GOOD, STRONG, in_style};
use crate::controller::counts::Whose;
use crate::controller::preview::{Action, Changed, Preview, Step};

/// So many lines of a pull request's comment: what is longer is not taken by those who show them.
const ROWS: usize = 200;

/// What came of one connection.
pub enum Planned {
    /// This.
    Of {
        /// The connection.
        connection: Box<ScimConnection>,
        /// What would be done.
        preview: Preview,
    },
    /// There is none of that name.
    Missing {
        /// Which.
        key: Key,
        /// How many users and groups name it.
        named_by: usize,
    },
}

/// What of it is shown.
pub struct View<'a> {
    /// Values.
    pub diff: bool,
    /// What is in step, too.
    pub all: bool,
    /// Where a manifest stands.
    pub places: &'a BTreeMap<(&'static str, Key), Place>,
    /// What could not be read, as sentences.
    pub unreadable: &'a [String],
}

impl View<'_> {
    fn shows(&self, step: &Step) -> bool {
        self.all || step.action != Action::Nothing
    }

    fn place(&self, step: &Step) -> Option<&Place> {
        let key = (step.namespace.clone(), step.name.clone());
        self.places.get(&(step.whose.kind(), key))
    }
}

impl Planned {
    /// A connection that there is none of.
    pub fn missing(declared: &Declared, key: &Key) -> Self {
        let is_this = |reference: &crate::api::common::ConnectionRef, own: &str| {
            reference.name == key.1 && reference.namespace.as_deref().unwrap_or(own) == key.0
        };
        let users = declared.users.iter();
        let users = users.filter(|(own, user)| is_this(&user.spec.connection_ref, &own.0));
        let groups = declared.groups.iter();
        let groups = groups.filter(|(own, group)| is_this(&group.spec.connection_ref, &own.0));
        Self::Missing {
            key: key.clone(),
            named_by: users.count() + groups.count(),
        }
    }
}

/// Why what is planned is not carried out, where it is not.
fn idle(connection: &ScimConnection) -> Option<&'static str> {
    if connection.spec.suspend {
        Some("spec.suspend: none of it is carried out")
    } else if connection.spec.mode == Mode::DryRun {
        Some("mode DryRun: none of it is carried out")
    } else {
        None
    }
}

fn named(connection: &ScimConnection) -> String {
    let meta = &connection.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&meta.namespace), part(&meta.name))
}

fn host(connection: &ScimConnection) -> String {
    let url = reqwest::Url::parse(&connection.spec.endpoint).ok();
    url.and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default()
}

/// `3 to create, 1 to update`, in the order of [`Action::ALL`].
fn totals(preview: &Preview, whose: Whose) -> String {
    let totals = preview.totals(whose);
    let parts = Action::ALL.into_iter().filter_map(|action| {
        let count = totals.get(&action)?;
        Some(match action {
            Action::Nothing => format!("{count} in step"),
            Action::Hold => format!("{count} held"),
            Action::Invalid => format!("{count} invalid"),
            Action::Wait => format!("{count} waiting"),
            Action::Suspended => format!("{count} suspended"),
            other => format!("{count} to {}", other.as_str()),
        })
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() {
        "none".into()
    } else {
        parts.join(", ")
    }
}

/// What a step comes to besides its action: attributes and members, without values.
fn summary(step: &Step) -> String {
    let mut parts: Vec<String> = step.changes.iter().map(|c| c.attribute.clone()).collect();
    let members = &step.members;
    if !members.add.is_empty() {
        parts.push(format!("+{} members", members.add.len()));
    }
    if !members.remove.is_empty() {
        parts.push(format!("-{} members", members.remove.len()));
    }
    if members.unresolved > 0 {
        parts.push(format!("{} members without an account", members.unresolved));
    }
    let what = parts.join(", ");
    match (&step.why, what.is_empty()) {
        (Some(why), true) => why.clone(),
        (Some(why), false) => format!("{what}; {why}"),
        (None, _) => what,
    }
}

fn value(value: &Option<Value>) -> String {
    value
        .as_ref()
        .map_or_else(|| "(none)".into(), Value::to_string)
}

fn sign(action: Action) -> (&'static str, anstyle::Style) {
    match action {
        Action::Create | Action::Adopt | Action::Reactivate => ("+", GOOD),
        Action::Update | Action::Repair => ("~", CAUTION),
        Action::Archive | Action::Delete => ("-", BAD),
        Action::Hold | Action::Invalid | Action::Wait => ("!", BAD),
        Action::Release | Action::Suspended | Action::Nothing => (" ", FAINT),
    }
}

/// For people.
pub fn human(plans: &[Planned], view: &View<'_>) {
    for unreadable in view.unreadable {
        anstream::println!("{} {unreadable}", in_style(BAD, "!"));
    }
    for planned in plans {
        match planned {
            Planned::Missing { key, named_by } => anstream::println!(
                "{} there is no ScimConnection {}/{}, and {named_by} users and groups name it",
                in_style(BAD, "!"),
                key.0,
                key.1
            ),
            Planned::Of {
                connection,
                preview,
            } => one(connection, preview, view),
        }
    }
}

fn one(connection: &ScimConnection, preview: &Preview, view: &View<'_>) {
    anstream::println!(
        "{} at {}, which lists {} accounts",
        in_style(STRONG, format!("ScimConnection {}", named(connection))),
        host(connection),
        preview.accounts
    );
    if let Some(idle) = idle(connection) {
        anstream::println!("{}", in_style(CAUTION, idle));
    }
    if let Some(verdict) = preview.directory.as_ref().filter(|v| v.status != "True") {
        anstream::println!("{}", in_style(BAD, &verdict.message));
    }
    for step in preview.steps.iter().filter(|step| view.shows(step)) {
        let (sign, style) = sign(step.action);
        let what = format!("{sign} {:<10}", step.action.as_str());
        let whose = format!("{} {}/{}", step.whose.kind(), step.namespace, step.name);
        let summary = summary(step);
        let place = view.place(step).filter(|_| step.action == Action::Invalid);
        let place = place.map(|place| in_style(FAINT, format!("  ({place})")));
        anstream::println!(
            "  {} {whose}  {summary}{}",
            in_style(style, what),
            place.unwrap_or_default()
        );
        if view.diff {
            differences(step);
        }
    }
    for whose in Whose::ALL {
        anstream::println!("{}: {}", of_kind(whose), totals(preview, whose));
    }
    if let Some(held) = &preview.held_because {
        anstream::println!("{} {}", in_style(BAD, "Guard:"), held.message);
    }
}

fn of_kind(whose: Whose) -> &'static str {
    match whose {
        Whose::User => "Users",
        Whose::Group => "Groups",
    }
}

fn differences(step: &Step) {
    for Changed {
        attribute,
        from,
        to,
    } in &step.changes
    {
        anstream::println!(
            "      {attribute}: {} → {}",
            in_style(BAD, value(from)),
            in_style(GOOD, value(to))
        );
    }
    for member in &step.members.add {
        anstream::println!("      {}", in_style(GOOD, format!("+ {member}")));
    }
    for member in &step.members.remove {
        anstream::println!("      {}", in_style(BAD, format!("- {member}")));
    }
}

/// For programs.
///
/// # Errors
/// When it cannot be written.
pub fn json(plans: &[Planned], view: &View<'_>) -> Result<(), Failure> {
    let whole = json!({
        "connections": plans.iter().map(|planned| one_json(planned, view)).collect::<Vec<_>>(),
        "unreadable": view.unreadable,
    });
    let text = serde_json::to_string_pretty(&whole).map_err(|e| Failure::of("JSON", e))?;
    anstream::println!("{text}");
    Ok(())
}

fn one_json(planned: &Planned, view: &View<'_>) -> Value {
    let (connection, preview) = match planned {
        Planned::Missing { key, named_by } => {
            return json!({"namespace": key.0, "name": key.1, "missing": true, "namedBy": named_by});
        }
        Planned::Of {
            connection,
            preview,
        } => (connection, preview),
    };
    let counted = |whose: Whose| -> Map<String, Value> {
        let totals = preview.totals(whose);
        let all = totals
            .iter()
            .map(|(action, count)| (action.as_str().to_owned(), json!(count)));
        all.collect()
    };
    let steps = preview.steps.iter().filter(|step| view.shows(step));
    json!({
        "namespace": connection.metadata.namespace,
        "name": connection.metadata.name,
        "mode": connection.spec.mode,
        "suspend": connection.spec.suspend,
        "accounts": preview.accounts,
        "complete": preview.directory.as_ref().is_none_or(|v| v.status == "True"),
        "held": preview.held,
        "heldBecause": preview.held_because.as_ref().map(|v| &v.message),
        "users": counted(Whose::User),
        "groups": counted(Whose::Group),
        "steps": steps.map(|step| step_json(step, view)).collect::<Vec<_>>(),
    })
}

fn step_json(step: &Step, view: &View<'_>) -> Value {
    let mut told = json!({
        "kind": step.whose.kind(),
        "namespace": step.namespace,
        "name": step.name,
        "action": step.action.as_str(),
        "attributes": step.changes.iter().map(|c| &c.attribute).collect::<Vec<_>>(),
    });
    if step.whose == Whose::Group {
        told["members"] = json!({
            "add": step.members.add, "remove": step.members.remove, "unresolved": step.members.unresolved,
        });
    }
    if let Some(why) = &step.why {
        told["why"] = json!(why);
    }
    if let Some(place) = view.place(step) {
        told["file"] = json!(place.file);
        told["line"] = json!(place.line);
    }
    if view.diff {
        let values = step.changes.iter();
        let values = values.map(|c| json!({"attribute": c.attribute, "from": c.from, "to": c.to}));
        told["diff"] = values.collect();
    }
    told
}

/// A comment for a pull request.
pub fn markdown(plans: &[Planned], view: &View<'_>) {
    let mut text = String::new();
    for unreadable in view.unreadable {
        let _ = writeln!(text, "> **{}**\n", escaped(unreadable));
    }
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
            } => one_markdown(&mut text, connection, preview, view),
        }
    }
    anstream::print!("{text}");
}

fn one_markdown(
    text: &mut String,
    connection: &ScimConnection,
    preview: &Preview,
    view: &View<'_>,
) {
    let _ = writeln!(
        text,
        "### SCIM plan: `{}` at {}\n",
        named(connection),
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
        let _ = writeln!(text, "- {}: {}", of_kind(whose), totals(preview, whose));
    }
    let steps: Vec<&Step> = preview.steps.iter().filter(|s| view.shows(s)).collect();
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
            "| {} | {} `{}/{}` | {what} |",
            step.action.as_str(),
            step.whose.kind(),
            step.namespace,
            step.name
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
    for c in text.chars() {
        match c {
            '<' => told.push_str("&lt;"),
            '>' => told.push_str("&gt;"),
            '&' => told.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '@' | '!' | '~' => {
                let _ = write!(told, "&#{};", u32::from(c));
            }
            '\n' | '\r' => told.push(' '),
            c => told.push(c),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_declared_is_no_markup() {
        let told = escaped("a|b `c` <img> @team\n# x");
        for markup in ['|', '`', '<', '@', '#', '\n'] {
            let left = told.replace("&#", "");
            assert!(!left.contains(markup), "{markup}: {told}");
        }
    }

    #[test]
    fn a_step_is_told_without_values() {
        let step = Step {
            whose: Whose::User,
            namespace: "hr".into(),
            name: "ada".into(),
            action: Action::Update,
            changes: vec![Changed {
                attribute: "department".into(),
                from: Some(json!("Maths")),
                to: Some(json!("Engines")),
            }],
            members: Default::default(),
            why: None,
        };
        assert_eq!(summary(&step), "department");
        let told = step_json(
            &step,
            &View {
                diff: false,
                all: false,
                places: &BTreeMap::new(),
                unreadable: &[],
            },
        );
        assert!(!told.to_string().contains("Maths"), "{told}");
    }
}
