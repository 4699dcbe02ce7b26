//! How far a document can be trusted to be the page's content.

use crate::document::Document;

/// Words from which on the amount alone is no reason for doubt.
const ENOUGH_WORDS: f32 = 120.0;

/// 0 for nothing, towards 1 for much prose that is most of its page, with a title. `confidence` is how sure
/// the choice of the content was.
pub(crate) fn quality(document: &Document, confidence: f32) -> f32 {
    if document.word_count == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a word count, of which only the first hundreds matter")]
    let amount = (document.word_count as f32 / ENOUGH_WORDS).min(1.0);
    let named = if document.title.is_some() { 1.0 } else { 0.0 };
    (0.5 * amount + 0.4 * confidence + 0.1 * named).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_evidence_is_more_trust() {
        let of = |words, title: Option<&str>, confidence| {
            let document = Document { word_count: words, title: title.map(str::to_owned), ..Document::default() };
            quality(&document, confidence)
        };
        assert!(of(0, Some("t"), 1.0) == 0.0);
        assert!(of(10, None, 0.5) < of(100, None, 0.5));
        assert!(of(100, None, 0.5) < of(100, Some("t"), 0.5));
        assert!(of(100, None, 0.5) < of(100, None, 0.9));
        assert!(of(1_000_000, Some("t"), 1.0) <= 1.0);
    }
}
