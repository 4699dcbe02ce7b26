//! PDFs through the engine and its real processes: what comes out, what bad ones get, and what is left.

#![expect(clippy::expect_used, reason = "a test may fail")]

#[path = "pdf/make.rs"]
mod make;
#[path = "pdf/stalls.rs"]
mod stalls;
#[path = "pdf/structure.rs"]
mod structure;

use std::path::{Path, PathBuf};
use std::time::Duration;

use eventmesh::actors::{NodeDetail, spawn_named};
use eventmesh::{Chunk, Config, Document, Engine, ErrorKind, Picture, Request};
use rustix::process::{Pid, Signal, kill_process};

/// An engine whose PDFs are read by the program itself; its scratch directories are its own.
struct Host {
    engine: Engine,
    scratch: tempfile::TempDir,
}

impl Host {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let mut config = Config { workers: 1, ..Config::default() };
        config.pdf.program = Some(PathBuf::from(env!("CARGO_BIN_EXE_eventmesh")));
        config.pdf.workers = 2;
        config.scratch = Some(scratch.path().to_owned());
        change(&mut config);
        let engine = Engine::builder().config(config).start().await.expect("it starts; `./x setup` installs libpdfium");
        Self { engine, scratch }
    }

    async fn document(&self, request: Request) -> Result<Document, eventmesh::Error> {
        self.engine.extract(request).document().await.map(|answer| answer.document)
    }

    async fn kind(&self, request: Request) -> ErrorKind {
        self.document(request).await.expect_err("it fails").kind()
    }

    /// It still reads what can be read.
    async fn assert_well(&self) {
        let document = self.document(Request::bytes(make::pdf(&[SAYS_HELLO]))).await.expect("it is read");
        assert_eq!(document.text, "Hello");
    }

    /// Nothing has failed as far as supervision is concerned.
    fn assert_unharmed(&self) {
        assert_eq!(self.restarts(), 0, "{:#?}", self.engine.snapshot().tree);
    }

    /// Restarts of workers that read PDFs.
    fn restarts(&self) -> u64 {
        let tree = self.engine.snapshot().tree;
        let pools = tree.children.iter().filter_map(|node| match &node.detail {
            NodeDetail::Pool(pool) if &*node.name == "pdf" => Some(pool.counts.restarts.values().sum::<u64>()),
            NodeDetail::Pool(_) | NodeDetail::Supervisor(_) | NodeDetail::Service => None,
        });
        pools.sum()
    }

    /// Stops, and nothing is left.
    async fn stop(self) {
        self.engine.shutdown(Duration::from_secs(5)).await;
        let snapshot = self.engine.snapshot();
        assert_eq!(snapshot.pdf.processes, 0, "{:#?}", snapshot.tree);
        let left: Vec<_> = std::fs::read_dir(self.scratch.path())
            .expect("it is there")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "turn")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// The processes that read PDFs now.
    fn pids(&self) -> Vec<i32> {
        // Every process has a directory in that of its engine, and works in it.
        let engine = std::fs::read_dir(self.scratch.path()).expect("it is there").filter_map(Result::ok);
        let engine = engine.map(|entry| entry.path()).find(|path| path.is_dir()).expect("the engine's directory");
        let processes = std::fs::read_dir("/proc").expect("it is there").filter_map(Result::ok);
        let works_there = |path: &Path| std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&engine));
        processes
            .filter(|entry| works_there(&entry.path()))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }
}

const SAYS_HELLO: &[u8] = b"BT /F1 12 Tf 40 200 Td (Hello) Tj ET";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pdf").join(name)
}

fn sample() -> Request {
    Request::path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sample.pdf"))
}

#[tokio::test]
async fn a_document_has_headings_lists_tables_links_and_pages() {
    let host = Host::start(|_| {}).await;
    let document = host.document(sample()).await.expect("it is read");
    let expected = "\
# Rooms

A quiet room is measured before it is furnished. The walls are listened to for an hour, with the windows closed and the lamps out.

Three things are noted down in the evening:

- the hum of the pipes
- the steps on the stairs
- the clock next door

## Measurements

| Room | Level | Hours |
| --- | --- | --- |
| Library | 21 dB | 9 |
| Kitchen | 38 dB | 4 |
| Attic | 17 dB | 11 |

More of it is in [the archive.](https://example.com/archive)

# Corridors

A corridor is a room that nobody stays in.";
    assert_eq!(document.markdown, expected);
    assert_eq!(document.title.as_deref(), Some("A field guide to quiet rooms"));
    assert_eq!(document.tables[0].header, ["Room", "Level", "Hours"]);
    assert_eq!(document.pages.len(), 2);
    let [first, second] = document.pages.as_slice() else { panic!("two pages") };
    assert_eq!((first.header.as_deref(), first.footer.as_deref()), (Some("A field guide"), Some("1")));
    assert_eq!((second.number, second.footer.as_deref()), (2, Some("2")));
    assert_eq!((first.width.round(), first.height.round()), (420.0, 595.0));
    let facts = document.pdf.expect("it is a PDF");
    assert_eq!(facts.page_count, 2);
    let outline: Vec<_> = facts.outline.iter().map(|item| (item.title.as_str(), item.page)).collect();
    assert_eq!(outline, [("Rooms", Some(1)), ("Corridors", Some(2))]);
    host.stop().await;
}

/// Word for word, in reading order, with headers and footers in their places.
#[tokio::test]
async fn scripts_columns_rotation_and_spacing_are_read_in_order() {
    let host = Host::start(|_| {}).await;
    for name in ["arabic", "hebrew", "out-of-order", "letterspaced", "sidebar", "rotated", "table"] {
        let document = host.document(Request::path(fixture(&format!("{name}.pdf")))).await.expect("it is read");
        let read: Vec<&str> = document
            .pages
            .iter()
            .flat_map(|page| [page.header.as_deref(), Some(page.text.as_str()), page.footer.as_deref()])
            .flatten()
            .collect();
        let truth = std::fs::read_to_string(fixture(&format!("{name}.txt"))).expect("it is there");
        assert_eq!(words(&read.join("\n")), words(&truth), "{name}");
    }
    host.stop().await;
}

fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn running_heads_and_feet_are_told_apart_and_paragraphs_go_on_over_pages() {
    let host = Host::start(|_| {}).await;
    let document = host.document(Request::path(fixture("columns.pdf"))).await.expect("it is read");
    assert!(document.pages.len() >= 10);
    for page in &document.pages {
        assert_eq!(page.footer, Some(format!("Confidential\n{}", page.number)));
        assert!(page.header.as_deref().is_some_and(|header| header.contains("Volume 3")), "{:?}", page.header);
    }
    let first: &[u8] = b"BT /F1 12 Tf 40 200 Td (It goes on and on, and is inter-) Tj ET";
    let second: &[u8] = b"BT /F1 12 Tf 40 350 Td (rupted by a page only.) Tj ET";
    let document = host.document(Request::bytes(make::pdf(&[first, second]))).await.expect("it is read");
    assert_eq!(document.pages.iter().map(|page| page.continues).collect::<Vec<_>>(), [false, true]);
    assert_eq!(document.text, "It goes on and on, and is interrupted by a page only.");
    host.stop().await;
}

#[tokio::test]
async fn forms_notes_and_attachments_are_read() {
    let host = Host::start(|_| {}).await;
    let document = host.document(Request::path(fixture("form.pdf"))).await.expect("it is read");
    assert!(words(&document.text).windows(3).any(|three| three == ["Handles", "port", "35215"]), "{}", document.text);
    let facts = document.pdf.expect("it is a PDF");
    let field = facts.fields.iter().find(|field| field.name == "f0_0").expect("it is listed");
    assert_eq!((field.kind.as_str(), field.value.as_str(), field.page), ("text", "35215", 1));
    assert!(!facts.attachments.is_empty());
    assert!(document.pages.iter().any(|page| !page.notes.is_empty()));
    host.stop().await;
}

#[tokio::test]
async fn scans_are_flagged_and_their_images_come_if_they_are_asked_for() {
    let host = Host::start(|_| {}).await;
    let document = host.document(Request::path(fixture("scan.pdf")).with_images()).await.expect("it is read");
    let flags: Vec<bool> = document.pages.iter().map(|page| page.needs_ocr).collect();
    assert_eq!(flags, [true, false, false], "a scan, text, and an empty page");
    let image = &document.pages[0].images[0];
    assert_eq!((image.pixel_width, image.pixel_height), (300, 420));
    assert!(matches!(image.media_type.as_deref(), Some("image/jpeg" | "image/png")));
    assert!(!image.data.is_empty());
    let document = host.document(Request::path(fixture("scan.pdf"))).await.expect("it is read");
    assert!(document.pages.iter().all(|page| page.images.is_empty()));
    host.stop().await;
}

#[tokio::test]
async fn pages_come_one_by_one_and_once() {
    let host = Host::start(|_| {}).await;
    let mut reply = host.engine.extract(Request::bytes(make::numbered(40)).stream_pages());
    let mut pages = Vec::new();
    let mut body = None;
    while let Some(chunk) = reply.next().await {
        match chunk {
            Chunk::Page(page) => {
                assert!(body.is_none(), "pages come before the body");
                assert_eq!(page.text, format!("This is page {} of the story.", page.number));
                pages.push(page.number);
            }
            Chunk::Body(document) => body = Some(document),
            Chunk::Error(error) => panic!("{error}"),
            Chunk::Head(_) | Chunk::Route(_) | Chunk::Picture(_) | Chunk::Rendered(_) | Chunk::Extract(..) | Chunk::Done(_) => {}
        }
    }
    assert_eq!(pages, (1..=40).collect::<Vec<u32>>());
    let body = body.expect("it comes");
    let body = body.into_document().expect("it is one");
    assert!(body.pages.is_empty() && body.text.is_empty(), "nothing comes twice");
    assert_eq!(body.pdf.expect("it is a PDF").page_count, 40);
    host.stop().await;
}

#[tokio::test]
async fn passwords() {
    let host = Host::start(|_| {}).await;
    let encrypted = || Request::path(fixture("encrypted.pdf"));
    assert_eq!(host.kind(encrypted()).await, ErrorKind::PasswordRequired);
    assert_eq!(host.kind(encrypted().password("guess")).await, ErrorKind::PasswordRequired);
    assert_eq!(host.kind(encrypted().password("with\0zero")).await, ErrorKind::PasswordRequired);
    let document = host.document(encrypted().password("open sesame")).await.expect("it is read");
    assert!(document.text.contains("A quiet room"));
    assert!(document.pdf.expect("it is a PDF").encrypted);
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn broken_files_are_malformed_and_harm_nobody() {
    let host = Host::start(|_| {}).await;
    let whole = make::numbered(3);
    let half = whole[..whole.len() / 2].to_vec();
    for bytes in [b"%PDF-1.7".to_vec(), b"%PDF-1.7\n%%EOF".to_vec(), vec![b'%'; 10], half] {
        let bytes = if bytes.starts_with(b"%PDF-") { bytes } else { [b"%PDF-".as_slice(), &bytes].concat() };
        match host.document(Request::bytes(bytes)).await {
            // libpdfium finds pages in what is left of some.
            Ok(document) => assert!(document.pages.len() <= 3),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Malformed, "{error}"),
        }
    }
    host.assert_well().await;
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn a_document_that_needs_too_much_memory_is_tried_once_with_more_and_then_refused() {
    let small = |config: &mut Config| {
        config.pdf.limits.address_space = 160 << 20;
        config.pdf.limits.large_address_space = 200 << 20;
    };
    let host = Host::start(small).await;
    assert_eq!(host.kind(Request::bytes(make::inflating(60 << 20).expect("it is made"))).await, ErrorKind::ResourceLimit);
    host.assert_well().await;
    host.assert_unharmed();
    host.stop().await;
    let large = |config: &mut Config| config.pdf.limits.address_space = 160 << 20;
    let host = Host::start(large).await;
    let document =
        host.document(Request::bytes(make::inflating(20 << 20).expect("it is made"))).await.expect("with more, it is read");
    assert!(document.text.starts_with('A'));
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn a_document_without_end_is_given_up_at_its_deadline_and_others_go_on() {
    let host = Host::start(|_| {}).await;
    host.assert_well().await;
    let endless = host.engine.extract(Request::bytes(make::doubling(40)).deadline(Duration::from_millis(700)));
    let endless = spawn_named("endless", endless.document());
    for _ in 0..20 {
        host.assert_well().await;
    }
    let error = endless.await.expect("it ends").expect("it does not panic").expect_err("it fails");
    assert!(matches!(error.kind(), ErrorKind::Deadline | ErrorKind::ResourceLimit), "{error}");
    host.assert_well().await;
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn a_killed_process_costs_nothing_but_time_and_no_page_comes_twice() {
    let host = Host::start(|config| config.pdf.workers = 1).await;
    let mut reply = host.engine.extract(Request::bytes(make::numbered(3000)).stream_pages());
    let (mut expected, mut killed) = (1, 0);
    while let Some(chunk) = reply.next().await {
        match chunk {
            Chunk::Page(page) => {
                assert_eq!(page.number, expected);
                expected += 1;
                if page.number == 20 {
                    for pid in host.pids() {
                        killed += 1;
                        kill_process(Pid::from_raw(pid).expect("a number"), Signal::KILL).expect("it is there");
                    }
                }
            }
            Chunk::Error(error) => panic!("{error}"),
            Chunk::Head(_)
            | Chunk::Route(_)
            | Chunk::Picture(_)
            | Chunk::Rendered(_)
            | Chunk::Extract(..)
            | Chunk::Body(_)
            | Chunk::Done(_) => {}
        }
    }
    assert_eq!((expected, killed), (3001, 1));
    host.assert_unharmed();
    host.assert_well().await;
    host.stop().await;
}

/// A document that kills whoever reads it: nobody but itself suffers, however often it comes.
#[tokio::test]
async fn documents_that_cost_their_processes_do_not_take_the_pool_down() {
    let host = Host::start(|config| config.pdf.workers = 1).await;
    for round in 0..30 {
        let mut reply = host.engine.extract(Request::bytes(make::numbered(2000 + round)).stream_pages());
        let mut kind = None;
        while let Some(chunk) = reply.next().await {
            match chunk {
                // Killed whenever it has come this far; each try reads on from where the last one ended.
                Chunk::Page(page) if page.number % 20 == 0 => {
                    for pid in host.pids() {
                        // It may have gone by itself.
                        let _ = kill_process(Pid::from_raw(pid).expect("a number"), Signal::KILL);
                    }
                }
                Chunk::Error(error) => kind = Some(error.kind()),
                Chunk::Head(_)
                | Chunk::Route(_)
                | Chunk::Page(_)
                | Chunk::Picture(_)
                | Chunk::Rendered(_)
                | Chunk::Extract(..)
                | Chunk::Body(_)
                | Chunk::Done(_) => {}
            }
        }
        assert_eq!(kind, Some(ErrorKind::ExtractionFailed), "round {round}");
    }
    host.assert_well().await;
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_leaves_nothing_behind() {
    let host = Host::start(|config| config.pdf.workers = 1).await;
    let mut reply = host.engine.extract(Request::bytes(make::numbered(3000)).stream_pages());
    while let Some(chunk) = reply.next().await {
        if let Chunk::Page(page) = chunk
            && page.number == 5
        {
            break;
        }
    }
    drop(reply);
    host.assert_well().await;
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn processes_come_with_work_and_leave_without() {
    let host = Host::start(|config| config.pdf.limits.idle = Duration::from_millis(200)).await;
    assert_eq!(host.engine.snapshot().pdf.processes, 0, "nobody asked for anything yet");
    host.assert_well().await;
    assert_eq!(host.engine.snapshot().pdf.processes, 1);
    while host.engine.snapshot().pdf.processes > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    host.assert_well().await;
    host.stop().await;
}

#[tokio::test]
async fn processes_are_confined_and_hold_nothing_of_ours() {
    let host = Host::start(|config| config.pdf.workers = 1).await;
    host.assert_well().await;
    let [pid] = host.pids()[..] else { panic!("one process") };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
    let has = |line: &str| status.lines().any(|found| found.split_whitespace().collect::<Vec<_>>().join(" ") == line);
    let confinement = host.engine.snapshot().pdf.confinement.expect("one has come up");
    // A kernel without seccomp says so there, and has nothing to look at here.
    if confinement.ends_with(", seccomp") {
        assert!(has("Seccomp: 2") && has("NoNewPrivs: 1") && has("Threads: 1"), "{status}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it is there");
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).expect("it is listed").to_owned();
    assert!(limit("Max address space").contains("268435456"), "{limits}");
    assert!(limit("Max core file size").contains(" 0 "), "{limits}");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it can be read");
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("HOME=") && !environment.contains("PATH="), "{environment}");
    let open: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it can be read")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .collect();
    let ours = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.starts_with("socket:") || path.starts_with("pipe:") || path == "/dev/null" || path.starts_with("/proc/")
    };
    assert!(open.iter().all(ours), "{open:?}");
    host.stop().await;
}

#[tokio::test]
async fn pages_are_drawn_within_their_limit() {
    let host = Host::start(|config| config.pdf.limits.pixels = 1_000_000).await;
    let draw = async |page, dpi| {
        let mut reply = host.engine.extract(sample().render(Picture { page, dpi }));
        let mut png = Vec::new();
        while let Some(chunk) = reply.next().await {
            match chunk {
                Chunk::Picture(part) => png.extend(part),
                Chunk::Error(error) => return Err(error),
                Chunk::Head(_)
                | Chunk::Route(_)
                | Chunk::Page(_)
                | Chunk::Rendered(_)
                | Chunk::Extract(..)
                | Chunk::Body(_)
                | Chunk::Done(_) => {}
            }
        }
        Ok(png)
    };
    let png = draw(1, 72.0).await.expect("it is drawn");
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!((&png[16..20], &png[20..24]), (420u32.to_be_bytes().as_slice(), 595u32.to_be_bytes().as_slice()));
    assert_eq!(draw(1, 600.0).await.expect_err("it is too large").kind(), ErrorKind::ResourceLimit);
    assert_eq!(draw(3, 72.0).await.expect_err("there are two").kind(), ErrorKind::InvalidRequest);
    let html = Request::bytes("<p>no PDF").render(Picture { page: 1, dpi: 72.0 });
    assert_eq!(host.kind(html).await, ErrorKind::Unsupported);
    assert_eq!(host.kind(sample().render(Picture { page: 1, dpi: 72.0 })).await, ErrorKind::InvalidRequest);
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn without_libpdfium_pdfs_say_what_to_do_and_the_rest_works() {
    let host = Host::start(|config| config.pdf.library = Some("/nowhere/libpdfium.so".into())).await;
    let error = host.document(sample()).await.expect_err("it cannot be read");
    assert_eq!(error.kind(), ErrorKind::NotInstalled);
    assert!(error.to_string().contains("./x setup"), "{error}");
    let document = host.document(Request::bytes("<h1>A page</h1><p>Of the usual kind.")).await.expect("it is extracted");
    assert!(document.text.contains("usual kind"));
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_library_is_told_apart_from_a_bad_document() {
    let file = fixture("table.txt");
    let host = Host::start(|config| config.pdf.library = Some(file)).await;
    let error = host.document(sample()).await.expect_err("it cannot be read");
    assert_eq!(error.kind(), ErrorKind::NotInstalled, "{error}");
    host.assert_unharmed();
    host.stop().await;
}

#[tokio::test]
async fn without_a_program_to_read_them_pdfs_say_so() {
    let host = Host::start(|config| config.pdf.program = None).await;
    let error = host.document(sample()).await.expect_err("this test is no worker");
    assert_eq!(error.kind(), ErrorKind::NotInstalled);
    assert!(error.to_string().contains("worker_main"), "{error}");
    host.stop().await;
}

/// Programs that are no workers: one that talks nonsense, one that ends, one that is not there.
#[tokio::test]
async fn a_program_that_is_no_worker_is_found_out() {
    // They are in the repository, since one that is written here may still be open in a process that another test is starting.
    for script in ["noise", "refusal"] {
        let program = fixture("no-worker").join(script);
        let host = Host::start(|config| config.pdf.program = Some(program)).await;
        assert_eq!(host.kind(sample()).await, ErrorKind::ExtractionFailed, "{script}");
        host.assert_unharmed();
        host.stop().await;
    }
    let host = Host::start(|config| config.pdf.program = Some("/nowhere/eventmesh".into())).await;
    assert_eq!(host.kind(sample()).await, ErrorKind::Unavailable);
    host.stop().await;
}

#[tokio::test]
async fn two_engines_in_one_process_share_nothing() {
    let (one, other) = (Host::start(|_| {}).await, Host::start(|_| {}).await);
    one.assert_well().await;
    other.assert_well().await;
    one.stop().await;
    other.assert_well().await;
    other.stop().await;
}
