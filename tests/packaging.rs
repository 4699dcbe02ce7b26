//! The dashboard, the alerts and the list of figures against a daemon that runs: whatever they name is there.
//!
//! `docs/metrics.md` is compared with what the daemon says of its figures; where they differ, the test writes the table that
//! would be right and says where.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may fail, runs the program itself, and says what it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A place for jobs that is no other daemon's.
fn state_home() -> String {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}/state-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DASHBOARD: &str = "packaging/grafana/eventmesh.json";
const ALERTS: &str = "packaging/prometheus/eventmesh-alerts.yml";
const ALERT_TESTS: &str = "packaging/prometheus/eventmesh-alerts.test.yml";
const DOCUMENTED: &str = "docs/metrics.md";

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).expect(path)
}

/// A daemon at free ports. It is told to go when the test is over.
struct Daemon {
    child: Child,
    api: String,
    ops: String,
    log: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Daemon {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_eventmesh"))
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--workers", "1"])
            .args(arguments)
            .env("EVENTMESH_LOG", "eventmesh=debug,eventmesh_actors=debug,warn")
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env("XDG_STATE_HOME", state_home())
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut log = Vec::new();
        let serving = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it serves: {log:#?}"));
            match line.strip_prefix("eventmesh: serving at ") {
                Some(rest) => break rest.to_owned(),
                None => log.push(line),
            }
        };
        let (api, ops) = serving.split_once("; for operators at ").expect("both addresses");
        let (api, ops) = (api.trim_start_matches("http://").to_owned(), ops.trim_start_matches("http://").to_owned());
        let reader = std::thread::spawn(move || {
            log.extend(lines);
            log
        });
        Self { child, api, ops, log: Some(reader) }
    }

    fn extract(&self, body: &Value, id: &str) -> Answer {
        let body = body.to_string();
        let headers = format!("content-type: application/json\r\nx-request-id: {id}\r\ncontent-length: {}\r\n", body.len());
        ask(&self.api, "POST /v1/extract", &headers, &body)
    }

    fn scrape(&self, accept: &str) -> Answer {
        ask(&self.ops, "GET /metrics", &format!("accept: {accept}\r\n"), "")
    }

    /// Ends it, and hands out what it has logged.
    fn end(mut self) -> Vec<String> {
        self.terminate();
        self.log.take().expect("it is read").join().expect("it is read to its end")
    }

    fn terminate(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.terminate();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn ask(address: &str, what: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("{what} HTTP/1.0\r\nhost: {address}\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// A family of figures, as it was scraped.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    /// By name and labels, as they were written.
    samples: BTreeMap<String, f64>,
}

/// Reads the text of Prometheus 0.0.4, and fails at what it must not hold.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a text");
            let before = families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
            assert!(before.is_none(), "{name} is told twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            kind.clone_into(&mut families.get_mut(name).unwrap_or_else(|| panic!("{name} has no HELP")).kind);
        } else {
            let (key, value) = line.rsplit_once(' ').expect("a figure and its value");
            let (name, labels) = key.split_once('{').unwrap_or((key, ""));
            let family = match families.get_mut(name) {
                Some(family) => family,
                None => {
                    let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                    let family = families.get_mut(stem).unwrap_or_else(|| panic!("{name} has no HELP and TYPE"));
                    assert_eq!(family.kind, "histogram", "{name}");
                    family
                }
            };
            assert!(!family.kind.is_empty(), "{name} has no TYPE");
            let names = labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once("=\""));
            family.labels.extend(names.map(|(name, _)| name.to_owned()).filter(|name| name != "le"));
            let before = family.samples.insert(key.to_owned(), value.parse().expect("a number"));
            assert!(before.is_none(), "{key} is there twice");
        }
    }
    families
}

fn sample(families: &BTreeMap<String, Family>, key: &str) -> f64 {
    let found = families.values().find_map(|family| family.samples.get(key));
    *found.unwrap_or_else(|| panic!("there is no {key}"))
}

/// What may stand before a parenthesis in PromQL, as far as it is used here.
const FUNCTIONS: &[&str] =
    &["avg_over_time", "changes", "histogram_quantile", "increase", "label_values", "max", "min", "rate", "sum", "time"];
/// Words after which parentheses hold names of labels.
const GROUPINGS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: &[&str] = &["and", "or", "unless", "offset", "bool"];
/// Made by Prometheus itself for each target.
const OF_PROMETHEUS: &[&str] = &["up"];

/// The metrics that a PromQL expression names.
fn named(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = expression;
    // What is in brackets, braces and quotes names no metric.
    let past = |rest: &str, end: char| -> usize { rest[1..].find(end).map_or(rest.len(), |place| place + 2) };
    while let Some(first) = rest.chars().next() {
        let word: String = rest.chars().take_while(|next| next.is_ascii_alphanumeric() || "_:".contains(*next)).collect();
        let length = match first {
            '"' => past(rest, '"'),
            '\'' => past(rest, '\''),
            '[' => past(rest, ']'),
            '{' => {
                // A brace may stand in a quoted value.
                let mut quoted = false;
                let end = rest.char_indices().find(|(_, next)| {
                    quoted ^= *next == '"';
                    *next == '}' && !quoted
                });
                end.map_or(rest.len(), |(place, _)| place + 1)
            }
            _ if word.is_empty() => first.len_utf8(),
            // A number, or a time as 1h.
            _ if first.is_ascii_digit() => word.len(),
            _ => {
                let after = rest[word.len()..].trim_start();
                if GROUPINGS.contains(&&*word) {
                    rest.len() - after.len() + past(after, ')')
                } else {
                    if after.starts_with('(') {
                        assert!(
                            FUNCTIONS.contains(&&*word) || WORDS.contains(&&*word),
                            "no function is called {word}: {expression}"
                        );
                    } else if word == "sum" || word == "min" || word == "max" {
                        assert!(GROUPINGS.iter().any(|grouping| after.starts_with(grouping)), "{word} of what? {expression}");
                    } else if !WORDS.contains(&&*word) {
                        found.insert(word.clone());
                    }
                    word.len()
                }
            }
        };
        rest = &rest[length..];
    }
    found
}

#[test]
fn metrics_are_found_in_expressions_and_nothing_else_is() {
    let table: [(&str, &[&str]); 6] = [
        ("sum by (job, le) (rate(a_total{b=\"c}\", d=~\"e|f\"}[$__rate_interval])) > 14.4 * 0.5", &["a_total"]),
        ("a / on (job) group_left (x) b and c unless d offset 1w", &["a", "b", "c", "d"]),
        ("rec:ord:rate5m > 6 or time() - max(x_seconds)", &["rec:ord:rate5m", "x_seconds"]),
        ("label_values(a_info{job=~\"$job\"}, instance)", &["a_info", "instance"]),
        ("1 - avg_over_time(a[1d] offset 1w)", &["a"]),
        ("histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m])))", &["a_bucket"]),
    ];
    for (expression, expected) in table {
        assert_eq!(named(expression), expected.iter().map(|name| (*name).to_owned()).collect(), "{expression}");
    }
}

/// All expressions of the dashboard, with their place.
fn of_dashboard(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            assert!(!fields.contains_key("id") || fields["id"] == "grafana" || fields["id"] == "prometheus", "an id: {value}");
            for (name, value) in fields {
                match (&**name, value) {
                    ("expr", Value::String(expression)) => found.push(expression.clone()),
                    ("query", Value::String(query)) => {
                        // The second of label_values is a label.
                        found.push(query.rsplit_once(',').map_or(query.clone(), |(metric, _)| format!("{metric})")));
                    }
                    ("datasource", Value::Object(source)) => assert_eq!(source["uid"], "${DS_PROMETHEUS}"),
                    _ => {}
                }
                of_dashboard(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| of_dashboard(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A rule of the file of alerts.
#[derive(Debug, Default)]
struct Rule {
    alert: Option<String>,
    record: Option<String>,
    expression: String,
    text: String,
}

/// The rules of the file of alerts, which keeps to one way of writing them.
fn rules(yaml: &str) -> Vec<Rule> {
    let mut rules = Vec::<Rule>::new();
    let mut within: Option<usize> = None;
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if within.is_some_and(|outer| indent > outer) {
            let rule = rules.last_mut().expect("an expression is part of a rule");
            rule.expression.push_str(text);
            rule.expression.push('\n');
            continue;
        }
        within = None;
        if let Some(alert) = text.strip_prefix("- alert: ") {
            rules.push(Rule { alert: Some(alert.to_owned()), ..Rule::default() });
        } else if let Some(record) = text.strip_prefix("- record: ") {
            rules.push(Rule { record: Some(record.to_owned()), ..Rule::default() });
        } else if text.starts_with("expr:") {
            assert_eq!(text, "expr: |", "expressions are written below");
            within = Some(indent);
        } else if let Some(rule) = rules.last_mut() {
            rule.text.push_str(text);
            rule.text.push('\n');
        }
    }
    rules
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let rules = rules(&file(ALERTS));
    let alerts: Vec<_> = rules.iter().filter_map(|rule| Some((rule.alert.as_ref()?, rule))).collect();
    assert!(alerts.len() > 20, "{}", alerts.len());
    let names: BTreeSet<_> = alerts.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts share a name");
    for (name, rule) in alerts {
        for part in ["summary: \"", "description: \"", "action: \"", "labels: { severity: "] {
            assert!(rule.text.contains(part), "{name} has no {part}");
        }
        let severity = ["page", "ticket", "info"].iter().any(|severity| rule.text.contains(&format!("severity: {severity} }}")));
        assert!(severity, "{name}: {}", rule.text);
    }
}

/// The rows of the list of figures: name, kind, labels, text.
fn table(families: &BTreeMap<String, Family>, documented: &BTreeMap<String, String>) -> Vec<String> {
    families
        .iter()
        .map(|(name, family)| {
            let labels = family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            // What a family without rows would be labelled with is for its documentation to say.
            let labels = if family.samples.is_empty() { documented.get(name).cloned().unwrap_or_default() } else { labels };
            let help = family.help.trim_end_matches('.').replace('|', "\\|");
            format!("| `{name}` | {} | {labels} | {help} |", family.kind)
        })
        .collect()
}

#[test]
fn what_is_named_is_there_and_documented() {
    let daemon = Daemon::start(&["--allow-net", "127.0.0.2/32"]);
    let text = "text/plain;version=0.0.4";
    let first = daemon.scrape(text);
    assert_eq!(first.status, 200, "{}", first.body);
    assert!(first.head.contains("content-type: text/plain; version=0.0.4"), "{}", first.head);
    let before = families(&first.body);

    let page = "<title>A page</title><p>With a text that is long enough to be one.";
    assert_eq!(daemon.extract(&json!({ "html": page, "render": "never" }), "first").status, 200);
    assert_eq!(daemon.extract(&json!({ "html": page, "priority": "batch" }), "second").status, 200);
    let blocked = daemon.extract(&json!({ "url": "http://127.0.0.1/" }), "blocked-one");
    assert_eq!(blocked.status, 403, "{}", blocked.body);
    let rendered = sample(&before, "eventmesh_component_available{component=\"chromium\"}") > 0.0;
    if rendered {
        let answer = daemon.extract(&json!({ "html": page, "render": "always", "deadline_ms": 60_000 }), "rendered");
        assert_eq!(answer.status, 200, "{}", answer.body);
    } else {
        eprintln!("SKIPPED: there is no Chromium, so that no figure of a rendered page is looked at");
    }

    let second = daemon.scrape(text);
    let after = families(&second.body);
    let open = daemon.scrape("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"), "it has no end");

    // Counted, each once.
    let grown = |key: &str| sample(&after, key) - sample(&before, key);
    assert!(grown("eventmesh_requests_total{outcome=\"ok\"}") >= 2.0);
    assert!((grown("eventmesh_requests_total{outcome=\"blocked\"}") - 1.0).abs() < 1e-9);
    assert!((grown("eventmesh_egress_blocked_total{why=\"address\"}") - 1.0).abs() < 1e-9);
    assert!((grown("eventmesh_queue_wait_seconds_count{pool=\"wasm\",lane=\"batch\"}") - 1.0).abs() < 1e-9);
    assert!(grown("eventmesh_output_bytes_total") > 80.0);
    assert!(grown("process_cpu_seconds_total") >= 0.0 && sample(&after, "process_open_fds") > 5.0);
    if rendered {
        assert!((grown("eventmesh_renders_total{why=\"asked\"}") - 1.0).abs() < 1e-9);
        assert!((grown("eventmesh_request_duration_seconds_count{way=\"rendered\"}") - 1.0).abs() < 1e-9);
    }

    // Figures that only grow do, and are all there from the beginning, but for answers over HTTP.
    assert_eq!(
        before.keys().filter(|name| !name.starts_with("http_")).count(),
        after.keys().filter(|name| !name.starts_with("http_")).count()
    );
    for (name, family) in &before {
        assert!(!family.help.is_empty() && !family.kind.is_empty(), "{name}");
        let now = &after[name];
        let grows = family.kind == "counter" || family.kind == "histogram";
        for (key, value) in family.samples.iter().filter(|_| grows) {
            assert!(now.samples.get(key).is_some_and(|now| now >= value), "{key} has fallen from {value}: {now:?}");
        }
    }

    // What is drawn and what rings.
    let mut there: BTreeSet<String> = after.keys().cloned().collect();
    for (name, _) in after.iter().filter(|(_, family)| family.kind == "histogram") {
        there.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
    }
    let dashboard: Value = serde_json::from_str(&file(DASHBOARD)).expect("JSON");
    let mut drawn = Vec::new();
    of_dashboard(&dashboard, &mut drawn);
    assert!(drawn.len() > 80, "{}", drawn.len());
    let rules = rules(&file(ALERTS));
    let recorded: BTreeSet<String> = rules.iter().filter_map(|rule| rule.record.clone()).collect();
    for expression in drawn.iter().chain(rules.iter().map(|rule| &rule.expression)) {
        for name in named(expression) {
            let known = there.contains(&name) || recorded.contains(&name) || OF_PROMETHEUS.contains(&&*name);
            assert!(known, "there is no {name}: {expression}");
        }
    }
    let all = drawn.join("\n");
    for name in after.keys().filter(|name| name.starts_with("eventmesh_") && !name.ends_with("_window_seconds")) {
        assert!(all.contains(name.as_str()), "the dashboard does not show {name}");
    }
    // A bound that is not there brings nothing, and nothing tells; and the two ways of writing figures write it differently.
    let bound = |le: &str| format!("eventmesh_request_duration_seconds_bucket{{le=\"{le}\",way=\"html\"}}");
    let turned = |le: &str| format!("eventmesh_request_duration_seconds_bucket{{way=\"html\",le=\"{le}\"}}");
    for (body, le) in [(&second.body, "5"), (&open.body, "5.0")] {
        assert!(body.contains(&bound(le)) || body.contains(&turned(le)), "there is no bound at {le}: {body}");
    }
    let asked = "{le=~\"5(\\\\.0)?\"}";
    let slow = rules.iter().filter(|rule| rule.record.as_ref().is_some_and(|record| record.contains(":slow_")));
    assert!(slow.clone().count() == 4 && slow.clone().all(|rule| rule.expression.contains(asked)), "{asked}");

    documented(&after);
    promtool(&second.body);

    let log = daemon.end();
    let told: Vec<Value> = log
        .iter()
        .filter(|line| !line.starts_with("eventmesh: "))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let refusal = told.iter().find(|event| event["message"] == "a connection is refused").expect("it is logged");
    let spans: Vec<_> = refusal["spans"].as_array().expect("it is told where").iter().collect();
    assert!(spans.iter().any(|span| span["name"] == "request" && span["id"] == "blocked-one"), "{refusal}");
    assert!(spans.iter().any(|span| span["name"] == "fetch"), "{refusal}");
}

fn documented(families: &BTreeMap<String, Family>) {
    let text = file(DOCUMENTED);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let labels = rows
        .iter()
        .filter_map(|row| {
            let mut cells = row.split(" | ");
            let name = cells.next()?.trim_start_matches("| ").trim_matches('`').to_owned();
            Some((name, cells.nth(1)?.to_owned()))
        })
        .collect();
    let expected = table(families, &labels);
    if rows != expected {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics-table.md");
        std::fs::write(&place, expected.join("\n") + "\n").expect("writable");
        let differ: Vec<_> = expected.iter().filter(|row| !rows.contains(&row.as_str())).collect();
        let gone: Vec<_> = rows.iter().filter(|row| !expected.iter().any(|expected| expected == *row)).collect();
        panic!("{DOCUMENTED} is not what the daemon says; {} is. New: {differ:#?} Gone: {gone:#?}", place.display());
    }
}

/// Prometheus' own opinion, where it can be asked: `./x setup` installs its tool.
fn promtool(text: &str) {
    let Some(tool) = find_promtool() else {
        eprintln!("SKIPPED: promtool is not installed (./x setup does), so that {ALERTS} and the figures are not checked by it");
        return;
    };
    let run = |arguments: &[&str], input: &str| {
        let mut child = Command::new(&tool)
            .args(arguments)
            .current_dir(ROOT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    };
    run(&["check", "rules", ALERTS], "");
    run(&["test", "rules", ALERT_TESTS], "");
    run(&["check", "metrics"], text);
}

fn find_promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = Path::new(ROOT).join("target/tools/bin");
    std::env::split_paths(&path).chain([own]).map(|directory| directory.join("promtool")).find(|tool| tool.is_file())
}
