//! The command line as a user meets it: what it prints where, and the exit code.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and runs the program itself")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sample.html");

const PDF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sample.pdf");
const ENCRYPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pdf/encrypted.pdf");

fn eventmesh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventmesh"));
    command.env_remove("EVENTMESH_LOG").env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    eventmesh().args(arguments).output().expect("it starts")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn fed(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = eventmesh()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A program that has seen enough does not read the rest; that is for the test to judge by what it says.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

#[test]
fn extract_prints_each_format_on_standard_output_only() {
    let table = [
        ("md", "# How a heron fishes\n"),
        ("text", "How a heron fishes\n"),
        ("html", "<article>"),
        ("json", "{\n  \"url\": \"https://riverside.example/nature/how-a-heron-fishes\""),
    ];
    for (format, start) in table {
        let output = run(&["extract", "--format", format, SAMPLE]);
        assert!(output.status.success(), "{format}: {}", err(&output));
        assert!(out(&output).trim_start().starts_with(start), "{format}: {}", out(&output));
        assert!(out(&output).ends_with('\n'), "{format}");
        assert_eq!(err(&output), "", "{format}");
    }
}

#[test]
fn the_readme_shows_what_is_printed() {
    let printed = out(&run(&["extract", SAMPLE]));
    let readme = include_str!("../README.md");
    let shown = readme.split("<!-- extract examples/sample.html -->\n").nth(1).expect("the marker in the README");
    let shown = shown.trim_start_matches("````markdown\n").split("````\n").next().expect("the end of the block");
    assert_eq!(shown, printed, "the README shows something else than is printed");
}

#[test]
fn extract_reads_standard_input_and_resolves_links() {
    let page = b"<title>T</title><p>Some text with <a href=next>a link</a>.";
    let output = fed(&["extract", "--base-url", "https://example.com/dir/", "-"], page);
    assert_eq!(out(&output), "Some text with [a link](https://example.com/dir/next).\n");
    assert!(output.status.success());
}

#[test]
fn failures_have_their_exit_code_and_say_what_to_do() {
    let directory = scratch("failures");
    let pdf = directory.join("a.pdf");
    std::fs::write(&pdf, b"%PDF-1.7\n").expect("own directory");
    let large = directory.join("large.html");
    std::fs::write(&large, vec![b'x'; 2 << 20]).expect("own directory");
    let broken = directory.join("broken.html.gz");
    std::fs::write(&broken, b"\x1f\x8b\x08\0nonsense").expect("own directory");
    let spins = directory.join("slow.html");
    let attributes: String = (0..300_000).map(|number| format!(" a{number}=1")).collect();
    std::fs::write(&spins, format!("<p{attributes}>")).expect("own directory");
    let text = |path: &Path| path.display().to_string();
    let table: &[(&[&str], i32, &str)] = &[
        (&["extract", "no-such-file.html"], 4, "failed to read no-such-file.html: No such file"),
        (&["extract", &text(&directory)], 4, "is not a file"),
        (&["extract", "http://127.0.0.1:9/"], 10, "blocked by the egress policy"),
        (&["extract", "--allow-net", "127.0.0.0/8", "http://127.0.0.1:9/"], 4, "failed to fetch http://127.0.0.1:9/"),
        (&["extract", "--allow-net", "127.0.0.0/99", "x"], 2, "neither a network"),
        (&["extract", "ftp://example.com/"], 2, "only http and https may be fetched"),
        (&["extract", &text(&pdf)], 5, "no PDF, or broken beyond repair"),
        (&["extract", ENCRYPTED], 5, "needs a password"),
        (&["extract", "--password", "guess", ENCRYPTED], 5, "not the right one"),
        (&["extract", "--pdfium", "/nowhere/libpdfium.so", PDF], 9, "./x setup"),
        (&["pdf", "render", "--page", "9", PDF], 2, "there is no page 9"),
        (&["pdf", "render", "--dpi", "1200", PDF], 6, "fewer dots per inch"),
        (&["pdf", "render", SAMPLE], 5, "no PDF"),
        (&["extract", "--format", "html", PDF], 5, "no HTML to be cleaned"),
        (&["pdf", "render", PDF, "-o", "/proc/no/such/place"], 8, "failed to write /proc/no/such/place"),
        (&["extract", "--max-page", "1", &text(&large)], 5, "larger than 1 MiB"),
        (&["extract", &text(&broken)], 4, "failed to read"),
        (&["extract", "--timeout", "0.3", &text(&spins)], 6, "still being extracted"),
        (&["extract", "--base-url", "nonsense", SAMPLE], 2, "no base URL"),
        (&["extract", "--workers", "0", SAMPLE], 2, "workers must be"),
        (&["extract", "--page-memory", "1", SAMPLE], 2, "page_memory must be"),
        (&["extract", "--timeout", "0", SAMPLE], 2, "more than 0 seconds"),
        (&["extract"], 2, "Usage"),
        (&["nonsense"], 2, "Usage"),
        (&[], 2, "Usage"),
        (&["batch", "no-such-list.ndjson"], 4, "failed to read no-such-list.ndjson"),
        (&["batch", SAMPLE, "-o", "/proc/no/such/place"], 8, "failed to write /proc/no/such/place"),
    ];
    for (arguments, code, said) in table {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(said), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
    }
}

#[test]
fn batch_answers_every_line_and_says_that_some_failed() {
    let list = format!(
        "{{\"id\":\"a\",\"source\":\"{SAMPLE}\"}}\n\n{{\"id\":7,\"source\":\"no-such-file\"}}\nnot json\n{{\"id\":\"c\",\"source\":\"{SAMPLE}\",\"nonsense\":1}}\n{{\"id\":\"d\",\"source\":\"{SAMPLE}\",\"base_url\":\"https://example.com\"}}"
    );
    let output = fed(&["batch", "-"], list.as_bytes());
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    let lines = json_lines(&out(&output));
    let of = |id: serde_json::Value| lines.iter().find(|line| line["id"] == id).expect("a line for every item");
    assert_eq!(lines.len(), 5);
    assert_eq!(of("a".into())["status"], "ok");
    assert_eq!(of("a".into())["document"]["title"], "How a heron fishes");
    assert!(of("a".into())["timing"]["total_ms"].is_number());
    assert_eq!(of(7.into())["error"]["kind"], "source_not_found");
    assert_eq!(of(4.into())["error"]["kind"], "invalid_request", "the number of the broken line");
    assert_eq!(of(5.into())["error"]["kind"], "invalid_request");
    assert_eq!(of("d".into())["status"], "ok");
    let fine = fed(&["batch", "-"], format!("{{\"id\":\"a\",\"source\":\"{SAMPLE}\"}}").as_bytes());
    assert_eq!(fine.status.code(), Some(0));
    assert_eq!(fed(&["batch", "-"], b"").status.code(), Some(0));
}

#[test]
fn batch_survives_a_line_without_end() {
    let mut list = vec![b'x'; 3 << 20];
    list.extend_from_slice(format!("\n{{\"id\":\"a\",\"source\":\"{SAMPLE}\"}}\n").as_bytes());
    let lines = json_lines(&out(&fed(&["batch", "-"], &list)));
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().any(|line| line["status"] == "ok"));
}

#[test]
fn batch_stops_when_its_output_is_full() {
    let list: String = (0..2000).map(|number| format!("{{\"id\":{number},\"source\":\"{SAMPLE}\"}}\n")).collect();
    let output = fed(&["batch", "-", "-o", "/dev/full"], list.as_bytes());
    assert_eq!(output.status.code(), Some(8), "{}", err(&output));
    assert!(err(&output).contains("No space left"), "{}", err(&output));
}

#[test]
fn batch_does_not_overwrite_its_own_list() {
    let directory = scratch("own-list");
    let list = directory.join("list.ndjson");
    std::fs::write(&list, format!("{{\"id\":1,\"source\":\"{SAMPLE}\"}}\n")).expect("own directory");
    let name = list.display().to_string();
    let before = std::fs::read(&list).expect("own file");
    let output = run(&["batch", &name, "-o", &name]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let input = std::fs::File::open(&list).expect("own file");
    let output = eventmesh().args(["batch", "-", "-o", &name]).stdin(input).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert_eq!(std::fs::read(&list).expect("own file"), before);
}

/// A log that cannot be written is no reason to lose the work.
#[test]
fn nothing_is_lost_when_standard_error_is_full() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let status = eventmesh().args(["extract", "no-such-file"]).stderr(full()).status().expect("it starts");
    assert_eq!(status.code(), Some(4));
    let list = scratch("full-stderr").join("list.ndjson");
    let lines: String = (0..50).map(|number| format!("{{\"id\":{number},\"source\":\"no-such-file\"}}\n")).collect();
    std::fs::write(&list, lines).expect("own directory");
    let output = eventmesh().arg("batch").arg(&list).stderr(full()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(json_lines(&out(&output)).len(), 50);
}

/// The engine is made for the batch: what is at work at once is never refused as too much.
#[test]
fn large_pages_at_once_are_not_refused() {
    let directory = scratch("large-pages");
    let page = directory.join("large.html");
    // Cheap to read, and together more than an engine holds by default.
    std::fs::write(&page, ["<!--", &"x".repeat(31 << 20)].concat()).expect("own directory");
    let lines: String = (0..18).map(|number| format!("{{\"id\":{number},\"source\":\"{}\"}}\n", page.display())).collect();
    let output = fed(&["batch", "-", "--concurrency", "18", "--timeout", "300", "-o", "/dev/null"], lines.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

/// Nobody reads the results any more, and the pipe is full: Ctrl-C still ends it.
#[test]
fn interrupted_batch_ends_with_its_output_blocked() {
    let list: String = (0..500).map(|number| format!("{{\"id\":{number},\"source\":\"{SAMPLE}\"}}\n")).collect();
    let path = scratch("blocked").join("list.ndjson");
    std::fs::write(&path, list).expect("own directory");
    let mut child = eventmesh().arg("batch").arg(&path).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut results = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    results.read_line(&mut line).expect("it has begun to write");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    drop(results);
}

/// What is done when the signal comes is in the output, whole, and the program ends by itself.
#[test]
fn interrupted_batch_keeps_what_is_done() {
    for signal in ["-INT", "-TERM"] {
        let mut child = eventmesh()
            .args(["batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut list = child.stdin.take().expect("a pipe");
        let mut results = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        for number in 0..20 {
            writeln!(list, "{{\"id\":{number},\"source\":\"{SAMPLE}\"}}").expect("it reads");
            line.clear();
            results.read_line(&mut line).expect("it answers as it goes");
            assert_eq!(json_lines(&line)[0]["id"], number);
        }
        // The list stays open: the program waits for more, and is interrupted.
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(killed.success());
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "{signal}");
        drop(list);
    }
}

#[test]
fn tree_shows_the_workers_at_work() {
    let output = run(&["tree", "--workers", "2"]);
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    for shown in
        ["eventmesh  running", "wasm  open", "wasm/0#1", "wasm/1#1", "warm slots", "governor  running", "memory   normal"]
    {
        assert!(text.contains(shown), "{shown} is not in:\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&out(&run(&["tree", "--json"]))).expect("JSON");
    assert_eq!(json["tree"]["children"][0]["name"], "governor");
    let pool = &json["tree"]["children"][1]["detail"];
    assert_eq!((&pool["kind"], &pool["name"]), (&"pool".into(), &"wasm".into()));
    assert_eq!(pool["counts"]["invariant_violations_total"], serde_json::json!({}));
    assert_eq!(json["memory"]["pressure"], "normal");
    assert!(json["memory"]["memory"]["heap"].as_u64().expect("jemalloc says") > 0);
}

#[test]
fn help_teaches_and_completions_complete() {
    for command in [&["--help"][..], &["extract", "--help"], &["batch", "--help"], &["tree", "--help"]] {
        let output = run(command);
        assert!(output.status.success());
        assert!(out(&output).contains("Usage:"), "{command:?}");
    }
    assert!(out(&run(&["extract", "--help"])).contains("Examples:"));
    assert!(out(&run(&["--help"])).contains("Exit codes:"));
    assert!(out(&run(&["completions", "bash"])).contains("_eventmesh"));
}

#[test]
fn pdfs_come_from_files_standard_input_and_lists() {
    let file = run(&["extract", PDF]);
    assert!(file.status.success() && out(&file).starts_with("# Rooms\n"), "{}", err(&file));
    let piped = fed(&["extract", "-"], &std::fs::read(PDF).expect("it is there"));
    assert_eq!(out(&piped), out(&file));
    let opened = run(&["extract", "--format", "json", "--password", "open sesame", ENCRYPTED]);
    let document: serde_json::Value = serde_json::from_str(&out(&opened)).expect("JSON");
    assert_eq!((&document["pdf"]["encrypted"], &document["pages"][1]["number"]), (&true.into(), &2.into()));
    let list = format!(
        "{{\"id\": 1, \"source\": \"{PDF}\"}}\n{{\"id\": 2, \"source\": \"{ENCRYPTED}\", \"password\": \"open sesame\"}}\n{{\"id\": 3, \"source\": \"{ENCRYPTED}\"}}\n"
    );
    let batch = fed(&["batch", "-"], list.as_bytes());
    assert_eq!(batch.status.code(), Some(3), "{}", err(&batch));
    let lines = json_lines(&out(&batch));
    let line = |id: u64| lines.iter().find(|line| line["id"] == id).expect("a line for each");
    assert_eq!(line(1)["document"]["text"], line(2)["document"]["text"]);
    assert_eq!(line(3)["error"]["kind"], "password_required");
}

#[test]
fn a_page_is_drawn_to_a_file_or_standard_output() {
    let drawn = run(&["pdf", "render", "--dpi", "72", PDF]);
    assert!(drawn.status.success() && drawn.stdout.starts_with(b"\x89PNG"), "{}", err(&drawn));
    let path = scratch("render").join("page.png");
    let written = run(&["pdf", "render", "--dpi", "72", PDF, "-o", &path.display().to_string()]);
    assert!(written.status.success() && written.stdout.is_empty(), "{}", err(&written));
    assert_eq!(std::fs::read(&path).expect("it is there"), drawn.stdout);
}

#[test]
fn the_doctor_finds_what_is_there_and_what_is_not() {
    let well = run(&["doctor", "--json"]);
    assert!(well.status.success(), "{}{}", out(&well), err(&well));
    let findings: serde_json::Value = serde_json::from_str(&out(&well)).expect("JSON");
    let what = |name: &str| findings.as_array().expect("a list").iter().find(|finding| finding["what"] == name).cloned();
    for name in ["libpdfium", "html", "pdf", "confinement"] {
        assert_ne!(what(name).expect("it was looked at")["verdict"], "bad", "{findings}");
    }
    let unwell = run(&["doctor", "--pdfium", "/nowhere/libpdfium.so"]);
    assert_eq!(unwell.status.code(), Some(9));
    assert!(out(&unwell).contains("BAD  libpdfium"), "{}", out(&unwell));
    let wrong = run(&["doctor", "--pdfium", PDF]);
    assert_eq!(wrong.status.code(), Some(9), "{}", out(&wrong));
    assert!(out(&wrong).contains("not the 159.0.8149"), "{}", out(&wrong));
}
