//! A plan, for people, for programs, and for a pull request.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::gather::{Declared, Key};
use crate::api::ScimConnection;
use crate::api::connection::Mode;
use crate::cli::Failure;
use crate::cli::manifests::Place;
use crate::cli::paint::{BAD, CAUTION, FAINT, GOOD, STRONG, in_style};
use crate::cli::status::facts;
use crate::cli::tame::tame;
use crate::cli::validate::declared::connection_of;
use crate::controller::counts::Whose;
use crate::controller::preview::{Action, Changed, OF_NOBODY, Preview, Step};

/// So many names in one line.
pub(super) const NAMED: usize = 20;

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
    /// What could not be looked at, as sentences: what is told may be wrong for it.
    pub notes: &'a [String],
}

impl View<'_> {
    pub(super) fn shows(&self, step: &Step) -> bool {
        self.all || (step.action != Action::Nothing && !step.is_due)
    }

    fn place(&self, step: &Step) -> Option<&Place> {
        let key = (step.namespace.clone(), step.name.clone());
        self.places.get(&(step.whose.kind(), key))
    }
}

impl Planned {
    /// A connection that there is none of.
    pub fn missing(declared: &Declared, key: &Key) -> Self {
        let users = declared.users.iter();
        let users =
            users.filter(|(own, user)| connection_of(&user.spec.connection_ref, &own.0) == *key);
        let groups = declared.groups.iter();
        let groups =
            groups.filter(|(own, group)| connection_of(&group.spec.connection_ref, &own.0) == *key);
        Self::Missing {
            key: key.clone(),
            named_by: users.count() + groups.count(),
        }
    }
}

/// Why what is planned is not carried out, where it is not.
pub(super) fn idle(connection: &ScimConnection) -> Option<&'static str> {
    if connection.spec.suspend {
        Some("spec.suspend: none of it is carried out")
    } else if connection.spec.mode == Mode::DryRun {
        Some("mode DryRun: none of it is carried out")
    } else {
        None
    }
}

pub(super) fn named(connection: &ScimConnection) -> String {
    let meta = &connection.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&meta.namespace), part(&meta.name))
}

pub(super) fn host(connection: &ScimConnection) -> String {
    facts::host(&connection.spec.endpoint)
}

/// What is due without the change as well, by numbers.
pub(super) fn due(preview: &Preview) -> Option<String> {
    let parts = Whose::ALL.into_iter().filter_map(|whose| {
        let any = !preview.totals(whose, true).is_empty();
        any.then(|| format!("{} {}", of_kind(whose), totals(preview, whose, true)))
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// `3 to create, 1 to update`, in the order of [`Action::ALL`].
pub(super) fn totals(preview: &Preview, whose: Whose, due: bool) -> String {
    let totals = preview.totals(whose, due);
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
pub(super) fn summary(step: &Step) -> String {
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

pub(super) fn value(value: &Option<Value>) -> String {
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
    for note in view.notes {
        anstream::println!("{} {}", in_style(CAUTION, "note:"), tame(note));
    }
    for unreadable in view.unreadable {
        anstream::println!("{} {}", in_style(BAD, "!"), tame(unreadable));
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
        tame(&host(connection)),
        preview.accounts
    );
    if let Some(idle) = idle(connection) {
        anstream::println!("{}", in_style(CAUTION, idle));
    }
    if let Some(verdict) = preview.directory.as_ref().filter(|v| v.status != "True") {
        anstream::println!("{}", in_style(BAD, tame(&verdict.message)));
    }
    for step in preview.steps.iter().filter(|step| view.shows(step)) {
        let (sign, style) = sign(step.action);
        let what = format!("{sign} {:<10}", step.action.as_str());
        let whose = format!("{} {}/{}", step.whose.kind(), step.namespace, step.name);
        let place = view.place(step).filter(|_| step.action == Action::Invalid);
        let place = place.map(|place| in_style(FAINT, format!("({})", tame(&place.to_string()))));
        let due = step
            .is_due
            .then(|| in_style(FAINT, "(without this change as well)"));
        let summary = Some(tame(&summary(step))).filter(|summary| !summary.is_empty());
        let told: Vec<String> = [Some(tame(&whose)), summary, place, due]
            .into_iter()
            .flatten()
            .collect();
        anstream::println!("  {} {}", in_style(style, what), told.join("  "));
        if view.diff {
            differences(step);
        }
    }
    for whose in Whose::ALL {
        anstream::println!("{}: {}", of_kind(whose), totals(preview, whose, false));
    }
    if let Some(due) = due(preview) {
        let all = if view.all { "" } else { " (--all names them)" };
        anstream::println!("Due without this change as well: {due}{all}");
    }
    if !preview.undeclared.is_empty() {
        let told = undeclared(preview, NAMED);
        anstream::println!("{} {}", in_style(CAUTION, "Not declared:"), tame(&told));
    }
    if let Some(held) = &preview.held_because {
        anstream::println!("{} {}", in_style(BAD, "Guard:"), tame(&held.message));
    }
}

/// Accounts of ours that no resource stands for, so many of them by name.
pub(super) fn undeclared(preview: &Preview, most: usize) -> String {
    let all = &preview.undeclared;
    let first: Vec<&str> = all.iter().take(most).map(String::as_str).collect();
    let more = match all.len().saturating_sub(most) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} active accounts and groups are of resources that are not here, left behind or to be taken out: {}{more}",
        all.len(),
        first.join(", ")
    )
}

pub(super) fn of_kind(whose: Whose) -> &'static str {
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
            in_style(BAD, tame(&value(from))),
            in_style(GOOD, tame(&value(to)))
        );
    }
    for member in &step.members.add {
        anstream::println!("      {}", in_style(GOOD, format!("+ {}", tame(member))));
    }
    for member in &step.members.remove {
        anstream::println!("      {}", in_style(BAD, format!("- {}", tame(member))));
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
        "notes": view.notes,
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
    let counted = |whose: Whose, due: bool| -> Map<String, Value> {
        let totals = preview.totals(whose, due);
        let all = totals
            .iter()
            .map(|(action, count)| (action.as_str().to_owned(), json!(count)));
        all.collect()
    };
    // What is due anyway is told apart by a program itself.
    let steps = preview.steps.iter();
    let steps = steps.filter(|step| step.is_due || view.shows(step));
    json!({
        "namespace": connection.metadata.namespace,
        "name": connection.metadata.name,
        "mode": connection.spec.mode,
        "suspend": connection.spec.suspend,
        "accounts": preview.accounts,
        "complete": preview.directory.as_ref().is_none_or(|v| v.status == "True"),
        "held": preview.held.as_ref().map(|held| json!({
            "count": held.count, "users": held.users,
            // Without the cluster there is none.
            "hash": Some(&held.hash).filter(|hash| !hash.is_empty()),
        })),
        "undeclared": preview.undeclared,
        "heldBecause": preview.held_because.as_ref().map(|v| &v.message),
        "users": counted(Whose::User, false),
        "groups": counted(Whose::Group, false),
        "due": {"users": counted(Whose::User, true), "groups": counted(Whose::Group, true)},
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
        // The backend's own ids may be people's addresses.
        let shown = |all: &[String]| -> Vec<String> {
            let shown = all.iter();
            let shown = shown.filter(|one| view.diff || !one.starts_with(OF_NOBODY));
            shown.cloned().collect()
        };
        let (add, remove) = (shown(&step.members.add), shown(&step.members.remove));
        told["members"] = json!({
            "add": add, "remove": remove, "unresolved": step.members.unresolved,
            "others": step.members.add.len() + step.members.remove.len() - add.len() - remove.len(),
        });
    }
    if step.is_due {
        told["due"] = json!(true);
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

#[cfg(test)]
mod tests {
    use super::*;

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
            is_due: false,
        };
        assert_eq!(summary(&step), "department");
        let told = step_json(
            &step,
            &View {
                diff: false,
                all: false,
                places: &BTreeMap::new(),
                unreadable: &[],
                notes: &[],
            },
        );
        assert!(!told.to_string().contains("Maths"), "{told}");
    }
}
