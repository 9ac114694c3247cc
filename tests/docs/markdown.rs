//! The pages of the documentation, as a reader of Markdown sees them: headings, links, fenced blocks.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// One page, by its path from the repository's root.
pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

/// A fenced block of code.
#[derive(Clone, Debug)]
pub struct Fence {
    /// What is behind the opening fence, such as `yaml,foreign`.
    pub info: String,
    pub text: String,
    /// The line that it begins at.
    pub line: usize,
}

/// Every page of the book, and what else is read: README, changes, and those of the chart.
pub fn pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    for folder in ["docs", "charts"] {
        collect(Path::new(folder), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| Page {
        text: std::fs::read_to_string(&path).unwrap(),
        path,
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension() == Some("md".as_ref()) {
            found.push(path);
        }
    }
}

impl Page {
    pub fn read(path: &str) -> Self {
        Self {
            path: path.into(),
            text: std::fs::read_to_string(path).unwrap(),
        }
    }

    fn events(&self) -> impl Iterator<Item = (Event<'_>, std::ops::Range<usize>)> {
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        Parser::new_ext(&self.text, options).into_offset_iter()
    }

    /// Level and text of each heading, in order.
    pub fn headings(&self) -> Vec<(u8, String)> {
        let mut found = Vec::new();
        let mut open: Option<(HeadingLevel, String)> = None;
        for (event, _) in self.events() {
            match (event, &mut open) {
                (Event::Start(Tag::Heading { level, .. }), _) => {
                    open = Some((level, String::new()))
                }
                (Event::Text(text) | Event::Code(text), Some((_, heading))) => {
                    heading.push_str(&text);
                }
                (Event::End(TagEnd::Heading(_)), _) => {
                    found.extend(open.take().map(|(level, text)| (level as u8, text)));
                }
                _ => {}
            }
        }
        found
    }

    /// The anchors of the headings, as mdBook and GitHub both make them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut times: HashMap<String, usize> = HashMap::new();
        let mut anchor = |(_, text): (u8, String)| {
            let plain = slug(&text);
            let before = times.entry(plain.clone()).or_default();
            *before += 1;
            match *before {
                1 => plain,
                n => format!("{plain}-{}", n - 1),
            }
        };
        self.headings().into_iter().map(&mut anchor).collect()
    }

    /// Where each link and image leads.
    pub fn links(&self) -> Vec<String> {
        let target = |(event, _): (Event<'_>, _)| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.to_string())
            }
            _ => None,
        };
        self.events().filter_map(target).collect()
    }

    /// The fenced blocks, in order.
    pub fn fences(&self) -> Vec<Fence> {
        let mut found = Vec::new();
        let mut open: Option<Fence> = None;
        for (event, range) in self.events() {
            match (event, &mut open) {
                (Event::Start(Tag::CodeBlock(kind)), _) => {
                    open = Some(Fence {
                        info: match kind {
                            CodeBlockKind::Fenced(info) => info.to_string(),
                            CodeBlockKind::Indented => "indented".to_owned(),
                        },
                        text: String::new(),
                        line: self.text[..range.start].lines().count() + 1,
                    });
                }
                (Event::Text(text), Some(fence)) => fence.text.push_str(&text),
                (Event::End(TagEnd::CodeBlock), _) => found.extend(open.take()),
                _ => {}
            }
        }
        found
    }
}

fn slug(heading: &str) -> String {
    let kept = |c: char| match c {
        c if c.is_whitespace() => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.trim().chars().filter_map(kept).collect()
}
