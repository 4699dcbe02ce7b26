//! One place that settings come from, as a provider for figment: a file, one environment variable, or one flag.
//!
//! It knows which of its keys are settings, and says of the others which one may have been meant.

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::origin::Origin;
use super::settings::{self, PREFIX, Setting, Settings};

/// What one place says.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    origin: Origin,
    values: Dict,
}

/// A value of a setting.
pub(super) type Leaf<'a> = (&'static Setting, &'a Value);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.origin.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layer {
    /// A file's text.
    pub(super) fn file(origin: Origin, text: &str) -> Result<Self, String> {
        match Toml::from_str(text) {
            Ok(values) => Ok(Self { origin, values }),
            Err(error) => Err(format!("{origin} is not TOML: {}", error.to_string().trim_end())),
        }
    }

    /// One value, which the command line or the environment gives.
    pub(super) fn value(origin: Origin, key: &str, value: Value) -> Self {
        let mut parts = key.rsplit('.');
        let last = parts.next().unwrap_or(key).to_owned();
        let values = parts.fold(Dict::from([(last, value)]), |inner, part| Dict::from([(part.to_owned(), inner.into())]));
        Self { origin, values }
    }

    /// An environment variable, unless it is none of a setting's.
    pub(super) fn variable(name: &str, text: &str) -> Result<Self, String> {
        match settings::all().find(|setting| setting.variable() == name) {
            Some(setting) => {
                let value = (setting.typed)(&Settings::default(), text);
                Ok(Self::value(Origin::Environment(name.to_owned()), setting.key, value))
            }
            None => {
                let names: Vec<_> = settings::all().map(Setting::variable).collect();
                // What all of them begin with says nothing of how near they are.
                let rest = |name: &str| name.trim_start_matches(PREFIX).to_ascii_lowercase().replace("__", ".");
                let near = nearest(&rest(name), names.iter().map(|known| (known.as_str(), rest(known))));
                Err(format!("the environment variable {name} sets nothing that is known{}", meant(near)))
            }
        }
    }

    /// The values of settings in it; and of all else that it says, what is wrong with that.
    pub(super) fn leaves(&self) -> (Vec<Leaf<'_>>, Vec<String>) {
        let (mut leaves, mut problems) = (Vec::new(), Vec::new());
        self.walk("", &self.values, &mut leaves, &mut problems);
        (leaves, problems)
    }

    fn walk<'a>(&'a self, section: &str, values: &'a Dict, leaves: &mut Vec<Leaf<'a>>, problems: &mut Vec<String>) {
        for (name, value) in values {
            let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
            let inner = value.as_dict();
            if let Some(setting) = settings::find(&key) {
                leaves.push((setting, value));
            } else if sections().any(|section| section == key) {
                match inner {
                    Some(inner) => self.walk(&key, inner, leaves, problems),
                    None => problems.push(format!("{key} is a section and not a setting: [{key}] ({})", self.origin)),
                }
            } else {
                let near = match inner {
                    Some(_) => nearest(&key, sections().map(|known| (known, known.to_owned()))),
                    None => nearest(&key, settings::all().map(|known| (known.key, known.key.to_owned()))),
                };
                let what = if inner.is_some() { "section" } else { "setting" };
                problems.push(format!("there is no {what} {key}{} ({})", meant(near), self.origin));
            }
        }
    }

    /// What comes after a problem of a value in it.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// All that stands before the last dot of some key, and before each other dot.
fn sections() -> impl Iterator<Item = &'static str> {
    settings::all().flat_map(|setting| setting.key.match_indices('.').map(|(dot, _)| setting.key.get(..dot).unwrap_or_default()))
}

fn meant(near: Option<&str>) -> String {
    near.map_or_else(|| "; `eventmesh config example` shows all there is".to_owned(), |near| format!("; {near} is near"))
}

/// The known name that is nearest to what was written, if any is near: by all of it, or by its last part alone, which may stand in
/// the wrong section.
fn nearest<'a>(written: &str, known: impl Iterator<Item = (&'a str, String)>) -> Option<&'a str> {
    let likeness = |known: &str| {
        let whole = strsim::normalized_damerau_levenshtein(written, known);
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let end = strsim::normalized_damerau_levenshtein(&last(written), &last(known));
        // The section breaks ties.
        whole.max(end * 0.9 + whole * 0.05)
    };
    let near = known.map(|(name, key)| (likeness(&key), name)).max_by(|one, other| one.0.total_cmp(&other.0));
    near.filter(|(likeness, _)| *likeness >= 0.65).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Layer {
        Layer::file(Origin::File("/etc/x.toml".into()), text).expect("TOML")
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest() {
        let table = [
            ("worker = 3", "there is no setting worker; workers is near (/etc/x.toml)"),
            ("[fetch]\nidel = \"3s\"", "there is no setting fetch.idel; fetch.idle is near (/etc/x.toml)"),
            (
                "[pdf.limits]\nopenfiles = 3",
                "there is no setting pdf.limits.openfiles; pdf.limits.open_files is near (/etc/x.toml)",
            ),
            ("listen = []", "there is no setting listen; daemon.listen is near (/etc/x.toml)"),
            (
                "[browser]\npage_memory = 3",
                "there is no setting browser.page_memory; browser.limits.page_memory is near (/etc/x.toml)",
            ),
            ("[brwoser.limits]\npages = 3", "there is no section brwoser; browser is near (/etc/x.toml)"),
            ("[zzz]\nx = 3", "there is no section zzz; `eventmesh config example` shows all there is (/etc/x.toml)"),
            ("qqqq = 3", "there is no setting qqqq; `eventmesh config example` shows all there is (/etc/x.toml)"),
            ("pdf = 3", "pdf is a section and not a setting: [pdf] (/etc/x.toml)"),
        ];
        for (text, expected) in table {
            assert_eq!(file(text).leaves().1, [expected], "{text}");
        }
        assert!(Layer::file(Origin::Default, "x = ").expect_err("no TOML").contains("not TOML"));
    }

    #[test]
    fn unknown_variables_are_told_with_the_nearest() {
        let table = [
            ("EVENTMESH__WORKER", Some("EVENTMESH__WORKERS")),
            ("EVENTMESH__workers", Some("EVENTMESH__WORKERS")),
            ("EVENTMESH__FETCH_IDLE", Some("EVENTMESH__FETCH__IDLE")),
            ("EVENTMESH__LISTEN", Some("EVENTMESH__DAEMON__LISTEN")),
            ("EVENTMESH__", None),
            ("EVENTMESH__XYZZY", None),
        ];
        for (name, near) in table {
            let why = Layer::variable(name, "3").expect_err("it is unknown");
            assert!(why.contains(name), "{why}");
            match near {
                Some(near) => assert!(why.ends_with(&format!("; {near} is near")), "{why}"),
                None => assert!(why.contains("config example"), "{why}"),
            }
        }
    }

    #[test]
    fn every_setting_has_a_variable_of_its_own() {
        for setting in settings::all() {
            let layer = Layer::variable(&setting.variable(), "3").expect("it is known");
            let (leaves, problems) = layer.leaves();
            assert_eq!(problems, Vec::<String>::new());
            assert_eq!(leaves.iter().map(|(setting, _)| setting.key).collect::<Vec<_>>(), [setting.key]);
        }
        let names: Vec<_> =
            ["browser.limits.page_memory", "workers"].map(|key| settings::find(key).map(Setting::variable)).into();
        assert_eq!(names, [Some("EVENTMESH__BROWSER__LIMITS__PAGE_MEMORY".to_owned()), Some("EVENTMESH__WORKERS".to_owned())]);
    }
}
