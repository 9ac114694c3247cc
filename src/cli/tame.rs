//! Texts of others on a terminal: a message may repeat what a backend said, and a backend may say what a terminal obeys.

/// The text on one line, with every character that a terminal obeys made visible (U+FFFD), line breaks as spaces.
pub fn tame(text: &str) -> String {
    let visible = |c: char| match c {
        // The last two end a line of YAML, and of some terminals.
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        // Besides those of C0 and C1: what turns the direction of a text, and so what it seems to say.
        c if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
        {
            char::REPLACEMENT_CHARACTER
        }
        c => c,
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (text, tamed) in [
            ("plain, with ä and 字", "plain, with ä and 字"),
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("\u{9b}2J", "\u{fffd}2J"),
            ("two\nlines\r\n", "two lines  "),
            ("a\u{202e}b", "a\u{fffd}b"),
            ("\u{7}\u{0}", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(tame(text), tamed);
        }
    }
}
