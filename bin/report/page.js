"use strict";

// The curves of the page. Everything else is there without this script.

const { runs, charts } = JSON.parse(document.getElementById("data").textContent);

/** What the reader has chosen; `at` is the place of the crosshair on the x axis, in all charts alike. */
const view = { scale: "linear", axis: "steps", smoothing: 0, hidden: new Set(), at: null };

const HEIGHT = 230;
const MARGIN = { left: 54, right: 12, top: 8, bottom: 24 };
/** Lines with no more points than this show each of them. */
const DOTS = 40;

function svg(name, attributes = {}, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function html(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

// Numbers

function number(x) {
  if (!Number.isFinite(x)) return "—";
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return Number(x.toPrecision(3)).toExponential().replace("e+", "e");
  return x.toLocaleString("en", { maximumSignificantDigits: size >= 1e4 ? 7 : 4 });
}

const unitOf = (seconds) =>
  [{ size: 3600, name: " h" }, { size: 60, name: " min" }].find((unit) => seconds >= 2 * unit.size) ?? { size: 1, name: " s" };

function time(seconds) {
  const unit = unitOf(seconds);
  return number(seconds / unit.size) + unit.name;
}

/** Exponential moving average, each value divided by the weight of what it has seen, so that the start is not drawn to 0. */
function smooth(values, decay) {
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    sum = decay * sum + (1 - decay) * value;
    weight = decay * weight + (1 - decay);
    return sum / weight;
  });
}

/** About `count` round numbers from low to high. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough) ?? rough;
  const marks = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-9 * step && marks.length < 50; i++) marks.push(i * step);
  return marks;
}

/** Powers of ten from low to high, or their 1, 2 and 5 times where these are few. */
function logTicks(low, high) {
  const marks = [];
  const factors = Math.log10(high / low) < 2.5 ? [1, 2, 5] : [1];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of factors) {
      const mark = factor * 10 ** power;
      if (mark >= low * (1 - 1e-9) && mark <= high * (1 + 1e-9)) marks.push(mark);
    }
  }
  return marks.length > 1 ? marks : [low, high];
}

/** The place on the screen for each value from low to high. */
function scale(low, high, from, to, isLog) {
  const f = isLog ? Math.log : (x) => x;
  const width = f(high) - f(low) || 1;
  return (x) => from + ((f(x) - f(low)) / width) * (to - from);
}

// Lines

/** The points of a line that can be drawn, and its smoothed values. */
function points(line) {
  const xs = view.axis === "steps" ? line.steps : line.seconds;
  const isDrawn = (i) => xs[i] !== null && line.values[i] !== null && (view.scale === "linear" || line.values[i] > 0);
  const kept = line.values.map((_, i) => i).filter(isDrawn);
  const raw = kept.map((i) => line.values[i]);
  return { x: kept.map((i) => xs[i]), raw, y: view.smoothing > 0 ? smooth(raw, view.smoothing) : raw };
}

function nearest(xs, at) {
  let best = 0;
  xs.forEach((x, i) => {
    if (Math.abs(x - at) < Math.abs(xs[best] - at)) best = i;
  });
  return best;
}

const path = (xs, ys, x, y) => xs.map((at, i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(ys[i]).toFixed(1)}`).join("");

// Charts

class Chart {
  constructor(chart, place) {
    this.lines = chart.lines;
    this.title = chart.title;
    this.svg = svg("svg", { role: "img", "aria-label": `${chart.title}, a curve of each run` });
    const hint = "Left and right arrow keys move through the values; Escape leaves them.";
    this.plot = html("div", { class: "plot", tabindex: "0", role: "group", "aria-label": `${chart.title}. ${hint}` }, this.svg);
    this.readout = html("div", { class: "readout", "aria-live": "polite" });
    const heading = html("h3", { id: `chart${place}` }, chart.title);
    this.element = html("figure", { class: "chart", "aria-labelledby": `chart${place}` }, heading, this.plot, this.readout);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerdown", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && look(null));
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  /** Draws everything but the crosshair. */
  draw() {
    const width = this.plot.clientWidth || 320;
    const isLog = view.scale === "log";
    this.shown = this.lines.filter((line) => !view.hidden.has(line.run)).map((line) => ({ line, ...points(line) }));
    this.shown = this.shown.filter((shown) => shown.x.length > 0);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren();
    const [xs, ys] = [this.shown.flatMap((shown) => shown.x), this.shown.flatMap((shown) => shown.y)];
    if (xs.length === 0) {
      this.svg.append(svg("text", { x: MARGIN.left, y: HEIGHT / 2 }, isLog ? "Nothing above 0 to draw." : "Nothing to draw."));
      this.cross();
      return;
    }
    const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
    let [low, high] = [least(ys), most(ys)];
    const room = isLog ? 0 : 0.05 * (high - low) || 0.05 * Math.abs(high) || 1;
    [low, high] = isLog ? (high > low ? [low, high] : [low / 1.1, high * 1.1]) : [low - room, high + room];
    const isCount = !isLog && low < 0 && least(ys) >= 0;
    if (isCount) low = 0;
    const [left, right] = [MARGIN.left, width - MARGIN.right];
    const [bottom, top] = [HEIGHT - MARGIN.bottom, MARGIN.top];
    this.domain = [least(xs), most(xs)];
    this.x = scale(...this.domain, left, right, false);
    this.y = scale(low, high, bottom, top, isLog);
    this.x.inverse = (place) => this.domain[0] + ((place - left) / (right - left)) * (this.domain[1] - this.domain[0]);

    for (const mark of isLog ? logTicks(low, high) : ticks(low, high, 5)) {
      const y = this.y(mark);
      this.svg.append(svg("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }));
      this.svg.append(svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, number(mark)));
    }
    const [first, last] = this.domain;
    const unit = view.axis === "steps" ? { size: 1, name: "" } : unitOf(last);
    const count = Math.max(4, Math.floor(width / 110));
    const marks = last > first ? ticks(first / unit.size, last / unit.size, count) : [first / unit.size];
    for (const mark of marks) {
      const x = this.x(mark * unit.size);
      this.svg.append(svg("line", { class: "grid", x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
      const anchor = x > right - 24 ? "end" : "middle";
      this.svg.append(svg("text", { x, y: HEIGHT - 6, "text-anchor": anchor }, number(mark) + unit.name));
    }
    const clip = `${this.element.firstChild.id}-clip`;
    const frame = svg("clipPath", { id: clip });
    frame.append(svg("rect", { x: left - 2, y: top - 4, width: right - left + 4, height: bottom - top + 6 }));
    const inside = svg("g", { "clip-path": `url(#${clip})` });
    this.svg.append(frame, inside);
    for (const { line, x, y, raw } of this.shown) {
      const kind = `run${line.run % 8}`;
      if (view.smoothing > 0) inside.append(svg("path", { class: `curve raw ${kind}`, d: path(x, raw, this.x, this.y) }));
      inside.append(svg("path", { class: `curve ${kind} style${line.style}`, d: path(x, y, this.x, this.y) }));
      if (x.length > DOTS) continue;
      x.forEach((at, i) => inside.append(svg("circle", { class: `dot ${kind}`, cx: this.x(at), cy: this.y(y[i]), r: 2.2 })));
    }
    this.cross();
  }

  /** Draws the crosshair, and writes the values there; the last ones without it. */
  cross() {
    this.svg.querySelectorAll(".cross").forEach((element) => element.remove());
    const isAt = view.at !== null && this.shown.length > 0;
    if (isAt) {
      const at = Math.min(Math.max(view.at, this.domain[0]), this.domain[1]);
      const x = this.x(at);
      this.svg.append(svg("line", { class: "cross", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    }
    const unit = (at) => (view.axis === "steps" ? `step ${number(at)}` : time(at));
    const rows = this.shown.map(({ line, x, y, raw }) => {
      const i = isAt ? nearest(x, view.at) : x.length - 1;
      const kind = `run${line.run % 8}`;
      if (isAt) this.svg.append(svg("circle", { class: `cross dot ${kind}`, cx: this.x(x[i]), cy: this.y(y[i]), r: 4 }));
      const sample = svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" });
      sample.append(svg("line", { class: `curve ${kind} style${line.style}`, x1: 0, x2: 26, y1: 5, y2: 5 }));
      const name = [runs.length > 1 ? runs[line.run] : "", line.name].filter(Boolean).join(", ");
      const thinned = line.every > 1 ? ` (1 of ${line.every} points drawn)` : "";
      const value = view.smoothing > 0 ? `${number(y[i])} (${number(raw[i])})` : number(raw[i]);
      return html("div", {}, sample, html("span", {}, (name || this.title) + thinned), html("b", { title: unit(x[i]) }, value));
    });
    const place = isAt ? `At ${unit(view.at)}` : "Last values";
    this.readout.replaceChildren(html("p", {}, place), ...rows);
  }

  point(event) {
    if (!this.shown?.length) return;
    const box = this.svg.getBoundingClientRect();
    const at = this.x.inverse(event.clientX - box.left);
    const all = this.shown.flatMap((shown) => shown.x);
    look(all[nearest(all, at)]);
  }

  key(event) {
    if (event.key === "Escape") look(null);
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction || !this.shown?.length) return;
    event.preventDefault();
    const all = [...new Set(this.shown.flatMap((shown) => shown.x))].sort((a, b) => a - b);
    const i = view.at === null ? (direction > 0 ? -1 : all.length) : nearest(all, view.at);
    look(all[Math.min(Math.max(i + direction, 0), all.length - 1)]);
  }
}

const drawn = charts.map((chart, place) => new Chart(chart, place));
const draw = () => drawn.forEach((chart) => chart.draw());

function look(at) {
  view.at = at;
  drawn.forEach((chart) => chart.cross());
}

// Controls

function startCurves() {
  const controls = document.getElementById("controls");
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", () => {
    const chosen = new FormData(controls);
    [view.scale, view.axis] = [chosen.get("scale"), chosen.get("axis")];
    view.smoothing = Number(chosen.get("smoothing"));
    view.at = null;
    document.getElementById("smoothed").textContent = view.smoothing;
    draw();
  });
  const legend = document.getElementById("legend");
  legend.hidden = runs.length < 2;
  runs.forEach((run, i) => {
    const swatch = html("span", { class: `swatch run${i % 8}`, "aria-hidden": "true" });
    const button = html("button", { type: "button", "aria-pressed": "true" }, swatch, run);
    button.addEventListener("click", () => {
      const isShown = view.hidden.delete(i) || !view.hidden.add(i);
      button.setAttribute("aria-pressed", isShown);
      draw();
    });
    legend.append(button);
  });
  const place = document.getElementById("charts");
  place.append(...drawn.map((chart) => chart.element));
  draw();
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    requestAnimationFrame(draw);
  }).observe(place);
}

const THEMES = ["auto", "light", "dark"];
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  theme.textContent = `Theme: ${next}`;
});

if (charts.length > 0) startCurves();
