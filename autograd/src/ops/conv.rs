//! Two-dimensional convolution and pooling.

use tensor::{Convolution, Float, Shape, Tensor};

use crate::{Op, Var};

/// The cross-correlation that the field calls convolution, without bias: x [B, C, H, W], weight [O, C/groups, kh, kw],
/// result [B, O, oh, ow]; see [`Tensor::conv2d`].
///
/// As a product of each image's patches P [C·kh·kw, oh·ow]: y = W·P, so dW = Σ_b g·Pᵀ, dP = Wᵀ·g, and dx is dP added
/// back to where the patches came from. Patches are made again in the backward pass instead of being saved.
///
/// # Panics
/// If shapes, windows and groups do not fit together.
#[track_caller]
pub fn conv2d<E: Float>(x: &Var<E>, weight: &Var<E>, options: Convolution) -> Var<E> {
    let (image, kernel) = (x.value().clone(), weight.value().clone());
    let value = image.conv2d(&kernel, options);
    let (size, taps) = ([image.dims()[2], image.dims()[3]], [kernel.dims()[2], kernel.dims()[3]]);
    Op::new("conv2d", value)
        .wrt(weight, move |g| g.conv2d_weight_gradient(&image, taps, options))
        .wrt(x, move |g| g.conv2d_image_gradient(&kernel, size, options))
        .record()
}

/// The largest pixel of each window of `kernel` × `kernel` pixels, x [B, C, H, W] → [B, C, oh, ow]; the padding is −∞. NaN where
/// a window has one.
///
/// The gradient goes to that pixel, to the first of them in row-major order if several are equal or NaN.
///
/// # Panics
/// If the windows do not fit, if one could lie in the padding alone (padding > kernel/2), or if there are no pixels.
#[track_caller]
pub fn max_pool2d<E: Float>(x: &Var<E>, kernel: usize, stride: usize, padding: usize) -> Var<E> {
    assert!(padding <= kernel / 2, "max_pool2d: padding {padding} of a kernel of {kernel}");
    let options = Convolution { stride, padding, ..Convolution::default() };
    let &[batch, channels, height, width] = x.dims() else {
        panic!("max_pool2d: [B, C, H, W] expected, found {}", x.shape())
    };
    assert!(height > 0 && width > 0, "max_pool2d: no pixels in {}", x.shape());
    let [oh, ow] = [height, width].map(|size| options.windows(size, kernel));
    let (Some(oh), Some(ow)) = (oh, ow) else {
        panic!("max_pool2d: a kernel of {kernel} does not fit {} with {options:?}", x.shape())
    };
    let pooled = Shape::new(&[batch, channels, oh, ow]);
    let source = x.value().contiguous();
    let mut largest = Vec::with_capacity(pooled.elements()); // where, among all pixels
    for plane in 0..batch * channels {
        let pixels = &source.data()[plane * height * width..(plane + 1) * height * width];
        let lines = |at: usize, size: usize| {
            (at * stride).saturating_sub(padding)
                ..size.min((at * stride + kernel).saturating_sub(padding))
        };
        for y in 0..oh {
            for x in 0..ow {
                let (columns, mut best) = (lines(x, width), None);
                for line in lines(y, height) {
                    for at in line * width + columns.start..line * width + columns.end {
                        let is_larger =
                            best.is_none_or(|best: usize| pixels[at].exceeds(pixels[best]));
                        best = if is_larger { Some(at) } else { best };
                    }
                }
                let best = best.expect("a window reaches the image");
                largest.push(plane * height * width + best);
            }
        }
    }
    let value = largest.iter().map(|&at| source.data()[at]).collect();
    let shape = x.shape();
    Op::new("max_pool2d", Tensor::from_vec(pooled, value))
        .wrt(x, move |g| {
            let g = g.contiguous();
            Tensor::build(shape, |out| {
                out.fill(E::ZERO);
                largest.iter().zip(g.data()).for_each(|(&at, g)| out[at] += *g);
            })
        })
        .record()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn the_largest_pixel_of_a_window_gets_its_gradient() {
        let tape: Tape<f64> = Tape::new();
        let pixels = vec![1.0, 5.0, 2.0, 0.0, 3.0, 5.0, -1.0, -2.0, -3.0];
        let x = tape.leaf(Tensor::from_vec([1, 1, 3, 3], pixels));
        let y = max_pool2d(&x, 3, 2, 1);
        assert_eq!(y.value().to_vec(), [5.0, 5.0, 3.0, 5.0]);
        let g = tape.backward(&y.sum_all()).get(&x).expect("tracked").to_vec();
        assert_eq!(g, [0.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_window_with_nan_is_nan_and_the_first_nan_gets_its_gradient() {
        let tape: Tape<f64> = Tape::new();
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let x = tape
            .leaf(Tensor::from_vec([1, 1, 2, 4], vec![1.0, nan, -inf, -inf, inf, nan, -inf, -inf]));
        let y = max_pool2d(&x, 2, 2, 0);
        let value = y.value().to_vec();
        assert!(value[0].is_nan() && value[1] == -inf);
        let g = tape.backward(&y.sum_all()).get(&x).expect("tracked").to_vec();
        assert_eq!(g, [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "max_pool2d: a kernel of 4 does not fit [1, 1, 3, 3]")]
    fn pooling_names_itself() {
        max_pool2d(&Var::constant(Tensor::<f32>::zeros([1, 1, 3, 3])), 4, 1, 0);
    }

    #[test]
    #[should_panic(expected = "max_pool2d: padding 9223372036854775808 of a kernel of 2")]
    fn padding_that_wraps_is_refused() {
        max_pool2d(&Var::constant(Tensor::<f32>::zeros([1, 1, 3, 3])), 2, 1, 1 << 63);
    }
}
