//! The distributions behind tests and intervals: incomplete beta, Student's t, normal.

/// ln Γ(x) for x > 0, with a relative error of about 10⁻¹⁵ where it is not near 0.
///
/// Lanczos' approximation with g = 7 and nine terms: Γ(x + 1) = √(2π)·(x + 7.5)^(x + ½)·e^−(x + 7.5)·(c₀ + Σ cₖ/(x + k)).
///
/// Source: Lanczos, SIAM J. Numer. Anal. 1, 1964; coefficients of Godfrey 2001.
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = C[0] + (1..9).map(|k| C[k] / (x + k as f64)).sum::<f64>();
    let t = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The regularised incomplete beta function I_x(a, b) = ∫₀ˣ t^(a−1)·(1−t)^(b−1) dt / B(a, b), for 0 ≤ x ≤ 1 and a, b > 0.
///
/// The continued fraction, where it converges quickly (x < (a + 1)/(a + b + 2)), and 1 − I_{1−x}(b, a) elsewhere. The
/// relative error is below 10⁻¹⁰ for a, b up to 5,000.
///
/// Source: Abramowitz and Stegun, §26.5.8; Lentz's method, Numerical Recipes, 3rd edition, §6.4.
///
/// # Panics
/// If x is not in 0..=1, or a or b is not above 0.
#[track_caller]
pub fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    assert!((0.0..=1.0).contains(&x), "incomplete_beta: x = {x} is not in 0..=1");
    assert!(a > 0.0 && b > 0.0, "incomplete_beta: a = {a} and b = {b} have to be above 0");
    beta_tails(x, 1.0 - x, a, b)
}

/// I_x(a, b), with 1 − x given for when it is known better than by subtraction.
fn beta_tails(x: f64, rest: f64, a: f64, b: f64) -> f64 {
    if x == 0.0 || rest == 0.0 {
        return x;
    }
    let scale = a * x.ln() + b * rest.ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    if x < (a + 1.0) / (a + b + 2.0) {
        scale.exp() * fraction(x, a, b) / a
    } else {
        1.0 - scale.exp() * fraction(rest, b, a) / b
    }
}

/// The continued fraction 1/(1 + d₁/(1 + d₂/(1 + …))) of I_x, from the front (Lentz).
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let away_from_0 = |y: f64| if y.abs() < 1e-300 { 1e-300 } else { y };
    let (mut c, mut d) = (1.0, 1.0 / away_from_0(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    // About √max(a, b) steps are taken.
    for m in 1..100_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_0(1.0 + term * d);
            c = away_from_0(1.0 + term / c);
            step = c * d;
            value *= step;
        }
        if (step - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

/// P(|T| ≥ |t|) of Student's distribution: I_x(ν/2, ½) with x = ν/(ν + t²).
pub(super) fn student_two_sided(t: f64, degrees: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    let sum = degrees + t * t;
    beta_tails(degrees / sum, t * t / sum, 0.5 * degrees, 0.5)
}

/// The t ≥ 0 with P(|T| ≤ t) = `level` for Student's distribution with ν `degrees` of freedom.
///
/// By bisection, to the last bit but one.
///
/// # Panics
/// If `level` is not between 0 and 1, or `degrees` is not above 0.
#[track_caller]
pub fn student_quantile(level: f64, degrees: f64) -> f64 {
    super::check_level("student_quantile", level);
    assert!(degrees > 0.0, "student_quantile: {degrees} degrees of freedom");
    let outside = |t: f64| student_two_sided(t, degrees) > 1.0 - level;
    let mut high = 1.0;
    while outside(high) && high < 1e300 {
        high *= 2.0;
    }
    bisect(0.0, high, outside)
}

/// Φ(x), the normal distribution's probability of a value up to x, with an absolute error below 10⁻¹⁵ and a relative one
/// below 10⁻¹³ for x ≥ −37.
///
/// From erf's series near 0, and the continued fraction of Mills' ratio beyond: Φ(−x) = φ(x)/(x + 1/(x + 2/(x + 3/(x +
/// …)))).
///
/// Source: Abramowitz and Stegun, §26.2.11 and §26.2.14.
pub fn normal_cdf(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    if x.abs() < 1.5 {
        // ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …): no term is larger than the sum.
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while sum + term != sum {
            k += 2.0;
            term *= x * x / k;
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let mills = (1..200).rev().fold(x.abs(), |below, k| x.abs() + f64::from(k) / below);
    if x < 0.0 { density / mills } else { 1.0 - density / mills }
}

/// The x with Φ(x) = `p`, −∞ for 0 and ∞ for 1.
///
/// By bisection, to the last bit but one of what [`normal_cdf`] gives.
///
/// # Panics
/// If `p` is not in 0..=1.
#[track_caller]
pub fn normal_quantile(p: f64) -> f64 {
    assert!((0.0..=1.0).contains(&p), "normal_quantile: {p} is not in 0..=1");
    match p {
        0.0 => f64::NEG_INFINITY,
        1.0 => f64::INFINITY,
        _ => bisect(-40.0, 40.0, |x| normal_cdf(x) < p),
    }
}

/// Where `below` turns from true to false between two numbers.
fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if below(middle) { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: f64, expected: f64) {
        let error = (found - expected).abs() / expected.abs().max(1e-300);
        assert!(error < 1e-13, "{found} instead of {expected}");
    }

    #[test]
    fn the_gamma_function_is_a_factorial() {
        assert_near(ln_gamma(5.0), 24f64.ln());
        assert_near(ln_gamma(0.5), 0.5 * std::f64::consts::PI.ln());
        assert_near(ln_gamma(51.0), (1..=50).map(|k| f64::from(k).ln()).sum());
    }

    #[test]
    fn incomplete_beta_has_its_closed_forms() {
        assert_near(incomplete_beta(0.3, 1.0, 1.0), 0.3);
        assert_near(incomplete_beta(0.3, 3.0, 1.0), 0.027);
        assert_near(incomplete_beta(0.3, 1.0, 3.0), 1.0 - 0.343);
        assert_near(incomplete_beta(0.5, 7.5, 7.5), 0.5);
        assert_eq!((incomplete_beta(0.0, 2.0, 3.0), incomplete_beta(1.0, 2.0, 3.0)), (0.0, 1.0));
    }

    #[test]
    fn students_distribution_has_its_closed_forms() {
        // ν = 1 is Cauchy's, and for ν = 2 P(|T| < t) = t/√(2 + t²).
        assert_near(student_two_sided(1.0, 1.0), 0.5);
        assert_near(student_two_sided(2.0, 2.0), 1.0 - 2.0 / 6f64.sqrt());
        assert_near(student_two_sided(1e-8, 2.0), 1.0 - 1e-8 / 2f64.sqrt());
        assert_eq!(
            (student_two_sided(0.0, 3.0), student_two_sided(f64::INFINITY, 3.0)),
            (1.0, 0.0)
        );
        assert_near(student_quantile(0.5, 1.0), 1.0);
        assert_near(student_quantile(0.95, 2.0), (2.0 * 0.9025 / 0.0975f64).sqrt());
    }

    #[test]
    fn the_normal_distribution_and_its_quantiles_are_each_others_inverse() {
        assert_eq!(normal_cdf(0.0), 0.5);
        assert_near(normal_cdf(-1.0), 0.158_655_253_931_457_05);
        assert_near(normal_cdf(-5.0), 2.866_515_718_791_939e-7);
        assert_near(normal_cdf(3.5), 0.999_767_370_920_964_5);
        assert_near(normal_quantile(0.975), 1.959_963_984_540_054);
        assert_eq!(
            (normal_quantile(0.0), normal_quantile(1.0)),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
        for x in [-6.0, -2.9, -0.1, 0.7, 3.1] {
            assert!((normal_quantile(normal_cdf(x)) - x).abs() < 1e-12);
        }
    }
}
