//! PDFs made by hand, where one has to be exactly so.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// A PDF with one page for each content stream, drawn in Helvetica as `/F1`.
pub(crate) fn pdf(pages: &[&[u8]]) -> Vec<u8> {
    let mut pdf = Writer::new();
    let kids: Vec<String> = (0..pages.len()).map(|index| format!("{} 0 R", 4 + 2 * index)).collect();
    pdf.object(1, b"<< /Type /Catalog /Pages 2 0 R >>");
    pdf.object(2, format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()).as_bytes());
    pdf.object(3, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    for (index, content) in pages.iter().enumerate() {
        let (page, stream) = (4 + 2 * index, 5 + 2 * index);
        let dictionary = format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Resources << /Font << /F1 3 0 R >> >> /Contents {stream} 0 R >>"
        );
        pdf.object(page, dictionary.as_bytes());
        pdf.stream(stream, "", content);
    }
    pdf.finish()
}

/// A PDF of that many pages, each saying its number.
pub(crate) fn numbered(pages: usize) -> Vec<u8> {
    let contents: Vec<Vec<u8>> = (1..=pages)
        .map(|page| format!("BT /F1 12 Tf 40 200 Td (This is page {page} of the story.) Tj ET").into_bytes())
        .collect();
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    pdf(&contents)
}

/// A PDF whose only page is some kilobytes that become `bytes` of text operators.
pub(crate) fn inflating(bytes: usize) -> io::Result<Vec<u8>> {
    let operators = b"BT /F1 9 Tf 9 9 Td (A) Tj ET ".repeat(bytes / 29);
    let mut once = ZlibEncoder::new(Vec::new(), Compression::best());
    once.write_all(&operators)?;
    let packed = once.finish()?;
    let mut pdf = Writer::new();
    pdf.object(1, b"<< /Type /Catalog /Pages 2 0 R >>");
    pdf.object(2, b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>");
    pdf.object(3, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    pdf.object(
        4,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Resources << /Font << /F1 3 0 R >> >> /Contents 5 0 R >>",
    );
    pdf.stream(5, "/Filter /FlateDecode", &packed);
    Ok(pdf.finish())
}

/// A PDF whose only page draws a form that draws the next one twice, `deep` times: two to that power in all.
pub(crate) fn doubling(deep: usize) -> Vec<u8> {
    let mut pdf = Writer::new();
    pdf.object(1, b"<< /Type /Catalog /Pages 2 0 R >>");
    pdf.object(2, b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>");
    pdf.object(3, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    pdf.object(
        4,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Resources << /XObject << /X 6 0 R >> >> /Contents 5 0 R >>",
    );
    pdf.stream(5, "", b"/X Do");
    for level in 0..deep {
        let dictionary =
            format!("/Type /XObject /Subtype /Form /BBox [0 0 400 400] /Resources << /XObject << /X {} 0 R >> >>", 7 + level);
        pdf.stream(6 + level, &dictionary, b"/X Do /X Do");
    }
    let last = "/Type /XObject /Subtype /Form /BBox [0 0 400 400] /Resources << /Font << /F1 3 0 R >> >>";
    pdf.stream(6 + deep, last, b"BT /F1 9 Tf 9 9 Td (A) Tj ET");
    pdf.finish()
}

/// Puts a PDF together, object by object; numbers begin at 1 and none is left out.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { bytes: b"%PDF-1.7\n".to_vec(), places: Vec::new() }
    }

    pub(crate) fn object(&mut self, number: usize, body: &[u8]) {
        self.places.push((number, self.bytes.len()));
        self.bytes.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(b"\nendobj\n");
    }

    pub(crate) fn stream(&mut self, number: usize, dictionary: &str, content: &[u8]) {
        let mut body = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\nendstream");
        self.object(number, &body);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let begin = self.bytes.len();
        self.places.sort_unstable();
        let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", self.places.len() + 1);
        for (_, place) in &self.places {
            table.push_str(&format!("{place:010} 00000 n \n"));
        }
        table.push_str(&format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{begin}\n%%EOF\n", self.places.len() + 1));
        self.bytes.extend_from_slice(table.as_bytes());
        self.bytes
    }
}
