//! Where the log goes, and in which form: decided from what was asked for and what standard error is.

use std::io::{IsTerminal, Stderr};

use clap::ValueEnum;

/// The form of the log, as it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A daemon's log goes to the journal if that is what standard error is, and is JSON unless somebody watches; that of other
    /// commands is text
    #[default]
    Auto,
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSink {
    /// To systemd's journal, field by field.
    Journal,
    /// To standard error, for people.
    Text,
    /// To standard error, one JSON object a line.
    Json,
}

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Journal,
    Terminal,
    Other,
}

impl Reader {
    /// Who reads that of this process.
    pub(super) fn of_this_process() -> Self {
        let stderr = std::io::stderr();
        let stream = std::env::var("JOURNAL_STREAM").ok();
        if stream.is_some_and(|stream| is_same(&stream, &stderr)) {
            Self::Journal
        } else if stderr.is_terminal() {
            Self::Terminal
        } else {
            Self::Other
        }
    }
}

/// Whether standard error is the stream that the service manager has connected to the journal. The variable is inherited by
/// everybody who is started later, and standard error may have been sent elsewhere since.
fn is_same(stream: &str, stderr: &Stderr) -> bool {
    rustix::fs::fstat(stderr).is_ok_and(|found| is_named(stream, found.st_dev, found.st_ino))
}

/// Whether `stream` names this device and inode: `DEVICE:INODE`.
fn is_named(stream: &str, device: u64, inode: u64) -> bool {
    let named = stream.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    named == Some((device, inode))
}

impl LogFormat {
    /// Where the log of a command goes.
    pub(super) fn sink(self, serves: bool, reader: Reader) -> LogSink {
        match (self, serves, reader) {
            (Self::Text, _, _) | (Self::Auto, false, _) | (Self::Auto, true, Reader::Terminal) => LogSink::Text,
            (Self::Auto, true, Reader::Journal) => LogSink::Journal,
            (Self::Json, _, _) | (Self::Auto, true, Reader::Other) => LogSink::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_logs_for_whoever_reads_it_and_other_commands_for_people() {
        let table = [
            (LogFormat::Auto, true, Reader::Journal, LogSink::Journal),
            (LogFormat::Auto, true, Reader::Terminal, LogSink::Text),
            (LogFormat::Auto, true, Reader::Other, LogSink::Json),
            (LogFormat::Auto, false, Reader::Journal, LogSink::Text),
            (LogFormat::Auto, false, Reader::Other, LogSink::Text),
            (LogFormat::Text, true, Reader::Journal, LogSink::Text),
            (LogFormat::Json, true, Reader::Terminal, LogSink::Json),
            (LogFormat::Json, false, Reader::Terminal, LogSink::Json),
        ];
        for (format, serves, reader, sink) in table {
            assert_eq!(format.sink(serves, reader), sink, "{format:?} {serves} {reader:?}");
        }
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_named("9:4711", 9, 4711));
        for other in ["9:4712", "8:4711", "9", "", "9:", ":4711", "a:b", "9:4711:1"] {
            assert!(!is_named(other, 9, 4711), "{other}");
        }
    }
}
