//! On which line a field stands. Only what something was found in is read again: most files hold nothing to show.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::finding::{FieldPath, Finding, Step};

/// The texts that were read, by the names of their files.
#[derive(Default)]
pub struct Texts {
    known: HashMap<String, Option<Text>>,
}

struct Text {
    whole: String,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
    documents: HashMap<usize, Option<Located>>,
}

impl Texts {
    /// Keeps a text that cannot be read twice, as standard input.
    pub fn keep(&mut self, file: &str, text: String) {
        self.known.insert(file.to_owned(), Some(Text::new(text)));
    }

    /// Moves a finding from the beginning of its document to the line of its field, or of what is nearest around it.
    pub fn locate(&mut self, finding: &mut Finding) {
        let file = finding.place.file.clone();
        let text = self.known.entry(file).or_insert_with_key(|file| {
            let whole = std::fs::read_to_string(file).ok();
            whole.map(Text::new)
        });
        let begun = finding.place.line;
        let Some(document) = text.as_mut().and_then(|text| text.document(begun)) else {
            return;
        };
        let object = object_in(document, finding);
        if let Some(line) = object.and_then(|object| line_of(object, &finding.fault.field)) {
            finding.place.line = begun + line - 1;
        }
    }
}

impl Text {
    fn new(whole: String) -> Self {
        let ends = whole.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        Self {
            whole,
            starts,
            documents: HashMap::new(),
        }
    }

    /// The document that begins on a line, from 1.
    fn document(&mut self, begun: usize) -> Option<&Located> {
        let Self {
            whole,
            starts,
            documents,
        } = self;
        let document = documents.entry(begun).or_insert_with(|| {
            let rest = whole.get(*starts.get(begun.checked_sub(1)?)?..)?;
            let mut end = 0;
            for line in rest.split_inclusive('\n') {
                let bare = line.trim_end();
                if bare == "---" || bare.starts_with("--- ") || bare.starts_with("---\t") {
                    break;
                }
                end += line.len();
            }
            serde_saphyr::from_str::<Located>(rest.get(..end)?).ok()
        });
        document.as_ref()
    }
}

/// The object within a document: its own, or an item of a list.
fn object_in<'a>(document: &'a Located, finding: &Finding) -> Option<&'a Located> {
    let Some(Content::List(items)) = document.get("items").map(|(_, items)| &items.content) else {
        return Some(document);
    };
    if document
        .text("kind")
        .is_none_or(|kind| !kind.ends_with("List"))
    {
        return Some(document);
    }
    let is_it = |item: &&(usize, Located)| {
        let metadata = item.1.get("metadata").map(|(_, metadata)| metadata);
        let of = |field: &str| metadata.and_then(|m| m.text(field)).unwrap_or_default();
        let namespace = of("namespace");
        item.1.text("kind") == Some(&finding.kind)
            && of("name") == finding.name
            && (namespace.is_empty() || namespace == finding.namespace)
    };
    items.iter().find(is_it).map(|(_, item)| item)
}

/// The line of a field, or of the last that is there on the way to it.
fn line_of(object: &Located, path: &FieldPath) -> Option<usize> {
    let (mut here, mut line) = (object, None);
    for step in &path.0 {
        let next = match (step, &here.content) {
            (Step::Key(key), _) => here.get(key),
            (Step::Index(at), Content::List(items)) => {
                items.get(*at).map(|(line, item)| (*line, item))
            }
            (Step::OfType(kind), Content::List(items)) => {
                let is_it = |item: &Located| {
                    ["type", "attribute"]
                        .iter()
                        .any(|f| item.text(f) == Some(kind))
                };
                let item = items.iter().find(|(_, item)| is_it(item));
                item.map(|(line, item)| (*line, item))
            }
            _ => None,
        };
        let Some((at, inner)) = next else {
            break;
        };
        line = Some(at);
        here = inner;
    }
    line
}

/// A YAML value that knows the lines of what is in it, and no texts but those that name something.
struct Located {
    content: Content,
}

enum Content {
    /// Keys, each with its line.
    Map(Vec<(String, usize, Located)>),
    /// Items, each with its line.
    List(Vec<(usize, Located)>),
    Text(String),
    Other,
}

impl Located {
    fn get(&self, key: &str) -> Option<(usize, &Located)> {
        let Content::Map(fields) = &self.content else {
            return None;
        };
        let field = fields.iter().find(|(name, ..)| name == key);
        field.map(|(_, line, value)| (*line, value))
    }

    fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.1.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let content = deserializer.deserialize_any(Reader)?;
        Ok(Self { content })
    }
}

struct Reader;

fn line<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or(1)
}

impl<'de> Visitor<'de> for Reader {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value()?;
            fields.push((key.value.clone(), line(&key), value));
        }
        Ok(Content::Map(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Located>>()? {
            items.push((line(&item), item.value));
        }
        Ok(Content::List(items))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Content, E> {
        Ok(Content::Other)
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Fault;
    use super::*;
    use crate::cli::manifests::Place;

    fn finding(line: usize, kind: &str, name: &str, field: &str) -> Finding {
        Finding {
            place: Place {
                file: "-".into(),
                line,
            },
            kind: kind.into(),
            namespace: "team".into(),
            name: name.into(),
            fault: Fault::error(FieldPath::spelt(field), "x", "x"),
        }
    }

    const TEXT: &str = "\
# people
---
apiVersion: v1
kind: ScimUser
metadata:
  name: ada
spec:
  userName: ada@example.com
  emails:
    - type: work
      value: a
    - {type: home, value: b}
---
kind: List
apiVersion: v1
items:
- kind: ScimUser
  metadata: {name: bob}
  spec:
    userName: b
- kind: ScimUser
  metadata: {name: eve, namespace: team}
  spec:
    userName: e
";

    #[test]
    fn a_field_is_found_or_what_is_around_it() {
        let mut texts = Texts::default();
        texts.keep("-", TEXT.to_owned());
        for (begun, name, field, line) in [
            (3, "ada", "spec.userName", 8),
            (3, "ada", "spec.emails[0].value", 11),
            (3, "ada", "spec.emails[home].value", 12),
            (3, "ada", "spec.emails[1]", 12),
            (3, "ada", "spec.name.familyName", 7),
            (3, "ada", "", 3),
            (3, "ada", "nothing", 3),
            (14, "bob", "spec.userName", 20),
            (14, "eve", "spec.userName", 24),
            (14, "nobody", "spec.userName", 14),
            (99, "ada", "spec", 99),
            (0, "ada", "spec", 0),
        ] {
            let mut found = finding(begun, "ScimUser", name, field);
            texts.locate(&mut found);
            assert_eq!(found.place.line, line, "{name} {field}");
        }
    }

    #[test]
    fn a_file_that_is_gone_leaves_the_documents_line() {
        let mut found = finding(7, "ScimUser", "ada", "spec");
        found.place.file = "/nowhere/at/all.yaml".into();
        Texts::default().locate(&mut found);
        assert_eq!(found.place.line, 7);
    }
}
