//! `eventmesh extract`: one page or PDF in, one result out.

use std::io::Read;

use clap::{Args, ValueEnum};

use super::EngineArgs;
use super::exit::{Exit, write_out};
use super::interrupt::interrupted;
use super::place::{Place, ServerArgs, largest_page};
use super::render::BrowserArgs;
use crate::reply::Answer;
use crate::request::{RenderMode, Request};
use eventmesh_extractors::pdf::Password;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Render {
    /// If it is empty without its scripts
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<Render> for RenderMode {
    fn from(render: Render) -> Self {
        match render {
            Render::Auto => Self::Auto,
            Render::Always => Self::Always,
            Render::Never => Self::Never,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh extract page.html
  eventmesh extract --format json https://example.com/
  curl -s https://example.com/ | eventmesh extract --base-url https://example.com/ -
  eventmesh extract --format text archive/page.html.gz
  eventmesh extract --server http://127.0.0.1:7800 report.pdf
  eventmesh extract --format json report.pdf | jq '.pages[] | select(.needs_ocr)'

Files ending in .gz are decompressed. Without a base URL, relative links of a file stay relative.")]
pub(crate) struct ExtractArgs {
    /// A file, an http or https URL, or - for standard input
    source: String,
    /// What to print
    #[arg(short, long, value_enum, default_value_t = Format::Md)]
    format: Format,
    /// What relative links are resolved against [default: the URL it was found at]
    #[arg(short, long, value_name = "URL")]
    base_url: Option<String>,
    /// The charset, if it is known from outside
    #[arg(long, value_name = "LABEL")]
    charset: Option<String>,
    /// The password of a PDF
    #[arg(long, value_name = "PASSWORD", env = "EVENTMESH_PDF_PASSWORD", hide_env_values = true)]
    password: Option<Password>,
    /// PDF: the images of each page, too, in JSON as Base64
    #[arg(long)]
    images: bool,
    /// Whether a browser renders the page first: if it is empty without its scripts, always or never; with --actions always
    #[arg(long, value_enum, default_value = "never")]
    render: Render,
    #[command(flatten)]
    browser: BrowserArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// Plain text
    Text,
    /// Everything, as one JSON object
    Json,
    /// Clean HTML
    Html,
}

pub(crate) async fn run(arguments: ExtractArgs) -> Result<(), Exit> {
    let format = arguments.format;
    let answer = tokio::select! {
        biased;
        () = interrupted() => Err(Exit::interrupted()),
        answer = extract(arguments) => answer,
    };
    write_out(rendered(answer?, format)?.as_bytes())
}

async fn extract(arguments: ExtractArgs) -> Result<Answer, Exit> {
    let config = arguments.engine.config()?;
    let client = arguments.server.client()?;
    let mut request = if arguments.source == "-" {
        Request::bytes(read_standard_input(largest_page(client.as_ref(), &config).await?).await?)
    } else {
        request_for(&arguments.source)
    };
    if let Some(base_url) = arguments.base_url {
        request = request.base_url(checked_base(&base_url).map_err(Exit::usage)?);
    }
    if let Some(charset) = arguments.charset {
        request = request.charset(charset);
    }
    if let Some(password) = arguments.password {
        request = request.password(password);
    }
    if arguments.images {
        request = request.with_images();
    }
    if arguments.format == Format::Html {
        request = request.with_html();
    }
    let mode = if arguments.browser.actions.is_some() { RenderMode::Always } else { arguments.render.into() };
    if mode != RenderMode::Never {
        request = request.rendered(mode, arguments.browser.options()?);
    }
    let place = Place::start(client, config).await?;
    let answer = place.answer(request).await;
    place.leave().await;
    answer.map_err(Exit::from)
}

fn rendered(answer: Answer, format: Format) -> Result<String, Exit> {
    let mut text = match format {
        Format::Md => answer.document.markdown,
        Format::Text => answer.document.text,
        Format::Html => answer.document.html.unwrap_or_default(),
        Format::Json => {
            serde_json::to_string_pretty(&answer.document).map_err(|error| Exit::fault("failed to write JSON", error))?
        }
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// What a source on the command line or in a list means: a URL if it looks like one, else a file.
pub(crate) fn request_for(source: &str) -> Request {
    if source.contains("://") { Request::url(source) } else { Request::path(source) }
}

/// A base URL that something can be resolved against.
pub(crate) fn checked_base(base_url: &str) -> Result<String, String> {
    match url::Url::parse(base_url) {
        Ok(url) if !url.cannot_be_a_base() => Ok(url.into()),
        Ok(_) => Err(format!("{base_url} is no base URL: nothing can be relative to it")),
        Err(error) => Err(format!("{base_url} is no base URL: {error}")),
    }
}

/// All of standard input, up to a limit, of which the error says what is to be said besides.
pub(crate) async fn read_standard_input((limit, besides): (u64, &'static str)) -> Result<Vec<u8>, Exit> {
    // A thread of its own, which is left behind if nobody waits for it: a read of a pipe cannot be interrupted.
    let read = tokio::task::spawn_blocking(move || {
        let mut page = Vec::new();
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut page).map(|_| page)
    });
    let page = read
        .await
        .map_err(|error| Exit::fault("failed to read standard input", error))?
        .map_err(|error| Exit::unreadable("standard input", &error))?;
    if page.len() as u64 > limit {
        let message = format!("the page is larger than {} MiB, the limit for one page{besides}", limit.div_ceil(1 << 20));
        return Err(crate::error::Error::new(crate::error::ErrorKind::TooLarge, message).into());
    }
    Ok(page)
}
