//! `completion`: what a shell needs to complete the plugin's words, and what kubectl asks for that.
//!
//! A shell completes `kubectl-scim` by the script of clap_complete. `kubectl scim` it leaves to kubectl, which runs
//! `kubectl_complete-scim` and reads what Cobra's programs print: a candidate a line, and last a directive.

use anstream::println;
use clap::{Args, Command};
use clap_complete::Shell;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::core::DynamicObject;

use super::cluster::Access;
use super::kinds::Kind;
use super::{Ended, Failure};

/// What clap_complete completes, and the file in which krew puts us.
const PROGRAM: &str = "kubectl-scim";

const EXAMPLES: &str = "Examples:
  # For this shell
  source <(kubectl-scim completion bash)

  # For every zsh from now on
  kubectl-scim completion zsh > \"${fpath[1]}/_kubectl-scim\"

  # For fish
  kubectl-scim completion fish > ~/.config/fish/completions/kubectl-scim.fish

`kubectl scim` itself is completed by kubectl, which asks the script kubectl_complete-scim; the documentation has it.";

/// Print a completion script for kubectl-scim
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When nobody takes what is printed.
pub fn run(command: &Command, arguments: &Arguments) -> Result<Ended, Failure> {
    let script = script(command, arguments.shell);
    let mut output = std::io::stdout().lock();
    std::io::Write::write_all(&mut output, &script)
        .map_err(|e| Failure::of("standard output", e))?;
    Ok(Ended::Well)
}

/// The script that completes what a person types, and nothing that is hidden from help.
fn script(command: &Command, shell: Shell) -> Vec<u8> {
    let shown = command.get_subcommands().filter(|c| !c.is_hide_set());
    let mut command = Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(command.get_arguments().cloned())
        .subcommands(shown.cloned());
    // Made whole first: clap_complete panics where it cannot write.
    let mut script = Vec::new();
    if shell != Shell::Bash {
        clap_complete::generate(shell, &mut command, PROGRAM, &mut script);
        return script;
    }
    // With a dash in the name bash would complete nothing behind a subcommand (clap's issue 6421). So the script is
    // made by another name, and at its end, where it says what it completes, that is put right.
    let plain = PROGRAM.replace('-', "_");
    clap_complete::generate(shell, &mut command, &plain, &mut script);
    let script = String::from_utf8_lossy(&script);
    let lines = script.lines().map(|line| {
        let is_registration = line.trim_start().starts_with("complete ");
        match line.strip_suffix(&plain).filter(|_| is_registration) {
            Some(line) => format!("{line}{PROGRAM}\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect::<String>().into_bytes()
}

/// What kubectl's completion asks
#[derive(Args)]
pub struct Words {
    /// What was typed behind `kubectl scim`, the last of it unfinished
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// No file is meant where nothing else is (Cobra's ShellCompDirectiveNoFileComp).
const NO_FILES: &str = ":4";
/// Files are meant (Cobra's ShellCompDirectiveDefault).
const FILES: &str = ":0";

/// Prints what may follow. It says nothing where the cluster cannot be asked: a shell is no place for it.
///
/// # Errors
/// None; the signature is that of the other commands.
pub async fn complete(command: Command, words: Words) -> Result<Ended, Failure> {
    let (offer, access) = offer(command, &words.words);
    let (mut candidates, mut directive) = (Vec::new(), NO_FILES);
    match offer {
        Offer::Words(words) => candidates = words,
        Offer::Files => directive = FILES,
        Offer::Objects { prefix, kinds } => {
            let asked = objects(&access, &prefix, kinds);
            // A cluster that does not answer holds nobody's shell up.
            let answer = tokio::time::timeout(std::time::Duration::from_secs(3), asked).await;
            candidates = answer.unwrap_or_default();
        }
    }
    for candidate in candidates {
        println!("{candidate}");
    }
    println!("{directive}");
    Ok(Ended::Well)
}

/// What an argument of ours stands for, by the name that its usage shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Names {
    /// The name of a connection.
    Connections,
    /// `KIND/NAME`.
    Targets,
}

#[derive(Debug, PartialEq)]
enum Offer {
    Words(Vec<String>),
    Files,
    Objects { prefix: String, kinds: Names },
}

/// What may stand where the last word begins, and the cluster that was said before it.
fn offer(mut command: Command, words: &[String]) -> (Offer, Access) {
    command.build();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(l, b)| (&**l, b));
    let mut here = &command;
    let mut said: Vec<(String, String)> = Vec::new();
    let mut pending: Option<&clap::Arg> = None;
    let mut positionals = 0;
    for word in before {
        if let Some(arg) = pending.take() {
            said.push((arg.get_id().to_string(), word.clone()));
        } else if word.starts_with('-') {
            let (flag, value) = word.split_once('=').unwrap_or((word, ""));
            if let Some(arg) = option(here, flag).filter(|arg| takes_value(arg)) {
                match value {
                    "" => pending = Some(arg),
                    value => said.push((arg.get_id().to_string(), value.to_owned())),
                }
            }
        } else if let Some(inner) = here.find_subcommand(word) {
            (here, positionals) = (inner, 0);
        } else {
            positionals += 1;
        }
    }
    (place(here, pending, positionals, last), Access::of(&said))
}

fn place(here: &Command, pending: Option<&clap::Arg>, positionals: usize, last: &str) -> Offer {
    let beginning = |words: Vec<String>| {
        Offer::Words(words.into_iter().filter(|w| w.starts_with(last)).collect())
    };
    if let Some(arg) = pending {
        return values(arg, last);
    }
    if last.starts_with('-') {
        let flags = here.get_arguments().filter(|arg| !arg.is_hide_set());
        let flags = flags.filter_map(|arg| arg.get_long());
        return beginning(flags.map(|long| format!("--{long}")).collect());
    }
    if here.has_subcommands() {
        let known = here.get_subcommands().filter(|c| !c.is_hide_set());
        return beginning(known.map(|c| c.get_name().to_owned()).collect());
    }
    let all: Vec<&clap::Arg> = here.get_positionals().collect();
    let repeats = |arg: &&&clap::Arg| arg.get_num_args().is_some_and(|n| n.max_values() > 1);
    let arg = all.get(positionals);
    let arg = arg.or_else(|| all.last().filter(repeats));
    arg.map_or(Offer::Words(vec![]), |arg| values(arg, last))
}

/// What an argument takes: the words that it lists, else by the name that its usage shows.
fn values(arg: &clap::Arg, last: &str) -> Offer {
    let listed = arg.get_possible_values();
    if !listed.is_empty() {
        let listed = listed.iter().map(|value| value.get_name().to_owned());
        return Offer::Words(listed.filter(|w| w.starts_with(last)).collect());
    }
    let shown = arg.get_value_names().unwrap_or_default();
    let kinds = match shown.first().map(|name| name.as_str()) {
        Some("CONNECTION") => Names::Connections,
        Some("KIND/NAME") => Names::Targets,
        Some("FILE" | "PATH" | "DIRECTORY" | "FOLDER") => return Offer::Files,
        _ => return Offer::Words(vec![]),
    };
    Offer::Objects {
        prefix: last.to_owned(),
        kinds,
    }
}

fn option<'a>(command: &'a Command, flag: &str) -> Option<&'a clap::Arg> {
    let mut all = command.get_arguments();
    match flag.strip_prefix("--") {
        Some(long) => all.find(|arg| arg.get_long() == Some(long)),
        None => all.find(|arg| arg.get_short().is_some_and(|s| flag == format!("-{s}"))),
    }
}

fn takes_value(arg: &clap::Arg) -> bool {
    arg.get_action().takes_values()
}

/// The names of objects that begin so.
async fn objects(access: &Access, prefix: &str, names: Names) -> Vec<String> {
    let Ok(cluster) = access.cluster().await else {
        return vec![];
    };
    let (kind, before, rest) = match (names, prefix.split_once('/')) {
        (Names::Connections, _) => (Some(Kind::connection()), "", prefix),
        (Names::Targets, Some((kind, rest))) => {
            (Kind::named(kind), &prefix[..kind.len() + 1], rest)
        }
        (Names::Targets, None) => {
            let kinds = Kind::all().into_iter();
            let words = kinds.map(|kind| format!("{}/", kind.resource.kind.to_lowercase()));
            return words.filter(|word| word.starts_with(prefix)).collect();
        }
    };
    let Some(kind) = kind else {
        return vec![];
    };
    let api: Api<DynamicObject> = kind.api(&cluster.client, &cluster.namespace);
    // More than anybody reads would hold the shell up.
    let page = api.list_metadata(&ListParams::default().limit(500)).await;
    let page: Vec<PartialObjectMeta<DynamicObject>> = page.map(|l| l.items).unwrap_or_default();
    let found = page.iter().map(ResourceExt::name_any);
    found
        .filter(|name| name.starts_with(rest))
        .map(|name| format!("{before}{name}"))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;

    fn offered(line: &str) -> Offer {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        offer(crate::cli::Arguments::command(), &words).0
    }

    fn words(line: &str) -> Vec<String> {
        match offered(line) {
            Offer::Words(words) => words,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_flags_and_listed_values_are_offered_where_they_may_stand() {
        assert_eq!(words("appr"), ["approve"]);
        assert!(words("").contains(&"status".to_owned()));
        assert!(!words("").contains(&"__complete".to_owned()));
        assert_eq!(words("status --wat"), ["--watch"]);
        assert_eq!(words("completion z"), ["zsh"]);
        assert_eq!(words("--color n"), ["never"]);
        assert_eq!(words("approve scim 0f"), Vec::<String>::new());
    }

    #[test]
    fn objects_are_offered_where_their_names_are_meant() {
        let objects = |prefix: &str, kinds| Offer::Objects {
            prefix: prefix.into(),
            kinds,
        };
        assert_eq!(offered("status "), objects("", Names::Connections));
        assert_eq!(
            offered("-n identity approve sc"),
            objects("sc", Names::Connections)
        );
        assert_eq!(offered("suspend su/a"), objects("su/a", Names::Targets));
        assert_eq!(offered("suspend su/a sg/"), objects("sg/", Names::Targets));
        assert_eq!(
            offered("reconcile --wait sco"),
            objects("sco", Names::Targets)
        );
        assert_eq!(offered("status --kubeconfig /x"), Offer::Files);
    }

    #[test]
    fn the_cluster_that_was_said_is_the_one_that_is_asked() {
        let line = ["status", "-n", "identity", "--context=east", ""];
        let line: Vec<String> = line.map(str::to_owned).into();
        let access = offer(crate::cli::Arguments::command(), &line).1;
        assert_eq!(access.said_namespace(), Some("identity"));
        assert!(format!("{access:?}").contains("east"));
    }

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands_and_nothing_hidden() {
        for shell in Shell::value_variants() {
            let script = script(&crate::cli::Arguments::command(), *shell);
            let script = String::from_utf8(script).unwrap();
            assert!(
                script.contains(PROGRAM) && script.contains("approve"),
                "{shell}"
            );
            assert!(!script.contains("__complete"), "{shell}");
        }
    }

    #[test]
    fn bash_completes_by_the_script() {
        let folder = std::env::temp_dir().join(format!("kubectl-scim-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("completion.bash");
        let made = script(&crate::cli::Arguments::command(), Shell::Bash);
        std::fs::write(&file, made).unwrap();
        // Bash hands over the command, the word and the one before it.
        let ask = r#"source "$0"; F=$(complete -p kubectl-scim | sed 's/.*-F //;s/ .*//'); COMP_WORDS=(kubectl-scim $1 "$2"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); $F kubectl-scim "$2" "$1"; echo "${COMPREPLY[@]}""#;
        for (before, word, expected) in [
            ("", "appr", "approve"),
            ("status", "--wat", "--watch"),
            ("completion", "z", "zsh"),
        ] {
            let asked = std::process::Command::new("bash")
                .arg("-c")
                .arg(ask)
                .arg(&file)
                .args([before, word])
                .output()
                .unwrap();
            let said = String::from_utf8(asked.stdout).unwrap();
            assert_eq!(said.trim(), expected, "{before} {word}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// The lines of a text that are commands of ours, each as its words, without what a shell does with them.
    fn examples(text: &str) -> Vec<Vec<String>> {
        let whole = text.replace("\\\n", " ");
        let lines = whole
            .lines()
            .map(|line| line.trim().trim_start_matches("$ "));
        let ours = lines.filter_map(|line| {
            // Alone, with a variable before it, after a pipe, or read by a shell.
            let line = line.replace("kubectl-scim ", "kubectl scim ");
            let (before, words) = line.split_once("kubectl scim ")?;
            let before = before.trim_end();
            let begins = ["|", "=...", "<("].iter().any(|end| before.ends_with(end));
            if !before.is_empty() && !begins {
                return None;
            }
            // What a shell reads as words, up to what it reads as more than that.
            let words = shlex::split(words.trim_end_matches(')'))?;
            let end = words.iter().position(|word| [">", "|"].contains(&&**word));
            let end = end.unwrap_or(words.len());
            Some(words[..end].to_vec())
        });
        ours.collect()
    }

    #[test]
    fn the_examples_of_help_and_of_the_pages_are_commands() {
        let mut texts = vec![
            include_str!("../../docs/cli/status.md").to_owned(),
            include_str!("../../docs/cli/install.md").to_owned(),
            include_str!("../../docs/cli/plan.md").to_owned(),
            include_str!("../../docs/cli/import.md").to_owned(),
            include_str!("../../docs/cli/validate.md").to_owned(),
            include_str!("../../README.md").to_owned(),
        ];
        for command in crate::cli::Arguments::command().get_subcommands() {
            if command.is_hide_set() {
                continue;
            }
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(examples(&help).len() >= 2, "{}", command.get_name());
            texts.push(help);
        }
        let mut tried = 0;
        for words in texts.iter().flat_map(|text| examples(text)) {
            let whole = ["kubectl-scim".to_owned()].into_iter().chain(words.clone());
            let parsed = crate::cli::Arguments::command().try_get_matches_from(whole);
            let told = parsed.err().map(|e| e.kind());
            let is_fine = told.is_none_or(|kind| kind == clap::error::ErrorKind::DisplayVersion);
            assert!(is_fine, "{words:?}: {told:?}");
            tried += 1;
        }
        assert!(tried > 20, "{tried}");
    }
}
