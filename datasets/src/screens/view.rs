//! Which nodes and widgets of a screen a loader shows.

use serde::{Deserialize, Serialize};

use super::{LeftOut, Screen};

/// A band across the screen whose places training does not see, from `top` up to and without `bottom`, in fractions of the
/// canvas.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The upper edge, from 0 to 1.
    pub top: f32,
    /// The lower edge, from `top` to 1.
    pub bottom: f32,
}

impl Band {
    /// Whether the vertical centre of these bounds lies in the band.
    pub fn holds(&self, bounds: [f32; 4]) -> bool {
        let centre = (bounds[1] + bounds[3]) / 2.0;
        self.top <= centre && centre < self.bottom
    }
}

/// What is shown of one screen.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The place of the screen in its set.
    pub(super) screen: usize,
    /// The places of nodes, ascending.
    pub(super) nodes: Vec<usize>,
    /// The widgets: the place of each on the screen, and that of its node among `nodes`.
    pub(super) widgets: Vec<(usize, usize)>,
    /// The number of widgets on the screens in front of this one.
    pub(super) before: usize,
}

impl View {
    /// All of a screen, but without leaves and widgets in the band, and with at most `max_nodes` nodes if that leaves all
    /// widgets and what is above them. `keep` says of further widgets, by their places, whether they stay.
    pub(super) fn new(
        place: usize,
        before: usize,
        screen: &Screen,
        max_nodes: usize,
        band: Option<Band>,
        keep: impl Fn(usize) -> bool,
        left_out: &mut LeftOut,
    ) -> View {
        let in_band = |node: usize| band.is_some_and(|band| band.holds(screen.nodes[node].bounds));
        let widgets: Vec<usize> = (0..screen.widgets.len())
            .filter(|&widget| keep(widget) && !in_band(screen.widgets[widget].node))
            .collect();
        left_out.widgets += screen.widgets.len() - widgets.len();

        let mut shown: Vec<bool> = (0..screen.nodes.len())
            .map(|node| !(screen.nodes[node].leaf && in_band(node)))
            .collect();
        let kept = shown.iter().filter(|&&shown| shown).count();
        left_out.in_band += screen.nodes.len() - kept;
        if kept > max_nodes {
            let needed = with_ancestors(screen, widgets.iter().map(|&i| screen.widgets[i].node));
            let all = needed.iter().filter(|&&needed| needed).count();
            let mut room = max_nodes.saturating_sub(all);
            for (shown, &needed) in shown.iter_mut().zip(&needed) {
                let fits = *shown && !needed && room > 0;
                room -= usize::from(fits);
                *shown = needed || fits;
            }
            left_out.beyond += kept - all.max(max_nodes);
        }
        let nodes: Vec<usize> = (0..shown.len()).filter(|&node| shown[node]).collect();
        let widget = |i: usize| {
            let node = nodes.binary_search(&screen.widgets[i].node);
            (i, node.expect("a widget is not among the nodes that were left out"))
        };
        let widgets = widgets.into_iter().map(widget).collect();
        View { screen: place, nodes, widgets, before }
    }
}

/// Which nodes are among these or above them.
fn with_ancestors(screen: &Screen, nodes: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut needed = vec![false; screen.nodes.len()];
    nodes.for_each(|node| needed[node] = true);
    // In pre-order a node's children come behind it; going back, the last needed level below is known.
    let mut levels: Vec<bool> = Vec::new();
    for (node, needed) in screen.nodes.iter().zip(&mut needed).rev() {
        let level = node.path.matches('.').count();
        if levels.len() > level + 1 {
            *needed |= levels[level + 1];
            levels.truncate(level + 1);
        }
        levels.resize(levels.len().max(level + 1), false);
        levels[level] |= *needed;
    }
    needed
}
