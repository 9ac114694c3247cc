//! Where manifests go: a folder of one file each, one file, or standard output. A file that is there already stays,
//! unless asked otherwise; and of a folder everything is written, or nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::yaml;
use crate::cli::Failure;
use crate::cli::validate::metadata::is_subdomain;

/// One manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `users` or `groups`.
    pub folder: &'static str,
    /// The name of the resource, and of the file.
    pub name: String,
    /// The YAML.
    pub text: String,
}

impl File {
    fn path(&self) -> String {
        format!("{}/{}.yaml", self.folder, self.name)
    }
}

/// Writes a folder: `users/NAME.yaml`, `groups/NAME.yaml`, and a `kustomization.yaml` that lists them.
///
/// Everything is written to names of its own first, and moved to where it belongs when nothing is left to go wrong but
/// the moving. A folder that is not there yet is moved whole.
///
/// # Errors
/// When a file is there already and `force` is not set, or when the file system refuses.
pub fn folder(into: &Path, files: &[File], force: bool) -> Result<(), Failure> {
    if let Some(file) = files.iter().find(|file| !is_subdomain(&file.name)) {
        // Names are made to be so; one that is not would be written elsewhere.
        return Err(Failure::new(format!(
            "{:?} is no name of a resource, and of no file",
            file.name
        )));
    }
    let mut all: Vec<(String, String)> = files
        .iter()
        .map(|file| (file.path(), file.text.clone()))
        .collect();
    let listed: Vec<String> = all.iter().map(|(path, _)| path.clone()).collect();
    all.push(("kustomization.yaml".into(), yaml::kustomization(&listed)?));
    if !force {
        let there: Vec<&String> = all
            .iter()
            .map(|(path, _)| path)
            .filter(|path| into.join(path).symlink_metadata().is_ok())
            .collect();
        if let Some(first) = there.first() {
            return Err(Failure::new(format!(
                "{} of {} files are there already, such as {}; nothing was written, --force overwrites them",
                there.len(),
                all.len(),
                into.join(first).display()
            )));
        }
    }
    let failed = |e| Failure::of(into.display().to_string(), e);
    let is_new = !into.exists();
    let stage = Stage::new(into, is_new).map_err(failed)?;
    for (path, text) in &all {
        stage.write(path, text).map_err(failed)?;
    }
    if is_new {
        return fs::rename(&stage.0, into).map_err(failed);
    }
    for (moved, (path, _)) in all.iter().enumerate() {
        let target = into.join(path);
        let made = target.parent().map_or(Ok(()), fs::create_dir_all);
        if let Err(error) = made.and_then(|()| fs::rename(stage.0.join(path), &target)) {
            let told = format!(
                "{}, after {moved} of {} files were written",
                target.display(),
                all.len()
            );
            return Err(Failure::of(told, error));
        }
    }
    Ok(())
}

/// Writes all of them into one file, or to standard output where that is `-`.
///
/// # Errors
/// When the file is there already and `force` is not set, or when it cannot be written.
pub fn one(into: &Path, files: &[File], force: bool) -> Result<(), Failure> {
    let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
    let text = texts.join("---\n");
    if into.as_os_str() == "-" {
        let mut out = std::io::stdout().lock();
        return out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|e| Failure::of("standard output", e));
    }
    single(into, &text, force)
}

/// Writes one file whole, or not at all.
///
/// # Errors
/// As [`one`].
pub fn single(into: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let told = into.display().to_string();
    if !force && into.symlink_metadata().is_ok() {
        return Err(Failure::new(format!(
            "{told} is there already; --force overwrites it"
        )));
    }
    let beside = beside(into);
    let done = fs::write(&beside, text).and_then(|()| fs::rename(&beside, into));
    done.map_err(|e| {
        // What is half written is of no use to anybody.
        let _ = fs::remove_file(&beside);
        Failure::of(told, e)
    })
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

/// A folder for what is not where it belongs yet; gone when dropped, with what is still in it.
struct Stage(PathBuf);

impl Stage {
    /// On the file system of its target, so that moving is one step.
    fn new(target: &Path, beside_it: bool) -> std::io::Result<Self> {
        let path = match beside_it {
            true => beside(target),
            false => beside(&target.join("import")),
        };
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn write(&self, path: &str, text: &str) -> std::io::Result<()> {
        let path = self.0.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It was moved away, or holds what came to nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use scim_operator_harness::scratch::Scratch;

    use super::*;

    fn file(folder: &'static str, name: &str, text: &str) -> File {
        File {
            folder,
            name: name.into(),
            text: format!("{text}\n"),
        }
    }

    /// Every file below a folder, hidden ones too, with what is in it.
    fn all(folder: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder).unwrap();
                    let text = fs::read_to_string(&path).unwrap();
                    found.push((name.display().to_string(), text));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_folder_has_a_file_each_and_a_kustomization_of_them() {
        let scratch = Scratch::create().unwrap();
        let home = scratch.join("home");
        fs::create_dir(&home).unwrap();
        let into = home.join("deep/er");
        let files = [file("users", "ada", "a"), file("groups", "staff", "b")];
        folder(&into, &files, false).unwrap();
        let found = all(&home);
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "deep/er/groups/staff.yaml",
                "deep/er/kustomization.yaml",
                "deep/er/users/ada.yaml"
            ]
        );
        assert!(
            found[1]
                .1
                .ends_with("resources:\n- users/ada.yaml\n- groups/staff.yaml\n")
        );
    }

    #[test]
    fn nothing_is_written_where_one_file_is_there_already_unless_forced() {
        let scratch = Scratch::create().unwrap();
        let home = scratch.join("home");
        fs::create_dir(&home).unwrap();
        let into = home.join("people");
        fs::create_dir_all(into.join("users")).unwrap();
        fs::write(into.join("users/bea.yaml"), "mine\n").unwrap();
        fs::write(into.join("README.md"), "mine\n").unwrap();
        let before = all(&into);
        let files = [file("users", "ada", "a"), file("users", "bea", "b")];
        let told = folder(&into, &files, false).unwrap_err().to_string();
        assert!(
            told.contains("1 of 3") && told.contains("bea.yaml"),
            "{told}"
        );
        assert_eq!(all(&into), before);

        folder(&into, &files, true).unwrap();
        let names: Vec<_> = all(&into).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "README.md",
                "kustomization.yaml",
                "users/ada.yaml",
                "users/bea.yaml"
            ]
        );
        assert_eq!(
            fs::read_to_string(into.join("users/bea.yaml")).unwrap(),
            "b\n"
        );
    }

    #[test]
    fn what_cannot_be_written_whole_leaves_nothing_behind() {
        let scratch = Scratch::create().unwrap();
        let home = scratch.join("home");
        fs::create_dir(&home).unwrap();
        let into = home.join("people");
        // A name that no file system takes.
        let files = [
            file("users", "ada", "a"),
            file("users", &"x".repeat(300), "b"),
        ];
        assert!(folder(&into, &files, false).is_err());
        assert_eq!(all(&home), []);
    }

    #[test]
    fn one_file_has_all_documents_and_is_not_overwritten() {
        let scratch = Scratch::create().unwrap();
        let home = scratch.join("home");
        fs::create_dir(&home).unwrap();
        let into = home.join("all.yaml");
        let files = [
            file("users", "ada", "a: 1"),
            file("groups", "staff", "b: 2"),
        ];
        one(&into, &files, false).unwrap();
        assert_eq!(fs::read_to_string(&into).unwrap(), "a: 1\n---\nb: 2\n");
        assert!(one(&into, &files[..1], false).is_err());
        assert_eq!(fs::read_to_string(&into).unwrap(), "a: 1\n---\nb: 2\n");
        one(&into, &files[..1], true).unwrap();
        assert_eq!(all(&home), [("all.yaml".into(), "a: 1\n".into())]);
    }
}
