//! Compiled code kept between runs, in a directory that only its owner can write.
//!
//! Compiling the guest takes about a second, mapping the result a tenth of a millisecond. But compiled code is
//! run as it is: whoever can write it can run anything in this process. So it is loaded only from a directory
//! and a file that belong to this user and that nobody else can write, through one open handle, and only if its
//! digest is the one written beside it. Everything else is compiled anew.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

use super::error::ArtifactError;

/// How many artifacts are kept: enough for a few versions side by side, few enough to never fill a disk.
const KEPT: usize = 4;

/// Nobody writes an artifact for this long.
const SCRATCH_LIFE: Duration = Duration::from_secs(60 * 60);

/// Where compiled code is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtifactCache {
    /// Nowhere: compile at every start.
    None,
    /// In this directory, which is made if it is missing.
    Directory(PathBuf),
}

impl ArtifactCache {
    /// The user's own cache directory, if there is one.
    #[must_use]
    pub fn of_user() -> Self {
        use etcetera::BaseStrategy;
        etcetera::choose_base_strategy()
            .map_or(Self::None, |places| Self::Directory(places.cache_dir().join("eventmesh").join("wasm")))
    }

    /// The compiled form of `wasm`: from the cache if it is there and can be trusted, else compiled and kept.
    pub(crate) fn load(&self, engine: &Engine, wasm: &[u8]) -> Result<Module, wasmtime::Error> {
        let Self::Directory(directory) = self else {
            return Module::new(engine, wasm);
        };
        let path = directory.join(file_name(engine, wasm));
        match open(directory, &path) {
            Ok(file) => {
                // SAFETY: the file is what `keep` wrote: it and its directory belong to this user, nobody else
                // can write either, and its digest is the one written with it. It was checked and is mapped
                // through the same handle, and it is only ever replaced by renaming another file over it.
                #[expect(unsafe_code, reason = "loading compiled code; see above")]
                let loaded = unsafe { Module::deserialize_open_file(engine, file) };
                match loaded {
                    Ok(module) => return Ok(module),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "compiled guest does not fit and is compiled anew")
                    }
                }
            }
            Err(ArtifactError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "compiled guest is not used and is compiled anew"),
        }
        let module = Module::new(engine, wasm)?;
        match module.serialize() {
            Ok(code) => {
                if let Err(error) = keep(directory, &path, &code) {
                    tracing::warn!(%error, "compiled guest is not kept; the next start compiles again");
                }
            }
            Err(error) => tracing::warn!(%error, "compiled guest is not kept; the next start compiles again"),
        }
        Ok(module)
    }
}

/// One name for one guest under one engine: another version or another CPU has another name.
fn file_name(engine: &Engine, wasm: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("guest-{}-{:016x}.cwasm", &hex(wasm)[..16], hasher.finish())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn digest_path(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// An open handle to a file that can be trusted.
fn open(directory: &Path, path: &Path) -> Result<File, ArtifactError> {
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| ArtifactError::Io { action, path, source }
    };
    let entry = std::fs::symlink_metadata(directory).map_err(io("look at", directory))?;
    trusted(directory, &entry, entry.is_dir())?;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
        .open(path)
        .map_err(io("open", path))?;
    let entry = file.metadata().map_err(io("look at", path))?;
    trusted(path, &entry, entry.is_file())?;
    let mut code = Vec::new();
    file.read_to_end(&mut code).map_err(io("read", path))?;
    let expected = std::fs::read_to_string(digest_path(path)).map_err(io("read the digest of", path))?;
    if expected.trim() != hex(&code) {
        return Err(ArtifactError::Damaged { path: path.to_path_buf() });
    }
    file.rewind().map_err(io("read", path))?;
    Ok(file)
}

fn trusted(path: &Path, entry: &std::fs::Metadata, right_kind: bool) -> Result<(), ArtifactError> {
    let problem = if !right_kind {
        "is not what it should be"
    } else if entry.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if entry.mode() & 0o022 != 0 {
        "can be written by others"
    } else {
        return Ok(());
    };
    Err(ArtifactError::Untrusted { path: path.to_path_buf(), problem })
}

/// Writes an artifact so that it appears whole or not at all.
fn keep(directory: &Path, path: &Path, code: &[u8]) -> Result<(), ArtifactError> {
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| ArtifactError::Io { action, path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io("make", directory))?;
    let entry = std::fs::symlink_metadata(directory).map_err(io("look at", directory))?;
    trusted(directory, &entry, entry.is_dir())?;
    // The digest goes first: without its file it is nothing, and a file without its digest is not loaded.
    replace(&digest_path(path), hex(code).as_bytes()).map_err(io("write the digest of", path))?;
    replace(path, code).map_err(io("write", path))?;
    sweep(directory, path);
    Ok(())
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let scratch = path.with_extension(format!("{}.part", std::process::id()));
    let written = (|| {
        let _ = std::fs::remove_file(&scratch);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&scratch)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&scratch, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&scratch);
    }
    written
}

/// Removes all but the newest artifacts. Best effort: what stays is swept the next time.
fn sweep(directory: &Path, fresh: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    // Scratch files of runs that were killed in the middle of writing.
    for scratch in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "part")) {
        let age = std::fs::metadata(scratch).and_then(|entry| entry.modified()).map(|modified| modified.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > SCRATCH_LIFE)) {
            let _ = std::fs::remove_file(scratch);
        }
    }
    let mut artifacts: Vec<_> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm") && path != fresh)
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    artifacts.sort();
    let surplus = artifacts.len().saturating_sub(KEPT - 1);
    for (_, path) in artifacts.into_iter().take(surplus) {
        let _ = std::fs::remove_file(digest_path(&path));
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TINY: &[u8] = b"\0asm\x01\0\0\0";

    fn paths(root: &Path, engine: &Engine) -> (PathBuf, PathBuf) {
        let directory = root.join("wasm");
        let path = directory.join(file_name(engine, TINY));
        (directory, path)
    }

    fn load(directory: &Path, engine: &Engine) {
        ArtifactCache::Directory(directory.to_path_buf()).load(engine, TINY).expect("it loads or compiles");
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let (root, engine) = (tempfile::tempdir().expect("a directory"), Engine::default());
        let (directory, path) = paths(root.path(), &engine);
        load(&directory, &engine);
        assert!(open(&directory, &path).is_ok());
        assert_eq!(std::fs::metadata(&directory).expect("it is there").mode() & 0o777, 0o700);
        load(&directory, &engine);
        let left: Vec<_> = std::fs::read_dir(&directory).expect("readable").filter_map(Result::ok).collect();
        assert_eq!(left.len(), 2, "an artifact, its digest and no scratch: {left:?}");
    }

    #[test]
    fn what_others_could_have_written_is_not_loaded() {
        let (root, engine) = (tempfile::tempdir().expect("a directory"), Engine::default());
        let (directory, path) = paths(root.path(), &engine);
        load(&directory, &engine);
        let chmod = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
        };
        chmod(&path, 0o666);
        assert!(matches!(open(&directory, &path), Err(ArtifactError::Untrusted { .. })));
        chmod(&path, 0o600);
        chmod(&directory, 0o777);
        assert!(matches!(open(&directory, &path), Err(ArtifactError::Untrusted { .. })));
        chmod(&directory, 0o700);
        assert!(open(&directory, &path).is_ok());
        let elsewhere = root.path().join("elsewhere");
        std::fs::rename(&path, &elsewhere).expect("own file");
        std::os::unix::fs::symlink(&elsewhere, &path).expect("own directory");
        assert!(open(&directory, &path).is_err(), "a link leads out of the directory");
        load(&directory, &engine);
        assert!(open(&directory, &path).is_ok(), "and is replaced");
    }

    #[test]
    fn what_is_damaged_is_not_loaded() {
        let (root, engine) = (tempfile::tempdir().expect("a directory"), Engine::default());
        let (directory, path) = paths(root.path(), &engine);
        load(&directory, &engine);
        let whole = std::fs::read(&path).expect("own file");
        for damaged in [&whole[..whole.len() / 2], &[], &[0xff; 4096]] {
            std::fs::write(&path, damaged).expect("own file");
            assert!(matches!(open(&directory, &path), Err(ArtifactError::Damaged { .. })));
        }
        load(&directory, &engine);
        assert_eq!(std::fs::read(&path).expect("own file").len(), whole.len(), "it was compiled anew and kept");
    }

    #[test]
    fn old_artifacts_do_not_pile_up() {
        let (root, engine) = (tempfile::tempdir().expect("a directory"), Engine::default());
        let (directory, path) = paths(root.path(), &engine);
        DirBuilder::new().mode(0o700).create(&directory).expect("a directory");
        for number in 0..10 {
            keep(&directory, &directory.join(format!("guest-{number}.cwasm")), b"old").expect("kept");
        }
        load(&directory, &engine);
        assert!(path.exists());
        assert_eq!(std::fs::read_dir(&directory).expect("readable").count(), 2 * KEPT);
    }

    #[test]
    fn a_directory_that_cannot_be_made_only_costs_time() {
        let engine = Engine::default();
        load(Path::new("/proc/no-such-place"), &engine);
    }
}
