//! The command line as a client: what it prints, and how it exits, is what it is without a daemon.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::daemon::{Daemon, PATIENCE, program};
use super::keys::Ring;
use super::site::Site;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sample.html");
const PDF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sample.pdf");
const ENCRYPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pdf/encrypted.pdf");

fn run(arguments: &[&str], input: &[u8], environment: &[(&str, &str)]) -> Output {
    ran(program(), arguments, input, environment)
}

fn ran(mut command: std::process::Command, arguments: &[&str], input: &[u8], environment: &[(&str, &str)]) -> Output {
    // What others have left behind is swept, and told of, by whoever comes first.
    command.args(arguments).env("EVENTMESH_LOG", "error").envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // A program that does not read all of it says so by what it prints.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Runs the same command here, which may connect to this machine, and with a daemon that may.
fn both(daemon: &Daemon, arguments: &[&str], input: &[u8]) -> [Output; 2] {
    let server = daemon.url("");
    let here = run(&[arguments, &["--allow-net", "127.0.0.0/8"]].concat(), input, &[]);
    let there = run(&[arguments, &["--server", &server]].concat(), input, &[]);
    [here, there]
}

/// Takes everything out that says how long something took.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["timing", "ms"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extract_prints_the_same_byte_by_byte() {
    let (daemon, site) = (Daemon::start(&[]).await, Site::open().await);
    let directory = tempfile::tempdir().expect("a directory");
    let packed = directory.path().join("page.html.gz");
    let mut writer = flate2::write::GzEncoder::new(std::fs::File::create(&packed).expect("own"), flate2::Compression::fast());
    writer.write_all(&std::fs::read(SAMPLE).expect("readable")).and_then(|()| writer.finish().map(drop)).expect("own");
    let latin = directory.path().join("latin.html");
    std::fs::write(&latin, b"<title>\xe4</title><p>Gr\xfc\xdfe, und ein <a href=n>Verweis</a>.").expect("own");
    let text = |path: &Path| path.display().to_string();
    let (packed, latin, url) = (text(&packed), text(&latin), site.url("/page"));
    let table: &[&[&str]] = &[
        &[SAMPLE],
        &["--format", "text", SAMPLE],
        &["--format", "json", SAMPLE],
        &["--format", "html", SAMPLE],
        &["--format", "json", &packed],
        &["--format", "json", "--charset", "windows-1252", "--base-url", "https://example.com/a/", &latin],
        &["--format", "json", PDF],
        &["--format", "json", "--images", PDF],
        &["--format", "json", "--password", "sesame", ENCRYPTED],
        &["--format", "json", &url],
        &["--format", "json", "-"],
    ];
    for arguments in table {
        let [here, there] = both(&daemon, &[&["extract"], *arguments].concat(), b"<p>From <a href=x>a pipe</a>.");
        assert_eq!(out(&there), out(&here), "{arguments:?}");
        assert_eq!((there.status.code(), err(&there)), (here.status.code(), err(&here)), "{arguments:?}");
        assert!(!out(&here).is_empty() || !here.status.success(), "{arguments:?}: {}", err(&here));
    }
    daemon.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_alike() {
    let daemon = Daemon::start(&[]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let large = directory.path().join("large.html");
    std::fs::write(&large, vec![b'x'; 33 << 20]).expect("own directory");
    let spins = directory.path().join("slow.html");
    let attributes: String = (0..300_000).map(|number| format!(" a{number}=1")).collect();
    std::fs::write(&spins, format!("<p{attributes}>")).expect("own directory");
    let (large, spins) = (large.display().to_string(), spins.display().to_string());
    let place = directory.path().display().to_string();
    let table: &[(&[&str], i32)] = &[
        (&["extract", "no-such-file.html"], 4),
        (&["extract", &place], 4),
        (&["extract", &large], 5),
        (&["extract", "http://127.0.0.1:9/"], 4),
        (&["extract", "http://10.0.0.1/"], 10),
        (&["extract", "ftp://example.com/"], 2),
        (&["extract", "--base-url", "x", SAMPLE], 2),
        (&["extract", "--timeout", "0.5", &spins], 6),
        (&["extract", "--format", "html", PDF], 5),
        (&["extract", ENCRYPTED], 5),
        (&["extract", "--password", "guess", ENCRYPTED], 5),
        (&["batch", "no-such-list"], 4),
    ];
    for (arguments, code) in table {
        let [here, there] = both(&daemon, arguments, b"");
        assert_eq!(here.status.code(), Some(*code), "{arguments:?}: {}", err(&here));
        // How far it had come when its time was up is as it happens.
        let [here_said, there_said] = [&here, &there].map(|done| err(done).split(", it was still").next().map(str::to_owned));
        assert_eq!((there.status.code(), there_said), (here.status.code(), here_said), "{arguments:?}");
        assert_eq!((out(&here), out(&there)), (String::new(), String::new()), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_as_a_robot_is_one_to_a_daemon_too() {
    let (daemon, site) = (Daemon::start(&[]).await, Site::open().await);
    let url = site.url("/private");
    let list = format!("{}\n", json!({ "id": 1, "source": url }));
    // Whoever asks for one page is a person, and whoever asks for a list of them a robot, unless they say otherwise. Who has a
    // daemon ask leaves it to that, unless they want more; this one does not look.
    let table: &[(&[&str], i32, i32)] = &[
        (&["extract", "--robots", &url], 10, 10),
        (&["extract", &url], 0, 0),
        (&["batch", "--robots", "-"], 3, 3),
        (&["batch", "-"], 3, 0),
        (&["batch", "--ignore-robots", "-"], 0, 0),
    ];
    let server = daemon.url("");
    for (arguments, here_code, there_code) in table {
        // As it is by itself: other tests count what their sites are asked.
        let mut command = program();
        command.env_remove("EVENTMESH__FETCH__ROBOTS");
        let here = ran(command, &[arguments, &["--allow-net", "127.0.0.0/8"][..]].concat(), list.as_bytes(), &[]);
        let there = run(&[arguments, &["--server", &server][..]].concat(), list.as_bytes(), &[]);
        for (done, code) in [(&here, here_code), (&there, there_code)] {
            assert_eq!(done.status.code(), Some(*code), "{arguments:?}: {}", err(done));
            assert_eq!(out(done).contains("A heron in private"), *code == 0, "{arguments:?}");
        }
        assert!(here_code != there_code || err(&here) == err(&there), "{arguments:?}: {} {}", err(&here), err(&there));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn render_prints_the_same_but_for_its_times() {
    let (daemon, site) = (Daemon::start(&[]).await, Site::open().await);
    let render = &daemon.get("/v1/capabilities").await.json()["render"];
    if render["available"] != true {
        eprintln!("SKIPPED: {render}");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let actions = directory.path().join("actions.json");
    let steps = json!([
        { "action": "evaluate", "script": "console.log('hello'), 6 * 7" },
        { "action": "click", "selector": "#nowhere", "on_error": "continue", "timeout_ms": 100 },
        { "action": "extract", "name": "before" },
    ]);
    std::fs::write(&actions, steps.to_string()).expect("own directory");
    let actions = actions.display().to_string();
    let url = site.url("/page");
    let table: &[&[&str]] = &[
        &["--format", "html", &url],
        &["--format", "md", &url],
        &["--format", "json", "--console", "--actions", &actions, "--cookie", "a=b", "--cookies-out", &url],
        &["--format", "text", "--header", "X-A: 1", "--viewport", "400x300", "--wait", "load", "--no-javascript", SAMPLE],
    ];
    for arguments in table {
        let [here, there] = both(&daemon, &[&["render"], *arguments].concat(), b"");
        assert_eq!((here.status.code(), err(&here)), (Some(0), String::new()), "{arguments:?}");
        assert_eq!((there.status.code(), err(&there)), (Some(0), String::new()), "{arguments:?}");
        match serde_json::from_slice::<Value>(&here.stdout) {
            Ok(mut here) => {
                let mut there = serde_json::from_slice(&there.stdout).expect("JSON");
                timeless(&mut here);
                timeless(&mut there);
                assert_eq!(there.to_string(), here.to_string(), "{arguments:?}");
                assert_eq!(here["actions"][0]["value"], 42);
            }
            Err(_) => assert_eq!(out(&there), out(&here), "{arguments:?}"),
        }
    }
    let (picture, print) = (directory.path().join("page.png"), directory.path().join("page.pdf"));
    let server = daemon.url("");
    let (shot, printed) = (picture.display().to_string(), print.display().to_string());
    let done = run(&["render", "--server", &server, "--screenshot", &shot, "--print", &printed, &url], b"", &[]);
    assert_eq!((done.status.code(), err(&done), out(&done)), (Some(0), String::new(), String::new()));
    assert!(std::fs::read(&picture).expect("it is there").starts_with(b"\x89PNG"));
    assert!(std::fs::read(&print).expect("it is there").starts_with(b"%PDF-"));
}

/// The lines of a batch, each without its time, in the order of their ids.
fn told(output: &Output) -> Vec<String> {
    let mut lines: Vec<Value> = out(output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    lines.sort_by_key(|line| line["id"].as_u64());
    lines.iter_mut().for_each(timeless);
    lines.iter().map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_says_the_same_of_each_page() {
    let (daemon, site) = (Daemon::start(&[]).await, Site::open().await);
    let sources = [
        json!({ "id": 1, "source": SAMPLE, "base_url": "https://example.com/" }),
        json!({ "id": 2, "source": site.url("/page") }),
        json!({ "id": 3, "source": "no-such-file" }),
        json!({ "id": 4, "source": "http://10.0.0.1/" }),
        json!({ "id": 5, "source": PDF }),
        json!({ "id": 6, "source": ENCRYPTED, "password": "guess" }),
        json!({ "id": 7 }),
    ];
    let list: String = sources.iter().map(|line| format!("{line}\n")).collect();
    let [here, there] = both(&daemon, &["batch", "-"], list.as_bytes());
    assert_eq!((here.status.code(), there.status.code()), (Some(3), Some(3)), "{}{}", err(&here), err(&there));
    assert_eq!(told(&here).len(), sources.len());
    assert_eq!(told(&there), told(&here));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_comes_back_when_it_is_told_to() {
    let mut ring = Ring::new();
    let changed = [("per_second = 50", "per_second = 20"), ("burst = 100", "burst = 2"), ("concurrent = 100", "concurrent = 1")];
    let key = ring.add("narrow", "extract", &changed);
    let path = ring.path();
    let daemon = Daemon::start(&["--keys", path.to_str().expect("UTF-8")]).await;
    let list: String = (0..12).map(|id| format!("{}\n", json!({ "id": id, "source": SAMPLE }))).collect();
    let done = run(&["batch", "--server", &daemon.url(""), "-c", "4", "-"], list.as_bytes(), &[("EVENTMESH_KEY", &key)]);
    assert_eq!(done.status.code(), Some(0), "{}", err(&done));
    assert_eq!(out(&done).lines().count(), 12);
    let metrics = daemon.operators(hyper::Method::GET, "/metrics").await;
    assert!(metrics.text().contains("quota"), "it was sent away in between");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_found_and_opened_in_every_way() {
    let mut ring = Ring::new();
    let key = ring.add("reader", "extract", &[]);
    let directory = ring.directory().to_owned();
    let socket = format!("unix:{}", directory.join("api.sock").display());
    let file = directory.join("key");
    std::fs::write(&file, format!("{key}\n")).expect("own directory");
    let (path, file) = (ring.path(), file.display().to_string());
    let daemon = Daemon::start(&["--listen", &socket, "--keys", path.to_str().expect("UTF-8")]).await;
    let server = daemon.url("/");
    let expected = out(&run(&["extract", SAMPLE], b"", &[]));
    type Way<'w> = (&'w [&'w str], &'w [(&'w str, &'w str)]);
    let ways: &[Way<'_>] = &[
        (&["--server", &server, "--key-file", &file], &[]),
        (&["--server", &socket, "--key-file", &file], &[]),
        (&["--server", &socket], &[("EVENTMESH_KEY", &key)]),
        (&[], &[("EVENTMESH_SERVER", &server), ("EVENTMESH_KEY", &key)]),
        (&["--key-file", &file], &[("EVENTMESH_SERVER", &socket), ("EVENTMESH_KEY", "wrong")]),
    ];
    for (arguments, environment) in ways {
        let done = run(&[&["extract", SAMPLE], *arguments].concat(), b"", environment);
        assert_eq!((out(&done), err(&done)), (expected.clone(), String::new()), "{arguments:?} {environment:?}");
    }
    let locked: &[&[(&str, &str)]] = &[&[], &[("EVENTMESH_KEY", "wrong")]];
    for environment in locked {
        let done = run(&["extract", SAMPLE, "--server", &server], b"", environment);
        assert_eq!(done.status.code(), Some(2), "{}", err(&done));
        assert!(err(&done).contains("--key-file") && !err(&done).contains("wrong"), "{}", err(&done));
        let list = run(&["batch", "-", "--server", &server], b"{\"id\": 1, \"source\": \"x\"}\n", environment);
        assert_eq!((list.status.code(), out(&list)), (Some(2), String::new()), "a list is not begun: {}", err(&list));
    }
}

#[test]
fn what_makes_no_sense_with_a_daemon_is_refused_by_name() {
    let server = ["--server", "http://127.0.0.1:9"];
    let table: &[(&[&str], i32, &str)] = &[
        (&["extract", SAMPLE, "--workers", "2"], 2, "--workers"),
        (&["extract", SAMPLE, "--max-page", "2"], 2, "--max-page"),
        (&["extract", SAMPLE, "--page-memory", "64"], 2, "--page-memory"),
        (&["extract", SAMPLE, "--pdfium", "x"], 2, "--pdfium"),
        (&["render", SAMPLE, "--chromium", "x"], 2, "--chromium"),
        (&["render", SAMPLE, "--no-browser-sandbox"], 2, "--no-browser-sandbox"),
        (&["batch", "-", "--allow-net", "127.0.0.0/8"], 2, "--allow-net"),
        (&["batch", "-", "--cache-dir", "x"], 2, "--cache-dir"),
        (&["extract", SAMPLE, "--config", "x"], 2, "--config"),
        (&["render", SAMPLE, "--config", "x"], 2, "--config"),
        (&["batch", "-", "--config", "x"], 2, "--config"),
        (&["pdf", "render", PDF], 2, "draws no pages of PDFs"),
        (&["extract", SAMPLE, "--key-file", "/no/such/file"], 4, "/no/such/file"),
        (&["extract", SAMPLE], 7, "http://127.0.0.1:9 cannot be reached"),
        (&["batch", "-"], 7, "cannot be reached"),
        (&["extract", "https://example.com/"], 7, "cannot be reached"),
    ];
    for (arguments, code, said) in table {
        let done = run(&[*arguments, &server].concat(), b"", &[]);
        assert_eq!((done.status.code(), out(&done)), (Some(*code), String::new()), "{arguments:?}: {}", err(&done));
        assert!(err(&done).contains(said), "{arguments:?}: {}", err(&done));
    }
    for (address, said) in [("127.0.0.1:7800", "http://HOST:PORT"), ("unix:x", "unix:/PATH"), ("http://a:b@c/", "--key-file")] {
        let done = run(&["extract", SAMPLE, "--server", address], b"", &[]);
        assert!(done.status.code() == Some(2) && err(&done).contains(said), "{address}: {}", err(&done));
    }
    // The environment names a daemon for the commands that can use one.
    let drawn = run(&["pdf", "render", "no-such.pdf"], b"", &[("EVENTMESH_SERVER", server[1])]);
    assert!(drawn.status.code() == Some(4) && err(&drawn).contains("no-such.pdf"), "{}", err(&drawn));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "workers = 1\n").expect("own file");
    let named = file.path().display().to_string();
    let typed = run(&["extract", SAMPLE, "--config", &named], b"", &[("EVENTMESH_SERVER", server[1])]);
    assert!(typed.status.code() == Some(2) && err(&typed).contains("--config"), "{}", err(&typed));
    // A variable may be there for other commands.
    let there = run(&["extract", SAMPLE, server[0], server[1]], b"", &[("EVENTMESH_CONFIG", &named)]);
    assert!(there.status.code() == Some(7) && err(&there).contains("cannot be reached"), "{}", err(&there));
    let empty = run(&["extract", SAMPLE, server[0], server[1]], b"", &[("EVENTMESH_KEY", " ")]);
    assert!(empty.status.code() == Some(2) && err(&empty).contains("EVENTMESH_KEY holds no key"), "{}", err(&empty));
    let alone = run(&["extract", SAMPLE, "--key-file", "x"], b"", &[]);
    assert!(alone.status.code() == Some(2) && err(&alone).contains("--server"), "{}", err(&alone));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_daemon_is_told_from_one() {
    let site = Site::open().await;
    let done = run(&["extract", SAMPLE, "--server", &site.url("")], b"", &[]);
    assert_eq!(done.status.code(), Some(2), "{}", err(&done));
    assert!(err(&done).contains("no daemon") && err(&done).contains("404"), "{}", err(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_work_there_too() {
    let (daemon, site) = (Daemon::start(&["--timeout", "600"]).await, Site::open().await);
    let server = daemon.url("");
    let url = site.url("/held");
    let list = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(list.path(), format!("{}\n", json!({ "id": 1, "source": url }))).expect("own file");
    let list = list.path().display().to_string();
    for arguments in [["extract", &url], ["batch", &list]] {
        let mut command = program();
        command.args(arguments).args(["--server", &server, "--timeout", "600"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        site.until_open("at work", |open| open == 1).await;
        assert_eq!(daemon.tree().await["requests"], 1);
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
        let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it ends").expect("no panic").expect("it ends");
        assert_eq!((ended.status.code(), out(&ended)), (Some(130), String::new()), "{arguments:?}: {}", err(&ended));
        site.until_open("given up", |open| open == 0).await;
        daemon.until_idle().await;
    }
}
