//! `kubectl-scim` as it is installed, called without a terminal.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::NAMESPACE;

/// Runs it with a kubeconfig, and with these variables only beside the usual ones; servers of tests are on this machine.
pub fn scim(kubeconfig: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    Ok(command(kubeconfig, arguments, variables).output()?)
}

fn command(kubeconfig: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-scim"));
    command
        .args(arguments)
        .env_remove("SCIM_TOKEN")
        .env("KUBECONFIG", kubeconfig)
        .env("ALLOW_LOCAL_ENDPOINTS", "true")
        .envs(variables.iter().copied());
    command
}

/// What it printed.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it said beside that.
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All of it, for whoever reads a failure.
pub fn told(output: &Output) -> String {
    format!("{:?}\n{}\n{}", output.status, out(output), err(output))
}

/// The plan of the one connection that there is, and the exit code.
pub fn plan(kubeconfig: &Path, arguments: &[&str]) -> Result<(Value, i32)> {
    let all = [&["plan", "-n", NAMESPACE, "-o", "json"], arguments].concat();
    let output = scim(kubeconfig, &all, &[])?;
    let code = output.status.code().unwrap_or(-1);
    ensure!([0, 1].contains(&code), "{}", told(&output));
    let mut whole: Value = serde_json::from_slice(&output.stdout)?;
    let count = whole["connections"].as_array().map_or(0, Vec::len);
    ensure!(count == 1, "{whole}");
    Ok((whole["connections"][0].take(), code))
}

/// The steps of a plan, as `action kind/name attributes`, the members of groups at the end.
pub fn steps(plan: &Value) -> Vec<String> {
    let words = |list: &Value| -> String {
        let all = list.as_array().into_iter().flatten();
        all.filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let word = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let line = |step: &Value| {
        let (action, kind, name) = (word(step, "action"), word(step, "kind"), word(step, "name"));
        let mut line = format!("{action} {kind}/{name} {}", words(&step["attributes"]));
        let members = &step["members"];
        if members.is_object() {
            let (add, remove) = (words(&members["add"]), words(&members["remove"]));
            line += &format!("+[{add}] -[{remove}]");
        }
        line.trim_end().to_owned()
    };
    let steps = plan["steps"].as_array().into_iter().flatten();
    steps.map(line).collect()
}

/// Runs it where standard error is a terminal; what was shown there, and what was printed.
pub fn scim_at_a_terminal(
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<(String, Output)> {
    let terminal = nix::pty::openpty(None, None)?;
    let mut command = command(Path::new("/dev/null"), arguments, variables);
    command.env("TERM", "xterm").stderr(terminal.slave);
    let child = command.stdout(std::process::Stdio::piped()).spawn()?;
    // The last end of the terminal here: reading ends when the process has.
    drop(command);
    let mut shown = Vec::new();
    let reader = std::thread::spawn(move || {
        // A terminal that nobody holds any more is an error, and the end.
        let _ = std::fs::File::from(terminal.master).read_to_end(&mut shown);
        shown
    });
    let output = child.wait_with_output()?;
    let shown = reader.join().map_err(|_| anyhow::anyhow!("no reader"))?;
    Ok((String::from_utf8_lossy(&shown).into_owned(), output))
}
