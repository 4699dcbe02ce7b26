//! The loop of `eventmesh top`: looks, draws, and takes keys. A look and an order are under way while keys are taken.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use ratatui::crossterm::event::{Event, EventStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::controls::{Controls, Wish};
use super::model::Board;
use super::order::Order;
use super::screen::Screen;
use super::source::{Look, Source, SourceError};
use super::view::{Palette, draw};
use crate::cli::exit::Exit;

/// Watches until somebody has seen enough. A daemon that goes away is waited for.
pub(crate) async fn watch(source: &Source, first: Look, interval: Duration) -> Result<(), Exit> {
    let mut ends = Ends::listen().map_err(|error| Exit::fault("failed to listen for signals", error))?;
    let mut screen = Screen::open().map_err(|error| Exit::unwritable("on the terminal (--once prints a table)", &error))?;
    let mut keys = EventStream::new();
    let mut watching = Watching::new(source, first, interval);
    loop {
        screen.draw(|frame| watching.draw(frame)).map_err(|error| Exit::unwritable("on the terminal", &error))?;
        let next_look = watching.next_look();
        let wish = tokio::select! {
            event = keys.next() => watching.heard(event)?,
            look = done(&mut watching.looking) => {
                watching.looked(look);
                Wish::Draw
            }
            answer = done(&mut watching.giving) => {
                watching.answered(answer);
                Wish::Look
            }
            () = due(next_look) => Wish::Look,
            () = ends.come() => return Err(Exit::interrupted()),
        };
        match wish {
            Wish::Draw => {}
            Wish::Look => watching.look(),
            Wish::Give(order) => watching.give(order),
            Wish::Quit => return Ok(()),
        }
    }
}

type Asked<'a, T> = Option<Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>>;

/// What is being watched, and what has been seen of it.
struct Watching<'a> {
    source: &'a Source,
    controls: Controls,
    palette: Palette,
    now: Look,
    board: Board,
    /// Why the daemon did not answer last, if so.
    trouble: Option<String>,
    /// When the last look was begun.
    begun: Instant,
    looking: Asked<'a, Look>,
    giving: Asked<'a, String>,
}

impl<'a> Watching<'a> {
    fn new(source: &'a Source, first: Look, interval: Duration) -> Self {
        Self {
            source,
            controls: Controls::new(interval),
            palette: Palette::wanted(std::env::var_os("NO_COLOR").as_deref()),
            board: Board::of(&first, None),
            begun: first.at,
            now: first,
            trouble: None,
            looking: None,
            giving: None,
        }
    }

    fn draw(&mut self, frame: &mut ratatui::Frame<'_>) {
        draw(frame, &self.board, &mut self.controls, self.trouble.as_deref(), self.palette);
    }

    fn heard(&mut self, event: Option<io::Result<Event>>) -> Result<Wish, Exit> {
        match event {
            Some(Ok(Event::Key(key))) => Ok(self.controls.press(key, &self.board.rows)),
            // A new size is found when it is drawn; the others are not asked for.
            Some(Ok(Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_))) => {
                Ok(Wish::Draw)
            }
            Some(Err(error)) => Err(Exit::unreadable("the keyboard", &error)),
            None => Err(Exit::unreadable("the keyboard", &io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// When it is time to look again, unless that is under way.
    fn next_look(&self) -> Option<Instant> {
        (self.looking.is_none() && !self.controls.paused).then(|| self.begun + self.controls.interval)
    }

    fn look(&mut self) {
        if self.looking.is_none() {
            self.begun = Instant::now();
            self.looking = Some(Box::pin(self.source.look()));
        }
    }

    fn looked(&mut self, look: Result<Look, SourceError>) {
        match look {
            Ok(look) => {
                self.board = Board::of(&look, Some(&self.now));
                self.now = look;
                self.trouble = None;
            }
            Err(error) => {
                // What was said before is about a daemon that was there.
                if self.trouble.is_none() {
                    self.controls.message = None;
                }
                self.trouble = Some(error.to_string());
            }
        }
    }

    fn give(&mut self, order: Order) {
        if self.giving.is_some() {
            self.controls.message = Some("the last order has not been answered yet".to_owned());
            return;
        }
        let source = self.source;
        self.giving = Some(Box::pin(async move { source.order(&order).await }));
    }

    fn answered(&mut self, answer: Result<String, SourceError>) {
        self.controls.message = Some(answer.unwrap_or_else(|error| error.to_string()));
    }
}

/// Waits for what has been asked, if anything has.
async fn done<T>(asked: &mut Asked<'_, T>) -> Result<T, SourceError> {
    let Some(answer) = asked else { return pending().await };
    let answer = answer.await;
    *asked = None;
    answer
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// The signals that end it. Ctrl-C is a key here; but a terminal that is closed, or somebody who ends the process politely, must not
/// find it drawn on. They are listened for before anything is drawn.
struct Ends {
    signals: [Signal; 4],
}

impl Ends {
    fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let [interrupt, terminate, hangup, quit] = kinds.map(signal);
        Ok(Self { signals: [interrupt?, terminate?, hangup?, quit?] })
    }

    async fn come(&mut self) {
        let [interrupt, terminate, hangup, quit] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}
