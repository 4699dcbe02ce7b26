//! Whether a page is to be rendered, and why: evidence for and against, each with a weight that stands here, added up. Pure.
//!
//! ```text
//!   Features ─┬▶ nothing that could bring more, or a gatekeeper ──────────────▶ extract
//!             └▶ Σ weights of the evidence ≥ threshold (± what the host is like) ─▶ render, else extract
//! ```
//! The heaviest evidence on the side that wins is the reason. And once a page has been rendered: which of its two documents is
//! the better one.

use eventmesh_extractors::Document;
use serde::{Deserialize, Serialize};

use super::features::{Features, MANY, Noscript};
use super::hosts::Lean;

/// Whether a page is to be rendered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it is.
    pub render: bool,
    /// The heaviest evidence for that.
    pub reason: Reason,
    /// All evidence, added up.
    pub score: f32,
    /// What would have to be reached for it to be rendered.
    pub threshold: f32,
    /// All evidence, in the order in which it is looked at.
    pub evidence: Vec<Evidence>,
}

/// One piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is.
    pub what: Reason,
    /// How much it weighs; more than nothing speaks for rendering.
    pub weight: f32,
}

/// What speaks for or against rendering a page, and what decides without a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The caller has said which way.
    Asked,
    /// It is a PDF.
    Pdf,
    /// It has its words.
    HasContent,
    /// It has hardly any.
    HardlyAnyText,
    /// There is nothing to be seen between its tags.
    NothingToSee,
    /// It has much text, of which no content was made.
    HasText,
    /// It has nothing that could bring more: no scripts, no frames.
    NothingToRun,
    /// It is a check of who is asking; a browser would be shown the same.
    Challenge,
    /// Nothing much speaks for either.
    NoEvidence,
    /// The element that a framework fills is empty.
    EmptyRoot,
    /// The element that a framework fills has come filled.
    FilledRoot,
    /// The element in which content stands is empty.
    EmptyMain,
    /// The element in which content stands has content.
    FilledMain,
    /// A server says that it has rendered it.
    Served,
    /// It asks for scripts.
    AsksForScripts,
    /// It says that it is being loaded.
    Loading,
    /// Something stands where content will be.
    Skeleton,
    /// A script of its own writes the page once something has come.
    ScriptFills,
    /// There is markup in its scripts.
    MarkupInScripts,
    /// There are words in templates, and few outside.
    Templates,
    /// Elements of its own are empty.
    HollowElements,
    /// There are blanks in its text.
    Blanks,
    /// Parts of it are to be got from elsewhere.
    Fragments,
    /// It is shown in frames.
    Frames,
    /// It leads elsewhere.
    Leads,
    /// Its scripts are an application's.
    Bundles,
    /// It brings the data of an application.
    State,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Asked,
        Self::Pdf,
        Self::HasContent,
        Self::HardlyAnyText,
        Self::NothingToSee,
        Self::HasText,
        Self::NothingToRun,
        Self::Challenge,
        Self::NoEvidence,
        Self::EmptyRoot,
        Self::FilledRoot,
        Self::EmptyMain,
        Self::FilledMain,
        Self::Served,
        Self::AsksForScripts,
        Self::Loading,
        Self::Skeleton,
        Self::ScriptFills,
        Self::MarkupInScripts,
        Self::Templates,
        Self::HollowElements,
        Self::Blanks,
        Self::Fragments,
        Self::Frames,
        Self::Leads,
        Self::Bundles,
        Self::State,
    ];

    /// Its name in answers and figures.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Pdf => "pdf",
            Self::HasContent => "has_content",
            Self::HardlyAnyText => "hardly_any_text",
            Self::NothingToSee => "nothing_to_see",
            Self::HasText => "has_text",
            Self::NothingToRun => "nothing_to_run",
            Self::Challenge => "challenge",
            Self::NoEvidence => "no_evidence",
            Self::EmptyRoot => "empty_root",
            Self::FilledRoot => "filled_root",
            Self::EmptyMain => "empty_main",
            Self::FilledMain => "filled_main",
            Self::Served => "served",
            Self::AsksForScripts => "asks_for_scripts",
            Self::Loading => "loading",
            Self::Skeleton => "skeleton",
            Self::ScriptFills => "script_fills",
            Self::MarkupInScripts => "markup_in_scripts",
            Self::Templates => "templates",
            Self::HollowElements => "hollow_elements",
            Self::Blanks => "blanks",
            Self::Fragments => "fragments",
            Self::Frames => "frames",
            Self::Leads => "leads",
            Self::Bundles => "bundles",
            Self::State => "state",
        }
    }
}

/// Evidence that adds up to this has a page rendered. The weights below are in its unit: 1 decides alone, if nothing speaks
/// against it.
const THRESHOLD: f32 = 1.0;

/// A page of up to so many words: what that weighs. Few words are no evidence alone, since short pages are common: 404s, logins,
/// a phone number. Many words are evidence against all that frameworks leave in a page whose server has rendered it.
const WORDS: &[(u32, f32)] =
    &[(4, 0.45), (15, 0.3), (40, 0.1), (80, -0.1), (150, -0.4), (300, -0.8), (MANY, -1.5), (u32::MAX, -3.0)];

/// Words between the tags from so many on, of a page whose document has few: menus, lists and tables are text, too.
const TEXT: &[(u32, f32)] = &[(1000, -1.5), (500, -1.0), (250, -0.4)];

/// Up to so many words, an element holds nothing: "Loading", a name, a menu's button.
const NOTHING: u32 = 6;
/// From so many words on, an element holds content.
const CONTENT: u32 = 60;
/// Up to so many words, a text that asks for scripts, or that they are loading, is all there is.
const ALL_THERE_IS: u32 = 120;

impl Verdict {
    /// The verdict on a page, on a host that is like that.
    #[must_use]
    pub fn of(features: &Features, host: Lean) -> Self {
        let scripts = &features.scripts;
        let runs =
            scripts.inline + scripts.external + scripts.modules + features.frames + features.fragments > 0 || features.leads;
        let decided = |reason| Self { render: false, reason, score: 0.0, threshold: THRESHOLD, evidence: Vec::new() };
        if !runs && !features.are_decided() {
            return decided(Reason::NothingToRun);
        }
        if features.challenge && features.visible_words <= ALL_THERE_IS {
            return decided(Reason::Challenge);
        }
        let evidence = evidence(features);
        let score: f32 = evidence.iter().map(|evidence| evidence.weight).sum();
        let threshold = host.threshold(THRESHOLD);
        let render = score >= threshold;
        let sides = evidence.iter().filter(|evidence| (evidence.weight > 0.0) == render);
        let heaviest = sides.max_by(|one, other| one.weight.abs().total_cmp(&other.weight.abs()));
        let reason = heaviest.map_or(Reason::NoEvidence, |evidence| evidence.what);
        Self { render, reason, score, threshold, evidence }
    }
}

/// All that speaks for or against.
fn evidence(features: &Features) -> Vec<Evidence> {
    let scripts = &features.scripts;
    let words = features.words;
    let mut evidence = Vec::with_capacity(8);
    let mut weigh = |applies: bool, what: Reason, weight: f32| {
        if applies {
            evidence.push(Evidence { what, weight });
        }
    };
    let of_words = WORDS.iter().find(|(most, _)| words <= *most).map_or(0.0, |(_, weight)| *weight);
    weigh(true, if of_words > 0.0 { Reason::HardlyAnyText } else { Reason::HasContent }, of_words);
    if features.are_decided() {
        // What has begun in the part that was looked at may look empty, and is not known.
        return evidence;
    }

    // With nothing to lose, scripts are reason enough. And text of which no content was made will be no content in a browser either.
    weigh(features.visible_words <= NOTHING, Reason::NothingToSee, 0.6);
    let of_text = TEXT.iter().find(|(least, _)| features.visible_words >= *least);
    weigh(of_text.is_some() && words <= ALL_THERE_IS, Reason::HasText, of_text.map_or(0.0, |(_, weight)| *weight));

    // A root that came empty is the plainest sign there is; many pages have one beside content that needs none, as a shop's basket.
    let empty_root = features.root.within(NOTHING);
    weigh(empty_root, Reason::EmptyRoot, if features.visible_words <= ALL_THERE_IS { 1.0 } else { 0.5 });
    weigh(features.root.holds(CONTENT), Reason::FilledRoot, -0.6);
    weigh(features.served && !empty_root, Reason::Served, -0.4);
    let empty_main = features.main.within(NOTHING) && !features.root.holds(CONTENT);
    weigh(empty_main, Reason::EmptyMain, 1.2);
    weigh(features.main.holds(CONTENT), Reason::FilledMain, -0.5);

    let few = words <= ALL_THERE_IS;
    weigh(few && features.asks, Reason::AsksForScripts, 0.8);
    weigh(few && !features.asks && features.noscript == Noscript::Demands, Reason::AsksForScripts, 0.6);
    weigh(few && features.loading, Reason::Loading, 0.6);
    weigh(few && features.waiting > 0, Reason::Skeleton, 0.3);
    weigh(scripts.fills && scripts.later, Reason::ScriptFills, if few { 0.5 } else { 0.2 });
    weigh(few && scripts.markup >= 5, Reason::MarkupInScripts, 0.4);
    weigh(features.template_words > words.max(40), Reason::Templates, 0.5);
    weigh(few && features.hollow > 0, Reason::HollowElements, 0.5);
    weigh(few && features.blanks >= 2, Reason::Blanks, 0.6);
    weigh(few && features.fragments > 0, Reason::Fragments, 0.7);
    weigh(few && features.frames > 0, Reason::Frames, 0.5);
    weigh(few && features.leads, Reason::Leads, 0.5);
    weigh(few && scripts.bundles + scripts.modules > 0, Reason::Bundles, 0.3);
    weigh(few && features.state_bytes > 0 && !features.root.holds(CONTENT), Reason::State, 0.2);
    evidence
}

/// Which of two documents of the same page is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// As it was sent: rendering has lost content.
    Sent,
    /// As it was rendered, which has brought content.
    Rendered,
    /// They say the same; the rendered one is taken.
    Same,
}

/// A rendered document of fewer than so many words in a hundred of the sent one's has lost content: a wall has come over the page,
/// or a script has failed.
const KEEPS: u64 = 80;
/// One with more than so many in a hundred has brought some.
const BRINGS: u64 = 120;
/// Fewer words than this are no content lost: a notice that scripts are needed, "Loading".
const NOTICE: u32 = 30;
/// Up to so many words, what was sent may be nothing but such a notice in full.
const LONG_NOTICE: u32 = 80;

impl Better {
    /// The better one of the document as it was sent and as it was rendered. Content is never lost: if the rendered one says less by
    /// more than a margin, it is the sent one, unless that was nothing but a notice.
    #[must_use]
    pub fn of(features: &Features, sent: &Document, rendered: &Document) -> Self {
        let (before, after) = (u64::from(sent.word_count), u64::from(rendered.word_count));
        let notice = sent.word_count <= NOTICE || (sent.word_count <= LONG_NOTICE && (features.asks || features.loading));
        if after * 100 < before * KEEPS && !(notice && after > 0) {
            Self::Sent
        } else if after * 100 > before * BRINGS || (notice && after > 0 && rendered.text != sent.text) {
            Self::Rendered
        } else {
            Self::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::Container;
    use super::super::hosts::{Hosts, Outcome};
    use super::*;

    /// The features of a page of which so many words were made.
    fn features(words: u32, page: &str) -> Features {
        Features::of(page.as_bytes(), &Document { word_count: words, ..Document::default() })
    }

    #[test]
    fn nothing_outweighs_many_words_so_that_the_rest_of_the_page_need_not_be_seen() {
        let mut hosts = Hosts::new(1);
        for _ in 0..1_000 {
            hosts.record("a", Outcome::RenderingWon, std::time::Duration::ZERO);
        }
        // All evidence for rendering that a page of many words can have.
        let mut worst = features(MANY + 1, "<div id=root></div><main></main><script src=a.js></script>");
        (worst.template_words, worst.scripts.fills, worst.scripts.later) = (u32::MAX, true, true);
        let verdict = Verdict::of(&worst, hosts.lean("a", std::time::Duration::ZERO));
        assert!(verdict.evidence.len() >= 6 && verdict.threshold < 0.8, "{verdict:?}");
        assert!(!verdict.render && verdict.score < verdict.threshold, "{verdict:?}");
        // And so it is not all looked at; of a page of fewer words it is.
        let page = format!("<div id=root>{}</div><script src=a.js></script>", "<p>some words</p>".repeat(2_000));
        for (words, whole) in [(MANY, true), (MANY + 1, false)] {
            let features = features(words, &page);
            assert_eq!(features.looked_at == features.bytes, whole, "{words}");
            assert_eq!(features.scripts.external > 0, whole, "{words}");
            let verdict = Verdict::of(&features, Lean::NEUTRAL);
            assert_eq!((verdict.render, verdict.reason), (false, Reason::HasContent), "{words}");
            assert_eq!(verdict.evidence.len() == 1, !whole, "{words}: what was cut off is no evidence");
        }
        let late = format!("<style>{}</style><div id=root>{}<p>words</p></div>", "a{}".repeat(5_000), "<i></i>".repeat(1_000));
        let root = |words| features(words, &late).root;
        assert_eq!((root(MANY), root(MANY + 1)), (Container::Filled { words: 1 }, Container::None), "it is not called empty");
    }

    #[test]
    fn pages_that_are_empty_without_scripts_are_rendered_and_others_are_not() {
        let prose = "word ".repeat(80);
        let much = "word ".repeat(700);
        let table: &[(u32, String, bool, Reason)] = &[
            (0, "<div id=root></div><script src=a.js></script>".into(), true, Reason::EmptyRoot),
            (0, "<noscript>Please enable JavaScript.</noscript><div id=x></div><script src=/static/js/main.js></script>".into(), true, Reason::AsksForScripts),
            (0, "<app-root>Loading...</app-root><script type=module src=main.js></script>".into(), true, Reason::EmptyRoot),
            (0, "<script src=/bundle.js></script>".into(), true, Reason::NothingToSee),
            (0, "<iframe src=/inner.html></iframe>".into(), true, Reason::NothingToSee),
            (0, "<x-card></x-card><script>customElements.define('x-card',C)</script>".into(), true, Reason::NothingToSee),
            (9, "<header>one two three four five six seven</header><main></main><script src=/app.js></script>".into(), true, Reason::EmptyMain),
            (9, "<h1>{{title}}</h1><p>{{ body }} and seven words more that stand here</p><script src=/app.js></script><div ng-view></div>".into(), true, Reason::EmptyRoot),
            (80, format!("<div id=root></div>{prose}<script src=/static/js/a.js></script>"), true, Reason::EmptyRoot),
            (0, "<div id=root></div>".into(), false, Reason::NothingToRun),
            (9, "<p>Just so many words, and there are no more.</p>".into(), false, Reason::NothingToRun),
            (9, "<p>Just so many words, and there are no more.</p><script async src=/gtag/js></script>".into(), false, Reason::NoEvidence),
            (80, format!("<p>{prose}</p><noscript>Enable JavaScript to see the map.</noscript><script src=map.js></script>"), false, Reason::HasContent),
            (700, format!("<div id=__next>{much}</div><script id=__NEXT_DATA__ type=application/json>{{}}</script><script src=/_next/static/a.js></script>"), false, Reason::HasContent),
            (700, format!("<div id=root></div><p>{much}</p><script src=/app.js></script>"), false, Reason::HasContent),
            (0, format!("<nav>{much}</nav><script src=/app.js></script>"), false, Reason::HasText),
            (6, "<p>Checking your browser before you go on</p><script>window._cf_chl_opt={}</script>".into(), false, Reason::Challenge),
        ];
        for (words, page, render, reason) in table {
            let verdict = Verdict::of(&features(*words, page), Lean::NEUTRAL);
            assert_eq!((verdict.render, verdict.reason), (*render, *reason), "{page}: {verdict:?}");
        }
    }

    #[test]
    fn a_verdict_can_be_added_up() {
        let verdict = Verdict::of(&features(0, "<div id=root></div><script src=a.js></script>"), Lean::NEUTRAL);
        let sum: f32 = verdict.evidence.iter().map(|evidence| evidence.weight).sum();
        assert!((sum - verdict.score).abs() < 1e-6 && verdict.render == (verdict.score >= verdict.threshold));
    }

    #[test]
    fn a_host_decides_only_where_evidence_hardly_does() {
        let mut hosts = Hosts::default();
        let now = std::time::Duration::ZERO;
        for _ in 0..1000 {
            hosts.record("renders", Outcome::RenderingWon, now);
            hosts.record("suffices", Outcome::SentSufficed, now);
        }
        let [renders, suffices] = ["renders", "suffices"].map(|host| hosts.lean(host, now));
        // Plain either way.
        let shell = features(0, "<div id=root></div><script src=a.js></script>");
        let article = features(700, &format!("<p>{}</p><script src=a.js></script>", "word ".repeat(700)));
        // A few words and a bundle beside an element that is empty.
        let unsure =
            features(30, &format!("<p>{}</p><x-view></x-view><script type=module src=a.js></script>", "word ".repeat(30)));
        for lean in [renders, suffices] {
            assert!(Verdict::of(&shell, lean).render && !Verdict::of(&article, lean).render);
        }
        assert!(
            Verdict::of(&unsure, renders).render
                && !Verdict::of(&unsure, suffices).render
                && !Verdict::of(&unsure, Lean::NEUTRAL).render
        );
    }

    #[test]
    fn the_document_that_says_more_is_the_better_one() {
        let document = |words: u32, text: &str| Document { word_count: words, text: text.to_owned(), ..Document::default() };
        let table = [
            (0, 500, Better::Rendered),
            (0, 0, Better::Same),
            (100, 300, Better::Rendered),
            (100, 100, Better::Same),
            (100, 85, Better::Same),
            (100, 20, Better::Sent),
            (100, 0, Better::Sent),
            // "Loading, please wait" is no content.
            (8, 4, Better::Rendered),
            (8, 0, Better::Sent),
        ];
        for (before, after, expected) in table {
            let better = Better::of(&Features::default(), &document(before, "sent"), &document(after, "rendered"));
            assert_eq!(better, expected, "{before} words, {after} once rendered");
        }
        let asks = Features { asks: true, ..Features::default() };
        assert_eq!(Better::of(&asks, &document(60, "sent"), &document(20, "rendered")), Better::Rendered);
    }

    #[test]
    fn reasons_have_names_of_their_own() {
        let mut labels = Reason::ALL.map(Reason::label).to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("text"), reason.label());
        }
    }
}
