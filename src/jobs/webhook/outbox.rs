//! Which webhooks are still to be sent, as one file for each job that wants one. It is written before the job is accepted,
//! and says in the end what became of it, until the job is forgotten. So a crash loses none, and repeats at most the one
//! that was on its way.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::super::durable;
use super::WebhookSecret;
use crate::queue::{JobId, UnixMillis};

/// What is known of a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) url: String,
    pub(crate) secret: Option<WebhookSecret>,
    pub(crate) state: Delivery,
    /// How often it has been sent.
    pub(crate) tried: u32,
    /// When it is sent next.
    pub(crate) due: UnixMillis,
}

/// What has become of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// It is still to be sent, or sent again.
    Pending,
    /// Its receiver has it.
    Delivered,
    /// Its receiver did not take it, as often as it was sent.
    GivenUp,
}

/// The letters.
#[derive(Debug)]
pub(crate) struct Outbox {
    root: PathBuf,
    /// Those that are pending.
    pending: Mutex<BTreeMap<JobId, Waiting>>,
    /// Held while a letter is put in: whoever comes second must find it.
    putting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    due: UnixMillis,
    /// Its job is known to have ended.
    ended: bool,
}

impl Outbox {
    /// Opens the directory. Blocking.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        durable::directory(&root)?;
        let mut pending = BTreeMap::new();
        for entry in std::fs::read_dir(&root)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            if name.to_string_lossy().ends_with(durable::UNFINISHED) {
                durable::removed(std::fs::remove_file(&path))?;
                continue;
            }
            let Some(job) = name.to_str().and_then(|name| name.parse::<JobId>().ok()) else { continue };
            let letter = match parsed(&std::fs::read(&path)?) {
                Ok(letter) => letter,
                Err(error) => {
                    // One that is damaged must not keep all the others, and all jobs, from going on.
                    tracing::error!(%error, %job, "what is known of a webhook cannot be read; it is set aside and not sent");
                    std::fs::rename(&path, aside(&root, &job))?;
                    continue;
                }
            };
            if letter.state == Delivery::Pending {
                pending.insert(job, Waiting { due: letter.due, ended: false });
            }
        }
        Ok(Self { root, pending: Mutex::new(pending), putting: tokio::sync::Mutex::new(()) })
    }

    /// Puts a letter in, if there is none for this job. It is on the disk then.
    pub(crate) async fn put(&self, job: &JobId, letter: Letter) -> io::Result<()> {
        let path = self.root.join(job.as_str());
        let due = letter.due;
        let _putting = self.putting.lock().await;
        let written = move || if path.exists() { Ok(false) } else { write(&path, &letter).map(|()| true) };
        if spawn_blocking(written).await.map_err(io::Error::other)?? {
            self.lock().insert(job.clone(), Waiting { due, ended: false });
        }
        Ok(())
    }

    /// Writes down what has become of a letter.
    pub(crate) async fn update(&self, job: &JobId, letter: Letter) -> io::Result<()> {
        match letter.state {
            Delivery::Pending => drop(self.lock().insert(job.clone(), Waiting { due: letter.due, ended: true })),
            Delivery::Delivered | Delivery::GivenUp => drop(self.lock().remove(job)),
        }
        let path = self.root.join(job.as_str());
        spawn_blocking(move || write(&path, &letter)).await.map_err(io::Error::other)?
    }

    /// The letter of a job, if there is one.
    pub(crate) async fn letter(&self, job: &JobId) -> io::Result<Option<Letter>> {
        let path = self.root.join(job.as_str());
        let read = move || match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        };
        spawn_blocking(read).await.map_err(io::Error::other)?
    }

    /// A job has ended: its letter can go.
    pub(crate) fn ended(&self, job: &JobId) {
        if let Some(waiting) = self.lock().get_mut(job) {
            waiting.ended = true;
        }
    }

    /// Those that can go now, and when the next one can.
    pub(crate) fn due(&self, now: UnixMillis) -> (Vec<JobId>, Option<UnixMillis>) {
        let pending = self.lock();
        let ended = || pending.iter().filter(|(_, waiting)| waiting.ended);
        let due = ended().filter(|(_, waiting)| waiting.due <= now).map(|(job, _)| job.clone()).collect();
        (due, ended().map(|(_, waiting)| waiting.due).filter(|due| *due > now).min())
    }

    /// Those whose job is not known to have ended.
    pub(crate) fn open_ends(&self) -> Vec<JobId> {
        self.lock().iter().filter(|(_, waiting)| !waiting.ended).map(|(job, _)| job.clone()).collect()
    }

    /// How many are still to be sent, at some time.
    pub(crate) fn pending(&self) -> usize {
        self.lock().len()
    }

    /// The jobs that have letters here, whatever became of them.
    pub(crate) async fn jobs(&self) -> io::Result<Vec<JobId>> {
        let root = self.root.clone();
        let jobs = move || {
            let mut jobs = Vec::new();
            for entry in std::fs::read_dir(root)? {
                let name = entry?.file_name();
                let name = name.to_str().map(|name| name.strip_suffix(UNREADABLE).unwrap_or(name));
                jobs.extend(name.and_then(|name| name.parse::<JobId>().ok()));
            }
            Ok(jobs)
        };
        spawn_blocking(jobs).await.map_err(io::Error::other)?
    }

    /// Forgets the letter of a job.
    pub(crate) async fn forget(&self, job: &JobId) -> io::Result<()> {
        self.lock().remove(job);
        let (path, aside) = (self.root.join(job.as_str()), aside(&self.root, job));
        let remove = move || {
            durable::removed(std::fs::remove_file(path))?;
            durable::removed(std::fs::remove_file(aside))
        };
        spawn_blocking(remove).await.map_err(io::Error::other)?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobId, Waiting>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the names of letters end in that are damaged. They stay until their job is forgotten.
const UNREADABLE: &str = ".unreadable";

fn aside(root: &Path, job: &JobId) -> PathBuf {
    root.join(format!("{job}{UNREADABLE}"))
}

fn parsed(bytes: &[u8]) -> serde_json::Result<Letter> {
    serde_json::from_slice(bytes)
}

fn read(path: &Path) -> io::Result<Letter> {
    parsed(&std::fs::read(path)?).map_err(io::Error::from)
}

fn write(path: &Path, letter: &Letter) -> io::Result<()> {
    durable::write(path, &serde_json::to_vec(letter)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn letters_outlive_the_process_and_go_when_their_job_has_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || Outbox::open(directory.path().join("webhooks")).expect("opens");
        let job: JobId = "0123456789abcdefghjkmnpqrs".parse().expect("a name");
        let letter =
            Letter { url: "http://a.b/".to_owned(), secret: None, state: Delivery::Pending, tried: 0, due: UnixMillis(5) };
        open().put(&job, letter.clone()).await.expect("is put in");
        let outbox = open();
        assert_eq!((outbox.due(UnixMillis(9)).0, outbox.open_ends()), (Vec::new(), vec![job.clone()]));
        assert_eq!(outbox.pending(), 1);
        outbox.ended(&job);
        assert_eq!(outbox.due(UnixMillis(4)), (Vec::new(), Some(UnixMillis(5))));
        assert_eq!(outbox.due(UnixMillis(5)), (vec![job.clone()], None));
        outbox.update(&job, Letter { state: Delivery::Delivered, tried: 1, ..letter.clone() }).await.expect("is written");
        // The same job again, for example because its submission was repeated, does not send it again.
        let outbox = open();
        outbox.put(&job, letter).await.expect("is there");
        assert!(outbox.open_ends().is_empty() && outbox.pending() == 0);
        assert_eq!(outbox.letter(&job).await.expect("is read").map(|letter| letter.state), Some(Delivery::Delivered));
        outbox.forget(&job).await.expect("goes");
        assert!(outbox.letter(&job).await.expect("is read").is_none());
    }

    #[tokio::test]
    async fn a_damaged_letter_is_set_aside_and_holds_up_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("webhooks");
        let open = || Outbox::open(root.clone()).expect("opens");
        let [damaged, fine]: [JobId; 2] =
            ["0123456789abcdefghjkmnpqrs", "1123456789abcdefghjkmnpqrs"].map(|name| name.parse().expect("a name"));
        let letter =
            Letter { url: "http://a.b/".to_owned(), secret: None, state: Delivery::Pending, tried: 0, due: UnixMillis(5) };
        for job in [&damaged, &fine] {
            open().put(job, letter.clone()).await.expect("is put in");
        }
        std::fs::write(root.join(damaged.as_str()), b"{\"url\": \"http").expect("own directory");
        for _ in 0..2 {
            let outbox = open();
            assert_eq!(outbox.open_ends(), std::slice::from_ref(&fine));
            assert!(outbox.letter(&damaged).await.expect("is read").is_none());
        }
        let outbox = open();
        assert!(aside(&root, &damaged).exists() && outbox.jobs().await.expect("are listed").contains(&damaged));
        outbox.forget(&damaged).await.expect("goes");
        assert!(!aside(&root, &damaged).exists());
        assert_eq!(outbox.jobs().await.expect("are listed"), [fine]);
    }
}
