//! libpdfium, loaded from a file that somebody has named.

use std::fmt;
use std::path::{Path, PathBuf};

use pdfium_render::prelude::{Pdfium, PdfiumLibraryBindings, PdfiumLibraryBindingsAccessor, PdfiumLibraryConfig};

/// Why libpdfium is not there.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The file is none, or no libpdfium, or one that lacks functions.
    #[error("failed to load libpdfium from {}: {why}", path.display())]
    Load {
        /// Which.
        path: PathBuf,
        /// The loader's words.
        why: String,
    },
}

/// libpdfium at work. There is one in a process, for as long as that lives; it is used by one thread at a time.
pub struct Library {
    pub(crate) pdfium: &'static dyn PdfiumLibraryBindings,
}

impl Library {
    /// Loads libpdfium from exactly `path`; nothing is searched for. `fonts` are the directories of the fonts that are
    /// used where a document lacks its own; without any, every document looks the same on every machine.
    ///
    /// # Errors
    /// See [`LibraryError`].
    pub fn load(path: &Path, fonts: &[&str]) -> Result<Self, LibraryError> {
        let fail = |error: &dyn fmt::Debug| LibraryError::Load { path: path.to_owned(), why: format!("{error:?}") };
        let bindings = Pdfium::bind_to_library(path).map_err(|error| fail(&error))?;
        // An empty list means the usual places.
        let fonts = if fonts.is_empty() { &["/nonexistent"] } else { fonts };
        let config = PdfiumLibraryConfig::new()
            .set_renderer_anti_grain_geometry()
            .set_user_font_paths(fonts)
            .map_err(|error| fail(&error))?;
        let pdfium = Pdfium::new_with_config(bindings, config);
        let functions: &'static dyn PdfiumLibraryBindings = pdfium.bindings();
        Ok(Self { pdfium: functions })
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Library")
    }
}
