//! Language tags: CybSafe's own list, and the shape of any other.

/// The 18 values, spelled exactly as CybSafe spells them (help, "User provisioning with SCIM");
/// `en_gb` and `en-us` are not canonical BCP 47.
pub const CYBSAFE: [&str; 18] = [
    "en_gb", "en", "en-us", "nl", "ar", "es", "es-ES", "fr", "de", "it", "pl", "pt-BR", "tr-TR",
    "ru", "ja-JP", "zh-CN", "zh-HK", "ko-KR",
];

/// CybSafe's spelling of a tag that a person wrote; case and `_` for `-` do not matter.
pub fn cybsafe(tag: &str) -> Option<&'static str> {
    let wanted = fold(tag);
    CYBSAFE.into_iter().find(|known| fold(known) == wanted)
}

/// The accepted tags nearest to one that is not, for a message: those of the same language, else the
/// international default.
pub fn nearest_cybsafe(tag: &str) -> Vec<&'static str> {
    let folded = fold(tag);
    let language = folded.split('-').next().unwrap_or_default();
    let same: Vec<_> = CYBSAFE
        .into_iter()
        .filter(|known| fold(known).split('-').next() == Some(language))
        .collect();
    if same.is_empty() { vec!["en"] } else { same }
}

/// Whether two tags are the same but for case and separator.
pub fn same(a: &str, b: &str) -> bool {
    fold(a) == fold(b)
}

/// Whether a tag has the shape of BCP 47: subtags of one to eight letters or digits, the first of
/// two to eight letters (RFC 5646 §2.1).
pub fn well_formed(tag: &str) -> bool {
    let folded = fold(tag);
    let mut subtags = folded.split('-');
    let language = subtags.next().unwrap_or_default();
    (2..=8).contains(&language.len())
        && language.chars().all(|c| c.is_ascii_alphabetic())
        && subtags
            .all(|s| (1..=8).contains(&s.len()) && s.chars().all(|c| c.is_ascii_alphanumeric()))
}

fn fold(tag: &str) -> String {
    tag.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_what_cybsafe_spells() {
        for (written, sent) in [
            ("en-GB", Some("en_gb")),
            ("EN-us", Some("en-us")),
            ("pt-br", Some("pt-BR")),
            ("zh_hk", Some("zh-HK")),
            ("EN", Some("en")),
            ("en-AU", None),
            ("pt", None),
        ] {
            assert_eq!(cybsafe(written), sent, "{written}");
        }
        for known in CYBSAFE {
            assert_eq!(cybsafe(known), Some(known));
        }
    }

    #[test]
    fn the_nearest_tags_share_the_language() {
        assert_eq!(nearest_cybsafe("en-XX"), ["en_gb", "en", "en-us"]);
        assert_eq!(nearest_cybsafe("pt"), ["pt-BR"]);
        assert_eq!(nearest_cybsafe("xx"), ["en"]);
    }

    #[test]
    fn shapes_of_tags() {
        for (tag, ok) in [
            ("en", true),
            ("en-GB", true),
            ("zh-Hant-TW", true),
            ("e", false),
            ("en--GB", false),
            ("en GB", false),
            ("12", false),
        ] {
            assert_eq!(well_formed(tag), ok, "{tag}");
        }
    }
}
