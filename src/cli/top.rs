//! `eventmesh top`: what a daemon is doing, drawn in the terminal again and again, or printed once.
//!
//! It asks at the door for operators, as anybody else could, and knows nothing that is not said there. It is the operator's own
//! daemon that it connects to, so the egress policy has no say.

mod controls;
mod figures;
mod model;
mod order;
mod row;
mod screen;
mod seen;
mod source;
mod table;
mod view;
mod watch;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, write_out};
use super::interrupt::interrupted;
use controls::Intervals;
use model::Board;
use source::{Look, Source, SourceError};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh top
  eventmesh top --ops unix:/run/eventmesh/ops.sock --interval 5
  eventmesh top --once | grep pdf
  eventmesh top --json | jq .memory.pressure

Keys: arrows and PgUp/PgDn move, r recycles the selected child, d drains the daemon (both ask first), p pauses, + and - change
how often it looks, ? explains, q ends. Where the output is no terminal it prints one table, as with --once.")]
pub(crate) struct TopArgs {
    /// Where the daemon lets operators in, as it says when it starts: http://HOST:PORT or unix:/PATH
    #[arg(long, value_name = "ADDRESS", default_value = "http://127.0.0.1:7801", value_parser = Source::parse)]
    ops: Source,
    /// Seconds from one look to the next
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Prints one table and ends
    #[arg(long)]
    once: bool,
    /// Prints everything that the daemon says of its tree once, as JSON
    #[arg(long, conflicts_with = "once")]
    json: bool,
}

pub(crate) async fn run(arguments: TopArgs) -> Result<(), Exit> {
    let looked = tokio::select! {
        looked = look_once(&arguments) => looked?,
        () = interrupted() => return Err(Exit::interrupted()),
    };
    match looked {
        Some(look) => watch::watch(&arguments.ops, look, arguments.interval).await,
        None => Ok(()),
    }
}

/// Looks, and prints if that was all that is wanted; otherwise what was seen is the first of what is drawn.
async fn look_once(arguments: &TopArgs) -> Result<Option<Look>, Exit> {
    if arguments.json {
        let tree = arguments.ops.tree().await?;
        let text = serde_json::to_string_pretty(&tree).map_err(|error| Exit::fault("failed to write JSON", error))?;
        write_out((text + "\n").as_bytes())?;
        return Ok(None);
    }
    let look = arguments.ops.look().await?;
    if arguments.once || !can_be_drawn_on() {
        write_out(table::written(&Board::of(&look, None)).as_bytes())?;
        return Ok(None);
    }
    Ok(Some(look))
}

/// Whether there is somebody to draw for, and something that can move a cursor.
fn can_be_drawn_on() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = super::seconds(text)?;
    if Intervals::SHORTEST <= interval && interval <= Intervals::LONGEST {
        Ok(interval)
    } else {
        Err(format!("must be from {} to {} seconds", Intervals::SHORTEST.as_secs_f64(), Intervals::LONGEST.as_secs()))
    }
}

impl From<SourceError> for Exit {
    fn from(error: SourceError) -> Self {
        Self::unavailable(error)
    }
}
