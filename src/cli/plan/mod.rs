//! `kubectl scim plan`: what the operator would do, by its own planner, and without a write to anything.

mod before;
mod gather;
mod markdown;
mod namespaces;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::gather::{Declared, Key, Prune};
use self::render::{Planned, View};
use crate::api::ScimConnection;
use crate::cli::backend::{self, Way};
use crate::cli::cluster::{Access, Cluster};
use crate::cli::manifests::{self, Manifests};
use crate::cli::validate::objects::ApiServer;
use crate::cli::{Ended, Failure};
use crate::controller::preview::{Action, Given, preview};

const EXAMPLES: &str = "\
Examples:
  # What would a folder of manifests, applied, change at the backend?
  kubectl scim plan users/ groups/

  # The same for what Kustomize makes of it, with whoever is not in it any more taken away
  kustomize build . | kubectl scim plan - --prune

  # What is left to do for what is in the cluster now, with values
  kubectl scim plan -n identity --diff

  # A comment for a pull request, without a cluster: the connection is among the manifests
  SCIM_TOKEN=... kubectl scim plan . --without-cluster --origin https://app.cybsafe.com -o markdown

  # And what of that a change brings, beside a checkout of the branch that it is for
  SCIM_TOKEN=... kubectl scim plan . --without-cluster --before ../main --origin https://app.cybsafe.com

Exit code: 0 where nothing stands in the way (also of changes), 1 where something is invalid, held, or waits for
a person, 2 where that could not be found out.";

/// Show what would be done at the backend, by the operator's own planner
///
/// Reads the backend and the cluster, and writes to neither.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Files and folders with manifests, or - for standard input; none: what is in the cluster.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only these connections, as NAME or NAMESPACE/NAME.
    #[arg(long, value_name = "NAME")]
    connection: Vec<String>,
    /// Takes users and groups for deleted that the manifests do not name, in the namespaces in which they name some,
    /// as a GitOps tool that prunes does. Its annotations against that are heeded.
    #[arg(long, requires = "paths", conflicts_with = "without_cluster")]
    prune: bool,
    /// Prunes only what has these labels, such as app=identity,team=hr, and in every namespace.
    #[arg(long, value_name = "KEY=VALUE,...", requires = "prune")]
    prune_selector: Option<String>,
    /// Asks no cluster: the manifests are all there is, and SCIM_TOKEN has the token. What a status would tell (which
    /// attributes were set before) is not known then, nor who is in the cluster and not in the manifests.
    #[arg(long, requires = "paths", requires = "origin")]
    without_cluster: bool,
    /// What is declared before the change, such as the manifests of the branch that a pull request is for: taken for
    /// applied. Whoever is in it and not in PATH counts as deleted, and what is due without the change is told apart.
    #[arg(long, value_name = "PATH", requires = "without_cluster")]
    before: Vec<PathBuf>,
    /// Where the token may go, such as `https://app.cybsafe.com`. Needed where manifests lead a connection elsewhere than
    /// the cluster does, or by another token, and without a cluster: whoever can change them would else get it.
    #[arg(long, value_name = "URL")]
    origin: Vec<reqwest::Url>,
    /// Shows the values that would change: data of people.
    #[arg(long)]
    diff: bool,
    /// Names what is in step, too.
    #[arg(long)]
    all: bool,
    /// The form of what is printed.
    #[arg(long, short, value_enum, default_value_t = Form::Human)]
    output: Form,
    #[command(flatten)]
    way: Way,
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Human,
    /// One JSON object.
    Json,
    /// A comment for a pull request.
    Markdown,
}

/// Plans, and prints.
///
/// # Errors
/// When the manifests, the cluster or a backend cannot be read.
pub async fn run(access: &Access, arguments: Arguments) -> Result<Ended, Failure> {
    let is_input = |path: &&PathBuf| path.as_os_str() == "-";
    let all = arguments.paths.iter().chain(&arguments.before);
    if all.filter(is_input).count() > 1 {
        return Err(Failure::new(
            "standard input can be read once: - was said twice",
        ));
    }
    let manifests = manifests::read(&arguments.paths)?;
    let before = manifests::read(&arguments.before)?;
    let cluster = match arguments.without_cluster {
        true => None,
        false => Some(access.cluster().await?),
    };
    let said = access.said_namespace().map(str::to_owned);
    let own = cluster.as_ref().map(|cluster| cluster.namespace.clone());
    let usual = said.or(own).unwrap_or_else(|| "default".into());
    let mut declared =
        declared(&arguments, [&before, &manifests], cluster.as_ref(), &usual).await?;
    for (folders, path) in [
        (&before.kustomizations, "--before -"),
        (&manifests.kustomizations, "-"),
    ] {
        declared.unseen.extend(folders.iter().map(|folder| {
            format!("{folder} has a kustomization: what its files come to is told by `kustomize build {folder} | kubectl scim plan {path}`")
        }));
    }
    let wanted = wanted(&arguments, &declared, &usual)?;
    if backend::token_of_environment()?.is_some() {
        declared.has_one_token(&wanted)?;
    }
    for key in &wanted {
        declared.tell_unknown_namespaces(key);
    }
    let mut plans = Vec::new();
    for key in wanted {
        plans.push(planned(&declared, &key, cluster.as_ref(), &arguments).await?);
    }
    let view = View {
        diff: arguments.diff,
        all: arguments.all,
        places: &declared.places,
        unreadable: &declared.unreadable,
        notes: &declared.unseen,
    };
    match arguments.output {
        Form::Human => render::human(&plans, &view),
        Form::Json => render::json(&plans, &view)?,
        Form::Markdown => markdown::markdown(&plans, &view),
    }
    let stuck = [Action::Hold, Action::Invalid, Action::Wait];
    let is_stuck = plans.iter().any(|plan| match plan {
        Planned::Of { preview, .. } => {
            preview
                .steps
                .iter()
                .any(|step| stuck.contains(&step.action) && !step.is_due)
                || preview
                    .directory
                    .as_ref()
                    .is_some_and(|v| v.status != "True")
        }
        Planned::Missing { .. } => true,
    });
    Ok(if is_stuck || !declared.unreadable.is_empty() {
        Ended::WithFindings
    } else {
        Ended::Well
    })
}

async fn declared(
    arguments: &Arguments,
    [before, manifests]: [&Manifests; 2],
    cluster: Option<&Cluster>,
    usual: &str,
) -> Result<Declared, Failure> {
    let api = ApiServer::new()?;
    let mut declared = if arguments.before.is_empty() {
        Declared::default()
    } else {
        Declared::from_before(before, usual, &api)
    };
    if let Some(cluster) = cluster {
        let ours = manifests.objects.iter().filter(|m| m.is_ours());
        let mut namespaces: BTreeSet<String> =
            ours.map(|m| m.namespace(usual).to_owned()).collect();
        namespaces.insert(usual.to_owned());
        declared.read(cluster, &namespaces).await?;
    }
    declared.overlay(manifests, usual, &api);
    declared.prune_undeclared();
    if arguments.prune {
        let said = arguments.prune_selector.as_deref().unwrap_or_default();
        let labels = labels(said)?;
        // Whatever has the labels is of whoever prunes, wherever it is.
        let everywhere = !labels.is_empty();
        declared.prune(&Prune { labels, everywhere });
    }
    Ok(declared)
}

/// `a=b,c=d`, as labels.
fn labels(said: &str) -> Result<BTreeMap<String, String>, Failure> {
    let parts = said
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let pairs = parts.map(|part| match part.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::new(format!(
            "--prune-selector: {part:?} is not of the form KEY=VALUE"
        ))),
    });
    pairs.collect()
}

/// The connections to plan for.
fn wanted(
    arguments: &Arguments,
    declared: &Declared,
    usual: &str,
) -> Result<BTreeSet<Key>, Failure> {
    let found: BTreeSet<Key> = if !arguments.connection.is_empty() {
        let named = arguments
            .connection
            .iter()
            .map(|said| match said.split_once('/') {
                Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
                None => (usual.to_owned(), said.clone()),
            });
        named.collect()
    } else if arguments.paths.is_empty() {
        let here = declared
            .connections
            .keys()
            .filter(|(namespace, _)| namespace == usual);
        here.cloned().collect()
    } else {
        declared.spoken_of()
    };
    if found.is_empty() && declared.unreadable.is_empty() {
        return Err(Failure::new(if arguments.paths.is_empty() {
            format!("there is no ScimConnection in the namespace {usual}")
        } else {
            "these manifests have nothing of scim-operator.io in them".into()
        }));
    }
    Ok(found)
}

/// Whether the token may go where the connection leads: as the cluster has it, or as the command line says. Who writes
/// the manifests is whoever opened the pull request.
fn may_ask(
    connection: &ScimConnection,
    is_redirected: bool,
    arguments: &Arguments,
) -> Result<(), &'static str> {
    let there = reqwest::Url::parse(&connection.spec.endpoint).ok();
    let there = there.map(|url| url.origin());
    let allowed = arguments.origin.iter().map(reqwest::Url::origin);
    let is_allowed = allowed
        .into_iter()
        .any(|origin| Some(&origin) == there.as_ref());
    match (is_redirected, arguments.origin.is_empty()) {
        _ if is_allowed => Ok(()),
        (false, true) => Ok(()),
        (true, true) => Err(
            "its endpoint, its token or `insecure` is not what the cluster has, and the token would go there: --origin has to allow that",
        ),
        (_, false) => Err("its endpoint is at none of the origins that --origin allows"),
    }
}

async fn planned(
    declared: &Declared,
    key: &Key,
    cluster: Option<&Cluster>,
    arguments: &Arguments,
) -> Result<Planned, Failure> {
    let Some(connection) = declared.connections.get(key) else {
        return Ok(Planned::missing(declared, key));
    };
    let told = format!("ScimConnection {}/{}", key.0, key.1);
    may_ask(connection, declared.redirected.contains(key), arguments)
        .map_err(|why| Failure::new(format!("{told}: {why}")))?;
    let backend = backend::of(connection.clone(), &key.0, cluster, &arguments.way).await?;
    let given = Given {
        connection: connection.clone(),
        client: backend.client,
        users: declared.users.values().cloned().collect(),
        groups: declared.groups.values().cloned().collect(),
        namespaces: namespaces::of(
            &declared.namespaces,
            declared.knows_namespaces,
            connection,
            &declared.used(key),
        ),
        statuses: declared.statuses(key, connection),
    };
    let preview = preview(given).await.map_err(|trouble| {
        let why: Vec<String> = trouble
            .iter()
            .map(|verdict| {
                format!(
                    "{} {}: {}",
                    verdict.kind.as_str(),
                    verdict.reason.as_str(),
                    verdict.message
                )
            })
            .collect();
        Failure::new(format!("{told}: {}", why.join("; ")))
    })?;
    Ok(Planned::Of {
        connection: Box::new(connection.clone()),
        preview,
    })
}
