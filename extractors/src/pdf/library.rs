//! Where libpdfium is: in one of a few places that somebody has chosen, never wherever the loader would look.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

/// The build of libpdfium that this was made for and measured with.
pub const PINNED: Pinned = Pinned {
    version: "159.0.8149",
    sha256: "c76dc0f7839644bfa7c3e3107a6068df714e339c861bb7d4519907b821d427f9",
    target: "x86_64-linux-gnu",
};

/// A build of libpdfium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Its version.
    pub version: &'static str,
    /// SHA-256 of the shared library, in hexadecimal.
    pub sha256: &'static str,
    /// What it was built for.
    pub target: &'static str,
}

/// Names the library, before all places.
const VARIABLE: &str = "EVENTMESH_PDFIUM";
const FILE: &str = "libpdfium.so";
/// Where a system's administrator puts it.
const SYSTEM: [&str; 2] = ["/usr/local/lib/eventmesh", "/usr/lib/eventmesh"];

/// Where libpdfium was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdfLibrary {
    /// The file, by its absolute path.
    pub path: PathBuf,
    /// Who said so: `setting`, `environment`, `beside the program`, `data directory` or `system`.
    pub found: &'static str,
}

/// libpdfium is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("libpdfium is not installed: {}", Places(places))]
pub struct LibraryMissing {
    /// Where it was looked for.
    pub places: Vec<PathBuf>,
}

struct Places<'p>(&'p [PathBuf]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no file at ")?;
        for (index, place) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, place.display())?;
        }
        write!(f, ". `./x setup` puts it into place; or set {VARIABLE} to the path of a {FILE} {}", PINNED.version)
    }
}

impl PdfLibrary {
    /// Finds it: `setting`, if there is one, or what the environment names, and nothing else then; else beside this program,
    /// in the user's data directory, in the system's.
    ///
    /// # Errors
    /// [`LibraryMissing`] names every place.
    pub fn find(setting: Option<&Path>) -> Result<Self, LibraryMissing> {
        if let Some(path) = setting {
            return Self::at(path.to_owned(), "setting").map_err(|place| LibraryMissing { places: vec![place] });
        }
        if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            return Self::at(path.into(), "environment").map_err(|place| LibraryMissing { places: vec![place] });
        }
        let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(FILE)));
        let data = data_directory().map(|directory| directory.join(FILE));
        let system = SYSTEM.iter().map(|directory| (Path::new(directory).join(FILE), "system"));
        let mut places = Vec::new();
        let candidates = [(beside, "beside the program"), (data, "data directory")];
        for (path, found) in candidates.into_iter().filter_map(|(path, found)| Some((path?, found))).chain(system) {
            match Self::at(path, found) {
                Ok(library) => return Ok(library),
                Err(place) => places.push(place),
            }
        }
        Err(LibraryMissing { places })
    }

    fn at(path: PathBuf, found: &'static str) -> Result<Self, PathBuf> {
        let path = std::path::absolute(&path).unwrap_or(path);
        if path.is_file() { Ok(Self { path, found }) } else { Err(path) }
    }

    /// SHA-256 of the file, in hexadecimal.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sha256(&self) -> io::Result<String> {
        let mut file = std::fs::File::open(&self.path)?;
        let mut hasher = Sha256::new();
        let mut block = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                break;
            }
            hasher.update(&block[..read]);
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Where set-up puts the pinned build.
fn data_directory() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.data_dir().join("eventmesh").join("pdfium").join(PINNED.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_the_only_place_and_a_missing_file_says_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("some.so");
        let missing = PdfLibrary::find(Some(&path)).expect_err("it is not there");
        assert_eq!(missing.places, std::slice::from_ref(&path));
        assert!(missing.to_string().contains("./x setup"), "{missing}");
        std::fs::write(&path, "x").expect("it is written");
        let library = PdfLibrary::find(Some(&path)).expect("it is there");
        assert_eq!((library.path.as_path(), library.found), (path.as_path(), "setting"));
        let hash = library.sha256().expect("it is read");
        assert_eq!(hash, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
    }
}
