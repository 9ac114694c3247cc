//! Somebody at a shell: with a kubeconfig of their own, by pipes or at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scim_operator_harness::tools::clients;
use scim_operator_harness::{ControlPlane, wait};
use tokio::process::{Child, Command};

use crate::markdown::Page;
use crate::support::{DEADLINE, NAMESPACE};

const BINARY: &str = env!("CARGO_BIN_EXE_kubectl-scim");

/// Somebody, by the kubeconfig that they have.
pub struct Person {
    kubeconfig: PathBuf,
    /// Where kubectl is.
    clients: PathBuf,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// It, if it ended well.
    pub fn well(self) -> Result<Self> {
        ensure!(self.code == 0, "{self:?}");
        Ok(self)
    }
}

impl Person {
    pub async fn of(kubeconfig: &Path) -> Result<Self> {
        Ok(Self {
            kubeconfig: kubeconfig.to_owned(),
            clients: clients().await?,
        })
    }

    /// An account with a role of the documentation, in our namespace, or with none.
    pub async fn with_role(plane: &ControlPlane, name: &str, role: Option<&str>) -> Result<Self> {
        let fences = Page::read("docs/cli/install.md").fences();
        for fence in fences
            .iter()
            .filter(|f| f.text.contains("kind: ClusterRole\n"))
        {
            let apply = ["apply", "--server-side", "-f", "-"];
            plane.kubectl_with_input(&apply, &fence.text).await?;
        }
        plane
            .kubectl(&["create", "serviceaccount", name, "-n", NAMESPACE])
            .await?;
        if let Some(role) = role {
            let (role, subject) = (
                format!("--clusterrole={role}"),
                format!("--serviceaccount={NAMESPACE}:{name}"),
            );
            let bind = [
                "create",
                "rolebinding",
                name,
                "-n",
                NAMESPACE,
                &role,
                &subject,
            ];
            plane.kubectl(&bind).await?;
        }
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, name).await?;
        Self::of(&kubeconfig).await
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let folder = Path::new(BINARY).parent().unwrap_or(Path::new("."));
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("release/krew");
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        for folder in [&*self.clients, &scripts, folder] {
            let mut before = folder.as_os_str().to_owned();
            before.push(":");
            before.push(&path);
            path = before;
        }
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", path)
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it without a terminal.
    pub async fn runs(&self, arguments: &[&str]) -> Result<Ran> {
        ended(self.command(BINARY, arguments)).await
    }

    /// The same, with these variables.
    pub async fn runs_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Ran> {
        let mut command = self.command(BINARY, arguments);
        command.envs(variables.iter().copied());
        ended(command).await
    }

    /// Runs kubectl, which finds the plugin.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Ran> {
        ended(self.command("kubectl", arguments)).await
    }

    /// Runs it with a terminal to answer at.
    pub async fn answers(&self, arguments: &[&str], answer: &str) -> Result<Ran> {
        let terminal = openpty(None, None)?;
        let mut command = self.command(BINARY, arguments);
        command.stdin(terminal.slave);
        File::from(terminal.master.try_clone()?).write_all(answer.as_bytes())?;
        let ran = ended(command).await;
        drop(terminal.master);
        ran
    }

    /// Follows what it prints, by a pipe.
    pub fn follows(&self, arguments: &[&str]) -> Result<Followed> {
        let mut child = self.command(BINARY, arguments).spawn()?;
        let output = child.stdout.take().context("no output")?;
        let output = File::from(output.into_owned_fd()?);
        Ok(Followed::new(child, output))
    }

    /// Follows what it shows at a terminal.
    pub fn follows_on_terminal(&self, arguments: &[&str]) -> Result<Followed> {
        let terminal = openpty(None, None)?;
        let mut command = self.command(BINARY, arguments);
        let child = command.stdout(terminal.slave).spawn()?;
        Ok(Followed::new(child, File::from(terminal.master)))
    }
}

async fn ended(mut command: Command) -> Result<Ran> {
    let output = tokio::time::timeout(DEADLINE * 2, command.output()).await;
    let output = output.with_context(|| format!("{command:?} does not end"))??;
    Ok(Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// A command that goes on.
pub struct Followed {
    child: Child,
    printed: Arc<Mutex<String>>,
    /// How much of it was awaited already.
    read: usize,
}

impl Followed {
    fn new(child: Child, mut output: File) -> Self {
        let printed = Arc::new(Mutex::new(String::new()));
        let into = printed.clone();
        // Ends with the output.
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut part) {
                let text = String::from_utf8_lossy(&part[..length]);
                into.lock().unwrap().push_str(&text);
            }
        });
        Self {
            child,
            printed,
            read: 0,
        }
    }

    /// Waits for a text behind what was awaited before.
    pub async fn await_output(&mut self, text: &str, deadline: Duration) -> Result<()> {
        let (printed, read) = (self.printed.clone(), self.read);
        let what = format!("{text:?} to be printed");
        self.read = wait::eventually(&what, deadline, async || {
            let printed = printed.lock().unwrap().clone();
            match printed[read..].find(text) {
                Some(at) => Ok(Some(read + at + text.len())),
                None => bail!("{:?}", &printed[read..]),
            }
        })
        .await?;
        Ok(())
    }

    /// Presses Ctrl-C, and waits for the exit code.
    pub async fn interrupted(mut self, deadline: Duration) -> Result<Option<i32>> {
        let id = self.child.id().context("it has ended already")?;
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGINT)?;
        let ended: ExitStatus = tokio::time::timeout(deadline, self.child.wait()).await??;
        Ok(ended.code())
    }
}
