//! Precedence, problems, what follows, credentials.

use std::io::Write;
use std::time::Duration;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, text)| (OsString::from(name), OsString::from(text))).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("writable");
    file
}

fn flag(name: &'static str, key: &'static str, value: impl Into<Value>) -> Flag {
    Flag { name, key, value: value.into() }
}

#[test]
fn nothing_said_is_the_defaults() {
    let loaded = Sources::default().load().expect("the defaults are sound");
    for setting in settings::all() {
        assert_eq!((setting.get)(&loaded.settings), (setting.get)(&Settings::default()));
        assert_eq!(loaded.origin(setting.key), Origin::Default);
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let file = file("max_requests = 1\n[fetch]\nredirects = 1\nconnect = \"1s\"\n[egress]\nallow = [\"10.1.0.0/16\"]\n");
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment: environment(&[
            ("EVENTMESH__MAX_REQUESTS", "2"),
            ("EVENTMESH__FETCH__REDIRECTS", "2"),
            ("EVENTMESH__EGRESS__ALLOW", "10.2.0.0/16"),
            // Of the program, and none of its settings.
            ("EVENTMESH_LOG", "debug"),
            ("EVENTMESH_PDFIUM", "/x"),
        ]),
        flags: vec![flag("--max-requests", "max_requests", 3)],
        ..Sources::default()
    };
    let loaded = sources.load().expect("all is well");
    let Settings { engine, .. } = &loaded.settings;
    assert_eq!((engine.max_requests, engine.fetch.redirects, engine.fetch.connect), (3, 2, Duration::from_secs(1)));
    assert_eq!(engine.fetch.idle, Duration::from_secs(15));
    assert_eq!(engine.egress.policy.allow, ["10.2.0.0/16".parse().expect("a network")], "a list is taken whole");
    assert_eq!(loaded.origin("max_requests"), Origin::Flag("--max-requests".to_owned()));
    assert_eq!(loaded.origin("fetch.redirects"), Origin::Environment("EVENTMESH__FETCH__REDIRECTS".to_owned()));
    assert_eq!(loaded.origin("fetch.connect"), Origin::File(file.path().to_owned()));
    assert_eq!(loaded.origin("fetch.idle"), Origin::Default);
}

#[test]
fn all_problems_are_told_at_once_and_each_with_its_origin() {
    let file = file("workres = 1\nmax_requests = 0\ndeadline = 30\n[fetch]\nredirects = \"many\"\n[daemon]\nlisten = []\n");
    let path = file.path().display();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment: environment(&[
            // It overrides what makes no sense, which is told nevertheless.
            ("EVENTMESH__FETCH__REDIRECTS", "3"),
            ("EVENTMESH__KEEP_RESIDENT", "4MB"),
            ("EVENTMESH__COLOUR", "red"),
        ]),
        flags: vec![flag("--workers", "workers", 5000)],
        ..Sources::default()
    };
    let problems = sources.load().expect_err("next to nothing is well").problems;
    let expected = [
        format!("there is no setting workres; workers is near ({path})"),
        format!("max_requests must be at least 1 ({path})"),
        format!("deadline is a whole number, where a length of time is needed, such as \"30s\" ({path})"),
        format!("fetch.redirects is a text, where a whole number is needed, such as 4 ({path})"),
        format!("daemon.listen must name at least one address, or nobody could ask for anything ({path})"),
        "keep_resident is no number of bytes, since \"MB\" is no unit of them; B, KiB, MiB, GiB and TiB are (environment variable EVENTMESH__KEEP_RESIDENT)".to_owned(),
        "the environment variable EVENTMESH__COLOUR sets nothing that is known; `eventmesh config example` shows all there is".to_owned(),
        "workers must be 1 to 1024 (flag --workers)".to_owned(),
    ];
    for problem in &expected {
        assert!(problems.contains(problem), "{problem}\nis not among\n{problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn files_that_cannot_be_read_are_a_problem() {
    let broken = file("x = [");
    for (path, expected) in
        [(Path::new("/nonexistent/x.toml"), "cannot be read"), (broken.path(), "is not TOML"), (Path::new("/"), "cannot be read")]
    {
        let sources = Sources { file: Some(path.to_owned()), ..Sources::default() };
        let problems = sources.load().expect_err("it cannot be read").problems;
        assert!(
            matches!(&*problems, [problem] if problem.contains(expected) && problem.contains(&path.display().to_string())),
            "{problems:?}"
        );
    }
    let long = file(&"#".repeat(2 << 20));
    let sources = Sources { file: Some(long.path().to_owned()), ..Sources::default() };
    assert!(sources.load().expect_err("it is too long").problems.first().is_some_and(|problem| problem.contains("1 MiB")));
}

#[test]
fn what_nobody_has_set_follows_what_somebody_has() {
    let load = |variables: &[(&str, &str)]| Sources { environment: environment(variables), ..Sources::default() }.load();
    let loaded = load(&[("EVENTMESH__MAX_PAGE_BYTES", "1GiB"), ("EVENTMESH__PAGE_MEMORY", "4GiB")]).expect("all is well");
    let Settings { engine, daemon } = &loaded.settings;
    assert_eq!((engine.max_admitted_bytes, engine.fetch.wire_bytes, daemon.max_body), (1 << 30, 1 << 30, 3 << 29));
    assert_eq!(loaded.origin("fetch.wire_bytes"), Origin::Follows("max_page_bytes"));
    assert_eq!(loaded.origin("keep_resident"), Origin::Default);
    // What is set stays, even where it makes no sense with the other.
    let loaded = load(&[("EVENTMESH__MAX_PAGE_BYTES", "64MiB"), ("EVENTMESH__FETCH__WIRE_BYTES", "1MiB")]).expect("all is well");
    assert_eq!(loaded.settings.engine.fetch.wire_bytes, 1 << 20);
    let why =
        load(&[("EVENTMESH__MAX_PAGE_BYTES", "64MiB"), ("EVENTMESH__MAX_ADMITTED_BYTES", "1MiB")]).expect_err("no page fits");
    assert_eq!(why.problems.len(), 1);
    // Jobs that have ended take half of the journal, however small it is; a larger one keeps no more of them.
    let kept = |variables: &[(&str, &str)]| load(variables).expect("all is well").settings.daemon.queue.keep_ended_bytes;
    let small = ("EVENTMESH__QUEUE__MAX_JOURNAL_BYTES", "64MiB");
    assert_eq!(kept(&[small]), 32 << 20);
    assert_eq!(kept(&[small, ("EVENTMESH__QUEUE__KEEP_ENDED_BYTES", "60MiB")]), 60 << 20);
    assert_eq!(kept(&[("EVENTMESH__QUEUE__MAX_JOURNAL_BYTES", "8GiB")]), Settings::default().daemon.queue.keep_ended_bytes);
    // All bodies together have room for one.
    let loaded = load(&[("EVENTMESH__DAEMON__MAX_BODY", "1GiB")]).expect("all is well");
    assert_eq!(loaded.settings.daemon.bodies, 1 << 30);
    let few = load(&[("EVENTMESH__DAEMON__BODIES", "1MiB")]).expect_err("no body fits");
    assert!(few.problems[0].starts_with("daemon.bodies must be at least"), "{few}");
    // Smaller pages lower nothing.
    let loaded = load(&[("EVENTMESH__MAX_PAGE_BYTES", "1MiB")]).expect("all is well");
    assert_eq!(loaded.settings.daemon.max_body, Settings::default().daemon.max_body);
}

#[test]
fn keys_may_be_a_credential() {
    let load = |keys: &str, directory: Option<&str>| {
        let mut variables = vec![("EVENTMESH__DAEMON__KEYS", keys)];
        variables.extend(directory.map(|directory| (CREDENTIALS, directory)));
        let sources = Sources { environment: environment(&variables), ..Sources::default() };
        // Where there is nobody to hand credentials over, it can still be checked and shown.
        assert_eq!(sources.load().expect("all is well").settings.daemon.keys, (keys != "none").then(|| keys.into()));
        sources.load_to_serve()
    };
    let keys = |loaded: Result<Loaded, Unsound>| loaded.expect("all is well").settings.daemon.keys;
    assert_eq!(keys(load("credential:api", Some("/run/credentials/e"))), Some("/run/credentials/e/api".into()));
    assert_eq!(keys(load("/etc/keys.toml", None)), Some("/etc/keys.toml".into()));
    assert_eq!(keys(load("none", None)), None);
    // So may the secret of webhooks, by the same rules.
    let variables = [("EVENTMESH__DAEMON__WEBHOOK_SECRET", "credential:hooks"), (CREDENTIALS, "/run/c")];
    let secret = Sources { environment: environment(&variables), ..Sources::default() }.load_to_serve().expect("all is well");
    assert_eq!(secret.settings.daemon.webhook_secret, Some("/run/c/hooks".into()));
    let secret = Sources { environment: environment(&variables[..1]), ..Sources::default() }.load_to_serve();
    let problems = secret.expect_err("nobody hands it over").problems;
    assert!(matches!(&*problems, [problem] if problem.starts_with("daemon.webhook_secret names")), "{problems:?}");
    for (keys, directory) in [
        ("credential:api", None),
        ("credential:api", Some("")),
        ("credential:", Some("/run/c")),
        ("credential:../x", Some("/run/c")),
        ("credential:..", Some("/run/c")),
    ] {
        let problems = load(keys, directory).expect_err("there is no such credential").problems;
        assert!(matches!(&*problems, [problem] if problem.starts_with("daemon.keys names")), "{problems:?}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_utf_8_is_told() {
    use std::os::unix::ffi::OsStringExt;
    let environment = vec![(OsString::from("EVENTMESH__WORKERS"), OsString::from_vec(vec![0xff]))];
    let problems = Sources { environment, ..Sources::default() }.load().expect_err("no text").problems;
    assert_eq!(problems, ["the environment variable EVENTMESH__WORKERS is not UTF-8"]);
}

#[test]
fn the_usual_file_is_read_if_it_is_there_and_no_other_is_named() {
    let named = file("max_requests = 7\n");
    let sources = Sources { usual: Some("/nonexistent/eventmesh.toml"), ..Sources::default() };
    assert_eq!(sources.load().expect("it need not be there").set(), 0);
    let sources = Sources { file: Some(named.path().to_owned()), usual: Some("/proc/self/cmdline"), ..Sources::default() };
    assert_eq!(sources.load().expect("the named one is sound").set(), 1);
    let sources = Sources { usual: Some("/proc/self/cmdline"), ..Sources::default() };
    assert!(
        sources
            .load()
            .expect_err("this is no TOML")
            .problems
            .first()
            .is_some_and(|problem| problem.contains("/proc/self/cmdline"))
    );
}
