//! Where the processes of an engine have their scratch directories.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use eventmesh_actors::ControlGroups;
use eventmesh_actors::process::ProcessHost;

/// A host for processes, below `directory` or where the user's are. What dead engines have left there is swept.
/// With `groups`, each process has a control group.
pub(crate) fn open(directory: Option<&Path>, groups: Option<ControlGroups>) -> Result<ProcessHost, String> {
    let directory = match directory {
        Some(directory) => directory.to_owned(),
        None => of_user()?,
    };
    ProcessHost::open_in(&directory, groups).map_err(|error| error.to_string())
}

/// Where scratch directories are, if nobody says. Nobody else may have made it, or write to it: in a temporary directory
/// that all share, somebody could.
fn of_user() -> Result<PathBuf, String> {
    let user = rustix::process::getuid();
    // Browsers of root run as nobody in particular, and have to come through; they need not see what else is there.
    let mode = if user.is_root() { 0o711 } else { 0o700 };
    let user = user.as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| mode == 0o700).map(PathBuf::from);
    let directory = match runtime.filter(|directory| directory.is_absolute() && directory.is_dir()) {
        Some(directory) => directory.join("eventmesh"),
        None => std::env::temp_dir().join(format!("eventmesh-{user}")),
    };
    let why = |error: std::io::Error| format!("{}: {error}", directory.display());
    match std::fs::DirBuilder::new().mode(mode).create(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(why(error)),
        Ok(()) | Err(_) => {}
    }
    let found = std::fs::symlink_metadata(&directory).map_err(why)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        return Err(format!("{} belongs to somebody else, or others may write to it; set scratch", directory.display()));
    }
    if found.mode() & 0o777 != mode {
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(mode)).map_err(why)?;
    }
    Ok(directory)
}
