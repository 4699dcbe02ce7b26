//! The boundary of the sandbox: four functions over linear memory, and one wire format.
//!
//! ```text
//!   abi_version()            -> version
//!   alloc(length)            -> address of `length` bytes, 0 if there are none to be had
//!   extract(address, length) -> address << 32 | length of the output
//!   free(address, length)
//! ```
//! The input is [`Hints`] in postcard, then the page's bytes to the end; the output is a [`Document`] in postcard.
//! Both sides are this one file, so they cannot drift apart unnoticed; the version guards artifacts from caches.

use crate::document::Document;
use crate::input::Hints;

/// Version of the functions and of the wire format, [`Document`] included.
pub const ABI_VERSION: u32 = 2;

/// What the host puts before the page's bytes.
#[must_use]
pub fn encode_hints(hints: &Hints) -> Vec<u8> {
    // Strings and booleans into a growing vector: there is nothing in it that can fail.
    postcard::to_allocvec(hints).unwrap_or_default()
}

/// What the host makes of the output. `None` if it is no document.
#[must_use]
pub fn decode_output(output: &[u8]) -> Option<Document> {
    postcard::from_bytes(output).ok()
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "a foreign interface: raw addresses in linear memory")]
mod exports {
    use std::alloc::{Layout, alloc as allocate, dealloc};

    use crate::input::Hints;

    #[global_allocator]
    static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

    const fn layout(length: usize) -> Option<Layout> {
        match Layout::from_size_align(length, 1) {
            Ok(layout) if length > 0 => Some(layout),
            Ok(_) | Err(_) => None,
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn abi_version() -> u32 {
        super::ABI_VERSION
    }

    #[unsafe(no_mangle)]
    extern "C" fn alloc(length: usize) -> *mut u8 {
        // SAFETY: the layout is not of zero size.
        layout(length).map_or(std::ptr::null_mut(), |layout| unsafe { allocate(layout) })
    }

    /// # Safety
    /// `address` came from `alloc(length)` or from `extract` with this length, and is not used afterwards.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn free(address: *mut u8, length: usize) {
        if let Some(layout) = layout(length) {
            // SAFETY: the caller's promise; both ways of getting memory use this layout.
            unsafe { dealloc(address, layout) }
        }
    }

    /// # Safety
    /// `address` came from `alloc(length)` and all of it has been written.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn extract(address: *const u8, length: usize) -> u64 {
        let input: &[u8] = if length == 0 {
            &[]
        } else {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts(address, length) }
        };
        let (hints, page) = postcard::take_from_bytes::<Hints>(input).unwrap_or_default();
        let document = crate::extract(page, &hints);
        let output = postcard::to_allocvec(&document).unwrap_or_default().into_boxed_slice();
        let length = output.len() as u64;
        let address = Box::into_raw(output).cast::<u8>() as u64;
        address << 32 | length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract;

    #[test]
    fn hints_and_documents_cross_unchanged() {
        let hints = Hints { base_url: Some("https://example.com/".into()), charset: Some("utf-8".into()), html: true };
        let mut input = encode_hints(&hints);
        input.extend_from_slice(b"<p>page");
        let (decoded, page): (Hints, &[u8]) = postcard::take_from_bytes(&input).expect("hints");
        assert_eq!((decoded, page), (hints.clone(), &b"<p>page"[..]));
        let page = br#"<title>T</title><script type="application/ld+json">{"a":[1,null]}</script><table><tr><th>a<th>b<tr><td>1<td>2</table>"#;
        let document = extract(page, &hints);
        let output = postcard::to_allocvec(&document).expect("a document");
        assert_eq!(decode_output(&output), Some(document));
        assert_eq!(decode_output(&output[..output.len() / 2]), None);
    }
}
