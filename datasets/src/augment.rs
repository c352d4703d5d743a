//! Random crops, flips and erased rectangles.

use std::ops::Range;

use rand::RngExt;

use crate::random::{self, Purpose};
use crate::{Error, Images};

/// What is left to chance when a training image is shown; nothing by [`default`](Self::default).
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    /// The image is shifted by up to this many pixels along each axis, all shifts being equally
    /// likely; what moves in from outside is black. This is a crop from the padded image.
    pub crop_padding: usize,
    /// The probability of a reflection that exchanges left and right.
    pub flip: f32,
    /// The probability that a rectangle is erased: set to the mean of the data set.
    pub erase: f32,
    /// The least and the greatest area of that rectangle, as fractions of the image.
    pub erase_area: [f32; 2],
}

/// The least and the greatest ratio of height to width of an erased rectangle.
const ERASE_ASPECT: [f32; 2] = [0.3, 3.3];

impl Default for Augment {
    fn default() -> Augment {
        Augment { crop_padding: 0, flip: 0.0, erase: 0.0, erase_area: [0.02, 0.33] }
    }
}

impl Augment {
    /// How one image of height `H` and width `W` is seen in one epoch: a function of the seed, the
    /// epoch and the index of the image, and of nothing else.
    ///
    /// An erased rectangle has a uniform area in [`erase_area`](Self::erase_area), a log-uniform
    /// ratio of height to width from 0.3 to 3.3, and a uniform place inside the image. It is lower and
    /// narrower than the image; if ten such shapes are not, nothing is erased.
    ///
    /// # Panics
    ///
    /// If the two values of `erase_area` are not in order, which [`Loader`](crate::Loader) checks.
    ///
    /// Source: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, algorithm 1, with
    /// the ten attempts of torchvision's `RandomErasing`.
    pub fn view(&self, seed: u64, epoch: usize, index: usize, [h, w]: [usize; 2]) -> View {
        let mut rng = random::generator(seed, Purpose::Augment, epoch, index);
        let padding = self.crop_padding as i64;
        let shift = [(); 2].map(|()| rng.random_range(-padding..=padding) as isize);
        let flip = rng.random::<f32>() < self.flip;
        let mut view = View { shift, flip, erased: None };

        if rng.random::<f32>() < self.erase {
            let [least, greatest] = self.erase_area;
            let [low, high] = ERASE_ASPECT.map(f32::ln);
            view.erased = (0..10).find_map(|_| {
                let area = rng.random_range(least..=greatest) * (h * w) as f32;
                let aspect = rng.random_range(low..=high).exp();
                let height = (area * aspect).sqrt().round() as usize;
                let width = (area / aspect).sqrt().round() as usize;
                (height < h && width < w).then(|| {
                    let top = rng.random_range(0..=h - height);
                    let left = rng.random_range(0..=w - width);
                    [top..top + height, left..left + width]
                })
            });
        }
        view
    }

    /// Whether the values make sense for these images.
    pub(crate) fn check(&self, images: &Images) -> Result<(), Error> {
        let [_, height, width] = images.shape();
        if self.crop_padding >= height.min(width) {
            let expected = format_args!("less than the size of the images, {height} × {width}");
            return Err(Error::option("augment.crop_padding", expected, self.crop_padding));
        }
        for (option, value) in [("augment.flip", self.flip), ("augment.erase", self.erase)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::option(option, "a probability from 0 to 1", value));
            }
        }
        let [least, greatest] = self.erase_area;
        if !(0.0 <= least && least <= greatest && greatest <= 1.0) {
            let expected = "two fractions from 0 to 1, in order";
            let found = format_args!("{:?}", self.erase_area);
            return Err(Error::option("augment.erase_area", expected, found));
        }
        Ok(())
    }
}

/// How an image is seen: shifted, then reflected, then partly erased.
///
/// ```text
/// seen[c, y, x] = mean of the data set's channel c      inside the erased rectangle
///               = x[c, y + shift₀, x' + shift₁]       elsewhere, black outside the image,
///                                                     x' = W − 1 − x if reflected, else x
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What is added to the row and the column that are seen, in pixels.
    pub shift: [isize; 2],
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// Rows and columns of the erased rectangle.
    pub erased: Option<[Range<usize>; 2]>,
}

impl View {
    /// Writes what is seen of `image` to `seen`; both have shape `[C, H, W]`. For each channel, `tables` has the normalised value
    /// of each byte, and `mean` that of the data set's mean.
    pub(crate) fn render(
        &self,
        image: &[u8],
        [height, width]: [usize; 2],
        tables: &[[f32; 256]],
        mean: &[f32],
        seen: &mut [f32],
    ) {
        let plane = height * width;
        let planes = image.chunks_exact(plane).zip(seen.chunks_exact_mut(plane));
        for (((image, seen), table), &mean) in planes.zip(tables).zip(mean) {
            for (y, row) in seen.chunks_exact_mut(width).enumerate() {
                // Rows and columns of the image that are seen at the row y and the column x.
                match y.checked_add_signed(self.shift[0]).filter(|&source| source < height) {
                    Some(source) => self.render_row(&image[source * width..][..width], table, row),
                    None => row.fill(table[0]),
                }
                if self.flip {
                    row.reverse();
                }
            }
            if let Some([rows, columns]) = &self.erased {
                for y in rows.clone() {
                    seen[y * width..][columns.clone()].fill(mean);
                }
            }
        }
    }

    /// One row, shifted but not reflected: `row[x] = table[image[x + shift₁]]`.
    fn render_row(&self, image: &[u8], table: &[f32; 256], row: &mut [f32]) {
        let (width, shift) = (row.len(), self.shift[1]);
        let inside = width.saturating_sub(shift.unsigned_abs());
        let (from, to) = if shift >= 0 { (width - inside, 0) } else { (0, width - inside) };
        row.fill(table[0]);
        for (seen, &byte) in row[to..].iter_mut().zip(&image[from..][..inside]) {
            *seen = table[usize::from(byte)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 3 × 3 image seen through a table that leaves the bytes as they are.
    fn seen(view: &View) -> Vec<f32> {
        let table = std::array::from_fn(|byte| byte as f32);
        let mut seen = vec![f32::NAN; 9];
        view.render(&[1, 2, 3, 4, 5, 6, 7, 8, 9], [3, 3], &[table], &[5.5], &mut seen);
        seen
    }

    const PLAIN: View = View { shift: [0, 0], flip: false, erased: None };

    #[test]
    fn a_shift_moves_black_in_from_outside() {
        let view = View { shift: [1, -1], ..PLAIN };
        assert_eq!(seen(&view), [0.0, 4.0, 5.0, 0.0, 7.0, 8.0, 0.0, 0.0, 0.0]);
        let view = View { shift: [-2, 2], ..PLAIN };
        assert_eq!(seen(&view), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn a_reflection_exchanges_left_and_right_after_the_shift() {
        let view = View { shift: [0, 1], flip: true, ..PLAIN };
        assert_eq!(seen(&view), [0.0, 3.0, 2.0, 0.0, 6.0, 5.0, 0.0, 9.0, 8.0]);
    }

    #[test]
    fn the_erased_rectangle_stays_where_it_was_drawn() {
        let view = View { flip: true, erased: Some([1..3, 0..2]), ..PLAIN };
        assert_eq!(seen(&view), [3.0, 2.0, 1.0, 5.5, 5.5, 4.0, 5.5, 5.5, 7.0]);
    }

    #[test]
    fn without_augmentation_an_image_is_seen_as_it_is() {
        for index in 0..20 {
            assert_eq!(Augment::default().view(1, 2, index, [3, 3]), PLAIN);
        }
    }

    #[test]
    fn draws_have_the_frequencies_that_were_asked_for() {
        let augment = Augment { crop_padding: 1, flip: 0.5, erase: 0.25, ..Augment::default() };
        let views: Vec<View> = (0..9000).map(|i| augment.view(7, 0, i, [28, 28])).collect();
        // Four standard deviations of a binomial count: 4·√(9000·p·(1 − p)).
        let near = |count: usize, p: f64| {
            let n = views.len() as f64;
            (count as f64 - n * p).abs() < 4.0 * (n * p * (1.0 - p)).sqrt()
        };
        for shift in [[-1, -1], [-1, 0], [0, 0], [1, 1], [1, -1]] {
            assert!(near(views.iter().filter(|v| v.shift == shift).count(), 1.0 / 9.0));
        }
        assert!(near(views.iter().filter(|v| v.flip).count(), 0.5));
        assert!(near(views.iter().filter(|v| v.erased.is_some()).count(), 0.25));
    }

    #[test]
    fn a_whole_side_is_never_erased() {
        let augment = Augment { erase: 1.0, erase_area: [0.3, 1.0], ..Augment::default() };
        for index in 0..1000 {
            if let Some([rows, columns]) = augment.view(3, 0, index, [8, 8]).erased {
                assert!(rows.len() < 8 && columns.len() < 8, "{rows:?} {columns:?}");
            }
        }
        let augment = Augment { erase_area: [1.0, 1.0], ..augment };
        assert_eq!(augment.view(3, 0, 0, [8, 8]).erased, None);
    }

    #[test]
    fn an_erased_rectangle_has_the_area_asked_for_and_fits() {
        let augment = Augment { erase: 1.0, erase_area: [0.1, 0.2], ..Augment::default() };
        for index in 0..1000 {
            let view = augment.view(3, 0, index, [50, 40]);
            let [rows, columns] = view.erased.expect("a fifth of the image always fits");
            assert!(rows.end <= 50 && columns.end <= 40);
            assert!(rows.len() < 50 && columns.len() < 40);
            // To whole pixels.
            let ratio = rows.len() as f32 / columns.len() as f32;
            assert!((0.27..3.6).contains(&ratio), "{ratio}");
            let fraction = (rows.len() * columns.len()) as f32 / 2000.0;
            assert!((0.09..0.21).contains(&fraction), "{fraction}");
        }
    }
}
