//! The tools that read PDFs elsewhere, each as a process per document, as they are used.

#![expect(clippy::disallowed_methods, reason = "a bench runs programs, and waits for each")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Error;
use crate::machine::children_cpu;

const PYPDFIUM2: &str = "pypdfium2==5.15.2";

/// A tool that prints the text of a PDF.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    program: PathBuf,
    before: Vec<String>,
    after: Vec<String>,
}

impl Peer {
    pub(crate) fn pdftotext() -> Result<Self, Error> {
        Self::installed("pdftotext", "poppler-utils", &[], &["-"])
    }

    pub(crate) fn mutool() -> Result<Self, Error> {
        Self::installed("mutool", "mupdf-tools", &["draw", "-q", "-F", "txt"], &[])
    }

    /// The same library as ours from Python, in an environment of its own.
    pub(crate) fn pypdfium2() -> Result<Self, Error> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let home = project.join("target/peers/pypdfium2");
        let program = home.join("bin/python");
        if !program.exists() {
            let made = Command::new("python3").args(["-m", "venv"]).arg(&home).status()?;
            let installed = Command::new(&program).args(["-m", "pip", "install", "--quiet", PYPDFIUM2]).status()?;
            if !made.success() || !installed.success() {
                // Half a place would be taken for a whole one the next time.
                std::fs::remove_dir_all(&home)?;
                return Err(format!("{PYPDFIUM2} could not be installed").into());
            }
        }
        let script = project.join("benches/peers/pypdfium2_text.py").to_string_lossy().into_owned();
        Ok(Self { program, before: vec![script], after: Vec::new() })
    }

    /// The same, which reads nothing of the pages that it opens: nobody who reads text with that library can cost less.
    pub(crate) fn libpdfium_alone() -> Result<Self, Error> {
        Ok(Self { after: vec!["--unread".to_owned()], ..Self::pypdfium2()? })
    }

    fn installed(name: &str, package: &str, before: &[&str], after: &[&str]) -> Result<Self, Error> {
        Command::new(name)
            .arg("-v")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("{name} is not there ({error}); on Debian: apt-get install {package}"))?;
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Ok(Self { program: name.into(), before: owned(before), after: owned(after) })
    }

    fn command(&self, document: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.before).arg(document).args(&self.after).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The text of a document.
    pub(crate) fn text(&self, document: &Path) -> Result<String, Error> {
        let output = self.command(document).stdout(Stdio::piped()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Reads a document and throws the text away; a document that it cannot read costs what it costs.
    pub(crate) fn read(&self, document: &Path) -> Result<(), Error> {
        self.command(document).stdout(Stdio::null()).status()?;
        Ok(())
    }

    /// CPU time of reading a document, user and system, start-up included.
    pub(crate) fn cpu(&self, document: &Path) -> Result<Duration, Error> {
        let before = children_cpu();
        self.read(document)?;
        Ok(children_cpu() - before)
    }
}
