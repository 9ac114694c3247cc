//! Why a command could not find out what it was asked.

use std::error::Error;
use std::fmt;

/// What stood in the way: a sentence for people, and what it came from.
#[derive(Debug)]
pub struct Failure {
    said: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// For a reason that is ours alone.
    pub fn new(said: impl Into<String>) -> Self {
        Self {
            said: said.into(),
            source: None,
        }
    }

    /// While doing something, because of another error.
    pub fn of(doing: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            said: doing.into(),
            source: Some(source.into()),
        }
    }
}

impl fmt::Display for Failure {
    /// Says all of the chain: nobody else will.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.said.clone();
        let mut next = self.source();
        while let Some(error) = next {
            // Some errors of others say their sources themselves.
            let more = error.to_string();
            if !said.contains(&more) {
                said = format!("{said}: {more}");
            }
            next = error.source();
        }
        f.write_str(&said)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_chain_is_said() {
        let failure = Failure::of(
            "reading a file",
            Failure::of("opening", Failure::new("no such file")),
        );
        assert_eq!(failure.to_string(), "reading a file: opening: no such file");
    }
}
