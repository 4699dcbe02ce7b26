//! The way of a request, as one function.
//!
//! ```text
//!   admission ─▶ cache ─▶ fetch ─▶ Head ─▶ gate ─┬▶ wasm pool ─▶ Route ─▶ Body ─▶ Done
//!        │         │        │               │    ├▶ pages pool ─▶ Route ─▶ Rendered ─▶ wasm pool ─▶ Body ─▶ Done
//!        │         │        │               │    └▶ pdf pool ─▶ Route ─▶ Page… ─▶ Body ─▶ Done
//!        │         └▶ Head ─┼───────────────┼─────────┼─────────▶ Route ─▶ Body ─▶ Done
//!        └──────────────────┴───────────────┴─────────┴──────────────────▶ Error
//! ```
//! Everything a request holds is held by this function's locals: however it ends, by its end, an error, a panic
//! or the caller's going, permit and lease are given back by `Drop`.

mod cached;
mod doing;
mod ended;
mod kept;
mod time;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::{Demand, Priority};
use eventmesh_extractors::browser::{Extract, RenderError, RenderJob, RenderOptions, RenderRequest, RenderSource, Rendered};
use eventmesh_extractors::pdf::{Password, PdfJob, PdfOutput, PdfTask};
use eventmesh_extractors::wasm::{Extracted, Job};
use eventmesh_extractors::{Document, Hints};
use rapidhash::quality::RandomState;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument, debug_span};

use crate::admission::Permit;
use crate::browser;
use crate::cache::{Freshness, Validators};
use crate::config::Config;
use crate::engine::Inner;
use crate::error::{Error, ErrorKind};
use crate::fetch::{Got, Outcome, Terms};
use crate::gate::{self, Lean, Reason, Route, RouteTaken, Way};
use crate::observe::{Asked, Stage, place_of};
use crate::pdf::{self, Assembly};
use crate::reply::{Body, Chunk, Head, Passage, ReplySender, Timing};
use crate::request::{Picture, RenderMode, Request, Source};
pub(crate) use doing::Doing;
use ended::{ended, failure, page_failure};
use time::Time;

/// Makes the error of a request that was not done in time, of what it was at.
pub(crate) type Late<'l> = dyn Fn(Doing) -> Error + Sync + 'l;

/// Works on an accepted request and ends its reply.
pub(crate) async fn work(inner: &Arc<Inner>, request: Request, permit: Permit, asked: Asked, reply: ReplySender) {
    let within = within(&request, &inner.config);
    let began = Instant::now();
    let result = tokio::select! {
        biased;
        () = inner.aborted() => Err(Error::new(ErrorKind::ShuttingDown, "the engine shut down before the request was done")),
        result = extract(inner, request, permit, began, within, &reply) => result,
    };
    asked.ended(&result, reply.sent());
    reply.finish(result);
}

/// The time that a request has.
pub(crate) fn within(request: &Request, config: &Config) -> Duration {
    request.deadline.unwrap_or(config.deadline).min(LONGEST)
}

/// A deadline past this is no deadline.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

async fn extract(
    inner: &Arc<Inner>,
    request: Request,
    permit: Permit,
    began: Instant,
    within: Duration,
    reply: &ReplySender,
) -> Result<Timing, Error> {
    let time = Time { began, within };
    if let Some(plan) = cached::plan(inner, &request) {
        return cached::extract(inner, plan, request, permit, time, reply).await;
    }
    let made = make(inner, request, permit, time, None, reply).await?;
    if let Some(document) = made.document {
        time.hand(reply, Chunk::Body(Body::new(document))).await?;
    }
    Ok(made.timing)
}

/// What has been made of a source.
struct Made {
    /// What was found, if it is a page or file.
    head: Option<Head>,
    /// Which way it went, if it is known.
    route: Option<Box<RouteTaken>>,
    /// Its content; `None` if something else was asked for, or it is as it was.
    document: Option<Box<Document>>,
    /// How long it may be used; `None` if nobody said.
    freshness: Option<Freshness>,
    /// It is not what was to be made: it is better than nothing, and not to be kept.
    makeshift: bool,
    timing: Timing,
}

/// Fetches the source and makes of it what is asked for. If its content is `known`, it may turn out that it has not changed.
async fn make(
    inner: &Inner,
    request: Request,
    permit: Permit,
    time: Time,
    known: Option<&Validators>,
    reply: &ReplySender,
) -> Result<Made, Error> {
    let (began, deadline) = (time.began, time.deadline());
    let late = |doing: Doing| time.late(doing);
    let terms = Terms::of(&request, &inner.config.fetch, deadline)?;

    // A file that is called one is one, or a broken one.
    let called_pdf = match &request.source {
        Source::Path(path) => path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf")),
        Source::Bytes(_) | Source::Url(_) => false,
    };
    if let (RenderMode::Always, Source::Url(url)) = (request.mode, &request.source) {
        // The browser asks for it itself, and sees what a person would. It goes through a proxy that looks at everything, but
        // would not say why.
        let checked = inner.egress.parse(url).map_err(|refused| refused.error(url))?;
        timeout_at(deadline, inner.egress.check(&checked))
            .await
            .map_err(|_| late(Doing::LookingUp))?
            .map_err(|error| error.of(url))?;
        let source = RenderSource::Url(checked.into());
        let mut permit = permit;
        let work =
            Work { inner, page: Bytes::new(), priority: request.priority, began, fetched: began, deadline, reply, terms: &terms };
        let rendered = work.browse(source, &request.options, Reason::Asked, &late).await?;
        permit.grow(rendered.html.len() as u64)?;
        return work.rendered(rendered, request.base_url, request.html, None, &request.options, &late).await;
    }
    let place = place_of(&request.source);
    let stage = debug_span!("fetch", error = Empty);
    let getting = inner.fetcher.get(request.source, permit, known, &terms).instrument(stage.clone());
    let got = timeout_at(deadline, getting).await.unwrap_or_else(|_| Err(late(Doing::Fetching)));
    let got = ended(stage, got)?;
    let fetched = Instant::now();
    let page = match got {
        Got::Page(page) => page,
        Got::NotModified(freshness) => {
            inner.metrics.fetched(place, fetched - began, 0);
            let timing = Timing { total: fetched - began, fetch: fetched - began, ..Timing::default() };
            return Ok(Made { head: None, route: None, document: None, freshness: Some(freshness), makeshift: false, timing });
        }
    };
    inner.metrics.fetched(place, fetched - began, page.head.bytes);
    let (head, freshness) = (page.head.clone(), page.freshness.clone());
    let charset = request.charset.or_else(|| page.head.content_type.as_deref().and_then(gate::charset));
    let found = page.head.url.clone();
    let hints = Hints { base_url: request.base_url.or_else(|| page.head.url.clone()), charset, html: request.html };
    let content_type = page.head.content_type.clone().or_else(|| called_pdf.then(|| "application/pdf".to_owned()));
    reply.send(Chunk::Head(page.head.clone())).await;
    // Held until the answer is out.
    let (page, _permit) = page.hold();

    let work = Work { inner, page, priority: request.priority, began, fetched, deadline, reply, terms: &terms };
    let stage = debug_span!("gate", error = Empty);
    let route = stage.in_scope(|| gate::route(content_type.as_deref(), &work.page));
    let made = match ended(stage, route)? {
        Route::Html if request.render.is_some() => {
            Err(Error::new(ErrorKind::Unsupported, "the source is no PDF, and only pages of PDFs can be rendered"))
        }
        Route::Html => match request.mode {
            RenderMode::Never => work.html(hints, &late).await,
            RenderMode::Always => {
                let source = work.as_source(&hints);
                let rendered = work.browse(source, &request.options, Reason::Asked, &late).await?;
                work.rendered(rendered, hints.base_url, hints.html, Some(head.clone()), &request.options, &late).await
            }
            RenderMode::Auto => work.html_or_rendered(hints, found, &request.options, &late).await,
        },
        Route::Pdf if request.html => Err(Error::new(
            ErrorKind::Unsupported,
            "the source is a PDF, which has no HTML to be cleaned; ask for Markdown or text",
        )),
        Route::Pdf => {
            reply.went(Passage::Pdf);
            let task = match request.render {
                Some(Picture { page, dpi }) => PdfTask::Render { page, dpi },
                None => PdfTask::Extract { images: request.images },
            };
            work.pdf(task, request.password, request.stream_pages, hints.base_url, &late).await
        }
    }?;
    Ok(Made { head: made.head.or(Some(head)), freshness, ..made })
}

/// A page on its way through a pool.
struct Work<'w> {
    inner: &'w Inner,
    page: Bytes,
    priority: Priority,
    began: Instant,
    fetched: Instant,
    deadline: Instant,
    reply: &'w ReplySender,
    terms: &'w Terms,
}

impl Work<'_> {
    async fn demand(&self, bytes: u64, page: &Bytes) -> Result<Demand, Error> {
        Ok(Demand::new(bytes, self.deadline).priority(self.priority).key(key_of(self.inner.keys, page).await?))
    }

    fn timing(&self, ran: Duration) -> Timing {
        let done = Instant::now();
        Timing {
            total: done - self.began,
            fetch: self.fetched - self.began,
            wait: (done - self.fetched).saturating_sub(ran),
            extract: ran,
        }
    }

    async fn html(&self, hints: Hints, late: &Late<'_>) -> Result<Made, Error> {
        let extracted = self.document(self.page.clone(), hints, late).await?;
        Ok(self.went(RouteTaken::without_question(Way::Extract, Reason::Asked), extracted).await)
    }

    /// Says which way a page has gone, and what has been made of it.
    async fn went(&self, route: RouteTaken, extracted: Extracted) -> Made {
        self.reply.send(Chunk::Route(Box::new(route.clone()))).await;
        let makeshift = route.fell_back;
        Made { route: Some(Box::new(route)), makeshift, ..self.made(Some(extracted.document), extracted.ran) }
    }

    fn made(&self, document: Option<Document>, ran: Duration) -> Made {
        let timing = self.timing(ran);
        Made { head: None, route: None, document: document.map(Box::new), freshness: None, makeshift: false, timing }
    }

    /// The one place where HTML becomes a document.
    async fn document(&self, page: Bytes, hints: Hints, late: &Late<'_>) -> Result<Extracted, Error> {
        let demand = self.demand(page.len() as u64, &page).await?;
        let waiting = self.inner.metrics.waiting(Stage::Extract, self.priority);
        let job = || {
            waiting.over();
            Job { page: page.clone(), hints: hints.clone(), deadline: self.deadline }
        };
        let stage = debug_span!("extract", error = Empty);
        let extracted = self.inner.pool.run(demand, job).instrument(stage.clone()).await;
        let extracted = extracted.inspect_err(|error| waiting.failed(error)).map_err(|error| failure(error, late, page_failure));
        let extracted = ended(stage, extracted)?;
        self.inner.metrics.worked(Stage::Extract, extracted.ran);
        Ok(extracted)
    }

    /// The page as it was sent, or as a browser shows it, if evidence says that its content is not in what was sent.
    async fn html_or_rendered(
        &self,
        hints: Hints,
        found: Option<String>,
        options: &RenderOptions,
        late: &Late<'_>,
    ) -> Result<Made, Error> {
        let host = found.as_deref().and_then(gate::host_of);
        let lean = host.as_deref().map_or(Lean::NEUTRAL, |host| self.inner.lean(host));
        let sent = self.document(self.page.clone(), hints.clone(), late).await?;
        let (route, sent) = self.judge(sent, lean).instrument(debug_span!("gate")).await?;
        let remember = |route: &RouteTaken| {
            if let (Some(host), Some(outcome)) = (&host, route.outcome()) {
                self.inner.remember(host, outcome);
            }
        };
        if route.route != Way::Render {
            remember(&route);
            return Ok(self.went(route, sent).await);
        }
        if self.inner.browsers.get().is_none() {
            // Nothing better can be had here.
            return Ok(Made { makeshift: false, ..self.went(route.fallen_back(), sent).await });
        }
        tracing::debug!(reason = route.reason.label(), "a page is rendered");
        let source = found.map_or_else(|| self.as_source(&hints), RenderSource::Url);
        let rendered = async {
            let mut rendered = self.browse(source, options, route.reason, late).await?;
            let (page, hints) = Self::page_of(&mut rendered, hints.base_url.clone(), hints.html, options);
            let document = self.document(page, hints, late).await?;
            Ok((rendered, document))
        };
        let (mut rendered, shown) = match rendered.await {
            Ok(both) => both,
            Err::<_, Error>(error) => {
                // What there is without a browser is better than nothing.
                self.inner.metrics.fell_back();
                tracing::warn!(%error, "a page could not be rendered, and is taken as it was sent");
                return Ok(self.went(route.fallen_back(), sent).await);
            }
        };
        // Where something was to be done with the page, what is left of it then is what is wanted.
        let route = if options.actions.is_empty() { route.compared(&sent.document, &shown.document) } else { route };
        remember(&route);
        let ran = rendered.timing.total + shown.ran + sent.ran;
        let best = if route.route == Way::Render { shown } else { sent };
        let makeshift = route.route == Way::Render && kept::is_error(rendered.status);
        let extracts = std::mem::take(&mut rendered.extracts);
        self.reply.send(Chunk::Route(Box::new(route.clone()))).await;
        self.reply.send(Chunk::Rendered(Box::new(rendered))).await;
        self.hand_out(extracts, hints.html, late).await?;
        Ok(Made { route: Some(Box::new(route)), makeshift, ..self.made(Some(best.document), ran) })
    }

    /// Which way the page of a document is to go.
    async fn judge(&self, sent: Extracted, lean: Lean) -> Result<(RouteTaken, Extracted), Error> {
        if self.page.len() <= AT_ONCE {
            return Ok((RouteTaken::judge(&self.page, &sent.document, lean), sent));
        }
        let page = self.page.clone();
        let judged = tokio::task::spawn_blocking(move || (RouteTaken::judge(&page, &sent.document, lean), sent));
        judged.await.map_err(|error| Error::new(ErrorKind::Internal, "the page could not be judged").caused_by(error))
    }

    /// The page for a browser, which is not to ask for it again.
    fn as_source(&self, hints: &Hints) -> RenderSource {
        let content_type = hints.charset.as_ref().map(|charset| format!("text/html; charset={charset}"));
        // A browser takes what is on the web for an address, and nothing else.
        let url = hints.base_url.clone().filter(|url| url.starts_with("http:") || url.starts_with("https:"));
        RenderSource::Html { html: self.page.clone(), url, content_type }
    }

    async fn browse(
        &self,
        source: RenderSource,
        options: &RenderOptions,
        why: Reason,
        late: &Late<'_>,
    ) -> Result<Rendered, Error> {
        let browsers = self.inner.browsers.require()?;
        self.inner.metrics.renders(why);
        let demand = match &source {
            RenderSource::Url(url) => self.demand(browser::expected_bytes(0), &url.clone().into()).await?,
            RenderSource::Html { html, .. } => self.demand(browser::expected_bytes(html.len() as u64), html).await?,
        };
        // What a browser asks a site for is held to the same manners.
        let mut turn = match &source {
            RenderSource::Url(url) => {
                let url = self.inner.egress.parse(url).map_err(|refused| refused.error(url))?;
                let turn = timeout_at(self.deadline, self.inner.fetcher.turn(&url, self.terms)).await;
                Some(turn.map_err(|_| late(Doing::AwaitingTurn))??)
            }
            RenderSource::Html { .. } => None,
        };
        let session = self.terms.session.as_ref().map(|session| (session, session.cookies()));
        let mut asked = options.clone();
        if let Some((_, given)) = &session {
            // Those of the request itself come later, and win.
            asked.cookies.splice(0..0, given.iter().cloned());
            asked.with_cookies = true;
        }
        let request = Arc::new(RenderRequest { source, options: asked });
        let waiting = self.inner.metrics.waiting(Stage::Render, self.priority);
        let job = || {
            waiting.over();
            RenderJob { request: Arc::clone(&request), deadline: self.deadline }
        };
        let stage = debug_span!("render", why = why.label(), error = Empty);
        let rendered = browsers.pool.run(demand, job).instrument(stage.clone()).await;
        let rendered =
            rendered.inspect_err(|error| waiting.failed(error)).map_err(|error| failure(error, late, browser::failure));
        let rendered = ended(stage, rendered);
        if let Some(turn) = &mut turn {
            turn.went(outcome(&rendered));
        }
        let mut rendered = rendered?;
        if let Some((session, given)) = session {
            session.take_back(&given, rendered.cookies.clone(), &rendered.url);
            if !options.with_cookies {
                rendered.cookies.clear();
            }
        }
        self.inner.metrics.worked(Stage::Render, rendered.timing.total);
        Ok(rendered)
    }

    /// What a browser has brought because it was asked to, handed on, and its content extracted.
    async fn rendered(
        &self,
        mut rendered: Rendered,
        base_url: Option<String>,
        html: bool,
        head: Option<Head>,
        options: &RenderOptions,
        late: &Late<'_>,
    ) -> Result<Made, Error> {
        let (page, hints) = Self::page_of(&mut rendered, base_url, html, options);
        let (freshness, makeshift) = match head {
            Some(_) => (None, kept::is_error(rendered.status)),
            None => {
                let policy = &self.inner.config.cache.freshness;
                kept::of_rendered(&rendered.headers, rendered.status, policy)
            }
        };
        let head = match head {
            Some(head) => head,
            None => {
                let url = Some(rendered.url.clone()).filter(|url| !url.is_empty());
                let (status, content_type) = (rendered.status, rendered.content_type.clone());
                let head = Head { url, status, content_type, bytes: page.len() };
                self.reply.send(Chunk::Head(head.clone())).await;
                head
            }
        };
        let mut ran = rendered.timing.total;
        let extracts = std::mem::take(&mut rendered.extracts);
        let route = RouteTaken::without_question(Way::Render, Reason::Asked);
        self.reply.send(Chunk::Route(Box::new(route.clone()))).await;
        self.reply.send(Chunk::Rendered(Box::new(rendered))).await;
        self.hand_out(extracts, html, late).await?;
        let extracted = self.document(page, hints, late).await?;
        ran += extracted.ran;
        let made = self.made(Some(extracted.document), ran);
        Ok(Made { head: Some(head), route: Some(Box::new(route)), freshness, makeshift, ..made })
    }

    /// The page that a browser has brought, and what is known of it.
    fn page_of(rendered: &mut Rendered, base_url: Option<String>, html: bool, options: &RenderOptions) -> (Bytes, Hints) {
        // What is not asked for is not held twice.
        let page = if options.raw { rendered.html.clone().into() } else { Bytes::from(std::mem::take(&mut rendered.html)) };
        let url = Some(rendered.url.clone()).filter(|url| !url.is_empty());
        (page, shown_at(base_url.or(url), html))
    }

    /// Hands on one of the chunks that nobody knows the number of.
    async fn send(&self, chunk: Chunk, late: &Late<'_>) -> Result<(), Error> {
        timeout_at(self.deadline, self.reply.send(chunk)).await.map_err(|_| late(Doing::AwaitingCaller))
    }

    /// Contents that actions took on the way.
    async fn hand_out(&self, extracts: Vec<Extract>, html: bool, late: &Late<'_>) -> Result<(), Error> {
        for extract in extracts {
            let document = self.document(extract.html.into(), shown_at(Some(extract.url), html), late).await?;
            self.send(Chunk::Extract(extract.name, Box::new(document.document)), late).await?;
        }
        Ok(())
    }

    async fn pdf(
        &self,
        task: PdfTask,
        password: Option<Password>,
        stream: bool,
        url: Option<String>,
        late: &Late<'_>,
    ) -> Result<Made, Error> {
        let pdf = self.inner.pdf.require()?;
        let route = RouteTaken::without_question(Way::Pdf, Reason::Pdf);
        self.reply.send(Chunk::Route(Box::new(route.clone()))).await;
        let (out, mut found) = mpsc::channel(PAGES);
        let sent = Arc::new(AtomicU64::new(0));
        let extracts = matches!(task, PdfTask::Extract { .. });
        let waiting = self.inner.metrics.waiting(Stage::Pdf, self.priority);
        let job = || {
            waiting.over();
            PdfJob {
                document: self.page.clone(),
                task: task.clone(),
                password: password.clone(),
                deadline: self.deadline,
                out: out.clone(),
                sent: Arc::clone(&sent),
            }
        };
        let stage = debug_span!("extract", error = Empty);
        let demand = self.demand(pdf::expected_bytes(self.page.len() as u64), &self.page).await?;
        let run = pdf.pool.run(demand, job).instrument(stage.clone());
        tokio::pin!(run);
        let mut assembly = Assembly::default();
        let limit = self.inner.config.pdf.max_content;
        let done = loop {
            tokio::select! {
                biased;
                Some(output) = found.recv() => {
                    if let Err(error) = self.hand_on(output, &mut assembly, stream, limit, late).await {
                        return ended(stage, Err(error));
                    }
                }
                done = &mut run => {
                    let done = done.inspect_err(|error| waiting.failed(error));
                    break ended(stage, done.map_err(|error| failure(error, late, pdf::failure)))?;
                }
            }
        };
        // What had been found before the end.
        while let Ok(output) = found.try_recv() {
            self.hand_on(output, &mut assembly, stream, limit, late).await?;
        }
        let ran = done.ran;
        self.inner.metrics.worked(Stage::Pdf, ran);
        Ok(Made { route: Some(Box::new(route)), ..self.made(extracts.then(|| assembly.finish(done, url)), ran) })
    }

    async fn hand_on(
        &self,
        output: PdfOutput,
        assembly: &mut Assembly,
        stream: bool,
        limit: u64,
        late: &Late<'_>,
    ) -> Result<(), Error> {
        match output {
            PdfOutput::Opened(opened) => assembly.open(*opened),
            PdfOutput::Picture(part) => self.send(Chunk::Picture(part), late).await?,
            PdfOutput::Page(page) => {
                if assembly.see(&page, !stream) > limit {
                    let message =
                        format!("the content of the PDF is larger than {} MiB; ask for its pages one by one", limit >> 20);
                    return Err(Error::new(ErrorKind::TooLarge, message));
                }
                if stream {
                    self.send(Chunk::Page(page), late).await?;
                } else {
                    assembly.keep(*page);
                }
            }
        }
        Ok(())
    }
}

/// What is known of a page, or a part of it, that a browser has brought. It comes as text, whatever it was before.
fn shown_at(url: Option<String>, html: bool) -> Hints {
    Hints { base_url: url, charset: Some("utf-8".to_owned()), html }
}

/// A page of so many bytes is judged at once; for a longer one that takes long enough for others to notice.
const AT_ONCE: usize = 64 << 10;

/// What a rendering says of its host.
fn outcome(rendered: &Result<Rendered, Error>) -> Outcome {
    match rendered {
        Ok(rendered) if rendered.status.is_some_and(|status| status >= 500) => Outcome::Badly,
        Ok(_) => Outcome::Well,
        // It has done its part.
        Err(error) if matches!(cause(error), Some(RenderError::Led { .. })) => Outcome::Well,
        Err(error) if error.kind() == ErrorKind::SourceUnreadable => Outcome::Badly,
        Err(_) => Outcome::Unknown,
    }
}

fn cause(error: &Error) -> Option<&RenderError> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Pages on their way from a worker.
const PAGES: usize = 2;

/// What a page is known by if it kills workers. Every engine has a seed of its own, so that nobody outside can tell which pages
/// would pass for each other.
async fn key_of(keys: RandomState, page: &Bytes) -> Result<u64, Error> {
    if page.len() <= KNOWN_AT_ONCE {
        return Ok(keys.hash_one(page));
    }
    let page = page.clone();
    let known = tokio::task::spawn_blocking(move || keys.hash_one(&page)).await;
    known.map_err(|error| Error::new(ErrorKind::Internal, "the page could not be looked at").caused_by(error))
}

/// Bytes of a page that is not worth a thread of its own to be known by.
const KNOWN_AT_ONCE: usize = 1 << 20;
