//! As much CPU as a pod gets by its limit, for a process of a benchmark: by a control group, where this machine
//! lets us make one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The kubelet's.
const PERIOD: u64 = 100_000;

/// Holds a process to its CPU limit. Dropped after the process has ended.
#[derive(Debug)]
pub struct CpuLimit(PathBuf);

impl CpuLimit {
    /// Limits a process to so many thousandths of a core.
    ///
    /// # Errors
    /// When no control group can be made.
    pub fn new(process: u32, millicores: u64) -> Result<Self> {
        let quota = (millicores * PERIOD / 1000).max(1000);
        let name = format!("scim-operator-bench-{process}");
        let (group, settings) = match (
            Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            Path::new("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").exists(),
        ) {
            (true, _) => {
                let max = vec![("cpu.max", format!("{quota} {PERIOD}"))];
                (Path::new("/sys/fs/cgroup").join(name), max)
            }
            (_, true) => {
                let period = ("cpu.cfs_period_us", PERIOD.to_string());
                let quota = ("cpu.cfs_quota_us", quota.to_string());
                let group = Path::new("/sys/fs/cgroup/cpu").join(name);
                (group, vec![period, quota])
            }
            _ => bail!("this machine has no control group for the CPU"),
        };
        fs::create_dir(&group).context("no control group can be made")?;
        let limit = Self(group);
        for (setting, value) in settings {
            fs::write(limit.0.join(setting), value)
                .with_context(|| format!("{setting} cannot be set"))?;
        }
        fs::write(limit.0.join("cgroup.procs"), process.to_string())
            .context("the process cannot be moved")?;
        Ok(limit)
    }
}

impl Drop for CpuLimit {
    fn drop(&mut self) {
        // Not while there is somebody in it: then it stays, and limits nobody else.
        let _ = fs::remove_dir(&self.0);
    }
}
