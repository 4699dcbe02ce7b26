//! A document open in libpdfium, and what it says of itself.

#![expect(unsafe_code, reason = "libpdfium's functions are C")]

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use eventmesh_guest::{Attachment, OutlineItem, PdfFacts};
use pdfium_render::prelude::{FPDF_ATTACHMENT, FPDF_BOOKMARK, FPDF_DOCUMENT, FPDF_FORMHANDLE, PdfiumLibraryBindings};
use serde::{Deserialize, Serialize};

use crate::form;
use crate::library::Library;
use crate::text::{date, wide};

/// Why a document could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no PDF, or broken beyond repair.
    #[error("it is no PDF, or broken beyond repair")]
    Format,
    /// It needs a password, or another one.
    #[error("it is encrypted and needs a password")]
    Password,
    /// It is encrypted in a way that nobody here knows.
    #[error("it is encrypted in a way that is not supported")]
    Security,
    /// It has no pages.
    #[error("it has no pages")]
    Empty,
}

/// What the document says of itself, besides [`PdfFacts`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its title.
    pub title: Option<String>,
    /// Its author.
    pub author: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// When it was made, in ISO 8601.
    pub created: Option<String>,
    /// When it was last changed, in ISO 8601.
    pub modified: Option<String>,
    /// BCP 47 tag of its language.
    pub language: Option<String>,
    /// Everything else, by its name in the format: `Keywords`, `Creator`, `Producer`.
    pub other: Vec<(String, String)>,
}

/// Entries of a table of contents that are read; a document can name as many as it likes.
const OUTLINE_ITEMS: usize = 10_000;
const OUTLINE_DEPTH: u8 = 32;
/// Bytes of what is listed, of each of them.
const LISTED: usize = 2 << 20;
/// Attachments that are listed.
const ATTACHMENTS: i32 = 1_000;

/// An open document. Its bytes are borrowed: libpdfium reads them as it goes.
pub struct Document<'a> {
    pub(crate) pdfium: &'static dyn PdfiumLibraryBindings,
    pub(crate) handle: FPDF_DOCUMENT,
    pub(crate) form: Option<Form>,
    pages: u32,
    /// It says that its structure is to be relied on.
    pub(crate) tagged: bool,
    bytes: PhantomData<&'a [u8]>,
}

/// The form of a document, made ready to be asked.
pub(crate) struct Form {
    pub(crate) handle: FPDF_FORMHANDLE,
    /// libpdfium keeps the address.
    _callbacks: Box<form::Callbacks>,
}

impl<'a> Document<'a> {
    /// Opens a document.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(library: &'a Library, bytes: &'a [u8], password: Option<&str>) -> Result<Self, OpenError> {
        let pdfium = library.pdfium;
        // A password with a zero in it ends there, and is then the wrong one.
        let password = password.map(|password| password.split('\0').next().unwrap_or_default());
        // SAFETY: the bytes outlive the document, by the type.
        let (handle, error) = unsafe {
            let handle = pdfium.FPDF_LoadMemDocument64(bytes, password);
            (handle, pdfium.FPDF_GetLastError())
        };
        if handle.is_null() {
            return Err(match error {
                4 => OpenError::Password,
                5 => OpenError::Security,
                _ => OpenError::Format,
            });
        }
        let mut document = Self { pdfium, handle, form: None, pages: 0, tagged: false, bytes: PhantomData };
        // SAFETY: the document is open.
        let (pages, tagged) = unsafe { (pdfium.FPDF_GetPageCount(handle), pdfium.FPDFCatalog_IsTagged(handle) != 0) };
        (document.pages, document.tagged) = (u32::try_from(pages).unwrap_or(0), tagged);
        if document.pages == 0 {
            return Err(OpenError::Empty);
        }
        // SAFETY: the document is open, and the callbacks live as long as the form does.
        unsafe {
            if pdfium.FPDF_GetFormType(handle) != 0 {
                let mut callbacks = form::callbacks();
                let handle = pdfium.FPDFDOC_InitFormFillEnvironment(handle, &raw mut *callbacks);
                if !handle.is_null() {
                    document.form = Some(Form { handle, _callbacks: callbacks });
                }
            }
        }
        Ok(document)
    }

    /// Pages that it says it has. It can say what it likes.
    #[must_use]
    pub fn page_count(&self) -> u32 {
        self.pages
    }

    /// What it says of itself.
    #[must_use]
    pub fn info(&self) -> Info {
        let text = |name: &str| {
            // SAFETY: the document is open, and the buffer is as large as is said.
            let text = wide(|buffer, bytes| unsafe {
                self.pdfium.FPDF_GetMetaText(self.handle, name, buffer.cast(), bytes as _) as usize
            });
            (!text.is_empty()).then_some(text)
        };
        // SAFETY: as above.
        let language =
            wide(|buffer, bytes| unsafe { self.pdfium.FPDFCatalog_GetLanguage(self.handle, buffer, bytes as _) as usize });
        let other = ["Keywords", "Creator", "Producer", "Trapped"];
        Info {
            title: text("Title"),
            author: text("Author"),
            subject: text("Subject"),
            created: text("CreationDate").as_deref().and_then(date),
            modified: text("ModDate").as_deref().and_then(date),
            language: (!language.is_empty()).then_some(language),
            other: other.iter().filter_map(|name| Some(((*name).to_owned(), text(name)?))).collect(),
        }
    }

    /// What only a PDF has. Form fields, and files attached to pages, are found page by page and not among it.
    #[must_use]
    pub fn facts(&self) -> PdfFacts {
        let mut version = 0;
        // SAFETY: the document is open.
        let (known, encrypted) = unsafe {
            (
                self.pdfium.FPDF_GetFileVersion(self.handle, &raw mut version) != 0,
                self.pdfium.FPDF_GetSecurityHandlerRevision(self.handle) >= 0,
            )
        };
        PdfFacts {
            version: known.then(|| format!("{}.{}", version / 10, version % 10)),
            page_count: self.pages,
            tagged: self.tagged,
            encrypted,
            outline: self.outline(),
            attachments: self.attachments(),
            fields: Vec::new(),
            incomplete: None,
        }
    }

    /// What the document calls a page.
    pub(crate) fn label(&self, page: u32) -> Option<String> {
        let page = i32::try_from(page).ok()?;
        // SAFETY: the document is open, and the buffer is as large as is said.
        let label =
            wide(|buffer, bytes| unsafe { self.pdfium.FPDF_GetPageLabel(self.handle, page, buffer.cast(), bytes as _) as usize });
        (!label.is_empty()).then_some(label)
    }

    fn outline(&self) -> Vec<OutlineItem> {
        let mut items = Vec::new();
        let mut said = 0;
        let mut seen = BTreeSet::new();
        // What is still to be read, the next one last: an entry and its depth.
        // SAFETY: the document is open; a null entry asks for the first one.
        let first = unsafe { self.pdfium.FPDFBookmark_GetFirstChild(self.handle, std::ptr::null_mut()) };
        let mut left: Vec<(FPDF_BOOKMARK, u8)> = vec![(first, 1)];
        while let Some((entry, level)) = left.pop() {
            // Entries can lead back to each other.
            if entry.is_null() || items.len() >= OUTLINE_ITEMS || !seen.insert(entry as usize) {
                continue;
            }
            // SAFETY: the entry is the document's own.
            let (child, sibling) = unsafe {
                (
                    self.pdfium.FPDFBookmark_GetFirstChild(self.handle, entry),
                    self.pdfium.FPDFBookmark_GetNextSibling(self.handle, entry),
                )
            };
            left.push((sibling, level));
            if level < OUTLINE_DEPTH {
                left.push((child, level + 1));
            }
            // SAFETY: as above, and the buffer is as large as is said.
            let title =
                wide(|buffer, bytes| unsafe { self.pdfium.FPDFBookmark_GetTitle(entry, buffer.cast(), bytes as _) as usize });
            said += title.len();
            if title.is_empty() || said > LISTED {
                continue;
            }
            // SAFETY: as above; each handle is checked before it is used.
            let page = unsafe {
                let mut place = self.pdfium.FPDFBookmark_GetDest(self.handle, entry);
                if place.is_null() {
                    let action = self.pdfium.FPDFBookmark_GetAction(entry);
                    if !action.is_null() {
                        place = self.pdfium.FPDFAction_GetDest(self.handle, action);
                    }
                }
                if place.is_null() { -1 } else { self.pdfium.FPDFDest_GetDestPageIndex(self.handle, place) }
            };
            items.push(OutlineItem { title, level, page: u32::try_from(page).ok().map(|page| page + 1) });
        }
        items
    }

    fn attachments(&self) -> Vec<Attachment> {
        // SAFETY: the document is open.
        let count = unsafe { self.pdfium.FPDFDoc_GetAttachmentCount(self.handle) }.clamp(0, ATTACHMENTS);
        let mut attachments = Vec::new();
        let mut said = 0;
        for index in 0..count {
            // SAFETY: as above; null is looked for.
            let attachment = unsafe { self.pdfium.FPDFDoc_GetAttachment(self.handle, index) };
            if attachment.is_null() {
                continue;
            }
            // SAFETY: the attachment is the document's own.
            let attachment = unsafe { self.attachment(attachment) };
            said += attachment.name.len() + attachment.media_type.as_ref().map_or(0, String::len);
            if said > LISTED {
                break;
            }
            attachments.push(attachment);
        }
        attachments
    }

    /// What is listed of an attached file. Its size would cost its whole content.
    ///
    /// # Safety
    /// The attachment is one of this document, and not null.
    pub(crate) unsafe fn attachment(&self, attachment: FPDF_ATTACHMENT) -> Attachment {
        // SAFETY: by the contract above, and the buffers are as large as is said.
        let (name, kind) = unsafe {
            (
                wide(|buffer, bytes| self.pdfium.FPDFAttachment_GetName(attachment, buffer, bytes as _) as usize),
                wide(|buffer, bytes| self.pdfium.FPDFAttachment_GetSubtype(attachment, buffer, bytes as _) as usize),
            )
        };
        Attachment { name, media_type: (!kind.is_empty()).then_some(kind) }
    }
}

impl Drop for Document<'_> {
    fn drop(&mut self) {
        // SAFETY: both were opened by us, and nothing of them is used any more.
        unsafe {
            if let Some(form) = self.form.take() {
                self.pdfium.FPDFDOC_ExitFormFillEnvironment(form.handle);
            }
            self.pdfium.FPDF_CloseDocument(self.handle);
        }
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("pages", &self.pages).finish_non_exhaustive()
    }
}
