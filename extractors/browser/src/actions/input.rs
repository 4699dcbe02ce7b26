//! Inputs as the browser takes them: trusted, as from a mouse and a keyboard.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::input::{
    DispatchKeyEventParams, DispatchKeyEventType, DispatchMouseEventParams, DispatchMouseEventType, InsertTextParams, MouseButton,
};

use super::super::Button;
use super::super::keys::{Chord, Key};
use super::super::plan::Input;
use crate::cdp::{Batch, CdpError};

/// How long an input may take to be acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);

pub(super) type Acknowledgement = Pin<Box<dyn Future<Output = Result<(), CdpError>> + Send>>;

/// Writes what an input takes.
pub(super) fn write(batch: &mut Batch, acknowledged: &mut Vec<Acknowledgement>, input: &Input, place: Option<(f64, f64)>) {
    let mut hand = Hand { batch, acknowledged };
    match (input, place) {
        (Input::None, _) => {}
        (Input::Press(chord), _) => hand.chord(chord),
        // The page has found that there is nothing to do, or does it itself.
        (_, None) => {}
        (Input::Move, Some(place)) => hand.mouse(DispatchMouseEventType::MouseMoved, place, MouseButton::None, 0),
        (Input::Click { times, button }, Some(place)) => hand.click(place, *times, *button),
        (Input::Keys(keys), Some(place)) => {
            hand.click(place, 1, Button::Left);
            for (key, modifiers) in keys {
                hand.key(key, *modifiers);
            }
        }
        (Input::Text(text), Some(place)) => {
            hand.click(place, 1, Button::Left);
            if text.is_empty() {
                hand.key(&Key { key: "Delete".to_owned(), code: "Delete".to_owned(), number: 46, text: None }, 0);
            } else {
                hand.text(text);
            }
        }
        (Input::PressAt(chord), Some(place)) => {
            hand.click(place, 1, Button::Left);
            hand.chord(chord);
        }
    }
}

/// Writes inputs one after the other.
pub(super) struct Hand<'b> {
    pub(super) batch: &'b mut Batch,
    pub(super) acknowledged: &'b mut Vec<Acknowledgement>,
}

impl Hand<'_> {
    pub(super) fn mouse(&mut self, kind: DispatchMouseEventType, (x, y): (f64, f64), button: MouseButton, count: i64) {
        let mut event = DispatchMouseEventParams::new(kind, x, y);
        event.buttons = Some(match button {
            MouseButton::Left => 1,
            MouseButton::Right => 2,
            MouseButton::Middle => 4,
            MouseButton::None | MouseButton::Back | MouseButton::Forward => 0,
        });
        event.button = Some(button);
        event.click_count = Some(count);
        let pending = self.batch.add(&event);
        self.acknowledged.push(crate::page::settled(pending, ACKNOWLEDGED));
    }

    pub(super) fn click(&mut self, place: (f64, f64), times: i64, button: Button) {
        let button = match button {
            Button::Left => MouseButton::Left,
            Button::Middle => MouseButton::Middle,
            Button::Right => MouseButton::Right,
        };
        self.mouse(DispatchMouseEventType::MouseMoved, place, MouseButton::None, 0);
        for count in 1..=times {
            self.mouse(DispatchMouseEventType::MousePressed, place, button.clone(), count);
            self.mouse(DispatchMouseEventType::MouseReleased, place, button.clone(), count);
        }
    }

    fn key(&mut self, key: &Key, modifiers: i64) {
        let down = if key.text.is_some() { DispatchKeyEventType::KeyDown } else { DispatchKeyEventType::RawKeyDown };
        for (kind, text) in [(down, key.text.clone()), (DispatchKeyEventType::KeyUp, None)] {
            let mut event = DispatchKeyEventParams::new(kind);
            event.modifiers = Some(modifiers);
            event.key = Some(key.key.clone());
            event.code = Some(key.code.clone());
            event.windows_virtual_key_code = Some(key.number);
            event.unmodified_text.clone_from(&text);
            event.text = text;
            let pending = self.batch.add(&event);
            self.acknowledged.push(crate::page::settled(pending, ACKNOWLEDGED));
        }
    }

    fn chord(&mut self, chord: &Chord) {
        self.key(&chord.key, chord.modifiers);
    }

    pub(super) fn text(&mut self, text: &str) {
        let pending = self.batch.add(&InsertTextParams::new(text));
        self.acknowledged.push(crate::page::settled(pending, ACKNOWLEDGED));
    }
}
