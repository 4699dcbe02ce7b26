//! Settings written as a file: what counts now, or an example with every default and its reason.

use std::fmt::Write;

use super::load::Loaded;
use super::settings::{self, Setting};

const INTRODUCTION: &str = "\
All settings of EventMesh, each with its default and the reason for it. This file is what `eventmesh config example` prints.

`eventmesh serve` reads /etc/eventmesh/eventmesh.toml if it is there, or the file that --config or EVENTMESH_CONFIG names. \
An environment variable wins over the file, a flag over both: EVENTMESH__FETCH__IDLE sets idle in [fetch], and lists have \
commas between their items. `eventmesh config check` tells all that is wrong, `eventmesh config show --origin` what counts and \
who said so.

Bytes are written as \"64KiB\", \"512MiB\", \"2GiB\", or as a plain number; lengths of time as \"250ms\", \"30s\", \"1h30m\". \
\"auto\" is found out on the machine.";

/// The width of the example's prose.
const WIDTH: usize = 110;

/// Every setting as a comment, with its default and the reason for it.
pub(crate) fn example() -> String {
    let mut text = String::new();
    for paragraph in INTRODUCTION.split("\n\n") {
        if !text.is_empty() {
            text.push_str("#\n");
        }
        comment(&mut text, paragraph);
    }
    listed(&mut text, |text, setting| {
        text.push('\n');
        comment(text, setting.about);
        if setting.live {
            comment(text, "A reload applies it.");
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "#{} = {}", setting.place().1, setting.default_text());
    });
    text
}

/// What counts, and where it comes from if that is asked for.
pub(crate) fn shown(loaded: &Loaded, with_origin: bool) -> String {
    let mut text = String::new();
    listed(&mut text, |text, setting| {
        let _ = write!(text, "{} = {}", setting.place().1, (setting.get)(&loaded.settings));
        let _ = if with_origin { writeln!(text, "  # {}", loaded.origin(setting.key)) } else { writeln!(text) };
    });
    text
}

fn listed(text: &mut String, mut one: impl FnMut(&mut String, &Setting)) {
    let mut section = "";
    for setting in settings::all() {
        let place = setting.place().0;
        if place != section {
            let _ = write!(text, "\n[{place}]\n");
            section = place;
        }
        one(text, setting);
    }
}

fn comment(text: &mut String, prose: &str) {
    let mut line = String::from("#");
    for word in prose.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::load::Sources;
    use super::super::settings::Settings;
    use super::*;

    fn load(text: &str) -> Loaded {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("writable");
        let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
        sources.load().unwrap_or_else(|unsound| panic!("{unsound}\n{text}"))
    }

    #[test]
    fn the_example_sets_nothing_and_each_of_its_lines_can_be_taken() {
        let example = example();
        let as_it_is = load(&example);
        // A line that is prose has a blank after its #.
        let taken: String = example
            .lines()
            .map(|line| {
                let value = line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()));
                format!("{}\n", value.unwrap_or(line))
            })
            .collect();
        let all_taken = load(&taken);
        for setting in settings::all() {
            let default = (setting.get)(&Settings::default());
            assert_eq!((setting.get)(&as_it_is.settings), default, "{}", setting.key);
            assert_eq!((setting.get)(&all_taken.settings), default, "{}", setting.key);
            assert_eq!(as_it_is.origin(setting.key).to_string(), "default");
            assert!(
                matches!(all_taken.origin(setting.key), super::super::origin::Origin::File(_)),
                "{} is not in it",
                setting.key
            );
        }
        assert!(example.lines().all(|line| line.len() <= 150), "it can be read");
    }

    #[test]
    fn the_file_that_ships_is_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/eventmesh.toml");
        let shipped = std::fs::read_to_string(path).expect("it ships");
        assert!(
            shipped == example(),
            "packaging/eventmesh.toml is behind; `eventmesh config example > packaging/eventmesh.toml` writes it"
        );
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let loaded = load("max_requests = 7\n[fetch]\nidle = \"7s\"\n[recycle]\nage = \"1h\"\n");
        for with_origin in [false, true] {
            let again = load(&shown(&loaded, with_origin));
            for setting in settings::all() {
                assert_eq!((setting.get)(&again.settings), (setting.get)(&loaded.settings), "{}", setting.key);
            }
        }
        let text = shown(&loaded, true);
        assert!(text.contains("idle = \"7s\"  # /"), "{text}");
        assert!(text.contains("connect = \"10s\"  # default\n"), "{text}");
    }
}
