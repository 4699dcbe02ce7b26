//! The sandbox against guests and pages that mean harm: a typed answer by the deadline, nothing left behind,
//! and the next page none the wiser.

#![expect(clippy::expect_used, reason = "a test may fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventmesh_extractors::Hints;
use eventmesh_extractors::wasm::{ArtifactCache, Extracted, Guest, Job, PageError, Sandbox, SandboxError, SandboxSpec};

/// Far more than anything here needs: a test that reaches it has found a hang.
const LONG: Duration = Duration::from_secs(60);

/// One cache for the tests of a run, so that the guest is compiled once.
fn cache() -> ArtifactCache {
    ArtifactCache::Directory(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm-cache"))
}

fn real() -> Sandbox {
    let spec = SandboxSpec { cache: cache(), ..SandboxSpec::new(2) };
    Sandbox::new(&spec).expect("the built-in guest")
}

fn job(page: impl Into<Vec<u8>>, within: Duration) -> Job {
    Job {
        page: page.into().into(),
        hints: Hints { base_url: Some("https://example.com/".into()), ..Hints::default() },
        deadline: tokio::time::Instant::now() + within,
    }
}

fn run(sandbox: &Sandbox, job: &Job) -> Result<Extracted, PageError> {
    sandbox.run(job, &Arc::new(AtomicBool::new(false)))
}

/// A guest whose `extract` does `body`, and whose `alloc` answers `address`.
fn hostile(address: u32, body: &str, more: &str) -> Guest {
    let text = format!(
        r#"(module
            (memory (export "memory") 4)
            (func (export "abi_version") (result i32) i32.const 2)
            (func (export "alloc") (param i32) (result i32) i32.const {address})
            (func $extract (export "extract") (param i32 i32) (result i64) {body})
            (func (export "free") (param i32 i32))
            {more})"#
    );
    Guest::Module(wat::parse_str(text).expect("valid text").into())
}

fn with(guest: Guest) -> Result<Sandbox, SandboxError> {
    let spec = SandboxSpec { guest, cache: ArtifactCache::None, memory: 8 << 20, ..SandboxSpec::new(1) };
    Sandbox::new(&spec)
}

#[test]
fn a_page_comes_out_as_it_does_natively() {
    let sandbox = real();
    let page = include_bytes!("golden/article.html");
    let job = job(page, LONG);
    let extracted = run(&sandbox, &job).expect("a document");
    assert_eq!(extracted.document, eventmesh_guest::extract(page, &job.hints));
    assert!(extracted.memory > 0);
}

#[test]
fn a_guest_that_spins_is_stopped_at_its_deadline() {
    let sandbox = with(hostile(1024, "(loop br 0) unreachable", "")).expect("it loads");
    for _ in 0..3 {
        let result = run(&sandbox, &job("x", Duration::from_millis(50)));
        assert!(matches!(result, Err(PageError::Deadline { ran }) if ran >= Duration::from_millis(50)), "{result:?}");
    }
    assert_eq!(sandbox.usage().live, 0);
}

#[test]
fn a_page_that_nobody_wants_any_more_is_stopped() {
    let sandbox = with(hostile(1024, "(loop br 0) unreachable", "")).expect("it loads");
    let cancelled = Arc::new(AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        let running = scope.spawn(|| sandbox.run(&job("x", LONG), &cancelled));
        while sandbox.usage().live == 0 {
            std::hint::spin_loop();
        }
        cancelled.store(true, Ordering::Relaxed);
        running.join().expect("no panic")
    });
    assert!(matches!(result, Err(PageError::Cancelled)), "{result:?}");
}

#[test]
fn a_guest_that_eats_memory_is_stopped_at_its_limit() {
    let sandbox = with(hostile(1024, "(loop (drop (memory.grow (i32.const 16))) br 0) unreachable", "")).expect("it loads");
    let result = run(&sandbox, &job("x", LONG));
    assert!(matches!(result, Err(PageError::Memory { limit }) if limit == 8 << 20), "{result:?}");
    assert_eq!(sandbox.usage().live, 0);
}

#[test]
fn a_guest_that_crashes_says_how() {
    let table = [
        ("unreachable", "unreachable"),
        ("(call $extract (i32.const 0) (i32.const 0))", "stack"),
        ("(i64.extend_i32_u (i32.div_u (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(i64.load (i32.const -8))", "out of bounds"),
    ];
    for (body, expected) in table {
        let sandbox = with(hostile(1024, body, "")).expect("it loads");
        match run(&sandbox, &job("x", LONG)) {
            Err(PageError::Crash { reason }) => assert!(reason.contains(expected), "{body}: {reason}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn a_guest_that_lies_is_not_believed() {
    let table = [
        (1024, "i64.const -1"),
        (1024, "(i64.const 0x0000040000000064)"),
        (1024, "(i64.const 0x7fffffff7fffffff)"),
        (1024, "(i64.const 0)"),
    ];
    for (address, body) in table {
        let sandbox = with(hostile(address, body, "")).expect("it loads");
        let result = run(&sandbox, &job("x", LONG));
        assert!(matches!(result, Err(PageError::Garbage { .. })), "{body}: {result:?}");
    }
    let nowhere = with(hostile(0xffff_fff0, "i64.const 0", "")).expect("it loads");
    assert!(matches!(run(&nowhere, &job("x", LONG)), Err(PageError::Crash { .. })));
    let refuses = with(hostile(0, "i64.const 0", "")).expect("it loads");
    assert!(matches!(run(&refuses, &job("x", LONG)), Err(PageError::Memory { .. })));
}

#[test]
fn a_guest_that_does_not_fit_is_refused_at_once() {
    let load = |text: &str| with(Guest::Module(wat::parse_str(text).expect("valid text").into()));
    assert!(matches!(load("(module)"), Err(SandboxError::Guest(_))));
    assert!(matches!(
        load(r#"(module (func (export "abi_version") (result i32) i32.const 99))"#),
        Err(SandboxError::Version { found: 99, .. })
    ));
    assert!(matches!(load(r#"(module (import "env" "read" (func)))"#), Err(SandboxError::Guest(_))));
    assert!(matches!(with(Guest::Module(b"not wasm"[..].into())), Err(SandboxError::Guest(_))));
    assert!(matches!(with(Guest::Module([].into())), Err(SandboxError::Guest(_))));
    let spins = hostile(1024, "i64.const 0", "(func $spin (loop br 0)) (start $spin)");
    assert!(matches!(with(spins), Err(SandboxError::Guest(_))), "a guest that never gets up");
}

#[test]
fn bad_pages_get_an_answer() {
    let sandbox = real();
    let half = include_str!("golden/article.html").split_at(700).0;
    let pages: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("binary", (0..=255).cycle().take(100_000).collect()),
        ("an image", [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 5000]].concat()),
        ("NUL bytes", b"<p>a\0b\0</p>\0".repeat(10_000)),
        ("truncated", half.as_bytes().to_vec()),
        ("in the wrong charset", "<meta charset=utf-16><p>grüße".as_bytes().to_vec()),
        ("100,000 deep", format!("{}x", "<div>".repeat(100_000)).into_bytes()),
        ("100,000 deep in lists", format!("{}x", "<ul><li>".repeat(50_000)).into_bytes()),
        ("100,000 deep in quotes and tables", format!("{}x", "<blockquote><table><tr><td>".repeat(25_000)).into_bytes()),
        ("formatting without end", "<b><i><u><a href=x>".repeat(10_000).into_bytes()),
        ("tags without end", "<".repeat(1_000_000).into_bytes()),
        ("one huge comment", [b"<!--".as_slice(), &vec![b'-'; 5_000_000]].concat()),
    ];
    for (name, page) in pages {
        let result = run(&sandbox, &job(page, LONG));
        match result {
            Ok(extracted) => assert!((0.0..=1.0).contains(&extracted.document.quality), "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(sandbox.usage().live, 0);
}

/// Pages that cannot be done in any sensible time or space: a typed error, by the deadline, and all is as before.
#[test]
fn impossible_pages_get_a_typed_error() {
    let sandbox = real();
    let innocent = job(include_bytes!("golden/article.html"), LONG);
    let before = run(&sandbox, &innocent).expect("a document").document;
    let attributes: String = (0..1_000_000).map(|number| format!(" a{number}=1")).collect();
    let pages: Vec<(&str, Vec<u8>)> =
        vec![("100 MB of divs", b"<div>".repeat(20_000_000)), ("a million attributes", format!("<p{attributes}>x").into_bytes())];
    for (name, page) in pages {
        let within = Duration::from_millis(500);
        let result = run(&sandbox, &job(page, within));
        match result {
            Err(PageError::Deadline { ran }) => assert!(ran >= within, "{name}"),
            Err(PageError::Memory { .. }) => {}
            other => panic!("{name}: {:?}", other.map(|extracted| extracted.document.word_count)),
        }
        assert_eq!(run(&sandbox, &innocent).expect("a document").document, before, "after {name}");
    }
    assert_eq!(sandbox.usage().live, 0);
}

/// What a page leaves behind is bounded by what a slot keeps resident, whatever the page was.
#[test]
fn memory_is_back_after_a_huge_page() {
    let spec = SandboxSpec { cache: cache(), keep_resident: 1 << 20, ..SandboxSpec::new(1) };
    let sandbox = Sandbox::new(&spec).expect("the built-in guest");
    let page = "<p>A sentence, with a comma, that takes some room. </p>".repeat(50_000);
    let extracted = run(&sandbox, &job(page, LONG)).expect("a document");
    assert!(extracted.memory > 8 << 20, "{} bytes", extracted.memory);
    let usage = sandbox.usage();
    assert_eq!(usage.live, 0);
    assert!(usage.resident_unused <= 2 * spec.keep_resident, "{usage:?}");
}

#[test]
fn pages_after_the_first_find_a_warm_slot() {
    let sandbox = real();
    let page = job(include_bytes!("golden/article.html"), LONG);
    for _ in 0..100 {
        run(&sandbox, &page).expect("a document");
    }
    let usage = sandbox.usage();
    assert_eq!(usage.pages, 100);
    assert!(usage.warm_pages >= 98, "{usage:?}");
}
