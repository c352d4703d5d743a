//! Screens of programs with captions for their widgets: the view hierarchy, the picture and the captions of each.
//!
//! ```text
//! folder/combined/ID.json        a view hierarchy
//! folder/combined/ID.jpg         its picture; or .jpeg, .png
//! folder/widget_captions.csv     datasetId,screenId,nodeId,captions
//! folder/split/train.txt         one ID a line; and dev.txt, test.txt
//! ```
//!
//! This is how Rico (Deka et al., UIST 2017) and the captions of its widgets (Li et al., EMNLP 2020) are published. Features are
//! those of the released pipeline of the latter, google-research `widget_caption/create_tf_example_fn.py`.

mod batch;
mod captions;
mod features;
mod hierarchy;
mod loader;
mod pixels;
mod read;
mod repairs;
mod treebank;
mod view;
mod vocabulary;
mod words;

pub use batch::Batch;
pub use features::{CANVAS, CLASSES};
pub use hierarchy::Limits;
pub use loader::{LeftOut, Loader, Options};
pub use pixels::{SIDE, Screenshot, crop};
pub use read::{folder, screen};
pub use repairs::{Repair, Repairs};
use serde::{Deserialize, Serialize};
pub use treebank::caption_words;
pub use view::Band;
pub use vocabulary::{EOS, PADDING, START, UNKNOWN, Vocabulary};
pub use words::{TEXT_WORDS, resource_words, text_words};

use crate::fingerprint::Fingerprint;

/// A node of a view hierarchy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// `0` for the root, then the places of children, from 0: `0.2.0.1`. Null children count.
    pub path: String,
    /// A place in [`CLASSES`], from 1; 0 is for padding.
    pub class: usize,
    /// Whether the program says that it can be clicked.
    pub clickable: bool,
    /// Left, top, right and bottom edge in fractions of the canvas, from 0 to 1, the former two not above the latter two.
    pub bounds: [f32; 4],
    /// Its level in the tree, its place in pre-order and its place in post-order, each from 1; 0 from 500 on. A node is an
    /// ancestor of another one if its place in pre-order is smaller and its place in post-order larger.
    pub dom: [usize; 3],
    /// At most [`TEXT_WORDS`] words of its text, or of its description; see [`text_words`].
    pub developer: Vec<String>,
    /// At most [`TEXT_WORDS`] words of its resource id; see [`resource_words`].
    pub resource: Vec<String>,
    /// Whether it is visible, both for the program and for the user.
    pub visible: bool,
    /// Whether no node is below it.
    pub leaf: bool,
}

/// A node that is to be captioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widget {
    /// Its place among the nodes of the screen.
    pub node: usize,
    /// Captions as people wrote them, with one space between words. None if no one did.
    pub captions: Vec<String>,
}

/// A screen: its nodes, and some of them that are to be captioned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Screen {
    /// The name of its files.
    pub id: String,
    /// All nodes in pre-order; the root is the first.
    pub nodes: Vec<Node>,
    /// The nodes to be captioned, in the order of the nodes.
    pub widgets: Vec<Widget>,
    /// What is to be seen of each widget, `[widgets, 64, 64]`, grey; see [`crop`].
    pub pixels: Vec<u8>,
    /// What was put right in its files.
    pub repairs: Repairs,
}

impl Screen {
    /// The node with this path.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.path == path)
    }

    /// What is to be seen of a widget, `[64, 64]`.
    ///
    /// # Panics
    ///
    /// If there is no such widget.
    pub fn pixels(&self, widget: usize) -> &[u8] {
        &self.pixels[widget * SIDE * SIDE..][..SIDE * SIDE]
    }

    /// The screen with only those widgets whose nodes `keep` names, given by their places.
    pub fn only(&self, keep: impl Fn(usize) -> bool) -> Screen {
        let kept: Vec<usize> =
            (0..self.widgets.len()).filter(|&i| keep(self.widgets[i].node)).collect();
        let pixels = kept.iter().flat_map(|&i| self.pixels(i)).copied().collect();
        let widgets = kept.iter().map(|&i| self.widgets[i].clone()).collect();
        Screen { widgets, pixels, ..self.clone() }
    }
}

/// The parts in which the captions are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// For learning.
    Train,
    /// For choosing between models.
    Dev,
    /// For the final measurement.
    Test,
}

impl Part {
    /// The name of its file in `split`, without extension.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Dev => "dev",
            Part::Test => "test",
        }
    }
}

/// The screens of one part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Screens {
    screens: Vec<Screen>,
    repairs: Repairs,
}

impl Screens {
    /// These screens.
    ///
    /// # Panics
    ///
    /// If a widget has no node or no pixels.
    pub fn new(screens: Vec<Screen>) -> Screens {
        for Screen { id, nodes, widgets, pixels, .. } in &screens {
            let sound = widgets.iter().all(|widget| widget.node < nodes.len());
            assert!(sound, "screens: a widget of {id} is none of its {} nodes", nodes.len());
            let (found, count) = (pixels.len(), widgets.len());
            assert_eq!(
                found,
                count * SIDE * SIDE,
                "screens: {found} pixels of {count} widgets of {id}"
            );
        }
        Screens::with(screens, Repairs::default())
    }

    /// These screens, and what was put right beside them.
    fn with(screens: Vec<Screen>, mut repairs: Repairs) -> Screens {
        screens.iter().for_each(|screen| repairs.append(&screen.repairs));
        Screens { screens, repairs }
    }

    /// The screens, in the order of the file of the part.
    pub fn screens(&self) -> &[Screen] {
        &self.screens
    }

    /// The number of widgets on all screens.
    pub fn widgets(&self) -> usize {
        self.screens.iter().map(|screen| screen.widgets.len()).sum()
    }

    /// A hash of all that there is: nodes, captions and pixels. Other data have another one.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fingerprint::of("screens");
        for Screen { id, nodes, widgets, pixels, repairs: _ } in &self.screens {
            hash.text(id);
            hash.numbers([nodes.len(), widgets.len()]);
            for Node { path, class, clickable, bounds, dom, developer, resource, visible, leaf } in
                nodes
            {
                hash.text(path);
                hash.numbers([*class]);
                hash.numbers([clickable, visible, leaf].map(|&flag| u64::from(flag)));
                hash.floats(*bounds);
                hash.numbers(*dom);
                hash.texts(developer);
                hash.texts(resource);
            }
            for Widget { node, captions } in widgets {
                hash.numbers([*node]);
                hash.texts(captions);
            }
            hash.bytes(pixels);
        }
        hash.finish()
    }

    /// What was put right in the files, or left out.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }
}
