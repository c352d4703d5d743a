//! What readers put right or leave out, counted.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::shown;

/// How often each kind `R` of repair was made and where first, in the order of the files.
///
/// Its text is one line for each kind, in the order of the kinds, and empty if nothing had to be put right. A kind is written in
/// the plural, and for a single repair in its alternate form:
///
/// ```text
/// 2 boxes left out that have no area inside the picture, first in a.xml: object 7: left 504, …; b.xml: …
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repairs<R> {
    /// How often, and the first [`SHOWN`] places.
    found: BTreeMap<R, (usize, Vec<String>)>,
}

/// The most places that are named of each kind.
const SHOWN: usize = 3;

impl<R> Default for Repairs<R> {
    fn default() -> Self {
        Self { found: BTreeMap::new() }
    }
}

impl<R: Copy + Ord> Repairs<R> {
    /// How often.
    pub fn count(&self, repair: R) -> usize {
        self.found.get(&repair).map_or(0, |&(count, _)| count)
    }

    /// The place of the first one.
    pub fn first(&self, repair: R) -> Option<&str> {
        self.found.get(&repair).and_then(|(_, places)| places.first()).map(String::as_str)
    }

    /// Whether nothing was put right.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn add(&mut self, repair: R, place: impl fmt::Display) {
        let (count, places) = self.found.entry(repair).or_default();
        *count += 1;
        if places.len() < SHOWN {
            places.push(shown(place));
        }
    }

    /// Those of a later file behind these.
    pub(crate) fn append(&mut self, later: &Self) {
        for (&repair, (more, later)) in &later.found {
            let (count, places) = self.found.entry(repair).or_default();
            *count += more;
            places.extend(later.iter().take(SHOWN - places.len()).cloned());
        }
    }
}

impl<R: fmt::Display> fmt::Display for Repairs<R> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, (repair, (count, places))) in self.found.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            match count {
                1 => write!(f, "{line}1 {repair:#}, in {}", places[0])?,
                _ => write!(f, "{line}{count} {repair}, first in {}", places.join("; "))?,
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
        repairs.add("boxes left out", "b.txt: line 3");
        let mut later = Repairs::default();
        later.add("boxes left out", "c.txt: line 1");
        later.add("boxes left out", "c.txt: line 9");
        later.add("boxes clipped", "c.txt: line 2");
        repairs.append(&later);
        assert_eq!(
            repairs.to_string(),
            "1 boxes clipped, in c.txt: line 2\n\
             3 boxes left out, first in b.txt: line 3; c.txt: line 1; c.txt: line 9"
        );
        assert_eq!(repairs.count("boxes left out"), 3);
        assert_eq!((repairs.count("none"), repairs.first("none")), (0, None));
    }
}
