//! Weights for a model that is not quite that of the file: what fits is taken.

use std::collections::HashSet;

use nn::Params;
use nn::checkpoint::Result;
use tensor::Float;

use super::{Kept, Weights};

/// What of a file went into a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fitted {
    /// Parameters that are those of the file.
    pub taken: Vec<String>,
    /// What was made to fit: tables of positions.
    pub resized: Vec<String>,
    /// Parameters that stay as they were made, each with the reason.
    pub made_anew: Vec<(String, String)>,
    /// Tensors of the file that the model has no place for.
    pub left_over: Vec<String>,
}

impl Weights<'_> {
    /// Copies what fits by name and shape into the parameters of a model. Those that `refused` gives a reason for stay as they are.
    ///
    /// # Errors
    /// If a tensor cannot be read. Nothing is changed then.
    pub fn fit<E: Float>(
        &self,
        params: &mut Params<E>,
        refused: impl Fn(&str) -> Option<String>,
    ) -> Result<Fitted> {
        let (mut fitted, mut values, mut used) = (Fitted::default(), Vec::new(), HashSet::new());
        for param in params.iter() {
            let anew = |why: &str| (param.name.clone(), why.to_owned());
            let kept: Option<Kept> = (self.kept)(&param.name);
            let Some(kept) =
                kept.filter(|kept| kept.names().iter().all(|name| self.given.contains_key(name)))
            else {
                fitted.made_anew.push(anew("not in the file"));
                values.push(None);
                continue;
            };
            used.extend(kept.names().iter().cloned());
            if let Some(why) = refused(&param.name) {
                fitted.made_anew.push(anew(&why));
                values.push(None);
                continue;
            }
            let (mut parts, mut misfit) = (Vec::new(), None);
            for (name, like) in kept.theirs(&param.value) {
                let given = &self.given[&name];
                let part = match self.side.filter(|_| param.name == "pos_embed") {
                    Some(side) => match self.table(given, &like, side, &mut fitted.resized) {
                        Ok(table) => table,
                        Err(why) => {
                            misfit = Some(why.to_string());
                            break;
                        }
                    },
                    None => self.file.tensor::<E>(given)?,
                };
                if part.shape() != like.shape() {
                    misfit = Some(format!("{} in the file, {} here", part.shape(), like.shape()));
                }
                parts.push(part);
            }
            match misfit {
                Some(why) => {
                    fitted.made_anew.push(anew(&why));
                    values.push(None);
                }
                None => {
                    fitted.taken.push(param.name.clone());
                    values.push(Some(kept.ours(&parts)));
                }
            }
        }
        let is_known = |name: &String| used.contains(name) || (self.is_extra)(name);
        let left = self.given.iter().filter(|(name, _)| !is_known(name));
        fitted.left_over = left.map(|(_, name)| name.clone()).collect();
        fitted.left_over.sort();
        for (param, value) in params.iter_mut().zip(values) {
            if let Some(value) = value {
                param.value = value;
            }
        }
        Ok(fitted)
    }
}
