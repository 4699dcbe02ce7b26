//! Advances the engine's epoch, so that running guests look at the clock.
//!
//! A thread of its own, because nothing else runs reliably while all cores are busy. Even so its sleeps may end
//! late: it then adds all the ticks that wall-clock time says it has missed. When no page has been at work for a
//! while it sleeps without a timeout; not at once, because waking it would cost a small page a third of its time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

#[expect(clippy::disallowed_types, reason = "wall-clock time is what the ticker is for")]
type Instant = std::time::Instant;

/// How often a running guest looks at the clock: deadlines and cancellations are this coarse.
pub(crate) const TICK: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// Ticks without a page after which the ticker goes to sleep: one second.
const LINGER: u32 = 100;

#[derive(Debug, Default)]
struct State {
    pages_at_work: usize,
    /// The ticker sleeps until it is woken.
    asleep: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("wasm-ticker".to_owned()).spawn(move || tick(&seen, || engine.increment_epoch()))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps the ticker ticking until the guard is dropped.
    pub(crate) fn watch(&self) -> Watch<'_> {
        let mut state = self.shared.lock();
        state.pages_at_work += 1;
        if std::mem::take(&mut state.asleep) {
            self.shared.wake.notify_one();
        }
        Watch(self)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // It holds nothing; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// A page is at work.
pub(crate) struct Watch<'a>(&'a Ticker);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.shared.lock().pages_at_work -= 1;
    }
}

fn tick(shared: &Shared, advance: impl Fn()) {
    let mut state = shared.lock();
    while !state.closed {
        let began = Instant::now();
        let (mut ticks, mut idle) = (0u32, 0u32);
        while idle < LINGER && !state.closed {
            (state, _) = shared.wake.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
            let due = due(began.elapsed());
            // A machine that was suspended for days owes no more ticks than end everything at once.
            for _ in ticks..due.min(ticks.saturating_add(1000)) {
                advance();
            }
            ticks = due;
            idle = if state.pages_at_work == 0 { idle + 1 } else { 0 };
        }
        state.asleep = !state.closed;
        while state.asleep && !state.closed {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Ticks due after `elapsed`.
fn due(elapsed: Duration) -> u32 {
    u32::try_from(elapsed.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn ticks_follow_the_wall_clock() {
        let table = [(0, 0), (9, 0), (10, 1), (19, 1), (1_000, 100), (123_456, 12_345)];
        for (millis, ticks) in table {
            assert_eq!(due(Duration::from_millis(millis)), ticks);
        }
        assert_eq!(due(Duration::MAX), u32::MAX);
    }

    #[test]
    fn it_sleeps_when_nothing_is_at_work_and_wakes_for_the_next_page() {
        let ticker = Ticker::start(Engine::default()).expect("a thread");
        let asleep = || ticker.shared.lock().asleep;
        while !asleep() {
            std::thread::yield_now();
        }
        let page = ticker.watch();
        assert!(!asleep(), "it was woken");
        drop(page);
    }

    /// However late its sleeps end, after any time it has ticked as often as that time holds ticks.
    #[test]
    fn missed_ticks_are_caught_up() {
        let shared = Arc::new(Shared::default());
        shared.lock().pages_at_work = 1;
        let ticks = Arc::new(AtomicU64::new(0));
        let thread = std::thread::spawn({
            let (shared, ticks) = (Arc::clone(&shared), Arc::clone(&ticks));
            move || tick(&shared, || _ = ticks.fetch_add(1, Ordering::SeqCst))
        });
        let began = Instant::now();
        // Holding the lock starves the ticker, as busy cores do.
        while began.elapsed() < TICK * 3 {
            let _held = shared.lock();
            while began.elapsed() < TICK * 2 {
                std::hint::spin_loop();
            }
        }
        while ticks.load(Ordering::SeqCst) < 3 {
            std::hint::spin_loop();
        }
        let most = due(began.elapsed());
        assert!(ticks.load(Ordering::SeqCst) <= u64::from(most));
        shared.lock().closed = true;
        shared.wake.notify_one();
        thread.join().expect("it ends when closed");
    }
}
