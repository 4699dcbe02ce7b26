//! A process that submits, claims, answers and ends jobs is killed again and again, at moments that chance picks. What it
//! had been told was done must be there afterwards, once.
#![expect(clippy::expect_used, reason = "a test may fail")]

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use eventmesh::queue::{
    Entry, EntryKind, Event, EventKind, EventReader, Filter, Job, JobId, JobQueue, Journal, Lane, Outcome, QueueError,
    QueueLimits, Selection, State, Submission, UnixMillis, Whose,
};

const JOURNAL: &str = "EVENTMESH_TEST_JOURNAL";
const KILLS: usize = 30;
const ITEMS: u32 = 5;
const NOW: UnixMillis = UnixMillis(1);
const FAR: UnixMillis = UnixMillis(u64::MAX);

async fn open(path: &Path) -> Journal {
    Journal::open(path, QueueLimits::default(), NOW).await.expect("opens")
}

/// What the killed processes had been told.
#[derive(Default)]
struct Told {
    submitted: Vec<JobId>,
    /// Job and sequence number → what was appended.
    answered: HashMap<(JobId, u64), String>,
    ended: Vec<JobId>,
}

#[test]
fn what_was_acknowledged_survives_kills_at_any_moment_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jobs");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let seed = fastrand::u64(..);
    let _ = writeln!(std::io::stdout(), "seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut told = Told::default();
    for _ in 0..KILLS {
        run_and_kill(&path, chance.usize(0..300), &mut told);
        runtime.block_on(check(&path, &told));
    }
    let _ = writeln!(
        std::io::stdout(),
        "{KILLS} kills: {} submissions, {} answers and {} ends were acknowledged",
        told.submitted.len(),
        told.answered.len(),
        told.ended.len()
    );
    assert!(told.submitted.len() > KILLS && !told.ended.is_empty(), "nothing was tested");
}

/// Kills the child when it has acknowledged so much; with 0 it is killed while it starts.
#[expect(clippy::disallowed_methods, reason = "the child is this test, and is killed here")]
fn run_and_kill(path: &Path, acknowledged: usize, told: &mut Told) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(JOURNAL, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut count = 0;
    let mut line = String::new();
    loop {
        if count >= acknowledged {
            // Again and again until the pipe is empty does no harm.
            child.kill().expect("is killed");
        }
        line.clear();
        lines.read_line(&mut line).expect("reads");
        // Only whole lines were written before the kill.
        let Some(whole) = line.strip_suffix('\n') else { break };
        let words: Vec<_> = whole.split(' ').collect();
        let id = |text: &str| text.parse::<JobId>().expect("an id");
        match words[..] {
            ["submitted", job] => told.submitted.push(id(job)),
            ["answered", job, seq, data] => {
                let before = told.answered.insert((id(job), seq.parse().expect("a number")), data.to_owned());
                assert_eq!(before, None, "a sequence number was given twice");
            }
            ["ended", job] => told.ended.push(id(job)),
            ["wrong", ..] => panic!("{whole}"),
            // The test harness speaks too.
            _ => continue,
        }
        count += 1;
    }
    let status = child.wait().expect("ends");
    assert!(!status.success() && count >= acknowledged, "the child was to be killed, not to end: {status}");
}

async fn check(path: &Path, told: &Told) {
    let queue = open(path).await;
    for id in &told.submitted {
        queue.get(id).await.expect("an accepted job is there");
    }
    let mut seen = HashMap::new();
    let mut before = None;
    loop {
        let jobs = queue.list(Filter { whose: Whose::Everybody, state: None, before, limit: 500 }).await.expect("lists");
        for job in &jobs {
            check_job(&queue, job, &mut seen).await;
        }
        let Some(last) = jobs.last() else { break };
        before = Some(last.id.clone());
    }
    for (key, data) in &told.answered {
        assert_eq!(seen.get(key), Some(data), "an acknowledged answer is there, in its place");
    }
    for id in &told.ended {
        let state = queue.get(id).await.expect("known").state;
        assert!(matches!(state, State::Ended(_)), "{id} had ended and is {state:?}");
    }
    queue.close().await.expect("closes");
}

async fn check_job(queue: &Journal, job: &Job, seen: &mut HashMap<(JobId, u64), String>) {
    let page = queue.events(&job.id, Selection::All, 0, 1_000).await.expect("reads");
    assert!(page.events.iter().map(|event| event.seq).eq(1..=job.last_seq), "gaps in {page:?}");
    let end = |event: &Event| matches!(event.kind, EventKind::End(_));
    assert_eq!(page.events.iter().filter(|event| end(event)).count(), usize::from(page.complete), "{page:?}");
    assert!(!page.complete || page.events.last().is_some_and(end), "the end is the last: {page:?}");
    let answers = page.events.iter().filter(|event| !end(event));
    let mut items: Vec<_> = answers.clone().filter_map(|event| event.item).collect();
    items.sort_unstable();
    assert!(items.windows(2).all(|pair| pair[0] < pair[1]), "an item was answered twice: {page:?}");
    assert_eq!(queue.done_items(&job.id).await.expect("reads"), items);
    if job.state == State::Ended(eventmesh::queue::Ending::Done) {
        assert_eq!(items.len(), ITEMS as usize, "a done job is done: {page:?}");
    }
    seen.extend(answers.map(|event| ((job.id.clone(), event.seq), String::from_utf8_lossy(&event.data).into_owned())));
}

#[test]
#[ignore = "the test above runs it as a process of its own"]
fn child() {
    let Some(path) = std::env::var_os(JOURNAL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        let queue = Arc::new(open(Path::new(&path)).await);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..2 {
            tasks.spawn(submit(queue.clone()));
        }
        for _ in 0..4 {
            tasks.spawn(work(queue.clone()));
        }
        // Until it is killed.
        tasks.join_all().await;
    });
}

fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("the parent listens");
}

async fn submit(queue: Arc<Journal>) {
    let mut waiting = VecDeque::new();
    loop {
        // Not too far ahead of the work.
        if waiting.len() > 8
            && let Some(oldest) = waiting.pop_front()
        {
            let mut reader = EventReader::new(queue.clone(), oldest, 0);
            while reader.next().await.expect("reads").is_some() {}
        }
        let lane = if fastrand::bool() { Lane::Interactive } else { Lane::Batch };
        let spec = Bytes::from(vec![b'x'; fastrand::usize(0..10_000)]);
        let job = Submission { owner: None, lane, kind: "batch".to_owned(), spec, items: Some(ITEMS), idempotency: None };
        let id = queue.submit(job, NOW).await.expect("accepted").job.id;
        say(&format!("submitted {id}"));
        if fastrand::u8(..) < 10 {
            queue.cancel(&id, NOW).await.expect("cancels");
            say(&format!("ended {id}"));
        }
        waiting.push_back(id);
    }
}

async fn work(queue: Arc<Journal>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        queue.available().await.expect("open");
        let Some(claimed) = queue.claim(FAR, NOW).await.expect("answers") else { continue };
        match run(&queue, &claimed.claim, &NEXT).await {
            Ok(()) => say(&format!("ended {}", claimed.claim.job)),
            Err(QueueError::Ended(_)) => {}
            Err(error) => say(&format!("wrong {error:?}")),
        }
    }
}

async fn run(queue: &Journal, claim: &eventmesh::queue::Claim, next: &AtomicU64) -> Result<(), QueueError> {
    let done = queue.done_items(&claim.job).await?;
    for item in (0..ITEMS).filter(|item| !done.contains(item)) {
        let data = format!("{}-{}", std::process::id(), next.fetch_add(1, Ordering::Relaxed));
        let entry = Entry { kind: EntryKind::Result, item: Some(item), data: Bytes::from(data.clone()) };
        let seq = queue.append(claim, entry, NOW).await?;
        say(&format!("answered {} {seq} {data}", claim.job));
    }
    queue.finish(claim, Outcome::Done, Bytes::new(), NOW).await.map(|_| ())
}
