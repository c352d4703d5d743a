//! Ctrl-C, SIGTERM, a terminal that closes, a parent that ends: all ask the program to stop.

use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::output;

/// Whether somebody waits for the program to end. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

/// Between two looks at whether somebody waits.
const WAIT: Duration = Duration::from_millis(50);
/// Of a thread that does what the main one would.
const STACK: usize = 8 << 20;

impl Interrupt {
    /// Listens from here on; a second signal ends the program at once. `told` is said on stderr at the first one.
    ///
    /// # Errors
    /// If signals cannot be handled, or already are.
    pub(crate) fn listen(told: &'static str) -> Result<Self> {
        let new = Self::default();
        let (interrupt, had_terminal) = (new.clone(), io::stderr().is_terminal());
        let mut is_second = false;
        let handler = move || {
            // A terminal that closes says so twice: by the system and by the shell. Nobody is there who could have asked twice.
            let is_gone = had_terminal && !io::stderr().is_terminal();
            if std::mem::replace(&mut is_second, true) && !is_gone {
                std::process::exit(1);
            }
            interrupt.ask();
            output::note(format_args!("\ninterrupted: {told}"));
        };
        ctrlc::set_handler(handler).context("Ctrl-C cannot be handled")?;
        Ok(new)
    }

    /// Asks the program to stop; returns whether that was asked before.
    pub(crate) fn ask(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether the program is asked to stop.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Does what may take long and leaves nothing behind. Whoever asks meanwhile is told the `parting` words, and the program ends.
    pub(crate) fn watched<T: Send>(
        &self,
        work: impl FnOnce() -> T + Send,
        parting: impl FnOnce() -> Result<()>,
    ) -> Result<T> {
        thread::scope(|scope| {
            let (done, is_done) = mpsc::channel::<()>();
            let work = move || {
                let result = work();
                drop(done);
                result
            };
            let worker = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            let worker = worker.context("a thread cannot be started")?;
            while is_done.recv_timeout(WAIT) == Err(RecvTimeoutError::Timeout) {
                if self.asked() {
                    parting()?;
                    std::process::exit(0);
                }
            }
            Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Calls `end` when standard input comes to its end. Whoever started this process holds the other side of it, so that this process
/// learns when that one is gone, however it ended.
pub(crate) fn when_input_ends(end: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; 256];
        while io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
        end();
    });
}
