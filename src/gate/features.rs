//! What can be said of a page before anybody renders it: figures and signs, from its bytes as they were sent and the
//! document that was made of them. Pure, and one pass over a bounded number of bytes.
//!
//! It judges nothing; that is what [`Verdict`](super::Verdict) does.

use eventmesh_extractors::{Document, PageType};
use serde::{Deserialize, Serialize};

use super::pass::Pass;

/// What can be said of a page before it is rendered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// Bytes of the page as it was sent.
    pub bytes: usize,
    /// Bytes of it that were looked at, from its beginning. Where a document has many words nothing else outweighs them, and what is
    /// said here of the page is said of these alone.
    pub looked_at: usize,
    /// Words of the document that was made of it.
    pub words: u32,
    /// The document's own measure of trust, 0 to 1.
    pub quality: f32,
    /// What kind of page the document is.
    pub page_type: PageType,
    /// Links of the document.
    pub links: u32,
    /// Whether it has a title.
    pub title: bool,
    /// Words between all of its tags, whether or not they are content.
    pub visible_words: u32,
    /// Bytes of the text between its tags, of those that were looked at.
    pub text_ratio: f32,
    /// Its scripts.
    pub scripts: Scripts,
    /// The element that a framework fills.
    pub root: Container,
    /// The element in which content stands, by its name or role.
    pub main: Container,
    /// Bytes of the data of an application.
    pub state_bytes: u32,
    /// Whether a server says that it has rendered it.
    pub served: bool,
    /// What it says to those who run no scripts.
    pub noscript: Noscript,
    /// Whether its text, which is short, asks for scripts.
    pub asks: bool,
    /// Marks of things that stand where content will be: skeletons, spinners, busy regions.
    pub waiting: u32,
    /// Whether it says that it is being loaded.
    pub loading: bool,
    /// Elements of no standard name without anything inside.
    pub hollow: u32,
    /// Places in its text that a script fills in: `{{ name }}`.
    pub blanks: u32,
    /// Words in templates, which only scripts show.
    pub template_words: u32,
    /// Elements that say where their inside is to be got from.
    pub fragments: u32,
    /// Frames that may show what belongs to it.
    pub frames: u32,
    /// Whether it leads elsewhere at once.
    pub leads: bool,
    /// Whether it is what is shown to those who are taken for a machine.
    pub challenge: bool,
}

/// The scripts of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripts {
    /// Those that stand in it.
    pub inline: u32,
    /// Those that it names.
    pub external: u32,
    /// Modules, of both.
    pub modules: u32,
    /// Those named as bundlers name them.
    pub bundles: u32,
    /// Bytes of those that stand in it.
    pub inline_bytes: u32,
    /// Whether one of them writes the page. Looked for only if the document is short.
    pub fills: bool,
    /// Whether one of them waits for something first.
    pub later: bool,
    /// Ends of paragraphs and headings inside of them, looked for likewise.
    pub markup: u32,
}

/// An element that is to hold content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Container {
    /// There is none.
    #[default]
    None,
    /// There is one, with nothing to read.
    Empty,
    /// There is one with text, by its words.
    Filled {
        /// So many.
        words: u32,
    },
}

impl Container {
    /// One more of its kind, with so many words inside; the fullest counts.
    pub(super) fn add(&mut self, inside: u32) {
        let before = match *self {
            Self::None | Self::Empty => 0,
            Self::Filled { words } => words,
        };
        let words = before.max(inside);
        *self = if words == 0 { Self::Empty } else { Self::Filled { words } };
    }

    /// Whether there is one, with no more than so many words.
    #[must_use]
    pub fn within(self, most: u32) -> bool {
        match self {
            Self::None => false,
            Self::Empty => true,
            Self::Filled { words } => words <= most,
        }
    }

    /// Whether there is one with at least so many words.
    #[must_use]
    pub fn holds(self, least: u32) -> bool {
        matches!(self, Self::Filled { words } if words >= least)
    }
}

/// What a page says to those who run no scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noscript {
    /// Nothing.
    #[default]
    None,
    /// Nothing that they miss: a picture that counts them, styles.
    Harmless,
    /// That they need them.
    Demands,
}

impl Features {
    /// The features of a page as it was sent, and of the document that was made of it.
    #[must_use]
    pub fn of(page: &[u8], document: &Document) -> Self {
        let most = if document.word_count > MANY { BEGINNING } else { LOOKED_AT };
        let looked_at = page.len().min(most);
        let begun = Self {
            bytes: page.len(),
            looked_at,
            words: document.word_count,
            quality: document.quality,
            page_type: document.page_type,
            links: u32::try_from(document.links.len()).unwrap_or(u32::MAX),
            title: document.title.is_some(),
            ..Self::default()
        };
        Pass::over(&page[..looked_at], document, begun)
    }

    /// Whether the document's words have decided before all of the page was looked at.
    pub(super) fn are_decided(&self) -> bool {
        self.words > MANY && self.looked_at < self.bytes
    }
}

/// A document of more words decides alone: all evidence for rendering together does not outweigh them.
pub(super) const MANY: u32 = 600;
/// Bytes that are looked at of a page of such a document.
const BEGINNING: usize = 16 << 10;

/// Bytes of a page that are looked at. What an application sends stands well before.
const LOOKED_AT: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use super::super::pass::words_of;
    use super::*;

    fn of(page: &str) -> Features {
        let words = words_of(page.as_bytes());
        Features::of(page.as_bytes(), &Document { word_count: words, ..Document::default() })
    }

    #[test]
    fn containers_are_found_with_what_is_inside() {
        let table = [
            ("<div id=root></div>", Container::Empty, Container::None),
            ("<DIV ID='__next'><p>one two</p></DIV> three", Container::Filled { words: 2 }, Container::None),
            ("<div id=app><div>one<div>two</div></div>three</div> four", Container::Filled { words: 3 }, Container::None),
            ("<div id=app>Loading…</div>", Container::Empty, Container::None),
            ("<app-root><svg><text>Logo</text></svg></app-root>", Container::Empty, Container::None),
            ("<div id=root><main>one two three</main></div>", Container::Filled { words: 3 }, Container::Filled { words: 3 }),
            ("<main></main><p>elsewhere</p>", Container::None, Container::Empty),
            ("<div role=main>one", Container::None, Container::Filled { words: 1 }),
            ("<div id=content></div><article>one two</article>", Container::None, Container::Filled { words: 2 }),
            ("<body id=app><p>one</p></body>", Container::None, Container::None),
            ("<p>root and app</p>", Container::None, Container::None),
        ];
        for (page, root, main) in table {
            let features = of(page);
            assert_eq!((features.root, features.main), (root, main), "{page}");
        }
    }

    #[test]
    fn scripts_are_told_apart() {
        let page = "<script src=/_next/static/a.js></script><script type=module>import('./a.js').then(m=>box.innerHTML=m.text)</script>\
            <script type=application/ld+json>{\"a\":\"</p>\"}</script><script>window.__INITIAL_STATE__={}</script><script type=text/template>one two</script>\
            <template><p>three</p></template>";
        let features = of(page);
        let expected = Scripts { inline: 2, external: 1, modules: 1, bundles: 1, fills: true, later: true, ..features.scripts };
        assert_eq!(features.scripts, expected);
        assert_eq!((features.template_words, features.state_bytes > 0, features.visible_words), (3, true, 0));
        // One that does only one of both is like many.
        let features = of("<script>fetch('/count')</script><script>menu.innerHTML='<li>Home</li>'</script>");
        assert!(features.scripts.fills && !features.scripts.later);
    }

    #[test]
    fn demands_are_told_from_pixels_in_many_languages() {
        let table = [
            ("<noscript><img src=/pixel></noscript>", Noscript::Harmless),
            ("<noscript><iframe src=https://www.googletagmanager.com/ns.html></iframe></noscript>", Noscript::Harmless),
            ("<noscript>You need to enable JavaScript to run this app.</noscript>", Noscript::Demands),
            ("<noscript>Bitte aktivieren Sie JavaScript.</noscript>", Noscript::Demands),
            ("<noscript>Veuillez activer JavaScript.</noscript>", Noscript::Demands),
            ("<noscript>Por favor, habilite JavaScript.</noscript>", Noscript::Demands),
            ("<noscript>JavaScriptを有効にしてください。</noscript>", Noscript::Demands),
            ("<noscript>Включите JavaScript.</noscript>", Noscript::Demands),
            ("<noscript>請啟用 JavaScript</noscript>", Noscript::Demands),
            ("<p>none</p>", Noscript::None),
        ];
        for (page, expected) in table {
            assert_eq!(of(page).noscript, expected, "{page}");
        }
    }

    #[test]
    fn signs_of_what_is_to_come() {
        assert!(of("<p>Wird geladen …</p>").loading && of("<p>読み込み中…</p>").loading);
        assert!(!of("<p>Loading and unloading of ships is done by day</p>").loading);
        assert_eq!(of("<div class='card skeleton'></div><div class=loading-bay>Ships</div><b aria-busy=true></b>").waiting, 2);
        assert_eq!(of("<x-card></x-card><redoc></redoc><div></div><x-card>full</x-card>").hollow, 2);
        assert_eq!(of("<p>{{ name }} is {{ age }}</p>").blanks, 2);
        assert_eq!(
            of("<div hx-get=/a hx-trigger='load delay:1s'></div><a hx-get=/b>b</a><turbo-frame src=/c></turbo-frame>").fragments,
            2
        );
        let frames = "<iframe src=/page></iframe><iframe src=https://www.youtube.com/embed/1></iframe><iframe src=/x height=0></iframe><frame src=/f>";
        assert_eq!(of(frames).frames, 2);
        assert!(
            of("<meta http-equiv=Refresh content='0; URL=/there'>").leads
                && of("<script>location.replace('/there')</script>").leads
        );
        assert!(
            !of("<meta http-equiv=refresh content='300; url=/here'>").leads && !of("<meta http-equiv=refresh content=5>").leads
        );
        assert!(of("<p>one</p><script>window._cf_chl_opt={}</script>").challenge);
    }

    #[test]
    fn any_soup_of_tags_has_features() {
        const PARTS: &[&str] = &[
            "<",
            ">",
            "</",
            "<div id=root",
            "'",
            "\"",
            "=",
            "<script",
            "</script>",
            "<!--",
            "-->",
            "word ",
            "<noscript>",
            "javascript ",
            "<template>",
            "{{",
            "<meta http-equiv=refresh content=",
            "<svg>",
            "\u{65e5}",
            "\0",
            "<x-a>",
            "</x-a>",
            "<main>",
            "</main>",
            " src=",
            "<iframe",
            "/",
            "Loading…",
            "</div>",
            "&nbsp;",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..2_000 {
            let mut page = Vec::new();
            for _ in 0..random.usize(0..60) {
                page.extend_from_slice(PARTS[random.usize(0..PARTS.len())].as_bytes());
                if random.u8(0..20) == 0 {
                    page.push(random.u8(..));
                }
            }
            let text = String::from_utf8_lossy(&page).into_owned();
            let document = Document { word_count: random.u32(0..300), text, ..Document::default() };
            let features = Features::of(&page, &document);
            assert!((0.0..=1.0).contains(&features.text_ratio), "round {round}");
            assert_eq!(features, Features::of(&page, &document), "round {round}");
        }
    }
}
