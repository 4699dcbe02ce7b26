//! `eventmesh config`: the settings of a daemon, as it would start with them now.

use clap::{Args, Subcommand};

use super::exit::{Exit, write_out};
use super::serve::DaemonArgs;
use crate::config;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Tells everything that is wrong with the settings, and with the keys and the secret that they name; exit code 2 if anything
    /// is
    #[command(after_help = "Example:\n  eventmesh config check --config eventmesh.toml && systemctl reload eventmesh")]
    Check(CheckArgs),
    /// Prints the settings that count
    #[command(after_help = "\
Examples:
  eventmesh config show --origin
  eventmesh config show --config eventmesh.toml --workers 4 | diff - other.toml")]
    Show(ShowArgs),
    /// Prints a file of all settings, each with its default and the reason for it
    #[command(after_help = "Example:\n  eventmesh config example > eventmesh.toml")]
    Example,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Says of each setting where it comes from: default, file, environment variable or flag
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(crate) fn run(command: ConfigCommand) -> Result<(), Exit> {
    match command {
        ConfigCommand::Check(arguments) => {
            let sources = arguments.daemon.sources()?;
            let loaded = sources.check().map_err(Exit::usage)?;
            let file = sources.place().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
            write_out(format!("all is well: {file}, {} settings set\n", loaded.set()).as_bytes())
        }
        ConfigCommand::Show(arguments) => {
            let loaded = arguments.daemon.sources()?.load().map_err(Exit::usage)?;
            write_out(config::shown(&loaded, arguments.origin).trim_start().as_bytes())
        }
        ConfigCommand::Example => write_out(config::example().as_bytes()),
    }
}
