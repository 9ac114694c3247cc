//! Directories for one run: removed when dropped, swept when a run was killed.
//!
//! A control plane that several tests share is a `static`, which Rust never
//! drops, and a killed test drops nothing. Each directory therefore holds a
//! locked file; the kernel releases the lock with the process, and a later run
//! removes what is unlocked and old.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

const PREFIX: &str = "scim-operator-test-";
const LOCK: &str = ".in-use";

/// Long enough to read the logs of a failed run before the next one sweeps.
const SWEPT_AFTER: Duration = Duration::from_secs(3600);

/// A directory that only this user can read, for as long as the value lives.
///
/// It stays behind when the thread that drops it is panicking, so that the logs
/// of a failed test can be read, or when `SCIM_OPERATOR_KEEP` is set.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    /// Creates a directory below the system's directory for temporary files.
    pub fn create() -> Result<Scratch> {
        sweep(&std::env::temp_dir());
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .context("creating a directory for this run")?;
        let lock = File::create(directory.path().join(LOCK))?;
        lock.lock().context("locking the directory of this run")?;
        Ok(Scratch {
            directory,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path of an entry in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file in it and returns the path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.join(name);
        fs::write(&path, contents).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("SCIM_OPERATOR_KEEP").is_some() {
            self.directory.disable_cleanup(true);
            eprintln!("harness: logs are in {}", self.directory.path().display());
        }
    }
}

/// Removes what killed runs left. Whatever cannot be removed is someone else's.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn is_abandoned(entry: &fs::DirEntry) -> bool {
    let old = entry
        .metadata()
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SWEPT_AFTER));
    old && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}
