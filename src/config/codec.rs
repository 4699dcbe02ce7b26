//! How the kinds of values are read from a configuration and written to one. What is written is read back as the same value.
//!
//! A kind knows nothing of keys: which value is out of its range is for `problems()` to say.

use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventmesh_extractors::browser::SandboxPolicy;
use eventmesh_extractors::wasm::ArtifactCache;
use figment::value::Value;
use ipnet::IpNet;

use super::units::{read_bytes, read_time, write_bytes, write_time};

/// A kind of value of type `T`.
pub(super) trait Codec<T> {
    /// Reads it, or says what it is instead: the sentence goes on after "KEY is".
    fn read(value: &Value) -> Result<T, String>;
    /// Writes it as in TOML.
    fn write(value: &T) -> String;
    /// What a text that comes without a type, from an environment variable, would be in TOML.
    fn typed(text: &str) -> Value {
        // This cannot fail: what is nothing else is a text.
        text.parse().unwrap_or_else(|_| Value::from(text))
    }
}

/// A whole number.
pub(super) struct Count;
/// A number of bytes, with its unit or without.
pub(super) struct Bytes;
/// A length of time.
pub(super) struct Time;
/// A number.
pub(super) struct Ratio;
/// Four of them, one for each level of pressure.
pub(super) struct Levels;
/// Whether something is so.
pub(super) struct Switch;
/// A text.
pub(super) struct Text;
/// A place in the file system.
pub(super) struct Place;
/// One for each core, unless a number is given.
pub(super) struct PerCore;
/// Where compiled code goes.
pub(super) struct Cache;
/// Whether Chromium confines its own processes.
pub(super) struct Sandbox;
/// A network, or one address.
pub(super) struct Network;
/// A port, or a range of them.
pub(super) struct Ports;
/// Some of a kind.
pub(super) struct List<C>(PhantomData<C>);
/// "auto": it is found out.
pub(super) struct Auto<C>(PhantomData<C>);
/// "none": there is no such limit.
pub(super) struct Unless<C>(PhantomData<C>);

impl<T> Codec<T> for Count
where
    T: Copy + TryFrom<u64>,
    u64: TryFrom<T>,
{
    fn read(value: &Value) -> Result<T, String> {
        let number = whole(value).ok_or_else(|| format!("{}, where a whole number is needed, such as 4", kind(value)))?;
        T::try_from(number).map_err(|_| "a larger number than there can be".to_owned())
    }

    fn write(value: &T) -> String {
        u64::try_from(*value).unwrap_or(u64::MAX).to_string()
    }
}

impl<T> Codec<T> for Bytes
where
    T: Copy + TryFrom<u64>,
    u64: TryFrom<T>,
{
    fn read(value: &Value) -> Result<T, String> {
        let bytes = match (whole(value), value.as_str()) {
            (Some(bytes), _) => bytes,
            (None, Some(text)) => read_bytes(text)?,
            (None, None) => return Err(format!("{}, where a number of bytes is needed, such as \"512MiB\"", kind(value))),
        };
        T::try_from(bytes).map_err(|_| "more bytes than there can be".to_owned())
    }

    fn write(value: &T) -> String {
        quoted(&write_bytes(u64::try_from(*value).unwrap_or(u64::MAX)))
    }
}

impl Codec<Duration> for Time {
    fn read(value: &Value) -> Result<Duration, String> {
        let text = value.as_str().ok_or_else(|| format!("{}, where a length of time is needed, such as \"30s\"", kind(value)))?;
        read_time(text)
    }

    fn write(value: &Duration) -> String {
        quoted(&write_time(*value))
    }
}

impl Codec<f64> for Ratio {
    fn read(value: &Value) -> Result<f64, String> {
        let number = value.to_f64().or_else(|| whole(value).and_then(|number| u32::try_from(number).ok()).map(f64::from));
        number
            .filter(|number| number.is_finite())
            .ok_or_else(|| format!("{}, where a finite number is needed, such as 0.5", kind(value)))
    }

    fn write(value: &f64) -> String {
        format!("{value:?}")
    }
}

impl Codec<[f64; 4]> for Levels {
    fn read(value: &Value) -> Result<[f64; 4], String> {
        let four = List::<Ratio>::read(value)?;
        four.try_into().map_err(|_| "not four numbers, one for each level".to_owned())
    }

    fn write(value: &[f64; 4]) -> String {
        List::<Ratio>::write(&value.to_vec())
    }
}

impl Codec<bool> for Switch {
    fn read(value: &Value) -> Result<bool, String> {
        value.to_bool().ok_or_else(|| format!("{}, where true or false is needed", kind(value)))
    }

    fn write(value: &bool) -> String {
        value.to_string()
    }
}

impl Codec<String> for Text {
    fn read(value: &Value) -> Result<String, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| format!("{}, where a text in quotes is needed", kind(value)))
    }

    fn write(value: &String) -> String {
        quoted(value)
    }

    fn typed(text: &str) -> Value {
        Value::from(text)
    }
}

impl Codec<PathBuf> for Place {
    fn read(value: &Value) -> Result<PathBuf, String> {
        let text = Text::read(value)?;
        if text.is_empty() { Err("an empty path".to_owned()) } else { Ok(PathBuf::from(text)) }
    }

    fn write(value: &PathBuf) -> String {
        path(value)
    }

    fn typed(text: &str) -> Value {
        Value::from(text)
    }
}

impl Codec<u32> for PerCore {
    fn read(value: &Value) -> Result<u32, String> {
        if value.as_str() == Some("auto") { Ok(super::cores()) } else { Count::read(value) }
    }

    fn write(value: &u32) -> String {
        Count::write(value)
    }
}

impl Codec<ArtifactCache> for Cache {
    fn read(value: &Value) -> Result<ArtifactCache, String> {
        match value.as_str() {
            Some("auto") => Ok(ArtifactCache::of_user()),
            Some("none") => Ok(ArtifactCache::None),
            Some(_) | None => Place::read(value).map(ArtifactCache::Directory),
        }
    }

    fn write(value: &ArtifactCache) -> String {
        match value {
            ArtifactCache::None => quoted("none"),
            ArtifactCache::Directory(directory) => path(directory),
        }
    }

    fn typed(text: &str) -> Value {
        Value::from(text)
    }
}

impl Codec<SandboxPolicy> for Sandbox {
    fn read(value: &Value) -> Result<SandboxPolicy, String> {
        match value.as_str() {
            Some("auto") => Ok(SandboxPolicy::Auto),
            Some("required") => Ok(SandboxPolicy::Required),
            Some("off") => Ok(SandboxPolicy::Off),
            Some(_) | None => Err("none of \"auto\", \"required\" and \"off\"".to_owned()),
        }
    }

    fn write(value: &SandboxPolicy) -> String {
        quoted(match value {
            SandboxPolicy::Auto => "auto",
            SandboxPolicy::Required => "required",
            SandboxPolicy::Off => "off",
        })
    }
}

impl Codec<IpNet> for Network {
    fn read(value: &Value) -> Result<IpNet, String> {
        let text = value.as_str().unwrap_or_default();
        let network = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        network.map_err(|_| "neither a network, such as \"10.0.0.0/8\", nor an address".to_owned())
    }

    fn write(value: &IpNet) -> String {
        quoted(&value.to_string())
    }

    fn typed(text: &str) -> Value {
        Value::from(text)
    }
}

impl Codec<RangeInclusive<u16>> for Ports {
    fn read(value: &Value) -> Result<RangeInclusive<u16>, String> {
        const WRONG: &str = "neither a port, such as \"443\", nor a range of them, such as \"8000-8999\"";
        let text = match (whole(value), value.as_str()) {
            (Some(port), _) => port.to_string(),
            (None, text) => text.ok_or(WRONG)?.to_owned(),
        };
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let port = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or(WRONG);
        let ports = port(first)?..=port(last)?;
        if ports.is_empty() { Err("a range that ends before it begins".to_owned()) } else { Ok(ports) }
    }

    fn write(value: &RangeInclusive<u16>) -> String {
        let (first, last) = (value.start(), value.end());
        quoted(&if first == last { first.to_string() } else { format!("{first}-{last}") })
    }

    fn typed(text: &str) -> Value {
        Value::from(text)
    }
}

impl<T, C: Codec<T>> Codec<Vec<T>> for List<C> {
    fn read(value: &Value) -> Result<Vec<T>, String> {
        let items = value.as_array().ok_or_else(|| format!("{}, where a list is needed: [ .. ]", kind(value)))?;
        let read =
            |(index, item): (usize, &Value)| C::read(item).map_err(|why| format!("a list in which item {} is {why}", index + 1));
        items.iter().enumerate().map(read).collect()
    }

    fn write(value: &Vec<T>) -> String {
        format!("[{}]", value.iter().map(C::write).collect::<Vec<_>>().join(", "))
    }

    /// `[..]` as in TOML, or items with commas between them.
    fn typed(text: &str) -> Value {
        if text.trim_start().starts_with('[') {
            return text.parse().unwrap_or_else(|_| Value::from(text));
        }
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::from(items.map(C::typed).collect::<Vec<_>>())
    }
}

impl<T, C: Codec<T>> Codec<Option<T>> for Auto<C> {
    fn read(value: &Value) -> Result<Option<T>, String> {
        if value.as_str() == Some("auto") { Ok(None) } else { C::read(value).map(Some) }
    }

    fn write(value: &Option<T>) -> String {
        value.as_ref().map_or_else(|| quoted("auto"), C::write)
    }

    fn typed(text: &str) -> Value {
        C::typed(text)
    }
}

impl<T, C: Codec<T>> Codec<Option<T>> for Unless<C> {
    fn read(value: &Value) -> Result<Option<T>, String> {
        if value.as_str() == Some("none") { Ok(None) } else { C::read(value).map(Some) }
    }

    fn write(value: &Option<T>) -> String {
        value.as_ref().map_or_else(|| quoted("none"), C::write)
    }

    fn typed(text: &str) -> Value {
        C::typed(text)
    }
}

fn whole(value: &Value) -> Option<u64> {
    value.to_num().and_then(|number| number.to_u128_lossy()).and_then(|number| u64::try_from(number).ok())
}

/// What a value is, for those who expected something else.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a text",
        Value::Bool(..) => "true or false",
        Value::Num(..) if value.to_f64().is_some() => "a number with a fraction",
        Value::Num(..) if whole(value).is_none() => "a negative number, or one that is too large",
        Value::Num(..) => "a whole number",
        Value::Empty(..) => "nothing",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A text as TOML quotes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format, Toml};
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn toml(text: &str) -> Value {
        Toml::from_str::<figment::value::Dict>(&format!("x = {text}")).expect("TOML").remove("x").expect("it is there")
    }

    fn back<C: Codec<T>, T>(value: &T) -> T {
        C::read(&toml(&C::write(value))).expect("it was written so")
    }

    #[test]
    fn each_kind_is_read_as_it_is_written() {
        assert_eq!(back::<Count, u32>(&7), 7);
        assert_eq!(back::<Bytes, usize>(&(3 << 20)), 3 << 20);
        assert_eq!(back::<Time, _>(&Duration::from_millis(1500)), Duration::from_millis(1500));
        assert_eq!(back::<Levels, _>(&[0.1, 1.0, 2.5, 1e9]).map(f64::to_bits), [0.1, 1.0, 2.5, 1e9].map(f64::to_bits));
        assert_eq!(back::<Cache, _>(&ArtifactCache::None), ArtifactCache::None);
        for policy in [SandboxPolicy::Auto, SandboxPolicy::Required, SandboxPolicy::Off] {
            assert_eq!(back::<Sandbox, _>(&policy), policy);
        }
        let networks = vec!["10.0.0.0/8".parse().expect("one"), "fd00::/8".parse().expect("one")];
        assert_eq!(back::<List<Network>, Vec<IpNet>>(&networks), networks);
        assert_eq!(back::<List<Ports>, _>(&vec![80..=80, 8000..=8999]), vec![80..=80, 8000..=8999]);
        assert_eq!(back::<Auto<Place>, Option<PathBuf>>(&None), None);
        assert_eq!(back::<Unless<Count>, Option<u64>>(&Some(3)), Some(3));
    }

    #[test]
    fn what_is_something_else_is_called_by_its_name() {
        type Read = fn(&Value) -> Option<String>;
        let table: [(Read, &str, &str); 12] = [
            (|value| <Count as Codec<u32>>::read(value).err(), "\"4\"", "a text, where"),
            (|value| <Count as Codec<u32>>::read(value).err(), "-4", "a negative number"),
            (|value| <Count as Codec<u32>>::read(value).err(), "4.0", "a number with a fraction"),
            (|value| <Count as Codec<u32>>::read(value).err(), "4294967296", "a larger number"),
            (|value| <Bytes as Codec<u64>>::read(value).err(), "\"512MB\"", "\"MB\" is no unit"),
            (|value| Time::read(value).err(), "30", "a whole number, where a length of time"),
            (|value| Ratio::read(value).err(), "nan", "where a finite number"),
            (|value| Levels::read(value).err(), "[1, 2, 3]", "not four"),
            (|value| Text::read(value).err(), "[]", "a list, where"),
            (|value| Sandbox::read(value).err(), "\"no\"", "none of"),
            (|value| List::<Network>::read(value).err(), "[\"10.0.0.0/8\", \"ten\"]", "item 2 is neither"),
            (|value| Ports::read(value).err(), "\"90-80\"", "ends before"),
        ];
        for (read, text, expected) in table {
            let why = read(&toml(text)).expect("it is wrong");
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    #[test]
    fn a_text_without_a_type_gets_the_type_that_is_needed() {
        assert_eq!(Text::read(&Text::typed("123")), Ok("123".to_owned()));
        assert_eq!(<Count as Codec<u32>>::read(&<Count as Codec<u32>>::typed("123")), Ok(123));
        assert_eq!(<Bytes as Codec<u64>>::read(&<Bytes as Codec<u64>>::typed("1KiB")), Ok(1024));
        let two: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("one"), "127.0.0.1/32".parse().expect("one")];
        for text in ["10.0.0.0/8,127.0.0.1", "[\"10.0.0.0/8\", \"127.0.0.1\"]", "10.0.0.0/8, 127.0.0.1,"] {
            assert_eq!(List::<Network>::read(&List::<Network>::typed(text)).as_ref(), Ok(&two), "{text}");
        }
        assert_eq!(List::<Ports>::read(&List::<Ports>::typed("80,8000-8999")), Ok(vec![80..=80, 8000..=8999]));
        assert_eq!(List::<Text>::read(&List::<Text>::typed("")), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn every_text_can_be_quoted(text in ".{0,40}") {
            prop_assert_eq!(back::<Text, String>(&text), text);
        }
    }
}
