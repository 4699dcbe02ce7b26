//! What libpdfium wants to be called back for when a form is filled in. Here nothing is: forms are only read.

#![expect(unsafe_code, reason = "libpdfium calls back")]

use std::ffi::c_int;

use pdfium_render::prelude::{FPDF_FORMFILLINFO, FPDF_PAGE};

pub(crate) type Callbacks = FPDF_FORMFILLINFO;

unsafe extern "C" fn invalidate(_: *mut FPDF_FORMFILLINFO, _: FPDF_PAGE, _: f64, _: f64, _: f64, _: f64) {}

unsafe extern "C" fn set_cursor(_: *mut FPDF_FORMFILLINFO, _: c_int) {}

unsafe extern "C" fn set_timer(_: *mut FPDF_FORMFILLINFO, _: c_int, _: Option<unsafe extern "C" fn(c_int)>) -> c_int {
    0
}

unsafe extern "C" fn kill_timer(_: *mut FPDF_FORMFILLINFO, _: c_int) {}

/// The callbacks that must be there, each doing nothing.
pub(crate) fn callbacks() -> Box<Callbacks> {
    // SAFETY: a structure of numbers, pointers and optional functions; all of them may be null.
    let mut callbacks: Box<Callbacks> = Box::new(unsafe { std::mem::zeroed() });
    callbacks.version = 1;
    callbacks.FFI_Invalidate = Some(invalidate);
    callbacks.FFI_SetCursor = Some(set_cursor);
    callbacks.FFI_SetTimer = Some(set_timer);
    callbacks.FFI_KillTimer = Some(kill_timer);
    callbacks
}
