//! What is typed, and what that does: which line is selected, what is asked, how often it looks. Pure; keys come in, wishes go out.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::order::Order;
use super::row::Row;

/// How often it looks, from often to seldom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals;

impl Intervals {
    pub(crate) const SHORTEST: Duration = Duration::from_millis(100);
    pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

    /// What `-` and `+` choose from.
    const STEPS: [Duration; 9] = [
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_secs(2),
        Duration::from_secs(5),
        Duration::from_secs(10),
        Duration::from_secs(30),
        Duration::from_secs(60),
        Duration::from_secs(300),
    ];

    fn longer(than: Duration) -> Duration {
        Self::STEPS.into_iter().find(|step| *step > than).unwrap_or(than)
    }

    fn shorter(than: Duration) -> Duration {
        Self::STEPS.into_iter().rev().find(|step| *step < than).unwrap_or(than)
    }
}

/// What has been chosen at the keyboard so far.
#[derive(Clone, Debug)]
pub(crate) struct Controls {
    pub(crate) interval: Duration,
    pub(crate) paused: bool,
    /// Whether the keys are explained.
    pub(crate) help: bool,
    /// The order that waits for a yes.
    pub(crate) asking: Option<Order>,
    /// What is to be said about the last key or order.
    pub(crate) message: Option<String>,
    /// The selected line, by its key; it stays selected wherever it moves to.
    key: String,
    /// Where it was last, for when it has gone.
    place: usize,
    /// The first line that is in sight.
    top: usize,
    /// How many lines were in sight last.
    room: usize,
}

/// What a key asks of whoever holds the controls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To draw again.
    Draw,
    /// To look again now.
    Look,
    /// To give an order, which has been confirmed.
    Give(Order),
    /// To end.
    Quit,
}

impl Controls {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, paused: false, help: false, asking: None, message: None, key: String::new(), place: 0, top: 0, room: 1 }
    }

    /// The place of the selected line among these, and of the first line in sight, when so many are.
    pub(crate) fn settle(&mut self, rows: &[Row], room: usize) -> (usize, usize) {
        self.room = room.max(1);
        let last = rows.len().saturating_sub(1);
        self.place = rows.iter().position(|row| row.key == self.key).unwrap_or(self.place.min(last));
        if let Some(row) = rows.get(self.place) {
            self.key.clone_from(&row.key);
        }
        let lowest = self.place.saturating_sub(self.room - 1);
        self.top = self.top.clamp(lowest, self.place).min(rows.len().saturating_sub(self.room));
        (self.place, self.top)
    }

    /// What a key does, while these lines are shown.
    pub(crate) fn press(&mut self, key: KeyEvent, rows: &[Row]) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Draw;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Wish::Quit;
        }
        self.message = None;
        if let Some(order) = self.asking.take() {
            if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                self.message = Some(format!("{}: asked", order.name()));
                return Wish::Give(order);
            }
            self.message = Some(format!("{}: not done", order.name()));
            return Wish::Draw;
        }
        if self.help {
            self.help = false;
            return Wish::Draw;
        }
        self.act(key, rows)
    }

    fn act(&mut self, key: KeyEvent, rows: &[Row]) -> Wish {
        // Any other combination is somebody else's, such as Ctrl-R of a shell.
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return Wish::Draw;
        }
        let page = self.room.saturating_sub(1).max(1);
        if key.code == KeyCode::Up {
            self.go_to(rows, self.place.saturating_sub(1));
        } else if key.code == KeyCode::Down {
            self.go_to(rows, self.place.saturating_add(1));
        } else if key.code == KeyCode::PageUp {
            self.go_to(rows, self.place.saturating_sub(page));
        } else if key.code == KeyCode::PageDown {
            self.go_to(rows, self.place.saturating_add(page));
        } else if key.code == KeyCode::Home {
            self.go_to(rows, 0);
        } else if key.code == KeyCode::End {
            self.go_to(rows, usize::MAX);
        } else if key.code == KeyCode::Esc {
            return Wish::Quit;
        } else if let KeyCode::Char(letter) = key.code {
            return self.letter(letter, rows);
        }
        Wish::Draw
    }

    fn letter(&mut self, letter: char, rows: &[Row]) -> Wish {
        match letter {
            'q' => return Wish::Quit,
            'k' => self.go_to(rows, self.place.saturating_sub(1)),
            'j' => self.go_to(rows, self.place.saturating_add(1)),
            'p' => {
                self.paused = !self.paused;
                if !self.paused {
                    return Wish::Look;
                }
            }
            ' ' => return Wish::Look,
            // The same keys without shift.
            '+' | '=' => {
                self.interval = Intervals::longer(self.interval);
            }
            '-' | '_' => {
                self.interval = Intervals::shorter(self.interval);
            }
            'r' => match rows.get(self.place).and_then(|row| row.recycle.clone()) {
                Some(order) => self.asking = Some(order),
                None => self.message = Some("select a child of a pool first: only those are replaced".to_owned()),
            },
            'd' => self.asking = Some(Order::Drain),
            '?' | 'h' => self.help = true,
            _ => {}
        }
        Wish::Draw
    }

    fn go_to(&mut self, rows: &[Row], place: usize) {
        self.place = place.min(rows.len().saturating_sub(1));
        if let Some(row) = rows.get(self.place) {
            self.key.clone_from(&row.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Board;
    use super::super::model::tests::{daemon, look, two_children};
    use super::*;

    fn rows() -> Vec<Row> {
        Board::of(&look(daemon(30, &two_children())), None).rows
    }

    fn controls() -> Controls {
        Controls::new(Duration::from_secs(1))
    }

    fn typed(controls: &mut Controls, keys: &[KeyCode], rows: &[Row]) -> Wish {
        keys.iter().map(|key| controls.press(KeyEvent::from(*key), rows)).last().expect("a key")
    }

    #[test]
    fn the_keys_that_end_it() {
        let rows = rows();
        for key in [KeyEvent::from(KeyCode::Char('q')), KeyEvent::from(KeyCode::Esc), control('c')] {
            assert_eq!(controls().press(key, &rows), Wish::Quit);
        }
        let mut asked = controls();
        typed(&mut asked, &[KeyCode::Char('d')], &rows);
        assert_eq!(asked.press(control('c'), &rows), Wish::Quit, "whatever is asked");
    }

    fn control(letter: char) -> KeyEvent {
        KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)
    }

    #[test]
    fn an_order_needs_a_yes() {
        let rows = rows();
        let mut it = controls();
        assert_eq!(typed(&mut it, &[KeyCode::Char('r')], &rows), Wish::Draw);
        assert_eq!(it.asking, None, "the root is no child of a pool");
        assert!(it.message.is_some());
        it.settle(&rows, 20);
        typed(&mut it, &[KeyCode::Down, KeyCode::Down, KeyCode::Down, KeyCode::Char('r')], &rows);
        let order = Order::Recycle { pool: "wasm".to_owned(), slot: 0 };
        assert_eq!(it.asking, Some(order.clone()));
        assert_eq!(typed(&mut it, &[KeyCode::Enter], &rows), Wish::Draw, "Enter is no yes");
        assert_eq!(it.asking, None);
        assert_eq!(typed(&mut it, &[KeyCode::Char('r'), KeyCode::Char('y')], &rows), Wish::Give(order));
        assert_eq!(typed(&mut it, &[KeyCode::Char('d'), KeyCode::Char('q')], &rows), Wish::Draw, "q is a no");
        assert_eq!(typed(&mut it, &[KeyCode::Char('d'), KeyCode::Char('y')], &rows), Wish::Give(Order::Drain));
        it.press(control('d'), &rows);
        assert_eq!(it.asking, None, "Ctrl-D is something else");
    }

    #[test]
    fn the_selection_stays_with_its_line_and_in_sight() {
        let rows = rows();
        let mut it = controls();
        assert_eq!(it.settle(&rows, 3), (0, 0));
        typed(&mut it, &[KeyCode::PageDown, KeyCode::PageDown], &rows);
        assert_eq!(it.settle(&rows, 3), (4, 2));
        // Lines above it have gone.
        assert_eq!(it.settle(&rows[2..], 3), (2, 2));
        assert_eq!(it.settle(&rows, 3), (4, 2));
        typed(&mut it, &[KeyCode::End], &rows);
        assert_eq!(it.settle(&rows, 3), (8, 6));
        // It has gone itself.
        assert_eq!(it.settle(&rows[..4], 3), (3, 1));
        assert_eq!(it.settle(&[], 3), (0, 0));
        typed(&mut it, &[KeyCode::Home, KeyCode::Up, KeyCode::Down], &rows);
        assert_eq!(it.settle(&rows, 0), (1, 1), "even where there is no room");
        assert_eq!(it.settle(&rows, 100), (1, 0));
    }

    #[test]
    fn the_interval_has_ends() {
        let mut it = controls();
        typed(&mut it, &[KeyCode::Char('+')], &[]);
        assert_eq!(it.interval, Duration::from_secs(2));
        typed(&mut it, &[KeyCode::Char('-'); 20], &[]);
        assert_eq!(it.interval, Duration::from_millis(250));
        assert_eq!(typed(&mut it, &[KeyCode::Char('='); 20], &[]), Wish::Draw);
        assert_eq!(it.interval, Duration::from_secs(300));
    }

    #[test]
    fn pausing_and_help() {
        let mut it = controls();
        assert_eq!(typed(&mut it, &[KeyCode::Char('p')], &[]), Wish::Draw);
        assert!(it.paused);
        assert_eq!(typed(&mut it, &[KeyCode::Char('p')], &[]), Wish::Look);
        typed(&mut it, &[KeyCode::Char('?')], &[]);
        assert!(it.help);
        assert_eq!(typed(&mut it, &[KeyCode::Char('q')], &[]), Wish::Draw, "any key closes it");
        assert!(!it.help);
    }
}
