//! What a document says of itself: its tagged structure, its labels, the files attached to its pages.

use eventmesh::{Document, Request};

use super::{Host, make};

/// A page of a tagged document whose text is all told of: a head and a foot that are no text, a heading, a paragraph, a list
/// without signs.
const TAGGED: &str = "\
/Artifact BMC BT /F1 9 Tf 40 380 Td (A running head) Tj ET EMC
/H1 << /MCID 0 >> BDC BT /F1 18 Tf 40 340 Td (Rooms) Tj ET EMC
/P << /MCID 1 >> BDC BT /F1 12 Tf 40 300 Td (A quiet room is measured before it is furnished.) Tj ET EMC
/LBody << /MCID 2 >> BDC BT /F1 12 Tf 60 270 Td (the hum of the pipes) Tj ET EMC
/LBody << /MCID 3 >> BDC BT /F1 12 Tf 60 254 Td (the steps on the stairs) Tj ET EMC
/Artifact << /Type /Pagination >> BDC BT /F1 9 Tf 40 20 Td (Page one) Tj ET EMC
";

/// A document with that one page, which `mark` says of whether it is tagged.
fn tagged(content: &str, mark: &str) -> Vec<u8> {
    let mut pdf = make::Writer::new();
    let catalog = format!("<< /Type /Catalog /Pages 2 0 R /StructTreeRoot 6 0 R {mark} >>");
    pdf.object(1, catalog.as_bytes());
    pdf.object(2, b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>");
    pdf.object(3, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    pdf.object(
        4,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /StructParents 0 /Resources << /Font << /F1 3 0 R >> >> /Contents 5 0 R >>",
    );
    pdf.stream(5, "", content.as_bytes());
    pdf.object(6, b"<< /Type /StructTreeRoot /K 7 0 R /ParentTree 8 0 R /ParentTreeNextKey 1 >>");
    pdf.object(7, b"<< /Type /StructElem /S /Document /P 6 0 R /K [9 0 R 10 0 R 11 0 R] >>");
    pdf.object(8, b"<< /Nums [0 [9 0 R 10 0 R 14 0 R 15 0 R]] >>");
    pdf.object(9, b"<< /Type /StructElem /S /H1 /P 7 0 R /Pg 4 0 R /K 0 >>");
    pdf.object(10, b"<< /Type /StructElem /S /P /P 7 0 R /Pg 4 0 R /K 1 >>");
    pdf.object(11, b"<< /Type /StructElem /S /L /P 7 0 R /K [12 0 R 13 0 R] >>");
    pdf.object(12, b"<< /Type /StructElem /S /LI /P 11 0 R /K [14 0 R] >>");
    pdf.object(13, b"<< /Type /StructElem /S /LI /P 11 0 R /K [15 0 R] >>");
    pdf.object(14, b"<< /Type /StructElem /S /LBody /P 12 0 R /Pg 4 0 R /K 2 >>");
    pdf.object(15, b"<< /Type /StructElem /S /LBody /P 13 0 R /Pg 4 0 R /K 3 >>");
    pdf.finish()
}

const MARKED: &str = "/MarkInfo << /Marked true >>";

async fn read(host: &Host, pdf: Vec<u8>) -> Document {
    host.document(Request::bytes(pdf)).await.expect("it is read")
}

#[tokio::test]
async fn a_sound_structure_tells_of_headings_lists_and_what_is_no_text() {
    let host = Host::start(|_| {}).await;
    let document = read(&host, tagged(TAGGED, MARKED)).await;
    let expected = "\
# Rooms

A quiet room is measured before it is furnished.

- the hum of the pipes
- the steps on the stairs";
    assert_eq!(document.markdown, expected);
    let page = &document.pages[0];
    assert_eq!((page.header.as_deref(), page.footer.as_deref()), (Some("A running head"), Some("Page one")));
    assert!(document.pdf.expect("it is a PDF").tagged);
    host.stop().await;
}

/// A text that the structure does not tell of, and a document that does not say that its structure is to be relied on.
#[tokio::test]
async fn an_unsound_structure_tells_of_headings_only() {
    let host = Host::start(|_| {}).await;
    let untold = format!("{TAGGED}BT /F1 12 Tf 40 200 Td (Nobody tells of this line.) Tj ET\n");
    for pdf in [tagged(&untold, MARKED), tagged(TAGGED, "")] {
        let document = read(&host, pdf).await;
        let page = &document.pages[0];
        assert_eq!((page.header.as_deref(), page.footer.as_deref()), (None, None));
        assert!(page.text.contains("A running head") && page.text.contains("Page one"), "{}", page.text);
        assert!(document.markdown.contains("# Rooms"), "{}", document.markdown);
        assert!(!document.markdown.contains("- the"), "{}", document.markdown);
    }
    host.stop().await;
}

#[tokio::test]
async fn pages_are_labelled_as_the_document_labels_them() {
    let host = Host::start(|_| {}).await;
    let mut pdf = make::Writer::new();
    let labels = "/PageLabels << /Nums [0 << /S /r >> 2 << /S /D /P (A-) /St 5 >>] >>";
    pdf.object(1, format!("<< /Type /Catalog /Pages 2 0 R {labels} >>").as_bytes());
    pdf.object(2, b"<< /Type /Pages /Kids [3 0 R 4 0 R 5 0 R 6 0 R] /Count 4 >>");
    for number in 3..=6 {
        pdf.object(number, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] >>");
    }
    let labels = |document: Document| document.pages.into_iter().map(|page| page.label).collect::<Vec<_>>();
    let expected = ["i", "ii", "A-5", "A-6"].map(|label| Some(label.to_owned()));
    assert_eq!(labels(read(&host, pdf.finish()).await), expected);
    assert_eq!(labels(read(&host, make::numbered(2)).await), [None, None], "one that labels none");
    host.stop().await;
}

/// By an annotation alone, with and without a comment, and one that the document lists, too.
#[tokio::test]
async fn files_attached_to_pages_are_listed_once() {
    let host = Host::start(|_| {}).await;
    let mut pdf = make::Writer::new();
    pdf.object(1, b"<< /Type /Catalog /Pages 2 0 R /Names << /EmbeddedFiles << /Names [(a) 7 0 R] >> >> >>");
    pdf.object(2, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    pdf.object(3, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Annots [4 0 R 5 0 R 6 0 R] >>");
    let annotation = |file: &str| format!("<< /Type /Annot /Subtype /FileAttachment /Rect [10 10 30 30] /FS {file} >>");
    pdf.object(4, annotation("7 0 R").as_bytes());
    pdf.object(5, annotation("8 0 R").as_bytes());
    pdf.object(6, annotation("(notes.txt) /Contents (Read this first.)").as_bytes());
    pdf.object(7, b"<< /Type /Filespec /F (listed.bin) /UF (listed.bin) /EF << /F 9 0 R >> >>");
    pdf.object(8, b"<< /Type /Filespec /F (figures.csv) /UF (figures.csv) /EF << /F 9 0 R >> >>");
    pdf.stream(9, "/Type /EmbeddedFile /Subtype /text#2Fcsv", b"1,2,3");
    let document = read(&host, pdf.finish()).await;
    let facts = document.pdf.expect("it is a PDF");
    let listed: Vec<_> =
        facts.attachments.iter().map(|attachment| (attachment.name.as_str(), attachment.media_type.as_deref())).collect();
    assert_eq!(listed, [("listed.bin", Some("text/csv")), ("figures.csv", Some("text/csv")), ("notes.txt", None)]);
    let notes: Vec<_> = document.pages[0].notes.iter().map(|note| (note.kind.as_str(), note.text.as_str())).collect();
    assert_eq!(notes, [("file_attachment", "Read this first.")]);
    host.stop().await;
}
