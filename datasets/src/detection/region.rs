//! A rectangle, and the object in it.

/// An axis-aligned rectangle of a picture.
///
/// Units: pixels. The edges lie between pixels, so that the pixel in row y and column x reaches from `y` to `y + 1` and from
/// `x` to `x + 1`, and a whole picture is `0, 0, W, H`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// The least x.
    pub left: f32,
    /// The least y.
    pub top: f32,
    /// The greatest x.
    pub right: f32,
    /// The greatest y.
    pub bottom: f32,
}

impl Region {
    /// The rectangle with these edges.
    pub const fn new(left: f32, top: f32, right: f32, bottom: f32) -> Region {
        Region { left, top, right, bottom }
    }

    /// From its left edge to its right one.
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// From its top edge to its bottom one.
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// Height times width; 0 where it is turned inside out.
    pub fn area(&self) -> f64 {
        f64::from(self.width().max(0.0)) * f64::from(self.height().max(0.0))
    }

    /// Whether it holds any area: false for edges in the wrong order, equal edges and NaN.
    pub fn is_proper(&self) -> bool {
        self.left < self.right
            && self.top < self.bottom
            && [self.width(), self.height()].iter().all(|side| side.is_finite())
    }

    /// The part of it that lies in a picture of this width and height. It has no area if there is no such part.
    ///
    /// # Panics
    ///
    /// If the width or the height is negative or NaN.
    pub fn clipped(&self, width: f32, height: f32) -> Region {
        Region {
            left: self.left.clamp(0.0, width),
            top: self.top.clamp(0.0, height),
            right: self.right.clamp(0.0, width),
            bottom: self.bottom.clamp(0.0, height),
        }
    }

    /// It in a picture that was made `x` times as wide and `y` times as high.
    pub fn scaled(&self, x: f32, y: f32) -> Region {
        Region::new(self.left * x, self.top * y, self.right * x, self.bottom * y)
    }

    /// It further to the right by `x` and further down by `y`.
    pub fn shifted(&self, x: f32, y: f32) -> Region {
        Region::new(self.left + x, self.top + y, self.right + x, self.bottom + y)
    }

    /// It in a picture of this width whose left and right were exchanged.
    pub fn flipped(&self, width: f32) -> Region {
        Region { left: width - self.right, right: width - self.left, ..*self }
    }

    /// It in a picture of this height whose top and bottom were exchanged.
    pub fn flipped_vertically(&self, height: f32) -> Region {
        Region { top: height - self.bottom, bottom: height - self.top, ..*self }
    }

    /// The area that it shares with another.
    pub fn overlap(&self, other: &Region) -> f64 {
        let shared = Region {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        shared.area()
    }
}

/// Something in a picture that is learnt from: it has an area, lies inside of the picture, and is there once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Where it is.
    pub region: Region,
    /// What it is: an index into the classes of the data set.
    pub class: usize,
}

/// An object as its file has it, which is what a detector is scored against: not clipped, merged, left out or rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Its place among the objects of the data set, from 1; 0 if it has the id 0 in a file of COCO, which pycocotools takes
    /// for "none".
    pub id: u64,
    /// What it is: an index into the classes of the data set.
    pub class: usize,
    /// Left, top, width and height in pixels of the picture as it is in its file. Finite; it may reach out of the picture.
    pub bounds: [f64; 4],
    /// The number of pixels of the object itself if the data set knows it (COCO's `area`, of the segmentation), else width
    /// times height.
    pub area: f64,
    /// Whether the box stands for a crowd of objects that were not told apart. It is not learnt from, and what is found in
    /// it is neither right nor wrong.
    pub crowd: bool,
}

impl Truth {
    /// Of an object of a picture that was never another size.
    pub fn new(id: u64, Object { region, class }: Object) -> Truth {
        let Region { left, top, right, bottom } = region;
        let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
        let (width, height) = (right - left, bottom - top);
        let bounds = [left, top, width, height];
        Truth { id, class, bounds, area: width * height, crowd: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: Region = Region::new(2.0, 1.0, 5.0, 3.0);

    #[test]
    fn sides_and_area_are_differences_of_edges() {
        assert_eq!((REGION.width(), REGION.height(), REGION.area()), (3.0, 2.0, 6.0));
        let inside_out = Region::new(5.0, 3.0, 2.0, 1.0);
        assert!(REGION.is_proper() && !inside_out.is_proper());
        assert_eq!(inside_out.area(), 0.0);
        assert!(!Region { right: f32::NAN, ..REGION }.is_proper());
        assert!(!Region { right: f32::INFINITY, ..REGION }.is_proper());
    }

    #[test]
    fn a_region_outside_keeps_no_area_when_clipped() {
        assert_eq!(REGION.clipped(4.0, 2.5), Region::new(2.0, 1.0, 4.0, 2.5));
        assert_eq!(REGION.shifted(-3.0, -2.0).clipped(9.0, 9.0), Region::new(0.0, 0.0, 2.0, 1.0));
        assert!(!REGION.clipped(2.0, 9.0).is_proper());
    }

    #[test]
    fn a_region_follows_its_picture() {
        assert_eq!(REGION.scaled(2.0, 10.0), Region::new(4.0, 10.0, 10.0, 30.0));
        assert_eq!(REGION.flipped(6.0), Region::new(1.0, 1.0, 4.0, 3.0));
        assert_eq!(REGION.flipped_vertically(6.0), Region::new(2.0, 3.0, 5.0, 5.0));
        assert_eq!(REGION.flipped(6.0).flipped(6.0), REGION);
    }

    #[test]
    fn regions_share_what_both_hold() {
        assert_eq!(REGION.overlap(&Region::new(4.0, 0.0, 9.0, 2.0)), 1.0);
        assert_eq!(REGION.overlap(&REGION.shifted(3.0, 0.0)), 0.0);
    }
}
