//! What a run's model does: everything on the page that needs parameters, and most of it data.

use std::path::Path;

use anyhow::{Context as _, Result};
use nn::Params;

use super::html::Html;
use super::subject::Subject;
use super::{attention, captions, confusion, detections, positions, profile, samples};
use crate::data::{Classes, Derived, Parts};
use crate::source::Source;
use crate::state::State;
use crate::task::Task;
use crate::trained::Trained;
use crate::trainer::Trainer;

/// How much is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent<'a> {
    /// Images that a generator draws.
    pub(super) samples: usize,
    /// Pictures of the test set that are shown.
    pub(super) pictures: usize,
    /// Whether the data may be read.
    pub(super) data: bool,
    /// The folder of the data, if it is not where it was in training.
    pub(super) folder: Option<&'a Path>,
    pub(super) profile: bool,
}

/// A trained model and what it was made for.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) task: Task,
    pub(super) state: State,
    /// The run's data, if they were to be read and could be.
    pub(super) trainer: Option<Trainer>,
    /// None for a model without.
    pub(super) classes: Classes,
}

/// A part of the page.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) html: Html,
}

impl Model {
    /// The model of a run's checkpoint, and its data if asked for; a note says why there are none.
    fn load(subject: &mut Subject, extent: &Extent<'_>) -> Result<Option<Self>> {
        if subject.recipe.is_none() || subject.checkpoint.is_none() {
            return Ok(None);
        }
        let mut trained = Trained::open(&subject.run.folder)?;
        if let Some(folder) = extent.folder {
            trained.recipe.data.dir = Some(folder.to_owned());
        }
        let parts = if extent.profile { Parts::All } else { Parts::Scored };
        let trainer = extent.data.then(|| trained.trainer(parts)).transpose();
        let trainer = trainer.unwrap_or_else(|error: anyhow::Error| {
            subject.notes.push(format!("nothing is shown of the data: {error:#}"));
            None
        });
        let Trained { task, state, past, .. } = trained;
        let classes = past.derived.as_ref().map(Derived::classes).unwrap_or_default();
        Ok(Some(Self { name: subject.name.clone(), task, state, trainer, classes }))
    }

    /// The parameters to look at: their average, if there is one.
    pub(super) fn params(&self) -> &Params {
        self.state.evaluated()
    }

    /// What the run is scored on, if it may be looked at.
    pub(super) fn eval(&self) -> Option<&Source> {
        self.trainer.as_ref().map(|trainer| &trainer.eval)
    }
}

type Write = fn(&mut Html, &Model, &Extent<'_>) -> Result<()>;

/// All that is shown of a run's model. What fails leaves a note and takes nothing else with it.
pub(super) fn sections(subject: &mut Subject, extent: &Extent<'_>) -> Vec<Section> {
    let model = match Model::load(subject, extent) {
        Ok(Some(model)) => model,
        Ok(None) => return Vec::new(),
        Err(error) => {
            subject.notes.push(format!("the model cannot be shown: {error:#}"));
            return Vec::new();
        }
    };
    let of_task: &[(&'static str, Write)] = match &model.task {
        Task::Classify(_) => {
            &[("Confusion matrix", confusion::write), ("Attention", attention::write)]
        }
        Task::Generate(_) => &[("Samples", samples::write)],
        Task::Detect(_) => &[("Detections", detections::write)],
        Task::Caption(_) => &[("Captions", captions::write)],
    };
    let of_all: [(&'static str, Write); 2] =
        [("Positions", positions::write), ("Where the time goes", profile::write)];
    let mut sections = Vec::new();
    for &(title, write) in of_task.iter().chain(&of_all) {
        let mut html = Html::default();
        let written = write(&mut html, &model, extent).context(title);
        written.unwrap_or_else(|error| subject.notes.push(format!("{error:#}")));
        if !html.as_str().is_empty() {
            sections.push(Section { title, html });
        }
    }
    sections
}
