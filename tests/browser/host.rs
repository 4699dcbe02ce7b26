//! An engine with a real browser and directories of its own, and the site whose pages it renders.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use eventmesh::render::{Action, RenderOptions, Rendered};
use eventmesh::{Answer, Config, Engine, Error, RenderMode, Request};
use serde_json::Value;

pub(crate) struct Host<S> {
    pub(crate) engine: Engine,
    /// The site, which is there for as long as this is.
    pub(crate) site: S,
    /// What all of its addresses begin with.
    at: String,
    pub(crate) scratch: tempfile::TempDir,
}

impl<S> Host<S> {
    /// `None` without a browser, which it says.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) async fn start(site: S, at: String, change: impl FnOnce(&mut Config)) -> Option<Self> {
        let scratch = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o711)).expect("it is ours");
        let mut config = Config { scratch: Some(scratch.path().to_owned()), ..Config::default() };
        config.browser.program = Some(env!("CARGO_BIN_EXE_eventmesh").into());
        config.egress.policy = config.egress.policy.allowing_loopback();
        change(&mut config);
        let engine = Engine::builder().config(config).start().await.expect("it starts");
        if let Some(missing) = engine.snapshot().browser.missing {
            eprintln!("SKIPPED: {missing}");
            return None;
        }
        Some(Self { engine, site, at, scratch })
    }

    /// The address of a page.
    pub(crate) fn url(&self, page: &str) -> String {
        format!("{}{page}", self.at)
    }

    /// All that is made of a page that is rendered.
    pub(crate) async fn answer(&self, page: &str, options: RenderOptions) -> Result<Answer, Error> {
        let request = Request::url(self.url(page)).rendered(RenderMode::Always, RenderOptions { raw: true, ..options });
        self.engine.extract(request).document().await
    }

    pub(crate) async fn render(&self, page: &str, options: RenderOptions) -> Result<Rendered, Error> {
        Ok(*self.answer(page, options).await?.rendered.expect("it was rendered"))
    }

    /// Renders a page after these actions, in JSON.
    pub(crate) async fn act(&self, page: &str, actions: Value) -> Result<Rendered, Error> {
        let actions: Vec<Action> = serde_json::from_value(actions).expect("they make sense");
        self.render(page, RenderOptions { actions, ..RenderOptions::default() }).await
    }

    /// Stops, and nothing is left.
    pub(crate) async fn stop(self) {
        self.engine.shutdown(Duration::ZERO).await;
        let left: Vec<_> = std::fs::read_dir(self.scratch.path()).expect("readable").filter_map(Result::ok).collect();
        assert!(left.iter().all(|entry| entry.file_name() == "turn"), "{left:?}");
        assert_eq!(self.engine.snapshot().pdf.processes, 0, "no process is left");
    }
}
