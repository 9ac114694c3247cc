//! `kubectl scim validate`: what the API server and the operator would say of manifests, said before either sees them.
//! No cluster and no network: the definitions are those of this release, the profile rules the operator's own.

pub mod cel;
pub mod declared;
pub mod duplicates;
pub mod finding;
pub mod go;
pub mod lines;
pub mod metadata;
pub mod objects;
pub mod profile;
pub mod references;
pub mod report;
pub mod schema;
pub mod structure;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::declared::Declared;
use self::finding::{Fault, FieldPath, Finding, Severity};
use self::lines::Texts;
use self::objects::ApiServer;
use super::cluster::Access;
use super::manifests::{self, Manifest, Manifests};
use super::{Ended, Failure, paint};
use crate::api::connection::Profile as ProfileName;

const EXAMPLES: &str = "\
Examples:
  # Everything below a folder
  kubectl scim validate users/

  # What a Kustomization comes to
  kubectl kustomize overlays/prod | kubectl scim validate -

  # People whose connection is declared elsewhere
  kubectl scim validate users/ --connection ../platform/connection.yaml

  # In CI: nothing may be missing, warnings fail, findings go to code scanning
  kubectl scim validate . --complete --strict -o sarif > validate.sarif

Exit codes: 0 nothing to see to, 1 findings, 2 the manifests could not be read.";

/// Check manifests offline: schema, CEL rules, the backend's profile, duplicates and references.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Files, folders, or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Files or folders that are read for connections and namespaces only; more than once for more of them.
    #[arg(long, value_name = "FILE")]
    connection: Vec<PathBuf>,
    /// The profile of resources whose connection is not declared.
    #[arg(long, value_enum, default_value_t = ProfileArgument::CybSafe)]
    profile: ProfileArgument,
    /// The manifests are all there is: what they name and do not hold is an error.
    #[arg(long)]
    complete: bool,
    /// Warnings fail as errors do.
    #[arg(long)]
    strict: bool,
    /// How findings are printed.
    #[arg(long, short, value_enum, default_value_t = Form::Human)]
    output: Form,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, by file.
    Human,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, as code scanning takes it.
    Sarif,
}

/// A profile, spelt as in a ScimConnection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileArgument {
    /// What CybSafe documents.
    #[value(name = "CybSafe")]
    CybSafe,
    /// RFC 7643's User and Enterprise User.
    #[value(name = "RFC7643")]
    Rfc7643,
}

impl From<ProfileArgument> for ProfileName {
    fn from(profile: ProfileArgument) -> Self {
        match profile {
            ProfileArgument::CybSafe => Self::CybSafe,
            ProfileArgument::Rfc7643 => Self::RFC7643,
        }
    }
}

/// What manifests are judged by, besides themselves.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The namespace of whatever names none.
    pub namespace: String,
    /// The profile where the connection is not declared.
    pub profile: ProfileName,
    /// The manifests are all there is.
    pub complete: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// By file, line and field.
    pub findings: Vec<Finding>,
    /// How many objects of ours were looked at.
    pub objects: usize,
}

impl Findings {
    /// How many there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        let same = self
            .findings
            .iter()
            .filter(|f| f.fault.severity == severity);
        same.count()
    }
}

/// Runs the command.
///
/// # Errors
/// When a path cannot be read, or nothing of ours is found.
pub fn run(access: &Access, arguments: &Arguments) -> Result<Ended, Failure> {
    let mut texts = Texts::default();
    let mut read = Manifests::default();
    for path in &arguments.paths {
        let more = if path.as_os_str() == "-" {
            standard_input(&mut texts)?
        } else {
            manifests::read(std::slice::from_ref(path))?
        };
        read.objects.extend(more.objects);
        read.unreadable.extend(more.unreadable);
        read.kustomizations.extend(more.kustomizations);
    }
    for folder in &read.kustomizations {
        anstream::eprintln!(
            "{}: {folder} has a kustomization: its files may be patches; what they come to is told by `kubectl kustomize {folder} | kubectl scim validate -`",
            paint::in_style(paint::CAUTION, "note")
        );
    }
    let elsewhere = manifests::read(&arguments.connection)?;
    for unreadable in &elsewhere.unreadable {
        let note = paint::in_style(paint::CAUTION, "note");
        anstream::eprintln!("{note}: {}: {}", unreadable.place, unreadable.why);
    }
    if read.unreadable.is_empty() && !read.objects.iter().any(Manifest::is_ours) {
        return Err(Failure::new(format!(
            "no object of {} in what was given",
            manifests::GROUP
        )));
    }
    let terms = Terms {
        namespace: access.said_namespace().unwrap_or("default").to_owned(),
        profile: arguments.profile.into(),
        complete: arguments.complete,
    };
    let mut found = judge(&ApiServer::new()?, &read, &elsewhere, &terms);
    for finding in &mut found.findings {
        texts.locate(finding);
    }
    sort(&mut found.findings);
    match arguments.output {
        Form::Human => report::human::print(&found),
        Form::Json => anstream::println!("{:#}", report::json::document(&found)),
        Form::Sarif => {
            anstream::println!("{:#}", report::sarif::document(&found, &ApiServer::new()?))
        }
    }
    let counts = |severity| found.count(severity) > 0;
    let fails = counts(Severity::Error) || arguments.strict && counts(Severity::Warning);
    Ok(if fails {
        Ended::WithFindings
    } else {
        Ended::Well
    })
}

fn standard_input(texts: &mut Texts) -> Result<Manifests, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|e| Failure::of("standard input", e))?;
    let mut found = Manifests::default();
    found.take("-", &text);
    texts.keep("-", text);
    Ok(found)
}

/// Judges manifests. `elsewhere` are read for connections and namespaces, and not judged themselves. Findings stand at
/// the beginning of their documents.
pub fn judge(
    server: &ApiServer,
    manifests: &Manifests,
    elsewhere: &Manifests,
    terms: &Terms,
) -> Findings {
    let usual = &terms.namespace;
    let mut declared = Declared::default();
    for manifest in &elsewhere.objects {
        if manifest.kind() == "ScimConnection" && manifest.is_ours() {
            let (_, spec) = server.judge(&manifest.object);
            declared.take(usize::MAX, manifest, usual, spec);
        } else if manifest.kind() == "Namespace" {
            declared.take_foreign(usize::MAX, manifest, usual);
        }
    }
    let mut ours = Vec::new();
    let mut faults: Vec<(usize, Fault)> = Vec::new();
    for (at, manifest) in manifests.objects.iter().enumerate() {
        if !manifest.is_ours() {
            declared.take_foreign(at, manifest, usual);
            continue;
        }
        ours.push((at, manifest));
        let (found, spec) = server.judge(&manifest.object);
        faults.extend(found.into_iter().map(|fault| (at, fault)));
        faults.extend(
            declared
                .take(at, manifest, usual, spec)
                .map(|fault| (at, fault)),
        );
    }
    let said: BTreeSet<_> = faults
        .iter()
        .map(|(at, fault)| (*at, fault.field.to_string()))
        .collect();
    if let Some(profile) = declared::usual_profile(terms.profile) {
        faults.extend(profile::check(&declared, &profile, &said));
    }
    faults.extend(duplicates::check(&ours, &declared, usual));
    faults.extend(references::check(&declared, terms.complete));
    faults.extend(references::secrets(&declared));

    let mut findings: Vec<Finding> = faults
        .into_iter()
        .filter_map(|(at, fault)| Some(Finding::of(manifests.objects.get(at)?, usual, fault)))
        .collect();
    findings.extend(manifests.unreadable.iter().map(|unreadable| Finding {
        place: unreadable.place.clone(),
        kind: String::new(),
        namespace: String::new(),
        name: String::new(),
        fault: Fault::error(
            FieldPath::default(),
            "yaml/unreadable",
            unreadable.why.clone(),
        ),
    }));
    sort(&mut findings);
    Findings {
        findings,
        objects: ours.len(),
    }
}

fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.place.clone(), f.fault.field.clone(), f.fault.rule.clone());
        key(a).cmp(&key(b))
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
