//! Being asked to stop: by Ctrl-C, or by whoever runs this program.

use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// Waits until somebody asks this program to stop. Create it once and keep polling it, so that nothing is missed.
pub(crate) async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            // Then the signal ends the process, as it does by default.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = ctrl_c() => {}
        _ = terminated => {}
    }
}
