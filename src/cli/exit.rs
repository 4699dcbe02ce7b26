//! How a command ended, and how it says so.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::error::Error;

/// Why a command did not do all that was asked for.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    /// What is said on standard error; nothing if all has been said.
    message: Option<String>,
}

impl Exit {
    /// The command line, or what it names, makes no sense.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, message: Some(message.to_string()) }
    }

    /// Something inside went wrong.
    pub(crate) fn fault(doing: &str, error: impl StdError) -> Self {
        Self { code: 1, message: Some(format!("{doing}: {}", chain(&error))) }
    }

    /// Something inside panicked.
    pub(crate) fn crashed(what: &str, panic: &str) -> Self {
        Self { code: 1, message: Some(format!("{what} crashed: {panic}")) }
    }

    /// Some inputs failed, and each has said so.
    pub(crate) fn some_failed() -> Self {
        Self { code: 3, message: None }
    }

    /// Something is missing or does not work, and has been told.
    pub(crate) fn unwell() -> Self {
        Self { code: 9, message: None }
    }

    /// An input, or the list of them, cannot be read.
    pub(crate) fn unreadable(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self { code: 4, message: Some(format!("failed to read {what}: {error}")) }
    }

    /// The output cannot be written. A reader that has seen enough is told nothing.
    pub(crate) fn unwritable(what: impl fmt::Display, error: &std::io::Error) -> Self {
        let gone = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { code: 8, message: (!gone).then(|| format!("failed to write {what}: {error}")) }
    }

    /// What is needed to serve is taken, or not there.
    pub(crate) fn unavailable(message: impl fmt::Display) -> Self {
        Self { code: 7, message: Some(message.to_string()) }
    }

    /// Somebody pressed Ctrl-C, or told the process to end.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, message: None }
    }
}

impl From<Error> for Exit {
    fn from(error: Error) -> Self {
        Self { code: error.kind().exit_code(), message: Some(error.to_string()) }
    }
}

/// The last words of a command.
pub(crate) fn tell(done: Result<(), Exit>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if let Some(message) = exit.message {
                // Where even that cannot be written, the exit code has to say it.
                let _ = writeln!(std::io::stderr(), "eventmesh: {message}");
            }
            ExitCode::from(exit.code)
        }
    }
}

/// Says something to whoever watches, beside the results.
pub(crate) fn say(message: &str) {
    // Nobody watches, if that cannot be written.
    let _ = writeln!(std::io::stderr(), "eventmesh: {message}");
}

/// Writes a result to standard output.
pub(crate) fn write_out(bytes: &[u8]) -> Result<(), Exit> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Exit::unwritable("to standard output", &error))
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
