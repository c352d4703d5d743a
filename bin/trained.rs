//! The model of a run, as it was trained.

use std::path::Path;

use anyhow::{Error, Result, anyhow};
use datasets::Normalize;

use crate::asked::Asked;
use crate::data::{Classes, Derived, Parts};
use crate::recipe::Recipe;
use crate::run::Run;
use crate::source::Source;
use crate::state::{Past, State, Which};
use crate::task::Task;
use crate::trainer::Trainer;

/// The model of a checkpoint, and all that belongs to it: what its numbers stand for, and how it reads its inputs.
pub(crate) struct Trained {
    pub(crate) run: Run,
    pub(crate) recipe: Recipe,
    pub(crate) task: Task,
    pub(crate) state: State,
    pub(crate) past: Past,
}

impl Trained {
    /// That of a run's last checkpoint.
    ///
    /// # Errors
    /// If there is none that can be read, or if it was made with another recipe than the folder has now.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let (run, recipe) = Run::open(folder)?;
        let checkpoint = run.checkpoint(Which::Last, &recipe)?;
        let (task, params) = Task::new(&recipe)?;
        let mut state = State::new(params, &recipe, None);
        checkpoint.restore(&mut state)?;
        Ok(Self { run, recipe, task, state, past: checkpoint.past })
    }

    /// The error of a command that needs the run of another task.
    pub(crate) fn other(&self, needed: &str) -> Error {
        let (folder, is) = (self.run.folder.display(), self.task.noun());
        anyhow!("{folder} is the run of a {is}; that of a {needed} expected")
    }

    /// The classes that it answers with; none of a run that has left no names.
    pub(crate) fn classes(&self) -> Classes {
        self.past.derived.as_ref().map(Derived::classes).unwrap_or_default()
    }

    /// The map from bytes to a classifier's inputs: that of its checkpoint, or of its data where an older program wrote that.
    ///
    /// # Errors
    /// If these data cannot be read.
    pub(crate) fn normalize(&self) -> Result<Normalize> {
        let derived = self.past.derived.as_ref();
        match derived.and_then(|derived| derived.normalize.clone()) {
            Some(normalize) => Ok(normalize),
            None => match self.trainer(Parts::Scored)?.eval {
                Source::Images(loader) => Ok(loader.options().normalize.clone()),
                _ => Err(self.other("classifier")),
            },
        }
    }

    /// What it is scored on, without what it was trained on.
    ///
    /// # Errors
    /// If the data cannot be read or do not fit.
    pub(crate) fn trainer(&self, parts: Parts) -> Result<Trainer> {
        Ok(Trainer::new(self.recipe.clone(), Asked::default(), &self.past, parts)?.0)
    }
}
