//! The PDFs that figures are taken with, beside this checkout.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;

/// Sets of documents as people make them; the others are made to be hard to read.
const REALISTIC: [&str; 6] = ["gen", "pdfbox", "pdfjs", "pypdf", "sample-files", "tabula"];

/// One document.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entry {
    path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) set: String,
    #[serde(default)]
    pub(crate) truth: Vec<PathBuf>,
    pub(crate) truth_kind: Option<String>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Corpus {
    directory: PathBuf,
    pub(crate) entries: Vec<Entry>,
}

impl Corpus {
    pub(crate) fn open() -> Result<Self, Error> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/pdf");
        let manifest = std::fs::read(directory.join("manifest.json"))
            .map_err(|error| format!("the corpus is not beside this checkout (shared/corpora/pdf): {error}"))?;
        Ok(Self { entries: serde_json::from_slice(&manifest)?, directory })
    }

    pub(crate) fn path(&self, entry: &Entry) -> PathBuf {
        self.directory.join(&entry.path)
    }

    pub(crate) fn truth(&self, entry: &Entry, ending: &str) -> Option<PathBuf> {
        let truth = entry.truth.iter().find(|path| path.to_string_lossy().ends_with(ending))?;
        Some(self.directory.join(truth))
    }

    pub(crate) fn name(entry: &Entry) -> String {
        entry.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Documents as people make them.
    pub(crate) fn realistic(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| REALISTIC.contains(&entry.set.as_str()))
    }

    /// Those whose path ends so.
    pub(crate) fn ending(&self, ending: &str) -> Result<PathBuf, Error> {
        let found = self.entries.iter().find(|entry| entry.path.to_string_lossy().ends_with(ending));
        found.map(|entry| self.path(entry)).ok_or_else(|| format!("the corpus has no {ending}").into())
    }

    /// Those of one set.
    pub(crate) fn set(&self, set: &str) -> Vec<PathBuf> {
        self.entries.iter().filter(|entry| entry.set == set).map(|entry| self.path(entry)).collect()
    }
}
