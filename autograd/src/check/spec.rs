//! The language in which an op says what it takes.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Shapes and values that an op takes, and the shape that it gives, such as `"x: * i, weight: o i, bias: o -> * o"`.
///
/// Inputs are separated by commas. An input is its name and a colon (optional), its axes, and words after `in` (optional):
/// a domain of values (see [`Domain`]) and what is special about it (see [`Traits`]). An axis is
///
/// - a name: the same size wherever it stands; `n>0` forbids that it is 0, `n>1` that it is 1 too, `n<8` that it is 8 or
///   more, `n>0<8` both;
/// - a number;
/// - products and sums of these: `3*h*d`, `k+r`;
/// - `*`: a run of any number of axes, the same wherever it stands; `*>0` forbids empty ones;
/// - `~*`: axes that broadcast to the run: leading ones may be missing, others may be 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    text: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: Option<Vec<Axis>>,
    /// The sizes allowed for each name, and for the axes of the run (`*`).
    pub(crate) bounds: BTreeMap<String, Bounds>,
}

/// The sizes that an axis may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: usize,
    pub(crate) most: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { least: 0, most: usize::MAX }
    }
}

impl Bounds {
    /// The nearest size that is allowed.
    pub(crate) fn clamp(self, size: usize) -> usize {
        size.clamp(self.least, self.most)
    }
}

/// What one input takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) axes: Vec<Axis>,
    pub(crate) domain: Domain,
    pub(crate) traits: Traits,
}

/// What is special about an input, in words that follow `in`, such as `x: * in positive stopped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// `stopped`: no gradient reaches it, on purpose.
    pub stopped: bool,
    /// `finite`: it is never NaN or infinite, so neither is put into it.
    pub finite: bool,
    /// `moderate`: it is never far from 1, so only up to ten times larger numbers are tried.
    pub moderate: bool,
    /// `hides`: −∞ hides an element, so that a result may be 0 or NaN where the limit is another.
    pub hides: bool,
    /// `limits`: at ±∞ value and gradients are their limits; without the word, NaN will do.
    pub limits: bool,
    /// `apart`: values that do not depend on an element stay as they are when it becomes NaN; without the word, they may become
    /// NaN too, as where a factor 0 hides it.
    pub apart: bool,
    /// `accurate`: rounding is small beside the results even where a rounding of the inputs would change them more, as where
    /// nearly equal numbers are subtracted.
    pub accurate: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Axis {
    Run,
    BroadcastRun,
    /// A sum of products.
    Size(Vec<Vec<Factor>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Factor {
    Name(String),
    Number(usize),
}

/// Values that an input may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Any: −2 to 2; in half of the cases, times 1/64, 8 or 64.
    #[default]
    Any,
    /// `positive`: 0.5 to 2.5, for ln and √x.
    Positive,
    /// `nonzero`: 0.5 to 2, or negative, for 1/x.
    Nonzero,
    /// `off_halves`: at least 0.1 away from all multiples of ½, which is where relu, |x| and clamp have their kinks here.
    OffHalves,
    /// `at_halves`: multiples of ½, or within 10⁻¹ to 10⁻¹² of one: at and near such kinks.
    AtHalves,
    /// `distinct`: all elements differ by 0.03 or more, across inputs too, for max, maximum and minimum.
    Distinct,
}

impl Spec {
    /// Reads a specification.
    ///
    /// # Panics
    /// If it is not written in the language.
    #[track_caller]
    pub fn new(text: &str) -> Self {
        let mut bounds = BTreeMap::new();
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(read_axes(output, &mut bounds))),
            None => (text, None),
        };
        let inputs: Vec<&str> =
            inputs.split(',').map(str::trim).filter(|input| !input.is_empty()).collect();
        let unnamed: &[&str] = if inputs.len() == 1 { &["x"] } else { &["lhs", "rhs", "third"] };
        let inputs = inputs
            .iter()
            .enumerate()
            .map(|(i, input)| {
                let (name, input) = input.split_once(':').unwrap_or((unnamed[i.min(2)], input));
                let (axes, words) = input.split_once(" in ").unwrap_or((input, ""));
                let (axes, (domain, traits)) = (read_axes(axes, &mut bounds), read_words(words));
                Input { name: name.to_string(), axes, domain, traits }
            })
            .collect();
        Self { text: text.to_owned(), inputs, output, bounds }
    }
}

impl Spec {
    /// The sizes allowed for a name, or for the axes of the run.
    pub(crate) fn bounds(&self, name: &str) -> Bounds {
        self.bounds.get(name).copied().unwrap_or_default()
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[track_caller]
fn read_axes(text: &str, bounds: &mut BTreeMap<String, Bounds>) -> Vec<Axis> {
    let mut axis = |token: &str| match token {
        "~*" => {
            bounds.entry("*".to_string()).or_default();
            Axis::BroadcastRun
        }
        _ if token.starts_with('*') => {
            read_name(token, bounds);
            Axis::Run
        }
        _ => Axis::Size(
            token
                .split('+')
                .map(|product| {
                    product.split('*').map(|factor| read_factor(factor, bounds)).collect()
                })
                .collect(),
        ),
    };
    text.split_whitespace().map(&mut axis).collect()
}

#[track_caller]
fn read_factor(text: &str, bounds: &mut BTreeMap<String, Bounds>) -> Factor {
    text.parse().map_or_else(|_| Factor::Name(read_name(text, bounds)), Factor::Number)
}

/// A name, `>` and a smaller number (optional), `<` and a larger one (optional).
#[track_caller]
fn read_name(text: &str, bounds: &mut BTreeMap<String, Bounds>) -> String {
    let (rest, below) = text.split_once('<').map_or((text, None), |(rest, n)| (rest, Some(n)));
    let (name, above) = rest.split_once('>').map_or((rest, None), |(rest, n)| (rest, Some(n)));
    let number = |n: &str| n.parse::<usize>().ok();
    let is_name = name == "*" || (!name.is_empty() && name.chars().all(char::is_alphabetic));
    let (above, below) = (above.map_or(Some(None), |n| number(n).map(Some)), below.map(number));
    let (true, Some(above), true) = (is_name, above, below != Some(None)) else {
        panic!("spec: {text:?} is no axis")
    };
    let bounds = bounds.entry(name.to_string()).or_default();
    bounds.least = bounds.least.max(above.map_or(0, |above| above + 1));
    bounds.most =
        bounds.most.min(below.flatten().map_or(usize::MAX, |below| below.saturating_sub(1)));
    assert!(bounds.least <= bounds.most, "spec: {text:?} allows no size");
    name.to_string()
}

#[track_caller]
fn read_words(text: &str) -> (Domain, Traits) {
    let (mut domain, mut traits) = (Domain::Any, Traits::default());
    for word in text.split_whitespace() {
        match word {
            "any" => domain = Domain::Any,
            "positive" => domain = Domain::Positive,
            "nonzero" => domain = Domain::Nonzero,
            "off_halves" => domain = Domain::OffHalves,
            "at_halves" => domain = Domain::AtHalves,
            "distinct" => domain = Domain::Distinct,
            "stopped" => traits.stopped = true,
            "finite" => traits.finite = true,
            "moderate" => traits.moderate = true,
            "hides" => traits.hides = true,
            "apart" => traits.apart = true,
            "limits" => traits.limits = true,
            "accurate" => traits.accurate = true,
            other => panic!("spec: {other:?} is no domain"),
        }
    }
    (domain, traits)
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Domain::Any => "any",
            Domain::Positive => "positive",
            Domain::Nonzero => "nonzero",
            Domain::OffHalves => "off_halves",
            Domain::AtHalves => "at_halves",
            Domain::Distinct => "distinct",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_is_read() {
        let spec = Spec::new("x: * n, weight: 3*h*d k+1 in positive -> * h>1");
        assert_eq!(spec.inputs[0].axes[0], Axis::Run);
        assert_eq!(
            (spec.inputs[1].name.as_str(), spec.inputs[1].domain),
            ("weight", Domain::Positive)
        );
        let name = |name: &str| Factor::Name(name.to_string());
        let sum = Axis::Size(vec![vec![name("k")], vec![Factor::Number(1)]]);
        assert_eq!(spec.inputs[1].axes[1], sum);
        let least = |name: &str| spec.bounds[name].least;
        assert_eq!((least("h"), least("n"), least("*")), (2, 0, 0));
        assert_eq!(spec.output.map(|axes| axes.len()), Some(2));
    }

    #[test]
    fn an_input_has_a_domain_and_traits() {
        let spec = Spec::new("x: * in positive stopped, y: * in limits accurate -> *");
        let traits = |i: usize| spec.inputs[i].traits;
        assert_eq!((spec.inputs[0].domain, traits(0).stopped), (Domain::Positive, true));
        assert_eq!(spec.inputs[1].domain, Domain::Any);
        assert!(traits(1).limits && traits(1).accurate && !traits(1).stopped);
    }

    #[test]
    fn sizes_have_bounds_on_both_sides() {
        let spec = Spec::new("n>0<8 m<3, n<6");
        assert_eq!(spec.bounds["n"], Bounds { least: 1, most: 5 });
        assert_eq!(spec.bounds["m"], Bounds { least: 0, most: 2 });
    }

    #[test]
    #[should_panic(expected = "spec: \"n<2\" allows no size")]
    fn bounds_that_exclude_each_other_are_refused() {
        Spec::new("n>1, n<2");
    }

    #[test]
    #[should_panic(expected = "spec: \"n>x\" is no axis")]
    fn nonsense_is_refused() {
        Spec::new("n>x");
    }
}
