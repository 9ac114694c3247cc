//! Child processes that never outlive the test: killed when dropped, and by the
//! kernel when the test dies. Their output goes to a file.
//!
//! The kernel's parent-death signal goes off when the *thread* that started the
//! child ends, and the thread of one test ends long before a control plane
//! shared by many may. All children are therefore started by one thread that
//! lives as long as the process. `setpriv` of util-linux asks for the signal;
//! where it is missing (not Linux), only dropping kills.

use std::{
    fs::File,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// A running child and the file with all that it printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` without standard input, appending both of its outputs
    /// to `log`. `name` appears in errors.
    ///
    /// Program, arguments, environment and working directory of `command` are
    /// kept; other settings, such as redirections, are not.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Process> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        let mut wrapped = die_with_parent(command);
        wrapped
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output);
        let child = spawn_on_lasting_thread(wrapped).with_context(|| format!("starting {name}"))?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with its output.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that it printed until now.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines that it printed, for error messages.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// How it ended, or `None` while it runs.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails, with the end of its log, once it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended ({status}); it said last:\n{}",
                self.name,
                self.log_tail()
            ),
        }
    }

    /// Sends a signal. A child that has ended already is no error.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.exited()?.is_none() {
            let pid = Pid::from_raw(i32::try_from(self.child.id())?);
            signal::kill(pid, signal)
                .with_context(|| format!("sending {signal} to {}", self.name))?;
        }
        Ok(())
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// Fails, and kills it, when it still runs after `deadline`, or when the
    /// signal ended it, which means that it does not handle SIGTERM.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let started = Instant::now();
        loop {
            match self.exited()? {
                Some(status) if status.signal().is_some() => {
                    bail!("{} was ended by {status}", self.name)
                }
                Some(status) => return Ok(status),
                None if started.elapsed() > deadline => {
                    self.kill()?;
                    bail!(
                        "{} still ran {deadline:?} after SIGTERM; it said last:\n{}",
                        self.name,
                        self.log_tail()
                    )
                }
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

/// The first file of that name in `PATH`.
pub fn find_in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

fn die_with_parent(command: &Command) -> Command {
    let mut wrapped = match find_in_path("setpriv") {
        Some(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped.args(["--pdeathsig", "KILL", "--"]);
            wrapped.arg(command.get_program());
            wrapped
        }
        None => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

struct Job {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

fn spawn_on_lasting_thread(command: Command) -> Result<Child> {
    static JOBS: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for mut job in receiver {
                job.reply.send(job.command.spawn()).ok();
            }
        });
        sender
    });
    let (reply, child) = mpsc::channel();
    jobs.send(Job { command, reply })
        .map_err(|_| anyhow!("the thread that starts processes is gone"))?;
    Ok(child.recv()??)
}
