//! The host against processes that say whatever they like.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::process::ProcessHost;
use eventmesh_actors::{ChildId, Failure, Progress, Worker};
use eventmesh_guest::{Page, PdfFacts};
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::protocol::{self, End, LONGEST, LONGEST_TEXT, Refusal, Told, VERSION};
use super::{
    Confinement, Info, LandlockState, PdfDone, PdfError, PdfJob, PdfLimits, PdfOutput, PdfProgram, PdfSpec, PdfTask, PdfWorker,
};

/// Far more than any of these takes: nobody is waited for until then.
const DEADLINE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(60);

/// What comes of a document that is given to a process which says `wire` in each try and goes; one that `listens` says it all
/// and goes when it has been asked.
fn outcome(wire: &[u8], listens: bool) -> (Result<PdfDone, PdfError>, Vec<PdfOutput>) {
    let directory = tempfile::tempdir().expect("a directory");
    let said = directory.path().join("said");
    std::fs::write(&said, wire).expect("it is written");
    if listens {
        std::fs::write(directory.path().join("said.listens"), "").expect("it is written");
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pdf/replay");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = ProcessHost::open(&directory.path().join("processes")).expect("a host");
        let spec = PdfSpec::new(PdfProgram::At(program), said, host.clone(), PdfLimits::default());
        let child = ChildId { pool: "test".into(), slot: 0, generation: 1 };
        let mut worker = PdfWorker::start(&spec, &child).await.expect("it needs no process yet");
        let (out, mut found) = mpsc::channel(4);
        let job = PdfJob {
            document: Bytes::from_static(b"%PDF-1.7"),
            task: PdfTask::Extract { images: false },
            password: None,
            deadline: Instant::now() + DEADLINE,
            out,
            sent: Arc::default(),
        };
        let progress = Progress::default();
        let gather = async {
            let mut all = Vec::new();
            while let Some(output) = found.recv().await {
                all.push(output);
            }
            all
        };
        let both = async { tokio::join!(worker.run(job, &progress), gather) };
        let (result, found) = timeout(LONG, both).await.expect("the host hangs");
        worker.stop().await;
        host.close().await;
        let result = result.map_err(|failure| match failure {
            Failure::Job(error) => error,
            Failure::Worker(error) => panic!("what a process says costs no worker: {error}"),
        });
        (result, found)
    })
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    protocol::send(&mut wire, body).expect("it is sent");
    wire
}

fn says(told: &Told) -> Vec<u8> {
    framed(&protocol::encode(told).expect("it encodes"))
}

fn ready(version: u16) -> Vec<u8> {
    says(&Told::Ready { version, confinement: Confinement { landlock: LandlockState::Full, seccomp_missing: None } })
}

fn opened() -> Vec<u8> {
    says(&Told::Opened { info: Box::new(Info::default()), facts: Box::new(PdfFacts { page_count: 2, ..PdfFacts::default() }) })
}

fn page(number: u32) -> Vec<u8> {
    says(&Told::Page(Box::new(Page { number, text: "Some text".to_owned(), ..Page::default() })))
}

fn refused(why: Refusal) -> Vec<u8> {
    says(&Told::Refused { why, end: End::default() })
}

#[test]
fn a_whole_conversation_is_understood() {
    let wire = [ready(VERSION), opened(), says(&Told::Read), page(1), page(2), says(&Told::Done(End::default()))].concat();
    let (result, found) = outcome(&wire, true);
    assert!(result.is_ok(), "{result:?}");
    assert!(matches!(found.as_slice(), [PdfOutput::Opened(_), PdfOutput::Page(_), PdfOutput::Page(_)]), "{found:?}");
    let (result, _) = outcome(&[ready(VERSION), refused(Refusal::Format)].concat(), true);
    assert!(matches!(result, Err(PdfError::Format)), "{result:?}");
    let (result, _) = outcome(&[ready(VERSION), refused(Refusal::Memory)].concat(), true);
    let large = PdfLimits::default().large_address_space;
    assert!(matches!(result, Err(PdfError::Memory { limit }) if limit == large), "{result:?}");
}

#[test]
fn a_process_of_another_version_or_that_cannot_work_is_unfit() {
    for version in [0, VERSION - 1, VERSION + 1, u16::MAX] {
        let (result, _) = outcome(&ready(version), false);
        let Err(PdfError::Unfit { why }) = result else { panic!("{result:?}") };
        assert!(why.contains(&format!("version {version}")), "{why}");
    }
    let (result, _) = outcome(&says(&Told::Unfit { why: "no library".to_owned() }), false);
    assert!(matches!(result, Err(PdfError::Unfit { .. })), "{result:?}");
}

#[test]
fn what_comes_out_of_turn_or_cannot_be_understood_is_the_processs_fault() {
    for wire in [page(1), framed(&[]), framed(&[7, 1]), framed(&[0, 0xff]), framed(&protocol::encode_bytes(b"a picture"))] {
        let (result, found) = outcome(&wire, false);
        assert!(matches!(result, Err(PdfError::Protocol { .. })) && found.is_empty(), "{result:?}");
    }
    for again in [ready(VERSION), says(&Told::Unfit { why: String::new() }), framed(&[]), framed(&[7, 1]), framed(&[0, 0xff])] {
        let (result, _) = outcome(&[ready(VERSION), opened(), again].concat(), true);
        assert!(matches!(result, Err(PdfError::Protocol { .. })), "{result:?}");
    }
}

/// Cut in the middle, or announced longer than may be: the process is gone, or is let go.
#[test]
fn what_is_cut_or_too_long_ends_the_try() {
    let length = |length: usize| u32::try_from(length).expect("it fits").to_le_bytes().to_vec();
    let cut = page(1)[..6].to_vec();
    for end in [Vec::new(), cut, length(LONGEST_TEXT + 1), length(LONGEST + 1), vec![0xff; 4], vec![1]] {
        let (result, found) = outcome(&[ready(VERSION), opened(), page(1), end].concat(), true);
        assert!(matches!(result, Err(PdfError::Ended { .. } | PdfError::Protocol { .. })), "{result:?}");
        assert!(matches!(found.first(), Some(PdfOutput::Opened(_))), "{found:?}");
    }
    let (result, _) = outcome(&[], false);
    assert!(matches!(result, Err(PdfError::Ended { .. })), "{result:?}");
}

/// What a worker may say, or somebody in its place.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        2 => Just(opened()),
        4 => (1u32..9).prop_map(page),
        1 => any::<u32>().prop_map(page),
        1 => Just(says(&Told::Read)),
        1 => any::<(u32, u32)>().prop_map(|(width, height)| says(&Told::Picture { width, height })),
        1 => any::<(u64, u64)>().prop_map(|(resident, peak)| says(&Told::Done(End { resident, peak, ..End::default() }))),
        1 => Just(refused(Refusal::Empty)),
        1 => any::<u16>().prop_map(ready),
        1 => bytes().prop_map(|bytes| framed(&protocol::encode_bytes(&bytes))),
        1 => bytes().prop_map(|body| framed(&body)),
        1 => bytes(),
        1 => any::<u32>().prop_map(|length| length.to_le_bytes().to_vec()),
    ]
}

fn changed(mut wire: Vec<u8>, changes: Vec<(prop::sample::Index, u8)>, cut: Option<prop::sample::Index>) -> Vec<u8> {
    if wire.is_empty() {
        return wire;
    }
    for (at, by) in changes {
        let at = at.index(wire.len());
        wire[at] = wire[at].wrapping_add(by);
    }
    if let Some(cut) = cut {
        wire.truncate(cut.index(wire.len()));
    }
    wire
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever a process says when it has been asked, the document has an answer long before its deadline.
    #[test]
    fn no_process_makes_the_host_panic_or_hang(
        parts in prop::collection::vec(part(), 0..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let wire = [ready(VERSION), changed(parts.concat(), changes, cut)].concat();
        let (result, _) = outcome(&wire, true);
        prop_assert!(!matches!(result, Err(PdfError::Deadline | PdfError::NotReady { .. })), "{:?}", result);
    }

    /// The same for what it says before it has been asked.
    #[test]
    fn no_beginning_makes_the_host_panic_or_hang(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        more in part(),
    ) {
        let wire = changed([ready(VERSION), more].concat(), changes, cut);
        let (result, _) = outcome(&wire, false);
        prop_assert!(!matches!(result, Err(PdfError::Deadline | PdfError::NotReady { .. })), "{:?}", result);
    }
}
