//! `eventmesh pdf`: what only PDFs have.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::EngineArgs;
use super::exit::Exit;
use super::extract::{read_standard_input, request_for};
use super::interrupt::interrupted;
use super::place::{NoServerArgs, largest_page};
use crate::reply::Chunk;
use crate::request::{Picture, Request};
use eventmesh_extractors::pdf::Password;

#[derive(Debug, Subcommand)]
pub(crate) enum PdfCommand {
    /// Draws one page as a PNG
    Render(RenderArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh pdf render report.pdf -o cover.png
  eventmesh pdf render --page 12 --dpi 200 https://example.com/report.pdf > page.png")]
pub(crate) struct RenderArgs {
    /// A file, an http or https URL, or - for standard input
    source: String,
    /// The page, from 1
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// Dots per inch
    #[arg(long, value_name = "DPI", default_value_t = 144, value_parser = clap::value_parser!(u16).range(8..=1200))]
    dpi: u16,
    /// Where the picture goes [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The password of the PDF
    #[arg(long, value_name = "PASSWORD", env = "EVENTMESH_PDF_PASSWORD", hide_env_values = true)]
    password: Option<Password>,
    #[command(flatten)]
    server: NoServerArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) async fn run(command: PdfCommand) -> Result<(), Exit> {
    match command {
        PdfCommand::Render(arguments) => tokio::select! {
            biased;
            () = interrupted() => Err(Exit::interrupted()),
            done = render(arguments) => done,
        },
    }
}

async fn render(arguments: RenderArgs) -> Result<(), Exit> {
    arguments.server.none_for("draws no pages of PDFs")?;
    let config = arguments.engine.config()?;
    let mut request = if arguments.source == "-" {
        Request::bytes(read_standard_input(largest_page(None, &config).await?).await?)
    } else {
        request_for(&arguments.source)
    };
    request = request.render(Picture { page: arguments.page, dpi: f32::from(arguments.dpi) });
    if let Some(password) = arguments.password {
        request = request.password(password);
    }
    let engine = super::start(config).await?;
    let mut reply = engine.extract(request);
    let mut picture = Vec::new();
    let mut failed = None;
    while let Some(chunk) = reply.next().await {
        match chunk {
            Chunk::Picture(part) => picture.extend_from_slice(&part),
            Chunk::Error(error) => failed = Some(error),
            Chunk::Head(_)
            | Chunk::Route(_)
            | Chunk::Page(_)
            | Chunk::Rendered(_)
            | Chunk::Extract(..)
            | Chunk::Body(_)
            | Chunk::Done(_) => {}
        }
    }
    engine.shutdown(Duration::ZERO).await;
    // Only a whole picture is written: half of one is of no use to anybody.
    if let Some(error) = failed {
        return Err(error.into());
    }
    match arguments.output {
        None => super::exit::write_out(&picture),
        Some(path) => {
            let written = File::create(&path).map(BufWriter::new).and_then(|mut file| {
                file.write_all(&picture)?;
                file.flush()
            });
            written.map_err(|error| Exit::unwritable(path.display(), &error))
        }
    }
}
