//! Rotation of pairs of features (Su et al. 2021), as rotary position encodings need it.

use tensor::{Float, Tensor};

use crate::{Op, Var};

/// The pairs (xᵢ, xᵢ₊ₕ) of x [… N, 2h], each turned by its angle; angles broadcast to [… N, h].
///
/// yᵢ = xᵢ·cos θᵢ − xᵢ₊ₕ·sin θᵢ and yᵢ₊ₕ = xᵢ·sin θᵢ + xᵢ₊ₕ·cos θᵢ. Inner products of turned vectors depend on differences
/// of angles only. dx is g turned back by θ, and dθᵢ = gᵢ₊ₕ·yᵢ − gᵢ·yᵢ₊ₕ.
///
/// # Panics
/// If the last axis of x is not twice that of the angles.
#[track_caller]
pub fn rotate<E: Float>(x: &Var<E>, angles: &Var<E>) -> Var<E> {
    let half = angles.value().dim(-1);
    let fits = x.value().dim(-1) == 2 * half;
    assert!(fits, "rotate: x {}, angles {}", x.shape(), angles.shape());
    let (cos, sin) = (angles.value().cos(), angles.value().sin());
    let halves = move |t: &Tensor<E>| (t.narrow(-1, 0, half), t.narrow(-1, half, half));
    let turn = move |t: &Tensor<E>, cos: &Tensor<E>, sin: &Tensor<E>| {
        let (a, b) = halves(t);
        Tensor::concat(&[&(&(&a * cos) - &(&b * sin)), &(&(&a * sin) + &(&b * cos))], -1)
    };
    let y = turn(x.value(), &cos, &sin);
    let saved = y.clone();
    Op::new("rotate", y)
        .wrt(x, move |g| turn(&g, &cos, &-&sin))
        .wrt(angles, move |g| {
            let ((ga, gb), (a, b)) = (halves(&g), halves(&saved));
            &(&gb * &a) - &(&ga * &b)
        })
        .record()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn() {
        let x = Var::constant(Tensor::from_vec([1, 4], vec![1.0, 2.0, 3.0, 4.0]));
        let angles = Var::constant(Tensor::from_vec([2], vec![std::f64::consts::FRAC_PI_2, 0.0]));
        let y = rotate(&x, &angles).into_value().to_vec();
        let expected = [-3.0, 2.0, 1.0, 4.0];
        assert!(y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-15), "{y:?}");
    }
}
