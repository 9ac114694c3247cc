//! Attribute paths: the forms of RFC 7644 §3.5.2 that attribute tables and
//! mappings use, parsed and printed canonically.
//!
//! The accepted forms are `attribute`, `attribute.sub`,
//! `attribute[type eq "x"]` and `attribute[type eq "x"].sub`, each optionally
//! prefixed by the URN of an extension schema. Other filters are refused: a
//! path must name one place. Reading and writing values along a path is in
//! `path_value`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest path accepted, in bytes.
pub const MAX_PATH_LENGTH: usize = 256;

/// The prefix of the core schemas (RFC 7643 §4), whose attributes live at the
/// top of a resource and are therefore written without a prefix.
const CORE_PREFIX: &str = "urn:ietf:params:scim:schemas:core:2.0:";

/// One place in a SCIM resource.
///
/// The derived comparisons are by spelling. [`AttributePath::read`] and its
/// siblings ignore the case of attribute names (RFC 7643 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributePath {
    /// URN of the extension schema the attribute belongs to; `None` for the
    /// core schemas and for bare root attributes.
    pub schema: Option<String>,
    /// Name of the attribute, such as `emails`.
    pub attribute: String,
    /// The `x` of `[type eq "x"]`, selecting elements of a multi-valued
    /// attribute.
    pub selector: Option<String>,
    /// Name of the sub-attribute, such as `value`.
    pub sub: Option<String>,
}

/// Why a text is not an [`AttributePath`]. Positions count bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// The text is empty.
    #[error("the path is empty")]
    Empty,
    /// The text is longer than [`MAX_PATH_LENGTH`].
    #[error("the path is longer than {MAX_PATH_LENGTH} bytes")]
    TooLong,
    /// An attribute name does not follow RFC 7643 §2.1.
    #[error(
        "at position {position}: an attribute name starts with a letter and continues with letters, digits, `-` or `_`"
    )]
    Name {
        /// Where the offending character, or the missing name, is.
        position: usize,
    },
    /// The filter is not of the one form that names a single place.
    #[error(
        "at position {position}: the only filter accepted is `[type eq \"…\"]`, without quotes, backslashes or control characters in the value"
    )]
    Selector {
        /// Where the filter stops following the form.
        position: usize,
    },
    /// Something follows a complete path.
    #[error("at position {position}: only `.` and one sub-attribute may follow here")]
    Trailing {
        /// Where the surplus text starts.
        position: usize,
    },
    /// The schema prefix is not a URN with letters, digits and `:._-` only.
    #[error(
        "at position {position}: a schema prefix is a URN of letters, digits and `:`, `.`, `_`, `-`"
    )]
    Schema {
        /// Where the offending character is.
        position: usize,
    },
    /// The path ends with the name of a schema, such as `…:2.0:User`.
    #[error("the path names a schema, not an attribute: add `:` and the attribute's name")]
    SchemaOnly,
}

impl AttributePath {
    /// The path without its sub-attribute: the complex value, or the element,
    /// that holds the value.
    #[must_use]
    pub fn container(&self) -> Self {
        Self {
            sub: None,
            ..self.clone()
        }
    }

    /// Whether `container` is this path's [`container`](Self::container).
    #[must_use]
    pub fn is_in(&self, container: &Self) -> bool {
        let Self {
            schema,
            attribute,
            selector,
            sub: _,
        } = self;
        container.sub.is_none()
            && *schema == container.schema
            && *attribute == container.attribute
            && *selector == container.selector
    }
}

impl FromStr for AttributePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > MAX_PATH_LENGTH {
            return Err(PathError::TooLong);
        }
        // The selector's value may hold a colon, so only the text before the
        // bracket is searched for the end of the schema.
        let head = text.find('[').unwrap_or(text.len());
        let (schema, start) = match text[..head].rfind(':') {
            Some(colon) => (schema_of(&text[..colon])?, colon + 1),
            None => (None, 0),
        };
        let (attribute, mut position) = name_at(text, start)?;
        if text.starts_with("urn:") && position == text.len() && is_schema_name(&text[..start]) {
            return Err(PathError::SchemaOnly);
        }
        let mut selector = None;
        if text[position..].starts_with('[') {
            let (value, end) = selector_at(text, position)?;
            selector = Some(value);
            position = end;
        }
        let mut sub = None;
        if text[position..].starts_with('.') {
            let (name, end) = name_at(text, position + 1)?;
            sub = Some(name);
            position = end;
        }
        if position < text.len() {
            return Err(PathError::Trailing { position });
        }
        Ok(Self {
            schema,
            attribute,
            selector,
            sub,
        })
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            schema,
            attribute,
            selector,
            sub,
        } = self;
        if let Some(schema) = schema {
            write!(f, "{schema}:")?;
        }
        f.write_str(attribute)?;
        if let Some(selector) = selector {
            write!(f, "[type eq \"{selector}\"]")?;
        }
        if let Some(sub) = sub {
            write!(f, ".{sub}")?;
        }
        Ok(())
    }
}

/// Checks a schema prefix; core schemas become `None`.
fn schema_of(text: &str) -> Result<Option<String>, PathError> {
    if !text
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
    {
        return Err(PathError::Schema { position: 0 });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '_' | '-');
    if let Some(position) = text.find(|c| !allowed(c)) {
        return Err(PathError::Schema { position });
    }
    if text.ends_with(':') {
        return Err(PathError::Schema {
            position: text.len() - 1,
        });
    }
    let is_core = text
        .get(..CORE_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(CORE_PREFIX));
    Ok((!is_core).then(|| text.to_owned()))
}

/// Whether a prefix (with its final colon) ends in a version such as `2.0:`,
/// after which the SCIM URNs put a schema's name.
fn is_schema_name(prefix: &str) -> bool {
    let last = prefix
        .trim_end_matches(':')
        .rsplit(':')
        .next()
        .unwrap_or("");
    let mut parts = last.split('.');
    let digits = |part: Option<&str>| {
        part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
    };
    digits(parts.next()) && digits(parts.next()) && parts.next().is_none()
}

/// Reads an attribute name; answers it and the position behind it.
fn name_at(text: &str, start: usize) -> Result<(String, usize), PathError> {
    let rest = &text[start..];
    // `$ref` is the one standard name with a dollar sign (RFC 7643 §2.4).
    let skip = usize::from(rest.starts_with("$ref"));
    let end = rest[skip..]
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .map_or(rest.len(), |found| found + skip);
    let name = &rest[..end];
    let first = rest[skip..].chars().next();
    let boundary = rest[end..].chars().next();
    if !first.is_some_and(|c| c.is_ascii_alphabetic()) {
        return Err(PathError::Name { position: start });
    }
    match boundary {
        None | Some('.' | '[') => Ok((name.to_owned(), start + end)),
        Some(_) => Err(PathError::Name {
            position: start + end,
        }),
    }
}

/// Reads `[type eq "x"]`; answers `x` and the position behind the bracket.
fn selector_at(text: &str, start: usize) -> Result<(String, usize), PathError> {
    let mut cursor = Cursor {
        text,
        position: start + 1,
    };
    cursor.spaces();
    cursor.word("type")?;
    cursor.space()?;
    cursor.word("eq")?;
    cursor.spaces();
    cursor.word("\"")?;
    let begin = cursor.position;
    let rest = &text[begin..];
    let length = rest
        .find(|c: char| c == '"' || c == '\\' || c.is_control())
        .ok_or(PathError::Selector {
            position: text.len(),
        })?;
    cursor.position += length;
    if length == 0 {
        return Err(PathError::Selector { position: begin });
    }
    cursor.word("\"")?;
    cursor.spaces();
    cursor.word("]")?;
    if !matches!(text[cursor.position..].chars().next(), None | Some('.')) {
        return Err(PathError::Trailing {
            position: cursor.position,
        });
    }
    Ok((rest[..length].to_owned(), cursor.position))
}

/// A position in a text, moved by what is expected there.
struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl Cursor<'_> {
    fn spaces(&mut self) {
        while self.text[self.position..].starts_with(' ') {
            self.position += 1;
        }
    }

    fn space(&mut self) -> Result<(), PathError> {
        self.word(" ")?;
        self.spaces();
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), PathError> {
        let found = self.text.get(self.position..self.position + word.len());
        if !found.is_some_and(|found| found.eq_ignore_ascii_case(word)) {
            return Err(PathError::Selector {
                position: self.position,
            });
        }
        self.position += word.len();
        Ok(())
    }
}
