//! What several test files need.

use tensor::{Float, Tensor};

/// Panics unless all elements agree to `tolerance`, relative to the largest or to 1 if that is smaller.
#[track_caller]
pub(crate) fn assert_close<E: Float>(what: &str, a: &Tensor<E>, b: &Tensor<E>, tolerance: f64) {
    assert_eq!(a.shape(), b.shape(), "{what}: shape");
    let (a, b) = (a.to_vec(), b.to_vec());
    let size = b.iter().fold(1.0f64, |max, x| max.max(x.to_f64().abs()));
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        let difference = (a.to_f64() - b.to_f64()).abs();
        assert!(difference <= tolerance * size, "{what}: {a} and {b} at {i}");
    }
}
