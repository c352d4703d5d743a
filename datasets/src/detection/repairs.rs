//! What was put right while annotations were read. All of it is for training only: what is scored is what the file says; see
//! [`Truth`](super::Truth).

use std::fmt;

/// What can be wrong with an annotation and yet leave the rest of a data set of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// A picture that cannot be read, if these are to be left out.
    Broken,
    /// An object without a box: left out.
    NoBox,
    /// A box reached outside the picture, by more than a hundredth of a pixel, and was clipped.
    Clipped,
    /// A box without area, with edges in the wrong order or NaN, or outside the picture: left out.
    Degenerate,
    /// An object of a class that is not among the classes asked for: left out.
    UnknownClass,
    /// An object of a file of COCO whose image or category the file does not list: left out, as pycocotools does.
    Unlisted,
    /// A record of a file of COCO with the id of an earlier one. Of objects, the last one counts in place of each, as in
    /// pycocotools; images and categories have to be equal then, and count once.
    RepeatedId,
    /// The same box with the same class once more in one picture: left out.
    Duplicate,
    /// The stated size of a picture is not the one it has; the one it has holds.
    Size,
    /// A photograph with a note that it is to be turned, whose stated size is that before it is turned: left as it is stored, as
    /// its boxes are.
    AsStored,
    /// A box that stands for a crowd: not learnt from.
    Crowd,
}

impl fmt::Display for Repair {
    /// In the plural; in the alternate form for a single one.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (one, what) = match self {
            Repair::Broken => ("broken picture", "s skipped"),
            Repair::NoBox => ("object", "s left out without a box"),
            Repair::Clipped => ("box", "es clipped that reached outside the picture"),
            Repair::Degenerate => ("box", "es left out without area inside the picture"),
            Repair::UnknownClass => ("object", "s left out whose class is not asked for"),
            Repair::Unlisted => ("object", "s left out whose image or category is not listed"),
            Repair::RepeatedId => ("id", "s given to more than one record"),
            Repair::Duplicate => ("box", "es left out that repeat another"),
            Repair::Size => ("stated size", "s corrected to that of the picture"),
            Repair::AsStored => {
                ("photograph", "s not turned, as boxes are given in the stored one")
            }
            Repair::Crowd => ("box", "es of crowds that are not learnt from"),
        };
        let what = if f.alternate() { what.trim_start_matches(['e', 's']) } else { what };
        write!(f, "{one}{what}")
    }
}

/// How often each [`Repair`] was made and where first.
pub type Repairs = crate::repairs::Repairs<Repair>;
