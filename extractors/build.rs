//! Builds the guest for the sandbox and hands it to the crate as `$OUT_DIR/guest.wasm`.
//!
//! One cargo inside another: the guest has a target and a profile of its own, and fat LTO wants a cdylib where
//! the native build wants an rlib. It shares the workspace's lock file, so once that is fetched no network is
//! needed, and it has a target directory of its own, so the two never wait for each other's lock.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The guest's shadow stack. The deepest tree is capped, and 2 MiB hold the deepest walk many times over; pages
/// that are never touched cost nothing.
const STACK_BYTES: u32 = 2 << 20;

fn main() -> Result<(), String> {
    let out = path("OUT_DIR")?;
    let guest = path("CARGO_MANIFEST_DIR")?.join("guest");
    println!("cargo::rerun-if-changed={}", guest.join("src").display());
    println!("cargo::rerun-if-changed={}", guest.join("Cargo.toml").display());
    println!("cargo::rerun-if-changed=../Cargo.lock");
    println!("cargo::rerun-if-changed=build.rs");

    let target = shared_target(&out);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    #[expect(clippy::disallowed_methods, reason = "a build script supervises nobody")]
    let mut build = Command::new(cargo);
    build
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--profile", "guest", "--target", "wasm32-unknown-unknown"])
        .arg("--manifest-path")
        .arg(guest.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "-C", &format!("link-arg=-zstack-size={STACK_BYTES}")]);
    // What was said about the host's build is not said about the guest's.
    for (name, _) in env::vars_os() {
        let foreign = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PROFILE_")
                || name.starts_with("CARGO_FEATURE_")
                || matches!(
                    name,
                    "CARGO_ENCODED_RUSTFLAGS"
                        | "RUSTFLAGS"
                        | "RUSTC_WORKSPACE_WRAPPER"
                        | "CARGO_BUILD_TARGET"
                        | "TARGET"
                        | "OPT_LEVEL"
                        | "DEBUG"
                        | "PROFILE"
                )
        });
        if foreign {
            build.env_remove(name);
        }
    }
    let status = build.status().map_err(|error| format!("failed to run cargo for the guest: {error}"))?;
    if !status.success() {
        return Err("failed to build the guest for wasm32-unknown-unknown; if its standard library is missing, \
                    `./x setup` (or `rustup target add wasm32-unknown-unknown`) installs it"
            .to_owned());
    }
    let built = target.join("wasm32-unknown-unknown/guest/eventmesh_guest.wasm");
    std::fs::copy(&built, out.join("guest.wasm")).map_err(|error| format!("failed to copy {}: {error}", built.display()))?;
    Ok(())
}

fn path(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("{variable} is not set"))
}

/// A directory beside the host's profiles, so that they share one guest; within `OUT_DIR` if that is laid out
/// in a way we do not know.
fn shared_target(out: &Path) -> PathBuf {
    // <target>/<profile>/build/<package>/out
    match out.ancestors().nth(4) {
        Some(target) if out.parent().and_then(Path::parent).is_some_and(|build| build.ends_with("build")) => target.join("guest"),
        Some(_) | None => out.join("guest"),
    }
}
