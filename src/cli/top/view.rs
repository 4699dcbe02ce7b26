//! The board on a terminal of any size: what there is least room for goes last, and what matters most goes never.
//!
//! ```text
//! where, whether it serves, how often it is looked at
//! work, rates                                            totals and parts as there is room
//! meters                                                 the first always
//! the tree                                               scrolled so that the selected line is in sight
//! last events                                            as there is room
//! a question, what is wrong, or the keys
//! ```

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::controls::Controls;
use super::figures::{bytes, count, rate, time};
use super::model::{Board, Meter, PRESSURES};
use super::row::{Row, Tone};

/// How it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    Colours,
    /// Bold and reversed letters only.
    Plain,
}

impl Palette {
    /// As <https://no-color.org> has it: what is set, and not to nothing, wants none.
    pub(crate) fn wanted(no_color: Option<&std::ffi::OsStr>) -> Self {
        if no_color.is_some_and(|value| !value.is_empty()) { Self::Plain } else { Self::Colours }
    }

    fn of(self, colour: Color, otherwise: Modifier) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::Plain => Style::new().add_modifier(otherwise),
        }
    }

    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Well => self.of(Color::Green, Modifier::empty()),
            Tone::Busy => self.of(Color::Cyan, Modifier::empty()),
            Tone::Passing => self.of(Color::Yellow, Modifier::empty()),
            Tone::Ill => self.bad(),
        }
    }

    fn bad(self) -> Style {
        self.of(Color::Red, Modifier::BOLD).add_modifier(Modifier::BOLD)
    }

    /// By how much is used, from 0 to 1.
    fn share(self, share: f64) -> Style {
        let tone = if share < 0.7 {
            Tone::Well
        } else if share < 0.9 {
            Tone::Passing
        } else {
            Tone::Ill
        };
        self.tone(tone)
    }

    fn pressure(self, word: &str) -> Style {
        match PRESSURES.iter().position(|known| *known == word) {
            Some(0) => self.tone(Tone::Well),
            Some(1 | 2) => self.tone(Tone::Passing),
            // What is not known may be worse.
            Some(_) | None => self.bad(),
        }
    }
}

/// Draws all of it. `trouble` is why the daemon did not answer, if it did not.
pub(crate) fn draw(frame: &mut Frame<'_>, board: &Board, controls: &mut Controls, trouble: Option<&str>, palette: Palette) {
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    let status = status(controls, trouble, palette);
    let plan = Plan::new(area, board, status.width());
    let (selected, top) = controls.settle(&board.rows, usize::from(plan.tree));
    let mut pen = Pen { frame, area, next: area.y };
    pen.line(title(board, controls, trouble.is_some(), area.width, palette));
    if plan.work {
        pen.line(Line::raw(fitting(&board.work, area.width)));
    }
    if plan.more {
        pen.line(Line::raw(fitting(&board.totals, area.width)));
        pen.line(Line::raw(fitting(&board.parts, area.width)));
    }
    for (place, meter) in board.meters.iter().take(usize::from(plan.meters)).enumerate() {
        pen.line(drawn_meter(meter, (place == 0).then_some(&*board.pressure), area.width, palette));
    }
    if plan.tree > 0 {
        let columns = Columns::new(board, area.width);
        let shown = board.rows.iter().enumerate().skip(top).take(usize::from(plan.tree));
        let end = (top + usize::from(plan.tree)).min(board.rows.len());
        let hidden = board.rows.len() > usize::from(plan.tree);
        let note = if hidden { format!("NOTE ({} to {end} of {})", top + 1, board.rows.len()) } else { "NOTE".to_owned() };
        pen.line(columns.header(&note));
        for (place, row) in shown {
            pen.line(columns.row(row, place == selected, palette));
        }
    }
    pen.next = area.bottom().saturating_sub(plan.status + plan.events);
    if plan.events > 0 {
        pen.line(Line::styled("LAST EVENTS", Modifier::BOLD));
        let room = usize::from(plan.events - 1);
        for event in board.events.iter().skip(board.events.len().saturating_sub(room)) {
            pen.line(Line::raw(&**event));
        }
    }
    if plan.status > 0 {
        let place = Rect { y: area.bottom() - plan.status, height: plan.status, ..area };
        pen.frame.render_widget(Paragraph::new(status).wrap(Wrap { trim: true }), place);
    }
    if controls.help {
        help(frame, area);
    }
}

/// What has room.
#[derive(Clone, Copy, Debug)]
struct Plan {
    work: bool,
    more: bool,
    meters: u16,
    /// Lines of the tree, its header not among them.
    tree: u16,
    /// Lines for events, their header among them.
    events: u16,
    status: u16,
}

impl Plan {
    fn new(area: Rect, board: &Board, status_width: usize) -> Self {
        let height = area.height;
        let wrapped = status_width.div_ceil(usize::from(area.width.saturating_sub(8).max(1)));
        let status = match height {
            0 | 1 => 0,
            2..12 => 1,
            12.. => u16::try_from(wrapped).unwrap_or(u16::MAX).clamp(1, 3),
        };
        let meters =
            if height >= 18 { u16::try_from(board.meters.len()).unwrap_or(u16::MAX).min(3) } else { u16::from(height >= 6) };
        let (work, more) = (height >= 4, height >= 16);
        let above = 1 + u16::from(work) + 2 * u16::from(more) + meters;
        // With the header of the tree.
        let left = height.saturating_sub(above + status + 1);
        let wanted = u16::try_from(board.rows.len()).unwrap_or(u16::MAX);
        let events = if height >= 16 { left.saturating_sub(wanted).clamp(3, 12) } else { 0 };
        Self { work, more, meters, tree: left.saturating_sub(events), events, status }
    }
}

/// Draws line after line, and nothing where there is no room.
struct Pen<'a, 'b> {
    frame: &'a mut Frame<'b>,
    area: Rect,
    next: u16,
}

impl Pen<'_, '_> {
    fn line(&mut self, line: Line<'_>) {
        if self.next < self.area.bottom() {
            self.frame.render_widget(line, Rect { y: self.next, height: 1, ..self.area });
            self.next += 1;
        }
    }
}

fn title<'a>(board: &'a Board, controls: &Controls, in_trouble: bool, width: u16, palette: Palette) -> Line<'a> {
    let mut spans = Vec::new();
    if width >= 60 {
        spans.push(Span::styled("eventmesh top  ", Modifier::BOLD));
    }
    spans.push(Span::styled(&*board.address, Modifier::BOLD));
    spans.push(Span::raw("  "));
    spans.push(match &board.condition {
        _ if in_trouble => Span::styled("no answer", palette.bad()),
        Ok(well) => Span::styled(&**well, palette.tone(Tone::Well)),
        Err(ill) => Span::styled(&**ill, palette.bad()),
    });
    spans.push(Span::raw(if controls.paused { "  paused".to_owned() } else { format!("  every {}", every(controls.interval)) }));
    Line::from(spans)
}

/// As many of these as have room, whole; of the first, what has.
fn fitting(items: &[String], width: u16) -> String {
    let mut line = String::new();
    for item in items {
        if !line.is_empty() {
            if Span::raw(&*line).width() + 2 + Span::raw(&**item).width() > usize::from(width) {
                continue;
            }
            line.push_str("  ");
        }
        line.push_str(item);
    }
    line
}

fn drawn_meter<'a>(meter: &'a Meter, pressure: Option<&'a str>, width: u16, palette: Palette) -> Line<'a> {
    let size = usize::from(width / 4).clamp(4, 30);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few columns, from 0 to 1"
    )]
    let full = ((size as f64 * meter.share).round() as usize).min(size);
    let mut spans = vec![
        Span::raw(format!("{:<8}[", meter.name)),
        Span::styled("|".repeat(full), palette.share(meter.share)),
        Span::raw(format!("{}] ", " ".repeat(size - full))),
    ];
    if let Some(word) = pressure {
        spans.push(Span::raw("pressure "));
        spans.push(Span::styled(word, palette.pressure(word).add_modifier(Modifier::BOLD)));
        spans.push(Span::raw("  "));
    }
    spans.push(Span::raw(&*meter.words));
    Line::from(spans)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Name,
    State,
    Life,
    Jobs,
    Rate,
    Age,
    Memory,
}

/// The columns that have room, and how wide each is. The note takes what is left.
#[derive(Debug)]
struct Columns {
    shown: Vec<(Column, usize)>,
}

impl Columns {
    /// Those that go first when there is no room for all.
    const DISPENSABLE: [Column; 6] = [Column::Life, Column::Age, Column::Rate, Column::Memory, Column::Jobs, Column::State];

    fn new(board: &Board, width: u16) -> Self {
        let width = usize::from(width);
        let widest = board.rows.iter().map(|row| row.depth * 2 + Span::raw(&*row.name).width()).max().unwrap_or(0);
        let name = widest.clamp(4, 28).min((width / 2).max(4));
        let mut shown = vec![
            (Column::Name, name),
            (Column::State, 8),
            (Column::Life, 4),
            (Column::Jobs, 9),
            (Column::Rate, 7),
            (Column::Age, 6),
            (Column::Memory, 10),
        ];
        for column in Self::DISPENSABLE {
            let needed: usize = shown.iter().map(|(_, width)| width + 1).sum();
            // A note of less than ten letters says nothing.
            if needed + 10 > width && (needed > width + 1 || column == Column::Life) {
                shown.retain(|(shown, _)| *shown != column);
            }
        }
        Self { shown }
    }

    fn header(&self, note: &str) -> Line<'static> {
        let cells = self.shown.iter().map(|(column, width)| {
            let name = match column {
                Column::Name => "NAME",
                Column::State => "STATE",
                Column::Life => "LIFE",
                Column::Jobs => "JOBS",
                Column::Rate => "JOBS/S",
                Column::Age => "AGE",
                Column::Memory => "MEMORY",
            };
            padded(*column, name, *width)
        });
        Line::styled(cells.collect::<String>() + note, Modifier::BOLD)
    }

    fn row(&self, row: &Row, selected: bool, palette: Palette) -> Line<'static> {
        let mut spans: Vec<_> = self
            .shown
            .iter()
            .map(|(column, width)| {
                let text = padded(*column, &cell(row, *column, *width), *width);
                if *column == Column::State { Span::styled(text, palette.tone(row.tone)) } else { Span::raw(text) }
            })
            .collect();
        spans.push(Span::raw(row.note.clone()));
        let line = Line::from(spans);
        if selected { line.style(Modifier::REVERSED) } else { line }
    }
}

fn cell(row: &Row, column: Column, width: usize) -> String {
    let text = match column {
        Column::Name => Some(format!("{}{}", "  ".repeat(row.depth), row.name)),
        Column::State => Some(row.state.clone()),
        Column::Life => row.generation.map(|life| life.to_string()),
        Column::Jobs => row.jobs.map(|jobs| {
            let whole = count(jobs);
            if whole.len() <= width { whole } else { format!("{}M", count(jobs / 1_000_000)) }
        }),
        Column::Rate => row.rate.map(rate),
        Column::Age => row.age.map(time),
        Column::Memory => row.bytes.map(bytes),
    };
    text.unwrap_or_default()
}

/// As wide as its column, with a blank behind. Figures stand at the right, words at the left.
fn padded(column: Column, text: &str, width: usize) -> String {
    let mut cut = String::new();
    for letter in text.chars() {
        cut.push(letter);
        if Span::raw(&*cut).width() > width {
            cut.pop();
            break;
        }
    }
    let fill = " ".repeat(width.saturating_sub(Span::raw(&*cut).width()));
    if matches!(column, Column::Name | Column::State) { format!("{cut}{fill} ") } else { format!("{fill}{cut} ") }
}

const KEYS: &str = "q quit  arrows move  r recycle  d drain  p pause  + - interval  ? help";

fn status(controls: &Controls, trouble: Option<&str>, palette: Palette) -> Line<'static> {
    if let Some(order) = &controls.asking {
        return Line::styled(format!("{}  y: yes, any other key: no", order.question()), Modifier::REVERSED | Modifier::BOLD);
    }
    let message = controls.message.as_deref();
    let Some(why) = trouble else {
        return message.map_or_else(|| Line::raw(KEYS), |message| Line::styled(message.to_owned(), Modifier::BOLD));
    };
    let tried = if controls.paused { "no answer".to_owned() } else { format!("trying again every {}", every(controls.interval)) };
    // The answer to an order may come after the daemon has gone, and neither may hide the other.
    let message = message.map_or_else(String::new, |message| format!("{message}; "));
    Line::styled(format!("{message}{tried}: {why}"), palette.bad())
}

fn every(interval: Duration) -> String {
    format!("{} s", interval.as_secs_f64())
}

const HELP: [&str; 12] = [
    "arrows, j k   select a line",
    "PgUp PgDn     a page up, down",
    "Home End      the first, last line",
    "r             replace the selected child,",
    "              losing nothing (asks first)",
    "d             drain the daemon: it finishes",
    "              and ends (asks first)",
    "p             pause, and go on",
    "space         look now",
    "+ -           look less, more often",
    "q, Esc        quit, and so does Ctrl-C",
    "any key       closes this",
];

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<_> = HELP.iter().map(|line| Line::raw(*line)).collect();
    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let frame_around = Block::bordered().title(" keys ").title_alignment(Alignment::Center);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(frame_around), place);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};
    use serde_json::{Value, json};

    use super::super::model::tests::{daemon, look, two_children};
    use super::super::source::Look;
    use super::*;

    fn board() -> Board {
        let before = look(daemon(30, &two_children()));
        let after = Look { at: before.at + Duration::from_secs(2), ..look(daemon(50, &two_children())) };
        Board::of(&after, Some(&before))
    }

    fn controls() -> Controls {
        Controls::new(Duration::from_secs(1))
    }

    fn drawn(size: (u16, u16), board: &Board, controls: &mut Controls, trouble: Option<&str>) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a terminal");
        terminal.draw(|frame| draw(frame, board, controls, trouble, Palette::Colours)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let line = |y| (0..size.0).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..size.1).map(line).collect()
    }

    fn has(screen: &[String], parts: &[&str]) {
        for part in parts {
            assert!(screen.iter().any(|line| line.contains(part)), "{part} is not in\n{}", screen.join("\n"));
        }
    }

    #[test]
    fn a_usual_terminal_shows_all_that_matters() {
        let screen = drawn((80, 24), &board(), &mut controls(), None);
        has(&screen, &["eventmesh top  http://127.0.0.1:7801  ready  every 1 s"]);
        has(&screen, &["3 at work  20.0 requests/s  10.0 jobs/s  4 waiting  2.0 MiB admitted"]);
        has(&screen, &["100 requests  50 jobs  1 lost  3 restarts  7 recycles  5 refused"]);
        has(
            &screen,
            &["memory  [|||||||||||||||     ] pressure shrink  1.5 GiB of 2.0 GiB (75 %)", "machine [||||||||||          ] 4.0"],
        );
        has(&screen, &["NAME       STATE    LIFE      JOBS  JOBS/S    AGE     MEMORY NOTE"]);
        has(&screen, &["  wasm     open        1        50    10.0  1m05s    7.0 MiB 4 waiting, 1"]);
        has(&screen, &["    wasm/0 leased      1        10     0.0  1h01m    3.0 MiB for 2.0 s"]);
        has(&screen, &["    wasm/1 idle        4        20     0.0  1h01m    3.0 MiB last job 5.0"]);
        has(&screen, &["LAST EVENTS", " 1m05s  child ended  wasm/0#1  exit out of memory: 3.0 MiB", KEYS]);
        assert_eq!(screen.len(), 24);
        assert_eq!(screen[23], KEYS);
    }

    #[test]
    fn a_small_terminal_shows_what_matters_most() {
        let screen = drawn((40, 10), &board(), &mut controls(), None);
        has(&screen, &["http://127.0.0.1:7801  ready  every 1 s", "3 at work  20.0 requests/s  10.0 jobs/s"]);
        has(&screen, &["memory  [||||||||  ] pressure shrink", "NAME", "    wasm/0 leased", "q quit"]);
    }

    #[test]
    fn no_size_is_too_small_or_too_large() {
        let many: Vec<Value> =
            (0..300).map(|slot| json!({ "id": format!("wasm/{slot}#1"), "state": "idle", "jobs": u64::MAX / 512 })).collect();
        let boards = [board(), Board::of(&look(daemon(u64::MAX / 2, &many)), None)];
        for board in &boards {
            // All small ones, and those around which something changes.
            for width in (1..=12).chain([20, 39, 40, 41, 59, 60, 80, 120, 200]) {
                for height in (1..=18).chain([20, 24, 40, 60]) {
                    let mut controls = controls();
                    controls.press(KeyEvent::from(KeyCode::End), &board.rows);
                    for (help, trouble) in [(false, None), (true, Some("nobody listens at http://127.0.0.1:7801"))] {
                        controls.help = help;
                        let screen = drawn((width, height), board, &mut controls, trouble);
                        assert_eq!(screen.len(), usize::from(height));
                    }
                }
            }
        }
    }

    #[test]
    fn the_selected_line_is_in_sight_and_reversed() {
        let children: Vec<Value> = (0..50).map(|slot| json!({ "id": format!("wasm/{slot}#1"), "state": "idle" })).collect();
        let board = Board::of(&look(daemon(1, &children)), None);
        let mut controls = controls();
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
        for key in [KeyCode::PageDown, KeyCode::PageDown, KeyCode::PageDown] {
            terminal.draw(|frame| draw(frame, &board, &mut controls, None, Palette::Plain)).expect("drawn");
            controls.press(KeyEvent::from(key), &board.rows);
        }
        terminal.draw(|frame| draw(frame, &board, &mut controls, None, Palette::Plain)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let reversed: Vec<u16> = (0..23).filter(|y| buffer[(0, *y)].modifier.contains(Modifier::REVERSED)).collect();
        assert_eq!(reversed.len(), 1);
        let line: String = (0..80).map(|x| buffer[(x, reversed[0])].symbol()).collect();
        let (selected, _) = controls.settle(&board.rows, 12);
        assert!(line.trim_start().starts_with(&board.rows[selected].name), "{line}");
        assert!(selected > 12);
    }

    #[test]
    fn without_colour_there_is_none() {
        assert_eq!(Palette::wanted(None), Palette::Colours);
        assert_eq!(Palette::wanted(Some("".as_ref())), Palette::Colours);
        assert_eq!(Palette::wanted(Some("1".as_ref())), Palette::Plain);
        for (palette, coloured) in [(Palette::Plain, false), (Palette::Colours, true)] {
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
            terminal.draw(|frame| draw(frame, &board(), &mut controls(), Some("gone"), palette)).expect("drawn");
            let any = terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
            assert_eq!(any, coloured);
        }
    }

    #[test]
    fn a_question_comes_before_everything_and_trouble_before_the_keys() {
        let board = board();
        let mut controls = controls();
        let why = "nobody listens at http://127.0.0.1:7801: start a daemon with `eventmesh serve`";
        let screen = drawn((80, 24), &board, &mut controls, Some(why));
        has(
            &screen,
            &[
                "http://127.0.0.1:7801  no answer",
                "trying again every 1 s: nobody listens at http://127.0.0.1:7801",
                "`eventmesh serve`",
            ],
        );
        controls.paused = true;
        has(&drawn((80, 24), &board, &mut controls, None), &["  paused"]);
        controls.press(KeyEvent::from(KeyCode::Char('d')), &board.rows);
        has(&drawn((80, 24), &board, &mut controls, Some(why)), &["drain the daemon?", "y: yes"]);
        controls.asking = None;
        controls.message = Some("ordered".to_owned());
        has(&drawn((80, 24), &board, &mut controls, Some(why)), &["ordered; no answer: nobody listens"]);
        controls.help = true;
        has(&drawn((80, 24), &board, &mut controls, None), &[" keys ", "replace the selected child"]);
    }
}
