//! One rendering, from a page that is ready to what has come of it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromiumoxide_cdp::cdp::browser_protocol::dom::{EnableParams as EnableDom, GetFrameOwnerParams, ResolveNodeParams};
use chromiumoxide_cdp::cdp::browser_protocol::emulation::{
    SetDeviceMetricsOverrideParams, SetLocaleOverrideParams, SetScriptExecutionDisabledParams, SetTimezoneOverrideParams,
    SetUserAgentOverrideParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::fetch::{EnableParams as EnableFetch, RequestPattern, RequestStage};
use chromiumoxide_cdp::cdp::browser_protocol::network::{
    CookieParam, GetCookiesParams, Headers, ResourceType, SetCookiesParams, SetExtraHttpHeadersParams, TimeSinceEpoch,
};
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    CaptureScreenshotFormat, CaptureScreenshotParams, FrameId, GetLayoutMetricsParams, NavigateParams, PrintToPdfParams,
    Viewport as Clip,
};
use chromiumoxide_cdp::cdp::js_protocol::runtime::{CallArgument, CallFunctionOnParams};
use eventmesh_actors::Progress;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::actions::Performer;
use crate::blocklist;
use crate::cdp::CdpError;
use crate::error::{Doing, RenderError};
use crate::page::settle::settle;
use crate::page::state::{ABORTED, Awaited};
use crate::page::{Page, Served, Wishes, block, settled};
use crate::request::{
    Cookie, Picture, PictureFormat, RenderRequest, RenderSource, RenderTiming, Rendered, Screenshot, SettleReason, Settled,
    Viewport, Wait,
};
use crate::script::{self, ScriptError};

/// How often a page's memory is looked at while it works.
const LOOK: Duration = Duration::from_millis(250);
/// Pixels of one picture.
const PIXELS: f64 = 25_000_000.0;
/// Where a page from memory is, if it does not say.
const NOWHERE: &str = "http://page.invalid/";

/// Renders, and sees meanwhile that the page does not take more than it may.
pub(crate) async fn render(
    page: &Page,
    request: &RenderRequest,
    deadline: Instant,
    progress: &Progress,
) -> Result<Rendered, RenderError> {
    // Where that is not known yet, all processes of the machine are looked at, which takes as long as a page does.
    let browser = Arc::clone(page.browser());
    let before = spawn_blocking(move || browser.network_ends());
    let rendered = tokio::select! {
        biased;
        rendered = steps(page, request, deadline, progress) => rendered,
        error = mind(page, progress) => Err(error),
    };
    // What failed may have failed because of us.
    let lost = matches!(rendered, Err(RenderError::Load { .. } | RenderError::Led { .. }));
    if lost {
        page.is_shown().await?;
    }
    let failed = lost || page.shared.state.borrow().broken;
    if failed && let Ok((ends, loads)) = before.await {
        let (ends_now, loads_now) = page.browser().network_ends();
        // A browser's first one is waited for by whatever needs it.
        let missing = if ends == 0 { !loads_now } else { !loads };
        if missing || ends_now != ends {
            return Err(RenderError::NetworkGone);
        }
    }
    rendered
}

/// Looks at what the page holds, for as long as it works. Returns only when that is too much.
async fn mind(page: &Page, progress: &Progress) -> RenderError {
    let limit = page.limits.page_memory;
    loop {
        sleep(LOOK).await;
        let look = page.memory();
        tokio::pin!(look);
        let held = loop {
            if page.shared.state.borrow().too_much.is_some() {
                return page.trouble();
            }
            if let Ok(held) = timeout(LOOK, &mut look).await {
                break held;
            }
            // One that does not answer is at work, or hangs: what it holds meanwhile is seen from outside.
            if let Some(error) = page.is_beyond().await {
                page.terminate_all().await;
                return error;
            }
        };
        if let Some(held) = held {
            progress.holds(held);
            progress.beat();
            if held > limit {
                return RenderError::Memory { held, limit };
            }
        }
    }
}

async fn steps(page: &Page, request: &RenderRequest, deadline: Instant, progress: &Progress) -> Result<Rendered, RenderError> {
    let began = Instant::now();
    prepare(page, request).await?;
    let cap = deadline.min(began + request.options.settle_cap);
    let acts = !request.options.actions.is_empty();
    if acts && !page.is_held() {
        page.warm().await?;
    }
    let url = navigate(page, request, deadline).await?;
    // What the actions need is made while the page is waited for.
    let prepared = async {
        if acts {
            let parsed = page.until(cap, Doing::Loading, |state| (state.parsed && state.world().is_some()).then_some(())).await;
            // A page that goes elsewhere meanwhile has them made again.
            if parsed.is_ok() {
                let _ = page.world(&page.frame).await;
            }
        }
    };
    let (reason, ()) = tokio::join!(settle(page, &request.options.wait, request.options.javascript, cap), prepared);
    let settled = Settled { reason: reason?, ms: 0 };
    let loaded = Instant::now();
    let settled = Settled { ms: u64::try_from((loaded - began).as_millis()).unwrap_or(u64::MAX), ..settled };
    if settled.reason == SettleReason::Cap && deadline <= Instant::now() {
        return Err(RenderError::Deadline { doing: Doing::AwaitingPage });
    }
    progress.beat();

    let performed = Performer::new(page, request, deadline).perform(&request.options.actions).await?;
    let acted = Instant::now();
    progress.beat();

    if request.options.screenshot.is_some() && request.options.javascript {
        seen(page, deadline).await?;
    }
    let (mut pictures, mut yields) = (performed.pictures, performed.yields);
    if let Some(wanted) = &request.options.screenshot {
        let area = match &wanted.selector {
            Some(selector) => Some(area(page, selector, deadline).await?),
            None => None,
        };
        let bytes = picture(page, wanted, area, request.options.viewport, deadline).await?;
        yields.add(bytes.len())?;
        pictures.push(Picture { action: None, format: wanted.format, bytes });
    }
    let pdf = if request.options.pdf { Some(print(page, deadline).await?) } else { None };
    yields.add(pdf.as_ref().map_or(0, Vec::len))?;
    let html = if request.options.html { content(page, deadline).await? } else { String::new() };
    yields.add(html.len())?;
    let cookies = if request.options.with_cookies { cookies(page).await? } else { Vec::new() };
    // What broke off is not the page, whatever was waited for.
    if page.shared.state.borrow().failure().is_some() {
        return Err(page.trouble());
    }
    let mut rendered = Rendered {
        html,
        url: String::new(),
        status: None,
        content_type: None,
        headers: Vec::new(),
        settled,
        outcomes: performed.outcomes,
        pictures,
        pdf,
        extracts: performed.extracts,
        console: Vec::new(),
        network: Vec::new(),
        cookies,
        dialogs: Vec::new(),
        popups: Vec::new(),
        downloads: Vec::new(),
        timing: RenderTiming { page: Duration::ZERO, load: loaded - began, actions: acted - loaded, total: began.elapsed() },
    };
    page.shared.state.send_modify(|state| {
        rendered.url = if state.url == NOWHERE { String::new() } else { state.url.clone() };
        let head = std::mem::take(&mut state.head);
        rendered.content_type = head.content_type;
        if matches!(request.source, RenderSource::Url(_)) {
            (rendered.status, rendered.headers) = (head.status, head.headers);
        }
        rendered.console = if request.options.console { std::mem::take(&mut state.console) } else { Vec::new() };
        state.log = false;
        rendered.network = std::mem::take(&mut state.network);
        rendered.dialogs = std::mem::take(&mut state.dialogs);
        rendered.popups = std::mem::take(&mut state.popups);
        rendered.downloads = std::mem::take(&mut state.downloads);
    });
    if rendered.url.is_empty() && url != NOWHERE {
        rendered.url = url;
    }
    Ok(rendered)
}

/// What this request wants otherwise than the rest.
async fn prepare(page: &Page, request: &RenderRequest) -> Result<(), RenderError> {
    let within = page.limits.call;
    let mut batch = page.session.batch();
    let mut waits = Vec::new();
    let mut wishes = Wishes::default();
    page.shared.state.send_modify(|state| {
        state.log = request.options.network;
        if let Wait::Response(part) = &request.options.wait {
            state.awaited = Some(Awaited { part: part.clone(), came: false });
        }
    });
    let Viewport { width, height, scale } = request.options.viewport;
    if request.options.viewport != Viewport::default() {
        let metrics = SetDeviceMetricsOverrideParams::new(i64::from(width), i64::from(height), scale, false);
        waits.push(settled(batch.add(&metrics), within));
    }
    if request.options.user_agent.is_some() || request.options.locale.is_some() {
        let mut identity = SetUserAgentOverrideParams::new(request.options.user_agent.clone().unwrap_or_default());
        identity.accept_language.clone_from(&request.options.locale);
        waits.push(settled(batch.add(&identity), within));
        wishes.identity = Some(identity);
    }
    if let Some(locale) = &request.options.locale {
        let set = SetLocaleOverrideParams { locale: Some(locale.replace('-', "_")) };
        waits.push(settled(batch.add(&set), within));
        wishes.locale = Some(set);
    }
    if let Some(timezone) = &request.options.timezone {
        let set = SetTimezoneOverrideParams::new(timezone.clone());
        waits.push(settled(batch.add(&set), within));
        wishes.timezone = Some(set);
    }
    if !request.options.javascript {
        waits.push(settled(batch.add(&SetScriptExecutionDisabledParams::new(true)), within));
        wishes.no_scripts = true;
    }
    if !request.options.headers.is_empty() {
        let headers: serde_json::Map<_, _> =
            request.options.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let set = SetExtraHttpHeadersParams::new(Headers::new(serde_json::Value::from(headers)));
        waits.push(settled(batch.add(&set), within));
        wishes.headers = Some(set);
    }
    if !request.options.cookies.is_empty() {
        let url = address(request);
        let cookies = request.options.cookies.iter().map(|cookie| param(cookie, url)).collect::<Vec<_>>();
        waits.push(settled(batch.add(&SetCookiesParams::new(cookies)), within));
    }
    if !request.options.block_defaults || !request.options.block.is_empty() {
        let defaults = blocklist::DEFAULT.iter().copied().filter(|_| request.options.block_defaults);
        let block = block(defaults.chain(request.options.block.iter().map(String::as_str)));
        waits.push(settled(batch.add(&block), within));
        wishes.block = Some(block);
    }
    if let RenderSource::Html { html, content_type, .. } = &request.source {
        let content_type = content_type.clone().unwrap_or_else(|| "text/html".to_owned());
        page.serve(Served { html: html.clone(), content_type });
        let pattern = RequestPattern {
            resource_type: Some(ResourceType::Document),
            request_stage: Some(RequestStage::Request),
            ..RequestPattern::default()
        };
        waits.push(settled(batch.add(&EnableFetch { patterns: Some(vec![pattern]), handle_auth_requests: None }), within));
    }
    page.wish(wishes);
    if waits.is_empty() {
        return Ok(());
    }
    batch.send().await?;
    for wait in waits {
        wait.await.map_err(|error| match error {
            // What the browser does not take is the caller's: a time zone, a pattern, a cookie.
            CdpError::Refused { method, message } => {
                RenderError::Request(format!("the browser refuses a setting ({method}): {message}"))
            }
            CdpError::Gone
            | CdpError::Crashed
            | CdpError::Detached
            | CdpError::Deadline { .. }
            | CdpError::Garbage { .. }
            | CdpError::Overrun => error.into(),
        })?;
    }
    Ok(())
}

fn address(request: &RenderRequest) -> &str {
    match &request.source {
        RenderSource::Url(url) | RenderSource::Html { url: Some(url), .. } => url,
        RenderSource::Html { url: None, .. } => NOWHERE,
    }
}

fn param(cookie: &Cookie, url: &str) -> CookieParam {
    let mut param = CookieParam::new(cookie.name.clone(), cookie.value.clone());
    match &cookie.domain {
        Some(domain) => param.domain = Some(domain.clone()),
        None => param.url = Some(url.to_owned()),
    }
    param.path = Some(cookie.path.clone().unwrap_or_else(|| "/".to_owned()));
    param.secure = Some(cookie.secure);
    param.http_only = Some(cookie.http_only);
    // Seconds of some centuries are whole numbers in it.
    param.expires = cookie.expires.map(|seconds| TimeSinceEpoch::new(seconds as f64));
    param
}

/// Goes where the page is. Returns as soon as it is on its way in.
async fn navigate(page: &Page, request: &RenderRequest, deadline: Instant) -> Result<String, RenderError> {
    let url = address(request).to_owned();
    if page.is_held() {
        match page.let_go(deadline).await? {
            Some(arrived) => arrived?,
            // It is not on its way, as it seems.
            None => go(page, &url, deadline).await?,
        }
    } else {
        go(page, &url, deadline).await?;
    }
    Ok(url)
}

/// Goes to `url`; returns when its document has begun to come.
pub(crate) async fn go(page: &Page, url: &str, deadline: Instant) -> Result<(), RenderError> {
    let before = page.shared.state.borrow().downloads.len();
    page.shared.state.send_modify(|state| state.leave(None));
    page.forget_worlds();
    let mut batch = page.session.batch();
    let answer = batch.add(&NavigateParams::new(url));
    batch.send().await?;
    let answer = tokio::select! {
        biased;
        answer = answer.get() => answer?,
        // A page that was sent away with a dialog, or that is too much, is not waited for.
        trouble = page.until(deadline, Doing::Loading, |_| None::<()>) => {
            return Err(trouble.err().unwrap_or(RenderError::Deadline { doing: Doing::Loading }));
        }
    };
    let error = answer.error_text.filter(|why| !why.is_empty());
    // The browser says in a page of its own that there is none, unless there is nothing to show instead of what is there.
    if let Some(loader) = answer.loader_id.filter(|_| error.as_ref().is_none_or(|why| why != ABORTED)) {
        // What was heard meanwhile of that very document stays.
        page.shared.state.send_modify(|state| state.brought(loader.inner()));
        // The answer comes when its head has; until its process takes over, the document before is still there.
        page.until(deadline, Doing::Loading, |state| state.has_come().then_some(())).await?;
    } else {
        page.shared.state.send_modify(|state| state.stay());
    }
    let Some(why) = error else { return Ok(()) };
    let saved = answer.is_download == Some(true) || page.shared.state.borrow().downloads.len() > before;
    Err(if saved && why == ABORTED { RenderError::Download } else { RenderError::Load { why } })
}

/// Waits until what can be seen is there: fonts, and pictures within the window.
async fn seen(page: &Page, deadline: Instant) -> Result<(), RenderError> {
    let expression = format!("window[{}]?.seen()", script::literal(&page.key));
    let world = page.shared.state.borrow().world().map(|world| world.id);
    let within = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(5));
    match script::evaluate(&page.session, expression, world, within).await {
        // A picture that does not come is missing from the picture.
        Ok(_) | Err(ScriptError::Cdp(CdpError::Deadline { .. }) | ScriptError::WorldGone | ScriptError::Thrown(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A part of the page: from the left, from the top, width, height.
pub(crate) type Area = (f64, f64, f64, f64);

/// Where an element of the page itself is.
async fn area(page: &Page, selector: &str, deadline: Instant) -> Result<Area, RenderError> {
    let (session, world) = page.world(&page.frame).await?;
    let within = left(deadline).min(Duration::from_secs(5));
    let expression = format!("hands.box({}, {})", script::literal(selector), within.as_millis());
    // The page says that it is not there, not the clock.
    let found =
        script::evaluate(&session, expression, Some(world), within + page.limits.call).await.map_err(RenderError::from)?;
    if let Some(why) = found["why"].as_str() {
        return Err(RenderError::Request(format!("there is no picture of {selector}: {}", why.replace('_', " "))));
    }
    let number = |name: &str| found[name].as_f64().unwrap_or(0.0);
    Ok((number("x") + number("left"), number("y") + number("top"), number("width"), number("height")))
}

/// A picture of the page, of what its window shows, or of `area`.
pub(crate) async fn picture(
    page: &Page,
    wanted: &Screenshot,
    area: Option<Area>,
    viewport: Viewport,
    deadline: Instant,
) -> Result<Vec<u8>, RenderError> {
    let format = match wanted.format {
        PictureFormat::Png => CaptureScreenshotFormat::Png,
        PictureFormat::Jpeg => CaptureScreenshotFormat::Jpeg,
        PictureFormat::Webp => CaptureScreenshotFormat::Webp,
    };
    let mut capture =
        CaptureScreenshotParams { format: Some(format), optimize_for_speed: Some(true), ..CaptureScreenshotParams::default() };
    let mut clip = area;
    if clip.is_none() && wanted.full_page {
        let metrics = page.session.call(&GetLayoutMetricsParams::default(), page.limits.call).await?;
        let size = metrics.css_content_size;
        clip = Some((0.0, 0.0, size.width.max(1.0), size.height.max(1.0)));
    }
    let (width, height) =
        clip.map_or((f64::from(viewport.width), f64::from(viewport.height)), |(.., width, height)| (width, height));
    let pixels = width * height * viewport.scale * viewport.scale;
    if pixels > PIXELS {
        return Err(RenderError::TooMuch {
            what: format!("a picture of {width:.0} by {height:.0} pixels; 25 million are allowed"),
        });
    }
    if let Some((x, y, width, height)) = clip {
        capture.clip = Some(Clip { x, y, width: width.max(1.0), height: height.max(1.0), scale: 1.0 });
        capture.capture_beyond_viewport = Some(true);
    }
    let answer = page.session.call(&capture, left(deadline)).await.map_err(late(Doing::Drawing))?;
    decode(answer.data.as_ref())
}

/// The page as a PDF.
async fn print(page: &Page, deadline: Instant) -> Result<Vec<u8>, RenderError> {
    let print = PrintToPdfParams {
        print_background: Some(true),
        prefer_css_page_size: Some(true),
        generate_tagged_pdf: Some(true),
        ..PrintToPdfParams::default()
    };
    let answer = page.session.call(&print, left(deadline)).await.map_err(late(Doing::Printing))?;
    decode(answer.data.as_ref())
}

fn late(doing: Doing) -> impl Fn(CdpError) -> RenderError {
    move |error| match error {
        CdpError::Deadline { .. } => RenderError::Deadline { doing },
        CdpError::Gone
        | CdpError::Crashed
        | CdpError::Detached
        | CdpError::Refused { .. }
        | CdpError::Garbage { .. }
        | CdpError::Overrun => error.into(),
    }
}

fn decode(data: &str) -> Result<Vec<u8>, RenderError> {
    BASE64.decode(data).map_err(|error| CdpError::Garbage { method: "a picture".to_owned(), why: error.to_string() }.into())
}

/// The page's content as HTML, with what lies in open shadow roots and in frames.
pub(crate) async fn content(page: &Page, deadline: Instant) -> Result<String, RenderError> {
    let (main, frames) = {
        let state = page.shared.state.borrow();
        if state.is_void() {
            return Ok(String::new());
        }
        let frames: Vec<_> = state.worlds.iter().filter(|world| world.frame != page.frame).cloned().collect();
        (state.world().map(|world| world.id), frames)
    };
    let mut marked = Vec::new();
    if !frames.is_empty() {
        page.session.call(&EnableDom::default(), page.limits.call).await?;
        for frame in frames {
            // A frame that cannot be found in the page has gone.
            if mark(page, &frame.frame).await.is_ok() {
                marked.push(frame);
            }
        }
    }
    let within = left(deadline);
    let mut html = written(page, &page.session, main, within).await?;
    // From the outside inward: what is in a frame may have frames of its own.
    for frame in marked {
        let mark = format!("<div data-eventmesh-frame=\"{}\"></div>", frame.frame);
        if !html.contains(&mark) {
            continue;
        }
        let Some(session) = page.session_at(frame.session) else { continue };
        // A frame that does not answer is left out.
        let inner = script::evaluate(&session, writing(page), Some(frame.id), left(deadline).min(FRAME)).await;
        let inner = inner.ok().and_then(|inner| inner.as_str().map(str::to_owned)).unwrap_or_default();
        if (html.len() + inner.len()) as u64 > page.limits.content {
            return Err(too_long(page));
        }
        html = html.replacen(&mark, &format!("<div>{}</div>", body(&inner)), 1);
    }
    if html.len() as u64 > page.limits.content {
        return Err(too_long(page));
    }
    Ok(html)
}

/// How long a frame may take to say what is in it.
const FRAME: Duration = Duration::from_secs(1);
/// How long a page may take before whatever it does is ended.
const PATIENT: Duration = Duration::from_secs(2);

/// What writes a document down, but no more than is allowed.
fn writing(page: &Page) -> String {
    format!("({})({})", script::WRITE.trim_end(), page.limits.content)
}

fn too_long(page: &Page) -> RenderError {
    RenderError::TooMuch { what: format!("more than {} MiB of content", page.limits.content >> 20) }
}

async fn written(
    page: &Page,
    session: &crate::cdp::Session,
    world: Option<i64>,
    within: Duration,
) -> Result<String, RenderError> {
    let text = |value: serde_json::Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let until = Instant::now() + within;
    match script::evaluate(session, writing(page), world, within.min(PATIENT)).await {
        Ok(value) => Ok(text(value)),
        Err(ScriptError::Cdp(CdpError::Deadline { .. })) => {
            // A script that does not end is ended; the page is then as it is. One that is busy otherwise, with a page that is hard
            // to read, is waited for: it does not say whether it has heard.
            if let Err(error) = page.terminate().await
                && error.is_final()
            {
                return Err(error.into());
            }
            script::evaluate(session, writing(page), world, until.saturating_duration_since(Instant::now()))
                .await
                .map(text)
                .map_err(|error| match error {
                    ScriptError::Cdp(error) => late(Doing::Writing)(error),
                    ScriptError::Thrown(_) | ScriptError::WorldGone => error.into(),
                })
        }
        // It went elsewhere at this very moment: as it is there.
        Err(ScriptError::WorldGone) => {
            script::evaluate(&page.session, writing(page), None, within.min(PATIENT)).await.map(text).map_err(RenderError::from)
        }
        Err(ScriptError::Thrown(why)) if why.contains("too long") => Err(too_long(page)),
        Err(error) => Err(error.into()),
    }
}

/// Marks the element that a frame is in, so that it is found again in the page as it is written down.
async fn mark(page: &Page, frame: &str) -> Result<(), CdpError> {
    let within = page.limits.call;
    let owner = page.session.call(&GetFrameOwnerParams::new(FrameId::new(frame)), within).await?;
    let resolve = ResolveNodeParams { backend_node_id: Some(owner.backend_node_id), ..ResolveNodeParams::default() };
    let object = page.session.call(&resolve, within).await?.object;
    let mut call = CallFunctionOnParams::new("function (id) { this.setAttribute('data-eventmesh-frame', id); }");
    call.object_id = object.object_id;
    let id = CallArgument { value: Some(frame.into()), ..CallArgument::default() };
    call.arguments = Some(vec![id]);
    page.session.call(&call, within).await.map(drop)
}

/// What is between the tags of a document's body.
fn body(html: &str) -> &str {
    let from = html.find("<body").and_then(|at| html[at..].find('>').map(|end| at + end + 1)).unwrap_or(0);
    let to = html.rfind("</body>").filter(|to| *to >= from).unwrap_or(html.len());
    &html[from..to]
}

async fn cookies(page: &Page) -> Result<Vec<Cookie>, RenderError> {
    let found = page.session.call(&GetCookiesParams::default(), page.limits.call).await?;
    let cookie = |cookie: chromiumoxide_cdp::cdp::browser_protocol::network::Cookie| Cookie {
        name: cookie.name,
        value: cookie.value,
        domain: Some(cookie.domain),
        path: Some(cookie.path),
        secure: cookie.secure,
        http_only: cookie.http_only,
        // Those that end with the page say -1.
        expires: (cookie.expires > 0.0).then_some(cookie.expires as u64),
    };
    Ok(found.cookies.into_iter().map(cookie).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inside_of_a_frame() {
        assert_eq!(body("<html><head></head><body class=\"x\"><p>a</p></body></html>"), "<p>a</p>");
        assert_eq!(body("<p>no body"), "<p>no body");
        assert_eq!(body("</body><body>x"), "x");
    }
}
