//! Manifests from files, folders and standard input: every object with where it stands.
//!
//! Whoever writes `kubectl apply -R -f` or pipes what `kustomize build` prints writes the same here. Objects that are not
//! ours are read past, but for namespaces and what else a command asks for by kind.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Failure;

/// The group of what is ours.
pub const GROUP: &str = "scim-operator.io";

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named, or `-` for standard input.
    pub file: String,
    /// The line on which its document begins, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One object, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where it stands.
    pub place: Place,
    /// All of it.
    pub object: Value,
}

/// What could not be read, or be taken for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where.
    pub place: Place,
    /// Why, as a sentence.
    pub why: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The objects, in the order of files and documents.
    pub objects: Vec<Manifest>,
    /// What is no YAML, or no object.
    pub unreadable: Vec<Unreadable>,
    /// Folders with a kustomization, whose files may be patches: what they come to is told by `kustomize build`.
    pub kustomizations: Vec<String>,
}

impl Manifest {
    fn text(&self, pointer: &str) -> &str {
        self.object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Its `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Its name; empty where it has none.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Its namespace, or the one of whatever names none.
    pub fn namespace<'a>(&'a self, usual: &'a str) -> &'a str {
        match self.text("/metadata/namespace") {
            "" => usual,
            namespace => namespace,
        }
    }

    /// Whether it is of our group, whatever its version.
    pub fn is_ours(&self) -> bool {
        self.api_version().split('/').next() == Some(GROUP)
    }
}

/// Reads files, folders (all of their `.yaml`, `.yml` and `.json`, and of those within) and `-`, standard input.
///
/// # Errors
/// When a path does not exist, or cannot be read at all.
pub fn read(paths: &[PathBuf]) -> Result<Manifests, Failure> {
    let mut found = Manifests::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| Failure::of("standard input", e))?;
            found.take("-", &text);
        } else if path.is_dir() {
            for file in files(path)? {
                // A link may lead to what never ends; what is named by itself may be a pipe.
                if file.is_file() {
                    found.take_file(&file)?;
                } else {
                    let place = Place {
                        file: file.display().to_string(),
                        line: 1,
                    };
                    let why = "it is no regular file".into();
                    found.unreadable.push(Unreadable { place, why });
                }
            }
        } else {
            found.take_file(path)?;
        }
    }
    Ok(found)
}

/// The files of a folder that can hold manifests, in the order of their names.
fn files(folder: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
    let failed = |e| Failure::of(folder.display().to_string(), e);
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        // A folder that is a link may lead back to where it stands, and is read where it is.
        if path.is_dir() && path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if [".yaml", ".yml", ".json"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            found.insert(path);
        }
    }
    Ok(found)
}

impl Manifests {
    fn take_file(&mut self, path: &Path) -> Result<(), Failure> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Failure::of(name.clone(), e))?;
        match String::from_utf8(bytes) {
            Ok(text) => self.take(&name, &text),
            Err(_) => self.unreadable.push(Unreadable {
                place: Place {
                    file: name,
                    line: 1,
                },
                why: "it is not UTF-8".into(),
            }),
        }
        Ok(())
    }

    /// Takes in the documents of a text.
    pub fn take(&mut self, file: &str, text: &str) {
        for (line, document) in documents(text) {
            let place = Place {
                file: file.to_owned(),
                line,
            };
            match serde_saphyr::from_str::<Value>(&document) {
                Ok(Value::Null) => {}
                Ok(value) => self.take_object(place, value),
                Err(error) => self.unreadable.push(Unreadable {
                    place,
                    // Its text shows lines of the file, which hold people's data.
                    why: yaml_fault(&error, line),
                }),
            }
        }
    }

    fn take_object(&mut self, place: Place, mut value: Value) {
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        let group = value["apiVersion"].as_str().unwrap_or_default();
        if group.starts_with("kustomize.config.k8s.io/") {
            let folder = Path::new(&place.file).parent().unwrap_or(Path::new("."));
            self.kustomizations.push(folder.display().to_string());
            return;
        }
        if kind.ends_with("List") && value["items"].is_array() {
            let items = value["items"]
                .as_array_mut()
                .map(std::mem::take)
                .unwrap_or_default();
            for item in items {
                self.take_object(place.clone(), item);
            }
            return;
        }
        if kind.is_empty() || group.is_empty() {
            self.unreadable.push(Unreadable {
                place,
                why: "it is no object of Kubernetes: apiVersion or kind is missing".into(),
            });
            return;
        }
        self.objects.push(Manifest {
            place,
            object: value,
        });
    }
}

/// The documents of a YAML text, each with the line on which it begins. Between them stands a line that begins with
/// three dashes (YAML 1.2 §9.1.2), which no text within an object of Kubernetes can have at its very beginning.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut begun, mut lines) = (1, Vec::new());
    for (number, line) in text.lines().enumerate() {
        let is_mark = line == "---" || line.starts_with("--- ") || line.starts_with("---\t");
        if is_mark {
            found.push((begun, lines.join("\n")));
            (begun, lines) = (number + 2, Vec::new());
        } else {
            lines.push(line);
        }
    }
    found.push((begun, lines.join("\n")));
    found.retain(|(_, text)| {
        text.lines().any(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#') && line != "..."
        })
    });
    found
}

/// What is wrong with a YAML, and on which line, and nothing of what stands there.
fn yaml_fault(error: &serde_saphyr::Error, begun: usize) -> String {
    match error.location() {
        Some(at) => format!(
            "it is no YAML, from line {}",
            begun - 1 + at.line() as usize
        ),
        None => "it is no YAML".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Manifests {
        let mut found = Manifests::default();
        found.take("a.yaml", text);
        found
    }

    #[test]
    fn each_document_says_where_it_begins() {
        let text = "# first\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\n# nothing\n--- \napiVersion: v1\nkind: B\n...\n";
        let found = taken(text);
        let all: Vec<_> = found
            .objects
            .iter()
            .map(|m| (m.kind(), m.place.line))
            .collect();
        assert_eq!(all, [("A", 3), ("B", 10)]);
        assert!(found.unreadable.is_empty(), "{found:?}");
    }

    #[test]
    fn a_list_is_its_items() {
        let found = taken(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: scim-operator.io/v1alpha1, kind: ScimUser, metadata: {name: ada}}\n- {apiVersion: v1, kind: Secret}\n",
        );
        let all: Vec<_> = found
            .objects
            .iter()
            .map(|m| (m.kind(), m.is_ours()))
            .collect();
        assert_eq!(all, [("ScimUser", true), ("Secret", false)]);
    }

    #[test]
    fn what_is_no_object_is_told_without_what_stands_there() {
        let found = taken(
            "a: [ada@example.com\n---\njust: ada@example.com\n---\napiVersion: v1\nkind: A\n",
        );
        assert_eq!(found.objects.len(), 1);
        assert_eq!(found.unreadable.len(), 2);
        let told = format!("{:?}", found.unreadable);
        assert!(!told.contains("ada@"), "{told}");
        assert!(found.unreadable[0].why.contains("is no YAML"), "{told}");
        assert!(found.unreadable[1].why.contains("apiVersion"), "{told}");
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_and_to_what_never_ends_are_not_followed() {
        let folder = scim_operator_harness::scratch::Scratch::create().unwrap();
        let text = "apiVersion: v1\nkind: A\n";
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        for link in ["one", "two"] {
            std::os::unix::fs::symlink(".", folder.path().join(link)).unwrap();
        }
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("endless.yaml")).unwrap();
        let found = read(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found.objects.len(), 1);
        let why = "it is no regular file";
        assert!(
            found
                .unreadable
                .iter()
                .any(|one| one.why == why && one.place.file.ends_with("endless.yaml"))
        );
    }

    #[test]
    fn a_kustomization_is_noted_and_is_no_object_to_be_judged() {
        let found = taken("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n");
        assert!(found.objects.is_empty());
        assert_eq!(found.kustomizations.len(), 1);
    }
}
