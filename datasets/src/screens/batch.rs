//! Screens put together for a model.

use tensor::Tensor;

use super::view::View;
use super::{EOS, LeftOut, Node, PADDING, SIDE, Screen, TEXT_WORDS, Vocabulary};

/// Some screens, padded to the longest. `B` screens, `N` nodes of the largest, `K` = [`TEXT_WORDS`] words of a text, `W` widgets
/// of all together, `T` words of the longest target. Padding is 0 everywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `N`.
    pub nodes: usize,
    /// The number of nodes of each screen, `[B]`.
    pub counts: Vec<usize>,
    /// The class of each node, from 1, `[B·N]`; see [`CLASSES`](super::CLASSES).
    pub class: Vec<usize>,
    /// 1 for nodes that can be clicked, `[B·N]`.
    pub clickable: Vec<usize>,
    /// Level, pre-order and post-order of each node, `[B·N]`; see [`Node::dom`].
    pub dom: Vec<[usize; 3]>,
    /// Left, top, right and bottom in fractions of the canvas, `[B·N]`.
    pub bounds: Vec<[f32; 4]>,
    /// The words of what a developer wrote, `[B·N·K]`.
    pub developer: Vec<usize>,
    /// The words of the resource ids, `[B·N·K]`.
    pub resource: Vec<usize>,
    /// The screen in this batch and the node among those of its screen here, `[W]`; screen by screen.
    pub widgets: Vec<(usize, usize)>,
    /// What is to be seen of each widget, `[W, 1, 64, 64]`, from 0 for black to 1 for white.
    pub pixels: Tensor,
    /// `T`.
    pub words: usize,
    /// A caption for each widget, and [`EOS`] behind it, `[W·T]`.
    pub targets: Vec<usize>,
    /// The place of each screen in its set, `[B]`.
    pub indices: Vec<usize>,
    /// The place of each widget among those of its screen, `[W]`. So its captions are those of
    /// `screens.screens()[indices[screen]].widgets[origins[w]]`.
    pub origins: Vec<usize>,
    /// The epoch that this batch is part of, from 0.
    pub epoch: usize,
    /// The place of this batch in its epoch, from 0.
    pub index: usize,
}

impl Batch {
    /// All nodes and widgets of these screens. Targets are the first captions, of at most `max_words` words, or just [`EOS`]
    /// for a widget without any.
    pub fn of(screens: &[&Screen], vocabulary: &Vocabulary, max_words: usize) -> Batch {
        let mut nothing = LeftOut::default();
        let view = |(place, screen): (usize, &&Screen)| {
            View::new(place, 0, screen, usize::MAX, None, |_| true, &mut nothing)
        };
        let views: Vec<View> = screens.iter().enumerate().map(view).collect();
        let parts = screens.iter().zip(&views).map(|(&screen, view)| {
            let first = |&(widget, _): &(usize, usize)| {
                let caption = screen.widgets[widget].captions.first().map_or("", String::as_str);
                vocabulary.encode_caption(caption, max_words)
            };
            (screen, view, view.widgets.iter().map(first).collect())
        });
        Batch::gathered(parts.collect(), vocabulary)
    }

    /// What the views show, with the target of each widget.
    pub(super) fn gathered(
        parts: Vec<(&Screen, &View, Vec<Vec<usize>>)>,
        vocabulary: &Vocabulary,
    ) -> Batch {
        let nodes = parts.iter().map(|(_, view, _)| view.nodes.len()).max().unwrap_or(0);
        let words = parts.iter().flat_map(|(.., targets)| targets).map(Vec::len).max().unwrap_or(0);
        let shown = || parts.iter().flat_map(|(_, view, _)| &view.widgets);

        let room = parts.len() * nodes;
        let mut batch = Batch {
            nodes,
            counts: Vec::with_capacity(parts.len()),
            class: Vec::with_capacity(room),
            clickable: Vec::with_capacity(room),
            dom: Vec::with_capacity(room),
            bounds: Vec::with_capacity(room),
            developer: Vec::with_capacity(room * TEXT_WORDS),
            resource: Vec::with_capacity(room * TEXT_WORDS),
            widgets: Vec::new(),
            pixels: Tensor::build([shown().count(), 1, SIDE, SIDE], |out| {
                let pixels = parts.iter().flat_map(|(screen, view, _)| {
                    view.widgets.iter().flat_map(|&(widget, _)| screen.pixels(widget))
                });
                for (out, &pixel) in out.iter_mut().zip(pixels) {
                    *out = f32::from(pixel) / 255.0;
                }
            }),
            words,
            targets: Vec::new(),
            indices: parts.iter().map(|(_, view, _)| view.screen).collect(),
            origins: shown().map(|&(widget, _)| widget).collect(),
            epoch: 0,
            index: 0,
        };
        for (place, (screen, view, targets)) in parts.into_iter().enumerate() {
            batch.counts.push(view.nodes.len());
            view.nodes.iter().for_each(|&node| batch.push(&screen.nodes[node], vocabulary));
            batch.pad((place + 1) * nodes);
            batch.widgets.extend(view.widgets.iter().map(|&(_, node)| (place, node)));
            for mut target in targets {
                debug_assert_eq!(target.last(), Some(&EOS));
                target.resize(words, PADDING);
                batch.targets.extend(target);
            }
        }
        batch
    }

    fn push(&mut self, node: &Node, vocabulary: &Vocabulary) {
        self.class.push(node.class);
        self.clickable.push(usize::from(node.clickable));
        self.dom.push(node.dom);
        self.bounds.push(node.bounds);
        let text = |words: &[String], out: &mut Vec<usize>| {
            let end = out.len() + TEXT_WORDS;
            out.extend(vocabulary.encode_text(words));
            out.resize(end, PADDING);
        };
        text(&node.developer, &mut self.developer);
        text(&node.resource, &mut self.resource);
    }

    /// Fills up to this number of nodes.
    fn pad(&mut self, nodes: usize) {
        self.class.resize(nodes, PADDING);
        self.clickable.resize(nodes, 0);
        self.dom.resize(nodes, [0; 3]);
        self.bounds.resize(nodes, [0.0; 4]);
        self.developer.resize(nodes * TEXT_WORDS, PADDING);
        self.resource.resize(nodes * TEXT_WORDS, PADDING);
    }
}
