//! Asking a person before something happens that cannot be taken back.

use std::io::{BufRead, IsTerminal, Write};

use super::Failure;

/// What a person has to type.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// `y` or `yes`.
    Yes,
    /// Exactly this.
    Exactly(&'a str),
}

/// Whether it is to be done. The question goes to standard error, since it is no result; `yes` answers it already.
///
/// # Errors
/// Where nobody can be asked: standard input is no terminal, and `--yes` was not said.
pub fn confirmed(question: &str, word: Word<'_>, yes: bool) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::new(
            "nothing was done: nobody can be asked here, as standard input is no terminal; --yes answers ahead",
        ));
    }
    let answered = ask(question, word, &mut input.lock(), &mut anstream::stderr());
    answered.map_err(|e| Failure::of("reading the answer", e))
}

/// The same of what takes nothing away: where nobody can be asked it is done.
///
/// # Errors
/// When the answer cannot be read.
pub fn confirmed_at_a_terminal(question: &str, yes: bool) -> Result<bool, Failure> {
    confirmed(question, Word::Yes, yes || !std::io::stdin().is_terminal())
}

fn ask(
    question: &str,
    word: Word<'_>,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> std::io::Result<bool> {
    match word {
        Word::Yes => write!(output, "{question} [y/N] ")?,
        Word::Exactly(word) => write!(output, "{question} Type {word} to go on: ")?,
    }
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    let answer = answer.trim();
    Ok(match word {
        Word::Yes => ["y", "yes"].contains(&answer.to_lowercase().as_str()),
        Word::Exactly(word) => answer == word,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_a_yes() {
        for (word, answer, is_yes) in [
            (Word::Yes, "y\n", true),
            (Word::Yes, " YES \n", true),
            (Word::Yes, "\n", false),
            (Word::Yes, "", false),
            (Word::Yes, "no\n", false),
            (Word::Yes, "yesterday\n", false),
            (Word::Exactly("ada"), "ada\n", true),
            (Word::Exactly("ada"), "yes\n", false),
            (Word::Exactly("ada"), "Ada\n", false),
            (Word::Exactly("ada"), "\n", false),
        ] {
            let mut asked = Vec::new();
            let found = ask("Really?", word, &mut answer.as_bytes(), &mut asked).unwrap();
            assert_eq!(found, is_yes, "{word:?} {answer:?}");
            assert!(String::from_utf8(asked).unwrap().starts_with("Really?"));
        }
    }
}
