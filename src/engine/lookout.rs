//! Signals: the first Ctrl-C stops, the second detaches; SIGTERM is one Ctrl-C; SIGHUP stops nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What came so far: 0, 130 or 143.
#[derive(Clone, Default)]
pub(crate) struct Lookout {
    code: Arc<AtomicU8>,
    pub(crate) stop: CancellationToken,
    pub(crate) detach: CancellationToken,
}

impl Lookout {
    /// Takes over the process's signals from here on.
    pub(crate) fn start() -> Lookout {
        let lookout = Lookout::default();
        let watching = lookout.clone();
        tokio::spawn(async move {
            let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            loop {
                let code = tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                    _ = hangup.recv() => continue,
                };
                let _ = watching
                    .code
                    .compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
                if watching.stop.is_cancelled() {
                    watching.detach.cancel();
                } else {
                    watching.stop.cancel();
                }
            }
        });
        lookout
    }

    pub(crate) fn code(&self) -> Option<u8> {
        match self.code.load(Ordering::SeqCst) {
            0 => None,
            code => Some(code),
        }
    }
}
