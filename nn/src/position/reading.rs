//! What becomes of places at sizes that an encoder was not made for.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Places;

/// How places are read at another size than the encoder was made for. At that size all are the same, bit for bit.
///
/// Which of the other two is the encoder's own is in the table of encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// As the encoder does by itself.
    #[default]
    Own,
    /// The image is a denser, or coarser, sampling of the range that was seen: fractions stay what they are, and indices are
    /// fraction·size trained on, so not whole. Tables with a row for each index are interpolated.
    Dense,
    /// Places keep the spacing that was seen, and go on beyond it: indices are counted on, and fractions are index ÷ size
    /// trained on, so they may exceed 1. Where a table has no row, its last one stands.
    Farther,
}

impl Reading {
    /// All of them.
    pub const ALL: [Self; 3] = [Reading::Own, Reading::Dense, Reading::Farther];

    /// The name, as it stands in files.
    pub fn name(self) -> &'static str {
        match self {
            Reading::Own => "own",
            Reading::Dense => "dense",
            Reading::Farther => "farther",
        }
    }

    /// The reading of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reading| reading.name() == name)
    }

    /// Places as an encoder is to take them that was made for sizes `trained`, and that by itself `counts` places on beyond
    /// those, or goes by their fractions.
    pub(crate) fn of<'p>(
        self,
        places: &'p Places,
        trained: &[usize],
        counts: bool,
    ) -> Cow<'p, Places> {
        if places.sizes() == trained {
            return Cow::Borrowed(places);
        }
        match self {
            Reading::Dense if counts => Cow::Owned(places.sampling(trained)),
            Reading::Farther if !counts => Cow::Owned(places.continuing(trained)),
            _ => Cow::Borrowed(places),
        }
    }
}
