//! What is asked for: where the page is, and what is known about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::Priority;
use eventmesh_extractors::browser::RenderOptions;
use eventmesh_extractors::pdf::Password;

use crate::cache::Directives;
use crate::sessions::Session;

/// Where a page is.
#[derive(Clone, Debug)]
pub enum Source {
    /// Here.
    Bytes(Bytes),
    /// In a file; one whose name ends in `.gz` is decompressed.
    Path(PathBuf),
    /// On the web.
    Url(String),
}

/// One page to extract.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) source: Source,
    pub(crate) base_url: Option<String>,
    pub(crate) charset: Option<String>,
    pub(crate) html: bool,
    pub(crate) deadline: Option<Duration>,
    pub(crate) priority: Priority,
    pub(crate) password: Option<Password>,
    pub(crate) images: bool,
    pub(crate) stream_pages: bool,
    pub(crate) render: Option<Picture>,
    pub(crate) mode: RenderMode,
    pub(crate) options: Arc<RenderOptions>,
    pub(crate) cache: Directives,
    pub(crate) robots: Option<Robots>,
    /// One caller's cookies: whatever comes of the request is that caller's alone and never kept for others.
    pub(crate) session: Option<Session>,
}

/// What is done about a site's robots.txt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robots {
    /// What it does not allow is not asked for.
    Honour,
    /// It is not looked at.
    Ignore,
}

/// Whether a page is rendered by a browser before its content is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenderMode {
    /// Never: it is taken as it is sent.
    #[default]
    Never,
    /// If it is empty without its scripts, and says so in one of the ways in which pages do; or if something is asked for that
    /// only a browser brings.
    Auto,
    /// Always. A URL is then asked for by the browser itself.
    Always,
}

/// A page of a document as a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Its place in the document, from 1.
    pub page: u32,
    /// Dots per inch.
    pub dpi: f32,
}

impl Request {
    /// A page from anywhere.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            base_url: None,
            charset: None,
            html: false,
            deadline: None,
            priority: Priority::Interactive,
            password: None,
            images: false,
            stream_pages: false,
            render: None,
            mode: RenderMode::Never,
            options: Arc::default(),
            cache: Directives::default(),
            robots: None,
            session: None,
        }
    }

    /// A page in memory.
    #[must_use]
    pub fn bytes(page: impl Into<Bytes>) -> Self {
        Self::new(Source::Bytes(page.into()))
    }

    /// A page in a file.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::Path(path.into()))
    }

    /// A page on the web, by its `http` or `https` URL.
    #[must_use]
    pub fn url(url: impl Into<String>) -> Self {
        Self::new(Source::Url(url.into()))
    }

    /// Who is served first, and sent away last when memory is short. Default interactive.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// What relative links are resolved against. Default: the address it was found at, if it was on the web.
    #[must_use]
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = Some(base_url.into());
        self
    }

    /// The charset, if it is known from outside. Default: what the server says, else what the page says.
    #[must_use]
    pub fn charset(mut self, charset: impl Into<String>) -> Self {
        self.charset = Some(charset.into());
        self
    }

    /// Asks for the content as clean HTML, too; a PDF has none and is refused then.
    #[must_use]
    pub fn with_html(mut self) -> Self {
        self.html = true;
        self
    }

    /// The password of a PDF.
    #[must_use]
    pub fn password(mut self, password: impl Into<Password>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Asks for the images of a PDF as files, page by page.
    #[must_use]
    pub fn with_images(mut self) -> Self {
        self.images = true;
        self
    }

    /// Asks for the pages of a PDF one by one, each as [`Chunk::Page`](crate::Chunk::Page) as soon as it is read. The body
    /// that follows them then holds what is known of the document as a whole, and no page again: however long it is, no
    /// more than a few pages are held.
    #[must_use]
    pub fn stream_pages(mut self) -> Self {
        self.stream_pages = true;
        self
    }

    /// Asks for a page of a PDF as PNG instead of its content, in parts of [`Chunk::Picture`](crate::Chunk::Picture).
    #[must_use]
    pub fn render(mut self, picture: Picture) -> Self {
        self.render = Some(picture);
        self
    }

    /// Whether the page is rendered by a browser first, and how. Pages that are rendered come with
    /// [`Chunk::Rendered`](crate::Chunk::Rendered).
    ///
    /// [`RenderMode::Auto`] becomes [`RenderMode::Always`] where the options ask for something that only a browser brings
    /// ([`RenderOptions::need_a_browser`]): actions, a picture, a PDF, the HTML as it is shown, the console, the requests, the
    /// cookies. Those would be missing without a word from a page that needs no browser.
    #[must_use]
    pub fn rendered(mut self, mode: RenderMode, options: RenderOptions) -> Self {
        self.mode = match mode {
            RenderMode::Auto if options.need_a_browser() => RenderMode::Always,
            RenderMode::Never | RenderMode::Auto | RenderMode::Always => mode,
        };
        self.options = Arc::new(options);
        self
    }

    /// How old an answer may be that is kept, and whether this one is. It matters where the engine keeps any.
    #[must_use]
    pub fn cache(mut self, directives: Directives) -> Self {
        self.cache = directives;
        self
    }

    /// What is done about the site's robots.txt. Default: what the engine's settings say, which may also refuse to ignore it.
    #[must_use]
    pub fn robots(mut self, robots: Robots) -> Self {
        self.robots = Some(robots);
        self
    }

    /// The cookies that are sent, and kept, by fetches and by browsers. Such a request is not answered from the cache.
    #[must_use]
    pub fn session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// Time for this request. Default: the engine's.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(mode: RenderMode, options: RenderOptions) -> RenderMode {
        Request::bytes("<p>x").rendered(mode, options).mode
    }

    #[test]
    fn what_only_a_browser_brings_is_brought_by_one() {
        let none = RenderOptions::default;
        let actions = serde_json::from_value(serde_json::json!([{"action": "click", "selector": "a"}])).expect("they make sense");
        let wanted = [
            RenderOptions { actions, ..none() },
            RenderOptions { screenshot: Some(eventmesh_extractors::browser::Screenshot::default()), ..none() },
            RenderOptions { pdf: true, ..none() },
            RenderOptions { raw: true, ..none() },
            RenderOptions { console: true, ..none() },
            RenderOptions { network: true, ..none() },
            RenderOptions { with_cookies: true, ..none() },
        ];
        for options in wanted {
            assert_eq!(mode(RenderMode::Auto, options.clone()), RenderMode::Always, "{options:?}");
            assert_eq!(mode(RenderMode::Never, options), RenderMode::Never, "never is never");
        }
        let how = RenderOptions { locale: Some("de".to_owned()), block: vec!["*x*".to_owned()], ..none() };
        for options in [none(), how] {
            assert_eq!(mode(RenderMode::Auto, options), RenderMode::Auto, "how it is rendered is no wish to have it rendered");
        }
    }
}
