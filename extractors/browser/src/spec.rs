//! What browsers are started from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::chromium::Chromium;
use crate::tunnels::Tunnels;

/// The program of the process that becomes Chromium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LauncherProgram {
    /// This one: it has said that it can be started as one.
    ThisOne,
    /// Another one that can be: such as `eventmesh` itself.
    At(PathBuf),
}

/// Whether Chromium confines its own processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxPolicy {
    /// It does, unless Chromium itself says that it cannot; then it runs without, and the snapshot says so.
    #[default]
    Auto,
    /// It does, or nothing is rendered.
    Required,
    /// It does not.
    Off,
}

/// Limits of browsers and their pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BrowserLimits {
    /// Bytes that a page's scripts may hold before it is given up, its buffers and workers included. Default 512 MiB. While a page
    /// is too busy to be asked, its process may hold twice as much and 128 MiB besides, as the kernel says; then its scripts are
    /// ended, and the process if they do not end.
    pub page_memory: u64,
    /// Bytes (PSS) that a browser's processes may hold, all together, past what they held when it was new, before another
    /// browser takes over. Default 400 MiB.
    pub browser_memory: u64,
    /// Pages after which another browser takes over. Default 2,000.
    pub pages: u64,
    /// How many times slower than a new browser's its pages may come before another browser takes over. Default 2.
    pub slowdown: f64,
    /// How long a browser that is to go may take to finish its pages. Default 60 s.
    pub drain: Duration,
    /// How long a browser may take to be ready. Default 20 s.
    pub start: Duration,
    /// How often a browser is looked at. Default 2 s.
    pub look: Duration,
    /// How long a browser without work stays. Default 60 s.
    pub idle: Duration,
    /// How long a call that should take milliseconds may take. Default 5 s.
    pub call: Duration,
    /// Bytes of a page's content. Default 32 MiB.
    pub content: u64,
    /// Bytes of all that one request yields: pictures, PDF, contents, values. Default 128 MiB.
    pub yields: u64,
    /// Requests that one page may make. Default 2,000.
    pub requests: u32,
    /// Bytes that one page may load. Default 64 MiB.
    pub bytes: u64,
}

impl Default for BrowserLimits {
    fn default() -> Self {
        Self {
            page_memory: 512 << 20,
            browser_memory: 400 << 20,
            pages: 2_000,
            slowdown: 2.0,
            drain: Duration::from_secs(60),
            start: Duration::from_secs(20),
            look: Duration::from_secs(2),
            idle: Duration::from_secs(60),
            call: Duration::from_secs(5),
            content: 32 << 20,
            yields: 128 << 20,
            requests: 2_000,
            bytes: 64 << 20,
        }
    }
}

/// What browsers are started from.
#[derive(Clone, Debug)]
pub struct BrowserSpec {
    /// The program of the process that becomes Chromium.
    pub launcher: LauncherProgram,
    /// Chromium.
    pub chromium: Chromium,
    /// Whether it confines its own processes.
    pub sandbox: SandboxPolicy,
    /// The user that it runs as, if this process is root. Default: a number that belongs to nobody.
    pub user: Option<u32>,
    /// The HTTP proxy that everything goes through, names included: a browser then connects to nothing else. None: it
    /// connects to whatever it likes.
    pub proxy: Option<SocketAddr>,
    /// Tells why that proxy has made no tunnel. None: that it has not is all that is told.
    pub tunnels: Option<Tunnels>,
    /// Arguments besides our own.
    pub arguments: Vec<String>,
    /// Limits.
    pub limits: BrowserLimits,
}

impl BrowserSpec {
    /// `chromium`, started by `launcher`.
    #[must_use]
    pub fn new(launcher: LauncherProgram, chromium: Chromium) -> Self {
        Self {
            launcher,
            chromium,
            sandbox: SandboxPolicy::Auto,
            user: user(),
            proxy: None,
            tunnels: None,
            arguments: Vec::new(),
            limits: BrowserLimits::default(),
        }
    }
}

/// Nobody's number, out of those that are set aside for services that are there for a while; another one for each process,
/// so that two engines on one machine have nothing in common. None if this process is not root.
fn user() -> Option<u32> {
    rustix::process::getuid().is_root().then(|| FIRST_USER + std::process::id() % USERS)
}

const FIRST_USER: u32 = 61_184;
const USERS: u32 = 4_336;

/// What Chromium is told at its start: nothing of its own accord, no window, and nothing held back for a window's sake.
pub(crate) const ARGUMENTS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    "--no-startup-window",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--noerrdialogs",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-component-extensions-with-background-pages",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-domain-reliability",
    "--disable-client-side-phishing-detection",
    "--disable-field-trial-config",
    "--disable-hang-monitor",
    "--disable-prompt-on-repost",
    "--disable-popup-blocking",
    // A worker of several pages is nobody's to look at, and a page that is alone has nobody to share one with.
    "--disable-shared-workers",
    "--disable-search-engine-choice-screen",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-ipc-flooding-protection",
    "--disable-back-forward-cache",
    "--disable-features=Translate,MediaRouter,DialMediaRouteProvider,OptimizationHints,AcceptCHFrame,HttpsUpgrades,\
     AutofillServerCommunication,CertificateTransparencyComponentUpdater,GlobalMediaControls,Prerender2,DestroyProfileOnBrowserClose",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--mute-audio",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
];

/// What makes Chromium go through `proxy` for everything: no address is exempt, no name is looked up, and nothing is sent
/// past it by other protocols.
pub(crate) fn through(proxy: SocketAddr) -> [String; 4] {
    [
        format!("--proxy-server=http://{proxy}"),
        "--proxy-bypass-list=<-loopback>".to_owned(),
        format!("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {}", proxy.ip()),
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_arguments() {
        for argument in ARGUMENTS {
            assert!(argument.starts_with("--") && !argument.contains(' '), "{argument}");
        }
    }
}
