//! Which points are run: all of them, unless the environment says otherwise.

use anyhow::{Context, Result, bail, ensure};

use super::journal::Mode;

/// Control planes beside each other where nobody says how many. A run waits more than it works.
const LANES: usize = 4;

/// Which requests are points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// Every one.
    #[default]
    All,
    /// Those that may change something.
    Writes,
    /// The others.
    Reads,
}

impl Requests {
    /// As a person writes it.
    pub fn name(self) -> &'static str {
        match self {
            Requests::All => "all",
            Requests::Writes => "writes",
            Requests::Reads => "reads",
        }
    }

    /// Whether it takes in a request that is a write, or none.
    pub fn take(self, write: bool) -> bool {
        match self {
            Requests::All => true,
            Requests::Writes => write,
            Requests::Reads => !write,
        }
    }
}

/// `scenario`, `scenario:17` or `scenario:17:after-commit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    scenario: String,
    request: Option<usize>,
    mode: Option<Mode>,
}

/// Which points are run, and how many beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// By what the request is.
    pub requests: Requests,
    /// By name; everything where this is empty.
    pub only: Vec<Only>,
    /// The i-th of n parts, from 1.
    pub shard: (usize, usize),
    /// How many of what is left are skipped.
    pub from: usize,
    /// How many run at a time.
    pub lanes: usize,
}

impl Default for Selection {
    fn default() -> Selection {
        Selection {
            requests: Requests::All,
            only: Vec::new(),
            shard: (1, 1),
            from: 0,
            lanes: LANES,
        }
    }
}

impl Selection {
    /// As `CRASH_POINTS`, `ONLY`, `SHARD`, `FROM` and `LANES` say.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub fn from_environment() -> Result<Selection> {
        Selection::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Selection> {
        let requests = match variable("CRASH_POINTS").as_deref() {
            None | Some("all") => Requests::All,
            Some("writes") => Requests::Writes,
            Some("reads") => Requests::Reads,
            Some(other) => bail!("CRASH_POINTS is all, writes or reads, not {other}"),
        };
        let mut selection = Selection {
            requests,
            ..Selection::default()
        };
        if let Some(only) = variable("ONLY") {
            selection.only = only.split(',').map(one).collect::<Result<_>>()?;
        }
        if let Some(shard) = variable("SHARD") {
            let parts = shard.split_once('/').context("SHARD is such as 1/4")?;
            selection.shard = (number(parts.0)?, number(parts.1)?);
            let (part, of) = selection.shard;
            ensure!(1 <= part && part <= of, "SHARD is such as 1/4");
        }
        if let Some(from) = variable("FROM") {
            selection.from = number(&from)?;
        }
        if let Some(lanes) = variable("LANES") {
            selection.lanes = number(&lanes)?.max(1);
        }
        Ok(selection)
    }

    /// Whether anything of that scenario is wanted.
    pub fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.scenario == scenario)
    }

    /// Whether that point is wanted by name; `write` says what its request is.
    pub fn takes(&self, scenario: &str, request: usize, mode: Mode, write: bool) -> bool {
        let named = |only: &Only| {
            only.scenario == scenario
                && only.request.is_none_or(|one| one == request)
                && only.mode.is_none_or(|one| one == mode)
        };
        self.requests.take(write) && (self.only.is_empty() || self.only.iter().any(named))
    }

    /// What is left of all points that were taken.
    pub fn part<T>(&self, points: Vec<T>) -> Vec<T> {
        let (part, of) = self.shard;
        let count = points.len().saturating_sub(self.from);
        let (begin, end) = (count * (part - 1) / of, count * part / of);
        let left = points.into_iter().skip(self.from);
        left.skip(begin).take(end - begin).collect()
    }
}

fn one(text: &str) -> Result<Only> {
    let mut parts = text.split(':');
    let scenario = parts.next().unwrap_or_default().to_owned();
    let request = parts.next().map(number).transpose()?;
    let mode = parts.next().map(|mode| {
        Mode::parse(mode).with_context(|| {
            format!("{mode} is no mode: before-forward, after-commit or after-reply")
        })
    });
    Ok(Only {
        scenario,
        request,
        mode: mode.transpose()?,
    })
}

fn number(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("{text} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(variables: &[(&str, &str)]) -> Result<Selection> {
        Selection::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn one_failing_point_can_be_repeated() -> Result<()> {
        let selection = selection(&[("ONLY", "groups:17:after-commit,joiners")])?;
        assert!(selection.takes("groups", 17, Mode::AfterCommit, true));
        assert!(!selection.takes("groups", 17, Mode::AfterReply, true));
        assert!(!selection.takes("groups", 16, Mode::AfterCommit, true));
        assert!(selection.takes("joiners", 1, Mode::AfterReply, false));
        assert!(!selection.wants("leavers"));
        Ok(())
    }

    #[test]
    fn shards_are_the_whole_and_do_not_overlap() -> Result<()> {
        let mut all = Vec::new();
        for shard in ["1/3", "2/3", "3/3"] {
            all.extend(selection(&[("SHARD", shard)])?.part((0..10).collect()));
        }
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert!(selection(&[("SHARD", "4/3")]).is_err());
        assert!(selection(&[("ONLY", "groups:17:sometimes")]).is_err());
        assert!(selection(&[("CRASH_POINTS", "some")]).is_err());
        Ok(())
    }
}
