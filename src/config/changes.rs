//! What a reload can apply, and what has to wait for a restart.

use super::settings::{self, Settings};

/// What is different between two settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Keys whose new values can be applied at once.
    pub(crate) applied: Vec<&'static str>,
    /// Keys whose new values only count after a restart.
    pub(crate) need_restart: Vec<&'static str>,
}

impl Changes {
    /// From what runs to what has been read.
    pub(crate) fn between(before: &Settings, after: &Settings) -> Self {
        let mut changes = Self::default();
        for setting in settings::all().filter(|setting| (setting.get)(before) != (setting.get)(after)) {
            // A door that was opened because there are keys must not stay open without any.
            let doors_open = setting.key == "daemon.keys" && after.daemon.keys.is_none();
            let keys = if setting.live && !doors_open { &mut changes.applied } else { &mut changes.need_restart };
            keys.push(setting.key);
        }
        changes
    }

    /// What runs once they are applied: of `after` what can be, and of `running` all else, so that the next reload tells again
    /// what needs a restart.
    pub(crate) fn apply(&self, running: &mut Settings, after: &Settings) {
        for setting in self.applied.iter().filter_map(|key| settings::find(key)) {
            (setting.copy)(after, running);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    #[test]
    fn only_keys_can_change_while_it_runs() {
        let live: Vec<_> = settings::all().filter(|setting| setting.live).map(|setting| setting.key).collect();
        assert_eq!(live, ["daemon.keys"]);
    }

    #[test]
    fn changes_are_told_apart() {
        let none = Settings::default();
        assert_eq!(Changes::between(&none, &none), Changes::default());
        let keys = changed(|settings| settings.daemon.keys = Some("/a".into()));
        let more = changed(|settings| {
            settings.daemon.keys = Some("/b".into());
            settings.engine.workers += 1;
            settings.engine.egress.policy.ports.clear();
        });
        let changes = Changes::between(&keys, &more);
        assert_eq!(changes, Changes { applied: vec!["daemon.keys"], need_restart: vec!["workers", "egress.ports"] });
        let mut running = keys.clone();
        changes.apply(&mut running, &more);
        assert_eq!((&running.daemon.keys, running.engine.workers), (&more.daemon.keys, keys.engine.workers));
        assert_eq!(Changes::between(&running, &more).need_restart, ["workers", "egress.ports"], "it is told again");
        assert_eq!(Changes::between(&none, &keys).applied, ["daemon.keys"]);
        assert_eq!(Changes::between(&keys, &none).need_restart, ["daemon.keys"]);
    }
}
