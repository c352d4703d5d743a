//! Captioning of widgets: the loss of a step, the captions of a batch, and the scores of a data set.

use std::ops::Range;

use anyhow::{Context as _, Result};
use autograd::{Anomaly, Var};
use datasets::screens::{Band, Batch, Loader, caption_words};
use models::captions::Scores;
use models::statistics::Estimate;
use models::{CaptionerConfig, Decoding, ScreenBatch};
use nn::{Context, Init, Params, Shards, micro_batch};
use rayon::prelude::*;
use serde::Serialize;

use crate::recipe::TrainConfig;
use crate::task::{self, Score, StepResult, Tally};

/// A model and how its loss is computed.
#[derive(Debug)]
pub(crate) struct Captioner {
    pub(crate) model: models::Captioner,
    decoding: Decoding,
    /// Widgets in it are scored by themselves.
    band: Option<Band>,
    micro_batch: usize,
    seed: u64,
}

/// Scores of captions, as pycocoevalcap has them. METEOR and SPICE are not computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) widgets: usize,
    pub(crate) bleu1: f64,
    pub(crate) bleu2: f64,
    pub(crate) bleu3: f64,
    pub(crate) bleu4: f64,
    pub(crate) rouge_l: f64,
    /// CIDEr-D, from 0 to 10.
    pub(crate) cider: f64,
    /// Standard error of CIDEr-D over the widgets; none of one.
    pub(crate) cider_error: Option<f64>,
}

/// Scores of all widgets, and of those at places that training has left out and has not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(crate) all: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) band: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) elsewhere: Option<Figures>,
}

/// What was written of each widget, and what people wrote.
#[derive(Debug, Default)]
pub(crate) struct Written {
    candidates: Vec<Vec<String>>,
    references: Vec<Vec<Vec<String>>>,
    in_band: Vec<bool>,
}

impl Captioner {
    /// The model with its parameters, fresh from the seed.
    pub(crate) fn new(
        config: &CaptionerConfig,
        train: &TrainConfig,
        (decoding, band): (Decoding, Option<Band>),
        seed: u64,
    ) -> Result<(Self, Params)> {
        let mut params = Params::new();
        let model = models::Captioner::new(&mut Init::new(&mut params, seed), config)?;
        let micro_batch = match train.micro_batch {
            0 => micro_batch(train.batch_size, config.tokens()),
            given => given,
        };
        Ok((Self { model, decoding, band, micro_batch, seed }, params))
    }

    /// Loss and gradients of a batch, and how many words were the most probable ones.
    pub(crate) fn differentiate(&self, params: &Params, batch: &Batch, step: u64) -> StepResult {
        let screens = screens(batch);
        let words = models::Captioner::words(&batch.targets);
        let step = self
            .shards(batch, step)
            .differentiate(params, |cx, part| self.loss(cx, &screens, batch, part, words));
        let right = step.outputs.into_iter().sum();
        let tally = Tally::of(step.loss * words as f64, words as f64);
        StepResult { loss: step.loss, tally, grads: step.grads, right, counted: words }
    }

    /// How a step cuts a batch.
    fn shards(&self, batch: &Batch, step: u64) -> Shards {
        let count = batch.counts.len();
        Shards { batch: count, micro_batch: self.micro_batch, seed: self.seed, step }
    }

    /// The loss of some screens of a batch.
    fn loss(
        &self,
        cx: &Context<'_>,
        screens: &ScreenBatch,
        batch: &Batch,
        part: Range<usize>,
        words: usize,
    ) -> (Var, usize) {
        self.model.loss(cx, screens, &batch.targets, part, words.max(1) as f64)
    }

    /// The first NaN or infinity of a step, which is computed again; see [`Shards::diagnose`].
    pub(crate) fn diagnose<'p>(
        &self,
        params: &'p Params,
        batch: &Batch,
        step: u64,
    ) -> Option<(Anomaly, Option<&'p str>)> {
        let screens = screens(batch);
        let words = models::Captioner::words(&batch.targets);
        self.shards(batch, step)
            .diagnose(params, |cx, part| self.loss(cx, &screens, batch, part, words).0)
    }

    /// A caption for each widget of a batch, as numbers of words.
    ///
    /// # Errors
    /// If the model's answers are not finite.
    pub(crate) fn caption(&self, params: &Params, batch: &Batch) -> Result<Vec<Vec<usize>>> {
        let (all, size) = (screens(batch), self.micro_batch.max(1));
        let count = batch.counts.len();
        let part = |part: usize| {
            let part = all.narrow(part * size..count.min((part + 1) * size));
            self.model.caption(params, &part, &self.decoding)
        };
        let parts: Vec<_> = (0..count.div_ceil(size)).into_par_iter().map(part).collect();
        let captions: Option<Vec<_>> = parts.into_iter().collect();
        let captions = captions.context("the probability of a caption is not a finite number")?;
        Ok(captions.into_iter().flatten().collect())
    }

    /// CIDEr-D and its like, over all widgets of a loader. The result does not depend on the number of threads.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Result<Score> {
        let (mut written, mut loss, mut words) = (Written::default(), 0.0, 0);
        for batch in loader.epoch(0, 0) {
            let of_batch = self.total_loss(params, &batch);
            task::check_loss(of_batch, &batch.indices)?;
            loss += of_batch;
            words += models::Captioner::words(&batch.targets);
            let captions = self.caption(params, &batch)?;
            let captions = captions.iter().map(|caption| loader.vocabulary().decode(caption));
            written.add(loader, &batch, captions, self.band);
        }
        let summary = written.score();
        Ok(Score {
            value: Some(summary.all.cider),
            error: summary.all.cider_error,
            loss: loss / words.max(1) as f64,
            summary: Some(task::Summary::Captions(summary)),
        })
    }

    /// The loss of a batch, summed over its words.
    fn total_loss(&self, params: &Params, batch: &Batch) -> f64 {
        let (all, size) = (screens(batch), self.micro_batch.max(1));
        let count = batch.counts.len();
        let part = |part: usize| {
            let range = part * size..count.min((part + 1) * size);
            let (loss, _) = self.loss(&Context::eval(params), &all, batch, range, 1);
            f64::from(loss.value().item())
        };
        let parts: Vec<f64> = (0..count.div_ceil(size)).into_par_iter().map(part).collect();
        parts.iter().sum()
    }
}

impl Written {
    /// Captions for the widgets of a batch.
    pub(crate) fn add(
        &mut self,
        loader: &Loader,
        batch: &Batch,
        captions: impl IntoIterator<Item = String>,
        band: Option<Band>,
    ) {
        let widgets = batch.widgets.iter().zip(&batch.origins);
        for (caption, (&(screen, node), &origin)) in captions.into_iter().zip(widgets) {
            let widget = &loader.screens().screens()[batch.indices[screen]].widgets[origin];
            self.candidates.push(caption_words(&caption));
            self.references.push(widget.captions.iter().map(|text| caption_words(text)).collect());
            let bounds = batch.bounds[screen * batch.nodes + node];
            self.in_band.push(band.is_some_and(|band| band.holds(bounds)));
        }
    }

    /// The scores of all, with the document frequencies of all.
    pub(crate) fn score(&self) -> Summary {
        let scores = Scores::of(&self.candidates, &self.references);
        let figures = |inside: Option<bool>| {
            let chosen = |&i: &usize| inside.is_none_or(|inside| self.in_band[i] == inside);
            let chosen: Vec<usize> = (0..self.candidates.len()).filter(chosen).collect();
            if chosen.is_empty() {
                return None;
            }
            let candidates: Vec<_> = chosen.iter().map(|&i| self.candidates[i].clone()).collect();
            let references: Vec<_> = chosen.iter().map(|&i| self.references[i].clone()).collect();
            let [bleu1, bleu2, bleu3, bleu4] = models::captions::bleu(&candidates, &references);
            let cider: Vec<f64> = chosen.iter().map(|&i| scores.images[i].cider_d).collect();
            let rouge: f64 = chosen.iter().map(|&i| scores.images[i].rouge_l).sum();
            let cider = Estimate::of(&cider);
            Some(Figures {
                widgets: chosen.len(),
                bleu1,
                bleu2,
                bleu3,
                bleu4,
                rouge_l: rouge / chosen.len() as f64,
                cider: cider.mean,
                cider_error: cider.standard_error,
            })
        };
        let divided = self.in_band.contains(&true);
        let part = |inside| divided.then(|| figures(Some(inside))).flatten();
        let all = figures(None).expect("a set of screens has widgets");
        Summary { all, band: part(true), elsewhere: part(false) }
    }
}

/// The screens of a batch as the model reads them.
pub(crate) fn screens(batch: &Batch) -> ScreenBatch {
    ScreenBatch {
        nodes: batch.nodes,
        counts: batch.counts.clone(),
        class: batch.class.clone(),
        clickable: batch.clickable.clone(),
        dom: batch.dom.clone(),
        bounds: batch.bounds.clone(),
        developer: batch.developer.clone(),
        resource: batch.resource.clone(),
        widgets: batch.widgets.clone(),
        pixels: batch.pixels.clone(),
    }
}
