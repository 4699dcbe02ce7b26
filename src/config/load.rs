//! Settings from all places: defaults, a file, environment variables, flags. Later ones win, and every problem is told at once.
//!
//! ```text
//!   defaults ◀ file ◀ EVENTMESH__A__B ◀ flags ─▶ what follows from what was said ─▶ problems, or settings and their origins
//! ```
//! It reads one file, and is handed the environment: whoever runs it twice with the same gets the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::Value;

use super::layer::Layer;
use super::origin::Origin;
use super::settings::{self, PREFIX, Settings};
use crate::daemon::secret;
use crate::http::Keys;

/// Where settings come from, besides their defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// A file, which has to be there.
    pub(crate) file: Option<PathBuf>,
    /// The file instead, if it is there.
    pub(crate) usual: Option<&'static str>,
    /// Environment variables; those that have nothing to do with settings are passed over.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// What flags say.
    pub(crate) flags: Vec<Flag>,
}

/// What one flag says of one setting.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// The flag.
    pub(crate) name: &'static str,
    /// The setting.
    pub(crate) key: &'static str,
    /// The value, as in TOML.
    pub(crate) value: Value,
}

/// Settings that are sound, and where each comes from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) settings: Settings,
    origins: BTreeMap<&'static str, Origin>,
}

/// Settings that are not sound.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not sound:{}", problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
pub(crate) struct Unsound {
    /// All that is wrong with it.
    pub(crate) problems: Vec<String>,
}

/// More than any configuration has.
const LARGEST: u64 = 1 << 20;
/// How a credential is named where a file could be.
const CREDENTIAL: &str = "credential:";
/// Where a service manager puts credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Where a service manager wants caches to be.
const CACHES: &str = "CACHE_DIRECTORY";

impl Sources {
    /// The environment of this process, and nothing else yet.
    pub(crate) fn of_this_process() -> Self {
        // Nothing that is not needed is kept, since it may be secret.
        let ours = |(name, _): &(OsString, OsString)| is_ours(name) || name == CREDENTIALS || name == CACHES;
        Self { environment: std::env::vars_os().filter(ours).collect(), ..Self::default() }
    }

    /// The settings.
    pub(crate) fn load(&self) -> Result<Loaded, Unsound> {
        let (layers, mut problems) = self.layers();
        let mut figment = Figment::new();
        for layer in &layers {
            let (leaves, unknown) = layer.leaves();
            problems.extend(unknown);
            // Also what another place overrides: it would be found on the day when that is gone.
            for (setting, value) in leaves {
                if let Err(why) = (setting.set)(&mut Settings::default(), value) {
                    problems.push(format!("{} is {why} ({})", setting.key, layer.origin()));
                }
            }
            figment = figment.merge(layer.clone());
        }
        let mut loaded = Loaded { settings: Settings::default(), origins: BTreeMap::new() };
        for setting in settings::all() {
            // What is not there was not set, and what cannot be taken has been told.
            if let Ok(value) = figment.find_value(setting.key)
                && (setting.set)(&mut loaded.settings, &value).is_ok()
            {
                let origin = figment.get_metadata(value.tag()).map_or(Origin::Default, Origin::of);
                loaded.origins.insert(setting.key, origin);
            }
        }
        loaded.follow();
        for problem in loaded.settings.problems() {
            let origin = problem.split_whitespace().next().map(|key| loaded.origin(key));
            match origin {
                Some(origin @ (Origin::File(_) | Origin::Environment(_) | Origin::Flag(_))) => {
                    problems.push(format!("{problem} ({origin})"));
                }
                Some(Origin::Default | Origin::Follows(_)) | None => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(loaded) } else { Err(Unsound { problems }) }
    }

    /// The settings, for a daemon that starts with them: with the path of a credential in place of its name. Elsewhere nobody hands
    /// any over.
    pub(crate) fn load_to_serve(&self) -> Result<Loaded, Unsound> {
        let mut loaded = self.load()?;
        let mut problems = Vec::new();
        for key in ["daemon.keys", "daemon.webhook_secret"] {
            let origin = loaded.origin(key);
            let daemon = &mut loaded.settings.daemon;
            let file = if key == "daemon.keys" { &mut daemon.keys } else { &mut daemon.webhook_secret };
            match file.as_deref().and_then(|file| self.credential(key, file, &origin)) {
                None => {}
                Some(Ok(path)) => *file = Some(path),
                Some(Err(problem)) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Unsound { problems });
        }
        let cache = &mut loaded.settings.engine.cache;
        if cache.directory.is_none() {
            // It may name several; the first is as good as any.
            let given = self.environment.iter().find(|(variable, _)| variable == CACHES);
            let first = given.and_then(|(_, directories)| std::env::split_paths(directories).next());
            cache.directory = first.filter(|first| first.is_absolute()).map(|first| first.join("pages"));
        }
        Ok(loaded)
    }

    /// The settings, with the files that they name looked at, too: the keys and the secret of webhooks. What only a service
    /// manager hands over is taken as it is.
    pub(crate) fn check(&self) -> Result<Loaded, Unsound> {
        let loaded = self.load()?;
        let daemon = &loaded.settings.daemon;
        let read = |file: &Path| file.to_str().is_none_or(|file| !file.starts_with(CREDENTIAL));
        let keys = daemon.keys.as_deref().filter(|file| read(file)).and_then(|file| Keys::read(file).err());
        let secret = daemon.webhook_secret.as_deref().filter(|file| read(file)).and_then(|file| secret(file).err());
        let problems: Vec<_> = keys
            .map(|error| ("daemon.keys", error.to_string()))
            .into_iter()
            .chain(secret.map(|why| ("daemon.webhook_secret", why)))
            .collect();
        if problems.is_empty() {
            return Ok(loaded);
        }
        Err(Unsound {
            problems: problems.into_iter().map(|(key, why)| format!("{key}: {why} ({})", loaded.origin(key))).collect(),
        })
    }

    /// The file that is read now.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        self.file.clone().or_else(|| self.usual.map(PathBuf::from).filter(|usual| usual.exists()))
    }

    /// What each place says, the weakest first.
    fn layers(&self) -> (Vec<Layer>, Vec<String>) {
        let (mut layers, mut problems) = (Vec::new(), Vec::new());
        let mut keep = |layer: Result<Layer, String>| match layer {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        };
        if let Some(path) = self.place() {
            keep(read(&path).and_then(|text| Layer::file(Origin::File(path), &text)));
        }
        let mut variables: Vec<_> = self.environment.iter().filter(|(name, _)| is_ours(name)).collect();
        variables.sort();
        for (name, text) in variables {
            keep(match (name.to_str(), text.to_str()) {
                (Some(name), Some(text)) => Layer::variable(name, text),
                _ => Err(format!("the environment variable {} is not UTF-8", name.display())),
            });
        }
        for flag in &self.flags {
            keep(Ok(Layer::value(Origin::Flag(flag.name.to_owned()), flag.key, flag.value.clone())));
        }
        (layers, problems)
    }

    /// The path of the credential that a file is, if it is one.
    fn credential(&self, key: &str, file: &Path, origin: &Origin) -> Option<Result<PathBuf, String>> {
        let name = file.to_str()?.strip_prefix(CREDENTIAL)?;
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Some(Err(format!("{key} names no credential: a name has no / in it, as in credential:keys ({origin})")));
        }
        let directory = self.environment.iter().find(|(variable, _)| variable == CREDENTIALS).map(|(_, directory)| directory);
        let path = directory.filter(|directory| !directory.is_empty()).map(|directory| Path::new(directory).join(name));
        Some(path.ok_or_else(|| {
            format!(
                "{key} names the credential {name}, and no service manager has handed any over: {CREDENTIALS} is not set, \
                 which LoadCredential={name}:/PATH in the unit does ({origin})"
            )
        }))
    }
}

impl Loaded {
    /// Where the value of a setting comes from.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Whether somebody has set it.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    /// How many settings somebody has set.
    pub(crate) fn set(&self) -> usize {
        self.origins
            .values()
            .filter(|origin| matches!(origin, Origin::File(_) | Origin::Environment(_) | Origin::Flag(_)))
            .count()
    }

    /// What nobody has set follows what somebody has: a page as large as it may be must not fail on its way, and jobs that have
    /// ended must not take all the room that there is for new ones.
    fn follow(&mut self) {
        let set = |key: &str| self.origins.contains_key(key);
        let mut followers = Vec::new();
        let engine = &mut self.settings.engine;
        if set("max_page_bytes") {
            let page = engine.max_page_bytes;
            for (key, at_least) in
                [("max_admitted_bytes", &mut engine.max_admitted_bytes), ("fetch.wire_bytes", &mut engine.fetch.wire_bytes)]
            {
                if !set(key) && *at_least < page {
                    *at_least = page;
                    followers.push((key, "max_page_bytes"));
                }
            }
            // In Base64 it takes four thirds, and the request something besides.
            let body = usize::try_from(page.saturating_add(page / 2)).unwrap_or(usize::MAX);
            if !set("daemon.max_body") && self.settings.daemon.max_body < body {
                self.settings.daemon.max_body = body;
                followers.push(("daemon.max_body", "max_page_bytes"));
            }
        }
        if !set("daemon.bodies") && self.settings.daemon.bodies < self.settings.daemon.max_body {
            self.settings.daemon.bodies = self.settings.daemon.max_body;
            followers.push(("daemon.bodies", "daemon.max_body"));
        }
        if !set("keep_resident") && engine.keep_resident > engine.page_memory {
            engine.keep_resident = engine.page_memory;
            followers.push(("keep_resident", "page_memory"));
        }
        let queue = &mut self.settings.daemon.queue;
        let half = queue.max_journal_bytes / 2;
        if set("queue.max_journal_bytes") && !set("queue.keep_ended_bytes") && queue.keep_ended_bytes > half {
            queue.keep_ended_bytes = half;
            followers.push(("queue.keep_ended_bytes", "queue.max_journal_bytes"));
        }
        self.origins.extend(followers.into_iter().map(|(key, followed)| (key, Origin::Follows(followed))));
    }
}

fn is_ours(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LARGEST => Err(format!("{} is larger than any configuration: 1 MiB", path.display())),
        Ok(_) => Ok(text),
        Err(error) => Err(format!("the configuration cannot be read from {}: {error}", path.display())),
    }
}

#[cfg(test)]
#[path = "load/tests.rs"]
mod tests;
