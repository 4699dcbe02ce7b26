//! The table of all settings: key, meaning and reason, and how each is read, written and copied.
//!
//! Everything that has to do with settings one by one comes from this table: files, environment variables, `config show`, the
//! example, and what a reload can do. A key is the path of its field, so that `problems()` speaks of keys.

use figment::value::Value;

use super::Config;
use super::codec::Codec;
use crate::daemon::DaemonConfig;

/// What a daemon runs with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Its engine.
    pub(crate) engine: Config,
    /// Itself.
    pub(crate) daemon: DaemonConfig,
}

/// Bytes of pages that a daemon keeps in memory.
const KEPT: u64 = 64 << 20;

impl Default for Settings {
    fn default() -> Self {
        let mut engine = Config::default();
        // A library keeps nothing that nobody has asked it to keep.
        engine.cache.memory = KEPT;
        // It is a service: what its manager hands over is its own.
        engine.control_groups = true;
        // Programs use it that go from page to page by themselves.
        engine.fetch.robots = true;
        Self { engine, daemon: DaemonConfig::default() }
    }
}

impl Settings {
    /// Everything that is wrong with them, each a sentence that begins with the key.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.engine.problems().into_iter().chain(self.daemon.problems()).collect()
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Its name in files, with dots between the parts.
    pub(crate) key: &'static str,
    /// What it is, and why its default is what it is.
    pub(crate) about: &'static str,
    /// The default as it is written, where it is not the same on every machine.
    pub(crate) found_out: Option<&'static str>,
    /// Whether a reload applies it.
    pub(crate) live: bool,
    /// Its value as in TOML.
    pub(crate) get: fn(&Settings) -> String,
    /// Takes a value, or says what it is instead.
    pub(crate) set: fn(&mut Settings, &Value) -> Result<(), String>,
    /// Copies its value from the first to the second.
    pub(crate) copy: fn(&Settings, &mut Settings),
    /// What a text from the environment would be in TOML. The settings only say of which type it has to be.
    pub(crate) typed: fn(&Settings, &str) -> Value,
}

impl Setting {
    const fn found_out(mut self, word: &'static str) -> Self {
        self.found_out = Some(word);
        self
    }

    const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// The default as it is written in an example.
    pub(crate) fn default_text(&self) -> String {
        self.found_out.map_or_else(|| (self.get)(&Settings::default()), str::to_owned)
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.to_ascii_uppercase().replace('.', "__"))
    }

    /// The section that it stands in, empty for the first, and its name there.
    pub(crate) fn place(&self) -> (&'static str, &'static str) {
        self.key.rsplit_once('.').unwrap_or(("", self.key))
    }
}

/// What the environment variables begin with.
pub(crate) const PREFIX: &str = "EVENTMESH__";

/// All settings: those without a section first, and each section in one piece, as a file needs them.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    [
        engine::SETTINGS,
        fetch::SETTINGS,
        cache::SETTINGS,
        pdf::SETTINGS,
        browser::SETTINGS,
        daemon::SETTINGS,
        jobs::SETTINGS,
        observe::SETTINGS,
    ]
    .into_iter()
    .flatten()
}

/// The setting of that key.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

fn typed<T, C: Codec<T>>(_: &T, text: &str) -> Value {
    C::typed(text)
}

macro_rules! setting {
    ($key:literal, $kind:ty, $($field:ident).+, $about:literal) => {
        Setting {
            key: $key,
            about: $about,
            found_out: None,
            live: false,
            get: |settings| <$kind as Codec<_>>::write(&settings.$($field).+),
            set: |settings, value| {
                settings.$($field).+ = <$kind as Codec<_>>::read(value)?;
                Ok(())
            },
            copy: |from, to| to.$($field).+.clone_from(&from.$($field).+),
            typed: |settings, text| typed::<_, $kind>(&settings.$($field).+, text),
        }
    };
}

// After the macro that they are written with.
mod browser;
mod cache;
mod daemon;
mod engine;
mod fetch;
mod jobs;
mod observe;
mod pdf;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use figment::providers::{Format, Toml};

    use super::*;

    fn toml(text: &str) -> Value {
        Toml::from_str::<figment::value::Dict>(&format!("x = {text}")).expect("TOML").remove("x").expect("it is there")
    }

    #[test]
    fn the_text_of_every_default_is_read_as_the_default() {
        for setting in all() {
            let mut settings = Settings::default();
            let before = (setting.get)(&settings);
            for text in [before.clone(), setting.default_text()] {
                (setting.set)(&mut settings, &toml(&text)).unwrap_or_else(|why| panic!("{} = {text} is {why}", setting.key));
                assert_eq!((setting.get)(&settings), before, "{}", setting.key);
            }
        }
    }

    #[test]
    fn every_setting_sets_its_own_field_and_no_other() {
        let defaults = Settings::default();
        for setting in all() {
            let mut settings = defaults.clone();
            let before = (setting.get)(&settings);
            let others = [
                "777",
                "\"7KiB\"",
                "\"7s\"",
                "7.5",
                "[0.1, 0.2, 0.3, 0.4]",
                "\"seven\"",
                "[\"10.7.0.0/16\"]",
                "[\"77\"]",
                "[\"seven\"]",
                "\"off\"",
                "true",
                "false",
            ];
            let other = others
                .iter()
                .find(|text| (setting.set)(&mut settings, &toml(text)).is_ok() && (setting.get)(&settings) != before);
            let other = other.unwrap_or_else(|| panic!("{} takes none of the values", setting.key));
            let after = (setting.get)(&settings);
            assert_ne!(after, before, "{} was set to {other}", setting.key);
            for same in all().filter(|same| same.key != setting.key) {
                assert_eq!((same.get)(&settings), (same.get)(&defaults), "{} set {}", setting.key, same.key);
            }
            let mut copied = defaults.clone();
            (setting.copy)(&settings, &mut copied);
            assert_eq!((setting.get)(&copied), after);
        }
    }

    #[test]
    fn what_differs_from_machine_to_machine_is_not_written_as_a_number() {
        let cores = super::super::cores().to_string();
        for setting in all() {
            let about_the_machine = setting.about.contains("per core") || setting.about.contains("Default: the user's");
            assert_eq!(about_the_machine, setting.found_out.is_some(), "{} ({cores} cores)", setting.key);
        }
    }

    #[test]
    fn keys_are_unique_and_stand_in_the_order_of_a_file() {
        let (mut keys, mut sections, mut section) = (BTreeSet::new(), BTreeSet::from([""]), "");
        for setting in all() {
            assert!(keys.insert(setting.key), "{} twice", setting.key);
            let (place, name) = setting.place();
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{}",
                setting.key
            );
            if place != section {
                assert!(sections.insert(place), "[{place}] begins twice");
                section = place;
            }
        }
        assert!(sections.iter().all(|section| !keys.contains(section)), "a section is no setting");
    }

    #[test]
    fn every_setting_says_what_it_is_and_why() {
        for setting in all() {
            assert!(setting.about.len() > 30 && setting.about.ends_with('.'), "{}: {}", setting.key, setting.about);
            assert!(!setting.about.contains(['\n', '"']), "{}", setting.key);
        }
    }

    /// A field that is added does not compile here until somebody has thought of its setting.
    #[test]
    fn every_field_has_a_setting() {
        let Settings { engine, daemon } = Settings::default();
        let Config {
            workers: _,
            reserved: _,
            max_requests: _,
            max_admitted_bytes: _,
            max_page_bytes: _,
            deadline: _,
            page_memory: _,
            keep_resident: _,
            artifact_cache: _,
            recycle,
            restarts,
            backoff,
            governor,
            fetch,
            cache,
            egress,
            pdf,
            browser,
            scratch: _,
            // It is one for a daemon, and none for anything else.
            control_groups: _,
        } = engine;
        let eventmesh_actors::RecycleLimits { jobs: _, age: _, memory, jitter: _ } = recycle;
        let eventmesh_actors::MemoryLimits { soft: _, hard: _, fatal: _, leave: _, samples: _ } = memory;
        // By cause: for hosts.
        let eventmesh_actors::RestartPolicy { any, by_cause: _ } = restarts;
        let eventmesh_actors::RestartIntensity { intensity: _, period: _ } = any;
        let eventmesh_actors::BackoffSpec { base: _, cap: _, reset_after: _ } = backoff;
        // The kernel's files are where they are.
        let eventmesh_actors::GovernorSpec { budget: _, interval: _, processes_every: _, policy, kernel: _ } = governor;
        let eventmesh_actors::PressurePolicy {
            used: _,
            some_stalled: _,
            all_stalled: _,
            leave: _,
            enter_after: _,
            leave_after: _,
        } = policy;
        let crate::FetchLimits {
            connect: _,
            idle: _,
            redirects: _,
            wire_bytes: _,
            user_agent: _,
            body: _,
            ratio: _,
            headers: _,
            header_bytes: _,
            retries,
            hosts,
            robots: _,
            robots_optional: _,
            robots_kept: _,
            robots_again: _,
        } = fetch;
        let crate::RetryLimits { times: _, base: _, cap: _ } = retries;
        let crate::HostLimits {
            per_host: _,
            per_own_host: _,
            per_second: _,
            burst: _,
            own: _,
            waiting: _,
            pause: _,
            crawl_delay: _,
            failures: _,
            window: _,
            open: _,
            longest_open: _,
            hosts: _,
        } = hosts;
        let crate::CacheSettings { memory: _, max_entry: _, directory: _, disk: _, refreshes: _, freshness } = cache;
        let crate::cache::FreshnessPolicy {
            default_ttl: _,
            heuristic_max: _,
            negative_ttl: _,
            max_ttl: _,
            stale_while_revalidate: _,
            stale_if_error: _,
            max_stale: _,
        } = freshness;
        // Another resolver is code of a host.
        let crate::EgressConfig { policy, resolver: _ } = egress;
        let crate::EgressPolicy { allow: _, ports: _ } = policy;
        let crate::PdfConfig {
            library: _,
            program: _,
            workers: _,
            limits,
            fonts: _,
            max_bytes: _,
            max_content: _,
            recycle_after: _,
            restarts: _,
        } = pdf;
        let crate::PdfLimits {
            address_space: _,
            large_address_space: _,
            open_files: _,
            resident: _,
            idle: _,
            pages: _,
            pixels: _,
        } = limits;
        let crate::BrowserConfig { chromium: _, program: _, pages: _, limits, sandbox: _, user: _, arguments: _, max_bytes: _ } =
            browser;
        let crate::render::BrowserLimits {
            page_memory: _,
            browser_memory: _,
            pages: _,
            slowdown: _,
            drain: _,
            start: _,
            look: _,
            idle: _,
            call: _,
            content: _,
            yields: _,
            requests: _,
            bytes: _,
        } = limits;
        let DaemonConfig {
            listen: _,
            ops_listen: _,
            keys: _,
            hosts: _,
            max_body: _,
            bodies: _,
            connections: _,
            head: _,
            head_bytes: _,
            drain: _,
            state: _,
            webhook_secret: _,
            queue,
            jobs,
            otlp,
        } = daemon;
        let crate::OtlpConfig { endpoint: _, timeout: _, queue: _, batch: _, interval: _ } = otlp;
        let crate::queue::QueueLimits {
            max_queued: _,
            // It follows from jobs.at_once_per_key.
            max_running_per_owner: _,
            max_spec_bytes: _,
            max_journal_bytes: _,
            max_event_bytes: _,
            max_events: _,
            max_attempts: _,
            keep_ended: _,
            keep_ended_bytes: _,
            max_readers: _,
            max_page_bytes: _,
            max_waiting_bytes: _,
            cache_bytes: _,
        } = queue;
        // The secret itself comes from a file.
        let crate::JobsConfig {
            at_once: _,
            at_once_per_key: _,
            items: _,
            items_per_job: _,
            tries: _,
            max_items: _,
            max_pages: _,
            deadline: _,
            max_blob_bytes: _,
            webhook_tries: _,
            webhook_secret: _,
        } = jobs;
        // 9 and scratch, 8 of recycling, 2 + 3 of restarts, 3 + 6 of the governor, 13 + 3 + 13 of fetching, 12 of the cache, 2 of
        // egress, 9 + 7 of PDFs, 7 + 13 of browsers, 12 of the daemon, 12 + 10 of jobs, 5 of traces.
        assert_eq!(all().count(), 10 + 8 + 5 + 9 + 29 + 12 + 2 + 16 + 20 + 12 + 22 + 5);
    }
}
