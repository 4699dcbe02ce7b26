//! `eventmesh render`: a page as a browser shows it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::EngineArgs;
use super::exit::{Exit, write_out};
use super::extract::{checked_base, read_standard_input, request_for};
use super::interrupt::interrupted;
use super::place::{Place, ServerArgs, largest_page};
use crate::render::{Action, Cookie, Picture, PictureFormat, RenderOptions, Rendered, Screenshot, Viewport, Wait};
use crate::reply::Answer;
use crate::request::{RenderMode, Request};

/// How a page is rendered; also for `extract`.
#[derive(Debug, Args)]
pub(crate) struct BrowserArgs {
    /// What is done with the page before its content is taken: a JSON list of actions; `eventmesh render --actions-schema` says which
    #[arg(long, value_name = "FILE")]
    pub(crate) actions: Option<PathBuf>,
    /// What is waited for: settled, load, dom, networkidle, networkalmostidle, selector:CSS, function:JS, response:PART-OF-URL or time:MILLISECONDS
    #[arg(long, value_name = "WHAT", default_value = "settled")]
    wait: Wait,
    /// The longest wait for that; then the page is taken as it is
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = super::seconds)]
    settle_cap: Duration,
    /// The window, in CSS pixels
    #[arg(long, value_name = "WxH", default_value = "1280x800", value_parser = viewport)]
    viewport: (u32, u32),
    /// What the browser calls itself [default: its own name]
    #[arg(long, value_name = "NAME")]
    user_agent: Option<String>,
    /// A header of all requests; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// A cookie for the page's host; may be repeated
    #[arg(long = "cookie", value_name = "NAME=VALUE", value_parser = cookie)]
    cookies: Vec<(String, String)>,
    /// Language and region, such as de-CH
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
    /// Time zone, such as Europe/Zurich
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Runs no scripts of the page
    #[arg(long)]
    no_javascript: bool,
    /// A pattern of URLs that are not loaded, such as '*://*.example.com/*'; may be repeated
    #[arg(long = "block", value_name = "PATTERN")]
    block: Vec<String>,
    /// Loads advertisements, trackers and media, too
    #[arg(long)]
    no_default_blocks: bool,
}

impl BrowserArgs {
    /// As the library takes it.
    pub(crate) fn options(&self) -> Result<RenderOptions, Exit> {
        let actions = self.actions.as_deref().map(actions).transpose()?.unwrap_or_default();
        let cookie = |(name, value): &(String, String)| Cookie {
            expires: None,
            name: name.clone(),
            value: value.clone(),
            domain: None,
            path: None,
            secure: false,
            http_only: false,
        };
        let options = RenderOptions {
            viewport: Viewport { width: self.viewport.0, height: self.viewport.1, ..Viewport::default() },
            user_agent: self.user_agent.clone(),
            headers: self.headers.clone(),
            cookies: self.cookies.iter().map(cookie).collect(),
            locale: self.locale.clone(),
            timezone: self.timezone.clone(),
            javascript: !self.no_javascript,
            block_defaults: !self.no_default_blocks,
            block: self.block.clone(),
            wait: self.wait.clone(),
            settle_cap: self.settle_cap,
            actions,
            ..RenderOptions::default()
        };
        options.check().map_err(Exit::usage)?;
        Ok(options)
    }
}

fn actions(path: &Path) -> Result<Vec<Action>, Exit> {
    let text = std::fs::read_to_string(path).map_err(|error| Exit::unreadable(path.display(), &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Exit::usage(format!(
            "{} is no list of actions: {error}; `eventmesh render --actions-schema` says what one is",
            path.display()
        ))
    })
}

fn viewport(text: &str) -> Result<(u32, u32), String> {
    let sizes = text.split_once(['x', 'X']).and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sizes.ok_or_else(|| format!("{text} is no size such as 1280x800"))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn cookie(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a cookie is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The page as HTML, as the browser has it
    Html,
    /// Its content as Markdown
    Md,
    /// Its content as plain text
    Text,
    /// Everything: content, address, status, outcomes of actions, console, requests
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh render https://example.com/app
  eventmesh render --format json --actions login.json --network https://example.com/app
  eventmesh render --screenshot page.png --full-page --print page.pdf https://example.com/")]
pub(crate) struct RenderArgs {
    /// A file, an http or https URL, or - for standard input
    #[arg(required_unless_present = "actions_schema")]
    source: Option<String>,
    /// What is printed
    #[arg(short, long, value_enum, default_value = "html")]
    format: Format,
    /// Where that goes [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A picture of the page; the name says which kind: .png, .jpg or .webp
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// The whole page in the picture, not only what the window shows
    #[arg(long, requires = "screenshot")]
    full_page: bool,
    /// Only this element in the picture
    #[arg(long, value_name = "SELECTOR", requires = "screenshot", conflicts_with = "full_page")]
    element: Option<String>,
    /// The page as a PDF
    #[arg(long, value_name = "FILE")]
    print: Option<PathBuf>,
    /// Tells what the page said to the console, in JSON
    #[arg(long)]
    console: bool,
    /// Tells which requests the page made, in JSON
    #[arg(long)]
    network: bool,
    /// Tells which cookies there are at the end, in JSON
    #[arg(long)]
    cookies_out: bool,
    /// Where the page comes from, for one that is read from a file
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Prints the JSON Schema of actions, and does nothing else
    #[arg(long)]
    actions_schema: bool,
    #[command(flatten)]
    browser: BrowserArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) async fn run(arguments: RenderArgs) -> Result<(), Exit> {
    if arguments.actions_schema {
        let schema = serde_json::to_string_pretty(&crate::render::schema());
        let schema = schema.map_err(|error| Exit::fault("failed to write the schema", error))?;
        return write_out(format!("{schema}\n").as_bytes());
    }
    tokio::select! {
        biased;
        () = interrupted() => Err(Exit::interrupted()),
        done = render(arguments) => done,
    }
}

async fn render(arguments: RenderArgs) -> Result<(), Exit> {
    let config = arguments.engine.config()?;
    let source = arguments.source.as_deref().unwrap_or("-");
    let mut options = arguments.browser.options()?;
    if let Some(path) = &arguments.screenshot {
        let format = picture_format(path)?;
        options.screenshot = Some(Screenshot { full_page: arguments.full_page, selector: arguments.element.clone(), format });
    }
    options.pdf = arguments.print.is_some();
    options.console = arguments.console;
    options.network = arguments.network;
    options.with_cookies = arguments.cookies_out;
    options.raw = arguments.format == Format::Html;
    let client = arguments.server.client()?;
    let mut request = if source == "-" {
        Request::bytes(read_standard_input(largest_page(client.as_ref(), &config).await?).await?)
    } else {
        request_for(source)
    };
    if let Some(base_url) = &arguments.base_url {
        request = request.base_url(checked_base(base_url).map_err(Exit::usage)?);
    }
    let place = Place::start(client, config).await?;
    let answer = place.answer(request.rendered(RenderMode::Always, options)).await;
    place.leave().await;
    let answer = answer?;
    let rendered = answer.rendered.as_deref();
    if let (Some(path), Some(picture)) = (&arguments.screenshot, rendered.and_then(last_picture)) {
        write_file(path, &picture.bytes)?;
    }
    if let (Some(path), Some(pdf)) = (&arguments.print, rendered.and_then(|rendered| rendered.pdf.as_deref())) {
        write_file(path, pdf)?;
    }
    let text = written(&answer, arguments.format)?;
    match &arguments.output {
        Some(path) => write_file(path, text.as_bytes()),
        // A picture alone was asked for: nobody wants a page on the terminal besides.
        None if arguments.screenshot.is_some() || arguments.print.is_some() => match arguments.format {
            Format::Html => Ok(()),
            Format::Md | Format::Text | Format::Json => write_out(text.as_bytes()),
        },
        None => write_out(text.as_bytes()),
    }
}

fn last_picture(rendered: &Rendered) -> Option<&Picture> {
    rendered.pictures.iter().rev().find(|picture| picture.action.is_none())
}

fn picture_format(path: &Path) -> Result<PictureFormat, Exit> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("png") => Ok(PictureFormat::Png),
        Some("jpg" | "jpeg") => Ok(PictureFormat::Jpeg),
        Some("webp") => Ok(PictureFormat::Webp),
        _ => Err(Exit::usage(format!("{} does not say which kind of picture it is; .png, .jpg or .webp does", path.display()))),
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Exit::unwritable(path.display(), &error))
}

fn written(answer: &Answer, format: Format) -> Result<String, Exit> {
    let rendered = answer.rendered.as_deref();
    let mut text = match format {
        Format::Html => rendered.map(|rendered| rendered.html.clone()).unwrap_or_default(),
        Format::Md => answer.document.markdown.clone(),
        Format::Text => answer.document.text.clone(),
        Format::Json => {
            let value = json!({
                "url": rendered.map(|rendered| &rendered.url),
                "status": rendered.and_then(|rendered| rendered.status),
                "settled": rendered.map(|rendered| rendered.settled),
                "actions": rendered.map(|rendered| &rendered.outcomes),
                "document": answer.document,
                "extracts": answer.extracts.iter().map(|(name, document)| json!({ "name": name, "document": document })).collect::<Vec<_>>(),
                "dialogs": rendered.map(|rendered| &rendered.dialogs),
                "popups": rendered.map(|rendered| &rendered.popups),
                "downloads": rendered.map(|rendered| &rendered.downloads),
                "console": rendered.map(|rendered| &rendered.console),
                "network": rendered.map(|rendered| &rendered.network),
                "cookies": rendered.map(|rendered| &rendered.cookies),
                "timing": answer.timing,
            });
            serde_json::to_string_pretty(&value).map_err(|error| Exit::fault("failed to write JSON", error))?
        }
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_headers_and_cookies() {
        assert_eq!(viewport("800x600"), Ok((800, 600)));
        assert!(viewport("800").is_err());
        assert_eq!(header("A: b: c"), Ok(("A".to_owned(), "b: c".to_owned())));
        assert_eq!(cookie("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(cookie("a").is_err() && header("a").is_err());
    }
}
