//! Which Chromium is started.

use std::fmt;
use std::path::{Path, PathBuf};

/// The variable that names Chromium.
pub const CHROMIUM_VARIABLE: &str = "EVENTMESH_CHROMIUM";

/// Where distributions put it: the shell that has no window first, which takes a quarter of the memory.
const PLACES: &[&str] = &[
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/lib/chromium-browser/headless_shell",
    "/opt/chromium/chrome-headless-shell",
    "/usr/lib/chromium/chromium",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
];

/// Chromium, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chromium {
    /// The program itself.
    pub path: PathBuf,
    /// How it was found.
    pub found: Found,
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A setting named it.
    Setting,
    /// The environment named it.
    Environment,
    /// It lay where it usually does.
    Place,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setting => "by setting",
            Self::Environment => "by EVENTMESH_CHROMIUM",
            Self::Place => "in its usual place",
        })
    }
}

/// Why there is no Chromium.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChromiumMissing {
    /// It is in none of the usual places.
    #[error(
        "Chromium is not installed: './x setup' installs it, or on Debian 'apt-get install chromium-headless-shell'; \
         EVENTMESH_CHROMIUM names another one"
    )]
    Nowhere,
    /// It was named, and cannot be used.
    #[error("Chromium is named as {}, {why}", path.display())]
    Unfit {
        /// What was named.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Chromium {
    /// Finds it: what `setting` names, else what the environment names, else in the usual places. Nothing is searched along
    /// `PATH`: what is found there is a script that starts another process, which nobody could end.
    ///
    /// # Errors
    /// See [`ChromiumMissing`].
    pub fn find(setting: Option<&Path>) -> Result<Self, ChromiumMissing> {
        let variable = std::env::var_os(CHROMIUM_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self::among(setting, variable.as_deref(), PLACES)
    }

    fn among(setting: Option<&Path>, variable: Option<&Path>, places: &[&str]) -> Result<Self, ChromiumMissing> {
        let named = setting.map(|path| (path, Found::Setting)).or_else(|| variable.map(|path| (path, Found::Environment)));
        if let Some((path, found)) = named {
            let unfit = |why: &str| ChromiumMissing::Unfit { path: path.to_owned(), why: why.to_owned() };
            return match fitness(path) {
                Fitness::Program => Ok(Self { path: path.to_owned(), found }),
                Fitness::Nothing => Err(unfit("and is not there")),
                Fitness::Script => {
                    Err(unfit("which is a script that starts it; name the program itself, which ends when it is told to"))
                }
                Fitness::Other => Err(unfit("and is no program")),
            };
        }
        let found = places.iter().map(Path::new).find(|path| matches!(fitness(path), Fitness::Program));
        found.map(|path| Self { path: path.to_owned(), found: Found::Place }).ok_or(ChromiumMissing::Nowhere)
    }

    /// Whether it is the shell that has no window.
    #[must_use]
    pub fn is_shell(&self) -> bool {
        self.path.file_name().is_some_and(|name| name.to_string_lossy().contains("headless"))
    }
}

enum Fitness {
    Program,
    Script,
    Nothing,
    Other,
}

fn fitness(path: &Path) -> Fitness {
    use std::io::Read;
    let mut head = [0; 4];
    match std::fs::File::open(path).map(|mut file| file.read(&mut head)) {
        Err(_) => Fitness::Nothing,
        Ok(_) if head == *b"\x7fELF" => Fitness::Program,
        Ok(_) if head.starts_with(b"#!") => Fitness::Script,
        Ok(_) => Fitness::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_before_the_environment_and_that_before_places() {
        let directory = tempfile::tempdir().expect("a directory");
        let make = |name: &str, head: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, head).expect("it can be written");
            path
        };
        let (program, other) = (make("headless-shell", b"\x7fELF..."), make("chrome", b"\x7fELF..."));
        let (script, text) = (make("script", b"#!/bin/sh\n"), make("text", b"hello"));
        let places = [directory.path().join("missing"), other.clone()].map(|path| path.to_string_lossy().into_owned());
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let find = |setting: Option<&Path>, variable: Option<&Path>| Chromium::among(setting, variable, &places);
        assert_eq!(find(Some(&program), Some(&other)), Ok(Chromium { path: program.clone(), found: Found::Setting }));
        assert_eq!(find(None, Some(&program)), Ok(Chromium { path: program.clone(), found: Found::Environment }));
        assert_eq!(find(None, None), Ok(Chromium { path: other.clone(), found: Found::Place }));
        assert_eq!(Chromium::among(None, None, &[]), Err(ChromiumMissing::Nowhere));
        for (unfit, why) in [(script, "script"), (text, "no program"), (directory.path().join("x"), "not there")] {
            let error = find(Some(&unfit), None).expect_err("it is unfit").to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(Chromium { path: program, found: Found::Place }.is_shell());
    }
}
