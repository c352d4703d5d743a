//! A record of what ran when, op by op.
//!
//! Between [`start`] and [`finish`] every op leaves an event: forward, the time since the event before it on its thread
//! (so the events of a pass add up to its time), and backward, the time of its derivatives. Costs one relaxed load an op
//! when off.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tensor::profile::{Counts, counts};

/// Something that took time on a thread.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The op or [`span`].
    pub name: &'static str,
    /// What it was.
    pub kind: Kind,
    /// Number of the thread, in the order of their first events.
    pub thread: usize,
    /// Since [`start`].
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// What was computed and allocated meanwhile.
    pub counts: Counts,
}

/// What an [`Event`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A [`span`].
    Span,
    /// An op.
    Forward,
    /// The derivatives of an op.
    Backward,
}

static ON: AtomicBool = AtomicBool::new(false);
static EVENTS: Mutex<Events> =
    Mutex::new(Events { started: None, threads: Vec::new(), list: Vec::new() });

struct Events {
    started: Option<Instant>,
    threads: Vec<std::thread::ThreadId>,
    list: Vec<Event>,
}

thread_local! {
    /// When the last event of this thread ended.
    static LAST: Cell<Option<(Instant, Counts)>> = const { Cell::new(None) };
}

/// Starts a record, dropping one that was not finished.
pub fn start() {
    let mut events = lock();
    (events.started, events.threads, events.list) = (Some(Instant::now()), Vec::new(), Vec::new());
    ON.store(true, Ordering::Relaxed);
}

/// Ends the record and returns its events, in the order of their ends.
pub fn finish() -> Vec<Event> {
    ON.store(false, Ordering::Relaxed);
    std::mem::take(&mut lock().list)
}

fn lock() -> std::sync::MutexGuard<'static, Events> {
    EVENTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// An event from here until it is dropped.
#[derive(Debug)]
#[must_use = "a span ends where it is dropped"]
pub struct Span {
    name: &'static str,
    from: Option<(Instant, Counts)>,
}

/// Opens a [`Span`].
pub fn span(name: &'static str) -> Span {
    Span { name, from: begin() }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(from) = self.from {
            push(self.name, Kind::Span, from);
            begin();
        }
    }
}

/// The next event of this thread starts here.
pub(crate) fn begin() -> Option<(Instant, Counts)> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    let now = Some((Instant::now(), counts()));
    LAST.set(now);
    now
}

/// An event ends here that started where the one before ended.
pub(crate) fn end(name: &'static str, kind: Kind) {
    if ON.load(Ordering::Relaxed) {
        if let Some(from) = LAST.get() {
            push(name, kind, from);
        }
        begin();
    }
}

fn push(name: &'static str, kind: Kind, (from, before): (Instant, Counts)) {
    let (duration, counts) = (from.elapsed(), counts() - before);
    let mut events = lock();
    let Some(started) = events.started else { return };
    let id = std::thread::current().id();
    let thread = events.threads.iter().position(|other| *other == id).unwrap_or_else(|| {
        events.threads.push(id);
        events.threads.len() - 1
    });
    let start = from.saturating_duration_since(started);
    events.list.push(Event { name, kind, thread, start, duration, counts });
}
