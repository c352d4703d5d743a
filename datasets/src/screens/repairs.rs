//! What was put right or left out while screens were read.

use std::fmt;

/// What can be wrong with a screen or a caption and yet leave the rest of a data set of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// A row of the data set `nr`, whose screens were not published: left out.
    Unpublished,
    /// A row whose captions have no word: left out.
    Wordless,
    /// A caption without a word among others that have some: left out.
    EmptyCaption,
    /// A second row for the same node: its captions go behind those of the first.
    SecondRow,
    /// A row for a node that the screen does not have: left out.
    NoNode,
    /// A screen whose file is `null`, or has no root: left out.
    NoHierarchy,
    /// A screen none of whose nodes has a caption: left out.
    NoCaption,
    /// A node that does not say its class: of unknown class unless its ancestors tell.
    NoClass,
    /// A node without four numbers as bounds: at the origin, without area.
    NoBounds,
    /// Bounds whose right edge is left of the left one, or the lower above the upper one: exchanged.
    Reversed,
    /// Bounds that reach out of the canvas: clipped.
    Clipped,
    /// Bounds without area on the canvas: kept. Such a node is a place without pixels.
    NoArea,
    /// A resource id without just one slash: what is behind the last slash is taken, or all of it.
    ResourceId,
    /// A value of another type than its key has, or text that is not Unicode: as if it were missing.
    WrongType,
}

impl fmt::Display for Repair {
    /// In the plural; in the alternate form for a single one.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (one, what) = match self {
            Repair::Unpublished => ("row", "s left out of screens that were not published"),
            Repair::Wordless => ("row", "s left out whose captions have no word"),
            Repair::EmptyCaption => ("caption", "s left out without a word"),
            Repair::SecondRow => ("row", "s joined to an earlier one for the same node"),
            Repair::NoNode => ("row", "s left out whose node is not on the screen"),
            Repair::NoHierarchy => ("screen", "s left out whose file has no view hierarchy"),
            Repair::NoCaption => ("screen", "s left out on which nothing has a caption"),
            Repair::NoClass => ("node", "s without a stated class"),
            Repair::NoBounds => ("node", "s set to the origin without four numbers as bounds"),
            Repair::Reversed => ("bounds", " turned whose edges were in the wrong order"),
            Repair::Clipped => ("bounds", " clipped that reached out of the canvas"),
            Repair::NoArea => ("bounds", " kept that have no area on the canvas"),
            Repair::ResourceId => ("resource id", "s read without exactly one slash"),
            Repair::WrongType => ("value", "s left out of another type than their key's"),
        };
        let what = if f.alternate() { what.trim_start_matches('s') } else { what };
        write!(f, "{one}{what}")
    }
}

/// How often each [`Repair`] was made and where first.
pub type Repairs = crate::repairs::Repairs<Repair>;
