//! The time that a request has, for its work and for its caller to take what comes of it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Doing;
use crate::error::{Error, ErrorKind};
use crate::reply::{Chunk, ReplySender};

/// When a request came, and the time that it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) began: Instant,
    pub(super) within: Duration,
}

impl Time {
    pub(super) fn deadline(&self) -> Instant {
        self.began + self.within
    }

    pub(super) fn late(&self, doing: Doing) -> Error {
        let message = format!("the request was not done within {:?}, it was still {doing}", self.within);
        Error::new(ErrorKind::Deadline, message).during(doing.part())
    }

    /// Hands a chunk on. A caller that does not take what it asked for has until its deadline, too.
    pub(super) async fn hand(&self, reply: &ReplySender, chunk: Chunk) -> Result<(), Error> {
        timeout_at(self.deadline(), reply.send(chunk)).await.map_err(|_| self.late(Doing::AwaitingCaller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::During;
    use crate::reply::Reply;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_nothing_has_until_the_deadline_and_what_fits_is_sent_after_it() {
        let time = Time { began: Instant::now(), within: Duration::from_secs(2) };
        let (reply, mut reader) = Reply::new();
        let mut handed = 0;
        let error = loop {
            match time.hand(&reply, Chunk::Picture(vec![0])).await {
                Ok(()) => handed += 1,
                Err(error) => break error,
            }
            assert!(handed < 100, "nothing holds it back");
        };
        assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
        let told = "the request was not done within 2s, it was still waiting for its caller to take what had been read";
        assert_eq!((error.to_string().as_str(), error.part()), (told, Some(During::Extract)));
        let took = time.began.elapsed();
        assert!(time.within <= took && took < time.within * 2, "{took:?}");
        assert!(matches!(reader.next().await, Some(Chunk::Picture(_))));
        time.hand(&reply, Chunk::Picture(vec![0])).await.expect("there is room");
    }
}
