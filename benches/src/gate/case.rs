//! One page of the labelled set: what it is, and whether its content is there before its scripts have run.

/// Where a page comes from, for figures by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A page of the corpora, as it was sent, with its content.
    Static,
    /// A page written to look as if it needed rendering.
    Hard,
    /// The empty shell of an application, as a framework or a bundler makes it.
    Shell,
    /// A page of the corpora whose content was moved into a script.
    Turned,
    /// A page of the site of pages that take their time, without prose.
    Late,
    /// A page of that site with two paragraphs of prose in it: content is there, and more comes.
    Half,
    /// An application as a package ships it.
    Built,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [Self::Static, Self::Hard, Self::Shell, Self::Turned, Self::Late, Self::Half, Self::Built];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Static => "static pages of the corpora",
            Self::Hard => "static pages that look empty",
            Self::Shell => "shells of frameworks",
            Self::Turned => "static pages turned into scripts",
            Self::Late => "late pages",
            Self::Half => "late pages with prose",
            Self::Built => "built applications",
        }
    }
}

/// A page with its label.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) page: Vec<u8>,
    /// Its content comes by scripts.
    pub(crate) needs_rendering: bool,
    /// Words of its content, where that is known from before it was hidden.
    pub(crate) words: Option<u32>,
    /// What a site has to serve besides: path and body.
    pub(crate) script: Option<(String, String)>,
}

impl Case {
    pub(crate) fn new(kind: Kind, name: impl Into<String>, page: impl Into<Vec<u8>>) -> Self {
        let needs_rendering = !matches!(kind, Kind::Static | Kind::Hard);
        Self { kind, name: name.into(), page: page.into(), needs_rendering, words: None, script: None }
    }

    /// Which half of the set it is in: one was looked at while weights were chosen, the other one is what figures are taken with.
    pub(crate) fn is_held_out(&self) -> bool {
        // FNV-1a: the same in every run and on every machine.
        let hash = self
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        (hash >> 32) & 1 == 1
    }
}
