//! The settings of reading PDFs.

use super::{Setting, typed};
use crate::config::codec::{Auto, Bytes, Codec, Count, List, PerCore, Place, Text, Time};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "pdf.library",
        Auto<Place>,
        engine.pdf.library,
        "libpdfium. The default 'auto' is what EVENTMESH_PDFIUM names, else beside the program, in the user's data directory, in the system's library directories; never where the loader would look."
    ),
    setting!(
        "pdf.program",
        Auto<Place>,
        engine.pdf.program,
        "The program that is started to read PDFs, built together with this one. The default 'auto' is this one, which is."
    ),
    setting!(
        "pdf.workers",
        PerCore,
        engine.pdf.workers,
        "Processes that read PDFs. Default: one per core, since reading is nothing but CPU; none is there before the first PDF."
    )
    .found_out("\"auto\""),
    setting!(
        "pdf.fonts",
        List<Text>,
        engine.pdf.fonts,
        "Directories of fonts for documents that lack their own; only pictures of pages show them. Default none: then every machine draws the same."
    ),
    setting!(
        "pdf.max_bytes",
        Bytes,
        engine.pdf.max_bytes,
        "Memory that all PDFs waiting and being read are expected to take: 1 MiB and four times the file each, the latter 512 MiB at most. The default is four of the largest."
    ),
    setting!(
        "pdf.max_content",
        Bytes,
        engine.pdf.max_content,
        "Bytes of content of one PDF that is not streamed: by default a hundred times that of a thick book."
    ),
    setting!(
        "pdf.recycle_after",
        Count,
        engine.pdf.recycle_after,
        "Documents after which a healthy process is replaced, ±10 %. A new one is there within milliseconds, so the default costs next to nothing, and bounds what the library could gather."
    ),
    setting!(
        "pdf.limits.address_space",
        Bytes,
        engine.pdf.limits.address_space,
        "Address space of a process: by default four times what the largest of 1,358 real documents took."
    ),
    setting!(
        "pdf.limits.large_address_space",
        Bytes,
        engine.pdf.limits.large_address_space,
        "The same for the one document at a time that is tried again because that was not enough: four times as much by default."
    ),
    setting!(
        "pdf.limits.open_files",
        Count,
        engine.pdf.limits.open_files,
        "Open files of a process: by default the socket, the library, the standard streams, and fonts, if there are any."
    ),
    setting!(
        "pdf.limits.resident",
        Bytes,
        engine.pdf.limits.resident,
        "Memory that a process may keep between two documents before it is replaced: by default several times what a new one has."
    ),
    setting!(
        "pdf.limits.idle",
        Time,
        engine.pdf.limits.idle,
        "How long a process without work stays. A new one is there within milliseconds, so the default is short."
    ),
    setting!(
        "pdf.limits.pages",
        Count,
        engine.pdf.limits.pages,
        "Pages of one document that are read: by default more than books have, and few enough to be done by a deadline."
    ),
    setting!(
        "pdf.limits.pixels",
        Count,
        engine.pdf.limits.pixels,
        "Pixels of one picture of a page: by default A4 at 500 dots per inch, a hundred MiB in the process."
    ),
    setting!(
        "pdf.restarts.intensity",
        Count,
        engine.pdf.restarts.any.intensity,
        "Restarts of workers within the period before their pool gives up. The default is high: a new process is there within milliseconds, and what a document does to its process is no restart."
    ),
    setting!(
        "pdf.restarts.period",
        Time,
        engine.pdf.restarts.any.period,
        "The period for the restarts: with the default a loop of crashes is found within seconds."
    ),
];
