//! The daemon as a service manager meets it: what it says and when, sockets that outlive it, an orderly end and a sudden one.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may fail, runs the program itself, and says what it skips"
)]

#[path = "systemd/freeze.rs"]
mod freeze;
#[path = "systemd/manager.rs"]
mod manager;
#[path = "systemd/processes.rs"]
mod processes;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;

use freeze::Frozen;
use manager::{LONG, Place, Setup, ask, eventually, extract, get, send, status};
use processes::{below, gone, of_engines};

#[test]
fn it_is_ready_when_requests_succeed_and_says_how_it_goes_until_it_goes() {
    let place = Place::new();
    let mut daemon = place.start(&Setup { variables: &[("WATCHDOG_USEC", "1500000")], ..Setup::default() });
    let at = daemon.ready();
    extract(at.api, "a page right after it was ready").expect("it is answered");
    assert_eq!(get(at.ops, "/readyz").expect("it is answered").0, 200);
    let said = daemon.next(LONG).expect("a status");
    assert!(said.starts_with("STATUS=serving at ") && said.contains(&at.api.to_string()), "{said}");
    for _ in 0..4 {
        daemon.until("WATCHDOG=1");
        let said = daemon.next(LONG).expect("a status");
        assert!(said.starts_with("STATUS=") && said.contains(" ended"), "{said}");
    }
    daemon.signal(Signal::TERM);
    daemon.until("STOPPING=1");
    let more = daemon.next(LONG).expect("how long it may take");
    let micros: u64 = more.strip_prefix("EXTEND_TIMEOUT_USEC=").and_then(|text| text.parse().ok()).expect("a number");
    let unit = include_str!("../packaging/systemd/eventmesh.service");
    let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s')?.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| micros < seconds * 1_000_000), "the unit gives {seconds:?} s, it wants {more}");
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said:?}");
    assert_eq!(place.scratch(), Vec::<std::path::PathBuf>::new(), "nothing is left");
}

#[test]
fn who_is_not_watched_says_nothing_of_being_alive() {
    let place = Place::new();
    let another = std::process::id().to_string();
    for variables in [vec![], vec![("WATCHDOG_USEC", "300000"), ("WATCHDOG_PID", another.as_str())]] {
        let mut daemon = place.start(&Setup { variables: &variables, ..Setup::default() });
        let at = daemon.ready();
        let mut heard = Vec::new();
        for _ in 0..10 {
            extract(at.api, "a page").expect("it is answered");
            heard.extend(daemon.next(Duration::from_millis(100)));
        }
        assert!(!heard.iter().any(|line| line.starts_with("WATCHDOG")), "{heard:?}");
    }
}

/// The listener answers, the runtime runs, and a timer would go on saying that all is well.
#[test]
fn the_watchdog_hears_nothing_while_pages_do_not_come_through_and_hears_again_when_they_do() {
    let place = Place::new();
    let mut daemon = place.start(&Setup { variables: &[("WATCHDOG_USEC", "1500000")], ..Setup::default() });
    let at = daemon.ready();
    daemon.until("WATCHDOG=1");
    let Some(frozen) = Frozen::threads(daemon.pid(), "wasm/") else {
        eprintln!("skipped the_watchdog_hears_nothing_...: threads cannot be traced here");
        return;
    };
    let stuck = || get(at.ops, "/healthz").is_ok_and(|(status, why)| status == 503 && why.contains("did not come through"));
    assert!(eventually(stuck), "it thinks that all is well");
    daemon.forget();
    let heard = daemon.next(Duration::from_secs(8));
    assert_eq!(heard, None, "more than five times as long as the watchdog waits");
    assert!(frozen.thaw() > 0);
    daemon.until("WATCHDOG=1");
    assert!(eventually(|| get(at.ops, "/healthz").is_ok_and(|(status, _)| status == 200)));
    extract(at.api, "a page afterwards").expect("it is answered");
}

#[test]
fn a_reload_is_told_and_done_and_what_makes_no_sense_changes_nothing() {
    let place = Place::new();
    let file = place.path().join("keys.toml");
    let key = |name: &str| {
        let made = std::process::Command::new(env!("CARGO_BIN_EXE_eventmesh")).args(["keys", "new", name]).output();
        let made = made.expect("it starts");
        let words = String::from_utf8(made.stderr).expect("UTF-8");
        let secret = words.split_whitespace().max_by_key(|word| word.len()).expect("a key").to_owned();
        (String::from_utf8(made.stdout).expect("UTF-8"), secret)
    };
    let ((first, old), (second, new)) = (key("first"), key("second"));
    std::fs::write(&file, &first).expect("it is written");
    let path = file.to_str().expect("UTF-8");
    let mut daemon = place.start(&Setup { arguments: &["--listen", "127.0.0.1:0", "--keys", path], ..Setup::default() });
    let at = daemon.ready();
    let admits = |key: &str| {
        let mut stream = TcpStream::connect(at.api).expect("it is open");
        let request = format!(
            "GET /v1/capabilities HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        status(&answer).expect("an answer")
    };
    assert_eq!((admits(&old), admits(&new)), (200, 401));
    for (content, then) in [(format!("{first}{second}"), (200, 200)), ("nonsense".to_owned(), (200, 200)), (second, (401, 200))] {
        std::fs::write(&file, content).expect("it is written");
        daemon.forget();
        daemon.signal(Signal::HUP);
        let lines = daemon.until("READY=1");
        assert_eq!(lines.first().map(String::as_str), Some("RELOADING=1"), "{lines:?}");
        let clock = lines.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")?.parse::<u64>().ok());
        assert!(clock.is_some_and(|clock| clock > 0), "{lines:?}");
        assert_eq!((admits(&old), admits(&new)), then);
    }
}

/// A site whose page comes when it is let.
struct SlowSite {
    address: SocketAddr,
    asked: Receiver<()>,
    answer: SyncSender<()>,
}

impl SlowSite {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let ((asks, asked), (answer, answers)) = (sync_channel(8), sync_channel::<()>(8));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                let _ = asks.send(());
                if answers.recv().is_err() {
                    return;
                }
                let page = "<p>a page that took its time";
                let length = page.len();
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html";
                let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{page}");
            }
        });
        Self { address, asked, answer }
    }

    /// Has the page extracted by the daemon at `at`, and waits until the daemon has asked for it.
    fn ask_for(&self, at: SocketAddr) -> JoinHandle<io::Result<(u16, String)>> {
        let body = format!("{{\"url\": \"http://{}/\"}}", self.address);
        let asking = std::thread::spawn(move || ask(at, "POST", "/v1/extract", "application/json", &body));
        self.asked.recv_timeout(LONG).expect("the site is asked");
        asking
    }
}

const WITH_SITE: &[&str] = &["--listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8"];

#[test]
fn what_is_at_work_is_finished_and_nobody_else_is_let_in() {
    let (place, site) = (Place::new(), SlowSite::open());
    let mut daemon = place.start(&Setup { arguments: WITH_SITE, ..Setup::default() });
    let at = daemon.ready();
    let asking = site.ask_for(at.api);
    daemon.signal(Signal::TERM);
    daemon.until("STOPPING=1");
    assert!(eventually(|| TcpStream::connect(at.api).is_err()), "the door stays open");
    let (status, body) = get(at.ops, "/readyz").expect("operators are still let in");
    assert_eq!(status, 503, "{body}");
    assert!(!asking.is_finished());
    site.answer.send(()).expect("it waits");
    let (status, body) = asking.join().expect("no panic").expect("it is answered");
    assert!(status == 200 && body.contains("took its time"), "{status}: {body}");
    assert_eq!(daemon.end().0.code(), Some(0));
}

#[test]
fn whoever_asks_twice_means_it() {
    let (place, site) = (Place::new(), SlowSite::open());
    let mut daemon = place.start(&Setup { arguments: WITH_SITE, ..Setup::default() });
    let at = daemon.ready();
    let asking = site.ask_for(at.api);
    daemon.signal(Signal::TERM);
    daemon.until("STOPPING=1");
    daemon.signal(Signal::TERM);
    // The site never answers, and its request would have 30 s.
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said:?}");
    match asking.join().expect("no panic") {
        Ok((status, body)) => assert!(status >= 500, "{status}: {body}"),
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::TimedOut, "it was cut off"),
    }
    assert!(place.scratch().is_empty(), "{:?}", place.scratch());
}

/// Clients that never stop asking, some on a connection for each request, some on one for as long as it is kept.
struct Load {
    over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(at: SocketAddr) -> Self {
        let (over, done, failed) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<String>>>::default());
        let clients = (0..8).map(|client| {
            let (over, done, failed) = (Arc::clone(&over), Arc::clone(&done), Arc::clone(&failed));
            std::thread::spawn(move || {
                let mut kept = None;
                for turn in 0_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let words = format!("page {turn} of client {client}");
                    let asked = if client % 2 == 0 { extract(at, &words) } else { extract_on(at, &words, &mut kept) };
                    match asked {
                        Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            failed.lock().expect("no panic").push(format!("{words}: {error}"));
                            break;
                        }
                    };
                }
            })
        });
        let clients = clients.collect();
        Self { over, done, failed, clients }
    }

    /// Waits until `more` more have been answered, or one was not.
    fn goes_on(&self, more: u64) {
        let before = self.done.load(Ordering::Relaxed);
        let enough = || self.done.load(Ordering::Relaxed) >= before + more || !self.failed.lock().expect("no panic").is_empty();
        assert!(eventually(enough), "nothing is answered any more");
    }

    fn end(self) -> (u64, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no panic");
        }
        (self.done.load(Ordering::Relaxed), std::mem::take(&mut self.failed.lock().expect("no panic")))
    }
}

/// The same on a connection that is kept for as long as the daemon keeps it.
fn extract_on(at: SocketAddr, words: &str, kept: &mut Option<BufReader<TcpStream>>) -> io::Result<()> {
    let mut reader = match kept.take() {
        Some(reader) => reader,
        None => BufReader::new(TcpStream::connect(at)?),
    };
    reader.get_ref().set_read_timeout(Some(LONG))?;
    send(reader.get_mut(), "POST", "/v1/extract", "text/html", &format!("<p>{words}"), "keep-alive")?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::Error::other(format!("hung up after {head:?}")));
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.ok_or_else(|| io::Error::other(format!("no length: {head}")))?];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body);
    if status(&head)? != 200 || !body.contains(words) {
        return Err(io::Error::other(format!("{head}{body}")));
    }
    if !head.contains("connection: close") {
        *kept = Some(reader);
    }
    Ok(())
}

#[test]
fn a_restart_on_a_socket_that_is_handed_over_fails_nobody() {
    let place = Place::new();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = socket.local_addr().expect("it is bound");
    // It has been told to listen elsewhere, and has no business there.
    let setup = Setup { arguments: &["--listen", "127.0.0.1:1"], socket: Some(&socket), ..Setup::default() };
    // Whoever comes before anybody serves waits.
    let early = std::thread::spawn(move || extract(at, "before anybody was there"));
    let mut daemon = place.start(&setup);
    assert_eq!(daemon.ready().api, at);
    early.join().expect("no panic").expect("it is answered");
    let load = Load::on(at);
    for _ in 0..5 {
        load.goes_on(40);
        daemon.signal(Signal::TERM);
        let (status, said) = daemon.end();
        assert_eq!(status.code(), Some(0), "{said:?}");
        daemon = place.start(&setup);
        assert_eq!(daemon.ready().api, at);
    }
    load.goes_on(40);
    let (done, failed) = load.end();
    assert_eq!(failed, Vec::<String>::new(), "of {done}");
}

#[test]
fn whoever_is_killed_leaves_no_process_and_the_next_one_sweeps_the_rest() {
    let place = Place::new();
    let mut daemon = place.start(&Setup { arguments: WITH_SITE, ..Setup::default() });
    let at = daemon.ready();
    let pdf = include_bytes!("../examples/sample.pdf");
    let mut stream = TcpStream::connect(at.api).expect("it is open");
    let head = "POST /v1/extract HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/pdf";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n", pdf.len()).expect("it is sent");
    stream.write_all(pdf).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let reads = status(&answer).expect("an answer") == 200;
    let rendered = ask(at.api, "POST", "/v1/render", "text/html", "<p>seen by a browser").expect("an answer");
    let renders = rendered.0 == 200;
    if !reads || !renders {
        eprintln!("skipped in part: PDFs are read: {reads}, pages are rendered: {renders}: {}", rendered.1);
    }
    let children = below(daemon.pid());
    assert!(children.len() >= usize::from(reads) + 2 * usize::from(renders), "{children:?}");
    daemon.signal(Signal::KILL);
    let _ = daemon.end();
    let left = |children: &[processes::Process]| children.iter().filter(|child| !gone(child)).cloned().collect::<Vec<_>>();
    assert!(eventually(|| left(&children).is_empty()), "{:?}", left(&children));
    let scratch = place.scratch();
    assert_eq!(scratch.len(), 1, "it had no time to clean up");
    assert_eq!(of_engines(&scratch), Vec::new(), "nothing of it runs anywhere");
    let mut next = place.start(&Setup::default());
    next.ready();
    let now = place.scratch();
    assert!(now.len() == 1 && now != scratch, "{now:?} after {scratch:?}");
}
