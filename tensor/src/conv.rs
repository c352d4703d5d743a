//! Convolution as matrix products over patches, a few rows of windows at a time.
//!
//! The patches under some rows of windows make a matrix [C·kh·kw, windows] that stays in the cache until its product is
//! done, so the patches of a whole image are never in memory, and nothing of them is saved for the backward pass.

use std::ops::Range;

use crate::par;
use crate::reduce::sum_tensors;
use crate::shape::product;
use crate::simd::{MatMut, MatRef, gemm};
use crate::{Float, Shape, Tensor};

/// Elements of the patches that are made at a time: 256 KiB of single precision.
const PATCHES: usize = 1 << 16;

/// How the windows of a two-dimensional convolution lie, alike along both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Distance of neighbouring windows, in pixels.
    pub stride: usize,
    /// Zeros added on each side, in pixels.
    pub padding: usize,
    /// Distance of neighbouring places of the kernel, in pixels.
    pub dilation: usize,
    /// Parts into which channels are cut; the outputs of each see its inputs only.
    pub groups: usize,
}

impl Default for Convolution {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

impl Convolution {
    /// The number of windows along an axis: ⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1.
    ///
    /// # Panics
    /// If [`Convolution::windows`] gives none.
    #[track_caller]
    pub fn output(&self, size: usize, kernel: usize) -> usize {
        self.output_of("conv2d", size, kernel)
    }

    /// [`Convolution::output`] on behalf of an op, which the message names.
    ///
    /// # Panics
    /// If [`Convolution::windows`] gives none.
    #[track_caller]
    pub fn output_of(&self, op: &str, size: usize, kernel: usize) -> usize {
        let Some(windows) = self.windows(size, kernel) else {
            panic!("{op}: a kernel of {kernel} does not fit {size} pixels with {self:?}")
        };
        windows
    }

    /// The number of windows along an axis. `None` if the kernel is larger than the padded image, if stride, dilation or kernel
    /// are 0, or if the padded image or the reach of the kernel has more pixels than can be counted.
    pub fn windows(&self, size: usize, kernel: usize) -> Option<usize> {
        let &Convolution { stride, padding, dilation, .. } = self;
        let padded = padding.checked_mul(2)?.checked_add(size)?;
        let reach = dilation.checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
        (dilation > 0).then_some(padded.checked_sub(reach)?.checked_div(stride)? + 1)
    }
}

impl<E: Float> Tensor<E> {
    /// The cross-correlation that the field calls convolution, without bias:
    /// out[b, o, y, x] = Σ w[o, c, i, j] · self[b, c, y·stride + i·dilation − padding, x·stride + j·dilation − padding].
    ///
    /// Shapes: self [B, C, H, W], weight [O, C/groups, kh, kw], result [B, O, oh, ow]; see [`Convolution::output`].
    ///
    /// # Panics
    /// If shapes, windows and groups do not fit together.
    #[track_caller]
    pub fn conv2d(&self, weight: &Self, options: Convolution) -> Self {
        let plan = Plan::new("conv2d", self.dims(), weight.dims(), options);
        let (image, weight) = (self.contiguous(), weight.contiguous());
        let (image, weight) = (image.data(), weight.data());
        let &Plan { outputs, area, .. } = &plan;
        let tile = |place: usize, rows: Range<usize>, out: MatMut<'_, E>| {
            plan.with_patches(plan.image(image, place), rows, |patches| {
                gemm(E::ONE, plan.kernel(weight, place), patches, E::ZERO, out);
            });
        };
        let shape = [plan.batch, outputs * plan.groups, plan.out[0], plan.out[1]];
        Self::build(shape, |out| {
            // An image at a time, or, if there are threads for it, a few rows of windows at a time.
            let (places, work) = (plan.places(), plan.work());
            if places != 1 || !par::splits(work) {
                par::for_chunks(out, outputs * area, work, |start, out| {
                    let place = start / (outputs * area).max(1);
                    for rows in plan.tiles() {
                        let first = rows.start * plan.out[1];
                        let columns = rows.len() * plan.out[1];
                        let out = MatMut::new(&mut out[first..], outputs, columns, area, 1);
                        tile(place, rows, out);
                    }
                });
                return;
            }
            let tiles: Vec<_> = plan.tiles().collect();
            let parts = par::map_ranges(tiles.len(), 1, work, |at| {
                let rows = tiles[at.start].clone();
                let columns = rows.len() * plan.out[1];
                Self::build([outputs, columns], |out| {
                    tile(0, rows, MatMut::new(out, outputs, columns, columns, 1));
                })
            });
            for (rows, part) in tiles.iter().zip(&parts) {
                let columns = rows.len() * plan.out[1];
                for (out, part) in out.chunks_mut(area).zip(part.data().chunks(columns)) {
                    out[rows.start * plan.out[1]..][..columns].copy_from_slice(part);
                }
            }
        })
    }

    /// The gradient with respect to the image of a convolution, given that of its result, [B, O, oh, ow] → [B, C, H, W]: the
    /// adjoint of [`Tensor::conv2d`] as a map of images.
    ///
    /// # Panics
    /// If shapes, windows and groups do not fit together.
    #[track_caller]
    pub fn conv2d_image_gradient(
        &self,
        weight: &Self,
        [height, width]: [usize; 2],
        options: Convolution,
    ) -> Self {
        let op = "conv2d_image_gradient";
        let (&[batch, ..], &[_, channels, ..]) = (self.dims(), weight.dims()) else {
            panic!("{op}: gradient {}, weight {}", self.shape(), weight.shape())
        };
        let Some(channels) = product([channels, options.groups]) else {
            panic!("{op}: weight {}, {} groups", weight.shape(), options.groups)
        };
        let shape = Shape::new(&[batch, channels, height, width]);
        let plan = Plan::new(op, &shape, weight.dims(), options);
        plan.check_gradient(op, self.dims());
        let (g, weight) = (self.contiguous(), weight.contiguous());
        let (g, weight) = (g.data(), weight.data());
        let size = plan.channels * height * width;
        Self::build(shape, |out| {
            par::for_chunks(out, size, plan.work(), |start, out| {
                let place = start / size.max(1);
                let kernel = plan.kernel(weight, place).t();
                if plan.is_pointwise() {
                    let g = plan.gradient(g, place, 0..plan.out[0]);
                    let out = MatMut::new(out, plan.channels, plan.area, plan.area, 1);
                    return gemm(E::ONE, kernel, g, E::ZERO, out);
                }
                out.fill(E::ZERO);
                for rows in plan.tiles() {
                    let columns = rows.len() * plan.out[1];
                    let g = plan.gradient(g, place, rows.clone());
                    let patches = Self::build([plan.depth, columns], |patches| {
                        let patches = MatMut::new(patches, plan.depth, columns, columns, 1);
                        gemm(E::ONE, kernel, g, E::ZERO, patches);
                    });
                    plan.add_back(patches.data(), rows, out);
                }
            });
        })
    }

    /// The gradient with respect to the weight of a convolution of `image` [B, C, H, W], given that of its result, [B, O, oh, ow]
    /// → [O, C/groups, kh, kw]: the adjoint of [`Tensor::conv2d`] as a map of weights.
    ///
    /// # Panics
    /// If shapes, windows and groups do not fit together.
    #[track_caller]
    pub fn conv2d_weight_gradient(
        &self,
        image: &Self,
        kernel: [usize; 2],
        options: Convolution,
    ) -> Self {
        let (op, groups) = ("conv2d_weight_gradient", options.groups);
        let (&[_, outputs, ..], &[_, channels, ..]) = (self.dims(), image.dims()) else {
            panic!("{op}: gradient {}, image {}", self.shape(), image.shape())
        };
        let shape = Shape::new(&[outputs, channels / groups.max(1), kernel[0], kernel[1]]);
        let plan = Plan::new(op, image.dims(), &shape, options);
        plan.check_gradient(op, self.dims());
        let (g, image) = (self.contiguous(), image.contiguous());
        let (g, image) = (g.data(), image.data());
        // Of one image, on one thread; the images are added up in pairs.
        let of_place = |place: usize, out: &mut [E]| {
            for (i, rows) in plan.tiles().enumerate() {
                let beta = if i == 0 { E::ZERO } else { E::ONE };
                let g = plan.gradient(g, place, rows.clone());
                plan.with_patches(plan.image(image, place), rows, |patches| {
                    let out = MatMut::new(out, plan.outputs, plan.depth, plan.depth, 1);
                    gemm(E::ONE, g, patches.t(), beta, out);
                });
            }
        };
        let of_image = |b: usize| {
            Self::build(shape, |out| {
                let size = plan.outputs * plan.depth;
                for (group, out) in out.chunks_mut(size.max(1)).enumerate() {
                    of_place(b * groups + group, out);
                }
            })
        };
        if plan.batch == 0 || plan.area == 0 {
            return Self::zeros(shape);
        }
        let work = plan.work();
        if par::splits(work) {
            let mut parts = par::map_ranges(plan.batch, 1, work, |b| Some(of_image(b.start)));
            sum_tensors(plan.batch, |b| parts[b].take().expect("each is taken once"))
        } else {
            sum_tensors(plan.batch, of_image)
        }
    }
}

/// Sizes of a convolution. A place is a group of an image: place = image·groups + group.
struct Plan {
    batch: usize,
    groups: usize,
    /// Channels of a group.
    channels: usize,
    /// Outputs of a group.
    outputs: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    out: [usize; 2],
    options: Convolution,
    /// Rows of the patches: channels·kh·kw.
    depth: usize,
    /// Windows of an image.
    area: usize,
}

impl Plan {
    #[track_caller]
    fn new(op: &str, image: &[usize], weight: &[usize], options: Convolution) -> Self {
        let groups = options.groups;
        let fits = |b: usize| groups > 0 && b.is_multiple_of(groups);
        let (&[batch, all, height, width], &[outputs, channels, kh, kw]) = (image, weight) else {
            panic!(
                "{op}: image [B, C, H, W] and weight [O, C/groups, kh, kw] expected, found {image:?} and {weight:?}"
            )
        };
        assert!(
            fits(all) && fits(outputs) && all / groups == channels,
            "{op}: image {image:?}, weight {weight:?}, {groups} groups"
        );
        let out = [options.output_of(op, height, kh), options.output_of(op, width, kw)];
        // Of an image without channels or outputs the shape of the result tells nothing.
        let Some(area) = product(out) else {
            panic!("{op}: {out:?} windows of a kernel [{kh}, {kw}] with {options:?}")
        };
        Self {
            batch,
            groups,
            channels,
            outputs: outputs / groups,
            size: [height, width],
            kernel: [kh, kw],
            out,
            options,
            depth: channels * kh * kw,
            area,
        }
    }

    #[track_caller]
    fn check_gradient(&self, op: &str, g: &[usize]) {
        let expected = [self.batch, self.outputs * self.groups, self.out[0], self.out[1]];
        assert!(g == expected, "{op}: gradient {expected:?} expected, found {g:?}");
    }

    /// Multiply-adds of the convolution, and of each of its derivatives.
    fn work(&self) -> usize {
        par::work(&[self.batch, self.groups, self.outputs, self.area, self.depth])
    }

    fn places(&self) -> usize {
        self.batch * self.groups
    }

    /// Rows of windows, cut so that their patches stay in the cache.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let row = self.depth.saturating_mul(self.out[1]).max(1);
        let (all, rows) =
            (self.out[0], if self.is_pointwise() { self.out[0] } else { PATCHES / row });
        let rows = rows.max(1);
        (0..all).step_by(rows).map(move |first| first..all.min(first + rows))
    }

    /// Whether the image is its own patches.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.options.stride == 1 && self.options.padding == 0
    }

    fn image<'a, E>(&self, images: &'a [E], place: usize) -> &'a [E] {
        let size = self.channels * self.size[0] * self.size[1];
        &images[place * size..(place + 1) * size]
    }

    fn kernel<'a, E: Float>(&self, weight: &'a [E], place: usize) -> MatRef<'a, E> {
        let size = self.outputs * self.depth;
        let weight = &weight[place % self.groups * size..][..size];
        MatRef::new(weight, self.outputs, self.depth, self.depth, 1)
    }

    /// The gradient of some rows of windows, [outputs, windows].
    fn gradient<'a, E: Float>(
        &self,
        g: &'a [E],
        place: usize,
        rows: Range<usize>,
    ) -> MatRef<'a, E> {
        let first = place * self.outputs * self.area + rows.start * self.out[1];
        let g = if self.outputs == 0 { &g[..0] } else { &g[first..] };
        MatRef::new(g, self.outputs, rows.len() * self.out[1], self.area, 1)
    }

    /// Calls `f` with the patches [C·kh·kw, windows] under some rows of windows.
    fn with_patches<E: Float>(
        &self,
        image: &[E],
        rows: Range<usize>,
        f: impl FnOnce(MatRef<'_, E>),
    ) {
        let columns = rows.len() * self.out[1];
        if self.is_pointwise() {
            return f(MatRef::new(image, self.depth, columns, self.area, 1));
        }
        let patches = Tensor::build([self.depth, columns], |out| {
            for (row, out) in out.chunks_mut(columns.max(1)).enumerate() {
                let (plane, ky, kx) = self.place_in_kernel(row, image);
                let inside = self.inside(kx);
                for (y, out) in rows.clone().zip(out.chunks_mut(self.out[1])) {
                    let Some(line) = self.line(y, ky) else {
                        out.fill(E::ZERO);
                        continue;
                    };
                    let line = &plane[line..line + self.size[1]];
                    out[..inside.start].fill(E::ZERO);
                    out[inside.end..].fill(E::ZERO);
                    let out = &mut out[inside.clone()];
                    if out.is_empty() {
                        continue;
                    }
                    let first = self.column(inside.start, kx);
                    match self.options.stride {
                        1 => out.copy_from_slice(&line[first..first + out.len()]),
                        stride => {
                            let pixels = line[first..].iter().step_by(stride);
                            out.iter_mut().zip(pixels).for_each(|(out, pixel)| *out = *pixel);
                        }
                    }
                }
            }
        });
        f(MatRef::new(patches.data(), self.depth, columns, columns, 1));
    }

    /// Adds the patches under some rows of windows back to where they came from.
    fn add_back<E: Float>(&self, patches: &[E], rows: Range<usize>, image: &mut [E]) {
        let columns = rows.len() * self.out[1];
        let plane_size = self.size[0] * self.size[1];
        for (row, patch) in patches.chunks(columns.max(1)).enumerate() {
            let (ky, kx) = self.tap(row);
            let plane = &mut image[row / (self.kernel[0] * self.kernel[1]) * plane_size..];
            let inside = self.inside(kx);
            for (y, patch) in rows.clone().zip(patch.chunks(self.out[1])) {
                let patch = &patch[inside.clone()];
                let Some(line) = self.line(y, ky).filter(|_| !patch.is_empty()) else { continue };
                let first = self.column(inside.start, kx);
                let line = &mut plane[line..line + self.size[1]][first..];
                match self.options.stride {
                    1 => line.iter_mut().zip(patch).for_each(|(pixel, g)| *pixel += *g),
                    stride => {
                        let pixels = line.iter_mut().step_by(stride);
                        pixels.zip(patch).for_each(|(pixel, g)| *pixel += *g);
                    }
                }
            }
        }
    }

    /// Row and column in the kernel that a row of the patches belongs to.
    fn tap(&self, row: usize) -> (usize, usize) {
        let [kh, kw] = self.kernel;
        (row / kw % kh, row % kw)
    }

    fn place_in_kernel<'a, E>(&self, row: usize, image: &'a [E]) -> (&'a [E], usize, usize) {
        let plane_size = self.size[0] * self.size[1];
        let plane = row / (self.kernel[0] * self.kernel[1]);
        let (ky, kx) = self.tap(row);
        (&image[plane * plane_size..(plane + 1) * plane_size], ky, kx)
    }

    /// Where the image's line under row `ky` of the kernel starts, in windows of row `y`; `None` in the padding.
    fn line(&self, y: usize, ky: usize) -> Option<usize> {
        let &Convolution { stride, padding, dilation, .. } = &self.options;
        let y = (y * stride + ky * dilation).checked_sub(padding)?;
        (y < self.size[0]).then(|| y * self.size[1])
    }

    /// The pixel of a line under column `kx` of the kernel, in a window `x` of a row that is [inside](Plan::inside).
    fn column(&self, x: usize, kx: usize) -> usize {
        let &Convolution { stride, padding, dilation, .. } = &self.options;
        x * stride + kx * dilation - padding
    }

    /// The windows of a row in which column `kx` of the kernel lies on the image.
    fn inside(&self, kx: usize) -> Range<usize> {
        let &Convolution { stride, padding, dilation, .. } = &self.options;
        let at = kx * dilation;
        let first = padding.saturating_sub(at).div_ceil(stride).min(self.out[1]);
        let end = (self.size[1] + padding).saturating_sub(at).div_ceil(stride).min(self.out[1]);
        first..end.max(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_of_ones_sums_its_window() {
        let image: Tensor = Tensor::arange(9).reshape([1, 1, 3, 3]);
        let ones = Tensor::ones([1, 1, 2, 2]);
        let sums = |options| image.conv2d(&ones, options).to_vec();
        assert_eq!(sums(Convolution::default()), [8.0, 12.0, 20.0, 24.0]);
        let strided = Convolution { stride: 2, padding: 1, ..Convolution::default() };
        assert_eq!(sums(strided), [0.0, 3.0, 9.0, 24.0]);
        let dilated = Convolution { dilation: 2, ..Convolution::default() };
        assert_eq!(sums(dilated), [0.0 + 2.0 + 6.0 + 8.0]);
    }

    #[test]
    fn groups_see_their_own_channels() {
        let image: Tensor = Tensor::arange(8).reshape([1, 2, 2, 2]);
        let weight = Tensor::from_vec([2, 1, 1, 1], vec![1.0, 10.0]);
        let out = image.conv2d(&weight, Convolution { groups: 2, ..Convolution::default() });
        assert_eq!(out.to_vec(), [0.0, 1.0, 2.0, 3.0, 40.0, 50.0, 60.0, 70.0]);
    }

    #[test]
    fn gradients_are_the_adjoints_of_the_convolution() {
        for (stride, padding, dilation, groups) in
            [(2, 1, 1, 1), (1, 0, 2, 3), (3, 2, 1, 1), (1, 1, 1, 3)]
        {
            let options = Convolution { stride, padding, dilation, groups };
            let numbers = |shape: [usize; 4], step: usize| -> Tensor<f64> {
                Tensor::from_fn(shape, |i| (i * step % 11) as f64 - 5.0)
            };
            let (x, w) = (numbers([2, 3, 5, 4], 7), numbers([6, 3 / groups, 3, 2], 3));
            let out = x.conv2d(&w, options);
            let g = numbers(out.dims().try_into().expect("four axes"), 5);
            let inner = |a: &Tensor<f64>, b: &Tensor<f64>| (a * b).sum_all().item();
            assert_eq!(inner(&out, &g), inner(&x, &g.conv2d_image_gradient(&w, [5, 4], options)));
            assert_eq!(inner(&out, &g), inner(&w, &g.conv2d_weight_gradient(&x, [3, 2], options)));
        }
    }

    #[test]
    fn windows_are_counted_for_any_sizes_or_refused() {
        let sizes = [0, 1, 2, 5, 1 << 31, 1 << 62, 1 << 63, usize::MAX - 1, usize::MAX];
        let wide = |x: usize| x as u128;
        for (stride, padding) in sizes.into_iter().flat_map(|s| sizes.map(|p| (s, p))) {
            for (dilation, kernel) in sizes.into_iter().flat_map(|d| sizes.map(|k| (d, k))) {
                let options = Convolution { stride, padding, dilation, groups: 1 };
                for size in sizes {
                    let padded = wide(size) + 2 * wide(padding);
                    let reach = wide(dilation) * wide(kernel.saturating_sub(1)) + 1;
                    let exists = stride > 0 && dilation > 0 && kernel > 0 && reach <= padded;
                    let counted = padded <= wide(usize::MAX);
                    let right = (exists && counted).then(|| (padded - reach) / wide(stride) + 1);
                    let found = options.windows(size, kernel).map(wide);
                    assert_eq!(found, right, "{size} pixels, kernel {kernel}, {options:?}");
                }
            }
        }
    }

    #[test]
    fn sizes_that_wrap_are_refused_and_large_strides_are_not() {
        let refused = |options: Convolution, weight: [usize; 4]| {
            let run = || Tensor::<f32>::ones([1, 2, 3, 3]).conv2d(&Tensor::zeros(weight), options);
            std::panic::catch_unwind(run).is_err()
        };
        let plain = Convolution::default();
        for size in [1 << 62, 1 << 63, usize::MAX] {
            assert!(refused(Convolution { padding: size, ..plain }, [1, 2, 1, 1]));
            assert!(refused(Convolution { dilation: size, ..plain }, [1, 2, 2, 2]));
            assert!(refused(Convolution { padding: size / 4, stride: 2, ..plain }, [0, 2, 1, 1]));
            assert!(refused(Convolution { groups: size, ..plain }, [1, 2, 1, 1]));
            let far = Convolution { stride: size, padding: 1, ..plain };
            let corner = Tensor::<f32>::arange(9).reshape([1, 1, 3, 3]);
            assert_eq!(corner.conv2d(&Tensor::ones([1, 1, 2, 2]), far).to_vec(), [0.0]);
            let g = Tensor::<f32>::ones([1, 1, 1, 1]);
            let dx = g.conv2d_image_gradient(&Tensor::ones([1, 1, 2, 2]), [3, 3], far);
            assert_eq!(dx.sum_all().item(), 1.0);
            assert_eq!(g.conv2d_weight_gradient(&corner, [2, 2], far).sum_all().item(), 0.0);
        }
    }

    #[test]
    #[should_panic(expected = "conv2d: a kernel of 3 does not fit 2 pixels")]
    fn a_kernel_larger_than_the_image_is_refused() {
        let kernel = Tensor::zeros([1, 1, 3, 3]);
        Tensor::<f32>::zeros([1, 1, 2, 2]).conv2d(&kernel, Convolution::default());
    }
}
