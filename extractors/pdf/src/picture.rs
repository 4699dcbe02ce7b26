//! Pictures as PNG files, row by row, so that no second copy of a page is held.

#![expect(unsafe_code, reason = "libpdfium's functions are C")]

use std::io::Write;

use pdfium_render::prelude::{FPDF_BITMAP, PdfiumLibraryBindings};

/// Why there is no PNG.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PngError {
    #[error("the picture has no pixels")]
    Empty,
    #[error("failed to write the PNG")]
    Write(#[from] png::EncodingError),
    #[error("failed to write the PNG")]
    Io(#[from] std::io::Error),
}

const GRAY: i32 = 1;
const BGR: i32 = 2;
const BGRX: i32 = 3;
const BGRA: i32 = 4;

/// Writes `bitmap` to `out`.
///
/// # Safety
/// `bitmap` is alive.
pub(crate) unsafe fn write(
    pdfium: &dyn PdfiumLibraryBindings,
    bitmap: FPDF_BITMAP,
    out: &mut impl Write,
) -> Result<(), PngError> {
    // SAFETY: by the contract above.
    let (width, height, stride, format, buffer) = unsafe {
        (
            pdfium.FPDFBitmap_GetWidth(bitmap),
            pdfium.FPDFBitmap_GetHeight(bitmap),
            pdfium.FPDFBitmap_GetStride(bitmap),
            pdfium.FPDFBitmap_GetFormat(bitmap),
            pdfium.FPDFBitmap_GetBuffer(bitmap),
        )
    };
    let (columns, rows) = (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0));
    let (color, each) = match format {
        GRAY => (png::ColorType::Grayscale, 1),
        BGR => (png::ColorType::Rgb, 3),
        BGRX => (png::ColorType::Rgb, 4),
        BGRA => (png::ColorType::Rgba, 4),
        _ => return Err(PngError::Empty),
    };
    let stride = usize::try_from(stride).unwrap_or(0);
    if buffer.is_null() || columns == 0 || rows == 0 || stride < columns as usize * each {
        return Err(PngError::Empty);
    }
    let mut encoder = png::Encoder::new(out, columns, rows);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    let mut row = Vec::new();
    for index in 0..rows as usize {
        // SAFETY: the buffer has that many rows, each at least as wide as was checked.
        let pixels = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>().add(index * stride), columns as usize * each) };
        row.clear();
        match format {
            GRAY => row.extend_from_slice(pixels),
            BGRA => row.extend(pixels.as_chunks::<4>().0.iter().flat_map(|[b, g, r, a]| [*r, *g, *b, *a])),
            BGRX => row.extend(pixels.as_chunks::<4>().0.iter().flat_map(|[b, g, r, _]| [*r, *g, *b])),
            _ => row.extend(pixels.as_chunks::<3>().0.iter().flat_map(|[b, g, r]| [*r, *g, *b])),
        }
        stream.write_all(&row)?;
    }
    stream.finish()?;
    writer.finish()?;
    Ok(())
}
