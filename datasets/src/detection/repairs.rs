//! What was put right while annotations were read.

use std::fmt;

/// What can be wrong with an annotation and yet leave the rest of a data set of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// A box reached outside the picture, by more than a hundredth of a pixel, and was clipped.
    Clipped,
    /// A box without area, with edges in the wrong order or NaN, or outside the picture: left out.
    Degenerate,
    /// An object of a class that is not among the classes asked for: left out.
    UnknownClass,
    /// The same box with the same class once more in one picture: left out.
    Duplicate,
    /// The stated size of a picture is not the one it has; the one it has holds.
    Size,
    /// A box that stands for a crowd: kept, but not learnt from.
    Crowd,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Repair::Clipped => "boxes clipped that reached outside the picture",
            Repair::Degenerate => "boxes left out that have no area inside the picture",
            Repair::UnknownClass => "objects left out whose class is not asked for",
            Repair::Duplicate => "boxes left out that repeat another",
            Repair::Size => "stated sizes corrected to that of the picture",
            Repair::Crowd => "boxes of crowds that are not learnt from",
        })
    }
}

/// How often each [`Repair`] was made and where first.
pub type Repairs = crate::repairs::Repairs<Repair>;
