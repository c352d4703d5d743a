//! What a check found, as data and in words.

use std::fmt;

use serde::Serialize;
use tensor::Tensor;

use super::case::Case;
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
        /// The output whose derivative it is; of all together, in a random combination, if none is named.
        output: Option<Vec<usize>>,
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
        /// Where, if it is a value or gradient of the case itself.
        at: Option<Place>,
        /// NaN or an infinity.
        found: f64,
    },
    /// A gradient reaches an input that is declared `stopped`.
    NotStopped {
        /// The input.
        input: String,
        /// Where.
        at: Place,
        /// The gradient.
        found: f64,
    },
    /// NaN or an infinity in an input does not come out as it should.
    Swallowed {
        /// The value, or a gradient.
        what: String,
        /// Where.
        at: Place,
        /// What it is, in words.
        found: String,
        /// What it should be, in words.
        expected: String,
        /// What was put into which input, in words.
        put: String,
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
    /// The value depends on the layout of the inputs, or a gradient on that of the output's gradient.
    LayoutDependent {
        /// The value, or a gradient.
        what: String,
        /// Where.
        at: Place,
        /// What it is, as the inputs or the output's gradient are laid out.
        view: f64,
        /// What it is if they are contiguous.
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
        /// Whether the difference grows with the size of the inputs: a sum that loses digits.
        grows: bool,
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
    /// Its elements in row-major order.
    pub values: Vec<f64>,
}

impl Argument {
    pub(crate) fn new(name: impl Into<String>, x: &Tensor<f64>, layout: Layout) -> Self {
        Self { name: name.into(), shape: x.dims().to_vec(), layout, values: x.to_vec() }
    }
}

/// What it takes to run a generated case again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// The case.
    pub case: Case,
    /// The specification that it was drawn from.
    pub spec: String,
    /// The text that makes the [`Entry`](crate::check::Entry), if it is known.
    pub source: Option<String>,
}

/// The result of checking one op or layer on one set of inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use = "a report that is not read checks nothing"]
pub struct Report {
    /// The op or layer.
    pub name: String,
    /// The inputs, and the parameters of a layer.
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
    /// How to run a generated case again.
    pub example: Option<Example>,
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

impl Report {
    /// A test that fails as this check did, to be pasted. Of a generated case, it makes the case again; otherwise it lists
    /// the inputs, and takes the op's name for that of its function.
    pub fn test(&self) -> String {
        let word = |text: &str| -> String {
            text.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
        };
        let name = word(&self.name);
        let body = match &self.example {
            Some(Example { case, source: Some(source), .. }) => format!(
                "    let case = \"{case}\".parse().expect(\"a case\");\n    {source}.check(&case).assert();\n"
            ),
            Some(Example { case, spec, source: None }) => format!(
                "    let case = \"{case}\".parse().expect(\"a case\");\n    Entry::new(\"{}\", \"{spec}\", {name}).check(&case).assert();\n",
                self.name
            ),
            None => {
                let mut body = String::new();
                let names: Vec<String> =
                    self.inputs.iter().map(|input| word(&input.name)).collect();
                for (name, input) in names.iter().zip(&self.inputs) {
                    let Argument { shape, values, layout, .. } = input;
                    let values: Vec<String> = values.iter().copied().map(literal).collect();
                    let values = values.join(", ");
                    let tensor = format!("Tensor::from_vec({shape:?}, vec![{values}])");
                    let tensor = match layout {
                        Layout::Contiguous => tensor,
                        layout => format!("check::Layout::{layout:?}.lay_out(&{tensor})"),
                    };
                    body += &format!("    let {name} = {tensor};\n");
                }
                let names = names.join(", ");
                body + &format!(
                    "    check::op(\"{}\", |[{names}]| {name}({names}), [{names}]).assert();\n",
                    self.name
                )
            }
        };
        format!("#[test]\nfn gradient_of_{name}() {{\n{body}}}\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.verdict)?;
        if self.verdict == Verdict::Inconclusive {
            write!(f, " at {} of {} places", self.inconclusive, self.compared)?;
        }
        if self.inputs.len() <= 6 {
            for (i, input) in self.inputs.iter().enumerate() {
                write!(f, "{}{input}", if i == 0 { "; " } else { ", " })?;
            }
        }
        if self.shrunk && !self.passed() {
            let views = self.inputs.iter().filter(|input| input.layout != Layout::Contiguous);
            for view in views {
                write!(f, "; only when {} is {}", view.name, view.layout)?;
            }
            let case = self.example.as_ref().map(|example| &example.case);
            if case.is_some_and(|case| case.shared) {
                f.write_str("; only when one variable stands in several places")?;
            }
            if case.is_some_and(|case| case.twice) {
                f.write_str("; only when it is applied twice")?;
            }
        }
        if self.passed() { Ok(()) } else { write!(f, "\n\n{}", self.test()) }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.shape)?;
        if self.layout != Layout::Contiguous {
            write!(f, " {}", self.layout)?;
        }
        if (1..=6).contains(&self.values.len()) {
            let values: Vec<String> = self.values.iter().copied().map(short).collect();
            write!(f, " = {}", values.join(" "))?;
        }
        Ok(())
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
            Verdict::Wrong { input, at, output, analytic, numeric, error, diagnosis } => {
                write!(f, "gradient of {input} wrong at {at}")?;
                output.as_ref().map_or(Ok(()), |output| write!(f, " for output {output:?}"))?;
                write!(f, ": analytic {}, ", short(*analytic))?;
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
            Verdict::NotFinite { what, at, found } => {
                write!(f, "{what} is {}", number(*found))?;
                at.as_ref().map_or(Ok(()), |at| write!(f, " at {at}"))
            }
            Verdict::NotStopped { input, at, found } => {
                write!(f, "a gradient reaches {input}, which is declared stopped: ")?;
                write!(f, "{} at {at}", short(*found))
            }
            Verdict::Swallowed { what, at, found, expected, put } => {
                write!(f, "{what} is {found} at {at} instead of {expected} with {put}")
            }
            Verdict::NotDeterministic { what } => write!(f, "{what} differs from run to run"),
            Verdict::Modified { input } => write!(f, "{input} was written to"),
            Verdict::LayoutDependent { what, at, view, contiguous } => {
                let [view, contiguous] = [view, contiguous].map(|x| number(*x));
                write!(f, "{what} is {view} at {at}, but {contiguous} if all is contiguous")
            }
            Verdict::Imprecise { what, at, single, double, allowed, grows } => {
                write!(f, "{what} in single precision wrong at {at}: ")?;
                let [single, double] = [single, double].map(|x| number(*x));
                write!(f, "{single} instead of {double} ± {allowed:.0e}")?;
                if *grows {
                    f.write_str("; the error grows with the size: a sum loses digits")
                } else {
                    Ok(())
                }
            }
            Verdict::Inconclusive => f.write_str("too noisy, or a kink"),
        }
    }
}

/// A number as Rust's source has it.
fn literal(x: f64) -> String {
    match x {
        _ if x.is_nan() => "f64::NAN".to_owned(),
        f64::INFINITY => "f64::INFINITY".to_owned(),
        f64::NEG_INFINITY => "f64::NEG_INFINITY".to_owned(),
        _ => format!("{x:?}"),
    }
}

/// All digits of a number, and words for what is none.
pub(crate) fn number(x: f64) -> String {
    match x {
        _ if x.is_nan() => "not a number".to_owned(),
        f64::INFINITY => "infinite".to_owned(),
        f64::NEG_INFINITY => "−infinite".to_owned(),
        _ if x != 0.0 && !(1e-5..1e16).contains(&x.abs()) => format!("{x:e}"),
        _ => x.to_string(),
    }
}

/// Six digits are enough to recognise a number.
pub(crate) fn short(x: f64) -> String {
    let digits = 5 - (x.abs().log10().floor().clamp(-5.0, 5.0) as i32);
    let power = 10f64.powi(digits);
    let rounded = (x * power).round() / power;
    if x != 0.0 && rounded == 0.0 { format!("{x:.1e}") } else { format!("{rounded:?}") }
}
