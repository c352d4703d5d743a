//! The slow oracle: ops as loops over indices, in f64, short enough to be checked by eye.
//!
//! Nothing here knows strides, views, vectors or threads. Elements enter through [`Tensor::get`].

#![allow(dead_code)] // each test file uses the loops that it needs

use tensor::{Convolution, Float, Tensor};

/// An array in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

impl Array {
    /// The array whose element at each index is `f(index)`.
    pub(crate) fn build(dims: &[usize], mut f: impl FnMut(&[usize]) -> f64) -> Self {
        let mut index = vec![0; dims.len()];
        let element = |flat: usize| {
            let mut rest = flat;
            for axis in (0..dims.len()).rev() {
                index[axis] = rest % dims[axis];
                rest /= dims[axis];
            }
            f(&index)
        };
        let data = (0..dims.iter().product()).map(element).collect();
        Self { dims: dims.to_vec(), data }
    }

    pub(crate) fn of<E: Float>(t: &Tensor<E>) -> Self {
        Self::build(t.dims(), |index| t.get(index).to_f64())
    }

    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        assert_eq!(index.len(), self.dims.len());
        let flat = index.iter().zip(&self.dims).fold(0, |flat, (&i, &dim)| {
            assert!(i < dim);
            flat * dim + i
        });
        self.data[flat]
    }

    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { dims: self.dims.clone(), data: self.data.iter().map(|&x| f(x)).collect() }
    }

    pub(crate) fn reshape(&self, dims: &[usize]) -> Self {
        assert_eq!(dims.iter().product::<usize>(), self.data.len());
        Self { dims: dims.to_vec(), data: self.data.clone() }
    }

    /// Axis i of the result is axis `order[i]`.
    pub(crate) fn permute(&self, order: &[usize]) -> Self {
        let dims: Vec<usize> = order.iter().map(|&axis| self.dims[axis]).collect();
        Self::build(&dims, |index| {
            let mut from = vec![0; index.len()];
            order.iter().zip(index).for_each(|(&axis, &i)| from[axis] = i);
            self.at(&from)
        })
    }

    pub(crate) fn narrow(&self, axis: usize, start: usize, len: usize) -> Self {
        Self::build(&with(&self.dims, axis, len), |index| {
            self.at(&with(index, axis, index[axis] + start))
        })
    }

    /// Axes are aligned at the last; along axes of size 1, and new ones, elements repeat.
    pub(crate) fn expand(&self, dims: &[usize]) -> Self {
        let new = dims.len() - self.dims.len();
        let mut from = vec![0; self.dims.len()];
        Self::build(dims, |index| {
            for (axis, from) in from.iter_mut().enumerate() {
                *from = if self.dims[axis] == 1 { 0 } else { index[new + axis] };
            }
            self.at(&from)
        })
    }

    pub(crate) fn concat(parts: &[Array], axis: usize) -> Self {
        let size = parts.iter().map(|part| part.dims[axis]).sum();
        Self::build(&with(&parts[0].dims, axis, size), |index| {
            let (mut part, mut i) = (0, index[axis]);
            while i >= parts[part].dims[axis] {
                i -= parts[part].dims[axis];
                part += 1;
            }
            parts[part].at(&with(index, axis, i))
        })
    }

    /// f of each pair of elements, broadcast.
    pub(crate) fn zip(&self, rhs: &Array, f: impl Fn(f64, f64) -> f64) -> Self {
        let dims = broadcast(&self.dims, &rhs.dims);
        let (a, b) = (self.expand(&dims), rhs.expand(&dims));
        Self { dims, data: a.data.iter().zip(&b.data).map(|(&a, &b)| f(a, b)).collect() }
    }

    /// f of the elements that differ only in their places along `axes`, in row-major order; the axes stay, of size 1.
    pub(crate) fn reduce(&self, axes: &[usize], f: impl Fn(&[f64]) -> f64) -> Self {
        let size = |axis: usize| if axes.contains(&axis) { 1 } else { self.dims[axis] };
        let dims: Vec<usize> = (0..self.dims.len()).map(size).collect();
        let mut groups = vec![Vec::new(); dims.iter().product()];
        Self::build(&self.dims, |index| {
            let to = |flat, axis: usize| flat * dims[axis] + index[axis].min(dims[axis] - 1);
            groups[(0..dims.len()).fold(0, to)].push(self.at(index));
            0.0
        });
        Self { dims, data: groups.iter().map(|group| f(group)).collect() }
    }

    /// Without some axes of size 1.
    pub(crate) fn drop(&self, axes: &[usize]) -> Self {
        let left = (0..self.dims.len()).filter(|axis| !axes.contains(axis));
        self.reshape(&left.map(|axis| self.dims[axis]).collect::<Vec<_>>())
    }

    /// The sum over the axes that are broadcast when an array of `dims` becomes one of this shape.
    pub(crate) fn sum_to(&self, dims: &[usize]) -> Self {
        let new = self.dims.len() - dims.len();
        let repeats = |axis: &usize| *axis < new || dims[axis - new] == 1;
        let axes: Vec<usize> = (0..self.dims.len()).filter(repeats).collect();
        self.reduce(&axes, |group| group.iter().sum()).reshape(dims)
    }

    /// The matrix product of the last two axes; leading axes broadcast.
    pub(crate) fn matmul(&self, rhs: &Array) -> Self {
        let (a_lead, a_last) = self.dims.split_at(self.dims.len() - 2);
        let (b_lead, b_last) = rhs.dims.split_at(rhs.dims.len() - 2);
        let (lead, [m, k], [_, n]) = (broadcast(a_lead, b_lead), pair(a_last), pair(b_last));
        let a = self.expand(&[&lead[..], &[m, k]].concat());
        let b = rhs.expand(&[&lead[..], &[k, n]].concat());
        Self::build(&[&lead[..], &[m, n]].concat(), |index| {
            let (at, [i, j]) = (&index[..lead.len()], pair(&index[lead.len()..]));
            let term = |l| a.at(&[at, &[i, l][..]].concat()) * b.at(&[at, &[l, j][..]].concat());
            (0..k).map(term).sum()
        })
    }

    pub(crate) fn gather(&self, axis: usize, indices: &[usize]) -> Self {
        Self::build(&with(&self.dims, axis, indices.len()), |index| {
            self.at(&with(index, axis, indices[index[axis]]))
        })
    }

    pub(crate) fn scatter_add(&self, axis: usize, indices: &[usize], updates: &Array) -> Self {
        Self::build(&self.dims, |index| {
            let here = (0..indices.len()).filter(|&i| indices[i] == index[axis]);
            self.at(index) + here.map(|i| updates.at(&with(index, axis, i))).sum::<f64>()
        })
    }

    /// The pixel of an image [B, C, H, W] that lies at (y, x) after `padding` zeros were added on each side.
    fn pixel(&self, b: usize, c: usize, y: usize, x: usize, padding: usize) -> f64 {
        let inside = |i: usize, size: usize| padding <= i && i < padding + size;
        let seen = inside(y, self.dims[2]) && inside(x, self.dims[3]);
        if seen { self.at(&[b, c, y - padding, x - padding]) } else { 0.0 }
    }

    /// The cross-correlation of [B, C, H, W] with [O, C/groups, kh, kw].
    pub(crate) fn conv2d(&self, w: &Array, options: Convolution) -> Self {
        let Convolution { stride, padding, dilation, groups } = options;
        let (outputs, channels, kernel) = (w.dims[0], w.dims[1], pair(&w.dims[2..]));
        let [oh, ow] = windows(&self.dims[2..], kernel, options);
        Self::build(&[self.dims[0], outputs, oh, ow], |index| {
            let (o, group) = (index[1], index[1] / (outputs / groups));
            let mut sum = 0.0;
            for c in 0..channels {
                for i in 0..kernel[0] {
                    for j in 0..kernel[1] {
                        let y = index[2] * stride + i * dilation;
                        let x = index[3] * stride + j * dilation;
                        let pixel = self.pixel(index[0], group * channels + c, y, x, padding);
                        sum += w.at(&[o, c, i, j]) * pixel;
                    }
                }
            }
            sum
        })
    }
}

/// Σ aᵢ·bᵢ over all elements.
pub(crate) fn dot(a: &Array, b: &Array) -> f64 {
    assert_eq!(a.dims, b.dims);
    a.data.iter().zip(&b.data).map(|(a, b)| a * b).sum()
}

/// The shape that both broadcast to.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| {
        let new = rank - dims.len();
        if axis < new { 1 } else { dims[axis - new] }
    };
    let both = |axis| match (size(a, axis), size(b, axis)) {
        (1, b) => b,
        (a, b) => {
            assert!(b == 1 || a == b);
            a
        }
    };
    (0..rank).map(both).collect()
}

/// erf x = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms all have the sign of x. (Abramowitz and Stegun 7.1.6)
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum(); // 1 − erf 6 = 2·10⁻¹⁷
    }
    let (mut term, mut sum) = (x, 0.0);
    for n in 0..300 {
        sum += term;
        term *= 2.0 * x * x / f64::from(2 * n + 3);
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

/// ⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1 along both axes.
fn windows(image: &[usize], kernel: [usize; 2], options: Convolution) -> [usize; 2] {
    let Convolution { stride, padding, dilation, .. } = options;
    [0, 1].map(|axis| (image[axis] + 2 * padding - dilation * (kernel[axis] - 1) - 1) / stride + 1)
}

/// The same numbers with that of `axis` replaced.
fn with(numbers: &[usize], axis: usize, number: usize) -> Vec<usize> {
    let mut numbers = numbers.to_vec();
    numbers[axis] = number;
    numbers
}

fn pair(numbers: &[usize]) -> [usize; 2] {
    [numbers[0], numbers[1]]
}
