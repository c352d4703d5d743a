//! What is seen of an encoding before and after training.

use anyhow::Result;
use image::RgbImage;
use nn::Context;

use crate::inspect;
use crate::run::Run;
use crate::state::{State, Which};
use crate::study::Outcome;
use crate::task::Task;

/// Maps of how alike an encoding finds places.
pub(super) struct Maps {
    pub(super) row: String,
    pub(super) before: RgbImage,
    pub(super) after: RgbImage,
}

/// The parameters of a run's encoding, and its maps if there are such: of places of an image, and of an encoding that knows them.
pub(super) fn look(row: &str, outcome: &Outcome) -> Result<(usize, Option<Maps>)> {
    let (run, recipe) = Run::open(&outcome.folder)?;
    let checkpoint = run.checkpoint(Which::Last, &recipe)?;
    let (task, params) = Task::new(&recipe)?;
    let mut state = State::new(params, &recipe, None);
    let of_encoding = |name: &str| name == "pos_embed" || format!(".{name}").contains(".pe.");
    let params = state.params.iter().filter(|param| of_encoding(&param.name));
    let params = params.map(|param| param.value.len()).sum();
    let (position, _, side) = inspect::position(&task);
    let Some(side) = side else { return Ok((params, None)) };
    let draw = |title: &str, params: &nn::Params| {
        let title = format!("{row}, {title}");
        inspect::positions::picture(&title, position, &Context::eval(params), side)
    };
    let before = draw("before training", &state.params)?;
    checkpoint.restore(&mut state)?;
    let after = draw("after training", state.evaluated())?;
    let maps = before.zip(after);
    Ok((params, maps.map(|(before, after)| Maps { row: row.to_owned(), before, after })))
}
