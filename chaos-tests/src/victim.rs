//! The test program behind process workers: does as it is told, a line at a time.
//!
//! `echo N` answers `N`; `hang` reads no more; `spin` burns its processor; `panic` dies of it; `grow N` holds N MiB more;
//! `write N` appends to a file in its scratch directory and answers what the system says; the end of its input ends it.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use eventmesh_actors::process::{SelfLimits, enter};

/// What the program is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// It ties its life to its parent's and limits itself, as every worker should.
    Good,
    /// It does neither: what a foreign program may be like, and what only a sweep finds.
    Stray,
}

/// The whole program.
#[must_use]
pub fn main(manners: Manners) -> ExitCode {
    if manners == Manners::Good {
        let limits =
            SelfLimits { address_space: Some(4 << 30), processor: Some(Duration::from_secs(3600)), open_files: Some(64) };
        if let Err(error) = enter(&limits) {
            return told(&error.to_string());
        }
    }
    let mut held: Vec<Vec<u8>> = Vec::new();
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    for line in input.lines() {
        let Ok(line) = line else { return ExitCode::FAILURE };
        let (what, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let answer = match what {
            "echo" => number.to_owned(),
            "hang" => loop {
                std::thread::park();
            },
            "spin" => loop {
                std::hint::spin_loop();
            },
            "panic" => return told("panic on purpose"),
            "grow" => {
                held.push(vec![1; number.parse::<usize>().unwrap_or(0) << 20]);
                number.to_owned()
            }
            "write" => match write(number) {
                Ok(()) => number.to_owned(),
                Err(error) => format!("! {error}"),
            },
            _ => "! unknown".to_owned(),
        };
        if writeln!(output, "{answer}").and_then(|()| output.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    drop(held);
    if manners == Manners::Stray {
        // It has not noticed that its parent is gone, and goes on for ever.
        loop {
            std::thread::park();
        }
    }
    ExitCode::SUCCESS
}

/// The file that the program writes to, in its scratch directory.
pub const FILE: &str = "journal";

fn write(number: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(FILE)?;
    writeln!(file, "{number}")?;
    file.flush()
}

fn told(why: &str) -> ExitCode {
    // Where even that cannot be written, the exit code has to say it.
    let _ = writeln!(std::io::stderr(), "victim: {why}");
    ExitCode::from(70)
}
