//! Tells the harness which revision it was built from, for its reports.

#![expect(clippy::disallowed_methods, reason = "a build script asks git and answers cargo")]

use std::process::Command;

fn main() {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let revision = output.ok().filter(|output| output.status.success());
    let revision = revision.and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo::rustc-env=EVENTMESH_REVISION={}", revision.as_deref().map_or("unknown", str::trim));
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/refs/heads");
}
