//! A page as a picture.

#![expect(unsafe_code, reason = "libpdfium's functions are C")]

use std::io::Write;

use crate::document::Document;
use crate::picture::{self, PngError};
use crate::read::OpenPage;

/// How large a picture is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RenderSize {
    /// Pixels to the inch; a PDF's own unit is 72 to the inch.
    pub dpi: f32,
    /// Pixels of the whole picture that are allowed.
    pub most_pixels: u64,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no such page, or it cannot be read.
    #[error("there is no page {page}, or it cannot be read")]
    Page {
        /// From 1.
        page: u32,
    },
    /// It would be too large.
    #[error("page {page} would be {width} by {height} pixels, and {most} are allowed in all; ask for fewer dots per inch")]
    Pixels {
        /// From 1.
        page: u32,
        /// Pixels across.
        width: u64,
        /// Pixels down.
        height: u64,
        /// Those allowed.
        most: u64,
    },
    /// There was not enough memory.
    #[error("there was not enough memory for the picture of page {page}")]
    Memory {
        /// From 1.
        page: u32,
    },
    /// It could not be written.
    #[error("failed to write the picture of page {page}: {why}")]
    Write {
        /// From 1.
        page: u32,
        /// In the writer's words.
        why: String,
    },
}

/// Annotations are drawn, too.
const FPDF_ANNOT: i32 = 1;
const BGRX: i32 = 3;

impl Document<'_> {
    /// Draws the page of this number, from 1, and writes it to `out` as PNG. Returns its width and height in pixels.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub fn render(&self, page: u32, size: RenderSize, out: &mut impl Write) -> Result<(u32, u32), RenderError> {
        let open = page.checked_sub(1).and_then(|index| OpenPage::open(self, index)).ok_or(RenderError::Page { page })?;
        let (width, height) = open.size();
        let scale = f64::from(size.dpi.clamp(1.0, 2400.0)) / 72.0;
        let pixels = |side: f32| (f64::from(side) * scale).round().max(1.0) as u64;
        let (width, height) = (pixels(width), pixels(height));
        let most = size.most_pixels;
        let (Ok(columns), Ok(rows)) = (i32::try_from(width), i32::try_from(height)) else {
            return Err(RenderError::Pixels { page, width, height, most });
        };
        if width * height > most {
            return Err(RenderError::Pixels { page, width, height, most });
        }
        // SAFETY: the page is open and the bitmap checked; it is destroyed once, after its last use.
        unsafe {
            let pdfium = self.pdfium;
            let bitmap = pdfium.FPDFBitmap_CreateEx(columns, rows, BGRX, std::ptr::null_mut(), 0);
            if bitmap.is_null() {
                return Err(RenderError::Memory { page });
            }
            pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, columns, rows, 0xffff_ffff);
            pdfium.FPDF_RenderPageBitmap(bitmap, open.handle, 0, 0, columns, rows, 0, FPDF_ANNOT);
            if let Some(form) = &self.form {
                pdfium.FPDF_FFLDraw(form.handle, bitmap, open.handle, 0, 0, columns, rows, 0, FPDF_ANNOT);
            }
            let written = picture::write(pdfium, bitmap, out);
            pdfium.FPDFBitmap_Destroy(bitmap);
            written.map_err(|error: PngError| RenderError::Write { page, why: error.to_string() })?;
        }
        Ok((columns.unsigned_abs(), rows.unsigned_abs()))
    }
}
