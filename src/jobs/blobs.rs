//! Answers that are too large for the journal, as files: `blobs/JOB/SHA-256`. Named by their content, so that what was
//! written before a crash is found again, and below their job, so that they go when it goes.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use eventmesh_actors::spawn_named;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::durable;
use crate::queue::JobId;

/// The files. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    root: Arc<PathBuf>,
    /// Bytes of all files, about.
    held: Arc<AtomicU64>,
}

impl Blobs {
    /// Opens the directory. Blocking.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        durable::directory(&root)?;
        let mut held = 0;
        for job in std::fs::read_dir(&root)? {
            let job = job?.path();
            for file in std::fs::read_dir(&job)? {
                let file = file?;
                if file.file_name().to_string_lossy().ends_with(durable::UNFINISHED) {
                    durable::removed(std::fs::remove_file(file.path()))?;
                } else {
                    held += file.metadata()?.len();
                }
            }
        }
        Ok(Self { root: Arc::new(root), held: Arc::new(AtomicU64::new(held)) })
    }

    /// Bytes of all files.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Keeps an answer and returns its name. It is on the disk then.
    pub(crate) async fn keep(&self, job: &JobId, bytes: Bytes) -> io::Result<String> {
        let (directory, held) = (self.root.join(job.as_str()), Arc::clone(&self.held));
        let keep = move || {
            let name: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            durable::directory(&directory)?;
            let path = directory.join(&name);
            if std::fs::metadata(&path).is_ok_and(|file| file.len() == bytes.len() as u64) {
                return Ok(name);
            }
            durable::write(&path, &bytes)?;
            held.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(name)
        };
        spawn_blocking(keep).await.map_err(io::Error::other)?
    }

    /// An answer that was kept.
    pub(crate) async fn read(&self, job: &JobId, name: &str) -> io::Result<Bytes> {
        // Names come from our own log; a log that was tampered with must not lead anywhere else.
        if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ErrorKind::InvalidData.into());
        }
        let path = self.root.join(job.as_str()).join(name);
        spawn_blocking(move || std::fs::read(path).map(Bytes::from)).await.map_err(io::Error::other)?
    }

    /// The jobs that have files here.
    pub(crate) async fn jobs(&self) -> io::Result<Vec<JobId>> {
        let root = Arc::clone(&self.root);
        let jobs = move || names(&root);
        spawn_blocking(jobs).await.map_err(io::Error::other)?
    }

    /// Forgets what a job has here.
    pub(crate) async fn forget(&self, job: &JobId) -> io::Result<()> {
        let (directory, held) = (self.root.join(job.as_str()), Arc::clone(&self.held));
        let forget = move || {
            let mut bytes = 0;
            for file in std::fs::read_dir(&directory)? {
                bytes += file?.metadata()?.len();
            }
            durable::removed(std::fs::remove_dir_all(&directory))?;
            let _ = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(held.saturating_sub(bytes)));
            Ok(())
        };
        // To its end, whoever waits for it.
        spawn_named("forget", async move { spawn_blocking(forget).await }).await?.transpose()?.unwrap_or(Ok(()))
    }
}

fn names(root: &Path) -> io::Result<Vec<JobId>> {
    let mut jobs = Vec::new();
    for entry in std::fs::read_dir(root)? {
        // What has another name is not ours.
        jobs.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_found_again_until_its_job_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("blobs");
        let blobs = Blobs::open(root.clone()).expect("opens");
        let job: JobId = "0123456789abcdefghjkmnpqrs".parse().expect("a name");
        let name = blobs.keep(&job, Bytes::from_static(b"much")).await.expect("is kept");
        assert_eq!(blobs.keep(&job, Bytes::from_static(b"much")).await.expect("is kept"), name);
        assert_eq!((&blobs.read(&job, &name).await.expect("is there")[..], blobs.held()), (&b"much"[..], 4));
        assert!(blobs.read(&job, "../../etc/passwd").await.is_err());
        // A crash in the middle of writing leaves what the next start removes.
        std::fs::write(root.join(job.as_str()).join(format!("x{}", durable::UNFINISHED)), "half").expect("writes");
        let again = Blobs::open(root.clone()).expect("opens");
        assert_eq!((again.held(), again.jobs().await.expect("lists")), (4, vec![job.clone()]));
        again.forget(&job).await.expect("goes");
        assert_eq!((again.held(), std::fs::read_dir(root).expect("is there").count()), (0, 0));
    }
}
