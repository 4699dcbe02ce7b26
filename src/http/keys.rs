//! Who may come in: keys, of which only hashes are kept, each with its scopes and its quota.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::quota::{Exhausted, Quota, Spent};

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// To ask for pages.
    Extract,
    /// To see and steer the daemon.
    Admin,
}

/// A key, as it is written in the file of keys: everything but the key itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyEntry {
    /// Whose it is, for logs and for whatever is kept apart by key.
    pub(crate) name: String,
    /// SHA-256 of the key, in hexadecimal digits.
    pub(crate) sha256: String,
    /// What it allows. Default: to ask for pages.
    #[serde(default = "extract")]
    pub(crate) scopes: Vec<Scope>,
    /// Requests a second, in the long run. Default 50.
    #[serde(default = "fifty")]
    pub(crate) per_second: f64,
    /// Requests at once after a pause. Default 100.
    #[serde(default = "hundred")]
    pub(crate) burst: u32,
    /// Requests being worked on at the same time. Default 100.
    #[serde(default = "hundred")]
    pub(crate) concurrent: u32,
}

fn extract() -> Vec<Scope> {
    vec![Scope::Extract]
}

fn fifty() -> f64 {
    50.0
}

fn hundred() -> u32 {
    100
}

/// Keys as they are looked up.
#[derive(Debug, Default)]
struct Table {
    /// Whether a key is needed: there is a file of them.
    needed: bool,
    by_hash: HashMap<[u8; 32], Arc<Known>>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    scopes: Vec<Scope>,
    quota: Quota,
    /// Shared with what the same key was before the file was read again, so that who is at work then still leaves.
    spent: Arc<Mutex<Spent>>,
}

/// The keys that open this daemon. Without any, everybody may do everything: which is why it then listens to this machine alone.
#[derive(Debug)]
pub(crate) struct Keys {
    table: RwLock<Arc<Table>>,
    began: Instant,
}

/// Why there are no keys to be had from a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// It cannot be read.
    #[error("the keys cannot be read from {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It makes no sense.
    #[error("{} holds no keys that make sense: {why}; `eventmesh keys new NAME` writes one", path.display())]
    Senseless {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The file of keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<KeyEntry>,
}

impl Keys {
    /// Nobody needs a key.
    pub(crate) fn none() -> Self {
        Self { table: RwLock::default(), began: Instant::now() }
    }

    /// The keys in a file.
    pub(crate) fn read(path: &Path) -> Result<Self, KeysError> {
        let table = Table::read(path)?;
        Ok(Self { table: RwLock::new(Arc::new(table)), began: Instant::now() })
    }

    /// Reads a file again, or another one. What keys have spent is kept; if the file makes no sense, all stays as it is, and
    /// without a file, too: doors that are open because there are keys must not stay open without.
    pub(crate) fn reload(&self, file: Option<&Path>) -> Result<(), KeysError> {
        let Some(path) = file else { return Ok(()) };
        let mut table = Table::read(path)?;
        let before = self.table();
        for (hash, known) in &mut table.by_hash {
            if let (Some(before), Some(known)) = (before.by_hash.get(hash), Arc::get_mut(known)) {
                known.spent = Arc::clone(&before.spent);
            }
        }
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(())
    }

    /// Whether anybody needs one.
    pub(crate) fn are_needed(&self) -> bool {
        self.table().needed
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that `secret` is. It is looked up by its hash, so that how long this takes says nothing of the keys.
    pub(crate) fn find(&self, secret: &str) -> Option<Key> {
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        self.table().by_hash.get(&hash).map(|known| Key { known: Arc::clone(known) })
    }

    /// Lets a request with `key` in.
    pub(crate) fn enter(&self, key: &Key) -> Result<Entered, Exhausted> {
        let now = self.began.elapsed();
        key.known.spent.lock().unwrap_or_else(PoisonError::into_inner).enter(&key.known.quota, now)?;
        Ok(Entered { known: Arc::clone(&key.known) })
    }
}

impl Table {
    fn read(path: &Path) -> Result<Self, KeysError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeysError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|why| KeysError::Senseless { path: path.to_owned(), why })
    }

    fn parse(text: &str) -> Result<Self, String> {
        use figment::providers::{Format, Toml};
        let file: File = figment::Figment::from(Toml::string(text)).extract().map_err(|error| error.to_string())?;
        if file.key.is_empty() {
            return Err("there is no [[key]] in it".to_owned());
        }
        let mut table = Self { needed: true, ..Self::default() };
        for entry in file.key {
            let known = entry.known()?;
            if table.by_hash.values().any(|other| other.name == known.1.name) {
                return Err(format!("two keys are called {}", entry.name));
            }
            if table.by_hash.insert(known.0, Arc::new(known.1)).is_some() {
                return Err(format!("the key {} has the hash of another one", entry.name));
            }
        }
        Ok(table)
    }
}

impl KeyEntry {
    /// An entry with the usual quota.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(name: String, sha256: String, scopes: Vec<Scope>) -> Result<Self, String> {
        let entry = Self { name, sha256, scopes, per_second: fifty(), burst: hundred(), concurrent: hundred() };
        entry.known()?;
        Ok(entry)
    }

    /// As it is written in the file.
    pub(crate) fn written(&self) -> String {
        let scopes: Vec<_> = self
            .scopes
            .iter()
            .map(|scope| match scope {
                Scope::Extract => "\"extract\"",
                Scope::Admin => "\"admin\"",
            })
            .collect();
        format!(
            "[[key]]\nname = \"{}\"\nsha256 = \"{}\"\nscopes = [{}]\nper_second = {}\nburst = {}\nconcurrent = {}\n",
            self.name,
            self.sha256,
            scopes.join(", "),
            self.per_second,
            self.burst,
            self.concurrent
        )
    }

    fn known(&self) -> Result<([u8; 32], Known), String> {
        let name = &self.name;
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            return Err(format!("{name:?} is no name: up to 64 letters, digits, -, _ and . are"));
        }
        let hash = unhex(&self.sha256).ok_or_else(|| format!("sha256 of {name} is not 64 hexadecimal digits"))?;
        if !(self.per_second.is_finite() && self.per_second > 0.0 && self.per_second <= 1e6)
            || self.burst == 0
            || self.concurrent == 0
        {
            return Err(format!("{name} may ask for nothing: per_second, burst and concurrent must be more than 0"));
        }
        let quota = Quota { per_second: self.per_second, burst: self.burst, concurrent: self.concurrent };
        let known = Known { name: name.as_str().into(), scopes: self.scopes.clone(), quota, spent: Arc::default() };
        Ok((hash, known))
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The hash of a key as it stands in the file.
pub(crate) fn hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key that is known.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    known: Arc<Known>,
}

impl Key {
    /// Whose it is.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.known.name
    }

    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.known.scopes.contains(&scope)
    }

    /// Requests that it may have worked on at the same time.
    pub(crate) fn concurrent(&self) -> u32 {
        self.known.quota.concurrent
    }
}

/// A request of a key's, until it is over.
#[derive(Debug)]
pub(crate) struct Entered {
    known: Arc<Known>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.known.spent.lock().unwrap_or_else(PoisonError::into_inner).leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::NamedTempFile, Result<Keys, KeysError>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("writable");
        let keys = Keys::read(file.path());
        (file, keys)
    }

    #[test]
    fn keys_are_found_by_what_they_are() {
        let text = format!("[[key]]\nname = \"a\"\nsha256 = \"{}\"\nconcurrent = 1\n", hash("secret"));
        let (path, keys) = file(&text);
        let keys = keys.expect("they make sense");
        assert!(keys.are_needed() && keys.find("Secret").is_none() && keys.find("").is_none());
        let key = keys.find("secret").expect("it is one");
        assert!(key.allows(Scope::Extract) && !key.allows(Scope::Admin));
        let entered = keys.enter(&key).expect("the first");
        assert_eq!(keys.enter(&key).expect_err("the second"), Exhausted::Concurrency);
        // What is at work stays so when the file is read again.
        keys.reload(Some(path.path())).expect("it makes sense still");
        assert_eq!(keys.enter(&keys.find("secret").expect("still one")).expect_err("the second"), Exhausted::Concurrency);
        drop(entered);
        drop(keys.enter(&keys.find("secret").expect("still one")).expect("there is room again"));
        std::fs::write(path.path(), "nonsense").expect("writable");
        assert!(keys.reload(Some(path.path())).is_err());
        assert!(keys.find("secret").is_some(), "a file that makes no sense changes nothing");
        keys.reload(None).expect("nothing to read");
        assert!(keys.are_needed() && keys.find("secret").is_some(), "no file changes nothing");
        let (other, _) = file(&format!("[[key]]\nname = \"b\"\nsha256 = \"{}\"\n", hash("other")));
        keys.reload(Some(other.path())).expect("it makes sense");
        assert!(keys.find("secret").is_none() && keys.find("other").is_some(), "another file");
        let none = Keys::none();
        none.reload(Some(other.path())).expect("it makes sense");
        assert!(none.are_needed(), "from now on a key is needed");
    }

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let entry = KeyEntry::new("a.b-c".to_owned(), hash("x"), vec![Scope::Extract, Scope::Admin]).expect("it makes sense");
        let (_, keys) = file(&entry.written());
        let key = keys.expect("they make sense").find("x").expect("it is one");
        assert!(&**key.name() == "a.b-c" && key.allows(Scope::Admin));
        assert!(KeyEntry::new("a\"b".to_owned(), hash("x"), Vec::new()).is_err());
    }

    #[test]
    fn files_that_make_no_sense_are_refused() {
        let good = hash("x");
        for text in [
            String::new(),
            "[[key]]\nname = \"a\"\n".to_owned(),
            "[[key]]\nname = \"a\"\nsha256 = \"abc\"\n".to_owned(),
            format!("[[key]]\nname = \"a b\"\nsha256 = \"{good}\"\n"),
            format!("[[key]]\nname = \"a\"\nsha256 = \"{good}\"\nburst = 0\n"),
            format!("[[key]]\nname = \"a\"\nsha256 = \"{good}\"\nscopes = [\"everything\"]\n"),
            format!("[[key]]\nname = \"a\"\nsha256 = \"{good}\"\ncolour = 1\n"),
            format!("[[key]]\nname = \"a\"\nsha256 = \"{good}\"\n[[key]]\nname = \"b\"\nsha256 = \"{good}\"\n"),
            format!("[[key]]\nname = \"a\"\nsha256 = \"{good}\"\n[[key]]\nname = \"a\"\nsha256 = \"{}\"\n", hash("y")),
        ] {
            assert!(file(&text).1.is_err(), "{text}");
        }
    }
}
