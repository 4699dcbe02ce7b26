//! Keys by their names, as the keyboard knows them. Pure.

/// A key, pressed with others held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chord {
    pub(crate) key: Key,
    /// As the protocol has them: 1 Alt, 2 Control, 4 Meta, 8 Shift.
    pub(crate) modifiers: i64,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its value, as `KeyboardEvent.key`.
    pub(crate) key: String,
    /// Its place on the keyboard, as `KeyboardEvent.code`; empty if it has none.
    pub(crate) code: String,
    /// Its old number, as `KeyboardEvent.keyCode`.
    pub(crate) number: i64,
    /// What it writes, if anything.
    pub(crate) text: Option<String>,
}

const NAMED: &[(&str, i64, Option<&str>)] = &[
    ("Enter", 13, Some("\r")),
    ("Tab", 9, None),
    ("Escape", 27, None),
    ("Backspace", 8, None),
    ("Delete", 46, None),
    ("Insert", 45, None),
    ("Home", 36, None),
    ("End", 35, None),
    ("PageUp", 33, None),
    ("PageDown", 34, None),
    ("ArrowLeft", 37, None),
    ("ArrowUp", 38, None),
    ("ArrowRight", 39, None),
    ("ArrowDown", 40, None),
    ("F1", 112, None),
    ("F2", 113, None),
    ("F3", 114, None),
    ("F4", 115, None),
    ("F5", 116, None),
    ("F6", 117, None),
    ("F7", 118, None),
    ("F8", 119, None),
    ("F9", 120, None),
    ("F10", 121, None),
    ("F11", 122, None),
    ("F12", 123, None),
];

/// Signs with a place of their own on an American keyboard, and the number of that place.
const SIGNS: &[(char, char, &str, i64)] = &[
    ('-', '_', "Minus", 189),
    ('=', '+', "Equal", 187),
    ('[', '{', "BracketLeft", 219),
    (']', '}', "BracketRight", 221),
    (';', ':', "Semicolon", 186),
    ('\'', '"', "Quote", 222),
    (',', '<', "Comma", 188),
    ('.', '>', "Period", 190),
    ('/', '?', "Slash", 191),
    ('\\', '|', "Backslash", 220),
    ('`', '~', "Backquote", 192),
];

const ABOVE_DIGITS: &str = ")!@#$%^&*(";

impl Key {
    /// The key that writes a character.
    pub(crate) fn of(character: char) -> Self {
        let write = |code: String, number| Self { key: character.to_string(), code, number, text: Some(character.to_string()) };
        match character {
            '\n' | '\r' => Self { key: "Enter".to_owned(), code: "Enter".to_owned(), number: 13, text: Some("\r".to_owned()) },
            '\t' => Self { key: "Tab".to_owned(), code: "Tab".to_owned(), number: 9, text: None },
            ' ' => write("Space".to_owned(), 32),
            'a'..='z' | 'A'..='Z' => {
                let upper = character.to_ascii_uppercase();
                write(format!("Key{upper}"), i64::from(u32::from(upper)))
            }
            '0'..='9' => write(format!("Digit{character}"), i64::from(u32::from(character))),
            _ => {
                if let Some(digit) = ABOVE_DIGITS.find(character) {
                    return write(format!("Digit{digit}"), 48 + i64::try_from(digit).unwrap_or(0));
                }
                let sign = SIGNS.iter().find(|(plain, shifted, ..)| *plain == character || *shifted == character);
                sign.map_or_else(|| write(String::new(), 0), |(.., code, number)| write((*code).to_owned(), *number))
            }
        }
    }

    fn named(name: &str) -> Option<Self> {
        let (name, number, text) = NAMED.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))?;
        Some(Self { key: (*name).to_owned(), code: (*name).to_owned(), number: *number, text: text.map(str::to_owned) })
    }
}

impl Chord {
    /// A key by its name, after the modifiers that are held: `Enter`, `a`, `Control+Shift+ArrowLeft`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (held, name) = match text.rsplit_once('+') {
            // The plus key itself.
            Some((held, "")) => (held.strip_suffix('+').unwrap_or(held), "+"),
            Some((held, name)) => (held, name),
            None => ("", text),
        };
        let mut modifiers = 0;
        for modifier in held.split('+').filter(|modifier| !modifier.is_empty()) {
            modifiers |= match modifier.to_ascii_lowercase().as_str() {
                "alt" => 1,
                "control" | "ctrl" => 2,
                "meta" | "command" => 4,
                "shift" => 8,
                _ => return Err(format!("{modifier} is no modifier; Alt, Control, Meta and Shift are")),
            };
        }
        let mut characters = name.chars();
        let key = match (characters.next(), characters.next()) {
            (Some(character), None) => Some(Key::of(character)),
            _ if name.eq_ignore_ascii_case("space") => Some(Key::of(' ')),
            _ => Key::named(name),
        };
        let mut key = key.ok_or_else(|| format!("{name:?} is no key; Enter, Tab, ArrowDown, F5, a and the like are"))?;
        // What is held with these is an order, not a text.
        if modifiers & 7 != 0 {
            key.text = None;
        }
        Ok(Self { key, modifiers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_by_name() {
        let chord = Chord::parse("Control+Shift+arrowleft").expect("it is one");
        assert_eq!((chord.key.key.as_str(), chord.key.number, chord.modifiers), ("ArrowLeft", 37, 10));
        let select = Chord::parse("Control+a").expect("it is one");
        assert_eq!((select.key.code.as_str(), select.key.text, select.modifiers), ("KeyA", None, 2));
        assert_eq!(Chord::parse("+").map(|chord| chord.key.code), Ok("Equal".to_owned()));
        assert_eq!(Chord::parse("Control++").map(|chord| chord.modifiers), Ok(2));
        assert_eq!(Chord::parse("Enter").map(|chord| chord.key.text), Ok(Some("\r".to_owned())));
        for bad in ["", "Hyper+a", "Return2", "Control+"] {
            assert!(Chord::parse(bad).is_err() || bad == "Control+", "{bad}");
        }
    }

    #[test]
    fn characters_have_places() {
        let places =
            [('a', "KeyA", 65), ('Z', "KeyZ", 90), ('7', "Digit7", 55), ('&', "Digit7", 55), ('?', "Slash", 191), ('ü', "", 0)];
        for (character, code, number) in places {
            let key = Key::of(character);
            assert_eq!((key.code.as_str(), key.number, key.text), (code, number, Some(character.to_string())), "{character}");
        }
    }
}
