//! Batches of screens in an order that the seed fixes.

use std::fmt;
use std::sync::Arc;

use rand::RngExt;

use super::view::View;
use super::{Band, Batch, Screen, Screens, Vocabulary};
use crate::random::{self, Purpose};
use crate::{Error, Prefetch};

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The number of screens in a batch; at least 1.
    pub batch_size: usize,
    /// Whether each epoch has a random order of its own, or the order of the data set.
    pub shuffle: bool,
    /// Whether the screens that do not fill a last batch are left out.
    pub drop_last: bool,
    /// Whether the target of a widget is drawn from its captions in each epoch, or is the first one. Only captions with a known
    /// word are drawn; a widget that has none is left out as a widget. If not drawn, its target is the end alone.
    pub draw: bool,
    /// The origin of all randomness: of the order and of the captions.
    pub seed: u64,
    /// The most nodes of a screen; at least 1. Later ones in pre-order are left out, but no widget and nothing above one: if
    /// these are more, all of them stay.
    pub max_nodes: usize,
    /// The most words of a target, without its end; at least 1.
    pub max_words: usize,
    /// Where leaves and widgets are left out.
    pub band: Option<Band>,
    /// The number of finished batches that may wait to be taken.
    pub prefetch: usize,
}

impl Options {
    /// For training: shuffled, an incomplete last batch left out, captions drawn; at most 512 nodes and 10 words, no band.
    pub fn train(batch_size: usize, seed: u64) -> Options {
        let (shuffle, drop_last, draw) = (true, true, true);
        let (max_nodes, max_words, band, prefetch) = (512, 10, None, 2);
        Options { batch_size, shuffle, drop_last, draw, seed, max_nodes, max_words, band, prefetch }
    }

    /// For measuring: every screen once, in order, with the first captions.
    pub fn eval(batch_size: usize) -> Options {
        let (shuffle, drop_last, draw) = (false, false, false);
        Options { shuffle, drop_last, draw, ..Options::train(batch_size, 0) }
    }

    fn check(&self) -> Result<(), Error> {
        let counts = [
            ("batch_size", self.batch_size),
            ("max_nodes", self.max_nodes),
            ("max_words", self.max_words),
        ];
        if let Some((option, _)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return Err(Error::option(option, "at least 1", 0));
        }
        match self.band {
            Some(Band { top, bottom }) if !(0.0 <= top && top < bottom && bottom <= 1.0) => {
                let found = format_args!("top {top}, bottom {bottom}");
                Err(Error::option("band", "0 ≤ top < bottom ≤ 1", found))
            }
            _ => Ok(()),
        }
    }
}

/// What a [`Loader`] does not show of its screens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Leaves in the band.
    pub in_band: usize,
    /// Nodes beyond `max_nodes`.
    pub beyond: usize,
    /// Widgets in the band, or without a known word to draw.
    pub widgets: usize,
    /// Screens left without a widget.
    pub screens: usize,
}

impl fmt::Display for LeftOut {
    /// What there is of each; nothing is said of zeros.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let LeftOut { in_band, beyond, widgets, screens } = *self;
        let all = [
            (in_band, ["leaf in the band", "leaves in the band"]),
            (beyond, ["node beyond the most", "nodes beyond the most"]),
            (widgets, ["widget", "widgets"]),
            (screens, ["screen", "screens"]),
        ];
        let told = all.into_iter().filter(|&(count, _)| count > 0);
        let told = told
            .map(|(count, [one, more])| format!("{count} {}", if count == 1 { one } else { more }));
        f.write_str(&told.collect::<Vec<_>>().join(", "))
    }
}

/// Makes the batches of a set of screens. Each is a function of the data, the vocabulary, the options, the epoch and its index:
/// it is the same on any thread, at any time, and after a run was resumed.
#[derive(Clone, Debug)]
pub struct Loader {
    screens: Arc<Screens>,
    vocabulary: Arc<Vocabulary>,
    options: Options,
    views: Arc<Vec<View>>,
    left_out: LeftOut,
}

impl Loader {
    /// A loader of these screens. Those that are left without a widget are skipped.
    ///
    /// # Errors
    ///
    /// An option that makes no sense, or no screen left.
    pub fn new(
        screens: Arc<Screens>,
        vocabulary: Arc<Vocabulary>,
        options: Options,
    ) -> Result<Loader, Error> {
        options.check()?;
        let (mut views, mut left_out, mut before) = (Vec::new(), LeftOut::default(), 0);
        for (place, screen) in screens.screens().iter().enumerate() {
            let keep = |widget: usize| {
                !options.draw || !targets(screen, widget, &vocabulary, &options).is_empty()
            };
            let Options { max_nodes, band, .. } = options;
            let mut of_screen = LeftOut::default();
            let view = View::new(place, before, screen, max_nodes, band, keep, &mut of_screen);
            before += screen.widgets.len();
            left_out.widgets += of_screen.widgets;
            if view.widgets.is_empty() {
                left_out.screens += 1;
                continue;
            }
            left_out.in_band += of_screen.in_band;
            left_out.beyond += of_screen.beyond;
            views.push(view);
        }
        if views.is_empty() {
            return Err(Error::option("screens", "at least 1 screen with a widget", 0));
        }
        Ok(Loader { screens, vocabulary, options, views: Arc::new(views), left_out })
    }

    /// The set, also of screens that are skipped.
    pub fn screens(&self) -> &Arc<Screens> {
        &self.screens
    }

    /// The words.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// How the batches are made.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What is not shown.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// The number of screens that are shown in an epoch, before an incomplete batch is left out. Never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        match self.options.drop_last {
            true => self.len() / self.options.batch_size,
            false => self.len().div_ceil(self.options.batch_size),
        }
    }

    /// The batches of one epoch from `first` on, made ahead on a background thread. To resume a run exactly, give the epoch
    /// and the index of the first batch that it had not yet taken; if this is [`batches`](Self::batches), there is none left.
    ///
    /// # Panics
    ///
    /// If the operating system cannot start a thread.
    pub fn epoch(&self, epoch: usize, first: usize) -> Prefetch<Batch> {
        let loader = self.clone();
        let order = self.order(epoch);
        let batches = (first..self.batches()).map(move |index| loader.batch(&order, epoch, index));
        Prefetch::new(batches, self.options.prefetch)
    }

    /// The order in which views come in one epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
        match self.options.shuffle {
            true => random::permutation(self.len(), self.options.seed, Purpose::Shuffle, epoch),
            false => (0..self.len()).collect(),
        }
    }

    fn batch(&self, order: &[usize], epoch: usize, index: usize) -> Batch {
        let start = index * self.options.batch_size;
        let views = &order[start..order.len().min(start + self.options.batch_size)];
        let parts = views.iter().map(|&i| {
            let view = &self.views[i];
            let screen = &self.screens.screens()[view.screen];
            let target = |&(widget, _): &(usize, usize)| self.target(view, screen, widget, epoch);
            (screen, view, view.widgets.iter().map(target).collect())
        });
        Batch { epoch, index, ..Batch::gathered(parts.collect(), &self.vocabulary) }
    }

    /// A caption of a widget in one epoch, as numbers.
    fn target(&self, view: &View, screen: &Screen, widget: usize, epoch: usize) -> Vec<usize> {
        let Options { draw, seed, max_words, .. } = self.options;
        let mut targets = targets(screen, widget, &self.vocabulary, &self.options);
        if !draw || targets.is_empty() {
            let first = screen.widgets[widget].captions.first().map_or("", String::as_str);
            return self.vocabulary.encode_caption(first, max_words);
        }
        let mut generator = random::generator(seed, Purpose::Caption, epoch, view.before + widget);
        targets.swap_remove(generator.random_range(0..targets.len()))
    }
}

/// The captions of a widget that have a known word, as numbers.
fn targets(
    screen: &Screen,
    widget: usize,
    vocabulary: &Vocabulary,
    options: &Options,
) -> Vec<Vec<usize>> {
    let captions = screen.widgets[widget].captions.iter();
    let targets = captions.map(|caption| vocabulary.encode_caption(caption, options.max_words));
    targets.filter(|target| target.len() > 1).collect()
}
