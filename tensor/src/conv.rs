//! Convolution as a matrix product over patches.

use crate::par;
use crate::simd::{MatMut, MatRef, gemm};
use crate::{Float, Tensor};

/// The window of a two-dimensional convolution, in pixels: the same stride and zero padding along both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Distance of neighbouring windows.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
}

impl Window {
    /// The number of windows along both axes of an image: ⌊(size + 2·padding − kernel) / stride⌋ + 1.
    ///
    /// # Panics
    /// If the kernel is larger than the padded image, or if stride or kernel are 0.
    #[track_caller]
    pub fn output(&self, height: usize, width: usize) -> [usize; 2] {
        let Window { kernel, stride, padding } = *self;
        let fits = stride > 0
            && kernel
                .iter()
                .zip([height, width])
                .all(|(&k, size)| 0 < k && k <= size + 2 * padding);
        assert!(fits, "conv2d: {self:?} does not fit an image of {height} × {width}");
        [height, width].map_with(kernel, |size, k| (size + 2 * padding - k) / stride + 1)
    }
}

trait MapWith {
    fn map_with(self, other: Self, f: impl Fn(usize, usize) -> usize) -> Self;
}

impl MapWith for [usize; 2] {
    fn map_with(self, other: Self, f: impl Fn(usize, usize) -> usize) -> Self {
        [f(self[0], other[0]), f(self[1], other[1])]
    }
}

impl<E: Float> Tensor<E> {
    /// The patches under each window, [B, C, H, W] → [B, C·kh·kw, oh·ow]; what lies in the padding is 0.
    ///
    /// # Panics
    /// If the tensor has not four axes, or if the window does not fit.
    #[track_caller]
    pub fn im2col(&self, window: Window) -> Self {
        assert!(self.rank() == 4, "im2col: [B, C, H, W] expected, found {}", self.shape());
        let &[batch, channels, height, width] = self.dims() else { unreachable!("rank 4") };
        let [oh, ow] = window.output(height, width);
        let source = self.contiguous();
        let (source, image) = (source.data(), height * width);
        let rows = channels * window.kernel[0] * window.kernel[1];
        Self::build([batch, rows, oh * ow], |out| {
            par::for_chunks(out, (oh * ow).max(1), |start, out| {
                let row = start / (oh * ow);
                let (plane, ky, kx) = place(row, rows, channels, window);
                let plane = &source[plane * image..(plane + 1) * image];
                for (y, out) in out.chunks_mut(ow).enumerate() {
                    let line =
                        inside(y, ky, window, height).map(|y| &plane[y * width..(y + 1) * width]);
                    for (x, out) in out.iter_mut().enumerate() {
                        let pixel =
                            line.and_then(|line| inside(x, kx, window, width).map(|x| line[x]));
                        *out = pixel.unwrap_or(E::ZERO);
                    }
                }
            });
        })
    }

    /// The patches added back where they came from, [B, C·kh·kw, oh·ow] → [B, C, H, W]: the adjoint of
    /// [`Tensor::im2col`].
    ///
    /// # Panics
    /// If the shape is not that of patches of an image of this size.
    #[track_caller]
    pub fn col2im(&self, channels: usize, height: usize, width: usize, window: Window) -> Self {
        let [oh, ow] = window.output(height, width);
        let rows = channels * window.kernel[0] * window.kernel[1];
        let expected = self.rank() == 3 && self.dims()[1..] == [rows, oh * ow];
        assert!(expected, "col2im: [B, {rows}, {}] expected, found {}", oh * ow, self.shape());
        let (batch, image) = (self.dims()[0], channels * height * width);
        let patches = self.contiguous();
        let patches = patches.data();
        Self::build([batch, channels, height, width], |out| {
            par::for_chunks(out, image, |start, out| {
                out.fill(E::ZERO);
                let patches = &patches[start / image.max(1) * rows * oh * ow..][..rows * oh * ow];
                for (row, patch) in patches.chunks(oh * ow).enumerate() {
                    let (plane, ky, kx) = place(row, rows, channels, window);
                    let plane = &mut out[plane * height * width..(plane + 1) * height * width];
                    for (y, patch) in patch.chunks(ow).enumerate() {
                        let Some(y) = inside(y, ky, window, height) else { continue };
                        for (x, value) in patch.iter().enumerate() {
                            if let Some(x) = inside(x, kx, window, width) {
                                plane[y * width + x] += *value;
                            }
                        }
                    }
                }
            });
        })
    }

    /// The cross-correlation that the field calls convolution, without bias:
    /// out[b, o, y, x] = Σ w[o, c, i, j] · self[b, c, y·stride + i − padding, x·stride + j − padding].
    ///
    /// Shapes: self [B, C, H, W], weight [O, C/groups, kh, kw], result [B, O, oh, ow] with ⌊(H + 2·padding − kh)/stride⌋
    /// + 1 rows. Each of the `groups` sees its own channels.
    ///
    /// # Panics
    /// If shapes, window and groups do not fit together.
    #[track_caller]
    pub fn conv2d(&self, weight: &Self, stride: usize, padding: usize, groups: usize) -> Self {
        let window = conv_window(self, weight, stride, padding, groups);
        let &[batch, channels, height, width] = self.dims() else { unreachable!("rank 4") };
        let [oh, ow] = window.output(height, width);
        let (outputs, area) = (weight.dims()[0], oh * ow);
        let (patches, weight) = (self.im2col(window), weight.contiguous());
        let (per_group, k) =
            (outputs / groups, channels / groups * window.kernel[0] * window.kernel[1]);
        let (patches, weight) = (patches.data(), weight.data());
        Self::build([batch, outputs, oh, ow], |out| {
            par::for_chunks(out, per_group * area, |start, out| {
                let place = start / (per_group * area); // of image and group
                let weight =
                    MatRef::new(&weight[place % groups * per_group * k..], per_group, k, k, 1);
                let patches = MatRef::new(&patches[place * k * area..], k, area, area, 1);
                gemm(E::ONE, weight, patches, E::ZERO, MatMut::new(out, per_group, area, area, 1));
            });
        })
    }
}

/// The window of a convolution, after checking that image, weight and groups fit together.
///
/// # Panics
/// If they do not.
#[track_caller]
pub fn conv_window<E: Float>(
    image: &Tensor<E>,
    weight: &Tensor<E>,
    stride: usize,
    padding: usize,
    groups: usize,
) -> Window {
    let fits = image.rank() == 4
        && weight.rank() == 4
        && groups > 0
        && image.dims()[1].is_multiple_of(groups)
        && weight.dims()[0].is_multiple_of(groups)
        && image.dims()[1] / groups == weight.dims()[1];
    assert!(fits, "conv2d: image {}, weight {}, {groups} groups", image.shape(), weight.shape());
    let window = Window { kernel: [weight.dims()[2], weight.dims()[3]], stride, padding };
    window.output(image.dims()[2], image.dims()[3]);
    window
}

/// Plane (of all images) and place in the kernel of row `row` of the patches.
fn place(row: usize, rows: usize, channels: usize, window: Window) -> (usize, usize, usize) {
    let [kh, kw] = window.kernel;
    let (image, row) = (row / rows, row % rows);
    (image * channels + row / (kh * kw), row / kw % kh, row % kw)
}

/// The pixel under place `k` of the kernel in window `i`, unless it lies in the padding.
#[inline(always)]
fn inside(i: usize, k: usize, window: Window, size: usize) -> Option<usize> {
    (i * window.stride + k).checked_sub(window.padding).filter(|&at| at < size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_of_ones_sums_its_window() {
        let image: Tensor = Tensor::arange(9).reshape([1, 1, 3, 3]);
        let ones = Tensor::ones([1, 1, 2, 2]);
        assert_eq!(image.conv2d(&ones, 1, 0, 1).to_vec(), [8.0, 12.0, 20.0, 24.0]);
        assert_eq!(image.conv2d(&ones, 2, 1, 1).to_vec(), [0.0, 3.0, 9.0, 24.0]);
    }

    #[test]
    fn groups_see_their_own_channels() {
        let image: Tensor = Tensor::arange(8).reshape([1, 2, 2, 2]);
        let weight = Tensor::from_vec([2, 1, 1, 1], vec![1.0, 10.0]);
        let out = image.conv2d(&weight, 1, 0, 2);
        assert_eq!(out.to_vec(), [0.0, 1.0, 2.0, 3.0, 40.0, 50.0, 60.0, 70.0]);
    }

    #[test]
    fn col2im_is_the_adjoint_of_im2col() {
        let window = Window { kernel: [3, 2], stride: 2, padding: 1 };
        let x: Tensor<f64> = Tensor::from_fn([2, 3, 5, 4], |i| (i * 7 % 11) as f64);
        let patches = x.im2col(window);
        let y: Tensor<f64> = Tensor::from_fn(patches.shape(), |i| (i * 5 % 13) as f64);
        let back = y.col2im(3, 5, 4, window);
        assert_eq!((&patches * &y).sum_all().item(), (&x * &back).sum_all().item());
    }

    #[test]
    #[should_panic(expected = "does not fit an image of 2 × 2")]
    fn a_kernel_larger_than_the_image_is_refused() {
        Tensor::<f32>::zeros([1, 1, 2, 2]).conv2d(&Tensor::zeros([1, 1, 3, 3]), 1, 0, 1);
    }
}
