//! What a PDF worker's process may use.

use std::time::Duration;

/// What a PDF worker's process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PdfLimits {
    /// Bytes of address space. Default 256 MiB: four times what the largest of 1,358 real documents took.
    pub address_space: u64,
    /// The same for the one document at a time that is tried again because that was not enough. Default 1 GiB.
    pub large_address_space: u64,
    /// Open files. Default 64: the socket, the library and the standard streams, and fonts, if there are any.
    pub open_files: u64,
    /// Bytes that a process may keep between two documents before it is told to go. Default 64 MiB.
    pub resident: u64,
    /// How long a process without work stays. Default 30 s.
    pub idle: Duration,
    /// Pages of one document that are read. Default 20,000.
    pub pages: u32,
    /// Pixels of one picture of a page. Default 25 million: A4 at 500 dots per inch.
    pub pixels: u64,
}

impl Default for PdfLimits {
    fn default() -> Self {
        Self {
            address_space: 256 << 20,
            large_address_space: 1 << 30,
            open_files: 64,
            resident: 64 << 20,
            idle: Duration::from_secs(30),
            pages: 20_000,
            pixels: 25_000_000,
        }
    }
}
