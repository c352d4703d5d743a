//! Screens of a batch.

use std::ops::Range;

use tensor::Tensor;

/// Screens padded to the one with the most nodes: B screens, N nodes of the largest, K words of a text, W widgets of all screens
/// together. A node is at b·N + i.
#[derive(Clone, Debug)]
pub struct ScreenBatch {
    /// N.
    pub nodes: usize,
    /// Nodes of each screen `[B]`.
    pub counts: Vec<usize>,
    /// Class of each node [B·N], below [`CLASSES`](super::CLASSES); 0 is padding.
    pub class: Vec<usize>,
    /// Whether each node can be clicked [B·N], 0 or 1.
    pub clickable: Vec<usize>,
    /// Depth, pre-order and post-order of each node [B·N], from 1; 0 is padding or [`PLACES`](super::PLACES) and more.
    pub dom: Vec<[usize; 3]>,
    /// Left, top, right and bottom of each node [B·N], as fractions of the screen.
    pub bounds: Vec<[f32; 4]>,
    /// Words of each node's text and description [B·N·K]; [`PADDING`](super::PADDING) behind.
    pub developer: Vec<usize>,
    /// Words of each node's name in the program [B·N·K]; [`PADDING`](super::PADDING) behind.
    pub resource: Vec<usize>,
    /// Screen of the batch and node of each widget `[W]`, in the order of the screens.
    pub widgets: Vec<(usize, usize)>,
    /// Grey pixels of each widget [W, 1, 64, 64], from 0 to 1.
    pub pixels: Tensor,
}

impl ScreenBatch {
    /// The widgets of some screens.
    pub fn widgets_of(&self, screens: Range<usize>) -> Range<usize> {
        let before = |end: usize| self.widgets.partition_point(|&(screen, _)| screen < end);
        before(screens.start)..before(screens.end)
    }

    /// Some of the screens with their widgets, padded no further than to the largest of them.
    ///
    /// # Panics
    /// If they are not in the batch.
    #[must_use]
    #[track_caller]
    pub fn narrow(&self, screens: Range<usize>) -> Self {
        let counts = self.counts[screens.clone()].to_vec();
        let nodes = counts.iter().copied().max().unwrap_or(0);
        let cut = Cut { screens: screens.clone(), from: self.nodes, to: nodes };
        let words = self.text_words();
        let widgets = self.widgets_of(screens.clone());
        let moved = |&(screen, node): &(usize, usize)| (screen - screens.start, node);
        Self {
            nodes,
            counts,
            class: cut.of(&self.class, 1),
            clickable: cut.of(&self.clickable, 1),
            dom: cut.of(&self.dom, 1),
            bounds: cut.of(&self.bounds, 1),
            developer: cut.of(&self.developer, words),
            resource: cut.of(&self.resource, words),
            widgets: self.widgets[widgets.clone()].iter().map(moved).collect(),
            pixels: self.pixels.narrow(0, widgets.start, widgets.len()),
        }
    }

    /// K.
    pub(super) fn text_words(&self) -> usize {
        self.developer.len() / self.class.len().max(1)
    }

    /// Where the nodes are that are no padding, in order.
    pub(super) fn filled(&self) -> Vec<usize> {
        let of_screen = |(b, &count)| (0..count).map(move |i| b * self.nodes + i);
        self.counts.iter().enumerate().flat_map(of_screen).collect()
    }

    /// Panics unless the parts have the sizes that they should have.
    #[track_caller]
    pub(super) fn check(&self) {
        let (screens, slots) = (self.counts.len(), self.counts.len() * self.nodes);
        let fits = self.class.len() == slots
            && self.clickable.len() == slots
            && self.dom.len() == slots
            && self.bounds.len() == slots
            && self.developer.len() == slots * self.text_words()
            && self.resource.len() == self.developer.len()
            && self.counts.iter().all(|&count| count <= self.nodes);
        assert!(fits, "captioner: {screens} screens of {} nodes expected in all parts", self.nodes);
        let in_order = self.widgets.is_sorted_by_key(|&(screen, _)| screen);
        let inside = |&(b, node): &(usize, usize)| b < screens && node < self.counts[b];
        assert!(
            in_order && self.widgets.iter().all(inside),
            "captioner: widgets of {screens} screens, in their order, expected"
        );
        let &[widgets, 1, _, _] = self.pixels.dims() else {
            panic!("captioner: pixels [W, 1, H, W] expected, found {}", self.pixels.shape())
        };
        assert_eq!(widgets, self.widgets.len(), "captioner: pixels of each widget");
    }
}

/// The first `to` of `from` nodes of some screens.
struct Cut {
    screens: Range<usize>,
    from: usize,
    to: usize,
}

impl Cut {
    /// What belongs to these nodes, `each` of it a node.
    #[track_caller]
    fn of<T: Clone>(&self, all: &[T], each: usize) -> Vec<T> {
        let start = |screen: usize| screen * self.from * each;
        let of_screen = |screen| all[start(screen)..start(screen) + self.to * each].iter().cloned();
        self.screens.clone().flat_map(of_screen).collect()
    }
}
