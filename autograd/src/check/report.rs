//! What a check found, as data and in words.

use std::fmt;

use serde::Serialize;

use super::diagnosis::Diagnosis;
use super::layout::Layout;

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Every gradient agrees with the differences.
    Pass,
    /// A gradient disagrees.
    Wrong {
        /// The input.
        input: String,
        /// Where.
        at: Place,
        /// The gradient that the op computes.
        analytic: f64,
        /// The derivative found by differences.
        numeric: f64,
        /// How far off the latter may be.
        error: f64,
        /// What the whole gradient looks like.
        diagnosis: Option<Diagnosis>,
    },
    /// No gradient reaches an input that the output depends on.
    Severed {
        /// The input.
        input: String,
        /// Where.
        at: Place,
        /// The derivative found by differences.
        numeric: f64,
        /// How far off it may be.
        error: f64,
    },
    /// The output has not the declared shape.
    OutputShape {
        /// The declared one.
        expected: Vec<usize>,
        /// The output's.
        found: Vec<usize>,
    },
    /// The op panicked; so does the engine at a gradient of a wrong shape.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// NaN or infinite: the input lies outside of the function's domain, or the op has lost it.
    NotFinite {
        /// The value, or a gradient.
        what: String,
    },
    /// Two runs on the same inputs differ.
    NotDeterministic {
        /// The value, or a gradient.
        what: String,
    },
    /// The op wrote to an input.
    Modified {
        /// The input.
        input: String,
    },
    /// The value changes when the same inputs are contiguous.
    LayoutDependent {
        /// Where.
        at: Place,
        /// The value, as the inputs are laid out.
        view: f64,
        /// The value for contiguous inputs.
        contiguous: f64,
    },
    /// The single-precision run is further from the double-precision one than rounding explains.
    Imprecise {
        /// The value, or a gradient.
        what: String,
        /// Where.
        at: Place,
        /// In single precision.
        single: f64,
        /// In double precision.
        double: f64,
        /// The difference that is allowed.
        allowed: f64,
    },
    /// The differences are too noisy to tell, or there is a kink, at more than a quarter of the places.
    Inconclusive,
}

/// A place in a tensor, or a direction through all of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The element at this index.
    Element(Vec<usize>),
    /// A random direction, by number.
    Direction(usize),
}

/// One input of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its layout.
    pub layout: Layout,
}

/// The result of checking one op on one set of inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use = "a report that is not read checks nothing"]
pub struct Report {
    /// The op.
    pub op: String,
    /// The inputs.
    pub inputs: Vec<Argument>,
    /// The outcome.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Places and directions at which gradients were compared.
    pub compared: usize,
    /// How many of them could not be decided.
    pub inconclusive: usize,
    /// The largest difference as a part of what is allowed.
    pub worst: f64,
    /// [`Report::worst`] of the single-precision run.
    pub worst_single: f64,
    /// The seed of a generated case: `--cases 1 --seed` this runs it again.
    pub seed: Option<u64>,
    /// Whether the case was made as simple as it can be: what is left of it is needed for the failure.
    pub shrunk: bool,
}

impl Report {
    /// Whether all is well.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    /// Fails the test that calls it, unless all is well.
    ///
    /// # Panics
    /// With the report in words.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.verdict)?;
        if self.verdict == Verdict::Inconclusive {
            write!(f, " at {} of {} places", self.inconclusive, self.compared)?;
        }
        for (i, input) in self.inputs.iter().enumerate() {
            write!(f, "{}{input}", if i == 0 { "; " } else { ", " })?;
        }
        let views = self.inputs.iter().filter(|input| input.layout != Layout::Contiguous);
        for view in views.filter(|_| self.shrunk && !self.passed()) {
            write!(f, "; only when {} is {}", view.name, view.layout)?;
        }
        self.seed.map_or(Ok(()), |seed| write!(f, "; case of seed {seed}"))
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.shape)?;
        if self.layout == Layout::Contiguous { Ok(()) } else { write!(f, " {}", self.layout) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Element(index) => write!(f, "{index:?}"),
            Place::Direction(number) => write!(f, "random direction {number}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass => f.write_str("passed"),
            Verdict::Wrong { input, at, analytic, numeric, error, diagnosis } => {
                write!(f, "gradient of {input} wrong at {at}: analytic {}, ", short(*analytic))?;
                write!(f, "numeric {} ± {error:.0e}", short(*numeric))?;
                if *numeric != 0.0 {
                    write!(f, ", ratio {}", short(analytic / numeric))?;
                }
                diagnosis.as_ref().map_or(Ok(()), |diagnosis| write!(f, "; {diagnosis}"))
            }
            Verdict::Severed { input, at, numeric, error } => {
                write!(f, "no gradient reaches {input}, although the output depends on it: ")?;
                write!(f, "numeric {} ± {error:.0e} at {at}", short(*numeric))
            }
            Verdict::OutputShape { expected, found } => {
                write!(f, "output of shape {found:?} instead of {expected:?}")
            }
            Verdict::Panicked { message } => write!(f, "panicked: {message}"),
            Verdict::NotFinite { what } => write!(f, "{what} is not finite"),
            Verdict::NotDeterministic { what } => write!(f, "{what} differs from run to run"),
            Verdict::Modified { input } => write!(f, "{input} was written to"),
            Verdict::LayoutDependent { at, view, contiguous } => {
                write!(f, "value {view} at {at}, but {contiguous} for contiguous inputs")
            }
            Verdict::Imprecise { what, at, single, double, allowed } => {
                write!(f, "{what} in single precision wrong at {at}: ")?;
                write!(f, "{single} instead of {double} ± {allowed:.0e}")
            }
            Verdict::Inconclusive => f.write_str("too noisy, or a kink"),
        }
    }
}

/// Six digits are enough to recognise a number.
pub(crate) fn short(x: f64) -> String {
    let digits = 5 - (x.abs().log10().floor().clamp(-5.0, 5.0) as i32);
    let power = 10f64.powi(digits);
    let rounded = (x * power).round() / power;
    if x != 0.0 && rounded == 0.0 { format!("{x:.1e}") } else { format!("{rounded:?}") }
}
