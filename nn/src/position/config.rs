//! The choice of an encoder in a config.

use serde::{Deserialize, Serialize};

/// Which encoder, with its numbers: `position = { kind = "lff-mlp", gamma = 0.2 }`. γ is 0.2 unless it is given.
///
/// Fractions of the image go from 0 to 1; indices count patches or pixels. D is the model's width, shared out among G groups of
/// M coordinates; C = G·M. "Elsewhere" says what happens at places and sizes that training has not shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PositionConfig {
    /// No positions: a control. No parameters.
    None {},
    /// A trained vector for each index in row-major order, as in ViT (Dosovitskiy et al. 2021). One group. N·D parameters.
    /// Elsewhere: bicubic interpolation of the table.
    #[serde(rename = "embed-1d")]
    Embed1d {
        /// Standard deviation of the first values.
        #[serde(default = "fiftieth")]
        std: f64,
    },
    /// A trained vector for each index along each coordinate, side by side, as in DETR's learned positions (Carion et al.
    /// 2020). Σ sizes·D/C parameters. Elsewhere: cubic interpolation of each table.
    #[serde(rename = "embed-2d")]
    Embed2d {
        /// Standard deviation of the first values.
        #[serde(default = "fiftieth")]
        std: f64,
    },
    /// Sines and cosines of the index in row-major order (Vaswani et al. 2017). One group. No parameters. Elsewhere: goes on.
    #[serde(rename = "sine-1d")]
    Sine1d {
        /// The longest wavelength is 2π times this.
        #[serde(default = "ten_thousand")]
        temperature: f64,
    },
    /// Sines and cosines of 2π·fraction of each coordinate, side by side, as in DETR (Carion et al. 2020). No parameters.
    /// Elsewhere: a larger image is a denser sampling of the same range.
    #[serde(rename = "sine-2d")]
    Sine2d {
        /// The longest wavelength is 2π times this.
        #[serde(default = "ten_thousand")]
        temperature: f64,
    },
    /// The same, and an MLP.
    SineMlp {
        /// The longest wavelength is 2π times this.
        #[serde(default = "ten_thousand")]
        temperature: f64,
        /// Hidden features |H| of the MLP.
        #[serde(default = "thirty_two")]
        hidden: usize,
    },
    /// An MLP of the fractions themselves. (M + 1)|H| + (|H| + 1)D/G parameters. Elsewhere: goes on.
    Mlp {
        /// Hidden features |H| of the MLP.
        #[serde(default = "thirty_two")]
        hidden: usize,
    },
    /// Learnable Fourier features alone (Li et al. 2021, Eq. 2), |F| = D/G. M·D/(2G) parameters. Elsewhere: goes on.
    Lff {
        /// Width γ of the first kernel, in fractions of the image.
        #[serde(default = "fifth")]
        gamma: f64,
    },
    /// Learnable Fourier features with MLP (Li et al. 2021): see [`LearnableFourier`](crate::LearnableFourier).
    LffMlp {
        /// Width γ of the first kernel, in fractions of the image.
        #[serde(default = "fifth")]
        gamma: f64,
        /// Number |F| of Fourier features; 0 stands for the model's width.
        #[serde(default)]
        features: usize,
        /// Hidden features |H| of the MLP.
        #[serde(default = "thirty_two")]
        hidden: usize,
    },
    /// Fourier features of frequencies that stay as they were drawn (Rahimi and Recht 2007). No trained parameters.
    FixedFourier {
        /// Width γ of the kernel, in fractions of the image.
        #[serde(default = "fifth")]
        gamma: f64,
    },
    /// The same with an MLP (Tancik et al. 2020).
    FixedFourierMlp {
        /// Width γ of the kernel, in fractions of the image.
        #[serde(default = "fifth")]
        gamma: f64,
        /// Number |F| of Fourier features; 0 stands for the model's width.
        #[serde(default)]
        features: usize,
        /// Hidden features |H| of the MLP.
        #[serde(default = "thirty_two")]
        hidden: usize,
    },
    /// The sum of a trained vector for each coordinate, found by fraction, as in NaViT (Dehghani et al. 2023). Σ sizes·D/G
    /// parameters. Elsewhere: the row at the same fraction.
    Factorized {
        /// Standard deviation of the first values.
        #[serde(default = "fiftieth")]
        std: f64,
    },
    /// Queries and keys turned by indices, pairs shared out among coordinates (Heo et al. 2024). No parameters. Elsewhere:
    /// goes on, with differences that training has not shown.
    RopeAxial {
        /// The slowest pair turns at about 1/temperature a place.
        #[serde(default = "hundred")]
        temperature: f64,
    },
    /// The same with trained frequencies for each layer and head (Heo et al. 2024). L·D/2·C parameters.
    RopeMixed {
        /// The slowest pair turns at about 1/temperature a place at first.
        #[serde(default = "ten")]
        temperature: f64,
    },
    /// Scores fall with the Euclidean distance in indices (Press et al. 2022; Fuller et al. 2023). No parameters.
    /// Elsewhere: goes on.
    Alibi {},
    /// Scores with a bias that an MLP makes of the difference on a logarithmic scale (Liu et al. 2022).
    /// (C + 1)|H| + (|H| + 1)·heads parameters. Elsewhere: fractions, hence a denser sampling of the same range.
    RelativeMlp {
        /// Hidden features |H| of the MLP.
        #[serde(default = "thirty_two")]
        hidden: usize,
    },
    /// Scores with a bias that an MLP makes of learnable Fourier features of the difference.
    RelativeLff {
        /// Width γ of the first kernel, in fractions of the image.
        #[serde(default = "fifth")]
        gamma: f64,
        /// Number |F| of Fourier features; 0 stands for the model's width.
        #[serde(default)]
        features: usize,
        /// Hidden features |H| of the MLP.
        #[serde(default = "thirty_two")]
        hidden: usize,
    },
}

/// What an encoder is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionShape {
    /// Places along each of the M coordinates of a group.
    pub sizes: Vec<usize>,
    /// G.
    pub groups: usize,
    /// Tokens in front that have no place, such as a class token.
    pub extra: usize,
    /// D.
    pub dim: usize,
    /// Heads of each attention.
    pub heads: usize,
    /// Layers of attention.
    pub depth: usize,
}

/// γ unless it is given.
fn fifth() -> f64 {
    0.2
}

/// Standard deviation of a table unless it is given.
fn fiftieth() -> f64 {
    0.02
}

fn ten() -> f64 {
    10.0
}

fn hundred() -> f64 {
    100.0
}

fn ten_thousand() -> f64 {
    10_000.0
}

fn thirty_two() -> usize {
    32
}

impl PositionConfig {
    /// One of each kind, with its usual numbers and this γ.
    pub fn all(gamma: f64) -> Vec<Self> {
        use PositionConfig::*;
        let (features, hidden, std) = (0, thirty_two(), fiftieth());
        vec![
            None {},
            Embed1d { std },
            Embed2d { std },
            Sine1d { temperature: ten_thousand() },
            Sine2d { temperature: ten_thousand() },
            SineMlp { temperature: ten_thousand(), hidden },
            Mlp { hidden },
            Lff { gamma },
            LffMlp { gamma, features, hidden },
            FixedFourier { gamma },
            FixedFourierMlp { gamma, features, hidden },
            Factorized { std },
            RopeAxial { temperature: hundred() },
            RopeMixed { temperature: ten() },
            Alibi {},
            RelativeMlp { hidden },
            RelativeLff { gamma, features, hidden },
        ]
    }

    /// The kind of this name, with its usual numbers.
    pub fn named(name: &str) -> Option<Self> {
        Self::all(fifth()).into_iter().find(|kind| kind.name() == name)
    }

    /// The name that stands in a config.
    pub fn name(&self) -> &'static str {
        use PositionConfig::*;
        match self {
            None {} => "none",
            Embed1d { .. } => "embed-1d",
            Embed2d { .. } => "embed-2d",
            Sine1d { .. } => "sine-1d",
            Sine2d { .. } => "sine-2d",
            SineMlp { .. } => "sine-mlp",
            Mlp { .. } => "mlp",
            Lff { .. } => "lff",
            LffMlp { .. } => "lff-mlp",
            FixedFourier { .. } => "fixed-fourier",
            FixedFourierMlp { .. } => "fixed-fourier-mlp",
            Factorized { .. } => "factorized",
            RopeAxial { .. } => "rope-axial",
            RopeMixed { .. } => "rope-mixed",
            Alibi {} => "alibi",
            RelativeMlp { .. } => "relative-mlp",
            RelativeLff { .. } => "relative-lff",
        }
    }

    /// Whether it gives vectors that are added to tokens, rather than none or a change of attention.
    pub fn is_absolute(&self) -> bool {
        use PositionConfig::*;
        !matches!(
            self,
            None {}
                | RopeAxial { .. }
                | RopeMixed { .. }
                | Alibi {}
                | RelativeMlp { .. }
                | RelativeLff { .. }
        )
    }

    /// Checks that this encoder can serve such a model.
    ///
    /// # Errors
    /// What is wrong with it; if another kind could serve the model, which ones can.
    pub fn validate(&self, shape: &PositionShape) -> Result<(), String> {
        self.check_numbers(shape)?;
        self.fits(shape).map_err(|why| {
            let able = Self::all(1.0).into_iter().filter(|kind| kind.fits(shape).is_ok());
            let able: Vec<_> = able.map(|kind| kind.name()).collect();
            format!("position.kind = \"{}\" {why}; these can: {}", self.name(), able.join(", "))
        })
    }

    fn check_numbers(&self, shape: &PositionShape) -> Result<(), String> {
        use PositionConfig::*;
        let dim = shape.dim;
        let (gamma, temperature) = match *self {
            Lff { gamma } | FixedFourier { gamma } => (gamma, 1.0),
            LffMlp { gamma, .. } | FixedFourierMlp { gamma, .. } | RelativeLff { gamma, .. } => {
                (gamma, 1.0)
            }
            Sine1d { temperature } | Sine2d { temperature } | SineMlp { temperature, .. } => {
                (1.0, temperature)
            }
            RopeAxial { temperature } | RopeMixed { temperature } => (1.0, temperature),
            _ => (1.0, 1.0),
        };
        let std = match *self {
            Embed1d { std } | Embed2d { std } | Factorized { std } => std,
            _ => 1.0,
        };
        let (features, hidden) = match *self {
            LffMlp { features, hidden, .. }
            | FixedFourierMlp { features, hidden, .. }
            | RelativeLff { features, hidden, .. } => {
                (if features == 0 { dim } else { features }, hidden)
            }
            SineMlp { hidden, .. } | Mlp { hidden } | RelativeMlp { hidden } => (2, hidden),
            _ => (2, 1),
        };
        for (name, number) in [("gamma", gamma), ("temperature", temperature), ("std", std)] {
            if !(number > 0.0 && number.is_finite()) {
                return Err(format!("position.{name} = {number}: a positive number expected"));
            }
        }
        for (name, size) in [("features", features), ("hidden", hidden)] {
            if !(1..=1 << 16).contains(&size) {
                return Err(format!("position.{name} = {size}: 1 to 65536 expected"));
            }
        }
        if !features.is_multiple_of(2) {
            return Err(format!("position.features = {features}: an even number expected"));
        }
        Ok(())
    }

    /// `Err` completes the sentence "position.kind = … ".
    fn fits(&self, shape: &PositionShape) -> Result<(), String> {
        use PositionConfig::*;
        let &PositionShape { groups, dim, heads, ref sizes, .. } = shape;
        let coordinates = sizes.len();
        let divides = |by: usize, what: &str| match by > 0 && dim.is_multiple_of(by) {
            true => Ok(()),
            false => Err(format!("needs a width that is divisible by {what} = {by}, not {dim}")),
        };
        match self {
            None {} | Alibi {} | RelativeMlp { .. } | RelativeLff { .. } => Ok(()),
            Embed1d { .. } | Sine1d { .. } if groups != 1 || coordinates > 2 => Err(format!(
                "counts places in row-major order, so it needs one group of one or two coordinates, not {groups} of {coordinates}"
            )),
            Embed1d { .. } => Ok(()),
            Sine1d { .. } => divides(2, "2"),
            Embed2d { .. } => divides(groups * coordinates, "the number of coordinates"),
            Sine2d { .. } | SineMlp { .. } => {
                divides(2 * groups * coordinates, "twice the number of coordinates")
            }
            Mlp { .. } | LffMlp { .. } | FixedFourierMlp { .. } | Factorized { .. } => {
                divides(groups, "the number of groups")
            }
            Lff { .. } | FixedFourier { .. } => divides(2 * groups, "twice the number of groups"),
            RopeAxial { .. } | RopeMixed { .. } => {
                let head = dim / heads.max(1);
                let needed =
                    if matches!(self, RopeAxial { .. }) { groups * coordinates } else { 1 };
                let fits = head.is_multiple_of(2) && head / 2 >= needed;
                let why = format!(
                    "turns pairs of features, at least {needed} a head, of which there are {head}"
                );
                if fits { Ok(()) } else { Err(why) }
            }
        }
    }
}
