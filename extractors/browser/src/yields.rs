//! What a request has yielded so far, in bytes, and how much that may be.

use crate::error::RenderError;

/// Bytes that one request yields: its pictures, its PDF, contents and values. Many small ones are one large one to whoever
/// holds them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yields {
    bytes: u64,
    most: u64,
}

impl Yields {
    /// None yet, of `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { bytes: 0, most }
    }

    /// So many more.
    ///
    /// # Errors
    /// [`RenderError::TooMuch`] when they are more than allowed.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), RenderError> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes <= self.most {
            return Ok(());
        }
        Err(RenderError::TooMuch { what: format!("more than {} MiB of pictures, contents and values in all", self.most >> 20) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_ones_are_one_large_one() {
        let mut yields = Yields::new(3 << 20);
        for _ in 0..3 {
            yields.add(1 << 20).expect("it is allowed");
        }
        assert!(matches!(yields.add(1), Err(RenderError::TooMuch { what }) if what.contains("3 MiB")));
        assert!(Yields::new(0).add(usize::MAX).is_err());
    }
}
