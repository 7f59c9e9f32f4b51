//! Ctrl-C and SIGTERM, for a command that ends itself in an orderly way.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the program was told to stop.
static STOPPED: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// From now on the first signal only makes [`is_stopped`] true; a second one ends the program at
/// once.
#[cfg(feature = "openai")]
pub(crate) fn watch() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    #[cfg(unix)]
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut signals = signal(kind)?;
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    stop();
                }
            });
        }
        std::io::Result::Ok(())
    })?;
    #[cfg(not(unix))]
    runtime.spawn(async {
        while tokio::signal::ctrl_c().await.is_ok() {
            stop();
        }
    });
    // The tasks run for as long as the program does.
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(())
}

#[cfg(feature = "openai")]
fn stop() {
    if STOPPED.swap(true, Ordering::Relaxed) {
        std::process::exit(i32::from(crate::failure::INTERRUPTED));
    }
}

/// Without an asynchronous runtime no signal is caught: the program ends at once, and what it was
/// writing ends in the middle of a line at worst.
#[cfg(not(feature = "openai"))]
#[allow(clippy::unnecessary_wraps, reason = "as with the feature `openai`")]
pub(crate) fn watch() -> std::io::Result<()> {
    Ok(())
}
