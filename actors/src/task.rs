//! The one place that starts tasks: each has a name, and a panic in one is reported.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinHandle;
use tracing::Instrument;

/// Starts `future` on the current runtime under a constant `name`.
///
/// A panic in it is logged with the name and its text; the handle then yields `None`.
///
/// # Panics
/// Outside a tokio runtime.
#[expect(clippy::disallowed_methods, reason = "this is what the ban points to")]
pub fn spawn_named<F>(name: &'static str, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let guarded = async move {
        let mut future = pin!(future);
        // What the future owned is dropped with it and never looked at again, so nobody sees it torn.
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Err(payload) => {
                tracing::error!(task = name, panic = panic_text(&*payload), "task panicked");
                Poll::Ready(None)
            }
        })
        .await
    };
    // Nobody's: whoever works for a request says so itself, and that must not hang on how much is logged.
    tokio::spawn(guarded.instrument(tracing::debug_span!(parent: None, "task", name)))
}

/// The text of a panic's payload.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_contained() {
        let task = spawn_named("doomed", async { panic!("on purpose") });
        assert_eq!(task.await.ok(), Some(None::<()>));
        assert_eq!(spawn_named("fine", async { 7 }).await.ok(), Some(Some(7)));
    }
}
