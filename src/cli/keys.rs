//! `eventmesh keys`: the keys that open a daemon.

use clap::{Subcommand, ValueEnum};

use super::exit::{Exit, say, write_out};
use crate::http::{Scope, hash};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Makes a key: prints its entry for the file of keys, and on standard error the key itself, which is kept nowhere
    #[command(after_help = "Example:\n  eventmesh keys new crawler >> /etc/eventmesh/keys.toml")]
    New {
        /// Whose it is
        name: String,
        /// What it allows; may be repeated
        #[arg(long = "scope", value_enum, default_value = "extract")]
        scopes: Vec<ScopeArg>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeArg {
    /// To ask for pages
    Extract,
    /// To see and steer the daemon
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Extract => Self::Extract,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

pub(crate) fn run(command: KeysCommand) -> Result<(), Exit> {
    let KeysCommand::New { name, scopes } = command;
    let mut random = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut random));
    read.map_err(|error| Exit::unreadable("/dev/urandom", &error))?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let secret = format!("em_{digits}");
    let scopes: Vec<Scope> = scopes.into_iter().map(Scope::from).collect();
    let entry = crate::http::KeyEntry::new(name, hash(&secret), scopes).map_err(Exit::usage)?;
    write_out(entry.written().as_bytes())?;
    say(&format!("the key, which is kept nowhere: {secret}"));
    Ok(())
}
