//! Boxes with sides along the axes, with their format in the type.
//!
//! x grows to the right, y downwards, in any unit: pixels, or fractions of the picture. A box whose right is left of its
//! left, or whose bottom is above its top, is empty: its area is 0. A box with a side that is not a number has areas and
//! overlaps that are none either.

use serde::{Deserialize, Serialize};

/// A box by its centre and size, as DETR predicts it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CenterSize {
    /// x of the centre.
    pub cx: f64,
    /// y of the centre.
    pub cy: f64,
    /// From the left to the right side.
    pub width: f64,
    /// From the top to the bottom side.
    pub height: f64,
}

/// A box by its sides, which is what overlaps are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corners {
    /// x of the left side.
    pub left: f64,
    /// y of the upper side.
    pub top: f64,
    /// x of the right side.
    pub right: f64,
    /// y of the lower side.
    pub bottom: f64,
}

impl CenterSize {
    /// From [cx, cy, width, height].
    pub fn from_array([cx, cy, width, height]: [f64; 4]) -> Self {
        Self { cx, cy, width, height }
    }

    /// As [cx, cy, width, height].
    pub fn to_array(self) -> [f64; 4] {
        [self.cx, self.cy, self.width, self.height]
    }

    /// |Δcx| + |Δcy| + |Δwidth| + |Δheight|.
    pub fn l1(self, other: Self) -> f64 {
        let (a, b) = (self.to_array(), other.to_array());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
    }
}

impl From<Corners> for CenterSize {
    fn from(Corners { left, top, right, bottom }: Corners) -> Self {
        let (cx, cy) = ((left + right) / 2.0, (top + bottom) / 2.0);
        Self { cx, cy, width: right - left, height: bottom - top }
    }
}

impl From<CenterSize> for Corners {
    fn from(CenterSize { cx, cy, width, height }: CenterSize) -> Self {
        let (w, h) = (width / 2.0, height / 2.0);
        Self { left: cx - w, top: cy - h, right: cx + w, bottom: cy + h }
    }
}

impl Corners {
    /// From COCO's [left, top, width, height].
    pub fn from_left_top([left, top, width, height]: [f64; 4]) -> Self {
        Self { left, top, right: left + width, bottom: top + height }
    }

    /// As COCO's [left, top, width, height].
    pub fn to_left_top(self) -> [f64; 4] {
        [self.left, self.top, self.right - self.left, self.bottom - self.top]
    }

    /// x stretched by one factor, y by another: from fractions to pixels with the picture's width and height.
    pub fn scaled(self, x: f64, y: f64) -> Self {
        let Self { left, top, right, bottom } = self;
        Self { left: left * x, top: top * y, right: right * x, bottom: bottom * y }
    }

    /// The part inside of [0, width] × [0, height]; of a box outside, an empty one at the border.
    ///
    /// # Panics
    /// If the width or the height is negative or not a number.
    pub fn clipped(self, width: f64, height: f64) -> Self {
        let Self { left, top, right, bottom } = self;
        Self {
            left: left.clamp(0.0, width),
            top: top.clamp(0.0, height),
            right: right.clamp(0.0, width),
            bottom: bottom.clamp(0.0, height),
        }
    }

    /// The area, at least 0.
    pub fn area(self) -> f64 {
        at_least_0(self.right - self.left) * at_least_0(self.bottom - self.top)
    }

    /// The area that both cover.
    pub fn intersection(self, other: Self) -> f64 {
        let [inner, _] = self.around(other);
        inner.area()
    }

    /// Intersection over union |A∩B|/|A∪B|, from 0 to 1; 0 if both boxes have no area, even if they are the same.
    pub fn iou(self, other: Self) -> f64 {
        let intersection = self.intersection(other);
        let union = self.area() + other.area() - intersection;
        if union <= 0.0 { 0.0 } else { intersection / union }
    }

    /// Generalised intersection over union |A∩B|/|A∪B| − (|C| − |A∪B|)/|C|, where C is the smallest box around both: from
    /// −1, far apart, to 1, equal, and never above [`iou`](Self::iou). The second part is 0 if C has no area.
    ///
    /// Source: Rezatofighi et al. 2019, algorithm 1.
    pub fn giou(self, other: Self) -> f64 {
        let [inner, hull] = self.around(other).map(Self::area);
        let union = self.area() + other.area() - inner;
        let iou = if union <= 0.0 { 0.0 } else { inner / union };
        // Rounding can make C smaller than the union by a few parts in 10¹⁶.
        if hull <= 0.0 { iou } else { iou - at_least_0((hull - union) / hull) }
    }

    /// The largest box inside of both and the smallest around both.
    fn around(self, other: Self) -> [Self; 2] {
        let inner = Self {
            left: larger(self.left, other.left),
            top: larger(self.top, other.top),
            right: smaller(self.right, other.right),
            bottom: smaller(self.bottom, other.bottom),
        };
        let hull = Self {
            left: smaller(self.left, other.left),
            top: smaller(self.top, other.top),
            right: larger(self.right, other.right),
            bottom: larger(self.bottom, other.bottom),
        };
        [inner, hull]
    }
}

// `f64::max` and `f64::min` drop a NaN; these keep it.

fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

fn smaller(a: f64, b: f64) -> f64 {
    if a < b || a.is_nan() { a } else { b }
}

fn at_least_0(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corners(left: f64, top: f64, right: f64, bottom: f64) -> Corners {
        Corners { left, top, right, bottom }
    }

    #[test]
    fn overlapping_touching_and_distant_boxes_have_the_values_of_the_definition() {
        let a = corners(0.0, 0.0, 2.0, 2.0);
        assert_eq!((a.iou(a), a.giou(a)), (1.0, 1.0));
        let b = corners(1.0, 1.0, 3.0, 3.0); // 1 of 7 in common; the box around both has 9
        assert_eq!((a.iou(b), a.giou(b)), (1.0 / 7.0, 1.0 / 7.0 - 2.0 / 9.0));
        let inside = corners(0.5, 0.0, 1.5, 1.0);
        assert_eq!((a.iou(inside), a.giou(inside)), (0.25, 0.25));
        let touching = corners(2.0, 0.0, 4.0, 2.0);
        assert_eq!((a.iou(touching), a.giou(touching)), (0.0, 0.0));
        let distant = corners(6.0, 0.0, 8.0, 2.0); // 8 of 16
        assert_eq!((a.iou(distant), a.giou(distant)), (0.0, -0.5));
    }

    #[test]
    fn boxes_without_area_are_defined() {
        let (point, other) = (corners(1.0, 1.0, 1.0, 1.0), corners(2.0, 2.0, 2.0, 2.0));
        assert_eq!((point.iou(point), point.giou(point)), (0.0, 0.0));
        assert_eq!((point.iou(other), point.giou(other)), (0.0, -1.0));
        let (line, wide) = (corners(0.0, 1.0, 3.0, 1.0), corners(0.0, 0.0, 4.0, 4.0));
        assert_eq!((line.iou(wide), line.giou(wide)), (0.0, 0.0));
        let backwards = corners(3.0, 3.0, 1.0, 1.0);
        assert_eq!((backwards.area(), backwards.iou(wide)), (0.0, 0.0));
    }

    #[test]
    fn a_side_that_is_not_a_number_is_not_lost_on_the_way() {
        let sound = corners(0.0, 0.0, 2.0, 2.0);
        for place in 0..4 {
            let mut sides = [1.0, 1.0, 3.0, 3.0];
            sides[place] = f64::NAN;
            let [left, top, right, bottom] = sides;
            let broken = corners(left, top, right, bottom);
            assert!(broken.area().is_nan());
            for (a, b) in [(sound, broken), (broken, sound), (broken, broken)] {
                let found = [a.intersection(b), a.iou(b), a.giou(b)];
                assert!(found.iter().all(|x| x.is_nan()), "{sides:?}: {found:?}");
            }
        }
    }

    #[test]
    fn formats_are_converted() {
        let center = CenterSize { cx: 3.0, cy: 5.0, width: 2.0, height: 4.0 };
        let sides = corners(2.0, 3.0, 4.0, 7.0);
        assert_eq!((Corners::from(center), CenterSize::from(sides)), (sides, center));
        assert_eq!(sides.to_left_top(), [2.0, 3.0, 2.0, 4.0]);
        assert_eq!(Corners::from_left_top([2.0, 3.0, 2.0, 4.0]), sides);
        assert_eq!(sides.scaled(0.5, 2.0), corners(1.0, 6.0, 2.0, 14.0));
        assert_eq!(sides.clipped(3.0, 2.0), corners(2.0, 2.0, 3.0, 2.0));
        assert_eq!(center.l1(CenterSize { cx: 2.0, cy: 7.0, width: 2.0, height: 4.5 }), 3.5);
    }
}
