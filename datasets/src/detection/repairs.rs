//! What was put right while annotations were read.

use std::fmt;

/// What can be wrong with an annotation and yet leave the rest of a data set of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const ALL: [Repair; 6] = [
    Repair::Clipped,
    Repair::Degenerate,
    Repair::UnknownClass,
    Repair::Duplicate,
    Repair::Size,
    Repair::Crowd,
];

impl Repair {
    fn words(self) -> &'static str {
        match self {
            Repair::Clipped => "boxes clipped that reached outside the picture",
            Repair::Degenerate => "boxes left out that have no area inside the picture",
            Repair::UnknownClass => "objects left out whose class is not asked for",
            Repair::Duplicate => "boxes left out that repeat another",
            Repair::Size => "stated sizes corrected to that of the picture",
            Repair::Crowd => "boxes of crowds that are not learnt from",
        }
    }
}

/// How often each [`Repair`] was made and where first, in the order of the files.
///
/// Its text is one line for each kind, empty if nothing had to be put right:
///
/// ```text
/// 2 boxes left out that have no area inside the picture, first in a.xml: object 7: left 504, …
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repairs {
    counts: [usize; ALL.len()],
    first: [Option<String>; ALL.len()],
}

impl Repairs {
    /// How often.
    pub fn count(&self, repair: Repair) -> usize {
        self.counts[repair as usize]
    }

    /// The place of the first one.
    pub fn first(&self, repair: Repair) -> Option<&str> {
        self.first[repair as usize].as_deref()
    }

    /// Whether nothing was put right.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }

    pub(crate) fn add(&mut self, repair: Repair, place: impl fmt::Display) {
        self.counts[repair as usize] += 1;
        self.first[repair as usize].get_or_insert_with(|| place.to_string());
    }

    /// Those of a later file behind these.
    pub(crate) fn append(&mut self, later: Repairs) {
        for (i, first) in later.first.into_iter().enumerate() {
            self.counts[i] += later.counts[i];
            if self.first[i].is_none() {
                self.first[i] = first;
            }
        }
    }
}

impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut line = "";
        for repair in ALL {
            if let Some(first) = self.first(repair) {
                write!(f, "{line}{} {}, first in {first}", self.count(repair), repair.words())?;
                line = "\n";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_are_counted_and_told_in_words() {
        let mut repairs = Repairs::default();
        assert!(repairs.is_empty() && repairs.to_string().is_empty());
        repairs.add(Repair::Degenerate, "b.txt: line 3");
        let mut later = Repairs::default();
        later.add(Repair::Degenerate, "c.txt: line 1");
        later.add(Repair::Clipped, "c.txt: line 2");
        repairs.append(later);
        assert_eq!(
            repairs.to_string(),
            "1 boxes clipped that reached outside the picture, first in c.txt: line 2\n\
             2 boxes left out that have no area inside the picture, first in b.txt: line 3"
        );
        assert_eq!(repairs.count(Repair::Size), 0);
    }
}
