//! The inside of a worker's process: one document after the other, from one socket, on one thread.

#![expect(unsafe_code, reason = "the socket comes as a number")]

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventmesh_actors::process::{SelfLimits, enter};
use eventmesh_guest::Page;
use eventmesh_pdf::{Document, Library, OpenError, RenderError, RenderSize, Step, Wanted};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

use super::confine;
use super::password::Password;
use super::protocol::{self, Ask, CHUNK, End, Frame, LONGEST, LONGEST_TEXT, ProtocolError, Refusal, Task, Told, VERSION};
use super::trim::Trim;

/// The first argument of a program that is to be a worker.
pub const WORKER_ARGUMENT: &str = "pdf-worker";

/// The largest document that is taken in, in bytes; the address space is the real limit.
const LARGEST: u64 = 4 << 30;

/// What the arguments after [`WORKER_ARGUMENT`] say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) address_space: u64,
    pub(crate) open_files: u64,
    pub(crate) library: PathBuf,
    pub(crate) fonts: Vec<String>,
}

impl Settings {
    /// As arguments.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let numbers = [self.address_space, self.open_files].map(|number| number.to_string().into());
        let fonts = self.fonts.iter().map(OsString::from);
        numbers.into_iter().chain([self.library.clone().into_os_string()]).chain(fonts).collect()
    }

    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut number = || arguments.next()?.to_str()?.parse().ok();
        let (address_space, open_files) = (number()?, number()?);
        let library = arguments.next()?.into();
        let fonts = arguments.map(|font| font.into_string().ok()).collect::<Option<Vec<String>>>()?;
        Some(Self { address_space, open_files, library, fonts })
    }
}

/// Reads PDFs from the socket that is standard input until it is closed; `arguments` are those after [`WORKER_ARGUMENT`].
/// `purge` makes this program's own allocator give back what it keeps. Returns the process's exit code.
#[must_use]
pub fn serve(arguments: impl Iterator<Item = OsString>, purge: fn()) -> u8 {
    let Some(settings) = Settings::parse(arguments) else {
        complain("this is started by an engine, and is of no use by itself");
        return 2;
    };
    confine::close_inherited();
    let limits =
        SelfLimits { address_space: Some(settings.address_space), processor: None, open_files: Some(settings.open_files) };
    if let Err(error) = enter(&limits) {
        complain(&error.to_string());
        return 2;
    }
    // SAFETY: standard input is the socket, and nothing else in this process uses it.
    let mut socket = unsafe { File::from_raw_fd(0) };
    let fonts: Vec<&str> = settings.fonts.iter().map(String::as_str).collect();
    let done = match start(&settings.library, &fonts, purge) {
        Ok((library, trim, ready)) => tell(&mut socket, &ready).and_then(|()| {
            converse(&mut socket, &trim, |out, ask, bytes| {
                limit_processor(ask.processor);
                work(out, &library, ask, bytes)
            })
        }),
        Err(why) => tell(&mut socket, &Told::Unfit { why }),
    };
    match done {
        // A host that goes in the middle of a document has its reasons.
        Ok(()) => 0,
        Err(ProtocolError::Io(_)) => 0,
        Err(error @ (ProtocolError::Garbage(_) | ProtocolError::TooLong(_) | ProtocolError::OutOfTurn(_))) => {
            complain(&error.to_string());
            1
        }
    }
}

fn complain(what: &str) {
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{WORKER_ARGUMENT}: {what}");
}

/// Everything that needs files comes first, then they are given up.
fn start(library: &Path, fonts: &[&str], purge: fn()) -> Result<(Library, Trim, Told), String> {
    let mut trim = Trim::new(purge);
    let library = Library::load(library, fonts).map_err(|error| error.to_string())?;
    trim.learn();
    let confinement = confine::confine(fonts);
    Ok((library, trim, Told::Ready { version: VERSION, confinement }))
}

fn tell(socket: &mut File, told: &Told) -> Result<(), ProtocolError> {
    protocol::send(socket, &protocol::encode(told)?)
}

/// One document after the other, as long as the host asks for any; `work` is what is done with each.
fn converse(
    socket: &mut File,
    trim: &Trim,
    mut work: impl FnMut(&mut Out<'_>, &Ask, &[u8]) -> (Option<Refusal>, End),
) -> Result<(), ProtocolError> {
    loop {
        if !comes_soon(socket) {
            trim.at_rest();
        }
        let mut input = BufReader::with_capacity(64 << 10, &*socket);
        let Some(body) = protocol::receive(&mut input)? else { return Ok(()) };
        let ask = match protocol::decode::<Ask>(&body)? {
            Frame::Message(ask) => ask,
            Frame::Bytes(_) => return Err(ProtocolError::OutOfTurn("bytes before it was said what for")),
        };
        let bytes = document(&mut input, ask.bytes)?;
        // It would be lost with the buffer.
        if !input.buffer().is_empty() {
            return Err(ProtocolError::OutOfTurn("more before the answer"));
        }
        drop(input);
        let mut out = Out::new(socket);
        let (refusal, mut end) = work(&mut out, &ask, &bytes);
        drop(bytes);
        (end.peak, end.resident) = trim.after_document();
        let told = match refusal {
            None => Told::Done(end),
            Some(why) => Told::Refused { why, end },
        };
        out.tell(&told);
        out.send();
        if let Some(error) = out.failed {
            return Err(error);
        }
    }
}

/// Whether there is something to be read from the socket, or will be before this process may be taken to be at rest.
fn comes_soon(socket: &File) -> bool {
    let mut wait = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is ours.
    unsafe { libc::poll(&raw mut wait, 1, REST) != 0 }
}

/// Milliseconds without work after which a process is at rest.
const REST: i32 = 20;

/// Takes in a document of `length` bytes.
fn document(input: &mut impl io::Read, length: u64) -> Result<Vec<u8>, ProtocolError> {
    if length > LARGEST {
        return Err(ProtocolError::TooLong(usize::try_from(length).unwrap_or(usize::MAX)));
    }
    let length = usize::try_from(length).map_err(|_| ProtocolError::TooLong(usize::MAX))?;
    let mut bytes = Vec::new();
    // What is announced and cannot be had is the same as what comes and cannot be held: an abort.
    bytes.reserve_exact(length);
    while bytes.len() < length {
        let body = protocol::receive(input)?.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
        match protocol::decode::<Ask>(&body)? {
            Frame::Bytes(more) if bytes.len() + more.len() <= length => bytes.extend_from_slice(&more),
            Frame::Bytes(_) => return Err(ProtocolError::OutOfTurn("more bytes than were announced")),
            Frame::Message(_) => return Err(ProtocolError::OutOfTurn("another document before the end of this one")),
        }
    }
    Ok(bytes)
}

/// Allows `seconds` more of processor time. Past it the process ends, whoever else sleeps.
fn limit_processor(seconds: u32) {
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and what is written to is ours.
    let used = match unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut used) } {
        0 => Duration::from_secs(used.tv_sec.unsigned_abs()),
        _ => return,
    };
    let limit = getrlimit(Resource::Cpu);
    let current = Some(used.as_secs() + u64::from(seconds) + 1);
    // The host watches the clock, too: this only counts if it cannot.
    let _ = setrlimit(Resource::Cpu, Rlimit { current, maximum: limit.maximum });
}

/// Sends what is found, until that fails. What comes in quick succession goes out together: every message by itself would
/// wake the host once more.
struct Out<'s> {
    socket: &'s mut File,
    waiting: Vec<u8>,
    sent: Instant,
    failed: Option<ProtocolError>,
}

/// What has been found goes out this soon, whatever else comes.
const TOGETHER: Duration = Duration::from_millis(4);
/// And when there is this much of it, in bytes.
const MUCH: usize = 64 << 10;
/// That it goes on is said this often if there is nothing else to say.
const SIGN_OF_LIFE: Duration = Duration::from_millis(200);

impl<'s> Out<'s> {
    fn new(socket: &'s mut File) -> Self {
        Self { socket, waiting: Vec::new(), sent: Instant::now(), failed: None }
    }

    fn tell(&mut self, told: &Told) {
        self.queue(protocol::encode(told));
    }

    fn queue(&mut self, encoded: Result<Vec<u8>, ProtocolError>) {
        let queued = encoded.and_then(|body| protocol::send(&mut self.waiting, &body));
        self.failed = self.failed.take().or(queued.err());
        if self.waiting.len() >= MUCH || self.sent.elapsed() >= TOGETHER {
            self.send();
        }
    }

    /// A page; one that is longer than may be is told of instead.
    fn page(&mut self, page: Box<Page>, longest: usize) {
        let number = page.number;
        let encoded = protocol::encode(&Told::Page(page));
        if encoded.as_ref().is_ok_and(|body| body.len() > longest) {
            let problem = Some("the page holds more than is read of one page".to_owned());
            self.tell(&Told::Page(Box::new(Page { number, problem, ..Page::default() })));
        } else {
            self.queue(encoded);
        }
    }

    /// It goes on, and has nothing to show for it yet.
    fn live(&mut self) {
        if self.sent.elapsed() >= SIGN_OF_LIFE {
            self.tell(&Told::Read);
        }
    }

    fn send(&mut self) {
        if self.failed.is_none() {
            self.failed = self.socket.write_all(&self.waiting).err().map(ProtocolError::from);
        }
        self.waiting.clear();
        self.sent = Instant::now();
    }
}

/// A picture goes out as it is made.
impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for chunk in bytes.chunks(CHUNK) {
            if self.failed.is_none() {
                self.send();
                self.failed = self.failed.take().or(protocol::send(self.socket, &protocol::encode_bytes(chunk)).err());
            }
        }
        if self.failed.is_some() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(out: &mut Out<'_>, library: &Library, ask: &Ask, bytes: &[u8]) -> (Option<Refusal>, End) {
    let document = match Document::open(library, bytes, ask.password.as_ref().map(Password::expose)) {
        Ok(document) => document,
        Err(error) => return (Some(refusal(error)), End::default()),
    };
    match &ask.task {
        Task::Extract { images, most_pages, skip } => (None, extract(out, &document, *images, *most_pages, *skip)),
        Task::Render { page, dpi, most_pixels } => {
            let size = RenderSize { dpi: *dpi, most_pixels: *most_pixels };
            let mut buffered = io::BufWriter::with_capacity(CHUNK, &mut *out);
            let drawn = document.render(*page, size, &mut buffered);
            let flushed = buffered.flush();
            drop(buffered);
            let why = match (drawn, flushed) {
                (Ok((width, height)), Ok(())) => {
                    out.tell(&Told::Picture { width, height });
                    None
                }
                (Ok(_), Err(error)) => Some(Refusal::Picture { page: *page, why: error.to_string() }),
                (Err(RenderError::Page { page }), _) => Some(Refusal::NoPage { page }),
                (Err(RenderError::Pixels { page, width, height, most }), _) => {
                    Some(Refusal::Pixels { page, width, height, most })
                }
                (Err(RenderError::Memory { .. }), _) => Some(Refusal::Memory),
                (Err(RenderError::Write { page, why }), _) => Some(Refusal::Picture { page, why }),
            };
            (why, End::default())
        }
    }
}

fn extract(out: &mut Out<'_>, document: &Document<'_>, images: bool, most_pages: u32, skip: u32) -> End {
    let facts = document.facts();
    let mut pages = document.pages(Wanted { images }, &facts.outline, most_pages);
    out.tell(&Told::Opened { info: Box::new(document.info()), facts: Box::new(facts) });
    while let Some(step) = pages.step() {
        match step {
            Step::Read => out.live(),
            Step::Page(page) if page.number > skip => {
                let first = page.number == 1;
                out.page(page, if images { LONGEST } else { LONGEST_TEXT });
                // Somebody may be waiting for it.
                if first {
                    out.send();
                }
            }
            Step::Page(_) => out.live(),
        }
        if out.failed.is_some() {
            break;
        }
    }
    End {
        fields: pages.take_fields(),
        attachments: pages.take_attachments(),
        incomplete: pages.incomplete().map(str::to_owned),
        ..End::default()
    }
}

fn refusal(error: OpenError) -> Refusal {
    match error {
        OpenError::Format => Refusal::Format,
        OpenError::Password => Refusal::Password,
        OpenError::Security => Refusal::Security,
        OpenError::Empty => Refusal::Empty,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use eventmesh_guest::PdfFacts;
    use eventmesh_pdf::Info;
    use proptest::prelude::*;

    use super::*;

    /// How long a conversation may be silent: one that takes longer hangs.
    const SILENT: Duration = Duration::from_secs(20);

    /// Holds a conversation in which the host has documents of these lengths read, one after the other, says `wire` and then
    /// nothing more. Returns how it ended for the worker, the lengths of the documents that it read, and what it said.
    fn conversation(documents: &[usize], wire: Vec<u8>) -> (Result<(), ProtocolError>, Vec<usize>, Vec<Told>) {
        let (mut host, worker) = UnixStream::pair().expect("a socket");
        host.set_read_timeout(Some(SILENT)).expect("it is set");
        let mut worker = File::from(OwnedFd::from(worker));
        let documents = documents.to_vec();
        let told = std::thread::spawn(move || {
            let mut told = Vec::new();
            for length in documents {
                host.write_all(&whole(length)).expect("the worker listens");
                loop {
                    told.push(hear(&mut host).expect("the worker answers"));
                    if told.last().is_some_and(is_end) {
                        break;
                    }
                }
            }
            // One that has heard enough hangs up.
            let _ = host.write_all(&wire).and_then(|()| host.shutdown(Shutdown::Write));
            told.extend(std::iter::from_fn(|| hear(&mut host)));
            told
        });
        let mut read = Vec::new();
        let done = converse(&mut worker, &Trim::new(|| {}), |out, ask, bytes| {
            read.push(bytes.len());
            match ask.task {
                Task::Extract { .. } => {
                    out.tell(&Told::Opened { info: Box::new(Info::default()), facts: Box::new(PdfFacts::default()) });
                    out.page(Box::new(Page { number: 1, ..Page::default() }), LONGEST_TEXT);
                    (None, End::default())
                }
                Task::Render { page, .. } => (Some(Refusal::NoPage { page }), End::default()),
            }
        });
        drop(worker);
        (done, read, told.join().expect("it does not hang"))
    }

    fn is_end(told: &Told) -> bool {
        matches!(told, Told::Done(_) | Told::Refused { .. })
    }

    /// The next that the worker says, until it has gone.
    fn hear(host: &mut UnixStream) -> Option<Told> {
        let body = match protocol::receive(host) {
            Ok(body) => body?,
            // It went without having read all.
            Err(ProtocolError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("the worker hangs, or does not speak in frames: {error}"),
        };
        match protocol::decode(&body).expect("it is understood") {
            Frame::Message(told) => Some(told),
            Frame::Bytes(_) => panic!("no picture was made"),
        }
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        protocol::send(&mut wire, body).expect("it is sent");
        wire
    }

    fn ask(bytes: u64) -> Vec<u8> {
        let task = Task::Extract { images: false, most_pages: 10, skip: 0 };
        framed(&protocol::encode(&Ask { task, password: None, bytes, processor: 1 }).expect("it encodes"))
    }

    fn bytes(length: usize) -> Vec<u8> {
        framed(&protocol::encode_bytes(&vec![b'x'; length]))
    }

    fn whole(length: usize) -> Vec<u8> {
        let document = if length == 0 { Vec::new() } else { bytes(length) };
        [ask(length as u64), document].concat()
    }

    #[test]
    fn what_comes_out_of_turn_too_long_or_cut_ends_the_conversation() {
        let ends = |parts: &[Vec<u8>]| {
            let (done, read, told) = conversation(&[3, 0], parts.concat());
            assert_eq!(read, [3, 0], "nothing is read of what is no whole document by itself");
            assert_eq!(told.iter().filter(|told| is_end(told)).count(), 2, "one answer to each document");
            done
        };
        assert!(ends(&[]).is_ok());
        let out_of_turn = [
            vec![bytes(3)],
            vec![whole(3), bytes(1)],
            vec![whole(3), whole(3)],
            vec![ask(3), ask(3)],
            vec![ask(3), bytes(2), ask(1)],
            vec![ask(3), bytes(4)],
        ];
        for parts in out_of_turn {
            let done = ends(&parts);
            assert!(matches!(done, Err(ProtocolError::OutOfTurn(_))), "{done:?}");
        }
        let length = |length: usize| u32::try_from(length).expect("it fits").to_le_bytes().to_vec();
        for parts in [vec![ask(u64::MAX)], vec![length(LONGEST + 1)], vec![ask(3), length(LONGEST + 1)]] {
            let done = ends(&parts);
            assert!(matches!(done, Err(ProtocolError::TooLong(_))), "{done:?}");
        }
        for parts in [vec![ask(3)], vec![ask(3), bytes(2)], vec![vec![9, 0]], vec![length(LONGEST), vec![0; 9]]] {
            let done = ends(&parts);
            assert!(matches!(done, Err(ProtocolError::Io(_))), "{done:?}");
        }
        for parts in [vec![framed(&[])], vec![framed(&[7, 1])], vec![framed(&[0])], vec![ask(2), framed(&[0, 0xff])]] {
            let done = ends(&parts);
            assert!(matches!(done, Err(ProtocolError::Garbage(_))), "{done:?}");
        }
    }

    /// What a host may say, or somebody in its place.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => (0usize..200).prop_map(whole),
            1 => (0u64..200).prop_map(ask),
            1 => (0usize..200).prop_map(bytes),
            1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(|body| framed(&body)),
            1 => prop::collection::vec(any::<u8>(), 0..60),
            1 => any::<u32>().prop_map(|length| length.to_le_bytes().to_vec()),
        ]
    }

    /// Whether a document is announced in it that is allowed and so large that this test should not make room for it.
    fn announces_much(wire: &[u8]) -> bool {
        let mut rest = wire;
        while let Ok(Some(body)) = protocol::receive(&mut rest) {
            if let Ok(Frame::Message(Ask { bytes, .. })) = protocol::decode::<Ask>(&body)
                && (64 << 20..=LARGEST).contains(&bytes)
            {
                return true;
            }
        }
        false
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever comes: the conversation ends, and every document that was taken in whole has been answered.
        #[test]
        fn no_host_makes_the_worker_panic_or_hang(
            documents in prop::collection::vec(0usize..200, 0..3),
            parts in prop::collection::vec(part(), 0..4),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut wire = parts.concat();
            if !wire.is_empty() {
                for (at, by) in changes {
                    let at = at.index(wire.len());
                    wire[at] = wire[at].wrapping_add(by);
                }
                if let Some(cut) = cut {
                    wire.truncate(cut.index(wire.len()));
                }
            }
            prop_assume!(!announces_much(&wire));
            let (_, read, told) = conversation(&documents, wire);
            prop_assert!(read.starts_with(&documents));
            let answers = told.iter().filter(|told| is_end(told)).count();
            prop_assert_eq!(answers, read.len());
        }
    }

    #[test]
    fn settings_go_through_the_arguments() {
        let settings = Settings {
            address_space: 1 << 28,
            open_files: 64,
            library: "/somewhere/libpdfium.so".into(),
            fonts: vec!["/usr/share/fonts".to_owned()],
        };
        assert_eq!(Settings::parse(settings.arguments().into_iter()), Some(settings));
        assert_eq!(Settings::parse(["x".into()].into_iter()), None);
        assert_eq!(Settings::parse(std::iter::empty()), None);
    }

    #[test]
    fn a_document_is_exactly_as_long_as_was_said() {
        let wire = |parts: &[&[u8]]| {
            let mut wire = Vec::new();
            for part in parts {
                protocol::send(&mut wire, &protocol::encode_bytes(part)).expect("it is sent");
            }
            wire
        };
        assert_eq!(document(&mut wire(&[b"ab", b"c"]).as_slice(), 3).expect("it comes"), b"abc");
        assert!(matches!(document(&mut wire(&[b"abcd"]).as_slice(), 3), Err(ProtocolError::OutOfTurn(_))));
        assert!(matches!(document(&mut wire(&[b"ab"]).as_slice(), 3), Err(ProtocolError::Io(_))));
        assert!(matches!(document(&mut io::empty(), u64::MAX), Err(ProtocolError::TooLong(_))));
    }
}
