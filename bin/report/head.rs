//! What each run is, in a few numbers.

use super::curves::title;
use super::html::Html;
use super::metrics::Metrics;
use super::subject::Subject;

/// Writes a card for each run.
pub(super) fn write(html: &mut Html, subjects: &[Subject]) {
    html.element("div", &[("class", "cards")], |html| {
        subjects.iter().enumerate().for_each(|(i, subject)| card(html, i, subject));
    });
}

fn card(html: &mut Html, place: usize, subject: &Subject) {
    let Subject { metrics, checkpoint, config, .. } = subject;
    html.element("section", &[("class", "card")], |html| {
        html.element("h2", &[], |html| {
            let colour = format!("swatch run{}", place % 8);
            html.leaf("span", &[("class", &colour), ("aria-hidden", "true")], "");
            html.leaf("span", &[], &subject.name);
        });
        let metric = metrics.metric();
        if let Some((metric, last)) =
            metric.and_then(|metric| Some((metric, metrics.last(metric)?)))
        {
            html.element("p", &[("class", "value")], |html| {
                html.leaf("strong", &[], number(metric, last.value));
                let (split, of) = metric.split_once('_').unwrap_or(("", metric));
                html.leaf("span", &[], format!("{}, {split}", title(of)));
            });
        }
        html.element("dl", &[], |html| {
            let plain = |key: &str| config.get(key).map(|text| text.trim_matches('"').to_owned());
            entry(html, "recipe", plain("name"));
            entry(html, "model", plain("model.kind"));
            entry(
                html,
                "positions",
                plain("model.position.kind").or_else(|| plain("model.position")),
            );
            if let Some((metric, best)) =
                metric.and_then(|metric| Some((metric, metrics.best(metric)?)))
            {
                html.entry(
                    "best",
                    format!("{} at step {}", number(metric, best.value), grouped(best.step)),
                );
            }
            let split =
                metric.and_then(|metric| metric.split_once('_')).map_or("test", |(split, _)| split);
            let loss =
                metrics.last(&format!("{split}_loss")).map(|point| format!("{:.4}", point.value));
            entry(html, &format!("{split} loss"), loss);
            let params = checkpoint.as_ref().map(|checkpoint| grouped(checkpoint.params as u64));
            entry(html, "parameters", params);
            let epoch = match metrics.epoch {
                None => String::new(),
                Some(1) => ", 1 epoch".to_owned(),
                Some(epoch) => format!(", {epoch} epochs"),
            };
            entry(html, "steps", subject.step().map(|step| grouped(step) + &epoch));
            entry(html, "training time", subject.seconds().map(duration));
            entry(
                html,
                "images/s",
                metrics.last("img_s").map(|point| format!("{:.0}", point.value)),
            );
            entry(
                html,
                "memory",
                metrics.last("rss_mb").map(|point| format!("{:.0} MiB", point.value)),
            );
            let threads = subject.result.get("threads").and_then(serde_json::Value::as_u64);
            entry(html, "threads", threads.map(grouped));
            let version = checkpoint.as_ref().and_then(|checkpoint| checkpoint.version());
            entry(html, "wavetape", version.map(str::to_owned));
        });
        let notes: Vec<String> = subject.notes.iter().cloned().chain(warnings(metrics)).collect();
        if !notes.is_empty() {
            html.element("ul", &[("class", "notes")], |html| {
                notes.iter().for_each(|note| html.leaf("li", &[], note));
            });
        }
    });
}

/// What training warned of, each once.
fn warnings(metrics: &Metrics) -> Vec<String> {
    let mut counts: Vec<(&str, u64, usize)> = Vec::new();
    for (step, words) in &metrics.warnings {
        match counts.iter_mut().find(|(known, ..)| known == words) {
            Some((_, _, count)) => *count += 1,
            None => counts.push((words, *step, 1)),
        }
    }
    let told = |(words, step, count): (&str, u64, usize)| match count {
        1 => format!("{words} at step {step}"),
        _ => format!("{words}, {count} times, first at step {step}"),
    };
    counts.into_iter().map(told).collect()
}

fn entry(html: &mut Html, term: &str, value: Option<String>) {
    value.into_iter().for_each(|value| html.entry(term, value));
}

/// A metric's value: shares in percent, as `eval` tells them.
fn number(metric: &str, value: f64) -> String {
    if metric.ends_with("accuracy") {
        format!("{:.2} %", 100.0 * value)
    } else {
        format!("{value:.4}")
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes} min {rest} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.4, 59.6, 3599.0, 7290.0].map(duration),
            ["0 s", "1 min 0 s", "59 min 59 s", "2 h 1 min"]
        );
        assert_eq!(number("test_accuracy", 0.859), "85.90 %");
        assert_eq!(number("test_ap", 0.64423), "0.6442");
    }
}
