//! Extracts a page natively, for profilers: `extract PAGE [ROUNDS]` prints its Markdown, or only runs.

#![expect(clippy::print_stdout, reason = "it is an example")]

use std::error::Error;

use eventmesh_guest::{Hints, extract};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: extract PAGE [ROUNDS]")?;
    let rounds: Option<u32> = arguments.next().map(|rounds| rounds.parse()).transpose()?;
    let page = std::fs::read(path)?;
    let hints = Hints { base_url: Some("https://example.com/".into()), ..Hints::default() };
    match rounds {
        None => print!("{}", extract(&page, &hints).markdown),
        Some(rounds) => {
            let words: u64 = (0..rounds).map(|_| u64::from(extract(&page, &hints).word_count)).sum();
            println!("{words} words");
        }
    }
    Ok(())
}
