//! Work that takes longer than a moment, kept off the threads on which everybody waits: there may be a single one.

use crate::error::{Error, ErrorKind};

/// Bytes that are read or written in a moment, which is a millisecond or two.
const MOMENT: usize = 1 << 20;

/// Does `work` on so many bytes: at once, or on a thread of its own if that would take long.
///
/// # Errors
/// If it panicked there: a fault of ours.
pub(super) async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    if bytes <= MOMENT {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(ErrorKind::Internal, "what was sent or found could not be worked on").caused_by(error))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn what_takes_long_is_done_elsewhere() {
        let here = thread::current().id();
        for (bytes, stays) in [(0, true), (MOMENT, true), (MOMENT + 1, false)] {
            let done = aside(bytes, || thread::current().id()).await.expect("it is done");
            assert_eq!(done == here, stays, "{bytes}");
        }
        let failed = aside(MOMENT + 1, || -> u8 { panic!("on purpose") }).await.expect_err("it panicked");
        assert_eq!(failed.kind(), ErrorKind::Internal);
    }
}
