"""Prints the text of a PDF with pypdfium2, page by page, as its documentation shows it.

With --unread every page is opened as for that, and nothing of it is read: what libpdfium costs whoever reads text with it.
"""

import sys

import pypdfium2

unread = "--unread" in sys.argv
document = pypdfium2.PdfDocument(sys.argv[1])
for page in document:
    text = page.get_textpage()
    if not unread:
        sys.stdout.write(text.get_text_range())
        sys.stdout.write("\n")
    text.close()
    page.close()
