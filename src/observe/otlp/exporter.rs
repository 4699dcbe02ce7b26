//! Sends spans, a batch at a time, for as long as the daemon lives.
//!
//! There is one batch on its way at any time, and it is tried twice at most. While a collector is slow or gone the buffer fills up,
//! and what finds no room in it is dropped: no request waits for a collector, and no memory grows because of one.

use std::time::Duration;

use eventmesh_actors::spawn_named;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::buffer::Spans;
use super::collector::{Collector, Told};
use super::config::{OtlpConfig, traces};
use super::encode::encode;
use super::span::Finished;
use crate::fetch::FetcherError;

/// Sends spans to a collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    spans: Spans,
    collector: Collector,
    interval: Duration,
    /// The last batch was not taken: that is told once, and not for each.
    failing: bool,
}

/// An exporter at work.
#[derive(Debug)]
pub(crate) struct Exporting {
    spans: Spans,
    closing: watch::Sender<bool>,
    running: JoinHandle<Option<()>>,
}

/// The delay before a batch is sent again, or half of it.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest that a collector may ask for: past it what waits is dropped rather than this batch.
const LONGEST_WISH: Duration = Duration::from_secs(30);

impl Exporter {
    /// Takes the spans of this process, if there is a collector for them.
    pub(crate) fn new(config: &OtlpConfig, spans: &Spans) -> Result<Option<Self>, FetcherError> {
        // That it is an address is known by now.
        let Some(traces) = config.endpoint.as_deref().and_then(traces) else { return Ok(None) };
        let collector = Collector::new(traces, config.timeout)?;
        if !spans.open(config.queue, config.batch) {
            tracing::warn!("the spans of this process are another daemon's; there are none of this one");
            return Ok(None);
        }
        Ok(Some(Self { spans: spans.clone(), collector, interval: config.interval, failing: false }))
    }

    /// Sends from now on.
    pub(crate) fn start(self) -> Exporting {
        let (closing, is_closing) = watch::channel(false);
        let spans = self.spans.clone();
        Exporting { spans, closing, running: spawn_named("otlp", self.run(is_closing)) }
    }

    async fn run(mut self, mut closing: watch::Receiver<bool>) {
        loop {
            let is_last = tokio::select! {
                () = closed(&mut closing) => true,
                () = self.spans.full() => false,
                () = sleep(self.interval) => false,
            };
            let batch = self.spans.take();
            if !batch.is_empty() {
                self.send(batch, &mut closing).await;
            } else if is_last {
                return;
            }
        }
    }

    /// Sends a batch, and once more if that may help.
    async fn send(&mut self, batch: Vec<Finished>, closing: &mut watch::Receiver<bool>) {
        let count = batch.len() as u64;
        let body = match encode(&batch) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "spans cannot be written down");
                return self.spans.have_failed(count);
            }
        };
        // It is held once.
        drop(batch);
        let mut told = self.collector.post(body.clone()).await;
        if let Some(delay) = again(&told, fastrand::f64()) {
            let waited = tokio::select! {
                () = sleep(delay) => true,
                // There is no time left for manners; others want to be sent, too.
                () = closed(closing) => false,
            };
            if waited {
                told = self.collector.post(body).await;
            }
        }
        match told {
            Told::Taken { rejected } => {
                let rejected = rejected.min(count);
                self.spans.were_sent(count - rejected);
                self.spans.have_failed(rejected);
                if self.failing {
                    tracing::info!("the collector takes spans again");
                }
                self.failing = false;
            }
            Told::Missed { why, .. } | Told::Refused { why } => {
                self.spans.have_failed(count);
                if !self.failing {
                    tracing::warn!(why, "the collector does not take spans; they are dropped until it does");
                }
                self.failing = true;
            }
        }
    }
}

impl Exporting {
    /// Takes no more spans, sends those that wait, and ends, all within that time.
    pub(crate) async fn end(mut self, within: Duration) {
        self.spans.close();
        self.closing.send_replace(true);
        if timeout(within, &mut self.running).await.is_err() {
            self.running.abort();
            tracing::warn!(left = self.spans.counted().waiting, "the last spans were not sent in time");
        }
    }
}

/// Waits until it is to end, or nobody is left who could say so.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// How long to wait before a batch is sent again; `None` if it is not. `roll` is at random from 0 to 1, so that daemons that were
/// sent away together do not come back together.
fn again(told: &Told, roll: f64) -> Option<Duration> {
    match told {
        Told::Missed { wish, .. } => {
            let wish = wish.unwrap_or_default().min(LONGEST_WISH);
            Some(wish + AGAIN.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0))
        }
        Told::Taken { .. } | Told::Refused { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_sent_again_and_not_at_once() {
        let missed = |seconds: Option<u64>| Told::Missed { why: String::new(), wish: seconds.map(Duration::from_secs) };
        for (told, roll, expected) in [
            (missed(None), 0.5, Some(750)),
            (missed(Some(2)), 0.0, Some(2_500)),
            (missed(Some(2)), 1.0, Some(3_000)),
            (missed(Some(1_000_000)), 0.0, Some(30_500)),
            (missed(None), 7.0, Some(1_000)),
            (Told::Taken { rejected: 3 }, 0.5, None),
            (Told::Refused { why: String::new() }, 0.5, None),
        ] {
            assert_eq!(again(&told, roll), expected.map(Duration::from_millis), "{told:?}");
        }
    }

    #[test]
    fn without_a_collector_there_are_no_spans() {
        let spans = Spans::default();
        assert!(Exporter::new(&OtlpConfig::default(), &spans).expect("it is off").is_none());
        assert!(!spans.are_wanted());
    }

    #[test]
    fn spans_are_one_daemons() {
        let spans = Spans::default();
        let config = OtlpConfig { endpoint: Some("http://127.0.0.1:4318".to_owned()), ..OtlpConfig::default() };
        let first = Exporter::new(&config, &spans).expect("it is an address");
        let second = Exporter::new(&config, &spans).expect("it is an address");
        assert!(first.is_some() && second.is_none());
    }

    #[tokio::test]
    async fn it_ends_in_time_whether_or_not_somebody_listens() {
        for spans_there in [0, 3] {
            let spans = Spans::default();
            // Nobody ever listens at the first port.
            let config = OtlpConfig { endpoint: Some("http://127.0.0.1:1".to_owned()), ..OtlpConfig::default() };
            let exporting = Exporter::new(&config, &spans).expect("an address").expect("it is on").start();
            for id in 1..=spans_there {
                let said = super::super::span::Said::default();
                spans.push(Finished { trace: 1, id, parent: None, name: "gate", began: 1, ended: 2, said });
            }
            exporting.end(Duration::from_secs(30)).await;
            let counted = spans.counted();
            assert_eq!((counted.sent, counted.failed, counted.waiting), (0, spans_there, 0));
        }
    }
}
