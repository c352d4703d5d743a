//! Any encoder: what it adds to tokens, and what it does to attention.

use std::borrow::Cow;

use autograd::{Attention, Var, concat};
use tensor::{Float, Tensor};

use super::bias::RelativeBias;
use super::mlp::side_by_side;
use super::rotary::Rotary;
use super::sine::{sine_of_coordinates, sine_of_index};
use super::table::resized;
use super::{
    AxisTables, LearnableFourier, Places, PositionConfig, PositionMlp, PositionShape, Reading,
};
use crate::{Context, Fill, Init, ParamId};

/// A position encoder of any kind. Absolute ones map places to vectors that are added to the tokens; relative ones turn queries
/// and keys, or add a bias to the scores.
#[derive(Clone, Debug)]
pub struct Position {
    kind: Kind,
    shape: PositionShape,
    reading: Reading,
}

#[derive(Clone, Debug)]
enum Kind {
    None,
    Embed1d(ParamId),
    Tables(AxisTables),
    Sine1d(f64),
    Sine(f64, Option<PositionMlp>),
    Mlp(PositionMlp),
    Fourier(LearnableFourier),
    Rotary(Rotary),
    Bias(RelativeBias),
}

/// How the tokens of each layer see each other: one for all layers, or one each.
#[derive(Clone, Debug)]
pub struct Sight<E: Float = f32> {
    layers: Vec<Attention<E>>,
}

impl<E: Float> Sight<E> {
    /// What the attention of a layer may look at.
    pub fn of(&self, layer: usize) -> &Attention<E> {
        &self.layers[layer.min(self.layers.len() - 1)]
    }
}

impl Position {
    /// An encoder as the config says. Parameters: `pos_embed` (one trained vector for each place, as timm has it), or `pe.*`.
    ///
    /// # Panics
    /// If the config does not fit; see [`PositionConfig::validate`].
    #[track_caller]
    pub fn new(init: &mut Init<'_>, config: &PositionConfig, shape: PositionShape) -> Self {
        use PositionConfig as Config;
        config.validate(&shape).unwrap_or_else(|why| panic!("{why}"));
        let &PositionShape { groups, extra, dim, heads, depth, ref sizes } = &shape;
        let (coordinates, width) = (sizes.len(), dim / groups.max(1));
        let of_width = |features: usize| if features == 0 { dim } else { features };
        if let &Config::Embed1d { std } = config {
            let rows = extra + sizes.iter().product::<usize>();
            let fill = Fill::TruncatedNormal(std);
            let kind = Kind::Embed1d(init.param("pos_embed", [1, rows, dim], fill, false));
            return Self { kind, shape, reading: Reading::Own };
        }
        let mut scope = init.scope("pe");
        let init = &mut scope;
        let fourier = |init: &mut Init<'_>, gamma, features, hidden| {
            LearnableFourier::with(init, coordinates, features, hidden, width, gamma)
        };
        let frozen = |init: &mut Init<'_>, encoder: LearnableFourier| {
            encoder.freeze(init);
            Kind::Fourier(encoder)
        };
        let kind = match *config {
            Config::None {} | Config::Embed1d { .. } => Kind::None,
            Config::Embed2d { std } => {
                Kind::Tables(AxisTables::new(init, sizes, width / coordinates, std, false))
            }
            Config::Factorized { std } => {
                Kind::Tables(AxisTables::new(init, sizes, width, std, true))
            }
            Config::Sine1d { temperature } => Kind::Sine1d(temperature),
            Config::Sine2d { temperature } => Kind::Sine(temperature, None),
            Config::SineMlp { temperature, hidden } => {
                Kind::Sine(temperature, Some(PositionMlp::new(init, width, hidden, width)))
            }
            Config::Mlp { hidden } => Kind::Mlp(PositionMlp::new(init, coordinates, hidden, width)),
            Config::Lff { gamma } => Kind::Fourier(fourier(init, gamma, width, None)),
            Config::LffMlp { gamma, features, hidden } => {
                Kind::Fourier(fourier(init, gamma, of_width(features), Some(hidden)))
            }
            Config::FixedFourier { gamma } => {
                let encoder = fourier(init, gamma, width, None);
                frozen(init, encoder)
            }
            Config::FixedFourierMlp { gamma, features, hidden } => {
                let encoder = fourier(init, gamma, of_width(features), Some(hidden));
                frozen(init, encoder)
            }
            Config::RopeAxial { temperature } => {
                Kind::Rotary(Rotary::Axial { pairs: dim / heads / 2, temperature })
            }
            Config::RopeMixed { temperature } => {
                let sizes = [depth, heads, dim / heads, groups * coordinates];
                Kind::Rotary(Rotary::mixed(init, sizes, temperature))
            }
            Config::Alibi {} => Kind::Bias(RelativeBias::Alibi { heads }),
            Config::RelativeMlp { hidden } => {
                let mlp = PositionMlp::new(init, groups * coordinates, hidden, heads);
                Kind::Bias(RelativeBias::Mlp(mlp))
            }
            Config::RelativeLff { gamma, features, hidden } => {
                let (inputs, features) = (groups * coordinates, of_width(features));
                let encoder =
                    LearnableFourier::with(init, inputs, features, Some(hidden), heads, gamma);
                Kind::Bias(RelativeBias::Fourier(encoder))
            }
        };
        Self { kind, shape, reading: Reading::Own }
    }

    /// Reads places at sizes that the encoder was not made for in this way from now on.
    pub fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// The places as they are read; other than given only at sizes that the encoder was not made for.
    fn read<'p>(&self, places: &'p Places) -> Cow<'p, Places> {
        let counts = matches!(
            self.kind,
            Kind::Sine1d(_) | Kind::Rotary(_) | Kind::Bias(RelativeBias::Alibi { .. })
        );
        self.reading.of(places, &self.shape.sizes, counts)
    }

    /// What is added to the tokens at these places, [N, D], and to the tokens in front of them, [extra, D]; `None` if nothing is.
    ///
    /// # Panics
    /// If the places have not the groups and coordinates that the encoder was made for.
    #[track_caller]
    pub fn embed<E: Float>(
        &self,
        cx: &Context<'_, E>,
        places: &Places,
    ) -> (Option<Var<E>>, Option<Var<E>>) {
        let (dim, read) = (self.shape.dim, self.read(places));
        let places = &*read;
        let width = dim / self.shape.groups.max(1) / self.shape.sizes.len().max(1);
        let embedded = match &self.kind {
            Kind::None | Kind::Rotary(_) | Kind::Bias(_) => return (None, None),
            Kind::Embed1d(table) => return self.embed_1d(&cx.param(*table).squeeze(0), places),
            Kind::Tables(tables) => side_by_side(&tables.forward(cx, places)),
            Kind::Sine1d(temperature) => {
                let indices = match &read {
                    Cow::Borrowed(places) => {
                        places.flat_indices().into_iter().map(|i| i as f64).collect()
                    }
                    Cow::Owned(places) => places.flat_positions(), // between those trained on
                };
                Var::constant(sine_of_index(&indices, dim, *temperature))
            }
            Kind::Sine(temperature, mlp) => {
                let features = Var::constant(sine_of_coordinates(places, width, *temperature));
                mlp.as_ref()
                    .map_or_else(|| side_by_side(&features), |mlp| mlp.forward(cx, &features))
            }
            Kind::Mlp(mlp) => mlp.forward(cx, &Var::constant(places.fractions())),
            Kind::Fourier(encoder) => encoder.forward(cx, &places.fractions()),
        };
        (Some(embedded), None)
    }

    fn embed_1d<E: Float>(
        &self,
        table: &Var<E>,
        places: &Places,
    ) -> (Option<Var<E>>, Option<Var<E>>) {
        let PositionShape { sizes, extra, .. } = &self.shape;
        let slots = (*extra > 0).then(|| table.narrow(0, 0, *extra));
        let rows = table.narrow(0, *extra, table.dims()[0] - extra);
        let grid = |sizes: &[usize]| match *sizes {
            [w] => [1, w],
            [h, w] => [h, w],
            _ => unreachable!("validated: one or two coordinates"),
        };
        let resized = match *places.sizes() == **sizes {
            true => rows,
            false => resized(&rows, grid(sizes), grid(places.sizes())),
        };
        (Some(resized.gather(0, &places.flat_indices())), slots)
    }

    /// How alike the encoding finds each pair of places, [N, N]; `None` if it knows no positions.
    ///
    /// - Of vectors that are added: their cosine.
    /// - Of angles: the mean of cos(θ_i − θ_j) over pairs, heads and layers, which is what is left of the score of two equal
    ///   vectors.
    /// - Of biases: the mean over heads.
    pub fn similarity<E: Float>(&self, cx: &Context<'_, E>, places: &Places) -> Option<Tensor<E>> {
        if let (Some(rows), _) = self.embed(cx, places) {
            let rows = rows.into_value();
            let length = rows.square().sum_keep(&[-1]).add_scalar(E::from_f64(1e-20)).sqrt();
            let rows = &rows / &length;
            return Some(rows.matmul(&rows.transpose(0, 1)));
        }
        let places = &*self.read(places);
        match &self.kind {
            Kind::Rotary(rotary) => {
                let layers = rotary.angles(cx, places).into_iter().map(|angles| {
                    let angles = angles.into_value();
                    let n = places.len();
                    let by_pair =
                        angles.reshape([angles.len() / n / angles.dim(-1), n, angles.dim(-1)]);
                    let (cos, sin) = (by_pair.cos(), by_pair.sin());
                    let both = |t: &Tensor<E>| t.matmul(&t.transpose(-2, -1));
                    let kernel = (&both(&cos) + &both(&sin)).mean(&[0]);
                    kernel.scale(E::from_f64(1.0 / angles.dim(-1) as f64))
                });
                let layers: Vec<Tensor<E>> = layers.collect();
                let sum = layers[1..].iter().fold(layers[0].clone(), |sum, next| &sum + next);
                Some(sum.scale(E::from_f64(1.0 / layers.len() as f64)))
            }
            Kind::Bias(bias) => Some(bias.forward(cx, places).into_value().mean(&[0])),
            _ => None,
        }
    }

    /// The frequencies of learnable or fixed Fourier features [|F|/2, M], in radians per unit of a fraction.
    pub fn frequencies(&self) -> Option<ParamId> {
        match &self.kind {
            Kind::Fourier(encoder) | Kind::Bias(RelativeBias::Fourier(encoder)) => {
                Some(encoder.frequencies())
            }
            _ => None,
        }
    }

    /// What attention looks at in each layer, between these places and the tokens in front of them, which are neither turned nor
    /// biased.
    pub fn sight<E: Float>(&self, cx: &Context<'_, E>, places: &Places, causal: bool) -> Sight<E> {
        let (extra, places) = (self.shape.extra, &*self.read(places));
        let plain = Attention { causal, ..Attention::default() };
        let layers = match &self.kind {
            Kind::Rotary(rotary) => rotary
                .angles(cx, places)
                .iter()
                .map(|angles| {
                    let angles = in_front(angles, -2, extra);
                    Attention { angles: Some([angles.clone(), angles]), ..plain.clone() }
                })
                .collect(),
            Kind::Bias(bias) => {
                let bias = in_front(&in_front(&bias.forward(cx, places), -1, extra), -2, extra);
                vec![Attention { mask: Some(bias), ..plain }]
            }
            _ => vec![plain],
        };
        Sight { layers }
    }
}

/// `count` places of zeros in front, along an axis.
fn in_front<E: Float>(x: &Var<E>, axis: isize, count: usize) -> Var<E> {
    if count == 0 {
        return x.clone();
    }
    let at = x.shape().axis(axis);
    let zeros = Var::constant(Tensor::zeros(x.shape().with(at, count)));
    concat(&[&zeros, x], axis)
}
