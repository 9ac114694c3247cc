//! Colours, where a terminal shows them, and nothing else's.

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// Where a terminal shows them and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is right, or is added.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What deserves a look, or changes.
pub const CAUTION: Style = AnsiColor::Yellow.on_default();
/// What is wrong, or goes away.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters in a line.
pub const STRONG: Style = Style::new().bold();
/// What is there for completeness.
pub const FAINT: Style = Style::new().dimmed();

/// For the whole process: what `anstream`'s macros print from now on.
pub fn choose(colour: Colour) {
    let choice = match colour {
        Colour::Auto => anstream::ColorChoice::Auto,
        Colour::Always => anstream::ColorChoice::Always,
        Colour::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// A text in a style; without one where nobody sees it, by `anstream`.
pub fn in_style(style: Style, text: impl std::fmt::Display) -> String {
    format!("{}{text}{}", style.render(), style.render_reset())
}
