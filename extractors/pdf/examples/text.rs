//! Prints the text of a PDF, headers and footers in their places: `text LIBPDFIUM FILE [--markdown]`.

use std::path::Path;

use eventmesh_pdf::{Document, Library, Step, Wanted};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, file, rest @ ..] = arguments.as_slice() else {
        return Err("usage: text LIBPDFIUM FILE [--markdown | --body]".into());
    };
    let library = Library::load(Path::new(library), &[])?;
    let bytes = std::fs::read(file)?;
    let document = Document::open(&library, &bytes, None)?;
    let facts = document.facts();
    let mut pages = document.pages(Wanted::default(), &facts.outline, u32::MAX);
    let flag = rest.first().map(String::as_str).unwrap_or_default();
    let mut out = String::new();
    while let Some(step) = pages.step() {
        let Step::Page(page) = step else { continue };
        match flag {
            "--markdown" => out.push_str(&page.markdown),
            "--body" => out.push_str(&page.text),
            "--json" => out.push_str(&format!("{page:#?}")),
            _ => {
                let parts = [page.header.as_deref(), Some(&page.text), page.footer.as_deref()];
                out.push_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("\n"));
            }
        }
        out.push_str("\n\n");
    }
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}
