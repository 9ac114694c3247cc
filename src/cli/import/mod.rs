//! `kubectl scim import`: tidy manifests of the accounts and groups that a backend has already, by which the operator
//! takes them over and writes nothing.
//!
//! One way: list (`listing`), name (`names`), build and judge (`user`, `group`, by the operator's own rules), put
//! together (`assemble`), write (`output`), and say who was left out (`report`). The backend is only read.

mod assemble;
mod declared;
mod filter;
mod group;
mod listing;
mod names;
mod output;
mod report;
mod schema;
mod target;
mod user;
mod yaml;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kube::ResourceExt;

use self::assemble::{Assembled, Choices};
use self::declared::Declared;
use self::listing::{Listed, Wanted};
use self::report::{Counts, Report};
use self::schema::Schema;
use self::target::{Adoption, Target};
use super::backend::{Backend, BackendArguments};
use super::cluster::{Access, Cluster};
use super::{Ended, Failure};
use crate::api::common::ConnectionRef;
use crate::api::connection::NamespacesFrom;
use crate::api::{ScimGroup, ScimUser};

/// Write manifests for the accounts and groups that a backend has already.
///
/// The operator takes them over when they are applied, and writes nothing to the backend, but for what the report on
/// standard error says. The backend is only read.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    backend: BackendArguments,
    #[command(flatten)]
    output: Output,
    /// The namespace that manifests are written for; default: the connection's.
    #[arg(long, value_name = "NAME")]
    namespace_to: Option<String>,
    /// Only accounts, or only groups; default: both.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// A SCIM filter for accounts, such as 'userName sw "a"'.
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// A SCIM filter for groups, such as 'displayName co "team"'.
    #[arg(long, value_name = "FILTER")]
    group_filter: Option<String>,
    /// So many accounts and so many groups at most, for a try.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Writes archived accounts too, with active: false.
    #[arg(long)]
    include_archived: bool,
    /// Writes whoever is not valid too, with what is wrong as a comment.
    #[arg(long)]
    include_invalid: bool,
    /// Writes whoever has a resource in that namespace already too, by the name that it has.
    #[arg(long)]
    include_declared: bool,
    /// By what the operator takes over: each by its id, or as the connection's adoption.match says.
    #[arg(long, value_enum, default_value_t = Adopt::Id)]
    adopt: Adopt,
    /// What ScimUsers are called after; of a userName the part before the @, where that is nobody else's.
    #[arg(long, value_enum, default_value_t = NameFrom::UserName)]
    name_from: NameFrom,
    /// Overwrites files that are there already.
    #[arg(long)]
    force: bool,
    /// Writes the report as JSON too.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Output {
    /// A folder: users/NAME.yaml, groups/NAME.yaml, and a kustomization.yaml.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// One file for all; - is standard output.
    #[arg(long, value_name = "FILE")]
    one_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    Users,
    Groups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Adopt {
    /// spec.adopt.id names the account.
    Id,
    /// The connection's adoption.match finds it.
    Policy,
}

/// What ScimUsers are called after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum NameFrom {
    /// The userName.
    UserName,
    /// The externalId; of whoever has none the userName.
    ExternalId,
    /// The backend's id.
    Id,
}

const EXAMPLES: &str = "\
Examples:
  # All accounts and groups of a connection, as files of a Git repository
  kubectl scim import -n identity --connection cybsafe --output-dir people

  # A look at five of them
  kubectl scim import -n identity --connection cybsafe --limit 5 --one-file -

  # Without a cluster
  SCIM_TOKEN=$(cat token) kubectl scim import --connection-file connection.yaml --output-dir people

  # Some, for another namespace, with what was left out as JSON
  kubectl scim import -n identity --connection cybsafe --namespace-to team-a \\
    --filter 'userName co \"@a.example.com\"' --output-dir team-a --report left-out.json

Exit codes: 0 where all were written and are taken over without a write, 1 where something has to be seen to, 2 where
nothing could be found out.";

/// Imports.
///
/// # Errors
/// When the backend cannot be read, or the output not be written.
pub async fn run(access: &Access, arguments: Arguments) -> Result<Ended, Failure> {
    let (backend, cluster) = arguments.backend.open(access).await?;
    let namespace = arguments.namespace_to.clone();
    let namespace = namespace.unwrap_or_else(|| backend.namespace.clone());
    let mut notes = Vec::new();
    let users_declared = known::<ScimUser>(cluster.as_ref(), &namespace, &backend, &mut notes);
    let users_declared = users_declared.await;
    let groups_declared = known::<ScimGroup>(cluster.as_ref(), &namespace, &backend, &mut notes);
    let groups_declared = groups_declared.await;

    // Groups name users, so that these are listed also where only groups are wanted.
    let limit = arguments.limit;
    let wanted = Wanted {
        filter: arguments.filter.as_deref(),
        limit: limit.filter(|_| arguments.only != Some(Only::Groups)),
    };
    let users = listing::users(&backend, wanted).await?;
    let groups = match arguments.only {
        Some(Only::Users) => None,
        _ => {
            let filter = arguments.group_filter.as_deref();
            Some(listing::groups(&backend, Wanted { filter, limit }).await?)
        }
    };

    let owner_id = backend.owner_id();
    let target = target(&backend, &owner_id, &namespace, arguments.adopt, &mut notes);
    let choices = Choices {
        name_from: arguments.name_from,
        include_archived: arguments.include_archived,
        include_invalid: arguments.include_invalid,
        include_declared: arguments.include_declared,
    };
    let (mut of_users, imported) = assemble::users(
        &users.all,
        &target,
        &Schema::of::<ScimUser>()?,
        &users_declared,
        choices,
    )?;
    if arguments.only == Some(Only::Groups) {
        of_users = Assembled::default();
    }
    let schema = Schema::of::<ScimGroup>()?;
    let of_groups = match &groups {
        Some(groups) => assemble::groups(
            &groups.all,
            &target,
            &schema,
            &groups_declared,
            &imported,
            choices,
        )?,
        None => Assembled::default(),
    };

    let mut report = Report {
        connection: format!("{}/{}", backend.namespace, backend.connection.name_any()),
        namespace: namespace.clone(),
        users: counts(&users, &of_users),
        groups: groups
            .as_ref()
            .map_or_else(Counts::default, |groups| counts(groups, &of_groups)),
        notes,
        entries: Vec::new(),
    };
    report.notes.extend(users.notes);
    report
        .notes
        .extend(groups.into_iter().flat_map(|groups| groups.notes));
    let mut files = of_users.files;
    files.extend(of_groups.files);
    for entry in of_users.entries.into_iter().chain(of_groups.entries) {
        report.add(entry);
    }
    report.note_marks();

    let Output {
        output_dir,
        one_file,
    } = &arguments.output;
    match (output_dir, one_file) {
        (Some(folder), _) => output::folder(folder, &files, arguments.force)?,
        (None, Some(file)) => output::one(file, &files, arguments.force)?,
        (None, None) => {
            return Err(Failure::new(
                "--output-dir or --one-file has to say where manifests go",
            ));
        }
    }
    report.print();
    if let Some(path) = &arguments.report {
        let mut text =
            serde_json::to_string_pretty(&report).map_err(|e| Failure::of("the report", e))?;
        text.push('\n');
        // What it said before is of another run.
        output::single(path, &text, true)?;
    }
    Ok(match report.has_findings() {
        true => Ended::WithFindings,
        false => Ended::Well,
    })
}

fn target<'a>(
    backend: &'a Backend,
    owner_id: &'a str,
    namespace: &'a str,
    adopt: Adopt,
    notes: &mut Vec<String>,
) -> Target<'a> {
    let spec = &backend.connection.spec;
    let elsewhere = namespace != backend.namespace;
    if elsewhere && spec.allowed_namespaces.from == NamespacesFrom::Same {
        notes.push(format!("the connection's allowedNamespaces lets no resources of {namespace} in: applied as they are, they would be refused"));
    }
    Target {
        profile: &backend.profile,
        owner_id,
        connection: ConnectionRef {
            name: backend.connection.name_any(),
            namespace: elsewhere.then(|| backend.namespace.clone()),
        },
        namespace,
        adoption: match adopt {
            Adopt::Id => Adoption::ById,
            Adopt::Policy => Adoption::ByPolicy(spec.adoption.r#match.clone()),
        },
    }
}

/// What is declared already; nothing is known without a cluster, or where it may not be asked.
async fn known<K>(
    cluster: Option<&Cluster>,
    namespace: &str,
    backend: &Backend,
    notes: &mut Vec<String>,
) -> Declared
where
    K: kube::Resource<DynamicType = ()>,
{
    let Some(cluster) = cluster else {
        return Declared::default();
    };
    match declared::declared::<K>(&cluster.client, namespace, backend).await {
        Ok(declared) => declared,
        Err(error) => {
            let kind = K::kind(&());
            let failure = Failure::of(
                format!(
                    "which {kind}s are declared in {namespace} already is not known, and a manifest may bear the name of one"
                ),
                error,
            );
            notes.push(failure.to_string());
            Declared::default()
        }
    }
}

fn counts<T>(listed: &Listed<T>, assembled: &Assembled) -> Counts {
    Counts {
        incomplete_because: listed.incomplete_because.map(str::to_owned),
        listed: listed.all.len(),
        not_matching: listed.not_matching,
        written: assembled.files.len(),
        in_step: assembled.in_step,
        ..Counts::default()
    }
}
