//! Which way a page has gone, as the answer says it.

use serde::{Deserialize, Serialize};

use eventmesh_extractors::Document;

use super::features::Features;
use super::hosts::{Lean, Outcome};
use super::verdict::{Better, Reason, Verdict};

/// Which way a page has gone, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTaken {
    /// Which way.
    pub route: Way,
    /// Why.
    pub reason: Reason,
    /// Whether its content would better have been taken from a browser, and was not, since there is none or it has failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fell_back: bool,
    /// How the two documents compare, if there were two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<Better>,
    /// The verdict, if there was a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
}

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The content was taken from the page as it was sent.
    Extract,
    /// The content was taken from the page as a browser shows it.
    Render,
    /// The content was taken from a PDF.
    Pdf,
}

impl RouteTaken {
    /// A way about which there was no question.
    #[must_use]
    pub fn without_question(route: Way, reason: Reason) -> Self {
        Self { route, reason, fell_back: false, better: None, verdict: None, features: None }
    }

    /// The way that evidence says, for a page as it was sent and the document that was made of it.
    #[must_use]
    pub fn judge(page: &[u8], document: &Document, host: Lean) -> Self {
        let features = Features::of(page, document);
        let verdict = Verdict::of(&features, host);
        let route = if verdict.render { Way::Render } else { Way::Extract };
        Self {
            reason: verdict.reason,
            verdict: Some(verdict),
            features: Some(features),
            ..Self::without_question(route, Reason::NoEvidence)
        }
    }

    /// The same, but the page could not be rendered.
    #[must_use]
    pub fn fallen_back(self) -> Self {
        Self { route: Way::Extract, fell_back: true, ..self }
    }

    /// The same, once there is a document of the rendered page, too, and it is known which one is better.
    #[must_use]
    pub fn compared(self, sent: &Document, rendered: &Document) -> Self {
        let better = self.features.as_ref().map_or(Better::Rendered, |features| Better::of(features, sent, rendered));
        let route = match better {
            Better::Sent => Way::Extract,
            Better::Rendered | Better::Same => Way::Render,
        };
        Self { route, better: Some(better), ..self }
    }

    /// What its host is remembered by. A page that was not rendered and has few words says nothing: nobody knows what a browser would
    /// have shown.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self.better {
            Some(Better::Rendered) => Some(Outcome::RenderingWon),
            Some(Better::Sent | Better::Same) => Some(Outcome::RenderingLost),
            None if self.fell_back => None,
            None => self.features.as_ref().filter(|features| features.words >= SUFFICES).map(|_| Outcome::SentSufficed),
        }
    }
}

/// A page of so many words has had its content as it was sent.
const SUFFICES: u32 = 150;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(words: u32) -> Document {
        Document { word_count: words, text: "word ".repeat(words as usize), ..Document::default() }
    }

    #[test]
    fn what_came_of_a_page_is_what_its_host_is_remembered_by() {
        let judge = |words: u32, page: &str| RouteTaken::judge(page.as_bytes(), &document(words), Lean::NEUTRAL);
        let shell = || judge(0, "<div id=root></div><script src=a.js></script>");
        assert_eq!(shell().route, Way::Render);
        let won = shell().compared(&document(0), &document(300));
        assert_eq!((won.route, won.outcome()), (Way::Render, Some(Outcome::RenderingWon)));
        let lost = shell().compared(&document(200), &document(3));
        assert_eq!((lost.route, lost.outcome()), (Way::Extract, Some(Outcome::RenderingLost)));
        let failed = shell().fallen_back();
        assert_eq!((failed.route, failed.fell_back, failed.outcome()), (Way::Extract, true, None));
        let article = judge(500, &format!("<p>{}</p>", "word ".repeat(500)));
        assert_eq!((article.route, article.outcome()), (Way::Extract, Some(Outcome::SentSufficed)));
        assert_eq!(judge(9, "<p>Nine words.</p>").outcome(), None);
        assert_eq!(RouteTaken::without_question(Way::Pdf, Reason::Pdf).outcome(), None);
    }

    #[test]
    fn it_goes_into_json_with_what_there_is() {
        let asked = serde_json::to_value(RouteTaken::without_question(Way::Render, Reason::Asked)).expect("JSON");
        assert_eq!(asked, serde_json::json!({ "route": "render", "reason": "asked" }));
        let judged = RouteTaken::judge(b"<div id=root></div><script src=a.js></script>", &document(0), Lean::NEUTRAL);
        let judged = serde_json::to_value(judged).expect("JSON");
        assert_eq!(
            (&judged["reason"], &judged["features"]["root"]["state"], &judged["features"]["scripts"]["external"]),
            (&"empty_root".into(), &"empty".into(), &1.into())
        );
    }
}
