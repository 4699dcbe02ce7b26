//! One pass over the bytes of a page, piece by piece, that gathers its [`Features`].
//!
//! What it watches at the same time is bounded, and so is what it reads of scripts; a document that is long is not searched for
//! what only short ones hide.

use eventmesh_extractors::Document;
use memchr::memmem;

use super::count::{Counted, count};
use super::features::{Features, Noscript};
use super::scan::{Piece, Pieces, Tag};
use super::signs;

/// A pass over a page.
#[derive(Debug, Default)]
pub(super) struct Pass<'p> {
    features: Features,
    watched: Vec<Watched<'p>>,
    words: u32,
    letters: usize,
    scripts_left: usize,
    refreshes: bool,
}

/// Bytes of its scripts, all together, that are looked into.
const SCRIPTS: usize = 64 << 10;
/// Bytes of one of them.
const SCRIPT: usize = 16 << 10;
/// Elements that are open at the same time and watched.
const WATCHED: usize = 12;
/// Bytes of the shortest name of an element that means something here.
const SHORTEST: usize = 3;
/// Texts that are no longer than this may say that something is being loaded.
const SHORT: usize = 64;
/// A document of more words asks for nothing and hides nothing.
const FEW: u32 = 200;
/// After so many words, one that says "loading" is one of a text.
const MUCH: u32 = 1000;
/// Bytes of a page in which the words of gatekeepers are looked for.
const GATES: usize = 48 << 10;

/// An element that is open.
#[derive(Debug)]
struct Watched<'p> {
    name: &'p [u8],
    /// Elements of the same name inside of it that are open, too.
    depth: u32,
    /// Words before it.
    before: u32,
    is_root: bool,
}

impl<'p> Pass<'p> {
    /// Goes over what is looked at of a page, and adds to features what it finds.
    pub(super) fn over(page: &'p [u8], document: &Document, features: Features) -> Features {
        let mut pass = Self { features, scripts_left: SCRIPTS, ..Self::default() };
        let mut pieces = Pieces::of(page);
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Text(text) => pass.text(text),
                Piece::Open(tag) => pass.open(&tag, pieces.closes(tag.name)),
                Piece::Close(name) => pass.close(name),
                Piece::Raw(tag, body) => pass.raw(&tag, body),
            }
        }
        pass.end(page, document)
    }

    fn text(&mut self, text: &[u8]) {
        let Counted { words, letters, braces } = count(text);
        if words == 0 {
            return;
        }
        self.letters += letters;
        // Hardly any text has one.
        if braces {
            self.features.blanks += u32::try_from(memmem::find_iter(text, b"{{").take(64).count()).unwrap_or(0);
        }
        let text = text.trim_ascii();
        // What only says that there is nothing yet is nothing.
        if words <= 8 && text.len() <= SHORT && self.words < MUCH && waits(text) {
            self.features.loading = true;
            return;
        }
        self.words = self.words.saturating_add(words);
    }

    fn open(&mut self, tag: &Tag<'p>, hollow: bool) {
        for watched in &mut self.watched {
            if watched.name.eq_ignore_ascii_case(tag.name) {
                watched.depth += 1;
            }
        }
        let features = &mut self.features;
        // Most elements are a paragraph, a link, an item or a cell, and no name that matters is as short.
        let named = tag.name.len() >= SHORTEST;
        // All that are not HTML's own, but for two.
        let own = named && tag.name.contains(&b'-');
        let mut root = named && if own { any(tag.name, signs::ROOT_NAMES) } else { any(tag.name, signs::PLAIN_ROOT_NAMES) };
        let mut main = named && (tag.is("main") || tag.is("article"));
        let body = tag.is("body") || tag.is("html");
        let mut source = false;
        let mut loads = false;
        for (name, value) in tag.attributes() {
            if name.eq_ignore_ascii_case(b"href") {
                // The commonest, which says nothing here.
            } else if name.eq_ignore_ascii_case(b"id") {
                root |= !body && (any(value, signs::ROOT_IDS) || starts(value, "single-spa-application"));
                main |= !body && any(value, signs::MAIN_IDS);
            } else if name.eq_ignore_ascii_case(b"class") {
                features.waiting += u32::from(hollow && signs::WAITING_CLASSES.iter().any(|sign| holds(value, sign)));
            } else if name.eq_ignore_ascii_case(b"role") {
                main |= value.eq_ignore_ascii_case(b"main");
                features.waiting += u32::from(value.eq_ignore_ascii_case(b"progressbar"));
            } else if name.eq_ignore_ascii_case(b"aria-busy") {
                features.waiting += u32::from(value.eq_ignore_ascii_case(b"true"));
            } else if name.eq_ignore_ascii_case(b"src")
                || name.eq_ignore_ascii_case(b"hx-get")
                || name.eq_ignore_ascii_case(b"data-hx-get")
            {
                source = true;
            } else if name.eq_ignore_ascii_case(b"hx-trigger") || name.eq_ignore_ascii_case(b"data-hx-trigger") {
                loads |= ["load", "revealed", "intersect"].iter().any(|when| holds(value, when));
            } else if name.iter().any(|byte| matches!(byte, b'-' | b':')) {
                // As all of those do.
                root |= any(name, signs::ROOT_ATTRIBUTES);
                features.served |= any(name, signs::SERVED_ATTRIBUTES);
            }
        }
        let fragment = || own && ["turbo-frame", "include-fragment", "esi-include", "h-include"].iter().any(|name| tag.is(name));
        features.fragments += u32::from(source && (loads || fragment()));
        features.hollow += u32::from(hollow && !signs::is_known(tag.name));
        if !named {
            // None of the following.
        } else if tag.is("frame") {
            features.frames += 1;
        } else if tag.is("meta") {
            self.meta(tag);
        } else if tag.is("link") {
            let preloads = tag.get("rel").is_some_and(|rel| rel.eq_ignore_ascii_case(b"modulepreload"));
            features.scripts.modules += u32::from(preloads);
        }
        if (root || main) && self.watched.len() < WATCHED {
            self.watched.push(Watched { name: tag.name, depth: 0, before: self.words, is_root: root });
        }
    }

    fn meta(&mut self, tag: &Tag<'_>) {
        let at_once = |content: &[u8]| {
            let seconds = content.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit()).count();
            seconds == 1 && holds(content, "url")
        };
        if tag.get("http-equiv").is_some_and(|name| name.eq_ignore_ascii_case(b"refresh")) {
            self.refreshes |= tag.get("content").is_some_and(at_once);
        }
        // Ember's way to hand over settings; its pages have no root of their own.
        if tag.get("name").is_some_and(|name| name.ends_with(b"/config/environment")) {
            self.features.root.add(0);
        }
    }

    fn close(&mut self, name: &[u8]) {
        let words = self.words;
        for watched in &mut self.watched {
            if watched.name.eq_ignore_ascii_case(name) {
                if let Some(depth) = watched.depth.checked_sub(1) {
                    watched.depth = depth;
                } else {
                    watched.over(words, &mut self.features);
                    watched.name = b"";
                }
            }
        }
        self.watched.retain(|watched| !watched.name.is_empty());
    }

    fn raw(&mut self, tag: &Tag<'_>, body: &[u8]) {
        if tag.is("script") {
            self.script(tag, body);
        } else if tag.is("noscript") {
            let demands = demands(&lower(body, 2048));
            let noscript = &mut self.features.noscript;
            *noscript = if demands || *noscript == Noscript::Demands { Noscript::Demands } else { Noscript::Harmless };
        } else if tag.is("template") {
            self.features.template_words = self.features.template_words.saturating_add(words_of(body));
        } else if tag.is("iframe") {
            self.features.frames += u32::from(shows(tag));
        }
    }

    fn script(&mut self, tag: &Tag<'_>, body: &[u8]) {
        let kind = tag.get("type").unwrap_or_default();
        let id = tag.get("id").unwrap_or_default();
        let scripts = &mut self.features.scripts;
        let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let module = kind.eq_ignore_ascii_case(b"module");
        let program = module || kind.is_empty() || holds(kind, "javascript") || holds(kind, "babel") || holds(kind, "ecmascript");
        if !program && holds(kind, "importmap") {
            scripts.modules += 1;
            return;
        }
        if !program {
            if signs::STATES.iter().any(|sign| holds(id, sign)) {
                self.features.state_bytes = self.features.state_bytes.saturating_add(size);
            } else if !holds(kind, "json")
                && (holds(kind, "template") || holds(kind, "html") || holds(kind, "handlebars") || holds(kind, "mustache"))
            {
                self.features.template_words = self.features.template_words.saturating_add(words_of(body));
            }
            return;
        }
        scripts.modules += u32::from(module);
        if let Some(source) = tag.get("src").filter(|source| !source.is_empty()) {
            scripts.external += 1;
            scripts.bundles += u32::from(signs::BUNDLES.iter().any(|sign| holds(source, sign)));
            return;
        }
        scripts.inline += 1;
        scripts.inline_bytes = scripts.inline_bytes.saturating_add(size);
        if self.features.words > FEW {
            return;
        }
        let read = &body[..body.len().min(SCRIPT).min(self.scripts_left)];
        self.scripts_left -= read.len();
        let says = |signs: &[&str]| signs.iter().any(|sign| memmem::find(read, sign.as_bytes()).is_some());
        // Both in the same script: a page has many that do one of them for their own ends.
        let fills = says(signs::FILLS);
        scripts.fills |= fills;
        scripts.later |= fills && says(signs::LATER);
        // At the end of a paragraph, a heading or an item, whether or not its slash is escaped.
        let ends = |sign: &str| memmem::find_iter(read, sign.as_bytes()).take(64).count();
        let markup = ends("/p>") + ends("/h1>") + ends("/h2>") + ends("/li>") + ends("/td>");
        scripts.markup = scripts.markup.saturating_add(u32::try_from(markup).unwrap_or(0));
        let head = lower(read, 512);
        if signs::STATES.iter().any(|sign| holds(&head, sign)) {
            self.features.state_bytes = self.features.state_bytes.saturating_add(size);
        }
        // A script that leads elsewhere does little else.
        self.features.leads |= body.len() < 2048 && says(signs::LEADS);
    }

    fn end(mut self, page: &[u8], document: &Document) -> Features {
        let words = self.words;
        for watched in std::mem::take(&mut self.watched) {
            // What was cut off may have its words further on.
            if !self.features.are_decided() || words > watched.before {
                watched.over(words, &mut self.features);
            }
        }
        let mut features = self.features;
        features.leads |= self.refreshes;
        features.visible_words = words;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = if page.is_empty() { 0.0 } else { self.letters as f32 / page.len() as f32 };
        features.text_ratio = ratio;
        if features.words < FEW {
            features.asks = demands(&lower(document.text.as_bytes(), 4096));
            let finds = |text: &[u8], signs: &[&str]| signs.iter().any(|sign| memmem::find(text, sign.as_bytes()).is_some());
            let text = format!("{} {}", document.title.as_deref().unwrap_or_default(), document.text);
            features.challenge =
                finds(&lower(page, GATES), signs::GATEKEEPERS) || finds(&lower(text.as_bytes(), 4096), signs::CHALLENGES);
        }
        features
    }
}

impl Watched<'_> {
    fn over(&self, words: u32, features: &mut Features) {
        let inside = words - self.before;
        if self.is_root { features.root.add(inside) } else { features.main.add(inside) }
    }
}

/// Words between the tags of a piece of HTML.
pub(super) fn words_of(html: &[u8]) -> u32 {
    let texts = Pieces::of(html).map(|piece| match piece {
        Piece::Text(text) => count(text).words,
        Piece::Open(_) | Piece::Close(_) | Piece::Raw(..) => 0,
    });
    texts.fold(0, u32::saturating_add)
}

/// What those signs begin with that are in ASCII, a bit for each letter.
const FIRSTS: u128 = {
    let (mut firsts, mut at) = (0, 0);
    while at < signs::WAITING_WORDS.len() {
        let first = signs::WAITING_WORDS[at].as_bytes()[0];
        if first.is_ascii() {
            firsts |= 1 << first;
        }
        at += 1;
    }
    firsts
};

/// Whether a short text says that something is yet to come.
fn waits(text: &[u8]) -> bool {
    // Hardly any text begins as one of them does.
    let Some([one, two]) = text.first_chunk::<2>().map(|first| first.map(|byte| byte.to_ascii_lowercase())) else { return false };
    let begins = |sign: &&str| matches!(sign.as_bytes(), [first, second, ..] if *first == one && *second == two);
    let may = !one.is_ascii() || !two.is_ascii() || (FIRSTS >> one & 1 == 1 && signs::WAITING_WORDS.iter().any(begins));
    if !may {
        return false;
    }
    let text = String::from_utf8_lossy(text).to_lowercase();
    signs::WAITING_WORDS.iter().any(|sign| text.starts_with(sign))
        && (text.split_whitespace().count() <= 4 || text.ends_with("...") || text.ends_with('…'))
}

/// Whether a text in lower case asks for scripts.
fn demands(text: &[u8]) -> bool {
    let Some(named) =
        memmem::find(text, b"javascript").or_else(|| memmem::find(text, b" js ")).or_else(|| memmem::find(text, b"java script"))
    else {
        return false;
    };
    let near = &text[named.saturating_sub(160)..text.len().min(named + 160)];
    signs::DEMANDS.iter().any(|sign| memmem::find(near, sign.as_bytes()).is_some())
}

/// Whether a frame may show something that belongs to the page.
fn shows(tag: &Tag<'_>) -> bool {
    let source = tag.get("src").unwrap_or_default();
    let tiny = |name: &str| tag.get(name).is_some_and(|size| matches!(size.trim_ascii(), b"0" | b"1" | b"0px" | b"1px"));
    let hidden =
        tag.get("hidden").is_some() || tag.get("style").is_some_and(|style| holds(style, "none") || holds(style, "hidden"));
    !source.is_empty()
        && !hidden
        && !tiny("width")
        && !tiny("height")
        && !signs::FOREIGN_FRAMES.iter().any(|sign| holds(source, sign))
}

fn lower(bytes: &[u8], most: usize) -> Vec<u8> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).to_lowercase().into_bytes()
}

fn any(value: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| value.eq_ignore_ascii_case(name.as_bytes()))
}

fn starts(value: &[u8], beginning: &str) -> bool {
    value.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
}

/// Whether a short value holds a sign, which is in lower case.
fn holds(value: &[u8], sign: &str) -> bool {
    value.len() >= sign.len() && value.windows(sign.len()).take(512).any(|window| window.eq_ignore_ascii_case(sign.as_bytes()))
}
