//! Training in a terminal of at least 80 × 24: curves, throughput, rate, gradient, memory, and the time that is left.

use std::io::{Stderr, stderr};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};
use serde_json::Value;

use crate::interrupt::Interrupt;

/// Between two pictures.
const INTERVAL: Duration = Duration::from_millis(200);
/// Lines that are kept to be shown.
const LINES: usize = 3;

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    title: String,
    total: u64,
    step: u64,
    /// Loss of each step, smoothed, over steps.
    loss: Vec<(f64, f64)>,
    /// The metric of the evaluation set, over steps.
    metric: Vec<(f64, f64)>,
    metric_name: String,
    running: String,
    images_s: f64,
    rate: Option<f64>,
    grad_norm: Option<f64>,
    memory_mb: Option<u64>,
    left: Option<Duration>,
    lines: Vec<String>,
}

impl View {
    /// A run of `total` steps, of which `step` are done.
    pub(crate) fn new(title: String, total: u64, step: u64) -> Self {
        Self { title, total, step, ..Self::default() }
    }

    /// After a line of an earlier process.
    pub(crate) fn after(mut self, line: &Value) -> Self {
        let number = |key: &str| line.get(key).and_then(Value::as_f64);
        let loss = number("loss").or(number("train_loss"));
        if let (Some(step), Some(loss)) =
            (number("step").filter(|&step| step <= self.step as f64), loss)
        {
            self.loss.push((step, loss));
            self.log(line);
        }
        self
    }

    /// After a step. The curve is an exponential mean over about twenty steps.
    pub(crate) fn step(&mut self, step: u64, loss: f64, running: &str, images_s: f64) {
        let mean = self.loss.last().map_or(loss, |&(_, last)| 0.95 * last + 0.05 * loss);
        self.loss.push((step as f64, mean));
        // Every other point goes when there are many more than columns.
        if self.loss.len() > 4000 {
            let mut keep = false;
            self.loss.retain(|_| {
                keep = !keep;
                keep
            });
        }
        (self.step, self.images_s) = (step, images_s);
        running.clone_into(&mut self.running);
    }

    /// After a line of the log.
    pub(crate) fn log(&mut self, line: &Value) {
        let number = |key: &str| line.get(key).and_then(Value::as_f64);
        self.rate = number("rate").or(self.rate);
        self.grad_norm = number("grad_norm").or(self.grad_norm);
        self.memory_mb = line.get("rss_mb").and_then(Value::as_u64).or(self.memory_mb);
        let (Some(step), Some(object)) = (number("step"), line.as_object()) else { return };
        let is_score = |key: &str| {
            (key.starts_with("test_") || key.starts_with("validation_")) && !key.ends_with("_loss")
        };
        if let Some((key, value)) = object.iter().find(|(key, _)| is_score(key)) {
            self.metric_name = key.replace("_per_", "/").replace('_', " ");
            self.metric.extend(value.as_f64().map(|value| (step, value)));
        }
    }

    /// A line that stays for a while.
    pub(crate) fn note(&mut self, line: &str) {
        self.lines.push(line.to_owned());
        let over = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..over);
    }
}

/// A terminal that is ours until this is dropped. It is drawn on stderr; stdout stays free for the result.
pub(crate) struct Dashboard {
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stderr>>>,
    view: View,
    /// When, and at which step, this process began.
    start: (Instant, u64),
    drawn: Instant,
    /// Whether it is still there.
    is_open: Arc<AtomicBool>,
    interrupt: Interrupt,
    /// Whether it was said that training stops.
    is_told: bool,
}

impl Dashboard {
    /// Takes the terminal. The keys q and Ctrl-C interrupt; a second time they end the program.
    ///
    /// # Errors
    /// If stderr is no terminal.
    pub(crate) fn open(view: View, interrupt: Interrupt) -> Result<Self> {
        enable_raw_mode().context("--tui: a terminal expected")?;
        execute!(stderr(), EnterAlternateScreen).context("--tui")?;
        let terminal = Terminal::new(CrosstermBackend::new(stderr())).context("--tui")?;
        // Dropping it would print to a stderr that may be gone, and panic; `restore` does what it would.
        let terminal = ManuallyDrop::new(terminal);
        let start = (Instant::now(), view.step);
        let (is_open, drawn) = (Arc::new(AtomicBool::new(true)), Instant::now());
        let mut new = Self { terminal, view, start, drawn, is_open, interrupt, is_told: false };
        new.draw();
        new.listen();
        Ok(new)
    }

    /// Changes what is shown; draws if it is time to.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut View)) {
        change(&mut self.view);
        if self.interrupt.asked() && !self.is_told {
            self.is_told = true;
            self.view.note("stopping after this step; once more to stop at once");
        }
        if self.drawn.elapsed() >= INTERVAL && self.is_open.load(Ordering::Relaxed) {
            self.draw();
        }
    }

    fn draw(&mut self) {
        self.drawn = Instant::now();
        let done = self.view.step - self.start.1;
        let each = self.start.0.elapsed().as_secs_f64() / done.max(1) as f64;
        let left = each * self.view.total.saturating_sub(self.view.step) as f64;
        self.view.left = (done > 0).then(|| Duration::from_secs_f64(left));
        if self.terminal.draw(|frame| draw(frame, &self.view)).is_err() {
            // It was closed, and with it whoever looked on: the run is saved, and ends.
            self.is_open.store(false, Ordering::Relaxed);
            self.interrupt.ask();
        }
    }

    /// Waits for keys on a thread of its own: reading from a terminal that was closed need not come to an end.
    fn listen(&self) {
        let (is_open, interrupt) = (Arc::clone(&self.is_open), self.interrupt.clone());
        std::thread::spawn(move || {
            while is_open.load(Ordering::Relaxed) {
                let event = match event::poll(INTERVAL) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                match event {
                    Ok(Event::Key(key)) if is_stop(key) => {
                        if interrupt.ask() {
                            restore();
                            std::process::exit(1);
                        }
                    }
                    Ok(_) => {}
                    Err(_) => {
                        interrupt.ask();
                        return;
                    }
                }
            }
        });
    }
}

/// Whether this key asks for an end: q or Ctrl-C.
fn is_stop(key: KeyEvent) -> bool {
    let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
    ctrl_c || key.code == KeyCode::Char('q')
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.is_open.store(false, Ordering::Relaxed);
        restore();
    }
}

fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(stderr(), LeaveAlternateScreen, cursor::Show);
}

fn draw(frame: &mut Frame<'_>, view: &View) {
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(8),
        Constraint::Length(2),
        Constraint::Length(LINES as u16),
    ];
    let [title, bar, curves, numbers, lines] = Layout::vertical(rows).areas(frame.area());
    let [losses, scores] = Layout::horizontal([Constraint::Fill(1); 2]).areas(curves);
    frame.render_widget(Line::from(view.title.as_str()).bold(), title);
    let ratio = view.step as f64 / view.total.max(1) as f64;
    let left = view.left.map_or_else(|| "…".to_owned(), duration);
    let label = format!("{}/{}, {left} left", view.step, view.total);
    let gauge = Gauge::default().ratio(ratio.clamp(0.0, 1.0)).label(label);
    frame.render_widget(gauge.gauge_style(Style::new().fg(Color::Blue)), bar);
    curve(frame, losses, "loss", &view.loss, view.total);
    let name = if view.metric_name.is_empty() { "no score yet" } else { &view.metric_name };
    curve(frame, scores, name, &view.metric, view.total);
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let first = format!("{}  {:.0} images/s", view.running, view.images_s);
    let second = format!(
        "rate {}  gradient {}  memory {}  q stops",
        or_dash(view.rate.map(|rate| format!("{rate:.2e}"))),
        or_dash(view.grad_norm.map(|norm| format!("{norm:.3}"))),
        or_dash(view.memory_mb.map(|mb| format!("{mb} MB"))),
    );
    frame.render_widget(Paragraph::new(vec![first.into(), second.into()]), numbers);
    let text: Vec<Line<'_>> = view.lines.iter().map(|line| line.as_str().into()).collect();
    frame.render_widget(Paragraph::new(text).dim(), lines);
}

/// A curve over all steps, with its last value in the title.
fn curve(frame: &mut Frame<'_>, area: Rect, name: &str, points: &[(f64, f64)], total: u64) {
    let title = match points.last() {
        Some((_, last)) => format!(" {name} {last:.4} "),
        None => format!(" {name} "),
    };
    let [low, high] = bounds(points);
    let mark = |value: f64| format!("{value:.3}");
    let data = Dataset::default()
        .data(points)
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::new().fg(Color::Cyan));
    let steps = Axis::default()
        .bounds([0.0, total.max(1) as f64])
        .labels(["0".to_owned(), total.to_string()]);
    let values = Axis::default().bounds([low, high]).labels([
        mark(low),
        mark(f64::midpoint(low, high)),
        mark(high),
    ]);
    let chart = Chart::new(vec![data]).x_axis(steps).y_axis(values);
    frame.render_widget(chart.block(Block::bordered().title(title)), area);
}

/// The least and the greatest value, a little apart.
fn bounds(points: &[(f64, f64)]) -> [f64; 2] {
    let values = || points.iter().map(|&(_, value)| value).filter(|value| value.is_finite());
    let (low, high) =
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    match low <= high {
        true => {
            let room = 0.05 * (high - low).max(1e-3);
            [low - room, high + room]
        }
        false => [0.0, 1.0],
    }
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 60 {
        0 => format!("{seconds} s"),
        minutes @ 1..60 => format!("{minutes} min {} s", seconds % 60),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;

    fn shown(view: &View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        let buffer = terminal.backend().buffer();
        let symbol = |x, y| buffer.cell((x, y)).map_or(" ", |cell| cell.symbol());
        (0..height).map(|y| (0..width).map(|x| symbol(x, y)).collect()).collect()
    }

    #[test]
    fn eighty_columns_and_twenty_four_lines_show_all() {
        let mut view = View {
            title: "vit-sample → runs/vit-sample-001".into(),
            total: 100,
            ..View::default()
        };
        for step in 1..=50 {
            view.step(step, 2.0 / step as f64, "accuracy 0.531", 1234.0);
        }
        view.log(&serde_json::json!({
            "step": 50, "rate": 0.002, "grad_norm": 0.75, "rss_mb": 40, "test_accuracy": 0.5, "test_loss": 1.0
        }));
        view.left = Some(Duration::from_secs(75));
        view.note("epoch 1/2");
        let lines = shown(&view, 80, 24);
        for expected in [
            "vit-sample → runs",
            "50/100, 1 min 15 s left",
            "loss 0.",
            "test accuracy 0.5000",
            "accuracy 0.531  1234 images/s",
            "rate 2.00e-3  gradient 0.750  memory 40 MB",
            "epoch 1/2",
        ] {
            assert!(
                lines.iter().any(|line| line.contains(expected)),
                "{expected}:\n{}",
                lines.join("\n")
            );
        }
        assert!(
            lines.iter().any(|line| line.contains('⡀') || line.contains('⠤') || line.contains('⣀'))
        );
        shown(&View::default(), 20, 5); // too small, but no panic
        let nan = View { loss: vec![(1.0, f64::NAN)], ..View::default() };
        shown(&nan, 80, 24);
    }

    #[test]
    fn curves_keep_their_shape_when_there_are_many_steps() {
        let mut view = View::default();
        (0..50_000).for_each(|step| view.step(step, 1.0, "", 0.0));
        assert!(view.loss.len() <= 4001);
        assert!(view.loss.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
