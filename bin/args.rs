//! Bounds of the numbers that options take: a number out of them is refused by the parser, with what it must be.

use std::ops::RangeInclusive;

use clap::builder::{RangedU64ValueParser, TypedValueParser};

use crate::config::Bounds;

/// A whole number.
pub(crate) fn whole<T>(range: RangeInclusive<u64>) -> RangedU64ValueParser<T>
where
    T: TryFrom<u64> + Clone + Send + Sync,
{
    RangedU64ValueParser::new().range(range)
}

/// A number; NaN and infinity are none.
pub(crate) fn number(bounds: Bounds) -> impl TypedValueParser<Value = f64> {
    move |text: &str| -> Result<f64, String> {
        let number: f64 = text.parse().map_err(|_| format!("must be a number {bounds}"))?;
        bounds.check(number).map_err(|must| format!("must be {must}"))?;
        Ok(number)
    }
}

/// Threads that can be asked for. More than there are processors only get in each other's way.
pub(crate) const THREADS: RangeInclusive<u64> = 1..=1024;
/// Seeds: what a recipe can hold.
pub(crate) const SEEDS: RangeInclusive<u64> = 0..=i64::MAX as u64;
/// Counts of images, cases, steps and the like.
pub(crate) const COUNTS: RangeInclusive<u64> = 1..=1_000_000_000;
/// Sides of images, in pixels.
pub(crate) const SIDES: RangeInclusive<u64> = 1..=8192;
/// From 0 to 1.
pub(crate) const FRACTION: Bounds = Bounds::new(0.0, 1.0);
