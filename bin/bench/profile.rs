//! Where the time of a step goes: a table of ops, and a trace of all threads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use autograd::profile::{Event, Kind};
use serde::Serialize;
use tensor::profile::Counts;

/// An op, its derivatives, or a part of the step, summed over all threads and divided by the number of steps.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) calls: f64,
    /// Milliseconds, those of what ran inside included.
    pub(crate) total_ms: f64,
    /// Milliseconds without what ran inside.
    pub(crate) self_ms: f64,
    /// Multiplications and additions of matrix products, per nanosecond of `total_ms`.
    pub(crate) gflop_s: f64,
    /// Bytes of the tensors that were built, per nanosecond of `total_ms`.
    pub(crate) gb_s: f64,
    /// MiB by which the tensors alive grew: in a forward pass, what is kept for the backward pass.
    pub(crate) kept_mb: f64,
}

/// The table, most self time first.
pub(crate) fn table(events: &[Event], steps: usize) -> Vec<Row> {
    let mut sums: BTreeMap<(&str, Kind), (usize, Duration, Duration, Counts)> = BTreeMap::new();
    let mut by_thread: BTreeMap<usize, Vec<&Event>> = BTreeMap::new();
    events.iter().for_each(|event| by_thread.entry(event.thread).or_default().push(event));
    for events in by_thread.values_mut() {
        // What encloses comes before what it encloses: earlier, or as early and longer.
        events.sort_by_key(|event| (event.start, std::cmp::Reverse(event.duration)));
        let mut open: Vec<&Event> = Vec::new();
        for event in events.iter() {
            while open.last().is_some_and(|outer| outer.start + outer.duration <= event.start) {
                open.pop();
            }
            let (calls, total, own, counts) = sums.entry((event.name, event.kind)).or_default();
            *calls += 1;
            *total += event.duration;
            *own += event.duration;
            *counts = *counts + event.counts;
            if let Some(outer) = open.last() {
                let (_, _, own, _) = sums.get_mut(&(outer.name, outer.kind)).expect("opened");
                *own = own.saturating_sub(event.duration);
            }
            if event.kind == Kind::Span {
                open.push(event);
            }
        }
    }
    let per_step = |x: f64| x / steps as f64;
    let rows = sums.into_iter().map(|((name, kind), (calls, total, own, counts))| {
        let nanoseconds = (total.as_nanos() as f64).max(1.0);
        Row {
            name: match kind {
                Kind::Span => format!("[{name}]"),
                Kind::Forward => name.to_owned(),
                Kind::Backward => format!("{name} ∂"),
            },
            calls: per_step(calls as f64),
            total_ms: per_step(1e3 * total.as_secs_f64()),
            self_ms: per_step(1e3 * own.as_secs_f64()),
            gflop_s: counts.flop as f64 / nanoseconds,
            gb_s: counts.written as f64 / nanoseconds,
            kept_mb: per_step(counts.live as f64 / f64::from(1 << 20)),
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort_by(|a, b| b.self_ms.total_cmp(&a.self_ms));
    rows
}

/// The table for a reader. Shares are those of the time that threads worked; the main thread waits in `[step]`.
pub(super) fn print(rows: &[Row], out: &mut impl Write) -> Result<()> {
    let waits = |row: &&Row| row.name == "[step]";
    let all: f64 = rows.iter().filter(|row| !waits(row)).map(|row| row.self_ms).sum();
    writeln!(
        out,
        "  op, ∂ its derivatives       calls  total ms   self ms      %   GFLOP/s    GB/s   kept MB"
    )?;
    for row in rows {
        let share = 100.0 * row.self_ms / all.max(1e-9);
        let share = if waits(&row) { String::new() } else { format!("{share:.1}") };
        writeln!(
            out,
            "  {:<25} {:>7.0} {:>9.2} {:>9.2} {share:>6} {:>9.1} {:>7.1} {:>9.2}",
            row.name, row.calls, row.total_ms, row.self_ms, row.gflop_s, row.gb_s, row.kept_mb
        )?;
    }
    Ok(())
}

/// Writes the events in Chrome's trace format (for ui.perfetto.dev or chrome://tracing).
pub(super) fn write_trace(path: &Path, events: &[Event]) -> Result<()> {
    let describe = || format!("{}: the trace cannot be written", path.display());
    let microseconds = |time: Duration| time.as_nanos() as f64 / 1e3;
    let events: Vec<_> = events
        .iter()
        .map(|event| {
            serde_json::json!({
                "name": event.name,
                "cat": format!("{:?}", event.kind).to_lowercase(),
                "ph": "X",
                "pid": 1,
                "tid": event.thread,
                "ts": microseconds(event.start),
                "dur": microseconds(event.duration),
                "args": {
                    "flop": event.counts.flop,
                    "bytes built": event.counts.written,
                    "bytes kept": event.counts.live,
                },
            })
        })
        .collect();
    let mut file = BufWriter::new(File::create(path).with_context(describe)?);
    serde_json::to_writer(&mut file, &serde_json::json!({ "traceEvents": events }))
        .with_context(describe)?;
    file.flush().with_context(describe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn self_time_is_what_remains_of_a_span_without_what_it_encloses() {
        let event = |name, kind, thread, start, end| Event {
            name,
            kind,
            thread,
            start: Duration::from_millis(start),
            duration: Duration::from_millis(end - start),
            counts: Counts { flop: 1_000_000, ..Counts::default() },
        };
        let events = [
            event("exp", Kind::Forward, 0, 1, 4),
            event("exp", Kind::Backward, 0, 4, 9),
            event("shard", Kind::Span, 0, 1, 10),
            event("shard", Kind::Span, 1, 0, 5),
            event("step", Kind::Span, 0, 0, 20),
        ];
        let rows = table(&events, 1);
        let row = |name: &str| rows.iter().find(|row| row.name == name).expect("listed");
        assert_eq!((row("[step]").total_ms, row("[step]").self_ms), (20.0, 11.0));
        assert_eq!((row("[shard]").total_ms, row("[shard]").self_ms), (14.0, 6.0));
        assert_eq!((row("exp").self_ms, row("exp ∂").self_ms), (3.0, 5.0));
        assert_eq!((row("exp").gflop_s, row("[shard]").calls), (1.0 / 3.0, 2.0));
    }
}
