//! The host's side of one worker process: started, ready, and talked to.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eventmesh_actors::process::{LastWords, Process, ProcessHost, ProcessSpec, Streams};
use futures_util::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::confine::Confinement;
use super::error::PdfError;
use super::protocol::{self, Ask, CHUNK, Frame, LONGEST, LONGEST_TEXT, Task, Told, VERSION};

/// The last that a process said on standard error is kept, up to here, in bytes.
const SAID: usize = 2 << 10;
/// How long a process may take to be ready. It loads a library that may have to come from disk.
const READY: Duration = Duration::from_secs(20);
/// How long a process that has closed its socket may take to end.
const END: Duration = Duration::from_secs(2);

/// A process that is ready to read documents.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) process: Process,
    pub(crate) confinement: Confinement,
    socket: Framed<UnixStream, LengthDelimitedCodec>,
    said: LastWords,
}

impl Client {
    /// Starts one and waits until it is ready.
    pub(crate) async fn start(host: &ProcessHost, spec: &ProcessSpec, name: &str) -> Result<Self, PdfError> {
        debug_assert_eq!(spec.streams, Streams::Socket, "it is talked to over a socket");
        let mut process = host.spawn(spec, name).await?;
        let gone = |why: &str| PdfError::Unfit { why: why.to_owned() };
        let socket = process.take_socket().ok_or_else(|| gone("it has no socket"))?;
        socket.set_nonblocking(true).map_err(|error| gone(&error.to_string()))?;
        let socket = UnixStream::from_std(socket).map_err(|error| gone(&error.to_string()))?;
        let codec = LengthDelimitedCodec::builder().little_endian().max_frame_length(LONGEST).new_codec();
        let said = LastWords::of(process.take_stderr(), SAID);
        let unknown = Confinement { landlock: super::LandlockState::Partial, seccomp_missing: None };
        let mut client = Self { process, confinement: unknown, socket: Framed::new(socket, codec), said };
        let ready = timeout(READY, client.next()).await.map_err(|_| PdfError::NotReady { within: READY })??;
        match ready {
            Some(Frame::Message(Told::Ready { version: VERSION, confinement })) => client.confinement = confinement,
            Some(Frame::Message(Told::Ready { version, .. })) => {
                return Err(PdfError::Unfit {
                    why: format!("it speaks version {version}, and {VERSION} is needed: another build"),
                });
            }
            Some(Frame::Message(Told::Unfit { why })) => return Err(PdfError::Unfit { why }),
            Some(_) => return Err(PdfError::Protocol { why: "it did not say that it is ready".to_owned() }),
            None => return Err(client.ended().await),
        }
        Ok(client)
    }

    /// Whether it is still there and has nothing to say, as it should be between documents.
    pub(crate) fn is_sound(&self) -> bool {
        if self.process.status().is_some() || !self.socket.read_buffer().is_empty() {
            return false;
        }
        // It says nothing unasked; anything to be read is its end.
        let mut byte = [0];
        matches!(self.socket.get_ref().try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Asks, and sends the document; `beat` is called as it goes on.
    pub(crate) async fn ask(&mut self, ask: &Ask, document: &Bytes, beat: impl Fn()) -> Result<(), PdfError> {
        let images = matches!(ask.task, Task::Extract { images: true, .. });
        self.socket.codec_mut().set_max_frame_length(if images { LONGEST } else { LONGEST_TEXT });
        let body = protocol::encode(ask).map_err(|error| PdfError::Protocol { why: error.to_string() })?;
        let mut sent = self.socket.feed(Bytes::from(body)).await;
        for chunk in document.chunks(CHUNK) {
            if sent.is_err() {
                break;
            }
            sent = self.socket.send(Bytes::from(protocol::encode_bytes(chunk))).await;
            beat();
        }
        if sent.is_ok() {
            sent = SinkExt::<Bytes>::flush(&mut self.socket).await;
        }
        match sent {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    /// Ends it: it is asked by the end of the conversation, and does not have to be killed.
    pub(crate) async fn stop(self) {
        let Self { process, socket, .. } = self;
        drop(socket);
        process.stop().await;
    }

    /// The next that it says; `None` if it has gone.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame<Told>>, PdfError> {
        match self.socket.next().await {
            None => Ok(None),
            Some(Ok(body)) => understood(&body).map(Some),
            // One that is killed may have been in the middle of a frame, and resets what it has not read.
            Some(Err(_)) => Ok(None),
        }
    }

    /// Why it has gone.
    pub(crate) async fn ended(&mut self) -> PdfError {
        match timeout(END, self.process.wait()).await {
            Ok(status) => PdfError::Ended { status, said: self.said() },
            Err(_) => PdfError::Protocol { why: "it closed its socket, or said too much at once, and stays".to_owned() },
        }
    }

    fn said(&self) -> String {
        self.said.text().trim().replace('\n', "; ")
    }
}

fn understood(body: &BytesMut) -> Result<Frame<Told>, PdfError> {
    protocol::decode(body).map_err(|error| PdfError::Protocol { why: error.to_string() })
}
