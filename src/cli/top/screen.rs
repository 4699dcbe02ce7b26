//! The terminal while it is drawn on, and as it was before once it is not: after an end, an error, a signal or a panic.

use std::io::{self, BufWriter, Stdout, stdout};
use std::panic;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

/// The terminal, drawn on as long as this lives.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    _restored: Restored,
}

/// Puts the terminal back when it goes.
#[derive(Debug)]
struct Restored;

impl Screen {
    /// Takes the terminal. What a panic says comes after it is back, so that it can be read: the hook is the process's, and the
    /// process does nothing else.
    pub(crate) fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        let restored = Restored;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        // Not the terminal's own way to clear, which first asks where the cursor is and fails where nobody answers.
        execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All), Hide)?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stdout())))?;
        Ok(Self { terminal, _restored: restored })
    }

    /// Draws once.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // A terminal that has gone needs no restoring, and there is nobody left to tell.
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
