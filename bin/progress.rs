//! Progress on stderr: a bar or all of the screen in a terminal, plain lines elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ratatui::crossterm::terminal;
use serde_json::Value;

use crate::output::note;
use crate::tui::Dashboard;

/// Between two plain lines inside of an epoch.
const PLAIN_INTERVAL: Duration = Duration::from_secs(20);

/// Columns of a line where no terminal says otherwise.
pub(crate) const WIDTH: usize = 80;

/// The parts with two spaces between them, without the lightest ones if they are too long together.
fn fitted(parts: &[(u8, String)], width: usize) -> String {
    let mut least = 0;
    loop {
        let kept: Vec<&str> =
            parts.iter().filter(|(weight, _)| *weight >= least).map(|(_, part)| &**part).collect();
        let line = kept.join("  ");
        if line.chars().count() <= width || least == u8::MAX {
            return line;
        }
        least += 1;
    }
}

/// What training shows while it runs.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    screen: RefCell<Option<Dashboard>>,
    quiet: bool,
    total: u64,
    first: u64,
    start: Instant,
    last_line: Cell<Instant>,
}

impl Progress {
    /// Progress over `total` steps, of which `done` are.
    pub(crate) fn new(total: u64, done: u64, quiet: bool, screen: Option<Dashboard>) -> Self {
        let bar = (!quiet && screen.is_none() && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:20} {pos}/{len}  ETA {eta}  {wide_msg}");
            let style = style.expect("a valid template");
            let bar = ProgressBar::new(total).with_style(style).with_position(done);
            bar.reset_eta();
            bar
        });
        let start = Instant::now();
        let screen = RefCell::new(screen);
        Self { bar, screen, quiet, total, first: done, start, last_line: Cell::new(start) }
    }

    /// A line that stays.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.warn(line);
        }
    }

    /// A line that is wanted however quiet it should be.
    pub(crate) fn warn(&self, line: &str) {
        if let Some(screen) = &mut *self.screen.borrow_mut() {
            screen.update(|view| view.note(line));
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None => note(line),
        }
    }

    /// A line of the log.
    pub(crate) fn log(&self, line: &Value) {
        if let Some(screen) = &mut *self.screen.borrow_mut() {
            screen.update(|view| view.log(line));
        }
    }

    /// The state after a step.
    pub(crate) fn step(&self, step: u64, loss: f64, running: &str, images_s: f64) {
        if let Some(screen) = &mut *self.screen.borrow_mut() {
            screen.update(|view| view.step(step, loss, running, images_s));
            return;
        }
        let state = || format!("loss {loss:.3}  {running}  {images_s:.0} images/s");
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(state());
        } else if !self.quiet && self.last_line.get().elapsed() >= PLAIN_INTERVAL {
            self.last_line.set(Instant::now());
            let each = self.start.elapsed().as_secs_f64() / (step - self.first).max(1) as f64;
            let left = each * (self.total - step) as f64;
            note(format!("step {step}/{}  {}  ETA {left:.0} s", self.total, state()));
        }
    }

    /// The line of an epoch: those of its parts that find room, the first and the last ones of all. Each has a weight, and the
    /// lighter ones go first.
    pub(crate) fn epoch(&self, parts: &[(u8, String)]) {
        self.last_line.set(Instant::now());
        let width = terminal::size().map_or(WIDTH, |(columns, _)| usize::from(columns));
        let width = if io::stderr().is_terminal() { width } else { WIDTH };
        self.note(&fitted(parts, width));
    }

    /// Takes the bar away, or gives the screen back.
    pub(crate) fn finish(&self) {
        self.screen.take();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_lightest_parts_until_it_fits() {
        let parts = [(9, "epoch 1"), (1, "12 images/s"), (5, "loss 1.0"), (1, "3 s")];
        let parts = parts.map(|(weight, part)| (weight, part.to_owned()));
        assert_eq!(fitted(&parts, 80), "epoch 1  12 images/s  loss 1.0  3 s");
        assert_eq!(fitted(&parts, 20), "epoch 1  loss 1.0");
        assert_eq!(fitted(&parts, 8), "epoch 1");
        assert_eq!(fitted(&[(255, "whole".to_owned())], 2), "whole");
    }
}
