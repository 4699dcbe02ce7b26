//! Small files that are there whole or not at all, also after a crash, and that nobody else reads. Blocking.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What unfinished files end in. A start removes them.
pub(crate) const UNFINISHED: &str = ".new";

/// Writes a file beside its place, and puts it there when it is on the disk.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{:016x}{UNFINISHED}", fastrand::u64(..)));
    let written = put(Path::new(&beside), path, bytes);
    if written.is_err() {
        // What cannot be removed now is removed by the next start.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn put(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    sync_parent(path)
}

/// Sees to it that the directory's own entries are on the disk.
fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Makes a directory that nobody else looks into, if it is not there.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes what may have been removed before.
pub(crate) fn removed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
