//! The operator of one run, killed and started again; what it logged in all its lives is kept.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::operator::{Operator, Options};

/// The operator, or the lack of one.
pub struct Victim {
    options: Options,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    alive: Option<Operator>,
    logs: Vec<String>,
    /// Why it could not be started again, which only the end of the run can tell.
    failed: Option<String>,
}

impl Victim {
    /// One that is started with these options.
    pub fn new(options: Options) -> Victim {
        Victim {
            options,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When there is no such binary.
    pub fn start(&self) -> Result<()> {
        let operator = Operator::start(&self.options)?;
        self.inner().alive = Some(operator);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        let mut inner = self.inner();
        if let Some(mut operator) = inner.alive.take() {
            operator.kill9().ok();
            inner.logs.push(operator.log());
        }
    }

    /// Kills it with SIGKILL and starts it again, as the kubelet does.
    pub fn strike(&self) {
        self.kill();
        if let Err(error) = self.start() {
            self.inner().failed = Some(format!("{error:#}"));
        }
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// When it does not end in time, or not in order.
    pub async fn terminate(&self, deadline: Duration) -> Result<()> {
        let operator = self.inner().alive.take();
        let mut operator = operator.context("the operator does not run")?;
        let ended = operator.terminate(deadline).await;
        self.inner().logs.push(operator.log());
        ended.map(drop)
    }

    /// How often it was started.
    pub fn lives(&self) -> usize {
        let inner = self.inner();
        inner.logs.len() + usize::from(inner.alive.is_some())
    }

    /// Whether, in this life, it has had a look at every user.
    pub fn has_looked(&self) -> bool {
        let inner = self.inner();
        let log = inner.alive.as_ref().map(Operator::log);
        log.is_some_and(|log| log.contains("every user was looked at"))
    }

    /// What it logged in each of its lives.
    pub fn logs(&self) -> Vec<String> {
        let inner = self.inner();
        let mut logs = inner.logs.clone();
        logs.extend(inner.alive.as_ref().map(Operator::log));
        logs
    }

    /// Why it does not run, if it should: it could not be started again, or it panicked.
    pub fn fault(&self) -> Option<String> {
        if let Some(failed) = &self.inner().failed {
            return Some(failed.clone());
        }
        let logs = self.logs();
        let mut lines = logs.iter().flat_map(|log| log.lines());
        let line = lines.find(|line| line.contains("panicked at"))?;
        Some(line.to_owned())
    }
}
