//! `wavetape report`: a page about one run, or about several beside each other.

mod attention;
mod captions;
mod config;
mod confusion;
pub(crate) mod curves;
pub(crate) mod data_uri;
mod detections;
mod figures;
mod head;
pub(crate) mod html;
mod metrics;
mod model;
pub(crate) mod page;
mod positions;
mod profile;
mod samples;
mod subject;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use self::curves::charts;
use self::html::Html;
use self::model::{Extent, Section};
use self::subject::Subject;
use crate::output;
use crate::written::Target;

/// Write a page about one run, or about several beside each other: curves, configs, and what the models do. One HTML file that
/// needs nothing else, no network either.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape report runs/vit-sample-001
  wavetape report runs/* --out compared.html --no-data
  wavetape report runs/igpt-fashion-001 --samples 36 --profile")]
pub(crate) struct ReportArgs {
    /// Folders of runs.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The file.
    #[arg(long, default_value = "report.html", value_name = "FILE.html")]
    out: PathBuf,
    /// Images that a generator draws.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    samples: u16,
    /// Pictures of the test set that are shown.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    pictures: u16,
    /// Skip what needs the data: confusion matrices, pictures, attention.
    #[arg(long, conflicts_with_all = ["data", "profile"])]
    no_data: bool,
    /// Folder of the data, if it is not where it was in training.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Take a few training steps in memory, and tell where the time goes.
    #[arg(long)]
    profile: bool,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    out: String,
    bytes: usize,
    charts: Vec<String>,
    runs: Vec<Reported>,
    /// What is wrong with folders that are not on the page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<String>,
}

#[derive(Serialize)]
struct Reported {
    run: String,
    lines: usize,
    broken: usize,
    sections: Vec<&'static str>,
    notes: Vec<String>,
}

/// Reads, draws and writes.
pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let target = Target::text(&args.out, page::MARK)?;
    let (mut subjects, passed_over) = subjects(&args.runs)?;
    let extent = Extent {
        samples: args.samples.into(),
        pictures: args.pictures.into(),
        data: !args.no_data,
        folder: args.data.as_deref(),
        profile: args.profile,
    };
    let sections: Vec<Vec<Section>> =
        subjects.iter_mut().map(|subject| model::sections(subject, &extent)).collect();
    let charts = charts(&subjects.iter().map(|subject| &subject.metrics).collect::<Vec<_>>());

    let mut body = Html::default();
    head::write(&mut body, &subjects);
    page::curves(&mut body, !charts.is_empty());
    figures::write(&mut body, &subjects);
    configs(&mut body, &subjects);
    for (subject, sections) in subjects.iter().zip(&sections) {
        page::sections(&mut body, &subject.name, sections);
    }
    let title: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
    let text = page::fill(&title.join(", "), &body, &page::data(&title, &charts)?);
    target.put(text.as_bytes())?;

    let reported = |(subject, sections): (&Subject, &Vec<Section>)| Reported {
        run: subject.name.clone(),
        lines: subject.metrics.lines,
        broken: subject.metrics.broken,
        sections: sections.iter().map(|section| section.title).collect(),
        notes: subject.notes.clone(),
    };
    let report = Report {
        out: args.out.display().to_string(),
        bytes: text.len(),
        charts: charts.into_iter().map(|chart| chart.title).collect(),
        runs: subjects.iter().zip(&sections).map(reported).collect(),
        passed_over,
    };
    let mut out = output::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    report.passed_over.iter().for_each(|error| output::note(format_args!("passed over: {error}")));
    for run in &report.runs {
        run.notes.iter().for_each(|note| output::note(format_args!("{}: {note}", run.run)));
    }
    let (runs, kilobytes) = (report.runs.len(), report.bytes.div_ceil(1000));
    let runs = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
    writeln!(out, "{runs}, {} charts, {kilobytes} kB → {}", report.charts.len(), report.out)?;
    Ok(())
}

/// The runs that can be read, and what is wrong with the others.
///
/// # Errors
/// The first one's, if none can be read.
fn subjects(folders: &[PathBuf]) -> Result<(Vec<Subject>, Vec<String>)> {
    let (mut subjects, mut errors) = (Vec::<Subject>::new(), Vec::new());
    for folder in folders {
        match Subject::read(folder) {
            // A run that is named twice is one.
            Ok(subject) if subjects.iter().any(|other| other.run.folder == subject.run.folder) => {}
            Ok(subject) => subjects.push(subject),
            Err(error) => errors.push(error),
        }
    }
    subject::tell_apart(&mut subjects);
    match errors.first() {
        Some(_) if subjects.is_empty() => Err(errors.remove(0)),
        _ => Ok((subjects, errors.iter().map(|error| format!("{error:#}")).collect())),
    }
}

/// The values that differ between runs, and those that do not; of one run, all of them.
fn configs(html: &mut Html, subjects: &[Subject]) {
    let configs: Vec<_> = subjects.iter().map(|subject| &subject.config).collect();
    let (differ, agree) = config::keys(&configs);
    let columns: Vec<_> =
        subjects.iter().map(|subject| (subject.name.clone(), &subject.config)).collect();
    let alike = [("value".to_owned(), configs[0])];
    html.leaf("h2", &[], "Config");
    match subjects.len() {
        1 => {}
        _ if differ.is_empty() => html.leaf("p", &[], "All values are the same."),
        _ => config::table(html, "Values that differ", &differ, &columns),
    }
    let summary = if subjects.len() == 1 { "All values" } else { "Values that all runs share" };
    html.element("details", &[], |html| {
        html.leaf("summary", &[], format!("{summary} ({})", agree.len()));
        config::table(html, summary, &agree, &alike);
    });
}
