"""Prints the text of a PDF with pypdfium2, page by page, as its documentation shows it."""

import sys

import pypdfium2

document = pypdfium2.PdfDocument(sys.argv[1])
for page in document:
    text = page.get_textpage()
    sys.stdout.write(text.get_text_range())
    sys.stdout.write("\n")
    text.close()
    page.close()
